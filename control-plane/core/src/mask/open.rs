//! What a value is, given the container and the member it stands in.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain or the stricter one; a new place in a document must fall into it"
)]

use super::frame::{Kind, Presumed, Role};
use super::key::Key;
use super::masker::{Masker, Subject};
use super::printed::PRINTED;
use super::scan::Cursor;
use super::{LAST_WORDS, MaskError};

/// What happens to a value because of where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// A value of a Secret's `data`.
    Field,
    /// A whole `data` that isn't a map.
    Section,
    Token,
    /// What a container wrote that may have values of Secrets.
    LastWords,
    /// The same of its hook.
    HookWords,
    /// Below `f:data`: emptied.
    Empty,
}

impl Masker {
    /// The fate of a value that is not a map under `data` (that one is looked into).
    #[inline]
    pub(super) fn fate(&self) -> Fate {
        match self.top.role {
            Role::SecretData => Fate::Field,
            Role::Object | Role::Plain
                if matches!(self.key, Key::Data | Key::StringData)
                    && self.top.map
                    && self.top.is_secret(self.guess) =>
            {
                Fate::Section
            }
            Role::TokenHolder if self.key == Key::Token => Fate::Token,
            Role::Terminated if self.key == Key::Message => Fate::LastWords,
            Role::Waiting if self.key == Key::Message => Fate::HookWords,
            Role::FieldsOfData => Fate::Empty,
            // None of these has such a member; what has one is a Secret where nobody expects any.
            Role::Metadata
            | Role::Annotations
            | Role::Row
            | Role::Details
            | Role::Cause
            | Role::TokenHolder
            | Role::ManagedEntry
            | Role::FieldsV1
                if matches!(self.key, Key::Data | Key::StringData) =>
            {
                Fate::Section
            }
            Role::FieldsV1 if self.key == Key::FieldsOfData && self.carrier_is_secret() != Some(false) => Fate::Empty,
            _ => Fate::Pass,
        }
    }

    /// Writes what stands in place of the value, without quotes.
    pub(super) fn replace(&mut self, fate: Fate, out: &mut Vec<u8>) {
        let depth = self.stack.len();
        match fate {
            Fate::Pass => {}
            Fate::Field => {
                let section = self.section;
                self.placeholder("Secret", section, Some(depth.saturating_sub(1)), out);
            }
            Fate::Section => {
                self.ordinal += 1;
                let section = section_of(self.key);
                self.placeholder("Secret", section, Some(depth), out);
            }
            Fate::Token => self.placeholder("Token", "token", Some(depth.saturating_sub(1)), out),
            Fate::LastWords | Fate::HookWords => {
                self.summary.masked += 1;
                let words = if fate == Fate::LastWords { LAST_WORDS } else { PRINTED };
                out.extend_from_slice(words.as_bytes());
            }
            Fate::Empty => out.extend_from_slice(b"{}"),
        }
    }

    /// Like [`Self::replace`], as a value of its own: the bytes of the old one are dropped until it ends.
    pub(super) fn replace_whole(&mut self, fate: Fate, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        self.alike.give_up();
        self.swallow(cursor, out);
        if fate == Fate::Empty {
            self.replace(fate, out);
        } else {
            out.push(b'"');
            self.replace(fate, out);
            out.push(b'"');
        }
    }

    /// A number, `true` or `false` begins.
    pub(super) fn hide_scalar(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        let fate = self.fate();
        if fate == Fate::Pass {
            self.note_passed();
        } else {
            self.replace_whole(fate, cursor, out);
        }
    }

    /// A value passes; should it turn out to have been a Secret's, that is an error.
    #[inline]
    pub(super) fn note_passed(&mut self) {
        if matches!(self.key, Key::Data | Key::StringData) && self.top.is_candidate() {
            self.top.pass_data(self.key);
        }
    }

    /// A map or an array begins.
    pub(super) fn open(&mut self, map: bool, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if map && self.top.role == Role::ManagedEntry && self.key == Key::FieldsV1 && self.is_known(cursor) {
            self.key = Key::Other;
            self.end_value(cursor);
            return Ok(());
        }
        if map && self.top.role == Role::Items && self.step_over_alike(cursor, out) {
            return Ok(());
        }
        // What most are: nothing follows from where they stand.
        let plain = match (self.top.role, self.key) {
            (Role::Inert, _) => Some(Role::Inert),
            (Role::FieldsV1, key) if !matches!(key, Key::FieldsOfData | Key::Data | Key::StringData) => {
                Some(Role::Inert)
            }
            (Role::Plain | Role::Object | Role::Metadata, Key::Other) => Some(Role::Plain),
            _ => None,
        };
        if let Some(role) = plain {
            return self.enter(role, map, Presumed::NotSecret, cursor);
        }
        if self.top.role == Role::Annotations {
            // Annotations are texts: only here does it matter what the name of one is.
            self.key = Key::of(&self.name);
        }
        let (role, presumed) = match self.fate() {
            Fate::Empty if map && self.top.role == Role::FieldsV1 => self.child(map),
            Fate::Section if map => {
                self.section = section_of(self.key);
                self.ordinal += 1;
                (Role::SecretData, Presumed::NotSecret)
            }
            Fate::Pass => {
                self.note_passed();
                self.child(map)
            }
            fate => {
                self.replace_whole(fate, cursor, out);
                (Role::Inert, Presumed::NotSecret)
            }
        };
        self.enter(role, map, presumed, cursor)
    }

