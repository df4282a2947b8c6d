//! The scanner: a resumable JSON reader that copies its input in runs and replaces what must not pass.
//!
//! Invariant: between two calls everything that came has been judged and written, except for the one string, if any, that is held back
//! (a `Status` message, a document in an annotation). So a complete watch event is out when its last byte was in.

use shared::limits::{MASK_DEPTH, MASK_KEY_BYTES};

use super::bytes::{Escape, Number, Surrogates, Utf8, plain_run, survey};
use super::frame::{Frame, Key, Presumed, Role};
use super::placeholder::{Field, Scope, ScopeKey};
use super::text::Use;
use super::{MaskContext, MaskError, MaskSummary};

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

/// How many documents may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Documents {
    One,
    /// Watch events: objects only.
    Stream,
}

/// The input of one call: where it stands, and from where on it is yet to be copied.
pub(super) struct Cursor<'a> {
    pub(super) input: &'a [u8],
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

    /// Copies everything up to here.
    pub(super) fn keep(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.input.get(self.kept..self.at).unwrap_or_default());
        self.kept = self.at;
    }
}

/// Names of an object whose `metadata` was opened.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// Index of the object's frame.
    pub(super) depth: usize,
    pub(super) namespace: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// Where a nested document stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Carrier {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) place: String,
}

/// The incremental masker. One per response body.
#[derive(Debug)]
pub struct Masker {
    pub(super) context: MaskContext,
    pub(super) carrier: Carrier,
    /// How many documents this one stands in.
    pub(super) level: u8,
    /// Mask what only a later member could show to be a Secret.
    pub(super) guess: bool,
    pub(super) presumed: Presumed,
    pub(super) documents: Documents,

    pub(super) state: State,
    pub(super) top: Frame,
    pub(super) stack: Vec<Frame>,
    pub(super) key: Key,
    /// The member's name, where it matters beyond `key`.
    pub(super) name: Vec<u8>,
    /// `data` or `stringData`, whichever is open.
    pub(super) section: &'static str,

    pub(super) text_use: Use,
    pub(super) text: Vec<u8>,
    pub(super) overflow: bool,
    pub(super) escape: Escape,
    pub(super) surrogates: Surrogates,

    /// Input is dropped: a replaced value is being read.
    pub(super) muted: bool,
    pub(super) muted_depth: usize,

    /// Open objects with metadata, outermost first; only the first `live` count, the others keep their memory for later.
    pub(super) subjects: Vec<Subject>,
    pub(super) live: usize,
    /// Sections of Secrets seen in this document.
    pub(super) ordinal: u64,
    scope: Option<CachedScope>,

    /// A `Status` names Secrets in its details.
    pub(super) status_of_secret: bool,
    /// A message that a Status about Secrets must not have was passed on.
    pub(super) message_passed: bool,

    pub(super) inner: Option<Box<Masker>>,
    pub(super) scratch: Vec<u8>,

    utf8: Utf8,
    pub(super) no_controls: bool,
    pub(super) consumed: u64,
    failed: Option<MaskError>,
    pub(super) summary: MaskSummary,
}

#[derive(Debug)]
struct CachedScope {
    namespace: Vec<u8>,
    kind: &'static str,
    key: ScopeKey,
}

impl Masker {
    /// A masker for one body.
    pub fn new(context: MaskContext) -> Self {
        let presumed = context.root;
        let documents = if context.stream { Documents::Stream } else { Documents::One };
        Self::nested(context, 0, presumed, documents)
    }

    pub(super) fn nested(context: MaskContext, level: u8, presumed: Presumed, documents: Documents) -> Self {
        Self {
            context,
            carrier: Carrier::default(),
            level,
            guess: true,
            presumed,
            documents,
            state: State::Top,
            top: Frame::TOP,
            stack: Vec::new(),
            key: Key::Other,
            name: Vec::new(),
            section: "",
            text_use: Use::Keep,
            text: Vec::new(),
            overflow: false,
            escape: Escape::None,
            surrogates: Surrogates::default(),
            muted: false,
            muted_depth: 0,
            subjects: Vec::new(),
            live: 0,
            ordinal: 0,
            scope: None,
            status_of_secret: false,
            message_passed: false,
            inner: None,
            scratch: Vec::new(),
            utf8: Utf8::default(),
            no_controls: false,
            consumed: 0,
            failed: None,
            summary: MaskSummary::default(),
        }
    }

