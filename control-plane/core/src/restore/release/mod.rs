//! helm's releases on their way back. helm writes a revision as it was shown it (an upgrade marks the old one superseded, a rollback
//! copies an older one), or with placeholders that its chart looked up in a Secret. What is stored is what helm would have written
//! without us:
//!
//! - A text that stands in the same place of a revision that was read, and was shown so, becomes what it is there.
//! - In a Secret of a manifest, the placeholder of that Secret's field becomes the value: of the Secret itself, or the one that the field
//!   has in the revision whose placeholder it is. So an ordinary write of a Secret gets an older value back in a rollback, too.
//! - The placeholder of a value that stood among a user's values goes into a field that has that very value already. That is a comparison,
//!   and counted by the agent as one ([`Carried::compares`](crate::restore::Carried::compares)).
//! - In the notes, which a chart renders anew, each placeholder becomes its value, also within a longer text.
//!
//! Nothing is shown by it that was hidden: what was put back is masked again, and must be hidden in the same places.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::limits::{RELEASE_DOCUMENT_BYTES, RELEASE_PLACEHOLDERS, RELEASE_READS, RELEASE_READS_OF_REVISIONS};

mod stored;
mod wanted;

pub(super) use stored::StoredRelease;
use stored::{FieldName, StoredValue};
pub(super) use wanted::further;

use super::read::ReadObject;
use super::walk::{Section, Visit};
use super::{RestoreError, Restorer, Why, derived, name_of};
use crate::body::Encoding;
use crate::mask::changes::{self, pointer};
use crate::mask::placeholder::{PLACEHOLDER_BYTES, codes, count_placeholders, without_codes};
pub(super) use crate::mask::release::Payload;
use crate::mask::release::{self, Piece, SecretField};
use crate::mask::{FieldPath, MaskContext, contains_placeholder, find_placeholder, is_placeholder};
use crate::request::Request;
use crate::request_info::Verb;

/// Where the payload stands.
pub(super) const PLACE: &str = "/data/release";

/// The payload that a write of the Secret with this name has in it, if there is a placeholder in that.
///
/// # Errors
/// Nobody can say what is in it.
pub(super) fn payload(name: &str, encoding: Encoding, body: &Value) -> Result<Option<Payload>, RestoreError> {
    opened(name, encoding, body)?.map_or(Ok(None), carrying)
}

fn carrying(payload: Payload) -> Result<Option<Payload>, RestoreError> {
    match placeholders(&payload.document) {
        0 => Ok(None),
        1..=RELEASE_PLACEHOLDERS => Ok(Some(payload)),
        _ => Err(RestoreError { field: PLACE.to_owned(), why: Why::Many }),
    }
}

/// The payload, whatever is in it.
fn opened(name: &str, encoding: Encoding, body: &Value) -> Result<Option<Payload>, RestoreError> {
    if release::revision(name).is_none() {
        return Ok(None);
    }
    let error = |field: &str, why| Err(RestoreError { field: field.to_owned(), why });
    if encoding == Encoding::JsonPatch {
        let operations = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let touches = |operation: &Value| {
            let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
            operation.get("value").is_some()
                && ["", "/data", PLACE, "/stringData", "/stringData/release"].contains(&path)
        };
        return match operations.iter().position(touches) {
            Some(index) => error(&format!("/{index}/value"), Why::Unreadable),
            None => Ok(None),
        };
    }
    let text = |place: &str| body.pointer(place).and_then(Value::as_str);
    // A placeholder for the whole is a field's like any other.
    let is_placeholder = |text: &str| contains_placeholder(text.as_bytes());
    if let Some(text) = text("/stringData/release").filter(|text| !is_placeholder(text)) {
        let open = Payload::open_bytes(text.as_bytes());
        if open.is_none_or(|payload| find_placeholder(&payload.document).is_some()) {
            return error("/stringData/release", Why::Unreadable);
        }
    }
    match text(PLACE).map(|text| (text, Payload::open(text))) {
        None => Ok(None),
        Some((text, None)) if is_placeholder(text) => Ok(None),
        Some((_, None)) => error(PLACE, Why::Unreadable),
        Some((_, Some(payload))) => Ok(Some(payload)),
    }
}

