//! The scanner: a resumable reader of JSON (RFC 8259) that copies its input in runs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain or the stricter one; a new place in a document must fall into it"
)]

use shared::limits::{MASK_DEPTH, MASK_KEY_BYTES};

use super::MaskError;
use super::bytes::{Number, Surrogates};
use super::frame::{Frame, Presumed, Role};
use super::key::Key;
use super::masker::{Documents, Masker};
use super::open::Fate;
use super::stops::Stops;

/// What the next byte must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Outside of any document.
    Top,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// In a member's name.
    InKey,
    /// In a string value.
    InString,
    InNumber(Number),
    /// In `true`, `false` or `null`; what is left of it.
    InLiteral(&'static [u8]),
}

/// The input of one call: where it stands, and from where on it is yet to be copied.
pub(super) struct Cursor<'a> {
    pub(super) input: &'a [u8],
    pub(super) stops: &'a Stops,
    pub(super) at: usize,
    pub(super) kept: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// What comes before the next byte that a string can't hold as it is; maybe all that is left.
    #[inline]
    pub(super) fn plain(&self) -> &'a [u8] {
        self.input.get(self.at..self.stops.from(self.at)).unwrap_or_default()
    }

    /// Steps over that byte, if it comes next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Steps over a string as far as it can be seen whole. True if its closing quote was read; else something is left that only
    /// [`Masker::decode`] understands: an escape that is not simple, the end of the input, an error.
    #[inline]
    pub(super) fn skip_string(&mut self) -> bool {
        loop {
            self.at = self.stops.from(self.at);
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return true;
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
                _ => return false,
            }
        }
    }

    /// Copies everything up to here.
    pub(super) fn keep(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.input.get(self.kept..self.at).unwrap_or_default());
        self.kept = self.at;
    }
}

impl Masker {
    pub(super) fn run(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        while let Some(byte) = cursor.peek() {
            match self.state {
                State::InString => self.string(cursor, out)?,
                State::InKey => self.long_key(cursor)?,
                State::InNumber(number) => self.number(number, cursor)?,
                State::InLiteral(left) => self.literal(left, cursor)?,
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => cursor.at += 1,
                State::CommaOrEnd => match byte {
                    b',' => {
                        cursor.at += 1;
                        self.state = if self.top.map { State::Key } else { State::Value };
                    }
                    b'}' | b']' => self.pop(byte, cursor, out)?,
                    _ => return Err(self.syntax(cursor)),
                },
                State::Key | State::KeyOrEnd => match byte {
                    b'"' => self.begin_key(cursor, out)?,
                    b'}' if self.state == State::KeyOrEnd => self.pop(byte, cursor, out)?,
                    _ => return Err(self.syntax(cursor)),
                },
                State::Colon => match byte {
                    b':' => {
                        cursor.at += 1;
                        self.state = State::Value;
                    }
                    _ => return Err(self.syntax(cursor)),
                },
                State::ValueOrEnd if byte == b']' => self.pop(byte, cursor, out)?,
                State::Value | State::ValueOrEnd => self.begin_value(byte, cursor, out)?,
                State::Top => self.begin_document(byte, cursor, out)?,
            }
        }
        Ok(())
    }

    fn begin_document(&mut self, byte: u8, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        match self.documents {
            Documents::One if self.summary.documents > 0 => {
                return Err(MaskError::Trailing { offset: self.offset(cursor) });
            }
            Documents::Stream if byte != b'{' => return Err(self.syntax(cursor)),
            // A scalar is no answer to a request for Secrets, and not what kubectl writes into an annotation.
            Documents::One if (self.presumed == Presumed::Secret || self.level > 0) && byte != b'{' && byte != b'[' => {
                return Err(self.syntax(cursor));
            }
            Documents::Many if byte != b'{' && byte != b'[' => return Err(self.syntax(cursor)),
            Documents::One | Documents::Stream | Documents::Many => {}
        }
        self.ordinal = 0;
        self.status_of_secret = false;
        self.message_passed = false;
        self.begin_value(byte, cursor, out)
    }

