//! Masking: the one choke point through which every response body leaves the agent.
//!
//! [`Masker`] reads JSON as it arrives, in pieces of any size, and writes it on with every value of a Secret replaced by a
//! [`placeholder`]. It never holds a document: memory is bounded by nesting depth, by the longest member name, and by a look-ahead of
//! [`MASK_LOOKAHEAD_BYTES`](shared::limits::MASK_LOOKAHEAD_BYTES) for documents inside annotations. It masks by what things *are*
//! (SECURITY.md M1), and where the request asked for Secrets, by that too, whichever masks more. Input that isn't JSON, is cut off, or
//! shows too late what it was, is an error, upon which the caller must end the stream: never a truncated success.
//!
//! What is masked: `data` and `stringData` of Secrets wherever they stand (lists, lists in lists, watch events, table rows, inside
//! other objects); documents in annotations, first of all `kubectl.kubernetes.io/last-applied-configuration` (M2); messages of a
//! `Status` about Secrets but for a few known shapes (M3); tokens of TokenRequest and TokenReview (M7). `managedFields` hold names, not
//! values, for all that a Secret consists of; should there ever be more below `f:data`, it is emptied.
//!
//! helm's releases are opened, and what is in them is masked (`release`).
//!
//! What is not: text in other annotations that isn't JSON, string values that hold a manifest elsewhere, literal environment values.
//!
//! [`AnswerMasker`] is what the agent runs: the same over protobuf, and over gzip, behind what leaves hidden objects out ([`crate::hide`]). YAML is not asked for and not read: it would have to be
//! held whole, and each client that takes it takes JSON, which is YAML.
//!
//! [`mask_value`] does the same, plainly, for documents that are parsed anyway (request bodies, before record, page and log), within a bound.

use std::borrow::Cow;
use std::sync::Arc;

use shared::ids::OperationId;

use crate::body::{BodyError, Budget};
use crate::request_info::{RequestInfo, Verb};

mod alike;
mod annotation;
mod answer;
mod bytes;
pub mod changes;
mod fast;
mod fields;
mod frame;
mod fuzz;
mod inflate;
mod key;
mod managed;
mod masker;
mod open;
mod oracle;
pub mod placeholder;
mod printed;
mod protobuf;
pub(crate) mod release;
mod request;
mod reveal;
mod scan;
mod status;
mod stops;
mod text;
mod tried;
mod value;
pub mod values;
mod words;

#[cfg(test)]
mod tests;

pub use answer::{AnswerMaskError, AnswerMasker, Format};
pub(crate) use fields::{Live, Written};
pub use fields::{MaskedFields, PatternError, RevealedFields};
pub use inflate::InflateError;
pub use masker::Masker;
pub use oracle::Oracle;
pub use placeholder::{
    FieldPath, PlaceholderKey, PlaceholderKeys, contains_placeholder, find_placeholder, is_placeholder,
};
pub use printed::writes_of_probe;
pub use protobuf::ProtobufMaskError;
pub use request::mask_value;
pub use tried::Tried;
pub use words::writes_container_statuses;

use frame::Presumed;
use placeholder::{Field, Scope};

/// The annotation in which kubectl keeps what was applied last (k8s.io/api core/v1 annotation_key_constants.go).
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What stands where a pod says how a container has ended that may have values of Secrets: in the container's own words, or the last lines of
/// its log (k8s.io/api core/v1 `Container.terminationMessagePath`, `terminationMessagePolicy`). Looking for the values takes the Secrets, which
/// a list of pods can't wait for.
const LAST_WORDS: &str =
    "(masked by sallyport: kubectl logs --previous shows the last words of a container, with secrets masked)";

/// Whether a container that ended for this reason has left no words of its own: they are the runtime's or the kubelet's (k8s.io/kubernetes
/// pkg/kubelet/kuberuntime, containerd internal/cri/server/container_start.go).
fn is_runtimes(reason: &[u8]) -> bool {
    const REASONS: [&str; 4] = ["StartError", "ContainerCannotRun", "ContainerStatusUnknown", "Unknown"];
    REASONS.iter().any(|known| known.as_bytes() == reason)
}

