//! Which fields the JSON masker would look at. Everything else is copied as it is, whatever it says.
//!
//! The rule: of an object that is, or may hold, a Secret, a `Status` or a token, every text, map, message and raw JSON. Of anything else
//! annotations (with the names of the object that carries them) and raw JSON, at any depth; of pods also what names a Secret and how a
//! container has ended or what it waits for; of Events what they say. That is all that `frame` and `open` could react to: no other message of the table says `kind` beside `data` or
//! `message` (a test keeps it so).

use std::sync::LazyLock;

use memchr::{memchr_iter, memmem};

use crate::body::BodyError;
use crate::mask::MaskContext;
use crate::mask::frame::{Frame, Kind as ObjectKind, Role};
use crate::mask::key::Key;
use crate::protobuf::{Envelope, Field, Kind, Message, ProtobufProblem, Shape, Table, table};

/// By message: whether annotations or raw JSON stand in it at some depth.
static REACH: LazyLock<Vec<bool>> =
    LazyLock::new(|| table().map(|table| through(table, has_annotations)).unwrap_or_default());

/// The same for pods, of which is looked at how their containers have ended, and by what they name Secrets.
static REACH_OF_PODS: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let own = |message: &Message| STATES.contains(&message.name) || message.fields.iter().any(names_secret);
    table().map(|table| through(table, |message| has_annotations(message) || own(message))).unwrap_or_default()
});

/// How a container of a pod has ended, and what it waits for.
const STATES: [&str; 2] = ["core.v1.ContainerStateTerminated", "core.v1.ContainerStateWaiting"];

/// What becomes of a field in the skeleton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Not in it.
    Skip,
    Text,
    /// As an empty string: only whether it is replaced matters.
    Bytes,
    Raw,
    /// What is looked at in it.
    Message(usize),
}

/// How one object is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    table: &'static Table,
    /// The message of the object.
    pub(super) id: usize,
    /// Whether everything is looked at.
    pub(super) full: bool,
    /// Whether it is a pod, or several.
    pods: bool,
    /// Whether it is an Event, or several.
    events: bool,
}

impl Plan {
    pub(super) fn new(envelope: &Envelope<'_>, context: &MaskContext) -> Result<Self, BodyError> {
        let problem = |problem| BodyError::Protobuf { message: "runtime.Unknown", offset: 0, problem };
        let table = table().map_err(|line| problem(ProtobufProblem::Table(line)))?;
        let Some((id, _)) = table.kind(envelope.api_version, envelope.kind) else {
            let (api_version, kind) = (envelope.api_version.to_owned(), envelope.kind.to_owned());
            return Err(problem(ProtobufProblem::UnknownKind { api_version, kind }));
        };
        let mut frame = Frame::new(Role::Object, true, context.root);
        // Nothing was passed on before, so it can't come too late.
        let _fresh = frame.set_kind(envelope.kind.as_bytes());
        let secrets = envelope.kind.eq_ignore_ascii_case("SecretList");
        let full = context.guards_messages() || context.token || secrets || frame.kind != ObjectKind::Other;
        Ok(Self { table, id, full, pods: context.pods, events: context.events })
    }

    pub(super) fn message(&self, id: usize) -> Result<&'static Message, BodyError> {
        self.table.message(id).ok_or(BodyError::Protobuf { message: "", offset: 0, problem: ProtobufProblem::Table(0) })
    }

    fn reach(&self) -> &'static [bool] {
        if self.pods { &REACH_OF_PODS } else { &REACH }
    }

    /// Whether a text may be replaced for what it says, or for what stands beside it.
    pub(super) fn is_said(&self, message: &Message, field: &Field) -> bool {
        self.pods && STATES.contains(&message.name) || self.events && matches!(key(field), Key::Message | Key::Note)
    }

    /// `bytes`: what stands in the field.
    pub(super) fn look(&self, message: &Message, field: &Field, bytes: &[u8]) -> Look {
        let is = |kind: Kind| field.kind == kind;
        // What Go leaves out of its JSON too.
        let left_out = field.omit && field.shape == Shape::Plain && bytes.is_empty();
        if is(Kind::Text) && left_out {
            Look::Skip
        } else if is(Kind::Text)
            && (self.full
                || is_of_annotations(message, field)
                || self.pods && names_secret(field)
                || self.is_said(message, field))
        {
            Look::Text
        } else if is(Kind::Bytes) && self.full {
            Look::Bytes
        } else if is(Kind::Raw) && (self.full || key(field) != Key::FieldsV1 || may_hold_object(bytes)) {
            Look::Raw
        } else {
            match field.kind.message() {
                Some(id)
                    if self.full
                        || self.reach().get(id).copied().unwrap_or(true)
                        || self.pods && names_secret(field) =>
                {
                    Look::Message(id)
                }
                Some(_) | None => Look::Skip,
            }
        }
    }
}

