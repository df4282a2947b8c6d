//! Restoring: on the way to the API server, placeholders that a client writes back become the values that they stand for.
//!
//! A value goes where it stands already, and nowhere else: into the field of that very object, or into the same field of that object's
//! last-applied annotation; and into a release of helm's, where that object is part of it and is masked in turn. So whatever a request makes of placeholders, nothing can be learnt from a value that it puts back, but that
//! it is there. Everything else that carries a placeholder, or a piece of one, is refused: it would destroy a value or move one
//! (SECURITY.md M5, M6).
//!
//! Pure: values come from what the agent read inside the operation ([`ReadObject`]), by the grant's `reads`. Called by
//! [`finish`](crate::finish::finish) alone, for the digests of grant and approval are of what the client sent, and by the comparison of
//! values for approvers ([`changes`]).

mod document;
mod read;
mod release;
mod walk;

#[cfg(test)]
mod tests;

use serde_json::Value;
#[cfg(doc)]
use shared::limits;

pub(crate) use document::go_text;
pub use read::{ReadError, ReadObject};
pub use walk::Restorer;

use crate::body::Encoding;
use crate::mask::{MaskContext, changes, find_placeholder};
use crate::request::Request;
use crate::request_info::{RequestInfo, Verb};

/// Why a write that carries a placeholder is not sent. `Display` is the sentence for the client; there is no value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} holds a placeholder of Sallyport {why}")]
pub struct RestoreError {
    /// Where, as a JSON Pointer into the object or, for the operations of a JSON Patch, into the patch.
    pub field: String,
    /// Why.
    pub why: Why,
}

/// What is wrong with a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// Not where values are put back.
    #[error(
        "where none is put back: a Secret's value goes back only into data or stringData of that Secret. Refer to it by name, or write \
         a value of your own"
    )]
    Elsewhere,
    /// Whole, and of another place.
    #[error(
        "that stands for another object or field. Write it back where you read it, leave the field out, or write a value of your own"
    )]
    Other,
    /// Cut, encoded anew, or in the middle of something.
    #[error(
        "that was cut, encoded anew or put into a longer text, so that its value can't be put back. Write it back as you read it"
    )]
    Altered,
    /// There is no such object.
    #[error("and there is no such object any more to take the value from. Write the value itself")]
    NoObject,
    /// The object has no such field.
    #[error(
        "and the object has no such field any more to take the value from. Write the value itself, or leave the field out"
    )]
    NoField,
    /// The value is no UTF-8.
    #[error("whose value is no text. Write it back under data, in base64, as you read it")]
    NotText,
    /// The other operations of a JSON Patch.
    #[error("in a JSON Patch that copies, moves or tests. Only add and replace put a value back")]
    Operation,
    /// A value that is put back into a release stands in it in the clear, too.
    #[error(
        "whose value stands somewhere in it in the clear: whoever reads the release would learn that it is the same. Give the value \
         itself in both places, or in neither"
    )]
    InClear,
    /// More than [`limits::RELEASE_PLACEHOLDERS`], or more bytes put back than a release may have.
    #[error("more often, or for more, than values are put back into one release. Install the chart in parts")]
    Many,
    /// A release of helm's that is not stored.
    #[error("in a dry run of a release: values are put back only into what is stored")]
    DryRun,
    /// A payload of helm's that can't be opened.
    #[error("or may hold one: what helm keeps there can't be read as a release, or is longer than Sallyport reads")]
    Unreadable,
}

/// Whether a request carries a placeholder, so that an object has to be read before it can be sent. `None`: it carries none, or nothing
/// that could be read would help ([`check`] says so).
pub fn needed(request: &Request) -> Option<RequestInfo> {
    let carries = find_placeholder(&request.body()?.value).is_some() || release::written(request).ok()?.is_some();
    if carries { source(request) } else { None }
}

/// Where more may have to be read: a placeholder in a write of a Secret may be of a release of helm's in the same namespace, or of a Secret
/// whose value a chart looked up. Which ones only the agent can tell ([`further`]).
pub fn beside(request: &Request) -> Option<RequestInfo> {
    needed(request).filter(|_| changes::is_secret(request.info()))
}

/// What has to be read beside the object that is written.
pub fn further(request: &Request, live: Option<&ReadObject>, mask: &MaskContext) -> Vec<RequestInfo> {
    let Some(own) = beside(request) else { return Vec::new() };
    let names = release::further(request, live, mask).into_iter();
    names.map(|name| RequestInfo { name, ..own.clone() }).collect()
}

/// Refuses what can't be restored whatever is read.
///
/// # Errors
/// The first place with a placeholder.
pub fn check(request: &Request) -> Result<(), RestoreError> {
    release::written(request)?;
    let found = request.body().and_then(|body| find_placeholder(&body.value));
    match found {
        Some(field) if source(request).is_none() => Err(RestoreError { field: field.to_string(), why: Why::Elsewhere }),
        Some(_) | None => Ok(()),
    }
}

/// The object whose values a request may put back: the one that it writes. A create names it in its body; if there is none, nothing fits.
fn source(request: &Request) -> Option<RequestInfo> {
    let info = request.info();
    match info.verb {
        Verb::Update | Verb::Patch => info.live_object(),
        Verb::Create if changes::is_secret(info) && !request.object_name().is_empty() => {
            let name = request.object_name().to_owned();
            RequestInfo { name, ..info.clone() }.live_object()
        }
        Verb::Create
        | Verb::Get
        | Verb::List
        | Verb::Watch
        | Verb::Delete
        | Verb::DeleteCollection
        | Verb::Post
        | Verb::Put
        | Verb::Head
        | Verb::Options => None,
    }
}

impl Restorer<'_> {
    /// The body with values where its placeholders were; `None`: it has none.
    ///
    /// # Errors
    /// The first placeholder that can't be restored; then nothing may be sent.
    pub fn restore(&self, encoding: Encoding, body: &Value) -> Result<Option<Value>, RestoreError> {
        let payload = self.payload(encoding, body)?;
        if payload.is_none() && find_placeholder(body).is_none() {
            return Ok(None);
        }
        let mut restored = body.clone();
        match encoding {
            Encoding::JsonPatch => self.operations(&mut restored)?,
            Encoding::Json
            | Encoding::Yaml
            | Encoding::Protobuf
            | Encoding::MergePatch
            | Encoding::StrategicMergePatch
            | Encoding::ApplyPatch => self.object(&mut restored)?,
        }
        if let (Some(payload), Some(slot)) = (payload, restored.pointer_mut(release::PLACE)) {
            *slot = Value::String(payload);
        }
        Ok(Some(restored))
    }
}