/// What a masker must know of the request whose bodies it masks.
#[derive(Clone, Debug)]
pub struct MaskContext {
    keys: Arc<PlaceholderKeys>,
    cluster: Arc<str>,
    /// The request's namespace and name: used in placeholders where the object's own come too late.
    namespace: String,
    name: String,
    /// The request asked for Secrets.
    secrets: bool,
    /// The request asked for a token.
    token: bool,
    /// The request asked for pods.
    pods: bool,
    /// The request asked for Events.
    events: bool,
    /// What a document without kind and apiVersion is taken for.
    root: Presumed,
    /// A watch: any number of documents, one after the other.
    stream: bool,
    /// The resource that was asked for, with its group.
    resource: String,
    /// Its fields that policy has masked.
    fields: MaskedFields,
    /// What is named where an error's words are not shown.
    operation: Option<OperationId>,
    /// What the request gives that is only tried.
    tried: Option<Arc<Tried>>,
}

impl MaskContext {
    /// For the response to a request.
    pub fn response(keys: Arc<PlaceholderKeys>, cluster: &str, info: &RequestInfo) -> Self {
        let mut context = Self::request(keys, cluster, info);
        if context.root == Presumed::NotSecret {
            // The server's word counts here, not the request's: a reply that says nothing may be anything.
            context.root = Presumed::Anything;
        }
        context.stream = info.verb == Verb::Watch;
        context
    }

    /// For the body of the request itself, which may be a patch that names no kind.
    pub fn request(keys: Arc<PlaceholderKeys>, cluster: &str, info: &RequestInfo) -> Self {
        let core = info.is_resource_request && info.api_group.is_empty();
        let secrets = core && info.resource == "secrets";
        Self {
            keys,
            cluster: Arc::from(cluster),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            secrets,
            pods: core && info.resource == "pods",
            events: printed::is_of_events(info),
            token: core && info.resource == "serviceaccounts" && info.subresource == "token",
            root: if secrets {
                Presumed::Secret
            } else if info.is_resource_request {
                Presumed::NotSecret
            } else {
                Presumed::Anything
            },
            stream: false,
            resource: crate::request_info::resource_word(&info.resource, &info.api_group, ""),
            fields: MaskedFields::default(),
            operation: None,
            tried: None,
        }
    }

    /// The same with the fields that policy has masked.
    #[must_use]
    pub fn with_fields(self, fields: MaskedFields) -> Self {
        Self { fields, ..self }
    }

    /// The same for an error: what stands in place of words that are not shown names the operation, so that whoever may see more finds it.
    #[must_use]
    pub fn of_operation(self, operation: OperationId) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same for the answer to a dry run that gives this.
    #[must_use]
    pub fn with_tried(self, tried: Option<Arc<Tried>>) -> Self {
        Self { tried, ..self }
    }

    /// Whether the object that was asked for by its name may be a release of helm's, which takes long to open however short it is.
    pub fn may_be_release(&self) -> bool {
        self.secrets && release::revision(&self.name).is_some()
    }

    /// Whether whatever is said about the object may quote what is masked.
    pub fn guards_messages(&self) -> bool {
        self.secrets || !self.fields.is_empty()
    }
}

impl MaskContext {
    /// Whether a text is the placeholder of a field of a Secret itself, as it stands there or in its last-applied annotation.
    pub(crate) fn is_own(&self, namespace: &str, name: &str, section: &str, key: &str, text: &str) -> bool {
        let scope = Scope { cluster: &self.cluster, namespace, kind: "Secret", ..Scope::default() };
        self.keys.fits(&scope, &Field { name: name.as_bytes(), ordinal: 0, section, key: key.as_bytes() }, text)
    }

    /// Whether it is what the answer to a dry run has there, in place of a value that was only tried.
    pub(crate) fn is_tried(&self, namespace: &str, name: &str, section: &str, key: &str, text: &str) -> bool {
        let scope = Scope { cluster: &self.cluster, namespace, kind: tried_kind("Secret"), ..Scope::default() };
        self.keys.fits(&scope, &Field { name: name.as_bytes(), ordinal: 0, section, key: key.as_bytes() }, text)
    }

    /// The kind in whose name a field is masked.
    fn kind_of(&self, kind: &'static str, key: &[u8]) -> &'static str {
        if self.tried.as_ref().is_some_and(|tried| tried.has(key)) { tried_kind(kind) } else { kind }
    }

    /// The kind in whose name the fields are masked that policy names.
    fn kind_of_fields(&self) -> Cow<'_, str> {
        match &self.tried {
            Some(tried) if tried.has_fields() => format!("{}, tried", self.resource).into(),
            Some(_) | None => self.resource.as_str().into(),
        }
    }