    pub(super) fn begin_value(
        &mut self,
        byte: u8,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), MaskError> {
        match byte {
            b'"' => self.begin_string(cursor, out),
            b'{' | b'[' => {
                if self.key == Key::Other
                    && self.top.role != Role::Annotations
                    && let [b'{', b'}', ..] | [b'[', b']', ..] = cursor.rest()
                    && self.fate() == Fate::Pass
                    && !self.stack.is_empty()
                    && self.stack.len() < MASK_DEPTH
                {
                    // Nothing in it, and nothing follows from it.
                    cursor.at += 2;
                    self.end_value(cursor);
                    return Ok(());
                }
                self.open(byte == b'{', cursor, out)
            }
            b'n' => {
                // An absent value hides nothing.
                self.state = State::InLiteral(b"null");
                Ok(())
            }
            b't' | b'f' | b'-' | b'0'..=b'9' => {
                self.hide_scalar(cursor, out);
                self.state = match byte {
                    b't' => State::InLiteral(b"true"),
                    b'f' => State::InLiteral(b"false"),
                    _ => {
                        cursor.at += 1;
                        State::InNumber(Number::start(byte))
                    }
                };
                Ok(())
            }
            _ => Err(self.syntax(cursor)),
        }
    }

    /// A value is complete.
    #[inline]
    pub(super) fn end_value(&mut self, cursor: &mut Cursor<'_>) {
        if self.muted && self.stack.len() == self.muted_depth {
            self.muted = false;
            cursor.kept = cursor.at;
        }
        if self.stack.is_empty() {
            self.state = State::Top;
            self.summary.documents += 1;
        } else if cursor.take(b',') {
            self.state = if self.top.map { State::Key } else { State::Value };
        } else {
            self.state = State::CommaOrEnd;
        }
    }

    /// Replaces the value that begins here: `text` is written, and its bytes are dropped.
    pub(super) fn swallow(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        cursor.keep(out);
        self.muted = true;
        self.muted_depth = self.stack.len();
    }

    fn number(&mut self, mut number: Number, cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        while let Some(byte) = cursor.peek() {
            match number.step(byte) {
                Some(next) => number = next,
                None if number.is_whole() => {
                    self.end_value(cursor);
                    return Ok(());
                }
                None => return Err(self.syntax(cursor)),
            }
            cursor.at += 1;
        }
        self.state = State::InNumber(number);
        Ok(())
    }

