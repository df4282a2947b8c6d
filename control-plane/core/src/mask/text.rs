//! Strings: which of them pass, which are read, which are held back, which are replaced.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain or the stricter one; a new place in a document must fall into it"
)]

use shared::limits::{MASK_KEY_BYTES, MASK_LOOKAHEAD_BYTES, MASK_MESSAGE_BYTES, MASK_NESTED_DOCUMENTS, RELEASE_BYTES};

use super::bytes::{Escape, Surrogates, Unescaped, escape_into};
use super::frame::Role;
use super::key::Key;
use super::masker::Masker;
use super::open::Fate;
use super::scan::{Cursor, State};
use super::status::{self, Part};
use super::{LAST_APPLIED, MaskError, is_runtimes, printed};

/// What is done with the string value that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Copied.
    Keep,
    /// Replaced; what stands in its place has been written.
    Drop,
    /// Copied, and its text is wanted.
    Read(Fact),
    /// A text of a `Status`: held back until it is complete.
    Hold,
    /// What an Event says: the same.
    Event,
    /// The payload of a release of helm's: held back until it is complete.
    Release,
    /// An annotation that has shown nothing but blanks so far.
    Peek,
    /// An annotation with a document in it: held back until it is complete or longer than the look-ahead.
    Collect { strict: bool },
    /// The rest of such an annotation, fed to the nested masker in blocks.
    Feed,
    /// The rest of such an annotation after its text turned out not to be JSON.
    Cut,
}

/// Strings whose text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Kind,
    ApiVersion,
    Name,
    Namespace,
    DetailsKind,
    /// Why a container has ended, or waits.
    Reason,
}

/// Bytes that are fed to a nested masker at once.
pub(super) const BLOCK: usize = 1024;

impl Masker {
    /// What to do with a string that begins here and is not replaced.
    #[inline]
    fn use_of_string(&mut self) -> Use {
        match self.top.role {
            Role::Object | Role::Plain => match self.key {
                Key::Kind if self.top.map => Use::Read(Fact::Kind),
                Key::ApiVersion if self.top.map => Use::Read(Fact::ApiVersion),
                key if Part::of_status(key).is_some() && self.is_status() => Use::Hold,
                _ if self.is_event() => {
                    self.top.pass_status();
                    Use::Event
                }
                Key::Message => {
                    self.top.pass_status();
                    Use::Keep
                }
                Key::SecretName => {
                    self.note_secret();
                    Use::Keep
                }
                _ => Use::Keep,
            },
            Role::Metadata => match self.key {
                Key::Name => Use::Read(Fact::Name),
                Key::Namespace => Use::Read(Fact::Namespace),
                _ => Use::Keep,
            },
            Role::Annotations if self.name == LAST_APPLIED.as_bytes() => Use::Collect { strict: true },
            Role::Annotations => Use::Peek,
            Role::Details | Role::Cause => Use::Hold,
            Role::Terminated | Role::Waiting if self.key == Key::Reason => Use::Read(Fact::Reason),
            Role::Cells => Use::Event,
            _ => Use::Keep,
        }
    }

    #[inline]
    pub(super) fn begin_string(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let kept = match self.top.role {
            Role::Inert => true,
            Role::Plain | Role::Object | Role::Metadata => self.key == Key::Other,
            _ => false,
        };
        if kept {
            cursor.at += 1;
            if cursor.skip_string() {
                self.end_value(cursor);
            } else {
                self.text_use = Use::Keep;
                self.state = State::InString;
            }
            return Ok(());
        }
        self.begin_special(cursor, out)
    }

