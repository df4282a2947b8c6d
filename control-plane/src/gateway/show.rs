//! What an approver sees, derived by us from the very request that waits. Risky facts first; nothing that the client wrote stands as
//! ours: its own words are in fields named `claims…`.

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::Hold;
use control_plane_core::mask::changes::{FieldChange, Reviewed, SecretWrite};
use control_plane_core::mask::is_placeholder;
use serde_json::{Value, json};
use similar::TextDiff;

use super::judge::Live;
use crate::records::{RequestMask, opening};

/// The page of a hold, as JSON. All values are masked.
pub(super) fn of(hold: &Hold, live: &Live, mask: &RequestMask) -> Value {
    let attributes = hold.attributes();
    let explanation = hold.explanation();
    let identity = attributes.identity();
    let client = attributes.request().client();
    let asked = mask.value(attributes);
    let (state, before) = match live {
        Live::None => ("not read", None),
        Live::Read(Reviewed { live: None, .. }) => ("absent", None),
        Live::Read(Reviewed { live: Some(object), .. }) => ("present", Some(object)),
        Live::Failed(_) => ("unreadable", None),
    };
    let difference = match (before, &asked) {
        (Some(before), Some(asked)) if is_whole(attributes.request().wire().method()) => Some(diff(before, asked)),
        _ => None,
    };
    let mut notes = explanation.notes.clone();
    let fields = masked_fields(attributes, live).unwrap_or_else(|| {
        notes.push("what it does to masked values could not be compared: take them all for changed".to_owned());
        Vec::new()
    });
    if mask.hides_fields(attributes) {
        // Where it says "(masked)" before and after.
        notes.push(
            "fields that policy masks are shown to nobody, nor whether they change: take them all for changed"
                .to_owned(),
        );
    }
    if asked.as_ref().and_then(Value::as_str).is_some_and(is_placeholder) {
        notes.push("what it sends would have too much masked in it to be shown, and is not shown at all".to_owned());
    }
    json!({
        "typed": opening::typed(attributes),
        "cluster": attributes.cluster(),
        "risk": explanation.risk,
        "rule": explanation.rule,
        "facts": explanation.contributions,
        "notes": notes,
        "asker": identity.asker(),
        "pod": identity.pod(),
        "ci": identity.ci(),
        "method": attributes.request().wire().method().as_str(),
        "path": attributes.request().wire().path_and_query(),
        "request": asked,
        "liveState": state,
        "live": before,
        "maskedFields": fields,
        "difference": difference,
        "dryRun": attributes.dry_run(),
        "preview": Value::Null,
        "noPreview": "the server's own dry run is not shown by this version",
        "claimsCommand": client.command,
        "claimsUserAgent": client.user_agent,
    })
}

/// What becomes of values that nobody is shown. Where there is no live object, everything is new; else only the agent can say.
fn masked_fields(attributes: &Attributes, live: &Live) -> Option<Vec<FieldChange>> {
    let Some(write) = SecretWrite::of(attributes.request()) else { return Some(Vec::new()) };
    match live {
        Live::Read(Reviewed { live: None, .. }) => Some(write.changes(None)),
        Live::None if attributes.info().live_object().is_none() => Some(write.changes(None)),
        Live::Read(Reviewed { masked_fields, .. }) => masked_fields.clone(),
        Live::None | Live::Failed(_) => None,
    }
}

/// A PUT holds the whole object; a patch is a difference already.
fn is_whole(method: &http::Method) -> bool {
    method == http::Method::PUT
}

fn diff(before: &Value, after: &Value) -> String {
    let text = |value: &Value| serde_json::to_string_pretty(&without_placeholders(value)).unwrap_or_default();
    let (before, after) = (text(before), text(after));
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).header("live", "request").to_string()
}

/// Ours and the agent's placeholders differ for the same field, and say nothing of its value: `maskedFields` does.
fn without_placeholders(value: &Value) -> Value {
    match value {
        Value::String(text) if is_placeholder(text) => Value::String("(masked)".to_owned()),
        Value::Array(items) => items.iter().map(without_placeholders).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), without_placeholders(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
