//! JSON Patch (RFC 6902) on a parsed document, as far as it concerns objects and lists: enough to say what becomes of a Secret.

use serde_json::Value;
use shared::limits::{BODY_DEPTH, PATCH_MOVED_BYTES};

/// What a member takes beside its name and value: a map with one has room for eleven.
const MEMBER: usize = 512;

/// The patched document; `None` where an operation fails, as the API server would find, where it would be nested deeper than a body may be,
/// or where the operations copy or move more than [`PATCH_MOVED_BYTES`]: each can double what is there.
pub(crate) fn apply(document: Value, patch: &Value) -> Option<Value> {
    let mut patched = Patched { document, left: PATCH_MOVED_BYTES };
    patch.as_array()?.iter().try_for_each(|operation| patched.operation(operation))?;
    Some(patched.document)
}

struct Patched {
    document: Value,
    /// Bytes that may still be copied or moved.
    left: usize,
}

impl Patched {
    fn operation(&mut self, operation: &Value) -> Option<()> {
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let path = pointer(text("path")?);
        match text("op")? {
            "add" => self.add(&path, operation.get("value")?.clone()),
            "remove" => self.remove(&path).map(drop),
            "replace" => {
                let value = operation.get("value")?;
                size(value, BODY_DEPTH.checked_sub(path.len())?)?;
                at(&mut self.document, &path)?.clone_from(value);
                Some(())
            }
            "copy" => {
                let value = at(&mut self.document, &pointer(text("from")?))?;
                self.left = self.left.checked_sub(size(value, BODY_DEPTH)?)?;
                let value = value.clone();
                self.add(&path, value)
            }
            "move" => {
                let value = self.remove(&pointer(text("from")?))?;
                // Nothing of it is copied, but it is gone through.
                self.left = self.left.checked_sub(size(&value, BODY_DEPTH)?)?;
                self.add(&path, value)
            }
            // A member that is not there is null for the API server (evanphx/json-patch v4, `Patch.test`).
            "test" => {
                let value = at(&mut self.document, &path).map_or(&Value::Null, |value| value);
                (value == operation.get("value")?).then_some(())
            }
            _ => None,
        }
    }

    fn add(&mut self, path: &[String], value: Value) -> Option<()> {
        size(&value, BODY_DEPTH.checked_sub(path.len())?)?;
        let Some((last, parents)) = path.split_last() else {
            self.document = value;
            return Some(());
        };
        match at(&mut self.document, parents)? {
            Value::Object(members) => drop(members.insert(last.clone(), value)),
            Value::Array(items) => {
                let index = if last == "-" { items.len() } else { last.parse().ok()? };
                self.left = self.left.checked_sub(items.len().checked_sub(index)? * size_of::<Value>())?;
                items.insert(index, value);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        }
        Some(())
    }

    fn remove(&mut self, path: &[String]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        match at(&mut self.document, parents)? {
            Value::Object(members) => members.remove(last),
            Value::Array(items) => {
                let index: usize = last.parse().ok()?;
                let behind = items.len().checked_sub(index).filter(|behind| *behind > 0)?;
                self.left = self.left.checked_sub(behind * size_of::<Value>())?;
                Some(items.remove(index))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
}

/// Bytes that a value takes in memory, about; `None` if it is nested deeper than that.
fn size(value: &Value, levels: usize) -> Option<usize> {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => {
            let levels = levels.checked_sub(1)?;
            items.iter().try_fold(0, |sum: usize, item| Some(sum + size(item, levels)?))?
        }
        Value::Object(members) => {
            let levels = levels.checked_sub(1)?;
            let each =
                |sum: usize, (name, member): (&String, &Value)| Some(sum + MEMBER + name.len() + size(member, levels)?);
            members.iter().try_fold(0, each)?
        }
    };
    Some(inner + size_of::<Value>())
}

/// RFC 6901.
pub(crate) fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn at<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, part| match value {
        Value::Object(members) => members.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}
