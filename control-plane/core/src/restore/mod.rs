//! Restoring: on the way to the API server, placeholders that a client writes back become the values that they stand for.
//!
//! A value goes where it stands already, and nowhere else: into the field of that very object, or into the same field of that object's
//! last-applied annotation; and into a release of helm's, where that object is part of it and is masked in turn. So whatever a request makes of placeholders, nothing can be learnt from a value that it puts back, but that
//! it is there. Everything else that carries a placeholder, or a piece of one, is refused: it would destroy a value or move one
//! (SECURITY.md M5, M6).
//!
//! Pure: values come from what the agent read inside the operation ([`ReadObject`]), by the grant's `reads`. Called by
//! [`finish`](crate::finish::finish) alone, for the digests of grant and approval are of what the client sent, and by the comparison of
//! values for approvers ([`crate::mask::changes`]).

mod carried;
mod derived;
mod document;
mod read;
mod release;
mod walk;

#[cfg(test)]
mod tests;

use serde_json::Value;
#[cfg(doc)]
use shared::limits;

pub use carried::Carried;
pub(crate) use document::go_text;
pub use read::{ReadError, ReadObject, WriteRoom};
pub(crate) use walk::Restorer;

use crate::body::Encoding;
use crate::mask::{MaskContext, find_placeholder};

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
        "where none is put back: a Secret's value goes back only into data or stringData of that Secret, an annotation of an object only as \
         it was read, and a field that policy masks only into itself, in the element of a list that it was read in. Refer to it by name, or \
         write a value of your own"
    )]
    Elsewhere,
    /// Whole, and of another place.
    #[error(
        "that stands for another object or field. Write it back where you read it, leave the field out, or write a value of your own"
    )]
    Other,
    /// Of the answer to a dry run.
    #[error(
        "that stands for a value which was only tried in a dry run, and which nobody has kept. Write the value itself, or leave the field out"
    )]
    Tried,
    /// Cut, encoded anew, or in the middle of something.
    #[error(
        "that was cut, encoded anew or put into a longer text, so that its value can't be put back. Write it back as you read it"
    )]
    Altered,
    /// There is no such object.
    #[error(
        "and there is no object of this name to take the value from: a placeholder stands for a value where it was read, and nowhere else. Write the value itself"
    )]
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
    /// What a JSON Patch would make of masked fields can't be told.
    #[error("in a JSON Patch that can't be applied to the object as it is. Read the object again")]
    Unapplied,
    /// A value that is put back into a release stands in it in the clear, too.
    #[error(
        "whose value stands somewhere in it in the clear: whoever reads the release would learn that it is the same. Give the value \
         itself in both places, or in neither"
    )]
    InClear,
    /// More than [`limits::RELEASE_PLACEHOLDERS`], of more than [`limits::RELEASE_READS_OF_REVISIONS`] revisions, or more bytes put back than a
    /// release may have.
    #[error(
        "more often, or for more, or of more revisions than values are put back by one write. Install the chart in parts, and write values \
         of one revision at a time"
    )]
    Many,
    /// A value of a release of helm's, in what is not stored.
    #[error("of a release, in a dry run: values of releases are put back only into what is stored")]
    DryRun,
    /// The object and what is written are more in memory than [`limits::WRITE_TREE_BYTES`].
    #[error(
        "in an object that takes more memory than there is for putting values back. Leave the field out, and change parts of the object with a patch"
    )]
    Large,
    /// What is put back would stand beside another value of the same field: whoever uses the field's placeholder later would learn whether
    /// the two are the same.
    #[error(
        "of a field that the release has more than once, and not with one value. Give each field once, or the same value everywhere"
    )]
    Twice,
    /// A digest of one (`derived.rs`).
    #[error(
        "as a hash: a chart or a script made it of the placeholder that it was shown, not of the value, and none can be put back into a \
         hash. Give the chart the value itself (--set), or leave the field out"
    )]
    Hashed,
    /// What bcrypt said of one (`derived.rs`).
    #[error(
        "that a chart or a script could not hash, or another text that is too long: bcrypt takes 72 bytes at most, and says so in place of \
         the hash. Give the chart the value itself (--set), or leave the field out"
    )]
    Unhashed,
    /// A payload of helm's that can't be opened.
    #[error("or may hold one: what helm keeps there can't be read as a release, or is longer than Sallyport reads")]
    Unreadable,
}

impl Restorer<'_> {
    /// The body with values where its placeholders were; `None`: it has none.
    ///
    /// # Errors
    /// The first placeholder that can't be restored; then nothing may be sent.
    pub(crate) fn restore(&self, encoding: Encoding, body: &Value) -> Result<Option<Value>, RestoreError> {
        if self.release.is_none() && find_placeholder(body).is_none() {
            return Ok(None);
        }
        self.is_not_derived(body)?;
        let payload = self.release.map(|payload| self.payload(payload, body)).transpose()?;
        let mut restored = body.clone();
        let slot = |restored: &mut Value, text| {
            if let Some(slot) = restored.pointer_mut(release::PLACE) {
                *slot = text;
            }
        };
        if payload.is_some() {
            // Where it is not packed, what was in it shows through.
            slot(&mut restored, Value::Null);
        }
        match encoding {
            Encoding::JsonPatch => self.operations(&mut restored)?,
            Encoding::Json
            | Encoding::Yaml
            | Encoding::Protobuf
            | Encoding::MergePatch
            | Encoding::StrategicMergePatch
            | Encoding::ApplyPatch => self.object(&mut restored)?,
        }
        if let Some(payload) = payload {
            slot(&mut restored, Value::String(payload));
        }
        Ok(Some(restored))
    }
}

/// The body of a write of a Secret with values where its placeholders were, as far as the Secret itself has them; `None`: it has none, or it
/// will be refused.
pub(crate) fn of_secret(
    encoding: Encoding,
    body: &Value,
    live: Option<&ReadObject>,
    mask: &MaskContext,
) -> Option<Value> {
    let release = release::payload(name_of(body, live), encoding, body).ok()?;
    let restorer = Restorer { secret: true, release: release.as_ref(), dry_run: false, live, more: &[], mask };
    restorer.restore(encoding, body).ok().flatten()
}

/// The name of what a body writes: a patch need not say it.
fn name_of<'a>(body: &'a Value, live: Option<&'a ReadObject>) -> &'a str {
    let named = body.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
    named.or_else(|| Some(live?.place().1)).unwrap_or_default()
}
