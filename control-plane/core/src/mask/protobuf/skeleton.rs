//! An object's message, read once and strictly from end to end; what [`Plan`] looks at is written as the JSON that the API server would
//! have sent, in its order, for the JSON masker to judge.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr2, memmem};

use super::plan::{Look, Plan};
use crate::body::{BodyError, Budget, json};
use crate::mask::bytes::escape_into;
use crate::mask::{LAST_APPLIED, release};
use crate::protobuf::wire::{self, Fault, Fields};
use crate::protobuf::{Envelope, Field, Kind, MAGIC, Message, ProtobufProblem, Shape};

/// The message of a Secret.
const SECRET: &str = "core.v1.Secret";

/// The skeleton of an object; `None`: the masker would have nothing to say about it.
pub(super) fn skeleton(plan: &Plan, envelope: &Envelope<'_>) -> Result<Option<Vec<u8>>, BodyError> {
    let mut skeleton = Skeleton { plan, budget: Budget::default(), json: Vec::new(), judged: plan.full };
    skeleton.json.extend_from_slice(br#"{"kind":"#);
    skeleton.string(envelope.kind);
    skeleton.json.extend_from_slice(br#","apiVersion":"#);
    skeleton.string(envelope.api_version);
    skeleton.message(plan.id, envelope.raw, true)?;
    skeleton.json.push(b'}');
    Ok(skeleton.judged.then_some(skeleton.json))
}

struct Skeleton<'a> {
    plan: &'a Plan,
    budget: Budget,
    json: Vec<u8>,
    /// An annotation or raw JSON is in it.
    judged: bool,
}

/// A list or map whose elements are being read.
struct Open<'a> {
    number: u64,
    end: &'static [u8],
    keys: HashSet<&'a str>,
}

