//! What an approver sees, derived by us from the very request that waits. Risky facts first; nothing that the client wrote stands as
//! ours: its own words are in fields named `claims…`.

use control_plane_core::decision::Hold;
use serde_json::{Value, json};
use similar::TextDiff;

use super::judge::Live;
use super::masked::RequestMask;
use super::opening;

/// The page of a hold, as JSON. All values are masked.
pub(super) fn of(hold: &Hold, live: &Live, mask: &RequestMask) -> Value {
    let attributes = hold.attributes();
    let explanation = hold.explanation();
    let identity = attributes.identity();
    let client = attributes.request().client();
    let asked = mask.value(attributes);
    let (state, before) = match live {
        Live::None => ("not read", None),
        Live::Read(None) => ("absent", None),
        Live::Read(Some(object)) => ("present", Some(object)),
        Live::Failed(_) => ("unreadable", None),
    };
    let difference = match (before, &asked) {
        (Some(before), Some(asked)) if is_whole(attributes.request().wire().method()) => Some(diff(before, asked)),
        _ => None,
    };
    json!({
        "typed": opening::typed(attributes),
        "cluster": attributes.cluster(),
        "risk": explanation.risk,
        "rule": explanation.rule,
        "facts": explanation.contributions,
        "notes": explanation.notes,
        "asker": identity.asker(),
        "pod": identity.pod(),
        "ci": identity.ci(),
        "method": attributes.request().wire().method().as_str(),
        "path": attributes.request().wire().path_and_query(),
        "request": asked,
        "liveState": state,
        "live": before,
        "maskedFields": Value::Array(Vec::new()),
        "difference": difference,
        "dryRun": attributes.dry_run(),
        "preview": Value::Null,
        "noPreview": "the server's own dry run is not shown by this version",
        "claimsCommand": client.command,
        "claimsUserAgent": client.user_agent,
    })
}

/// A PUT holds the whole object; a patch is a difference already.
fn is_whole(method: &http::Method) -> bool {
    method == http::Method::PUT
}

fn diff(before: &Value, after: &Value) -> String {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (before, after) = (text(before), text(after));
    TextDiff::from_lines(&before, &after).unified_diff().context_radius(3).header("live", "request").to_string()
}
