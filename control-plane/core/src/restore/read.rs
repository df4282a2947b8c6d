//! An object that the agent read inside an operation: as it is, and as a client would have been shown it.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroize;

use super::carried::Carried;
use super::release::StoredRelease;
use super::walk::value;
use crate::body::{BodyError, Budget, Encoding, json};
use crate::hide::Hidden;
use crate::mask::{LAST_APPLIED, Live, MaskContext, MaskError, MaskedFields, Masker, Written};
use crate::request::Request;

/// It never leaves the process, and its texts are wiped when it goes. `Debug` shows nothing of it.
pub struct ReadObject {
    real: Value,
    masked: Value,
    /// As it was masked before the key was rotated, where that is still recognised.
    before: Option<Value>,
    /// What is in it, if it is one of helm's.
    release: Option<StoredRelease>,
}

/// What was read is no object that could be masked. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It can't be masked.
    #[error("the object that was read can't be masked")]
    Mask(#[source] MaskError),
    /// Not JSON, or no object.
    #[error("what was read is no object")]
    NoObject,
    /// Nested deeper than [`BODY_DEPTH`](shared::limits::BODY_DEPTH).
    #[error("what was read is nested too deep")]
    Deep,
    /// More in memory than [`ANSWER_TREE_BYTES`](shared::limits::ANSWER_TREE_BYTES), or with all that a write has than
    /// [`WRITE_TREE_BYTES`](shared::limits::WRITE_TREE_BYTES).
    #[error("what was read takes more memory than there is for it")]
    Memory,
}

impl ReadError {
    fn of(error: BodyError) -> Self {
        match error {
            BodyError::Memory { .. } => Self::Memory,
            BodyError::Depth { .. } => Self::Deep,
            BodyError::Empty
            | BodyError::TooLong { .. }
            | BodyError::MediaType { .. }
            | BodyError::Nodes { .. }
            | BodyError::DuplicateKey { .. }
            | BodyError::Syntax { .. }
            | BodyError::Scalar { .. }
            | BodyError::Yaml { .. }
            | BodyError::Shape { .. }
            | BodyError::Operations { .. }
            | BodyError::Protobuf { .. } => Self::NoObject,
        }
    }
}

/// What one write may still take in memory. `Debug` shows no more than numbers.
#[derive(Debug)]
pub struct WriteRoom {
    budget: Budget,
    /// What is read is copied to see what the operations of a JSON Patch make of it.
    is_patched: bool,
}

impl WriteRoom {
    /// With the request in it.
    ///
    /// # Errors
    /// [`ReadError::Memory`]: that alone is too much.
    pub fn of(request: &Request, carried: &Carried) -> Result<Self, ReadError> {
        let mut budget = Budget::of_write();
        let body = request.body();
        let is_patched = body.is_some_and(|body| body.encoding == Encoding::JsonPatch);
        // It is there, it is copied and values are put back in the copy, and what a JSON Patch puts somewhere stands there, too.
        let copies = if is_patched { 3 } else { 2 };
        let bodies = std::iter::repeat_n(body, copies).flatten().map(|body| &body.value);
        // A release is there, with values, and as both would be shown.
        let releases = std::iter::repeat_n(carried.release(), 4).flatten().map(|payload| &payload.document);
        bodies.chain(releases).try_for_each(|document| budget.document(document)).map_err(ReadError::of)?;
        Ok(Self { budget, is_patched })
    }
}

