//! Kubernetes protobuf as the JSON that Go's `json.Marshal` gives for the object it decodes. The format and its strictness are those of
//! [`crate::protobuf`].

mod message;
mod quantity;
mod special;

use super::budget::Budget;
use super::{BodyError, ProtobufProblem};
use crate::protobuf::{Envelope, MAGIC, table};
use message::Decoder;
use serde_json::{Map, Value};

pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Value, BodyError> {
    let object = Envelope::read(bytes).map_err(|fault| envelope(fault.offset, fault.problem))?;
    let table = table().map_err(|line| envelope(0, ProtobufProblem::Table(line)))?;
    let Some((id, has_type_meta)) = table.kind(object.api_version, object.kind) else {
        let (api_version, kind) = (object.api_version.to_owned(), object.kind.to_owned());
        return Err(envelope(MAGIC.len(), ProtobufProblem::UnknownKind { api_version, kind }));
    };
    let mut members = Map::new();
    if has_type_meta {
        for (name, text) in [("kind", object.kind), ("apiVersion", object.api_version)] {
            budget.entry(members.len())?;
            budget.text(name)?;
            budget.text(text)?;
            members.insert(name.to_owned(), text.into());
        }
    }
    Decoder::new(table, budget).message(id, object.raw, &mut members)?;
    Ok(Value::Object(members))
}

fn envelope(offset: usize, problem: ProtobufProblem) -> BodyError {
    BodyError::Protobuf { message: "runtime.Unknown", offset, problem }
}
