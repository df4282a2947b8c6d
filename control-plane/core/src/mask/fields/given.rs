//! Whether a write gives a field that policy masks a value of its own, and not what was shown of it.

use serde_json::Value;

use super::pattern::fits;
use super::rename::leads;
use super::{MaskedFields, Step, is_placeholder};
use crate::body::Encoding;
use crate::mask::changes::pointer;

impl MaskedFields {
    /// Of the body of a write.
    pub(crate) fn are_given(&self, encoding: Encoding, body: &Value) -> bool {
        self.0.iter().map(super::Pattern::steps).any(|steps| match encoding {
            Encoding::JsonPatch => body.as_array().into_iter().flatten().any(|operation| puts(steps, operation)),
            Encoding::Json
            | Encoding::Yaml
            | Encoding::Protobuf
            | Encoding::MergePatch
            | Encoding::StrategicMergePatch
            | Encoding::ApplyPatch => gives(steps, body),
        })
    }
}

/// An operation of a JSON Patch. In a list any element may be meant.
fn puts(steps: &[Step], operation: &Value) -> bool {
    let (Some(path), Some(value)) = (operation.get("path").and_then(Value::as_str), operation.get("value")) else {
        return false;
    };
    let place = pointer(path);
    steps.iter().zip(&place).all(|(step, part)| leads(step, part))
        && gives(steps.get(place.len()..).unwrap_or_default(), value)
}

/// No deeper than there are steps, and than serde_json reads.
fn gives(steps: &[Step], value: &Value) -> bool {
    match (steps.split_first(), value) {
        (None, Value::Array(items)) => items.iter().any(|item| gives(&[], item)),
        (None, Value::Object(members)) => members.values().any(|member| gives(&[], member)),
        (None, Value::String(text)) => !is_placeholder(text),
        (None, Value::Bool(_) | Value::Number(_)) => true,
        (Some((Step::Member(pattern), rest)), Value::Object(members)) => {
            members.iter().any(|(name, member)| fits(pattern, name) && gives(rest, member))
        }
        (Some((Step::Elements, rest)), Value::Array(items)) => items.iter().any(|item| gives(rest, item)),
        (Some((Step::Where(name, pattern), rest)), Value::Array(items)) => items.iter().any(|item| {
            // What is not named may be meant.
            let named = item.get(name).and_then(Value::as_str).is_none_or(|own| fits(pattern, own));
            named && gives(rest, item)
        }),
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))
        | (Some(_), Value::Array(_) | Value::Object(_)) => false,
    }
}