/// How many there are in texts and names of members.
fn placeholders(document: &Value) -> usize {
    match document {
        Value::String(text) => count_placeholders(text.as_bytes()),
        Value::Array(items) => items.iter().map(placeholders).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| count_placeholders(name.as_bytes()) + placeholders(member)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The same of a whole request. helm makes no dry runs of its releases, and whoever tries out what is hidden in one leaves a stored trace.
pub(super) fn written(request: &Request) -> Result<Option<Payload>, RestoreError> {
    let opened = match request.body() {
        Some(body) if changes::is_secret(request.info()) => opened(request.object_name(), body.encoding, &body.value)?,
        Some(_) | None => None,
    };
    let Some(opened) = opened else { return Ok(None) };
    let made = if request.info().verb == Verb::Create { derived::has_no_refusal(&opened.document) } else { Ok(()) };
    let payload = carrying(opened)?;
    if payload.is_none() {
        made?;
    }
    if payload.is_some() && request.dry_run() {
        return Err(RestoreError { field: PLACE.to_owned(), why: Why::DryRun });
    }
    Ok(payload)
}

fn found(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    release::secrets(document, String::new(), &mut found);
    found
}

/// A field of a document in the manifest that stands in `place`.
pub(super) fn inside(place: &str, document: &Value, field: &str) -> String {
    let of = |name: &str| document.pointer(name).and_then(Value::as_str).unwrap_or_default();
    format!("{place}/{}/{}{field}", of("/kind"), of("/metadata/name"))
}

/// The placeholder that stands in a field, in base64. Only where texts stand in the clear may it be in the clear.
fn code(field: &SecretField<'_>) -> Option<String> {
    let text = field.value.as_str().filter(|text| is_placeholder(text))?;
    match (text.len() == PLACEHOLDER_BYTES, field.section) {
        (true, _) => Some(text.to_owned()),
        (false, "stringData") => Some(STANDARD.encode(text)),
        (false, _) => None,
    }
}

/// Whether it is the placeholder of the Secret's own field.
fn owns(mask: &MaskContext, field: &SecretField<'_>, code: &str) -> bool {
    let own = |section: Section| mask.is_own(field.namespace, field.name, section.name(), field.key, code);
    Section::BOTH.into_iter().any(own)
}

/// Whether it is the field's in that revision.
fn carries(mask: &MaskContext, carrier: (&str, &str), field: &SecretField<'_>, code: &str) -> bool {
    let own = |section: Section| mask.is_carried(carrier, field.namespace, field.name, section.name(), field.key, code);
    Section::BOTH.into_iter().any(own)
}

impl Restorer<'_> {
    pub(super) fn objects(&self) -> impl Iterator<Item = &ReadObject> {
        self.live.into_iter().chain(self.more)
    }

    /// The value of a Secret's field that this placeholder stands for in a revision that was read; `None`: in none of them.
    pub(super) fn stored(&self, field: &SecretField<'_>, code: &str) -> Option<Result<Vec<u8>, Why>> {
        self.objects().find_map(|object| {
            let stored = object.release()?;
            let carrier = object.place();
            let mut sections = Section::BOTH.into_iter().map(Section::name);
            let is =
                |section: &&str| self.mask.is_carried(carrier, field.namespace, field.name, section, field.key, code);
            if let Some(section) = sections.find(is) {
                return Some(stored.value(carrier.0, field, section).ok_or(Why::NoField));
            }
            let value = stored.coded(code)?;
            // Where nothing is stored, one guess after the other could be compared with it.
            if self.dry_run {
                return Some(Err(Why::DryRun));
            }
            let mut known =
                Section::BOTH.into_iter().filter_map(|section| stored.value(carrier.0, field, section.name()));
            let same = known.any(|known| known == value) || self.is_now(field, value);
            Some(if same { Ok(value.to_vec()) } else { Err(Why::Other) })
        })
    }

    /// That it may be of a revision that was not read, for as many were as are read for one write.
    pub(super) fn unread(&self) -> Option<Why> {
        let read = self.more.iter().filter(|object| object.release().is_some()).count();
        (read >= RELEASE_READS_OF_REVISIONS).then_some(Why::Many)
    }

    /// Whether the Secret has this value in that field.
    fn is_now(&self, field: &SecretField<'_>, value: &[u8]) -> bool {
        let place = (field.namespace, field.name);
        let now = self.objects().filter(|object| object.place() == place);
        now.filter_map(|secret| super::walk::value(secret.real(), field.key))
            .any(|now| now.is_ok_and(|now| now == value))
    }

    /// What stands in this place of a revision that was read, if the text was shown there.
    pub(super) fn shown_as(&self, place: &str, text: &str) -> Option<&Value> {
        // Values that are used again stand among the chart's own afterwards.
        let config = place.strip_prefix("/chart/values").map(|rest| format!("/config{rest}"));
        self.objects().find_map(|object| {
            let stored = object.release()?;
            stored.shown_as(place, text).or_else(|| stored.shown_as(config.as_deref()?, text))
        })
    }

    /// The payload with values where its placeholders were, as it stands in the body.
    pub(super) fn payload(&self, shown: &Payload, body: &Value) -> Result<String, RestoreError> {
        let name = name_of(body, self.live);
        let mut payload = shown.clone();
        let mut release = Release {
            restorer: *self,
            namespace: self.mask.namespace(),
            path: Vec::new(),
            whole: Vec::new(),
            room: Cell::new(RELEASE_DOCUMENT_BYTES),
        };
        release.value(&mut payload.document)?;
        release.has_fields_once(&shown.document, &payload.document)?;
        release.hides_as_before(&shown.document, &payload.document, name)?;
        payload.write().ok_or_else(|| release.error(Why::Unreadable))
    }
}

/// A release on its way through.
struct Release<'a> {
    restorer: Restorer<'a>,
    namespace: &'a str,
    path: Vec<String>,
    /// Where a text was put back as a whole.
    whole: Vec<String>,
    /// Bytes that may still be put back: a small text can name a large value many times.
    room: Cell<usize>,
}