impl Skeleton<'_> {
    /// Reads a message; `wanted`: its members go into the skeleton, where those of an inlined message are its parent's.
    fn message(&mut self, id: usize, bytes: &[u8], wanted: bool) -> Result<(), BodyError> {
        let message = self.plan.message(id)?;
        self.budget.enter()?;
        let mut open = Open { number: 0, end: b"", keys: HashSet::new() };
        let mut fields = Fields::new(bytes);
        while let Some(found) = fields.next().map_err(|fault| inside(message, fault))? {
            let again = found.number == open.number;
            if !again {
                // Nobody writes them otherwise, and so what a thing is comes before what is in it.
                if found.number < open.number {
                    return Err(inside(message, found.problem(ProtobufProblem::Order(found.number))));
                }
                self.json.extend_from_slice(open.end);
                open = Open { number: found.number, end: b"", keys: HashSet::new() };
            }
            let Some(field) = message.field(found.number) else {
                self.unknown(message, &found)?;
                continue;
            };
            let wire = if field.shape == Shape::Map { wire::BYTES } else { field.kind.wire() };
            found.expect_wire(field.number, wire).map_err(|fault| inside(message, fault))?;
            if again && matches!(field.shape, Shape::Plain | Shape::Pointer) {
                return Err(inside(message, found.problem(ProtobufProblem::Duplicate(field.number))));
            }
            let look = if wanted { self.plan.look(message, field, found.bytes) } else { Look::Skip };
            if look != Look::Skip {
                self.budget.node()?;
                self.open(field, again, &mut open);
            }
            self.field(message, field, look, &found, &mut open)?;
        }
        self.json.extend_from_slice(open.end);
        self.budget.leave();
        Ok(())
    }

    /// The name of a member, and the bracket of a list or map, once.
    fn open(&mut self, field: &Field, again: bool, open: &mut Open<'_>) {
        let Some(name) = field.name else { return };
        self.comma();
        if !again {
            self.string(name);
            self.json.push(b':');
            let (start, end): (&[u8], &'static [u8]) = match field.shape {
                Shape::Plain | Shape::Pointer => (b"", b""),
                Shape::List => (b"[", b"]"),
                Shape::Map => (b"{", b"}"),
            };
            self.json.extend_from_slice(start);
            open.end = end;
        }
    }

    fn field<'a>(
        &mut self,
        message: &'static Message,
        field: &Field,
        look: Look,
        found: &wire::Field<'a>,
        open: &mut Open<'a>,
    ) -> Result<(), BodyError> {
        if field.shape != Shape::Map {
            return self.value(message, field, look, found);
        }
        let (key, value) = entry(message, field, found)?;
        if look != Look::Skip {
            if !open.keys.insert(key) {
                return Err(inside(message, found.problem(ProtobufProblem::Duplicate(field.number))));
            }
            self.string(key);
            self.json.push(b':');
        }
        // A release of helm's is looked into.
        if look == Look::Bytes && message.name == SECRET && key == release::FIELD {
            self.string(&STANDARD.encode(value.bytes));
            return Ok(());
        }
        self.value(message, field, look, &value)
    }

    /// A value on the wire; written unless it is skipped.
    fn value(
        &mut self,
        message: &'static Message,
        field: &Field,
        look: Look,
        found: &wire::Field<'_>,
    ) -> Result<(), BodyError> {
        match (look, field.kind) {
            (_, Kind::Text) => {
                let text = found.text(field.number).map_err(|fault| inside(message, fault))?;
                if look == Look::Text {
                    self.judged |= field.shape == Shape::Map || self.plan.is_said(message, field);
                    self.string(text);
                }
            }
            (Look::Bytes, _) => self.json.extend_from_slice(br#""""#),
            (Look::Raw, _) => {
                self.judged = true;
                let text = raw(found.bytes).map_err(|fault| inside(message, fault))?;
                if let Some(text) = text {
                    // One value and nothing beside it, or it could go on where it doesn't stand.
                    json::read(text, &mut self.budget)?;
                }
                self.json.extend_from_slice(text.unwrap_or(b"null"));
            }
            (Look::Message(id), _) if field.name.is_none() => self.message(id, found.bytes, true)?,
            (Look::Message(id), _) => {
                self.json.push(b'{');
                self.message(id, found.bytes, true)?;
                self.json.push(b'}');
            }
            (Look::Skip | Look::Text, kind) => {
                if let Some(id) = kind.message() {
                    self.message(id, found.bytes, false)?;
                }
            }
        }
        Ok(())
    }

    /// A field of a newer API. Nothing in it may be an annotation or an object that would be masked: those begin with a bracket. Where
    /// everything is looked at, nothing may be unknown.
    fn unknown(&self, message: &'static Message, found: &wire::Field<'_>) -> Result<(), BodyError> {
        let may_hold = |bytes: &[u8]| {
            memchr2(b'{', b'[', bytes).is_some()
                || memmem::find(bytes, LAST_APPLIED.as_bytes()).is_some()
                || memmem::find(bytes, MAGIC).is_some()
        };
        if self.plan.full || found.number == 0 || may_hold(found.bytes) {
            return Err(inside(message, found.problem(ProtobufProblem::UnknownField(found.number))));
        }
        Ok(())
    }

    /// After anything but an opening bracket. (No value ends with one.)
    fn comma(&mut self) {
        if !matches!(self.json.last(), Some(b'{' | b'[')) {
            self.json.push(b',');
        }
    }

    fn string(&mut self, text: &str) {
        self.json.push(b'"');
        escape_into(text.as_bytes(), &mut self.json);
        self.json.push(b'"');
    }
}

/// A map entry: a message of key (1) and value (2). Go leaves out a value that is nil bytes, and reads it as empty.
pub(super) fn entry<'a>(
    message: &'static Message,
    field: &Field,
    found: &wire::Field<'a>,
) -> Result<(&'a str, wire::Field<'a>), BodyError> {
    let entry = wire::few(found.bytes, [wire::BYTES, field.kind.wire()]).map_err(|fault| inside(message, fault))?;
    let [Some(key), value] = entry else {
        return Err(inside(message, found.fault(field.number, "a map entry with a key")));
    };
    let key = key.text(field.number).map_err(|fault| inside(message, fault))?;
    let nothing = wire::Field { number: 2, wire: wire::BYTES, varint: 0, bytes: &[], offset: found.offset };
    Ok((key, value.unwrap_or(nothing)))
}

/// The JSON text in a `RawExtension`, `FieldsV1` or `JSON`.
pub(super) fn raw(bytes: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let [text] = wire::few(bytes, [wire::BYTES])?;
    Ok(text.map(|text| text.bytes))
}

pub(super) fn inside(message: &'static Message, fault: Fault) -> BodyError {
    BodyError::Protobuf { message: message.name, offset: fault.offset, problem: fault.problem }
}