    /// Back to the start of a document, with the memory that was taken before.
    pub(super) fn restart(&mut self) {
        self.state = State::Top;
        self.top = Frame::TOP;
        self.stack.clear();
        self.key = Key::Other;
        self.escape = Escape::None;
        self.surrogates = Surrogates::default();
        self.muted = false;
        self.live = 0;
        self.ordinal = 0;
        self.scope = None;
        self.status_of_secret = false;
        self.message_passed = false;
        self.utf8 = Utf8::default();
        self.consumed = 0;
        self.failed = None;
        self.summary = MaskSummary::default();
    }

    /// Takes the next piece of the body and appends what may pass to `out`. A complete document is written whole at once.
    ///
    /// `out` grows by no more than the input, what was held back, and a placeholder for each masked field.
    ///
    /// # Errors
    /// The body can't be masked. `out` is then as long as before the call, every further call fails alike, and the caller must end the
    /// stream.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let before = out.len();
        let result = self.take(input, out);
        if let Err(error) = result {
            out.truncate(before);
            self.failed = Some(error);
        }
        result
    }

    /// The body has ended. Nothing is left to write: whatever is complete has been written before.
    ///
    /// # Errors
    /// It ended in mid document, or an earlier call failed.
    pub fn finish(mut self) -> Result<MaskSummary, MaskError> {
        self.close()
    }

    pub(super) fn close(&mut self) -> Result<MaskSummary, MaskError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let State::InNumber(number) = self.state
            && self.stack.is_empty()
            && number.is_whole()
        {
            self.end_value(&mut Cursor { input: &[], at: 0, kept: 0 });
        }
        let none = self.summary.documents == 0 && self.documents == Documents::One;
        if self.state != State::Top || none || !self.utf8.is_whole() {
            return Err(MaskError::Truncated { length: self.consumed });
        }
        Ok(self.summary)
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let (controls, high) = survey(input);
        self.no_controls = !controls;
        if high || !self.utf8.is_whole() {
            self.utf8.check(input).map_err(|good| MaskError::Utf8 { offset: self.consumed + good as u64 })?;
        }
        let mut cursor = Cursor { input, at: 0, kept: 0 };
        self.run(&mut cursor, out)?;
        if !self.muted {
            cursor.keep(out);
        }
        self.consumed += input.len() as u64;
        Ok(())
    }

    fn run(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
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
                    b'}' | b']' => self.pop(byte, cursor)?,
                    _ => return Err(self.syntax(cursor)),
                },
                State::Key | State::KeyOrEnd => match byte {
                    b'"' => self.begin_key(cursor)?,
                    b'}' if self.state == State::KeyOrEnd => self.pop(byte, cursor)?,
                    _ => return Err(self.syntax(cursor)),
                },
                State::Colon => match byte {
                    b':' => {
                        cursor.at += 1;
                        self.state = State::Value;
                    }
                    _ => return Err(self.syntax(cursor)),
                },
                State::ValueOrEnd if byte == b']' => self.pop(byte, cursor)?,
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
            Documents::One if self.presumed == Presumed::Secret && byte != b'{' && byte != b'[' => {
                return Err(self.syntax(cursor));
            }
            Documents::One | Documents::Stream => {}
        }
        self.ordinal = 0;
        self.status_of_secret = false;
        self.message_passed = false;
        self.begin_value(byte, cursor, out)
    }

    fn begin_value(&mut self, byte: u8, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), MaskError> {
        match byte {
            b'"' => self.begin_string(cursor, out),
            b'{' | b'[' => self.open(byte == b'{', cursor, out),
            b'n' => {
                // An absent value hides nothing.
                self.state = State::InLiteral(b"null");
                Ok(())
            }
            b't' | b'f' | b'-' | b'0'..=b'9' => {
                self.hide_scalar(cursor, out)?;
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
    fn begin_key(&mut self, cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        cursor.at += 1;
        let rest = cursor.rest();
        let length = plain_run(rest, self.no_controls);
        if rest.get(length) == Some(&b'"') {
            let name = rest.get(..length).unwrap_or_default();
            cursor.at += length + 1;
            self.member(name, cursor)?;
            self.state = State::Colon;
            return Ok(());
        }
        self.name.clear();
        self.overflow = false;
        self.state = State::InKey;
        Ok(())
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
            Role::Swallowed => {}
            Role::SecretData | Role::Annotations => {
                if name.len() > MASK_KEY_BYTES {
                    return Err(MaskError::Key { limit: MASK_KEY_BYTES });
                }
                self.name.clear();
                self.name.extend_from_slice(name);
            }
            Role::FieldsOfData if name.starts_with(b"v:") || name.starts_with(b"k:") => {
                return Err(MaskError::ManagedFields { offset: self.offset(cursor) });
            }
            _ => self.key = Key::of(name),
        }
        Ok(())
    }

    fn pop(&mut self, byte: u8, cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        if self.top.map != (byte == b'}') {
            return Err(self.syntax(cursor));
        }
        if self.live > 0
            && let Some(subject) = self.subjects.get(self.live - 1)
            && subject.depth == self.stack.len()
        {
            self.live -= 1;
        }
        self.top = self.stack.pop().unwrap_or(Frame::TOP);
        self.key = Key::Other;
        cursor.at += 1;
        self.end_value(cursor);
        Ok(())
    }

    pub(super) fn push_frame(&mut self, frame: Frame, cursor: &mut Cursor<'_>) -> Result<(), MaskError> {
        if self.stack.len() >= MASK_DEPTH {
            return Err(MaskError::Depth { limit: MASK_DEPTH });
        }
        self.stack.push(self.top);
        self.top = frame;
        self.key = Key::Other;
        cursor.at += 1;
        self.state = if frame.map { State::KeyOrEnd } else { State::ValueOrEnd };
        Ok(())
    }

    /// Writes the placeholder of the value that begins here. `owner` is the index of the frame of the object it belongs to.
    pub(super) fn placeholder(&mut self, kind: &'static str, section: &str, owner: Option<usize>, out: &mut Vec<u8>) {
        self.summary.masked += 1;
        let subject = self.live.checked_sub(1).and_then(|last| self.subjects.get(last));
        let subject = subject.filter(|subject| owner.is_none_or(|owner| owner == subject.depth));
        let (mut namespace, mut name) = (self.context.namespace.as_bytes(), self.context.name.as_bytes());
        let mut named = false;
        if let Some(subject) = subject {
            if !subject.namespace.is_empty() {
                namespace = &subject.namespace;
            }
            if !subject.name.is_empty() {
                name = &subject.name;
                named = true;
            }
        }
        let cached = match self.scope.take() {
            Some(cached) if cached.kind == kind && cached.namespace == namespace => cached,
            _ => CachedScope {
                key: self.context.keys.scope(&Scope {
                    cluster: &self.context.cluster,
                    carrier_namespace: &self.carrier.namespace,
                    carrier_name: &self.carrier.name,
                    place: &self.carrier.place,
                    namespace: str::from_utf8(namespace).unwrap_or_default(),
                    kind,
                }),
                namespace: namespace.to_vec(),
                kind,
            },
        };
        let keyed = matches!(self.top.role, Role::SecretData | Role::Annotations);
        let field = Field {
            name: str::from_utf8(name).unwrap_or_default(),
            ordinal: if named { 0 } else { self.ordinal },
            section,
            key: if keyed { &self.name } else { &[] },
        };
        cached.key.write(&field, out);
        self.scope = Some(cached);
    }

    pub(super) fn offset(&self, cursor: &Cursor<'_>) -> u64 {
        self.consumed + cursor.at as u64
    }

    pub(super) fn syntax(&self, cursor: &Cursor<'_>) -> MaskError {
        MaskError::Syntax { offset: self.offset(cursor), byte: cursor.peek().unwrap_or(0) }
    }
}
