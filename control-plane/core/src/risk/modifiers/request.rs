//! What the request itself says besides its object: where it reaches, DELETE and apply options, dry run.

use serde_json::Value;

use super::super::{Found, HIGHEST, parts, table};
use super::{SYSTEM_NAMESPACES, is_set, text_at};
use crate::policy::question::{Body, Live, Question};
use crate::request_info::Verb;

/// The media types of server-side apply.
const APPLY: [&str; 2] = ["application/apply-patch+yaml", "application/apply-patch+cbor"];

/// The control plane's namespaces, and every namespace at once.
pub(super) fn place(found: &mut Found<'_, '_>) {
    let info = found.question.info;
    if SYSTEM_NAMESPACES.contains(&info.namespace.as_str()) {
        found.plus("modifier/system-namespace", 10, "in a namespace of the control plane".into());
    }
    if !info.namespace.is_empty() || info.verb == Verb::Create {
        return;
    }
    match table::resource(&info.api_group, &info.resource).map(|resource| resource.scope) {
        Some(table::Scope::Cluster) => {}
        Some(table::Scope::Namespaced) => {
            found.plus("modifier/all-namespaces", 10, "in all namespaces at once".into());
        }
        None => found.plus("modifier/all-namespaces", 10, "cluster-scoped, or in all namespaces at once".into()),
    }
}

/// How an object is deleted, and what else a write may do on the way.
pub(super) fn delete_options(found: &mut Found<'_, '_>) {
    let question = found.question;
    let info = question.info;
    let options = Options { query: question.query, body: question.body.value() };
    if matches!(info.verb, Verb::Delete | Verb::DeleteCollection) {
        if options.says("propagationPolicy", "Orphan") || options.on("orphanDependents") {
            found.plus("modifier/orphans", 10, "leaves what belongs to it behind, without an owner".into());
        }
        if options.zero("gracePeriodSeconds") {
            if info.resource == "pods" && info.api_group.is_empty() {
                found.at_least("modifier/force", 50, "forgets the pod at once, though it may still run".into());
            } else {
                found.plus("modifier/force", 15, "deletes at once, without a grace period".into());
            }
        }
        if options.on("ignoreStoreReadErrorWithClusterBreakingPotential") {
            found.at_least("modifier/ignores-read-errors", 95, "deletes what the API server can't even read".into());
        }
    }
    let applies = info.verb == Verb::Patch && APPLY.contains(&question.body.content_type());
    if applies && options.on("force") {
        found.plus("modifier/forced-ownership", 15, "takes fields from whoever manages them".into());
    }
    if (applies || info.verb == Verb::Update)
        && info.subresource.is_empty()
        && !matches!(question.live, Live::Present(_))
    {
        let created = table::find(&info.api_group, &info.resource, "", Verb::Create).risk;
        if created > table::row(info).risk {
            found.at_least("modifier/may-create", created, "creates the object if it isn't there".into());
        }
    }
}

/// Options of a write. With a body the API server takes them from it alone, without from the query: both are looked at, and
/// whichever says more counts. Texts are read as Go's conversion does (apimachinery pkg/runtime/conversion.go).
struct Options<'q> {
    query: &'q [(String, String)],
    body: Option<&'q Value>,
}

impl<'q> Options<'q> {
    fn given(&self, key: &str) -> impl Iterator<Item = &'q str> {
        let key = key.to_owned();
        self.query.iter().filter(move |(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    fn field(&self, key: &str) -> Option<&'q Value> {
        self.body.and_then(|body| body.get(key))
    }

    fn says(&self, key: &str, value: &str) -> bool {
        self.given(key).any(|given| given == value) || self.field(key).is_some_and(|given| given == value)
    }

    /// A text is true unless it is `false` or `0`.
    fn on(&self, key: &str) -> bool {
        self.given(key).any(|given| !given.eq_ignore_ascii_case("false") && given != "0") || is_set(self.field(key))
    }

    /// `0`, `00`, `+0`, `-0`.
    fn zero(&self, key: &str) -> bool {
        self.given(key).any(|given| given.parse() == Ok(0_i64))
            || self.field(key).is_some_and(|given| given.as_f64() == Some(0.0))
    }
}

/// A body of another kind than the path speaks of: the API server refuses most of those, and we don't guess about the rest.
pub(super) fn body_kind(found: &mut Found<'_, '_>, document: &Value) {
    let info = found.question.info;
    let writes_object = matches!(info.verb, Verb::Create | Verb::Update | Verb::Patch) && info.subresource.is_empty();
    let kind = text_at(document, &["kind"]);
    let expected = table::resource(&info.api_group, &info.resource).map(|resource| resource.kind);
    if writes_object && !kind.is_empty() && expected.is_some_and(|expected| expected != kind) {
        found.at_least(
            "modifier/body-kind",
            80,
            format!("the body is a {}, the path is of {}", super::super::shown(kind), info.resource_word()).into(),
        );
    }
    if !document.is_object() {
        found.at_least("modifier/body-kind", 80, "the body is no object".into());
    }
    if is_set(document.get("items")) && expected.is_some() {
        found.at_least("modifier/body-kind", 80, "the body is a list of objects".into());
    }
}

/// A dry run changes nothing, so it scores 30 less, but never less than reading the same: its reply is a read. Secrets get nothing off
/// (a dry run with a failing precondition is an oracle), nor does anything whose dry run is real: tokens, streams, reviews.
pub(in crate::risk) fn dry_run(found: &mut Found<'_, '_>) {
    let question = found.question;
    let info = question.info;
    if !is_honoured_dry_run(question) {
        return;
    }
    // Counted from the uncapped sum: points taken off what the cap had cut away anyway would take nothing off.
    let (base, points) = parts(&found.findings.contributions);
    let read = table::find(&info.api_group, &info.resource, "", Verb::Get).risk;
    let now = base + points;
    let off = (now.min(i32::from(HIGHEST)) - i32::from(read)).clamp(0, 30) + (now - i32::from(HIGHEST)).max(0);
    if base < 100
        && let Ok(off) = i16::try_from(off)
        && off > 0
    {
        found.plus("modifier/dry-run", -off, "only tried, nothing is stored".into());
    }
}

/// Whether it is a dry run of something whose dry run counts as one.
pub(crate) fn is_honoured_dry_run(question: &Question<'_>) -> bool {
    let info = question.info;
    matches!(info.subresource.as_str(), "" | "status" | "scale")
        && table::resource(&info.api_group, &info.resource).is_some()
        && !(info.api_group.is_empty() && info.resource == "secrets")
        && !matches!(info.api_group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
        && matches!(info.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection)
        && is_dry_run(question.query, question.body, info.verb)
}

/// Whether the API server will store nothing. Exactly one value, exactly `All`: with any other the server answers 400, or takes it
/// from where we didn't look, so nothing is taken off.
pub(crate) fn is_dry_run(query: &[(String, String)], body: Body<'_>, verb: Verb) -> bool {
    let removes = matches!(verb, Verb::Delete | Verb::DeleteCollection);
    if let (true, Some(options)) = (removes, body.value()) {
        // DeleteOptions in the body: the query is not looked at.
        return options
            .get("dryRun")
            .and_then(Value::as_array)
            .is_some_and(|all| matches!(all.as_slice(), [Value::String(one)] if one == "All"));
    }
    if removes && !matches!(body, Body::Absent) {
        return false;
    }
    let mut values = query.iter().filter(|(name, _)| name == "dryRun").map(|(_, value)| value.as_str());
    values.next() == Some("All") && values.next().is_none()
}
