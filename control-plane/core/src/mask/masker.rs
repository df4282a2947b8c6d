//! The masker: what it holds between two pieces of a body, and its few public functions.
//!
//! Invariant: between two calls everything that came has been judged and written, except for the one string, if any, that is held back
//! (a `Status` message, a document in an annotation). So a complete watch event is out when its last byte was in.

use super::alike::Alike;
use super::bytes::{Escape, Surrogates, Utf8};
use super::frame::{Frame, Presumed, Role};
use super::key::Key;
use super::managed::Known;
use super::placeholder::{Field, Scope, ScopeKey};
use super::scan::{Cursor, State};
use super::stops::Stops;
use super::text::Use;
use super::{MaskContext, MaskError, MaskSummary};

/// Bytes that are looked over at once before they are read: what is noted of them (a bit each) stays small whatever comes in.
const PIECE: usize = 16 * 1024;

/// How many documents may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Documents {
    One,
    /// Watch events: objects only.
    Stream,
    /// In an annotation: objects and arrays.
    Many,
}

/// Names of an object whose `metadata` was opened.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// Index of the object's frame.
    pub(super) depth: usize,
    pub(super) namespace: Vec<u8>,
    pub(super) name: Vec<u8>,
    /// It is a pod that names a Secret.
    pub(super) has_secrets: bool,
}

/// Where a nested document stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Carrier {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) place: String,
}

impl Carrier {
    /// What fields found here share, of objects in that namespace.
    pub(super) fn scope<'a>(&'a self, cluster: &'a str, namespace: &'a str, kind: &'a str) -> Scope<'a> {
        Scope {
            cluster,
            carrier_namespace: &self.namespace,
            carrier_name: &self.name,
            place: &self.place,
            namespace,
            kind,
        }
    }
}

/// The incremental masker. One per response body.
#[derive(Debug)]
pub struct Masker {
    pub(super) context: MaskContext,
    pub(super) carrier: Carrier,
    /// The document is the carrier itself as it was applied last: its fields are the carrier's own.
    pub(super) own: bool,
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

    pub(super) inner: Option<Box<Self>>,
    pub(super) scratch: Vec<u8>,
    pub(super) known: Known,
    pub(super) alike: Alike,

    utf8: Utf8,
    stops: Stops,
    pub(super) consumed: u64,
    failed: Option<MaskError>,
    pub(super) summary: MaskSummary,
}

#[derive(Debug)]
struct CachedScope {
    namespace: Vec<u8>,
    kind: &'static str,
    own: bool,
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
            own: false,
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
            known: Known::default(),
            alike: Alike::default(),
            utf8: Utf8::default(),
            stops: Stops::default(),
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
        self.alike.forget();
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
        let result = input.chunks(PIECE).try_for_each(|piece| self.take(piece, out));
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
            self.end_value(&mut Cursor { input: &[], stops: &Stops::default(), at: 0, kept: 0 });
        }
        let none = self.summary.documents == 0 && self.documents == Documents::One;
        if self.state != State::Top || none || !self.utf8.is_whole() {
            return Err(MaskError::Truncated { length: self.consumed });
        }
        Ok(self.summary)
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let mut stops = std::mem::take(&mut self.stops);
        let high = stops.read(input);
        if high || !self.utf8.is_whole() {
            self.utf8.check(input).map_err(|good| MaskError::Utf8 { offset: self.consumed + good as u64 })?;
        }
        let mut cursor = Cursor { input, stops: &stops, at: 0, kept: 0 };
        self.run(&mut cursor, out)?;
        if !self.muted {
            cursor.keep(out);
        }
        self.consumed += input.len() as u64;
        self.known.end_piece();
        self.alike.give_up();
        self.stops = stops;
        Ok(())
    }

    /// Writes the placeholder of the value that begins here. `owner` is the index of the frame of the object it belongs to.
    pub(super) fn placeholder(&mut self, kind: &'static str, section: &str, owner: Option<usize>, out: &mut Vec<u8>) {
        let name = std::mem::take(&mut self.name);
        let keyed = matches!(self.top.role, Role::SecretData | Role::Annotations);
        self.placeholder_of(kind, section, if keyed { &name } else { b"" }, owner, out);
        self.name = name;
    }

    /// The same of the member of that name.
    pub(super) fn placeholder_of(
        &mut self,
        kind: &'static str,
        section: &str,
        key: &[u8],
        owner: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        self.summary.masked += 1;
        let kind = self.context.kind_of(kind, key);
        let subject = self.live.checked_sub(1).and_then(|last| self.subjects.get(last));
        let subject = subject.filter(|subject| owner.is_none_or(|owner| owner == subject.depth));
        let (mut namespace, mut name) = (self.context.namespace.as_bytes(), self.context.name.as_bytes());
        // Right below the top of a document stands what it is; deeper in it may stand anything.
        let own = self.own && owner == Some(1);
        let mut named = own;
        if let Some(subject) = subject.filter(|_| !own) {
            if !subject.namespace.is_empty() {
                namespace = &subject.namespace;
            }
            if !subject.name.is_empty() {
                name = &subject.name;
                named = true;
            }
        }
        let field = Field { name, ordinal: if named { 0 } else { self.ordinal }, section, key };
        if let Some(cached) = &self.scope
            && cached.kind == kind
            && cached.namespace == namespace
            && cached.own == own
        {
            return cached.key.write(&field, out);
        }
        let nothing = Carrier::default();
        let carrier = if own { &nothing } else { &self.carrier };
        let scope = carrier.scope(&self.context.cluster, str::from_utf8(namespace).unwrap_or_default(), kind);
        let key = self.context.keys.scope(&scope);
        key.write(&field, out);
        self.scope = Some(CachedScope { namespace: namespace.to_vec(), kind, own, key });
    }
}
