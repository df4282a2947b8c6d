//! The same masking for a document that is parsed anyway: plain recursion, in which everything about an object is known before any of
//! it is judged. The scanner is tested against it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain or the stricter one; a new place in a document must fall into it"
)]

use serde_json::{Map, Value};
use shared::limits::{MASK_MESSAGE_BYTES, MASK_NESTED_DOCUMENTS};

use super::annotation::{may_carry_value, may_quote_secret};
use super::frame::{Frame, Kind, Presumed, Role};
use super::key::Key;
use super::managed::empty_fields_of_data;
use super::masker::{Carrier, Documents, Masker};
use super::placeholder::Field;
use super::request::Room;
use super::status::{self, Part};
use super::{LAST_APPLIED, LAST_WORDS, MaskContext, MaskError, cut_name, fields, is_runtimes, printed};
use crate::body::{Budget, json};

/// Masks a parsed document in place and says how many values were replaced. serde_json reads no deeper than 128, which bounds the recursion.
pub(super) fn mask_all(value: &mut Value, context: &MaskContext, room: &mut Room) -> usize {
    let mut walk = Walk {
        context,
        carrier: Carrier::default(),
        own: false,
        may_be_secret: false,
        status_of_secret: false,
        has_secrets: false,
        level: 0,
        namespace: context.namespace.clone(),
        name: context.name.clone(),
        named: false,
        ordinal: 0,
        masked: 0,
        room,
    };
    match value {
        Value::Array(items) if context.guards_messages() => {
            items.iter_mut().for_each(|item| walk.patch_operation(item))
        }
        _ => walk.root(value, context.root, true),
    }
    let masked = walk.masked;
    if value.is_array() {
        return masked;
    }
    masked + usize::try_from(fields::mask(value, context, room)).unwrap_or(usize::MAX)
}

/// Masks a document that stands in a text of another object, with placeholders of their own for that.
pub(super) fn mask_carried(value: &mut Value, context: &MaskContext, carrier: Carrier) -> usize {
    let mut walk = Walk {
        context,
        own: false,
        may_be_secret: false,
        status_of_secret: false,
        has_secrets: false,
        level: 1,
        namespace: carrier.namespace.clone(),
        name: carrier.name.clone(),
        carrier,
        named: false,
        ordinal: 0,
        masked: 0,
        room: &mut Room::endless(),
    };
    walk.root(value, Presumed::Anything, true);
    walk.masked
}

struct Walk<'a> {
    context: &'a MaskContext,
    carrier: Carrier,
    /// See [`Masker`]'s.
    own: bool,
    /// The innermost object around here.
    may_be_secret: bool,
    /// The details of the innermost object name Secrets.
    status_of_secret: bool,
    /// The innermost object with metadata around here is a pod that names a Secret.
    has_secrets: bool,
    level: u8,
    namespace: String,
    name: String,
    named: bool,
    ordinal: u64,
    masked: usize,
    room: &'a mut Room,
}

