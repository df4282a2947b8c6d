//! Decodes a message by the table: first all fields from the wire, then the JSON members in the order of their numbers.

use super::{quantity, special};
use crate::body::budget::Budget;
use crate::body::{BodyError, ProtobufProblem, json, number};
use crate::protobuf::wire::{self, Fault, Fields};
use crate::protobuf::{Field, Kind, Message, Shape, Table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

pub(super) struct Decoder<'a> {
    table: &'static Table,
    budget: &'a mut Budget,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(table: &'static Table, budget: &'a mut Budget) -> Self {
        Self { table, budget }
    }

    /// Adds the members of one message to `object`. No bytes stand for Go's zero value.
    pub(super) fn message(
        &mut self,
        id: usize,
        bytes: &[u8],
        object: &mut Map<String, Value>,
    ) -> Result<(), BodyError> {
        let Some(message) = self.table.message(id) else {
            return Err(BodyError::Protobuf { message: "", offset: 0, problem: ProtobufProblem::Table(0) });
        };
        self.budget.enter()?;
        let mut values = vec![None; message.fields.len()];
        let mut fields = Fields::new(bytes);
        while let Some(found) = fields.next().map_err(|fault| inside(message, fault))? {
            let index = message.position(found.number);
            let known = index.and_then(|index| Some((message.fields.get(index)?, values.get_mut(index)?)));
            let Some((field, slot)) = known else {
                return Err(inside(message, found.problem(ProtobufProblem::UnknownField(found.number))));
            };
            self.field(message, field, &found, slot)?;
        }
        for (field, value) in message.fields.iter().zip(values) {
            self.emit(field, value, object)?;
        }
        self.budget.leave();
        Ok(())
    }

    /// Puts one field from the wire into its slot.
    fn field(
        &mut self,
        message: &'static Message,
        field: &Field,
        found: &wire::Field<'_>,
        slot: &mut Option<Value>,
    ) -> Result<(), BodyError> {
        let duplicate = || inside(message, found.problem(ProtobufProblem::Duplicate(field.number)));
        let wire = if field.shape == Shape::Map { wire::BYTES } else { field.kind.wire() };
        found.expect_wire(field.number, wire).map_err(|fault| inside(message, fault))?;
        match field.shape {
            Shape::Plain | Shape::Pointer => {
                if slot.is_some() {
                    return Err(duplicate());
                }
                *slot = Some(self.value(message, field, found)?);
            }
            Shape::List => {
                self.budget.enter()?;
                let item = self.value(message, field, found)?;
                self.budget.leave();
                if let Value::Array(items) = slot.get_or_insert_with(|| Value::Array(Vec::new())) {
                    if items.len() == items.capacity() {
                        self.budget.places(items.len())?;
                    }
                    items.push(item);
                }
            }
            Shape::Map => {
                self.budget.enter()?;
                let (key, item) = self.entry(message, field, found)?;
                self.budget.leave();
                if let Value::Object(map) = slot.get_or_insert_with(|| Value::Object(Map::new())) {
                    self.counted(&key, map)?;
                    if map.insert(key, item).is_some() {
                        return Err(duplicate());
                    }
                }
            }
        }
        Ok(())
    }

    /// A map entry is a message of key (1) and value (2). Go leaves out a value that is nil bytes, and reads it as empty.
    fn entry(
        &mut self,
        message: &'static Message,
        field: &Field,
        found: &wire::Field<'_>,
    ) -> Result<(String, Value), BodyError> {
        let entry = wire::few(found.bytes, [wire::BYTES, field.kind.wire()]).map_err(|fault| inside(message, fault))?;
        let [Some(key), value] = entry else {
            return Err(inside(message, found.fault(field.number, "a map entry with a key")));
        };
        let key = key.text(field.number).map_err(|fault| inside(message, fault))?.to_owned();
        let value = match value {
            Some(value) => self.value(message, field, &value)?,
            None => self.zero(field.kind)?,
        };
        // In a map Go starts from an empty value, elsewhere from nil.
        let value = match (field.kind, value) {
            (Kind::Bytes, Value::Null) => Value::String(String::new()),
            (Kind::WrappedList, Value::Null) => Value::Array(Vec::new()),
            (_, value) => value,
        };
        Ok((key, value))
    }

    fn value(&mut self, message: &'static Message, field: &Field, found: &wire::Field<'_>) -> Result<Value, BodyError> {
        self.budget.node()?;
        let read = match field.kind {
            Kind::Text => found.text(field.number).map(Value::from),
            Kind::Bool => found.boolean(field.number).map(Value::Bool),
            Kind::Int32 => found.int32(field.number).map(Value::from),
            Kind::Int64 => Ok(found.int64().into()),
            Kind::Double => number::of_float(f64::from_bits(found.varint))
                .map(Value::Number)
                .ok_or_else(|| found.fault(field.number, "a finite number")),
            Kind::Bytes => Ok(STANDARD.encode(found.bytes).into()),
            Kind::Time => special::time(found.bytes),
            Kind::MicroTime => special::micro_time(found.bytes),
            Kind::IntOrString => special::int_or_string(found.bytes),
            Kind::Quantity => quantity::read(found.bytes),
            Kind::WrappedList => return self.wrapped_list(message, found.bytes),
            Kind::Raw => return self.raw(message, found.bytes),
            Kind::SchemaOrBool(id) => Ok(special::schema_or_bool(self.object(id, found.bytes)?)),
            Kind::SchemaOrArray(id) => special::schema_or(self.object(id, found.bytes)?, "jSONSchemas", found),
            Kind::SchemaOrStringArray(id) => special::schema_or(self.object(id, found.bytes)?, "property", found),
            Kind::Message(id) => Ok(Value::Object(self.object(id, found.bytes)?)),
        };
        let read = read.map_err(|fault| inside(message, fault))?;
        if let Value::String(text) = &read {
            self.budget.text(text)?;
        }
        Ok(read)
    }

    /// A member of that name that comes into a map.
    fn counted(&mut self, name: &str, map: &Map<String, Value>) -> Result<(), BodyError> {
        self.budget.entry(map.len())?;
        self.budget.text(name)
    }

    /// `Verbs`, `ExtraValue`.
    fn wrapped_list(&mut self, message: &'static Message, bytes: &[u8]) -> Result<Value, BodyError> {
        let mut items = Vec::new();
        let mut fields = Fields::new(bytes);
        while let Some(item) = fields.next().map_err(|fault| inside(message, fault))? {
            self.budget.node()?;
            let item = special::string_item(&item).map_err(|fault| inside(message, fault))?;
            if let Value::String(text) = &item {
                self.budget.text(text)?;
            }
            if items.len() == items.capacity() {
                self.budget.places(items.len())?;
            }
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    /// `RawExtension`, `FieldsV1`, `JSON`: JSON text (1) that stands for itself, null without it. Other content (CBOR, a nested protobuf
    /// object) is refused as what it is: no JSON.
    fn raw(&mut self, message: &'static Message, bytes: &[u8]) -> Result<Value, BodyError> {
        match wire::few(bytes, [wire::BYTES]) {
            Ok([Some(text)]) => json::read(text.bytes, self.budget),
            Ok([None]) => Ok(Value::Null),
            Err(fault) => Err(inside(message, fault)),
        }
    }

    fn object(&mut self, id: usize, bytes: &[u8]) -> Result<Map<String, Value>, BodyError> {
        let mut object = Map::new();
        self.message(id, bytes, &mut object)?;
        Ok(object)
    }

    /// Writes a member as `encoding/json` does: left out, null, zero, or the value.
    fn emit(&mut self, field: &Field, value: Option<Value>, object: &mut Map<String, Value>) -> Result<(), BodyError> {
        let value = match (value, field.shape) {
            (Some(value), Shape::Plain) if field.omit && is_empty(&value) => return Ok(()),
            (Some(value), _) => value,
            (None, Shape::Pointer | Shape::List | Shape::Map) if field.omit => return Ok(()),
            (None, Shape::Pointer | Shape::List | Shape::Map) => Value::Null,
            (None, Shape::Plain) => match self.zero(field.kind)? {
                zero if field.omit && is_empty(&zero) => return Ok(()),
                zero => zero,
            },
        };
        match (field.name, value) {
            (Some(name), value) => {
                self.counted(name, object)?;
                object.insert(name.to_owned(), value);
            }
            (None, Value::Object(inlined)) => {
                for (name, value) in inlined {
                    self.counted(&name, object)?;
                    object.insert(name, value);
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// What Go has, in JSON, where nothing was on the wire.
    fn zero(&mut self, kind: Kind) -> Result<Value, BodyError> {
        self.budget.node()?;
        Ok(match kind {
            Kind::Text => Value::String(String::new()),
            Kind::Bool | Kind::SchemaOrBool(_) => Value::Bool(false),
            Kind::Int32 | Kind::Int64 | Kind::Double | Kind::IntOrString => 0.into(),
            Kind::Quantity => {
                self.budget.text("0")?;
                "0".into()
            }
            Kind::Bytes
            | Kind::Time
            | Kind::MicroTime
            | Kind::Raw
            | Kind::WrappedList
            | Kind::SchemaOrArray(_)
            | Kind::SchemaOrStringArray(_) => Value::Null,
            Kind::Message(id) => Value::Object(self.object(id, &[])?),
        })
    }
}

/// Go's "empty" for `omitempty`, and the zero time for `omitzero`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) | Value::Bool(true) => false,
    }
}

fn inside(message: &'static Message, fault: Fault) -> BodyError {
    BodyError::Protobuf { message: message.name, offset: fault.offset, problem: fault.problem }
}