impl Release<'_> {
    fn pointer(&self) -> String {
        FieldPath::from(self.path.clone()).to_string()
    }

    /// Why an object was not read: it may be one too many.
    const fn absent(&self) -> Why {
        if self.restorer.more.len() < RELEASE_READS { Why::NoObject } else { Why::Many }
    }

    fn spend(&self, bytes: usize) -> Result<(), Why> {
        self.room.set(self.room.get().checked_sub(bytes).ok_or(Why::Many)?);
        Ok(())
    }
}

impl Visit for Release<'_> {
    fn path(&mut self) -> &mut Vec<String> {
        &mut self.path
    }

    fn error(&self, why: Why) -> RestoreError {
        RestoreError { field: format!("{PLACE}{}", self.pointer()), why }
    }

    fn text(&mut self, text: &str) -> Result<Value, RestoreError> {
        let place = self.pointer();
        if let Some(real) = self.restorer.shown_as(&place, text).cloned() {
            self.spend(real.as_str().map_or(0, str::len)).map_err(|why| self.error(why))?;
            self.whole.push(place);
            return Ok(real);
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["manifest"] | ["hooks", _, "manifest"] => self.manifest(text).map(Value::String),
            ["info", "notes"] => {
                self.whole.push(place);
                self.notes(text).map(Value::String)
            }
            _ => Err(self.error(Why::Elsewhere)),
        }
    }
}

