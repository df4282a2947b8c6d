//! Where URL and body both say something, they must say the same: else the one that was judged is not the one that counts.

use serde_json::Value;

use super::RequestError;
use crate::body::{Encoding, ParsedBody};
use crate::query::Query;
use crate::request_info::{RequestInfo, Verb};

/// Options of a DELETE that may stand in the query, where a body makes the API server ignore them all
/// (k8s.io/apiserver pkg/endpoints/handlers/delete.go).
pub(crate) const DELETE_OPTIONS: [&str; 5] = [
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];

/// What the API server demands of name and namespace (pkg/registry/rest/meta.go, handlers/rest.go `checkName`).
pub(super) fn check(info: &RequestInfo, query: &Query, body: &ParsedBody) -> Result<(), RequestError> {
    match info.verb {
        Verb::Delete | Verb::DeleteCollection => return check_delete(query, &body.value),
        Verb::Create | Verb::Update | Verb::Patch => {}
        Verb::Get | Verb::List | Verb::Watch | Verb::Post | Verb::Put | Verb::Head | Verb::Options => return Ok(()),
    }
    if body.encoding == Encoding::JsonPatch {
        return check_json_patch(&body.value);
    }
    agree("name", &info.name, metadata_text(&body.value, "name")?)?;
    // A namespace is itself cluster-scoped: the URL's "namespace" is its name.
    if info.resource != "namespaces" {
        agree("namespace", &info.namespace, metadata_text(&body.value, "namespace")?)?;
    }
    Ok(())
}

/// An absent or empty text of the body is filled in from the URL by the API server, and the other way round.
fn agree(field: &'static str, expected: &str, got: &str) -> Result<(), RequestError> {
    if expected.is_empty() || got.is_empty() || expected == got {
        return Ok(());
    }
    Err(RequestError::Mismatch { field, expected: expected.to_owned(), got: got.to_owned() })
}

/// A text in the body's metadata; empty if absent.
pub(super) fn metadata_text<'a>(body: &'a Value, field: &'static str) -> Result<&'a str, RequestError> {
    match body.get("metadata").and_then(|metadata| metadata.get(field)) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(RequestError::NotText { field }),
    }
}

fn check_delete(query: &Query, options: &Value) -> Result<(), RequestError> {
    if let Some(key) = DELETE_OPTIONS.iter().find(|key| query.get(key).is_some()) {
        return Err(RequestError::DeleteOption { key: (*key).to_owned() });
    }
    match options.get("dryRun") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(values)) if values.iter().all(|value| value == "All") => Ok(()),
        Some(_) => Err(RequestError::DryRun),
    }
}

/// The API server refuses a changed name or namespace after it applied the patch; here the operations themselves are.
fn check_json_patch(operations: &Value) -> Result<(), RequestError> {
    for operation in operations.as_array().into_iter().flatten() {
        if operation.get("op").and_then(Value::as_str) == Some("test") {
            continue;
        }
        for key in ["path", "from"] {
            let place = operation.get(key).and_then(Value::as_str).unwrap_or_default();
            if key == "from" && operation.get("op").and_then(Value::as_str) == Some("copy") {
                continue;
            }
            for field in ["name", "namespace"] {
                if place == format!("/metadata/{field}") {
                    return Err(RequestError::Renamed { field });
                }
            }
        }
    }
    Ok(())
}