    /// The same of a Secret in a release of helm's: `carrier` is namespace and name of the Secret in which helm keeps that.
    pub(crate) fn is_carried(
        &self,
        carrier: (&str, &str),
        namespace: &str,
        name: &str,
        section: &str,
        key: &str,
        text: &str,
    ) -> bool {
        let (carrier_namespace, carrier_name) = carrier;
        let place = release::FIELD;
        let scope = Scope { cluster: &self.cluster, carrier_namespace, carrier_name, place, namespace, kind: "Secret" };
        self.keys.fits(&scope, &Field { name: name.as_bytes(), ordinal: 0, section, key: key.as_bytes() }, text)
    }

    /// What stands for a value where a release of helm's has it as a text of its own. It says nothing of where else the value is.
    pub(crate) fn value_code(&self, carrier: (&str, &str), index: u64) -> String {
        self.keys
            .placeholder(&self.value_scope(carrier), &Field { name: b"", ordinal: index, section: "value", key: b"" })
    }

    /// Whether it is one of those.
    pub(crate) fn is_value(&self, carrier: (&str, &str), text: &str) -> bool {
        let field = |ordinal| Field { name: b"", ordinal, section: "value", key: b"" };
        self.keys.fits_any(&self.value_scope(carrier), (0..shared::limits::RELEASE_VALUES as u64).map(field), text)
    }

    fn value_scope<'a>(&'a self, (carrier_namespace, carrier_name): (&'a str, &'a str)) -> Scope<'a> {
        let place = release::FIELD;
        Scope { cluster: &self.cluster, carrier_namespace, carrier_name, place, namespace: "", kind: "Value" }
    }

    /// What stands in place of that text of a `Status`.
    fn stand_in(&self, part: status::Part, text: &str) -> Cow<'static, str> {
        let words = part.stand_in(text);
        match self.operation.filter(|_| part == status::Part::Message) {
            Some(operation) => shared::status::of_operation(words, operation).into(),
            None => words.into(),
        }
    }

    /// That text of a `Status` about nothing that is masked, without what a container printed.
    fn without_object(&self, part: status::Part, text: &str) -> Option<String> {
        let quotes = part == status::Part::Message && (self.pods || self.events);
        if quotes { printed::without_object(text) } else { None }
    }

    /// The request's namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The fields that policy has masked.
    pub(crate) const fn fields(&self) -> &MaskedFields {
        &self.fields
    }

    /// Masks the fields that policy names in a document in which Secrets are masked already.
    ///
    /// # Errors
    /// It would take more memory than `budget` allows. Then the document must not be shown.
    pub(crate) fn mask_fields(&self, document: &mut serde_json::Value, budget: &mut Budget) -> Result<(), BodyError> {
        fields::mask_within(document, self, budget).map(drop)
    }

    /// The same under the key that masked before the last rotation, if it is still known.
    pub(crate) fn before_rotation(&self) -> Option<Self> {
        let keys = Arc::new(self.keys.previous()?);
        Some(Self { keys, ..self.clone() })
    }
}

/// The kind of a field of which the value was only tried.
const fn tried_kind(kind: &str) -> &'static str {
    match kind.as_bytes() {
        b"Secret" => "Secret, tried",
        _ => "tried",
    }
}

/// What a finished masker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskSummary {
    /// Values, messages and whole annotations that were replaced.
    pub masked: u64,
    /// Documents that passed: one, or the events of a watch.
    pub documents: u64,
}

