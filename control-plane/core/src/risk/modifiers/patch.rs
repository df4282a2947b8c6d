//! JSON Patch (RFC 6902): operations instead of an object. Modifiers see the object that the operations would build on nothing.

use serde_json::{Map, Value};

use super::super::Found;
use crate::mask::{MaskedFields, Oracle};
use shared::limits;

/// The media type.
pub(in crate::risk) const JSON_PATCH: &str = "application/json-patch+json";

/// The object that `add`, `replace` and `test` operations mention, built on nothing: `/spec/containers/0/image` becomes
/// `{"spec":{"containers":[{"image":…}]}}`. A `remove` becomes `null`, as in a merge patch. Nothing for what is no JSON Patch, or
/// one that is longer or deeper than policy reads.
pub(in crate::risk) fn json_patch_as_object(patch: &Value) -> Option<Value> {
    let operations = patch.as_array()?;
    if operations.len() > limits::JSON_PATCH_OPERATIONS {
        return None;
    }
    let mut object = Value::Object(Map::new());
    for operation in operations {
        let path = operation.get("path")?.as_str()?;
        let value = match operation.get("op")?.as_str()? {
            "add" | "replace" | "test" => operation.get("value")?.clone(),
            "remove" => Value::Null,
            // Where they take the value from is not in the request; `patch_operations` scores that.
            "copy" | "move" => continue,
            _ => return None,
        };
        put(&mut object, path, value)?;
    }
    Some(object)
}

fn put(object: &mut Value, path: &str, value: Value) -> Option<()> {
    let mut place = object;
    if !path.is_empty() {
        if path.bytes().filter(|&byte| byte == b'/').count() > limits::BODY_DEPTH {
            return None;
        }
        for segment in path.strip_prefix('/')?.split('/') {
            place = step(place, segment)?;
        }
    }
    match (&mut *place, value) {
        // Two operations on the same map add up, as they would on the server.
        (Value::Object(known), Value::Object(more)) => known.extend(more),
        (place, value) => *place = value,
    }
    Some(())
}

/// The child of that name, made if it isn't there. A number or `-` is an item of a list, unless the parent is a map already; every
/// number means a new item here, because lists built on nothing have no positions.
fn step<'v>(parent: &'v mut Value, segment: &str) -> Option<&'v mut Value> {
    let key = segment.replace("~1", "/").replace("~0", "~");
    let is_index = key == "-" || (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()));
    let is_empty = match parent {
        Value::Object(map) => map.is_empty(),
        Value::Array(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    if is_empty && is_index {
        *parent = Value::Array(Vec::new());
    } else if is_empty && !parent.is_object() {
        *parent = Value::Object(Map::new());
    }
    match parent {
        Value::Object(map) => Some(map.entry(key).or_insert(Value::Null)),
        Value::Array(list) => {
            list.push(Value::Null);
            list.last_mut()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What a JSON Patch does out of sight.
pub(super) fn patch_operations(found: &mut Found<'_, '_>) {
    let question = found.question;
    let Some(patch) = question.body.value().filter(|_| question.body.content_type() == JSON_PATCH) else { return };
    if let Some(oracle) = Oracle::find(question.info, &MaskedFields::default(), patch) {
        found.forbid("default/secret-oracle", oracle.sentence());
    }
    let op =
        |operation: &Value| operation.get("op").and_then(Value::as_str).is_some_and(|op| op == "copy" || op == "move");
    if patch.as_array().into_iter().flatten().any(op) {
        found.at_least(
            "modifier/patch-copies",
            60,
            "copies a value from elsewhere in the object, which the request doesn't show".into(),
        );
    }
}
