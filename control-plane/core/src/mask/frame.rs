//! What the scanner remembers of each open container, and what follows from it for the values inside.
//!
//! The rule (SECURITY.md M1): an object may be a Secret while its apiVersion is unknown or of the core group *and* its kind
//! is unknown or `Secret`. The API server writes `kind` and `apiVersion` first in typed objects, and `apiVersion, data, kind` in
//! untyped ones, so `data` can come before the kind is known: then it is masked at once. What may be a Secret may be a `Status` too.

use super::key::Key;

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Outside of any document.
    Top,
    /// Where a Kubernetes object is expected: the document, an element of `items`, the object of a watch event or of a table row.
    Object,
    /// Anything else; still becomes an object once it says `kind` or `apiVersion`.
    Plain,
    Items,
    Rows,
    Row,
    Metadata,
    Annotations,
    ManagedFields,
    ManagedEntry,
    FieldsV1,
    /// `f:data` of a Secret: names of keys, no values.
    FieldsOfData,
    /// `data` or `stringData` of what is masked.
    SecretData,
    Details,
    Causes,
    Cause,
    /// `spec` or `status` of a TokenRequest or TokenReview.
    TokenHolder,
    /// How a container has ended that may have values of Secrets.
    Terminated,
    /// What such a container waits for.
    Waiting,
    /// What a table shows of an Event.
    Cells,
    /// Where nothing is looked for: inside a value that was replaced, and in the part of `managedFields` that holds names only.
    Inert,
}

/// What `kind` said. Ordered: of several, the last of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Other,
    Status,
    /// TokenRequest, TokenReview.
    Token,
    /// `List`: may hold anything.
    List,
    Secret,
}

impl Kind {
    fn of(text: &[u8]) -> Self {
        match text {
            b"List" => Self::List,
            b"Status" => Self::Status,
            b"TokenRequest" | b"TokenReview" => Self::Token,
            _ if text.eq_ignore_ascii_case(b"Secret") => Self::Secret,
            _ => Self::Other,
        }
    }
}

/// What `apiVersion` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Unknown,
    /// No group: `v1`, and whatever else has nothing before a slash.
    Core,
    /// A named group.
    Foreign,
}

/// What is assumed of an object that says neither kind nor apiVersion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presumed {
    /// The request asked for Secrets; holds whatever the object says of itself.
    Secret,
    /// Anything.
    Anything,
    /// Its list says that it is something else.
    NotSecret,
}

/// Something turned out to be a Secret after a part of it was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLate;

/// `data`, or `stringData`, as that of no Secret.
const DATA: u8 = 1;
/// The latter, which only Secrets have.
const STRING_DATA: u8 = 8;
/// `items`, as no Secrets.
const ITEMS: u8 = 2;
/// A text of what is no `Status`.
const STATUS: u8 = 4;

/// One open container: eight bytes, which are copied at once.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(super) struct Frame {
    pub(super) role: Role,
    /// A map, not an array.
    pub(super) map: bool,
    pub(super) kind: Kind,
    api: Api,
    pub(super) presumed: Presumed,
    /// What was passed on as that of something else, a bit each.
    passed: u8,
    /// Some `kind` said `SecretList`.
    secret_list: bool,
}

impl Frame {
    pub(super) const TOP: Self = Self::new(Role::Top, false, Presumed::NotSecret);

    pub(super) const fn new(role: Role, map: bool, presumed: Presumed) -> Self {
        Self { role, map, kind: Kind::Unknown, api: Api::Unknown, presumed, passed: 0, secret_list: false }
    }

    /// Whether it can say `kind` and `apiVersion`.
    pub(super) const fn is_candidate(&self) -> bool {
        self.map && matches!(self.role, Role::Object | Role::Plain)
    }

    /// Whether it is taken for a Kubernetes object.
    pub(super) fn is_object(&self) -> bool {
        self.role == Role::Object || self.kind != Kind::Unknown || self.api != Api::Unknown
    }

    /// Whether its `data` is masked. `guess` is what to do where only a later member could tell.
    pub(super) fn is_secret(&self, guess: bool) -> bool {
        if self.presumed == Presumed::Secret {
            return true;
        }
        match (self.kind, self.api) {
            (Kind::Secret, api) => api != Api::Foreign,
            (Kind::Unknown, Api::Core) => guess,
            (Kind::Unknown, Api::Unknown) => guess && self.role == Role::Object && self.presumed == Presumed::Anything,
            (Kind::Unknown, Api::Foreign) => false,
            (Kind::List | Kind::Status | Kind::Token | Kind::Other, _) => false,
        }
    }