/// The body can't be masked, so it must not be passed on. Offsets count the bytes of the (innermost) document's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Not JSON (RFC 8259), or a scalar where only an object makes sense.
    #[error("byte {byte:#04x} at offset {offset} is not JSON here")]
    Syntax {
        /// Where.
        offset: u64,
        /// What stands there.
        byte: u8,
    },
    /// Something follows the only document.
    #[error("the document ends before offset {offset}, and more follows")]
    Trailing {
        /// Where the first byte too many stands.
        offset: u64,
    },
    /// Not UTF-8.
    #[error("not UTF-8 at offset {offset}")]
    Utf8 {
        /// Where.
        offset: u64,
    },
    /// The input ended in mid document, or there was none.
    #[error("the body ends in mid document, after {length} bytes")]
    Truncated {
        /// Bytes that came.
        length: u64,
    },
    /// More containers inside one another than [`MASK_DEPTH`](shared::limits::MASK_DEPTH).
    #[error("nested deeper than {limit}")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// A name whose value must be masked, but which is longer than [`MASK_KEY_BYTES`](shared::limits::MASK_KEY_BYTES).
    #[error("a member to be masked has a name longer than {limit} bytes")]
    Key {
        /// The limit.
        limit: usize,
    },
    /// Something said to be a Secret only after its data was passed on. Typed and sorted objects never do.
    #[error("at offset {offset} something turns out to be about a Secret of which a part was passed on before")]
    TooLate {
        /// Where that showed.
        offset: u64,
    },
    /// The document can't be read as a whole, which masking its fields takes.
    #[error("it can't be read as a whole, so that its fields can't be masked")]
    Fields,
    /// Longer than [`MASK_FIELDS_BYTES`](shared::limits::MASK_FIELDS_BYTES).
    #[error(
        "more than {limit} bytes, and fields in them would have to be masked; ask for fewer objects at once (limit)"
    )]
    FieldsTooLong {
        /// The limit.
        limit: usize,
    },
    /// It would take more memory than [`ANSWER_TREE_BYTES`](shared::limits::ANSWER_TREE_BYTES) to read the document as a whole.
    #[error("to mask fields in it would take more than {limit} bytes of memory; ask for fewer objects at once (limit)")]
    FieldsTooMany {
        /// The limit.
        limit: usize,
    },
    /// `managedFields` of a Secret that hold more than names below `f:data`.
    #[error("managedFields of a Secret hold a value at offset {offset}")]
    ManagedFields {
        /// Where.
        offset: u64,
    },
}

/// As much of the name of an object, or of its namespace, as counts: the API server's have 253 bytes at most, but what is sent to it may have
/// any number, which every value of the object would cost again.
fn cut_name(name: &str) -> &str {
    name.get(..name.floor_char_boundary(shared::limits::MASK_KEY_BYTES)).unwrap_or(name)
}

impl MaskError {
    /// The kind of fault, without anything of the document.
    const fn words(self) -> &'static str {
        match self {
            Self::Syntax { .. } | Self::Trailing { .. } | Self::Utf8 { .. } => "it is not one JSON document",
            Self::Truncated { .. } => "it ends in the middle",
            Self::Depth { .. } => "it is nested too deeply",
            Self::Key { .. } => "a name in it is too long",
            Self::TooLate { .. } => "something in it says only after its data that it is a Secret",
            Self::Fields => "it can't be read as a whole",
            Self::FieldsTooLong { .. } | Self::FieldsTooMany { .. } => {
                "it is too large to be masked as a whole; ask for fewer objects at once (limit)"
            }
            Self::ManagedFields { .. } => "managedFields of a Secret in it hold more than names",
        }
    }

    /// A document that has to be read as a whole can't be.
    const fn of_whole(error: &BodyError) -> Self {
        if let BodyError::Memory { limit } = error { Self::FieldsTooMany { limit: *limit } } else { Self::Fields }
    }

    /// Whether the text merely isn't one JSON document, as opposed to one that can't be masked.
    const fn is_not_json(self) -> bool {
        matches!(self, Self::Syntax { .. } | Self::Trailing { .. } | Self::Truncated { .. } | Self::Utf8 { .. })
    }
}

/// Entry of the fuzz target, also run over its corpus by an ordinary test: whatever the bytes, the masker must not panic, must give the
/// same for every chunking, must leave nothing of a known value of a Secret, and must write JSON if it accepts.
#[doc(hidden)]
pub fn fuzz_mask(data: &[u8]) {
    fuzz::fuzz(data);
}

/// Entry of the fuzz target for protobuf and gzip, also run over its corpus by an ordinary test. The first byte chooses what the rest is.
#[doc(hidden)]
pub fn fuzz_mask_answer(data: &[u8]) {
    fuzz::fuzz_answer(data);
}

/// Entry of the fuzz target for the documents in helm's releases, also run over its corpus by an ordinary test.
#[doc(hidden)]
pub fn fuzz_mask_release(data: &[u8]) {
    fuzz::fuzz_release(data);
}

/// Entry of the fuzz target for placeholders, also run over its corpus by an ordinary test: whatever is made of one is known for one, and
/// nothing else ends in a panic.
#[doc(hidden)]
pub fn fuzz_placeholder(data: &[u8]) {
    placeholder::fuzz(data);
}