impl Walk<'_> {
    /// A document, or an element of a list.
    fn root(&mut self, value: &mut Value, presumed: Presumed, root: bool) {
        match value {
            Value::Object(map) => self.map(map, Some(presumed), root),
            Value::Array(_) => self.items(value, presumed),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// An operation of a JSON Patch on a Secret: only what goes into labels is known to be no value.
    fn patch_operation(&mut self, operation: &mut Value) {
        let Value::Object(members) = operation else { return };
        let labels =
            members.get("path").and_then(Value::as_str).is_some_and(|path| path.starts_with("/metadata/labels"));
        if let Some(value) = members.get_mut("value")
            && !labels
        {
            self.replace(value, "Secret", "patch", "", false);
        }
    }

    /// `position` is what is assumed of the map where an object is expected, `None` elsewhere.
    fn map(&mut self, map: &mut Map<String, Value>, position: Option<Presumed>, root: bool) {
        let role = if position.is_some() { Role::Object } else { Role::Plain };
        let mut frame = Frame::new(role, true, position.unwrap_or(Presumed::NotSecret));
        // Nothing has been passed on yet, so neither can come too late.
        let text = |name: &str| map.get(name).and_then(Value::as_str).map(str::as_bytes);
        let _kind = text("kind").map(|kind| frame.set_kind(kind));
        let _api = text("apiVersion").map(|api| frame.set_api(api));
        let before = (self.may_be_secret, self.status_of_secret);
        let pod_before = self.has_secrets;
        let is_subject = frame.is_object() && map.get("metadata").is_some_and(Value::is_object);
        self.has_secrets &= !is_subject;
        let mut outer = None;
        if frame.is_object() {
            outer = Some((self.namespace.clone(), self.name.clone(), self.named));
            self.enter(map);
            let kind = map.get("details").and_then(|details| details.get("kind")).and_then(Value::as_str);
            let names_secrets = |kind: &str| ["secret", "secrets"].contains(&kind.to_ascii_lowercase().as_str());
            (self.may_be_secret, self.status_of_secret) = (frame.is_secret(true), kind.is_some_and(names_secrets));
        }
        for (name, value) in map.iter_mut() {
            self.member(&frame, root, name, value);
        }
        if is_subject {
            self.has_secrets = pod_before;
        }
        if let Some(outer) = outer {
            (self.namespace, self.name, self.named) = outer;
            (self.may_be_secret, self.status_of_secret) = before;
        }
    }

    fn enter(&mut self, map: &Map<String, Value>) {
        let own = |name: &str| map.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
        let or = |own: Option<&str>, other: &str| own.filter(|own| !own.is_empty()).map_or(other, cut_name).to_owned();
        self.named = own("name").is_some_and(|name| !name.is_empty());
        self.namespace = or(own("namespace"), &self.context.namespace);
        self.name = or(own("name"), &self.context.name);
        if self.level > 0 {
            self.namespace = or(own("namespace"), &self.carrier.namespace);
            self.name = or(own("name"), &self.carrier.name);
        }
    }

    fn member(&mut self, frame: &Frame, root: bool, name: &str, value: &mut Value) {
        let secret = frame.is_secret(frame.role == Role::Object);
        let silent = frame.kind == Kind::Unknown && frame.presumed == Presumed::Secret;
        let is_status = frame.kind == Kind::Status || silent;
        let holds_token = frame.kind == Kind::Token || self.context.token && frame.role == Role::Object;
        match (Key::of(name.as_bytes()), &mut *value) {
            (Key::Data | Key::StringData, _) if secret => self.section(name, value, root && self.own),
            (Key::Metadata, Value::Object(metadata)) if frame.is_object() => self.metadata(frame, metadata),
            (Key::Annotations, Value::Object(annotations)) => self.annotations((false, false), annotations),
            (Key::Items, Value::Array(_)) if frame.is_object() => self.items(value, frame.presumed_of_items(true)),
            (Key::Rows, Value::Array(rows)) if frame.role == Role::Object => {
                let silent = frame.presumed == Presumed::Secret;
                let presumed = if silent { Presumed::Secret } else { Presumed::Anything };
                rows.iter_mut().for_each(|row| self.row(row, presumed));
            }
            (Key::Object, Value::Object(object)) if root => self.map(object, Some(frame.presumed), false),
            (key, Value::String(text)) if is_status && Part::of_status(key).is_some() => {
                self.of_status(Part::of_status(key).unwrap_or(Part::Message), text);
                if key == Key::Message && frame.role == Role::Object {
                    self.of_event(text);
                }
            }
            (Key::Message | Key::Note, Value::String(text)) if frame.role == Role::Object => self.of_event(text),
            (Key::Details, Value::Object(details)) if is_status => self.details(details),
            (Key::Status | Key::Spec, Value::Object(holder)) if holds_token => self.token_holder(holder),
            (Key::Secret, Value::Object(_) | Value::Array(_)) | (Key::SecretName, Value::String(_)) => {
                self.has_secrets |= self.context.pods && self.level == 0;
                self.plain(value);
            }
            (Key::Terminated, Value::Object(members)) if self.has_secrets => {
                self.state(members, |reason| !is_runtimes(reason), LAST_WORDS);
            }
            (Key::Waiting, Value::Object(members)) if self.has_secrets => {
                self.state(members, printed::is_hooks, printed::PRINTED)
            }
            _ => self.plain(value),
        }
    }

    fn plain(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => self.map(map, None, false),
            Value::Array(items) => items.iter_mut().for_each(|item| self.plain(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// How a container has ended, or what it waits for. `own`: whether the words are the container's for that reason.
    fn state(&mut self, members: &mut Map<String, Value>, own: fn(&[u8]) -> bool, words: &str) {
        let reason = members.get("reason").and_then(Value::as_str).map(str::as_bytes);
        let own_words = reason.is_none_or(own);
        for (name, value) in members.iter_mut() {
            if own_words && name == "message" && !value.is_null() {
                *value = Value::String(words.to_owned());
                self.masked += 1;
                self.room.take();
            } else if own_words {
                self.misplaced(name, value);
            } else {
                self.plain(value);
            }
        }
    }

    fn items(&mut self, value: &mut Value, presumed: Presumed) {
        for item in value.as_array_mut().into_iter().flatten() {
            self.root(item, presumed, false);
        }
    }

    fn row(&mut self, row: &mut Value, presumed: Presumed) {
        let Value::Object(members) = row else { return self.plain(row) };
        for (name, value) in members {
            match value {
                Value::Object(object) if name == "object" => self.map(object, Some(presumed), false),
                Value::Array(cells) if name == "cells" && self.context.events => {
                    cells.iter_mut().for_each(|cell| self.cell(cell));
                }
                _ => self.misplaced(name, value),
            }
        }
    }

    fn cell(&mut self, cell: &mut Value) {
        match cell {
            Value::String(text) => self.of_event(text),
            _ => self.plain(cell),
        }
    }

    /// What an Event says, if it is one.
    fn of_event(&mut self, text: &mut String) {
        if !self.context.events || self.level > 0 {
            return;
        }
        let long = text.len() > MASK_MESSAGE_BYTES;
        if let Some(shown) = if long { Some(printed::PRINTED.to_owned()) } else { printed::without(text) } {
            self.masked += 1;
            self.room.take();
            *text = shown;
        }
    }

    fn token_holder(&mut self, holder: &mut Map<String, Value>) {
        for (name, value) in holder.iter_mut() {
            if name == "token" {
                self.replace(value, "Token", "token", "", false);
            } else {
                self.misplaced(name, value);
            }
        }
    }

    fn section(&mut self, name: &str, value: &mut Value, own: bool) {
        let section = if name.eq_ignore_ascii_case("data") { "data" } else { "stringData" };
        self.ordinal += 1;
        match value {
            Value::Object(fields) if self.room.is_for(fields.len()) => {
                for (key, field) in fields.iter_mut() {
                    self.replace(field, "Secret", section, key, own);
                }
            }
            _ => self.replace(value, "Secret", section, "", own),
        }
    }

    fn metadata(&mut self, frame: &Frame, metadata: &mut Map<String, Value>) {
        for (name, value) in metadata.iter_mut() {
            match (Key::of(name.as_bytes()), &mut *value) {
                (Key::Annotations, Value::Object(annotations)) => {
                    self.annotations((frame.is_secret(false), frame.is_secret(true)), annotations)
                }
                (Key::ManagedFields, Value::Array(entries)) => {
                    entries.iter_mut().for_each(|entry| self.managed(frame.is_secret(true), entry));
                }
                _ => self.misplaced(name, value),
            }
        }
    }

    /// A member of what has no `data` of its own: where it has one, that is a Secret's where nobody expects any.
    fn misplaced(&mut self, name: &str, value: &mut Value) {
        match Key::of(name.as_bytes()) {
            Key::Data | Key::StringData => self.section(name, value, false),
            Key::Annotations if value.is_object() => {
                if let Value::Object(annotations) = value {
                    self.annotations((false, false), annotations);
                }
            }
            _ => self.plain(value),
        }
    }

    /// Names of fields, no objects; anything else is looked at.
    fn managed(&mut self, of_secret: bool, entry: &mut Value) {
        let Value::Object(members) = entry else { return self.plain(entry) };
        for (name, value) in members {
            match value {
                Value::Object(fields) if name == "fieldsV1" => {
                    if of_secret {
                        empty_fields_of_data(fields);
                    }
                    fields
                        .iter_mut()
                        .filter(|(name, _)| is_data(name))
                        .for_each(|(name, value)| self.section(name, value, false));
                }
                _ => self.misplaced(name, value),
            }
        }
    }

    fn annotations(&mut self, (of_secret, may_carry): (bool, bool), annotations: &mut Map<String, Value>) {
        for (name, value) in annotations.iter_mut() {
            match value {
                Value::String(text) => {
                    let strict = name == LAST_APPLIED;
                    let blank = [' ', '\n', '\r', '\t'];
                    let bracketed = text.trim_start_matches(blank).starts_with(['{', '[']);
                    if !strict && may_carry && (bracketed || may_carry_value(text.as_bytes())) {
                        self.replace(value, "Annotation", "annotation", name, false);
                    } else if (strict || bracketed) && !text.is_empty() {
                        self.document(name, of_secret && strict, strict, value);
                    }
                }
                Value::Object(_) | Value::Array(_) => self.misplaced(name, value),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    /// An annotation with a document in it, or with several if it isn't last-applied.
    fn document(&mut self, place: &str, of_secret: bool, strict: bool, value: &mut Value) {
        let text = value.as_str().unwrap_or_default();
        let mut documents = match json::read_all(text, &mut Budget::of_annotation()) {
            Ok(documents)
                if self.level < MASK_NESTED_DOCUMENTS
                    && (!strict || documents.len() == 1)
                    && documents.iter().all(|document| document.is_object() || document.is_array()) =>
            {
                documents
            }
            Ok(_) => return self.replace(value, "Annotation", "annotation", place, false),
            // Of a name that stands twice one value would be judged and both would pass.
            Err(_)
                if strict
                    || self.level >= MASK_NESTED_DOCUMENTS
                    || self.may_be_secret
                    || may_quote_secret(text.as_bytes())
                    || self.is_json(text) =>
            {
                return self.replace(value, "Annotation", "annotation", place, false);
            }
            Err(_) => return,
        };
        let mut inner = Walk {
            context: self.context,
            carrier: Carrier { namespace: self.namespace.clone(), name: self.name.clone(), place: place.to_owned() },
            own: of_secret && !self.name.is_empty(),
            may_be_secret: false,
            status_of_secret: false,
            has_secrets: false,
            level: self.level + 1,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            named: false,
            ordinal: 0,
            masked: 0,
            room: &mut *self.room,
        };
        for document in &mut documents {
            inner.root(document, if of_secret { Presumed::Secret } else { Presumed::Anything }, true);
        }
        if inner.masked > 0 {
            self.masked += inner.masked;
            *value = Value::String(documents.iter().map(Value::to_string).collect());
        }
    }

    /// Whether a text is JSON, though not as it is read here: too deep, a name twice, a number that no float holds, half a character.
    fn is_json(&self, text: &str) -> bool {
        let mut scanner = Masker::nested(self.context.clone(), self.level, Presumed::Anything, Documents::Many);
        let read = scanner.push(text.as_bytes(), &mut Vec::new()).and_then(|()| scanner.close().map(drop));
        !read.is_err_and(MaskError::is_not_json)
    }

    fn details(&mut self, details: &mut Map<String, Value>) {
        for (name, value) in details.iter_mut() {
            match value {
                _ if is_data(name) => self.misplaced(name, value),
                Value::String(text) => self.of_status(Part::of_details(Key::of(name.as_bytes())), text),
                Value::Array(causes) if name == "causes" => causes.iter_mut().for_each(|cause| self.cause(cause)),
                _ => self.misplaced(name, value),
            }
        }
    }

    fn cause(&mut self, cause: &mut Value) {
        let Value::Object(members) = cause else { return self.plain(cause) };
        for (name, value) in members {
            match value {
                _ if is_data(name) => self.misplaced(name, value),
                Value::String(text) => self.of_status(Part::of_cause(Key::of(name.as_bytes())), text),
                _ => self.misplaced(name, value),
            }
        }
    }

    fn of_status(&mut self, part: Part, text: &mut String) {
        let about_secret = self.context.guards_messages() || self.status_of_secret || status::speaks_of_secret(text);
        if about_secret && !part.is_harmless(text) {
            self.masked += 1;
            self.room.take();
            *text = self.context.stand_in(part, text).into_owned();
        } else if let Some(shown) = self.context.without_object(part, text) {
            self.masked += 1;
            self.room.take();
            *text = shown;
        }
    }

    /// Puts the placeholder in place of a value that isn't null.
    fn replace(&mut self, value: &mut Value, kind: &'static str, section: &str, key: &str, own: bool) {
        if value.is_null() {
            return;
        }
        self.masked += 1;
        self.room.take();
        if self.room.is_over() {
            *value = Value::Null;
            return;
        }
        let nothing = Carrier::default();
        let (carrier, namespace, name) = if own {
            (&nothing, &self.carrier.namespace, &self.carrier.name)
        } else {
            (&self.carrier, &self.namespace, &self.name)
        };
        let scope = carrier.scope(&self.context.cluster, namespace, self.context.kind_of(kind, key.as_bytes()));
        let field = Field {
            name: name.as_bytes(),
            ordinal: if self.named || own { 0 } else { self.ordinal },
            section,
            key: key.as_bytes(),
        };
        *value = Value::String(self.context.keys.placeholder(&scope, &field));
    }
}

fn is_data(name: &str) -> bool {
    matches!(Key::of(name.as_bytes()), Key::Data | Key::StringData)
}