    /// A string begins that may be more than copied.
    fn begin_special(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let fate = self.fate();
        if fate != Fate::Pass {
            // Even where it passes as it is, that may follow from the object's name (a release of helm's).
            self.alike.give_up();
        }
        if fate == Fate::Empty {
            self.replace_whole(fate, cursor, out);
        }
        cursor.at += 1;
        let text_use = if fate == Fate::Pass {
            self.note_passed();
            self.use_of_string()
        } else if fate == Fate::Field && self.release().is_some() {
            Use::Release
        } else {
            Use::Keep
        };
        match text_use {
            Use::Keep | Use::Read(_) if matches!(fate, Fate::Pass | Fate::Empty) => {
                let text = cursor.plain();
                if cursor.input.get(cursor.at + text.len()) == Some(&b'"') {
                    cursor.at += text.len() + 1;
                    if let Use::Read(fact) = text_use {
                        // As much as is kept of one that comes in pieces.
                        self.learn(fact, text.get(..MASK_KEY_BYTES).unwrap_or(text), cursor)?;
                    }
                    self.end_value(cursor);
                    return Ok(());
                }
                self.text_use = text_use;
            }
            Use::Keep => {
                cursor.keep(out);
                self.replace(fate, out);
                if cursor.skip_string() {
                    cursor.kept = cursor.at - 1;
                    self.end_value(cursor);
                    return Ok(());
                }
                self.mute();
                self.text_use = Use::Drop;
            }
            Use::Hold | Use::Event | Use::Release => {
                self.mute_string(cursor, out);
                self.text_use = text_use;
            }
            Use::Collect { .. } if self.level >= MASK_NESTED_DOCUMENTS => {
                self.mute_string(cursor, out);
                self.placeholder("Annotation", "annotation", None, out);
                self.text_use = Use::Drop;
            }
            Use::Collect { .. } => {
                self.mute_string(cursor, out);
                self.text_use = text_use;
            }
            Use::Read(_) | Use::Peek | Use::Drop | Use::Feed | Use::Cut => self.text_use = text_use,
        }
        self.text.clear();
        self.overflow = false;
        self.surrogates = Surrogates::default();
        self.state = State::InString;
        Ok(())
    }

    /// Drops the inside of the string from here on; its quotes stay.
    fn mute_string(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        cursor.keep(out);
        self.mute();
    }

    fn mute(&mut self) {
        self.muted = true;
        // Never equal to a depth at which a value ends: the end of the string lifts it.
        self.muted_depth = usize::MAX;
    }

    /// Reads on in a string value.
    pub(super) fn string(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.text_use == Use::Peek && !self.peek(cursor, out) {
            return Ok(());
        }
        let ended = match self.text_use {
            Use::Keep | Use::Drop | Use::Peek | Use::Cut => self.skip(cursor)?,
            Use::Read(_) => self.decode_into(cursor, MASK_KEY_BYTES)?,
            Use::Hold | Use::Event => self.decode_into(cursor, MASK_MESSAGE_BYTES)?,
            Use::Release => self.decode_into(cursor, RELEASE_BYTES)?,
            Use::Collect { .. } => self.decode_into(cursor, self.lookahead())?,
            Use::Feed => self.decode_into(cursor, BLOCK)?,
        };
        if self.overflow && matches!(self.text_use, Use::Collect { .. } | Use::Feed) {
            return self.spill(out);
        }
        if !ended {
            return Ok(());
        }
        match self.text_use {
            Use::Keep | Use::Peek => {}
            Use::Drop | Use::Cut => self.unmute(cursor),
            Use::Read(fact) => {
                let text = std::mem::take(&mut self.text);
                let learnt = self.learn(fact, &text, cursor);
                self.text = text;
                learnt?;
            }
            Use::Hold => {
                self.end_of_status(cursor, out)?;
                self.unmute(cursor);
            }
            Use::Event => {
                let said = std::mem::take(&mut self.text);
                self.end_of_event(&said, out);
                self.text = said;
                self.unmute(cursor);
            }
            Use::Release => {
                self.end_release(out);
                self.unmute(cursor);
            }
            Use::Collect { strict } => {
                self.end_annotation(strict, out);
                self.unmute(cursor);
            }
            Use::Feed => {
                self.end_feed(out)?;
                self.unmute(cursor);
            }
        }
        self.end_value(cursor);
        Ok(())
    }

    /// Bytes of an annotation that are held back. Less in nested documents, so that all together stay small.
    fn lookahead(&self) -> usize {
        MASK_LOOKAHEAD_BYTES >> (2 * self.level.min(4))
    }

    /// The closing quote was just read, and is copied.
    fn unmute(&mut self, cursor: &mut Cursor<'_>) {
        self.muted = false;
        cursor.kept = cursor.at.saturating_sub(1);
    }

