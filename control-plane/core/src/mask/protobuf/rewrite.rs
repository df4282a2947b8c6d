//! The message written again: what the masker changed in the skeleton is put in, with new lengths above it; everything else is copied
//! byte for byte. Runs over bytes that `skeleton` has read, so errors are faults of ours, upon which nothing passes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::plan::{Look, Plan};
use super::skeleton::{entry, inside, raw};
use super::{ProtobufMaskError, put};
use crate::body::{Budget, json};
use crate::protobuf::wire::{self, Fields};
use crate::protobuf::{Field, Message, Shape};

type Changed = Result<Option<Vec<u8>>, ProtobufMaskError>;

/// The message as `masked` says; `None`: it stays as it is.
pub(super) fn message(plan: &Plan, id: usize, bytes: &[u8], masked: &Map<String, Value>) -> Changed {
    let message = plan.message(id)?;
    let mut out = Vec::new();
    let (mut copied, mut last, mut index) = (0, 0, 0);
    let mut fields = Fields::new(bytes);
    while let Some(found) = fields.next().map_err(|fault| inside(message, fault))? {
        index = if found.number == last { index + 1 } else { 0 };
        last = found.number;
        let Some(field) = message.field(found.number) else { continue };
        let Some(new) = member(plan, message, field, &found, index, masked)? else { continue };
        out.extend_from_slice(bytes.get(copied..found.offset).unwrap_or_default());
        put(field.number, &new, &mut out);
        copied = fields.offset();
    }
    if copied == 0 {
        return Ok(None);
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok(Some(out))
}

/// One field; of a list or map the element with this index.
fn member(
    plan: &Plan,
    message: &'static Message,
    field: &Field,
    found: &wire::Field<'_>,
    index: usize,
    masked: &Map<String, Value>,
) -> Changed {
    let look = plan.look(message, field, found.bytes);
    let lost = ProtobufMaskError::Lost { message: message.name, field: field.number };
    let name = match (look, field.name) {
        (Look::Skip, _) => return Ok(None),
        (Look::Message(id), None) => return self::message(plan, id, found.bytes, masked),
        (_, None) => return Err(lost),
        (_, Some(name)) => name,
    };
    let Some(member) = masked.get(name) else { return Err(lost) };
    match field.shape {
        Shape::Plain | Shape::Pointer => value(plan, look, found.bytes, member, lost),
        Shape::List => match member.get(index) {
            Some(element) => value(plan, look, found.bytes, element, lost),
            None => Err(lost),
        },
        Shape::Map => {
            let (key, old) = entry(message, field, found)?;
            let Some(element) = member.get(key) else { return Err(lost) };
            let new = value(plan, look, old.bytes, element, lost)?;
            Ok(new.map(|new| {
                let mut entry = Vec::new();
                put(1, key.as_bytes(), &mut entry);
                put(2, &new, &mut entry);
                entry
            }))
        }
    }
}

/// The content of a field that is now `masked`; `None`: it stays. `lost`: it can't be that.
fn value(plan: &Plan, look: Look, bytes: &[u8], masked: &Value, lost: ProtobufMaskError) -> Changed {
    match (look, masked) {
        (Look::Text, Value::String(text)) if text.as_bytes() == bytes => Ok(None),
        (Look::Text, Value::String(text)) => Ok(Some(text.as_bytes().to_vec())),
        (Look::Bytes, Value::String(text)) if text.is_empty() => Ok(None),
        (Look::Bytes, Value::String(text)) => STANDARD.decode(text).map(Some).map_err(|_| lost),
        (Look::Message(id), Value::Object(members)) => message(plan, id, bytes, members),
        (Look::Raw, new) => {
            let old = match raw(bytes) {
                Ok(Some(text)) => json::read(text, &mut Budget::default())?,
                Ok(None) => Value::Null,
                Err(_) => return Err(lost),
            };
            Ok((old != *new).then(|| {
                let mut out = Vec::new();
                put(1, new.to_string().as_bytes(), &mut out);
                out
            }))
        }
        (Look::Skip | Look::Text | Look::Bytes | Look::Message(_), _) => Err(lost),
    }
}
