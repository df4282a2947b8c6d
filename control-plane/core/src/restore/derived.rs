//! What a chart or a script makes of a placeholder. It takes what it was shown for the value, and hashes that: stored, this would stand where
//! something made of the value stood, and whoever may see the placeholder would know what fits it. No value can be put back into a hash, so
//! the write is refused.
//!
//! Found are digests of the placeholders that the write carries or that were shown of what is read for it, and the sentence that sprig puts
//! in the place of what bcrypt refuses to hash. What is salted, keyed or made of a longer text can't be told from other texts (SECURITY.md M6).
//!
//! helm 3 patches a Secret with the fields alone that are other than before, and nothing in them need be a placeholder. But it stores its
//! release first, which has the other fields too: what is refused there is not patched.
//!
//! Invariant: it depends on the request and on placeholders, never on a value, and comes before anything is compared. So that a write is refused
//! here tells nothing, and the agent doesn't count it.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::Value;
use shared::limits::RELEASE_PLACEHOLDERS;

use super::release::PLACE;
use super::{ReadObject, RestoreError, Restorer, Why};
use crate::mask::placeholder::{at_every_offset, codes};
use crate::mask::release;
use crate::mask::{FieldPath, is_placeholder};

/// What Go's bcrypt says of a text that is longer than it takes (golang.org/x/crypto/bcrypt `ErrPasswordTooLong`). sprig gives errors as texts.
const REFUSED: &str = "bcrypt: password length exceeds 72 bytes";
/// The digests that sprig has. (Its Adler-32 is a number that other texts have as well.)
static ALGORITHMS: [&Algorithm; 3] = [&SHA1_FOR_LEGACY_USE_ONLY, &SHA256, &SHA512];
/// Characters of a digest that tell it: charts cut them. Sixteen are 64 bits or more, which no other text has by chance.
const PIECE: usize = 16;
/// Of so many placeholders digests are looked for in a write that is no release: it has no turn of its own, and 36 texts for each are a megabyte.
const WRITE_PLACEHOLDERS: usize = 32;
/// Where a release has what was rendered, beside its manifests.
const NOTES: &str = "/info/notes";
/// Where it has what a user gave; what the chart brings with it says nothing of a value.
const GIVEN: [&str; 2] = ["/config", "/chart/values"];

impl Restorer<'_> {
    /// Refuses what was made of placeholders, if there are any in the write.
    pub(super) fn is_not_derived(&self, body: &Value) -> Result<(), RestoreError> {
        let written = [Some(body), self.release.map(|payload| &payload.document)];
        let read = self.objects().flat_map(ReadObject::shown);
        let most = if self.release.is_some() { RELEASE_PLACEHOLDERS } else { WRITE_PLACEHOLDERS };
        let derived = Derived::of(written.into_iter().flatten().chain(read), most);
        // They are bounded, and so many can be looked for.
        let derived = derived.ok_or_else(|| RestoreError { field: String::new(), why: Why::Many })?;
        if let Some(payload) = self.release {
            let shown = |place: &str, text: &str| self.shown_as(place, text).is_some();
            derived.in_release(&payload.document, &shown)?;
        }
        let mut path = Vec::new();
        let packed = |place: &str, _: &str| self.release.is_some() && place == PLACE;
        derived.within(body, &mut path, &packed).map_or(Ok(()), |why| refused(pointer(&path), why))
    }
}

/// Refuses a new revision without a placeholder that has what bcrypt refused in it: a chart may store nothing of a value but its hash. The texts are
/// searched as they are, for nothing is read for such a release; later writes of it store no more than is there.
pub(super) fn has_no_refusal(document: &Value) -> Result<(), RestoreError> {
    let rendered = release::manifests(document).into_iter().chain([NOTES.to_owned()]);
    for place in rendered {
        let text = document.pointer(&place).and_then(Value::as_str).unwrap_or_default().as_bytes();
        if refusals().any(|refusal| memmem::find(text, &refusal).is_some()) {
            return refused(format!("{PLACE}{place}"), Why::Unhashed);
        }
    }
    Ok(())
}

/// The sentence, and what is always in its base64.
fn refusals() -> impl Iterator<Item = Vec<u8>> {
    std::iter::once(REFUSED.as_bytes().to_vec()).chain(at_every_offset(REFUSED.as_bytes(), &STANDARD))
}

fn refused<T>(field: String, why: Why) -> Result<T, RestoreError> {
    Err(RestoreError { field, why })
}

fn pointer(path: &[String]) -> String {
    FieldPath::from(path.to_vec()).to_string()
}

/// What is looked for.
struct Derived {
    search: AhoCorasick,
    /// How many of them, the first ones, are what bcrypt refused.
    refusals: usize,
}

