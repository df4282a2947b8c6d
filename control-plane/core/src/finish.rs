//! From the request that was approved to the one that is sent: the one pure function that changes it (invariant 3). Run by the agent,
//! after the grant was verified, and by the model checker.
//!
//! It puts values where placeholders were ([`restore`](crate::restore)), and it adds the precondition that makes the API server refuse if
//! the object is no longer in the state that was just read: between that read and the write nothing can slip in. Where the API has no
//! precondition, none is added.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value, json};

use crate::body::{self, Encoding, ParsedBody};
use crate::mask::{MaskContext, changes};
use crate::query::Query;
use crate::request::agree::DELETE_OPTIONS;
use crate::request::{WireError, WireRequest};
use crate::request_info::{RequestInfo, Verb};
use crate::restore::{Carried, ReadObject, RestoreError, Restorer};
use crate::version_pin::{PinBroken, VersionPin};

#[cfg(test)]
mod tests;

/// What the agent read for this operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reads<'a> {
    /// The object that is written ([`RequestInfo::live_object`], or of a create the one that it names); `None`: the API server answered
    /// 404, or nobody needed it.
    pub live: Option<&'a ReadObject>,
    /// What values are put back from beside it ([`Carried::further`]).
    pub more: &'a [ReadObject],
}

/// What is sent. `Debug` shows no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The request.
    pub request: WireRequest,
    /// There is a precondition in it that the client did not write: if that alone is in the way, it may be finished again.
    pub precondition: bool,
}