impl Release<'_> {
    /// What was read is gone through once, and so are the notes, however many values there are to put back.
    fn notes(&self, text: &str) -> Result<String, RestoreError> {
        let codes = codes(text);
        let mut values: HashMap<&str, Option<String>> = codes.iter().map(|(_, code)| (code.as_str(), None)).collect();
        for (code, value) in self.restorer.objects().flat_map(ReadObject::codes) {
            if let Some(known @ None) = values.get_mut(code.as_str()) {
                *known = String::from_utf8(value).ok();
            }
        }
        let (mut notes, mut end) = (String::new(), 0);
        for (place, code) in &codes {
            let Some(value) = values.get(code.as_str()).and_then(Option::as_ref) else { continue };
            self.spend(value.len()).map_err(|why| self.error(why))?;
            notes.push_str(text.get(end..place.start).unwrap_or_default());
            notes.push_str(value);
            end = place.end;
        }
        notes.push_str(text.get(end..).unwrap_or_default());
        if contains_placeholder(notes.as_bytes()) { Err(self.error(Why::Elsewhere)) } else { Ok(notes) }
    }

    fn manifest(&self, text: &str) -> Result<String, RestoreError> {
        let pieces = release::pieces(text).ok_or_else(|| self.error(Why::Unreadable))?;
        pieces.iter().map(|piece| self.piece(piece)).collect()
    }

    fn piece(&self, piece: &Piece<'_>) -> Result<String, RestoreError> {
        if !contains_placeholder(piece.text.as_bytes()) {
            return Ok(piece.text.to_owned());
        }
        let document = piece.document.as_ref().ok_or_else(|| self.error(Why::Elsewhere))?;
        let inside = |field: &str, why| RestoreError { field: inside(&self.error(why).field, document, field), why };
        let (mut restored, mut pairs) = (document.clone(), Vec::new());
        for (pointer, secret) in found(document) {
            for field in release::fields(secret, self.namespace) {
                let Some(text) = field.value.as_str().filter(|text| contains_placeholder(text.as_bytes())) else {
                    continue;
                };
                let own = FieldPath::from(vec![field.section.to_owned(), field.key.to_owned()]);
                let place = format!("{pointer}{own}");
                let real = self.field(&field).map_err(|why| inside(&place, why))?;
                // It may stand in comments as well, and is put back there too before they are looked at.
                let times = piece.text.matches(text).count().max(1);
                self.spend(times.saturating_mul(real.len())).map_err(|why| inside(&place, why))?;
                pairs.push((text.to_owned(), real.clone()));
                if let Some(slot) = restored.pointer_mut(&place) {
                    *slot = Value::String(real);
                }
            }
        }
        if let Some(left) = find_placeholder(&restored) {
            return Err(inside(&left.to_string(), Why::Elsewhere));
        }
        let text = piece.with(&pairs, &restored);
        // What is left stands in a comment.
        Ok(if contains_placeholder(text.as_bytes()) { piece.rewritten(&restored) } else { text })
    }

    /// What stands in the field then: in base64 under `data`.
    fn field(&self, field: &SecretField<'_>) -> Result<String, Why> {
        let code = code(field).ok_or(Why::Altered)?;
        let value = if owns(self.restorer.mask, field, &code) {
            let place = (field.namespace, field.name);
            let secret = self.restorer.objects().find(|object| object.place() == place).ok_or_else(|| self.absent())?;
            super::walk::value(secret.real(), field.key).ok_or(Why::NoField)??
        } else {
            self.restorer.stored(field, &code).ok_or_else(|| self.restorer.unread().unwrap_or(Why::Other))??
        };
        match field.section {
            "data" => Ok(STANDARD.encode(value)),
            _ => String::from_utf8(value).map_err(|_| Why::NotText),
        }
    }

    /// What is put back into a field must be the only value that the field has in this release, or one of those that it had in a revision
    /// already: its placeholder, which is one, stands for none where there are two ([`StoredRelease::value`]). Which field it is is not said.
    fn has_fields_once(&self, shown: &Value, restored: &Value) -> Result<(), RestoreError> {
        let error = |why| RestoreError { field: PLACE.to_owned(), why };
        let mut values: BTreeMap<FieldName, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for StoredValue { name, value } in
            stored::values(restored, self.namespace).ok_or_else(|| error(Why::Unreadable))?
        {
            values.entry(name).or_default().insert(value);
        }
        values.retain(|_, values| values.len() > 1);
        if values.is_empty() {
            return Ok(());
        }
        let is_put_back =
            |field: &SecretField<'_>| field.value.as_str().is_some_and(|text| contains_placeholder(text.as_bytes()));
        let put_back = stored::fields(shown, self.namespace, |field| is_put_back(field).then(|| FieldName::of(field)));
        let had = |name: &FieldName, values: &BTreeSet<Vec<u8>>| {
            let mut revisions =
                self.restorer.objects().filter_map(|object| Some((object.place().0, object.release()?)));
            revisions.any(|(namespace, stored)| {
                stored.values_of(namespace, name).into_iter().eq(values.iter().map(Vec::as_slice))
            })
        };
        let mut put_back = put_back.ok_or_else(|| error(Why::Unreadable))?.into_iter();
        let twice = put_back.any(|name| values.get(&name).is_some_and(|values| !had(&name, values)));
        if twice { Err(error(Why::Twice)) } else { Ok(()) }
    }

    /// Whoever is shown this release must not be shown more of the texts that were put back than whoever wrote it, and not less of any
    /// other: a guess that is hidden because it is right tells that. Where it is hidden is not said, for it would tell the guess.
    fn hides_as_before(&self, shown: &Value, restored: &Value, name: &str) -> Result<(), RestoreError> {
        let error = |field: String, why| RestoreError { field, why };
        let masked = |document: &Value| {
            let mut masked = document.clone();
            let done = release::mask_document(&mut masked, self.restorer.mask, self.namespace, name);
            done.map(|_| masked).ok_or_else(|| error(PLACE.to_owned(), Why::Unreadable))
        };
        let again = masked(restored)?;
        for place in &self.whole {
            let parts = pointer(place);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let text = |document: &Value| Some(visible(document.pointer(place)?.as_str()?, &parts));
            if text(shown) != text(&again) {
                return Err(error(format!("{PLACE}{place}"), Why::Elsewhere));
            }
        }
        // As it would be shown if nothing were put back: what the writer gave in the clear hides itself.
        if looks_like(&masked(shown)?, &again, &mut Vec::new()) {
            Ok(())
        } else {
            Err(error(PLACE.to_owned(), Why::InClear))
        }
    }
}

/// What is to be seen of a text, whatever is hidden in it.
fn visible(text: &str, path: &[&str]) -> Vec<u8> {
    let file = release::is_data(path).then(|| STANDARD.decode(text).ok()).flatten();
    without_codes(&file.unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// Whether two documents hide the same places.
fn looks_like<'a>(one: &'a Value, other: &'a Value, path: &mut Vec<&'a str>) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => visible(one, path) == visible(other, path),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && {
                // No file stands in a list of another depth than these have.
                path.push("");
                let same = one.iter().zip(other).all(|(one, other)| looks_like(one, other, path));
                path.pop();
                same
            }
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| {
                    path.push(name);
                    let same = other.get(name).is_some_and(|other| looks_like(one, other, path));
                    path.pop();
                    same
                })
        }
        _ => one == other,
    }
}