impl Derived {
    /// By the placeholders in these documents, of which the first are taken, `most` at most.
    fn of<'a>(documents: impl Iterator<Item = &'a Value>, most: usize) -> Option<Self> {
        let mut found = BTreeSet::new();
        documents.for_each(|document| collect(document, most, &mut found));
        let mut pieces: Vec<Vec<u8>> = refusals().collect();
        let refusals = pieces.len();
        for code in found {
            let sentence = STANDARD.decode(&code).unwrap_or_default();
            for text in [sentence, code.into_bytes()] {
                // With the line end that `echo` and files have.
                let line = [text.as_slice(), b"\n"].concat();
                [text, line].iter().for_each(|text| pieces.extend(digests(text)));
            }
        }
        Some(Self { search: AhoCorasick::new(pieces).ok()?, refusals })
    }

    /// A release as it is written. What stands there already is not made anew, so a rollback may bring it back.
    fn in_release(&self, document: &Value, shown: &dyn Fn(&str, &str) -> bool) -> Result<(), RestoreError> {
        for place in release::manifests(document) {
            let manifest = document.pointer(&place).and_then(Value::as_str).unwrap_or_default();
            if !shown(&place, manifest) {
                self.in_manifest(&place, manifest)?;
            }
        }
        for place in [NOTES].into_iter().chain(GIVEN) {
            let Some(value) = document.pointer(place) else { continue };
            let mut path = place.split('/').skip(1).map(str::to_owned).collect();
            if let Some(why) = self.within(value, &mut path, shown) {
                return refused(format!("{PLACE}{}", pointer(&path)), why);
            }
        }
        Ok(())
    }

    fn in_manifest(&self, place: &str, manifest: &str) -> Result<(), RestoreError> {
        let here = || format!("{PLACE}{place}");
        let Some(pieces) = release::pieces(manifest) else {
            return self.in_text(manifest).map_or(Ok(()), |why| refused(here(), why));
        };
        for piece in pieces {
            let Some(document) = &piece.document else {
                self.in_text(piece.text).map_or(Ok(()), |why| refused(here(), why))?;
                continue;
            };
            let mut path = Vec::new();
            if let Some(why) = self.within(document, &mut path, &|_, _| false) {
                return refused(super::release::inside(&here(), document, &pointer(&path)), why);
            }
        }
        Ok(())
    }

    /// The first text, or name of a member, that was made of a placeholder; `path` is where it stands then. `passes`: those that may be.
    fn within(&self, value: &Value, path: &mut Vec<String>, passes: &dyn Fn(&str, &str) -> bool) -> Option<Why> {
        match value {
            Value::String(text) => self.in_text(text).filter(|_| !is_checksum(path) && !passes(&pointer(path), text)),
            Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
                path.push(index.to_string());
                let why = self.within(item, path, passes);
                if why.is_none() {
                    path.pop();
                }
                why
            }),
            Value::Object(members) => members.iter().find_map(|(name, member)| {
                path.push(name.clone());
                let why = self.in_text(name).or_else(|| self.within(member, path, passes));
                if why.is_none() {
                    path.pop();
                }
                why
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// Also in what a text is the base64 of, as a field under `data` is. Each time it gets shorter by a quarter.
    fn in_text(&self, text: &str) -> Option<Why> {
        if text.len() < PIECE {
            return None;
        }
        self.in_bytes(text.as_bytes()).or_else(|| {
            let decoded = release::decoded(text)?;
            self.in_bytes(&decoded).or_else(|| self.in_text(std::str::from_utf8(&decoded).ok()?))
        })
    }

    fn in_bytes(&self, bytes: &[u8]) -> Option<Why> {
        let found = self.search.find(bytes)?;
        Some(if found.pattern().as_usize() < self.refusals { Why::Unhashed } else { Why::Hashed })
    }
}

/// What says only whether something else has changed, as helm's documentation has charts do it (`checksum/config`): nobody logs in with it.
fn is_checksum(path: &[String]) -> bool {
    match path {
        [.., metadata, place, name] => {
            metadata == "metadata" && (place == "annotations" || place == "labels") && name.contains("checksum")
        }
        _ => false,
    }
}

/// Placeholders in a document, in base64.
fn collect(document: &Value, most: usize, found: &mut BTreeSet<String>) {
    match document {
        Value::String(text) => {
            let room = most.saturating_sub(found.len());
            let codes = codes(text).into_iter().map(|(_, code)| code);
            found.extend(codes.filter(|code| is_placeholder(code)).take(room));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, most, found)),
        Value::Object(members) => members.values().for_each(|member| collect(member, most, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The beginning of each digest of a text in hex, in either case, and in base64.
fn digests(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    ALGORITHMS.into_iter().flat_map(|algorithm| {
        let digest = digest(algorithm, text);
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [hex.to_ascii_uppercase(), hex, STANDARD.encode(digest)];
        forms.map(|form| form.into_bytes().into_iter().take(PIECE).collect())
    })
}