    /// Looks for the first character of an annotation that isn't blank. False if there is none yet.
    fn peek(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> bool {
        while cursor.peek() == Some(b' ') {
            cursor.at += 1;
        }
        match cursor.peek() {
            None => return false,
            // An escape may stand for a brace or a line break before one.
            Some(b'{' | b'[' | b'\\') if self.level < MASK_NESTED_DOCUMENTS => {
                self.mute_string(cursor, out);
                self.text_use = Use::Collect { strict: false };
            }
            Some(b'{' | b'[' | b'\\') => {
                self.mute_string(cursor, out);
                self.placeholder("Annotation", "annotation", None, out);
                self.text_use = Use::Drop;
            }
            // Of a Secret's it matters what comes after that, too.
            Some(_) if self.is_of_secret() => {
                self.mute_string(cursor, out);
                self.text_use = Use::Collect { strict: false };
            }
            Some(_) => self.text_use = Use::Keep,
        }
        true
    }

    /// Reads on in a string whose text isn't wanted.
    fn skip(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, MaskError> {
        if self.escape == Escape::None && cursor.skip_string() {
            return Ok(true);
        }
        self.decode(cursor, |_, _| ())
    }

    /// Decodes into `text`, up to `limit` bytes; stops early, with `overflow`, for those who want to empty it.
    fn decode_into(&mut self, cursor: &mut Cursor<'_>, limit: usize) -> Result<bool, MaskError> {
        let mut text = std::mem::take(&mut self.text);
        let stop = matches!(self.text_use, Use::Collect { .. } | Use::Feed);
        let result = self.decode_while(cursor, if stop { BLOCK } else { usize::MAX }, |part, overflow| {
            if stop {
                text.extend_from_slice(part);
                *overflow = text.len() > limit;
                return !*overflow;
            }
            let room = limit.saturating_sub(text.len());
            *overflow |= part.len() > room;
            text.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
            true
        });
        self.text = text;
        result
    }

    /// Reads on in a string, name or value; `sink` gets its decoded text. True once the closing quote was read.
    pub(super) fn decode(
        &mut self,
        cursor: &mut Cursor<'_>,
        mut sink: impl FnMut(&[u8], &mut bool),
    ) -> Result<bool, MaskError> {
        self.decode_while(cursor, usize::MAX, |part, overflow| {
            sink(part, overflow);
            true
        })
    }

    fn decode_while(
        &mut self,
        cursor: &mut Cursor<'_>,
        block: usize,
        mut sink: impl FnMut(&[u8], &mut bool) -> bool,
    ) -> Result<bool, MaskError> {
        let mut go_on = true;
        while go_on {
            let Some(byte) = cursor.peek() else { return Ok(false) };
            if self.escape != Escape::None {
                match self.escape.step(byte) {
                    Unescaped::Invalid => return Err(self.syntax(cursor)),
                    Unescaped::More(next) => self.escape = next,
                    Unescaped::Char(char) => {
                        self.escape = Escape::None;
                        let before = self.surrogates.close();
                        go_on = emit([before, Some(char)], &mut self.overflow, &mut sink);
                    }
                    Unescaped::Surrogate(unit) => {
                        self.escape = Escape::None;
                        go_on = emit(self.surrogates.unit(unit), &mut self.overflow, &mut sink);
                    }
                }
                cursor.at += 1;
                continue;
            }
            if byte == b'\\' {
                self.escape = Escape::Backslash;
                cursor.at += 1;
                continue;
            }
            if let Some(lone) = self.surrogates.close() {
                emit([Some(lone), None], &mut self.overflow, &mut sink);
                self.surrogates = Surrogates::default();
            }
            if byte == b'"' {
                cursor.at += 1;
                return Ok(true);
            }
            // In blocks where the sink may want to stop.
            let plain = cursor.plain();
            let plain = plain.get(..block).unwrap_or(plain);
            if plain.is_empty() {
                return Err(self.syntax(cursor));
            }
            go_on = sink(plain, &mut self.overflow);
            cursor.at += plain.len();
        }
        Ok(false)
    }

    fn learn(&mut self, fact: Fact, text: &[u8], cursor: &Cursor<'_>) -> Result<(), MaskError> {
        let known = match fact {
            Fact::Kind => self.top.set_kind(text),
            Fact::ApiVersion => self.top.set_api(text),
            Fact::Name | Fact::Namespace => {
                self.alike.give_up();
                self.note_name(if fact == Fact::Name { Key::Name } else { Key::Namespace }, text);
                Ok(())
            }
            Fact::Reason => {
                let own = if self.top.role == Role::Waiting { printed::is_hooks(text) } else { !is_runtimes(text) };
                if !own {
                    self.top.role = Role::Plain;
                }
                Ok(())
            }
            Fact::DetailsKind => {
                let secrets = text.eq_ignore_ascii_case(b"secrets") || text.eq_ignore_ascii_case(b"secret");
                self.status_of_secret |= secrets;
                if secrets && self.message_passed { Err(super::frame::TooLate) } else { Ok(()) }
            }
        };
        known.map_err(|_| MaskError::TooLate { offset: self.offset(cursor) })
    }

    /// The open metadata say what their object is called, or where it is: as much of that is kept as of a member's name.
    #[inline]
    pub(super) fn note_name(&mut self, key: Key, text: &[u8]) {
        if let Some(subject) = self.live.checked_sub(1).and_then(|last| self.subjects.get_mut(last)) {
            let to = if key == Key::Name { &mut subject.name } else { &mut subject.namespace };
            to.clear();
            to.extend_from_slice(text.get(..MASK_KEY_BYTES).unwrap_or(text));
        }
    }

    /// A text of a `Status`, of its details or of one of its causes is complete.
    fn end_of_status(&mut self, cursor: &Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        let part = match self.top.role {
            Role::Details => Part::of_details(self.key),
            Role::Cause => Part::of_cause(self.key),
            _ => Part::of_status(self.key).unwrap_or(Part::Message),
        };
        let held = std::mem::take(&mut self.text);
        if part == Part::Kind {
            self.learn(Fact::DetailsKind, &held, cursor)?;
        }
        // What was cut at the bound may end in mid character, and is not shown anyway.
        let text = std::str::from_utf8(&held).unwrap_or_default();
        let about_secret = self.context.guards_messages() || self.status_of_secret || status::speaks_of_secret(text);
        let harmless = part.is_harmless(text);
        if self.overflow || about_secret && !harmless {
            self.summary.masked += 1;
            let seen = if self.overflow { "" } else { text };
            escape_into(self.context.stand_in(part, seen).as_bytes(), out);
        } else if let Some(shown) = self.context.without_object(part, text) {
            self.summary.masked += 1;
            self.message_passed |= !harmless;
            escape_into(shown.as_bytes(), out);
        } else {
            self.message_passed |= !harmless;
            self.end_of_event(&held, out);
        }
        self.text = held;
        Ok(())
    }

    /// Whether it is what an Event says.
    fn is_event(&self) -> bool {
        let said = self.top.role == Role::Object && matches!(self.key, Key::Message | Key::Note);
        self.context.events && self.level == 0 && (said || self.top.role == Role::Cells)
    }

    /// What an Event says is complete; what anything else says is written as it is.
    fn end_of_event(&mut self, said: &[u8], out: &mut Vec<u8>) {
        let shown = match std::str::from_utf8(said) {
            _ if !self.is_event() => None,
            Ok(text) if !self.overflow => printed::without(text),
            // No Event's text is that long.
            Ok(_) | Err(_) => Some(printed::PRINTED.to_owned()),
        };
        self.summary.masked += u64::from(shown.is_some());
        escape_into(shown.as_deref().map_or(said, str::as_bytes), out);
    }
}

/// Hands both characters on, also if the sink has had enough after the first.
fn emit(chars: [Option<char>; 2], overflow: &mut bool, sink: &mut impl FnMut(&[u8], &mut bool) -> bool) -> bool {
    let mut go_on = true;
    for char in chars.into_iter().flatten() {
        go_on &= sink(char.encode_utf8(&mut [0; 4]).as_bytes(), overflow);
    }
    go_on
}