impl ReadObject {
    /// From the bytes of the API server's answer to the GET that `context` is for.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn new(body: &[u8], context: &MaskContext) -> Result<Self, ReadError> {
        Self::within(body, context, &mut WriteRoom { budget: Budget::of_answer(), is_patched: false })
    }

    /// The same for a write, with all else that it has in memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn within(body: &[u8], context: &MaskContext, room: &mut WriteRoom) -> Result<Self, ReadError> {
        // One for all three: they are in memory together.
        let budget = room.budget.again();
        let masked = masked(body, context, budget)?;
        let old = context.before_rotation();
        let before = old.as_ref().map(|context| self::masked(body, context, budget)).transpose()?;
        let real = Some(read(body, budget)?).filter(Value::is_object).ok_or(ReadError::NoObject)?;
        if room.is_patched {
            budget.document(&real).map_err(ReadError::of)?;
        }
        let masks = std::iter::once(context).chain(&old);
        let release = StoredRelease::of(&real, std::iter::once(&masked).chain(&before), masks);
        let documents = release.iter().flat_map(StoredRelease::documents);
        documents.into_iter().try_for_each(|document| budget.document(document)).map_err(ReadError::of)?;
        Ok(Self { real, masked, before, release })
    }

    /// As it may be seen.
    pub const fn masked(&self) -> &Value {
        &self.masked
    }

    /// Whether policy hides it.
    pub fn is_hidden(&self, hidden: &Hidden) -> bool {
        hidden.hides_value(&self.real)
    }

    /// As it is.
    pub(crate) const fn real(&self) -> &Value {
        &self.real
    }

    /// What is in it, if it is a release of helm's.
    pub(super) const fn release(&self) -> Option<&StoredRelease> {
        self.release.as_ref()
    }

    /// All that was shown of it, under each key: itself, and the release in it.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Value> {
        let releases = self.release.iter().flat_map(StoredRelease::shown);
        std::iter::once(&self.masked).chain(&self.before).chain(releases)
    }

    /// Placeholders that were shown of it, with what they stand for: fields of a Secret, values of a release.
    pub(super) fn codes(&self) -> Vec<(String, Vec<u8>)> {
        if let Some(release) = &self.release {
            return release.codes().to_vec();
        }
        let shown = [Some(&self.masked), self.before.as_ref()].into_iter().flatten();
        let fields = shown.filter_map(|shown| shown.get("data")?.as_object()).flatten();
        let code = |(key, code): (&String, &Value)| Some((code.as_str()?.to_owned(), value(&self.real, key)?.ok()?));
        fields.filter_map(code).collect()
    }

    /// Its namespace and name.
    pub(super) fn place(&self) -> (&str, &str) {
        let text =
            |field: &str| self.masked.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
        (text("namespace").unwrap_or_default(), text("name").unwrap_or_default())
    }

    /// Each text in a document that stands in the place of a field that policy masks, as that was shown, with what the field has.
    pub(super) fn fields_shown_in<'a>(
        &'a self,
        fields: &MaskedFields,
        written: Written<'_>,
        found: &mut dyn FnMut(&str, &'a Value),
    ) {
        for shown in [Some(&self.masked), self.before.as_ref()].into_iter().flatten() {
            fields.fitting(written, Live { real: &self.real, shown }, found);
        }
    }

    /// The annotation as it is, if this is how it was shown.
    pub(super) fn annotation_shown_as(&self, name: &str, text: &str) -> Option<&str> {
        let shown = [Some(&self.masked), self.before.as_ref()];
        shown.into_iter().flatten().any(|shown| annotation(shown, name) == Some(text)).then_some(())?;
        annotation(&self.real, name)
    }

    /// Whether an annotation of the object that was applied last is shown so, in that document.
    pub(super) fn applies_annotation_as(&self, name: &str, text: &str) -> bool {
        let member = format!("\"{name}\":\"{text}\"");
        let shown = [Some(&self.masked), self.before.as_ref()].into_iter().flatten();
        shown.filter_map(|shown| annotation(shown, LAST_APPLIED)).any(|applied| applied.contains(&member))
    }

    /// The annotation as it is.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        annotation(&self.real, name)
    }
}

fn masked(body: &[u8], context: &MaskContext, budget: &mut Budget) -> Result<Value, ReadError> {
    let mut masker = Masker::new(context.clone());
    let mut out = Vec::with_capacity(body.len());
    masker.push(body, &mut out).map_err(ReadError::Mask)?;
    masker.finish().map_err(ReadError::Mask)?;
    let mut value = read(&out, budget)?;
    context.mask_fields(&mut value, budget).map_err(ReadError::of)?;
    Ok(value)
}

fn read(body: &[u8], budget: &mut Budget) -> Result<Value, ReadError> {
    json::read_answer(body, budget.again()).map(|answer| answer.value).map_err(ReadError::of)
}

pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// Wipes the texts of a document. Its numbers and names stay: values of Secrets are texts.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Drop for ReadObject {
    fn drop(&mut self) {
        wipe(&mut self.real);
        if let Some(release) = &mut self.release {
            release.wipe(wipe);
        }
    }
}

impl fmt::Debug for ReadObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadObject").finish_non_exhaustive()
    }
}