    /// Whether it is a `Status`, or may be one: not all who write them say so first. In a text, where anything stands, it has to say that it is
    /// of the core group; else what comes too late ends it.
    pub(super) fn is_status(&self, in_text: bool) -> bool {
        match self.kind {
            Kind::Status => true,
            Kind::Unknown => {
                self.presumed == Presumed::Secret || (self.api == Api::Core || !in_text) && self.is_secret(true)
            }
            Kind::Other | Kind::Token | Kind::List | Kind::Secret => false,
        }
    }

    /// What is assumed of the elements of its `items`. Outside of where objects are expected only their own word counts.
    pub(super) fn presumed_of_items(&self, guess: bool) -> Presumed {
        let anything = if self.role == Role::Object { Presumed::Anything } else { Presumed::NotSecret };
        if self.presumed == Presumed::Secret {
            return Presumed::Secret;
        }
        match (self.kind, self.api) {
            (_, Api::Foreign) => Presumed::NotSecret,
            _ if self.secret_list => Presumed::Secret,
            (Kind::List, _) => anything,
            (Kind::Unknown, _) if guess => anything,
            (Kind::Unknown | Kind::Secret | Kind::Status | Kind::Token | Kind::Other, _) => Presumed::NotSecret,
        }
    }

    /// A `data` goes out as it is.
    pub(super) const fn pass_data(&mut self, key: Key) {
        self.passed |= if matches!(key, Key::StringData) { DATA | STRING_DATA } else { DATA };
    }

    /// Whether it may be a Secret of which a part was passed on, and has not said what it is.
    pub(super) const fn is_unnamed(&self) -> bool {
        let passed = self.passed & DATA != 0 && matches!(self.kind, Kind::Unknown);
        passed && !matches!(self.api, Api::Foreign)
    }

    /// Whether it is one that does not mean to say it: only Secrets have `stringData`, and `data` without a kind, in the core group, is theirs or a
    /// ConfigMap's.
    pub(super) fn is_unnamed_secret(&self) -> bool {
        let its_own = self.role == Role::Object && self.passed & STRING_DATA != 0;
        self.is_unnamed() && (self.api == Api::Core || its_own)
    }

    /// What could be a text of a `Status` goes out as that of something else.
    pub(super) const fn pass_status(&mut self) {
        self.passed |= STATUS;
    }

    /// `items` go out as no Secrets.
    pub(super) const fn pass_items(&mut self) {
        self.passed |= ITEMS;
    }

    /// Takes in a `kind`. Of several the most secret one counts.
    pub(super) fn set_kind(&mut self, text: &[u8]) -> Result<(), TooLate> {
        let new = Kind::of(text);
        self.secret_list |= text.eq_ignore_ascii_case(b"SecretList");
        if new as u8 > self.kind as u8 {
            self.kind = new;
        }
        self.check()
    }

    /// Takes in an `apiVersion`. Of several the core one counts. `/v1` is the core group's too (Go's `schema.ParseGroupVersion`).
    pub(super) fn set_api(&mut self, text: &[u8]) -> Result<(), TooLate> {
        if text.iter().position(|byte| *byte == b'/').is_none_or(|at| at == 0) {
            if self.api == Api::Foreign && self.passed != 0 {
                return Err(TooLate);
            }
            self.api = Api::Core;
        } else if self.api == Api::Unknown {
            self.api = Api::Foreign;
        }
        self.check()
    }

    fn check(&self) -> Result<(), TooLate> {
        let listed = self.secret_list || self.kind == Kind::List && self.role == Role::Object;
        // Deeper in an object that word alone means nothing.
        let status = self.kind == Kind::Status && (self.role == Role::Object || self.api == Api::Core);
        let passed = |what| self.passed & what != 0;
        let late = passed(DATA) && self.kind == Kind::Secret || passed(ITEMS) && listed || passed(STATUS) && status;
        if self.api != Api::Foreign && late { Err(TooLate) } else { Ok(()) }
    }
}