/// Why nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// What was approved is no request of ours.
    #[error("the approved request can't be read")]
    Wire(#[source] WireError),
    /// The object is no longer the one that was approved.
    #[error("the version pin does not hold")]
    Pin(#[source] PinBroken),
    /// A placeholder can't be put back.
    #[error("a placeholder can't be put back")]
    Restore(#[source] RestoreError),
    /// There is no place for a precondition in this body.
    #[error("{place} in the body is no {expected}")]
    Body {
        /// JSON path.
        place: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A delete option in the query that a body can't say.
    #[error("the delete option {key} is no {expected}")]
    Option {
        /// Its key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// Checks the pin, puts values where placeholders were, and writes the precondition of the state just read into the request.
///
/// `parsed` is the reading of `approved`'s body, `None` if that is empty, and `carried` what is to be put back in it; `mask` is that of the
/// answers to the reads.
///
/// # Errors
/// [`FinishError`]: nothing may be sent then.
pub fn finish(
    approved: WireRequest,
    parsed: Option<&ParsedBody>,
    carried: &Carried,
    pin: &VersionPin,
    reads: Reads<'_>,
    mask: &MaskContext,
) -> Result<Finished, FinishError> {
    pin.holds(reads.live.map(ReadObject::masked)).map_err(FinishError::Pin)?;
    // Most requests: nothing to put back, and no state to demand.
    if parsed.is_none() && matches!(pin, VersionPin::None | VersionPin::Absent | VersionPin::Reveal { .. }) {
        return Ok(Finished { request: approved, precondition: false });
    }
    let (info, query) = approved.read().map_err(FinishError::Wire)?;
    let restored = restored(&info, parsed, carried, reads, mask)?;
    let state = match (pin, reads.live) {
        (_, Some(live)) if restored.is_some() => State::of(live.masked())?,
        // Nothing was pinned, or that there is nothing: a creating apply or PUT has no precondition (SECURITY.md names the window).
        // A reveal is a read.
        (VersionPin::None | VersionPin::Absent | VersionPin::Reveal { .. }, _) | (_, None) => {
            return Ok(Finished { request: with_restored(approved, restored), precondition: false });
        }
        (VersionPin::ResourceVersion { .. } | VersionPin::Generation { .. }, Some(live)) => State::of(live.masked())?,
    };
    if let Some(body) = restored {
        return with_both(approved, body, &info, &state);
    }
    let request = with_precondition(approved.clone(), parsed, &info, &query, &state)?;
    Ok(Finished { precondition: request != approved, request })
}

/// Only writes and creates carry anything. The body is changed where it is, for it can be large in memory.
fn with_both(
    approved: WireRequest,
    mut body: ParsedBody,
    info: &RequestInfo,
    state: &State<'_>,
) -> Result<Finished, FinishError> {
    let is_write = matches!(info.verb, Verb::Update | Verb::Patch);
    let precondition = is_write && precondition_of_write(&mut body, state)?;
    Ok(Finished { request: with_restored(approved, Some(body)), precondition })
}

fn with_restored(approved: WireRequest, restored: Option<ParsedBody>) -> WireRequest {
    match restored {
        Some(body) => with_body(approved, body.encoding, &body.value),
        None => approved,
    }
}

/// The body with values where its placeholders were; `None`: it has none.
fn restored(
    info: &RequestInfo,
    parsed: Option<&ParsedBody>,
    carried: &Carried,
    reads: Reads<'_>,
    mask: &MaskContext,
) -> Result<Option<ParsedBody>, FinishError> {
    let Some(parsed) = parsed else { return Ok(None) };
    let Reads { live, more } = reads;
    let (secret, release, dry_run) = (changes::is_secret(info), carried.release(), carried.is_dry_run());
    let restorer = Restorer { secret, release, dry_run, live, more, mask };
    let value = restorer.restore(parsed.encoding, &parsed.value).map_err(FinishError::Restore)?;
    Ok(value.map(|value| ParsedBody { encoding: parsed.encoding, value }))
}

fn with_precondition(
    approved: WireRequest,
    parsed: Option<&ParsedBody>,
    info: &RequestInfo,
    query: &Query,
    state: &State<'_>,
) -> Result<WireRequest, FinishError> {
    match (info.verb, info.subresource.as_str()) {
        _ if info.is_connect() => Ok(approved),
        (Verb::Update | Verb::Patch, _) => write(approved, parsed, state),
        (Verb::Delete, "") => delete(approved, parsed, info, query, state),
        (Verb::Create, "eviction") => evict(approved, parsed, state),
        (Verb::Create, "binding") => bind(approved, parsed, state),
        // `serviceaccounts/token` and the subresources of aggregated groups have none.
        _ => Ok(approved),
    }
}

/// The precondition.
struct State<'a> {
    uid: &'a str,
    resource_version: &'a str,
}

impl<'a> State<'a> {
    fn of(live: &'a Value) -> Result<Self, FinishError> {
        let text = |field| {
            live.get("metadata")
                .and_then(|metadata| metadata.get(field))
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        match (text("uid"), text("resourceVersion")) {
            (Some(uid), Some(resource_version)) => Ok(Self { uid, resource_version }),
            _ => Err(FinishError::Body {
                place: "metadata of the object read",
                expected: "object with uid and resourceVersion",
            }),
        }
    }
}

/// PUT and the four patches.
fn write(approved: WireRequest, parsed: Option<&ParsedBody>, state: &State<'_>) -> Result<WireRequest, FinishError> {
    let mut parsed = parsed.ok_or(FinishError::Body { place: "the whole", expected: "object or list" })?.clone();
    let changed = precondition_of_write(&mut parsed, state)?;
    Ok(if changed { with_body(approved, parsed.encoding, &parsed.value) } else { approved })
}

/// Whether it had to be written.
fn precondition_of_write(body: &mut ParsedBody, state: &State<'_>) -> Result<bool, FinishError> {
    if body.encoding == Encoding::JsonPatch {
        lead_with_test(&mut body.value, state)
    } else {
        Ok(set_unless_sent(child(&mut body.value, "metadata")?, "resourceVersion", state.resource_version))
    }
}

/// A `test` in front: whatever follows is applied to exactly that state. The client's own counts only where it stands in front too,
/// for further back it may test what the patch itself wrote.
fn lead_with_test(value: &mut Value, state: &State<'_>) -> Result<bool, FinishError> {
    const PLACE: &str = "/metadata/resourceVersion";
    let operations = value.as_array_mut().ok_or(FinishError::Body { place: "the whole", expected: "list" })?;
    let is_test = |operation: &Value| {
        operation.get("op").and_then(Value::as_str) == Some("test")
            && operation.get("path").and_then(Value::as_str) == Some(PLACE)
    };
    if operations.first().is_some_and(is_test) {
        return Ok(false);
    }
    operations.insert(0, json!({"op": "test", "path": PLACE, "value": state.resource_version}));
    Ok(true)
}

/// Whether it had to be set. For a resourceVersion the API server takes an empty text, and every way to write zero, for "whatever it
/// is"; a client that sends those has sent none.
fn set_unless_sent(object: &mut Map<String, Value>, key: &str, expected: &str) -> bool {
    let sent = match object.get(key) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.chars().all(|c| c == '0'),
        // No text: the API server can't decode it, and refuses.
        Some(_) => true,
    };
    if !sent {
        object.insert(key.to_owned(), Value::String(expected.to_owned()));
    }
    !sent
}

/// The object under a key, made if it is absent.
fn child<'a>(value: &'a mut Value, key: &'static str) -> Result<&'a mut Map<String, Value>, FinishError> {
    let object = value.as_object_mut().ok_or(FinishError::Body { place: "the whole", expected: "object" })?;
    object
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or(FinishError::Body { place: key, expected: "object" })
}

fn delete(
    approved: WireRequest,
    parsed: Option<&ParsedBody>,
    info: &RequestInfo,
    query: &Query,
    state: &State<'_>,
) -> Result<WireRequest, FinishError> {
    let (mut options, encoding) = match parsed {
        Some(parsed) => (parsed.value.clone(), parsed.encoding),
        None => (moved_options(query)?, Encoding::Json),
    };
    let changed = precondition(&mut options, state)?;
    if !changed {
        return Ok(approved);
    }
    let mut finished = with_body(approved, encoding, &options);
    // The API server ignores them beside a body: they have moved.
    finished.path_and_query = crate::request::path_and_query(info, &query.without(&DELETE_OPTIONS));
    Ok(finished)
}

/// Options of the query as the body that says the same (k8s.io/apimachinery meta/v1 `Convert_url_Values_To_v1_DeleteOptions`).
fn moved_options(query: &Query) -> Result<Value, FinishError> {
    let mut options = Map::new();
    for key in DELETE_OPTIONS {
        let Some(text) = query.get(key) else { continue };
        let value = match key {
            "dryRun" => json!([text]),
            "gracePeriodSeconds" => {
                json!(text.parse::<i64>().map_err(|_| FinishError::Option { key, expected: "integer" })?)
            }
            "propagationPolicy" => json!(text),
            _ => json!(query.flag(key)),
        };
        options.insert(key.to_owned(), value);
    }
    Ok(Value::Object(options))
}

/// Fills in what the client's own precondition leaves open.
fn precondition(options: &mut Value, state: &State<'_>) -> Result<bool, FinishError> {
    if options.get("preconditions") == Some(&Value::Null)
        && let Some(options) = options.as_object_mut()
    {
        options.remove("preconditions");
    }
    let preconditions = child(options, "preconditions")?;
    let uid = set_unless_sent(preconditions, "uid", state.uid);
    Ok(set_unless_sent(preconditions, "resourceVersion", state.resource_version) || uid)
}

fn evict(approved: WireRequest, parsed: Option<&ParsedBody>, state: &State<'_>) -> Result<WireRequest, FinishError> {
    let Some(parsed) = parsed else { return Ok(approved) };
    let mut value = parsed.value.clone();
    let object = value.as_object_mut().ok_or(FinishError::Body { place: "the whole", expected: "object" })?;
    if object.get("deleteOptions") == Some(&Value::Null) {
        object.remove("deleteOptions");
    }
    let options = object.entry("deleteOptions").or_insert_with(|| Value::Object(Map::new()));
    let changed = precondition(options, state)?;
    Ok(if changed { with_body(approved, parsed.encoding, &value) } else { approved })
}

/// `pods/binding`: the API server takes the Binding's own uid and resourceVersion for the pod's.
fn bind(approved: WireRequest, parsed: Option<&ParsedBody>, state: &State<'_>) -> Result<WireRequest, FinishError> {
    let Some(parsed) = parsed else { return Ok(approved) };
    let mut value = parsed.value.clone();
    let metadata = child(&mut value, "metadata")?;
    let uid = set_unless_sent(metadata, "uid", state.uid);
    let changed = set_unless_sent(metadata, "resourceVersion", state.resource_version) || uid;
    Ok(if changed { with_body(approved, parsed.encoding, &value) } else { approved })
}

/// A protobuf body becomes JSON: its value is known whole, and only that can be changed.
fn with_body(mut request: WireRequest, encoding: Encoding, value: &Value) -> WireRequest {
    request.body = Bytes::from(body::wire(value));
    let encoding = if encoding == Encoding::Protobuf { Encoding::Json } else { encoding };
    let content_type = crate::request::content_type(encoding);
    let [_, slot, ..] = &mut request.headers;
    *slot = Some(HeaderValue::from_static(content_type));
    request
}
