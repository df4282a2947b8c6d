//! helm's releases: Secrets in which helm keeps each revision of a release, with all that it installed. helm could do nothing with a
//! revision that is masked as a whole (it takes it for none), so it is opened, and what is in it is masked:
//!
//! - `data` and `stringData` of every Secret in `manifest` and in the manifests of hooks get placeholders of their own: of this revision,
//!   for an older one may have another value.
//! - Their values are looked for in everything else. A text that is one (`config.password`) becomes a placeholder of that value, so that a
//!   chart may be rendered from it again; one that holds one among other things gets a placeholder in its place, and goes back only as a
//!   whole ([`restore`](crate::restore)).
//!
//! Names of the release's objects are public and are not looked for, nor are short values where other objects would be changed by it.
//! What can't be opened or read is masked whole, like any field of a Secret.

mod manifest;
mod payload;
#[cfg(test)]
pub(crate) mod tests;
mod texts;

use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::PAD;
use base64::{Engine as _, alphabet};
use memchr::{memchr, memmem};
use serde_json::Value;
use zeroize::Zeroize;

pub(crate) use manifest::{Piece, SecretField, fields, pieces, secrets};
pub(crate) use payload::Payload;
pub(crate) use texts::is_data;

use super::frame::Role;
use super::masker::{Carrier, Masker};
use super::open::Fate;
use super::scan::State;
use super::text::Use;
use super::{MaskContext, value};
use texts::Texts;

/// How the names of helm's Secrets begin (helm pkg/storage/storage.go); the release and `.v1` follow.
pub(crate) const NAME: &str = "sh.helm.release.v1.";
/// The member of `data` with the payload.
pub(crate) const FIELD: &str = "release";

/// Release and revision in the name of a Secret of helm's.
pub(crate) fn revision(name: &str) -> Option<(&str, u64)> {
    let (release, revision) = name.strip_prefix(NAME)?.rsplit_once(".v")?;
    Some((release, revision.parse().ok()?))
}

/// The name of the Secret with that revision.
pub(crate) fn name_of(release: &str, revision: u64) -> String {
    format!("{NAME}{release}.v{revision}")
}

/// Where a release has manifests, as pointers (RFC 6901).
pub(crate) fn manifests(document: &Value) -> Vec<String> {
    let hooks = document.get("hooks").and_then(Value::as_array).map_or(0, Vec::len);
    let all = std::iter::once("/manifest".to_owned()).chain((0..hooks).map(|hook| format!("/hooks/{hook}/manifest")));
    all.filter(|pointer| document.pointer(pointer).is_some_and(Value::is_string)).collect()
}

impl Masker {
    /// Namespace and name of the release of helm's whose payload begins here.
    pub(super) fn release(&self) -> Option<(String, String)> {
        // First, for it is asked of every value of every Secret, and hardly ever so.
        if self.name != FIELD.as_bytes() || !self.context.secrets || self.level > 0 || self.section != "data" {
            return None;
        }
        let owner = self.stack.len().checked_sub(1)?;
        let subject = self.subjects.get(self.live.checked_sub(1)?).filter(|subject| subject.depth == owner)?;
        let name = std::str::from_utf8(&subject.name).ok()?;
        let namespace = std::str::from_utf8(&subject.namespace).ok()?;
        let namespace = if namespace.is_empty() { &self.context.namespace } else { namespace };
        revision(name).map(|_| (namespace.to_owned(), name.to_owned()))
    }