    fn literal(&mut self, mut left: &'static [u8], cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        while let Some((&expected, rest)) = left.split_first() {
            match cursor.peek() {
                None => break,
                Some(byte) if byte == expected => cursor.at += 1,
                Some(_) => return Err(self.syntax(cursor)),
            }
            left = rest;
        }
        if left.is_empty() {
            self.end_value(cursor);
        } else {
            self.state = State::InLiteral(left);
        }
        Ok(())
    }

    /// A member's name begins.
    #[inline]
    fn begin_key(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.is_plain_map() && self.members(cursor, out)?
            || self.top.role == Role::SecretData && self.fields(cursor, out)
        {
            return Ok(());
        }
        cursor.at += 1;
        if self.top.role == Role::Inert && cursor.skip_string() {
            return self.after_key(cursor, out);
        }
        let name = cursor.plain();
        if cursor.input.get(cursor.at + name.len()) == Some(&b'"') {
            cursor.at += name.len() + 1;
            self.member(name, cursor)?;
            return self.after_key(cursor, out);
        }
        self.name.clear();
        self.overflow = false;
        // Half a pair may be left of a string that was not decoded to its end.
        self.surrogates = Surrogates::default();
        self.state = State::InKey;
        Ok(())
    }

    /// Goes on to the value without another turn of the loop if it can.
    #[inline]
    fn after_key(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if !cursor.take(b':') {
            self.state = State::Colon;
            return Ok(());
        }
        self.state = State::Value;
        match cursor.peek() {
            Some(byte) if byte > b' ' => self.begin_value(byte, cursor, out),
            _ => Ok(()),
        }
    }

    fn long_key(&mut self, cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        let mut name = std::mem::take(&mut self.name);
        let ended = self.decode(cursor, |part, overflow| {
            let room = MASK_KEY_BYTES.saturating_sub(name.len());
            *overflow |= part.len() > room;
            name.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
        })?;
        if ended {
            if self.overflow {
                // Too long to be any name that matters, unless all of them do.
                self.long_member()?;
            } else {
                self.member(&name, cursor)?;
            }
            self.state = State::Colon;
        }
        if self.name.is_empty() {
            self.name = name;
        }
        Ok(())
    }

    fn long_member(&mut self) -> Result<(), MaskError> {
        if matches!(self.top.role, Role::SecretData | Role::Annotations | Role::FieldsOfData) {
            return Err(MaskError::Key { limit: MASK_KEY_BYTES });
        }
        self.key = Key::Other;
        Ok(())
    }

    /// A member's decoded name is known.
    #[inline]
    fn member(&mut self, name: &[u8], cursor: &Cursor<'_>) -> Result<(), MaskError> {
        match self.top.role {
            Role::Inert => {}
            Role::SecretData | Role::Annotations => {
                if name.len() > MASK_KEY_BYTES {
                    return Err(MaskError::Key { limit: MASK_KEY_BYTES });
                }
                self.name.clear();
                self.name.extend_from_slice(name);
            }
            Role::FieldsOfData if name.len() > MASK_KEY_BYTES => return Err(MaskError::Key { limit: MASK_KEY_BYTES }),
            Role::FieldsOfData if name.starts_with(b"v:") || name.starts_with(b"k:") => {
                return Err(MaskError::ManagedFields { offset: self.offset(cursor) });
            }
            _ => self.key = Key::of(name),
        }
        Ok(())
    }

    pub(super) fn pop(&mut self, byte: u8, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        if self.top.map != (byte == b'}') {
            return Err(self.syntax(cursor));
        }
        if self.live > 0
            && let Some(subject) = self.subjects.get(self.live - 1)
            && subject.depth == self.stack.len()
        {
            self.live -= 1;
        }
        if !self.guess && self.top.is_unnamed_secret() {
            return Err(MaskError::TooLate { offset: self.offset(cursor) });
        }
        let closed = self.top.role;
        self.top = self.stack.pop().unwrap_or(Frame::TOP);
        self.key = Key::Other;
        cursor.at += 1;
        if closed == Role::FieldsV1 {
            self.remember(cursor);
        } else if closed == Role::Object && self.top.role == Role::Items {
            self.learn_alike(cursor, out);
        } else if closed == Role::Items {
            self.alike.forget();
        }
        self.end_value(cursor);
        Ok(())
    }

    /// A container is open. Its frame is written where it stays: a copy of bytes that were written one by one makes a processor wait.
    #[inline]
    pub(super) fn enter(
        &mut self,
        role: Role,
        map: bool,
        presumed: Presumed,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), MaskError> {
        if self.stack.len() >= MASK_DEPTH {
            return Err(MaskError::Depth { limit: MASK_DEPTH });
        }
        if role == Role::Items {
            self.alike.forget();
        }
        self.stack.push(self.top);
        self.top = Frame::new(role, map, presumed);
        self.key = Key::Other;
        cursor.at += 1;
        self.state = if map { State::KeyOrEnd } else { State::ValueOrEnd };
        Ok(())
    }

    pub(super) fn offset(&self, cursor: &Cursor<'_>) -> u64 {
        self.consumed + cursor.at as u64
    }

    pub(super) fn syntax(&self, cursor: &Cursor<'_>) -> MaskError {
        MaskError::Syntax { offset: self.offset(cursor), byte: cursor.peek().unwrap_or(0) }
    }
}