    /// What a container is, and what is presumed of it.
    fn child(&mut self, map: bool) -> (Role, Presumed) {
        let plain = |role| (role, Presumed::NotSecret);
        match self.top.role {
            Role::Top => (if map { Role::Object } else { Role::Items }, self.presumed),
            Role::Object | Role::Plain => self.child_of_object(map),
            Role::Items => (if map { Role::Object } else { Role::Items }, self.top.presumed),
            Role::Rows if map => (Role::Row, self.top.presumed),
            Role::Row if map && self.key == Key::Object => (Role::Object, self.top.presumed),
            Role::Row if !map && self.key == Key::Cells && self.context.events && self.level == 0 => plain(Role::Cells),
            Role::Metadata => match self.key {
                Key::Annotations if map => plain(Role::Annotations),
                Key::ManagedFields if !map => plain(Role::ManagedFields),
                _ => plain(Role::Plain),
            },
            Role::ManagedFields if map => plain(Role::ManagedEntry),
            Role::ManagedEntry if map && self.key == Key::FieldsV1 => plain(Role::FieldsV1),
            Role::FieldsV1 if self.key == Key::FieldsOfData && self.carrier_is_secret() != Some(false) => {
                plain(Role::FieldsOfData)
            }
            Role::Row | Role::Details | Role::Cause | Role::TokenHolder | Role::ManagedEntry | Role::Annotations
                if map && self.key == Key::Annotations =>
            {
                plain(Role::Annotations)
            }
            Role::Details if !map && self.key == Key::Causes => plain(Role::Causes),
            Role::Causes if map => plain(Role::Cause),
            Role::FieldsV1 | Role::FieldsOfData | Role::Inert => plain(Role::Inert),
            _ => plain(Role::Plain),
        }
    }

    fn child_of_object(&mut self, map: bool) -> (Role, Presumed) {
        let plain = |role| (role, Presumed::NotSecret);
        let top = self.top;
        match self.key {
            Key::Other => plain(Role::Plain),
            Key::Secret => {
                self.note_secret();
                plain(Role::Plain)
            }
            Key::Terminated if map && self.has_secrets() => plain(Role::Terminated),
            Key::Waiting if map && self.has_secrets() => plain(Role::Waiting),
            Key::Annotations if map => plain(Role::Annotations),
            Key::Metadata if map && top.is_object() => {
                self.open_subject(self.stack.len());
                plain(Role::Metadata)
            }
            Key::Items if !map => {
                let presumed = if top.is_object() { top.presumed_of_items(self.guess) } else { Presumed::NotSecret };
                if presumed == Presumed::NotSecret {
                    self.top.pass_items();
                }
                (if top.is_object() { Role::Items } else { Role::Plain }, presumed)
            }
            Key::Rows if !map && top.role == Role::Object => (Role::Rows, self.presumed_of_rows()),
            // The object of a watch event.
            Key::Object if map && self.stack.len() == 1 => (Role::Object, top.presumed),
            Key::Details if map && self.is_status() => plain(Role::Details),
            Key::Details if map => {
                self.top.pass_status();
                plain(Role::Plain)
            }
            Key::Status | Key::Spec if map && self.holds_token() => plain(Role::TokenHolder),
            _ => plain(Role::Plain),
        }
    }

    fn presumed_of_rows(&self) -> Presumed {
        match self.top.presumed {
            Presumed::Secret => Presumed::Secret,
            Presumed::Anything | Presumed::NotSecret => Presumed::Anything,
        }
    }

    /// Whether the open map is a `Status`, or may be one.
    pub(super) fn is_status(&self) -> bool {
        self.top.is_candidate() && self.top.is_status(self.level > 0)
    }

    fn holds_token(&self) -> bool {
        self.top.kind == Kind::Token || self.context.token && self.top.role == Role::Object
    }

    /// `metadata` of the object of that frame begins: its names will be wanted for placeholders.
    pub(super) fn open_subject(&mut self, depth: usize) {
        let again = self.live.checked_sub(1).and_then(|last| self.subjects.get(last));
        if again.is_some_and(|subject| subject.depth == depth) {
            return;
        }
        if self.subjects.len() == self.live {
            self.subjects.push(Subject::default());
        }
        if let Some(subject) = self.subjects.get_mut(self.live) {
            subject.depth = depth;
            subject.namespace.clear();
            subject.name.clear();
            subject.has_secrets = false;
            self.live += 1;
        }
    }

    /// The innermost object with metadata around here names a Secret, which matters if it is a pod.
    pub(super) fn note_secret(&mut self) {
        if self.context.pods
            && self.level == 0
            && let Some(subject) = self.live.checked_sub(1).and_then(|last| self.subjects.get_mut(last))
        {
            subject.has_secrets = true;
        }
    }

    /// Whether the innermost object with metadata around here is a pod that names a Secret. (A pod's spec stands before its status.)
    pub(super) fn has_secrets(&self) -> bool {
        self.live.checked_sub(1).and_then(|last| self.subjects.get(last)).is_some_and(|subject| subject.has_secrets)
    }

    /// Whether the innermost object with metadata around here is a Secret; `None` if that is not known.
    pub(super) fn carrier_is_secret(&self) -> Option<bool> {
        let subject = self.live.checked_sub(1).and_then(|last| self.subjects.get(last))?;
        let frame = if subject.depth == self.stack.len() { &self.top } else { self.stack.get(subject.depth)? };
        match (frame.is_secret(true), frame.is_secret(false)) {
            (true, true) => Some(true),
            (false, _) => Some(false),
            (true, false) => None,
        }
    }
}

const fn section_of(key: Key) -> &'static str {
    match key {
        Key::StringData => "stringData",
        _ => "data",
    }
}