    /// Whether the payload of a release may end in this piece of input, also one that begins there: a short one can take long. With no piece,
    /// where that is packed or something is left out of it first, nobody can tell.
    pub(super) fn opens_release(&self, piece: Option<&[u8]>) -> bool {
        let ends =
            |piece| self.text_use == Use::Release && self.state == State::InString && memchr(b'"', piece).is_some();
        // Its name may stand in the piece before, also with its colon. (Which name is cut is not asked. What is masked elsewhere leaves this thread to
        // send what came before: told more exactly, a long list ends a fifth sooner, and begins half as late again.)
        let named = matches!(self.state, State::Colon | State::Value) && self.top.role == Role::SecretData;
        let begun = self.state == State::InKey || named && self.name == FIELD.as_bytes();
        let begins = |piece| begun || memmem::find(piece, br#""release""#).is_some();
        self.context.secrets && piece.is_none_or(|piece| ends(piece) || begins(piece))
    }

    /// Bytes of a payload that is not complete.
    pub(super) fn held(&self) -> usize {
        if self.text_use == Use::Release && self.state == State::InString { self.text.len() } else { 0 }
    }

    /// The payload is complete.
    pub(super) fn end_release(&mut self, out: &mut Vec<u8>) {
        let mut text = std::mem::take(&mut self.text);
        let opened = match (self.overflow, self.release(), std::str::from_utf8(&text)) {
            (false, Some((namespace, name)), Ok(field)) => mask(field, &self.context, &namespace, &name),
            _ => None,
        };
        text.zeroize();
        match opened {
            Some((text, masked)) => {
                self.summary.masked += masked;
                out.extend_from_slice(text.as_bytes());
            }
            None => self.replace(Fate::Field, out),
        }
    }
}

/// A payload as it may be seen, and how many values were replaced in it. `None`: it can't be opened, or not be read as a whole.
pub(super) fn mask(field: &str, context: &MaskContext, namespace: &str, name: &str) -> Option<(String, u64)> {
    let mut payload = Payload::open(field)?;
    let masked = mask_document(&mut payload.document, context, namespace, name)?.count;
    if masked == 0 {
        return Some((field.to_owned(), 0));
    }
    Some((payload.write()?, masked))
}

/// What was masked.
pub(crate) struct Masked {
    /// Values and texts that were replaced.
    pub(crate) count: u64,
    /// What stands for a value by itself, and the value.
    pub(crate) codes: Vec<(String, Vec<u8>)>,
}

/// The same for what was opened.
pub(crate) fn mask_document(
    document: &mut Value,
    context: &MaskContext,
    namespace: &str,
    name: &str,
) -> Option<Masked> {
    let carrier = Carrier { namespace: namespace.to_owned(), name: name.to_owned(), place: FIELD.to_owned() };
    let mut found = Vec::new();
    let mut texts = Texts::default();
    let mut written = Vec::new();
    for pointer in manifests(document) {
        let manifest = document.pointer(&pointer)?.as_str()?;
        let mut parts = Vec::new();
        for piece in pieces(manifest)? {
            let mut masked = piece.document.clone().unwrap_or(Value::Null);
            if value::mask_carried(&mut masked, context, carrier.clone()) > 0 {
                differences(piece.document.as_ref().unwrap_or(&Value::Null), &masked, false, &mut found);
                parts.push(piece.rewritten(&masked));
            } else {
                texts.publish(&masked);
                parts.push(piece.text.to_owned());
            }
        }
        written.push((pointer, parts));
    }
    texts.publish_release(document);
    let code = |index| context.value_code((namespace, name), index);
    let mut search = texts.search(&found, &code)?;
    let mut masked = found.len() as u64;
    for (pointer, parts) in written {
        let mut manifest = String::new();
        for text in parts {
            // Of a document with a Secret too: it may have the value in a label as well.
            match search.other(&text) {
                Some(text) => {
                    masked += 1;
                    manifest.push_str(&text);
                }
                None => manifest.push_str(&text),
            }
        }
        *document.pointer_mut(&pointer)? = Value::String(manifest);
    }
    masked += search.document(document)?;
    Some(Masked { count: masked, codes: search.codes })
}

/// What a text under `data` stands for, as Go's decoder has it: line breaks are not there, and the last character may have bits too many
/// (Go encoding/base64).
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    const AS_GO: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    AS_GO.decode(text).ok()
}

/// A value of a Secret in a manifest, and what stands in its place.
pub(super) struct Found {
    placeholder: String,
    value: Vec<u8>,
}

/// Where a document was masked. What was replaced as a whole counts with all its texts. `plain`: not in base64.
fn differences(before: &Value, after: &Value, plain: bool, found: &mut Vec<Found>) {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            before.iter().zip(after).for_each(|(before, after)| differences(before, after, plain, found));
        }
        (Value::Object(before), Value::Object(after)) => {
            for ((name, before), after) in before.iter().zip(after.values()) {
                differences(before, after, plain || name.eq_ignore_ascii_case("stringData"), found);
            }
        }
        (_, Value::String(placeholder)) if before != after => collect(before, placeholder, plain, found),
        _ => {}
    }
}

fn collect(value: &Value, placeholder: &str, plain: bool, found: &mut Vec<Found>) {
    let mut add = |text: &str| {
        let decoded = if plain { None } else { decoded(text) };
        let value = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
        found.push(Found { placeholder: placeholder.to_owned(), value });
    };
    match value {
        Value::Null => {}
        Value::String(text) => add(text),
        Value::Bool(_) | Value::Number(_) => add(&value.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, placeholder, plain, found)),
        Value::Object(members) => members.values().for_each(|item| collect(item, placeholder, plain, found)),
    }
}