/// Annotations or raw JSON.
fn has_annotations(message: &Message) -> bool {
    message.fields.iter().any(|field| is_annotations(field) || field.kind == Kind::Raw)
}

/// Which messages are so, or have one at some depth that is.
fn through(table: &Table, own: impl Fn(&Message) -> bool) -> Vec<bool> {
    let mut reach: Vec<bool> = table.messages().iter().map(own).collect();
    loop {
        let through = |field: &Field| field.kind.message().and_then(|id| reach.get(id)).copied().unwrap_or(false);
        let next: Vec<bool> = (table.messages().iter().zip(&reach))
            .map(|(message, known)| *known || message.fields.iter().any(through))
            .collect();
        if next == reach {
            return reach;
        }
        reach = next;
    }
}

/// `fieldsV1` are names of fields, each with a prefix. Without one of these as a whole name there is no object in them.
fn may_hold_object(fields: &[u8]) -> bool {
    const NAMES: [&[u8]; 2] = [br#""kind""#, br#""annotations""#];
    let stands = |at: usize, name: &[u8]| {
        fields.get(at..).and_then(|rest| rest.get(..name.len())).is_some_and(|text| text.eq_ignore_ascii_case(name))
    };
    memmem::find(fields, br"\u").is_some()
        || memchr_iter(b'"', fields).any(|at| NAMES.iter().any(|name| stands(at, name)))
}

fn is_annotations(field: &Field) -> bool {
    field.kind == Kind::Text && field.shape == Shape::Map && key(field) == Key::Annotations
}

/// Of a pod: says that it takes a Secret.
fn names_secret(field: &Field) -> bool {
    matches!(key(field), Key::Secret | Key::SecretName)
}

/// Annotations, and the names beside them, of which placeholders are made.
fn is_of_annotations(message: &Message, field: &Field) -> bool {
    is_annotations(field)
        || matches!(key(field), Key::Name | Key::Namespace) && message.fields.iter().any(is_annotations)
}

fn key(field: &Field) -> Key {
    field.name.map_or(Key::Other, |name| Key::of(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_takes_itself_for_an_object() {
        let table = table().unwrap();
        for message in table.messages() {
            let has = |name| message.fields.iter().any(|field| key(field) == name);
            let says = message.fields.iter().any(|field| key(field) == Key::Kind || key(field) == Key::ApiVersion);
            let meant = [Key::Data, Key::StringData, Key::Message, Key::Items, Key::Metadata, Key::Token];
            assert!(!(says && meant.into_iter().any(has)), "{}", message.name);
            assert!(message.fields.iter().all(|field| key(field) != Key::Annotations || is_annotations(field)));
        }
    }

    #[test]
    fn fields_that_hold_names_are_not_read() {
        let names =
            br#"{"f:metadata":{"f:annotations":{".":{}}},"f:involvedObject":{"f:kind":{},"k:{\"kind\":\"x\"}":{}}}"#;
        assert!(!may_hold_object(names));
        for text in
            [r#"{"kind":"Secret"}"#, r#"{"a":{"Kind" : 1}}"#, r#"{"annotations":{}}"#, r#"{"\u006bind":"Secret"}"#]
        {
            assert!(may_hold_object(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_holds_nothing_is_not_looked_at() {
        let table = table().unwrap();
        let reaches = |name: &str| REACH[table.messages().iter().position(|message| message.name == name).unwrap()];
        for name in ["meta.v1.ObjectMeta", "core.v1.Pod", "core.v1.PodSpec", "apps.v1.ControllerRevision"] {
            assert!(reaches(name), "{name}");
        }
        for name in ["core.v1.Container", "core.v1.PodStatus", "core.v1.Affinity", "meta.v1.ListMeta"] {
            assert!(!reaches(name), "{name}");
        }
    }
}
