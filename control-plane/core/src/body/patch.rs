//! Which shape each kind of body must have, so that policy can rely on it.

use super::{BodyError, ScalarProblem};
use serde_json::Value;
use shared::limits;

/// 2^53: server-side apply goes through `float64` in the API server (sigs.k8s.io/yaml `Unmarshal` into a map).
const APPLY_INTEGER_MAX: u64 = 1 << 53;

pub(super) fn check_object(value: &Value) -> Result<(), BodyError> {
    if value.is_object() {
        return Ok(());
    }
    Err(shape("body", "an object", value))
}

/// An object, and no integer that the API server would round.
pub(super) fn check_apply(value: &Value) -> Result<(), BodyError> {
    check_object(value)?;
    if survives_apply(value) {
        return Ok(());
    }
    Err(BodyError::Scalar { line: 0, column: 0, problem: ScalarProblem::BeyondApply })
}

fn survives_apply(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|n| n.unsigned_abs() <= APPLY_INTEGER_MAX)
        }
        Value::Array(items) => items.iter().all(survives_apply),
        Value::Object(map) => map.values().all(survives_apply),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// RFC 6902: known operations with the members each needs. A path without its leading `/` is refused, because the API server's library
/// drops whatever stands before the first one. Some clients repeat `value` in a `remove`, so a member that its op ignores may stand.
pub(super) fn check_operations(value: &Value) -> Result<(), BodyError> {
    let Value::Array(operations) = value else {
        return Err(shape("body", "a list of operations", value));
    };
    if operations.len() > limits::JSON_PATCH_OPERATIONS {
        return Err(BodyError::Operations { limit: limits::JSON_PATCH_OPERATIONS, got: operations.len() });
    }
    for (index, operation) in operations.iter().enumerate() {
        check_operation(&format!("operation {index}"), operation)?;
    }
    Ok(())
}

fn check_operation(place: &str, operation: &Value) -> Result<(), BodyError> {
    let Value::Object(members) = operation else {
        return Err(shape(place, "an object", operation));
    };
    let needs: &[&str] = match members.get("op").and_then(Value::as_str) {
        Some("add" | "replace" | "test") => &["op", "path", "value"],
        Some("remove") => &["op", "path"],
        Some("move" | "copy") => &["op", "path", "from"],
        _ => return Err(missing(place, "op add, remove, replace, move, copy or test")),
    };
    for name in needs {
        match members.get(*name) {
            Some(_) if *name == "value" => {}
            Some(Value::String(text)) if *name == "op" || text.is_empty() || text.starts_with('/') => {}
            _ => {
                return Err(missing(place, "op, a path that starts with /, and the members of that op (RFC 6902)"));
            }
        }
    }
    match members.keys().find(|name| !["op", "path", "from", "value"].contains(&name.as_str())) {
        Some(other) => Err(BodyError::Shape {
            place: place.to_owned(),
            expected: "only op, path, from and value",
            got: format!("{other:?}"),
        }),
        None => Ok(()),
    }
}

fn missing(place: &str, expected: &'static str) -> BodyError {
    BodyError::Shape { place: place.to_owned(), expected, got: "something else".to_owned() }
}

fn shape(place: &str, expected: &'static str, got: &Value) -> BodyError {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    BodyError::Shape { place: place.to_owned(), expected, got: got.to_owned() }
}
