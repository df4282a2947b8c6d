//! helm's releases on their way back. helm writes a revision as it was shown it (an upgrade marks the old one superseded, a rollback
//! copies an older one), or with placeholders that its chart looked up in a Secret. What is stored is what helm would have written
//! without us:
//!
//! - A text that stands in the same place of a revision that was read, and was shown so, becomes what it is there.
//! - In a Secret of a manifest, the placeholder of that Secret's field becomes the value: of the Secret itself, or the one that the field
//!   has in the revision whose placeholder it is. So an ordinary write of a Secret gets an older value back in a rollback, too.
//! - The placeholder of a value that stood among a user's values goes into a field that has that very value already.
//! - In the notes, which a chart renders anew, each placeholder becomes its value, also within a longer text.
//!
//! Nothing is shown by it that was hidden: what was put back is masked again, and must be hidden in the same places.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::limits::{RELEASE_READS, RELEASE_REVISIONS, RELEASE_VALUES};

use super::read::ReadObject;
use super::walk::Section;
use super::{RestoreError, Restorer, Why};
use crate::body::Encoding;
use crate::mask::changes::{self, pointer};
use crate::mask::placeholder::{PLACEHOLDER_BYTES, without_codes};
use crate::mask::release::{self, Payload, Piece, SecretField};
use crate::mask::{FieldPath, MaskContext, contains_placeholder, find_placeholder, is_placeholder};
use crate::request::Request;

/// Where the payload stands.
pub(super) const PLACE: &str = "/data/release";
/// Where the name of a release stands in its objects: helm's own annotation (helm pkg/action/validate.go), and the label that helm has charts
/// put there, for hooks have no annotation.
const RELEASE_NAMES: [(&str, &str); 2] =
    [("annotations", "meta.helm.sh/release-name"), ("labels", "app.kubernetes.io/instance")];

/// The payload that a write of the Secret with this name has in it, if there is a placeholder in that.
///
/// # Errors
/// Nobody can say what is in it.
pub(super) fn payload(name: &str, encoding: Encoding, body: &Value) -> Result<Option<Payload>, RestoreError> {
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
    let text = |place: &str| {
        let text = body.pointer(place).and_then(Value::as_str);
        // A placeholder for the whole is a field's like any other.
        text.filter(|text| !contains_placeholder(text.as_bytes()))
    };
    if let Some(text) = text("/stringData/release") {
        let open = Payload::open_bytes(text.as_bytes());
        if open.is_none_or(|payload| find_placeholder(&payload.document).is_some()) {
            return error("/stringData/release", Why::Unreadable);
        }
    }
    match text(PLACE).map(Payload::open) {
        None => Ok(None),
        Some(None) => error(PLACE, Why::Unreadable),
        Some(Some(payload)) => Ok(Some(payload).filter(|payload| find_placeholder(&payload.document).is_some())),
    }
}

/// The same of a whole request.
pub(super) fn written(request: &Request) -> Result<Option<Payload>, RestoreError> {
    match request.body() {
        Some(body) if changes::is_secret(request.info()) => payload(request.object_name(), body.encoding, &body.value),
        Some(_) | None => Ok(None),
    }
}

/// What has to be read beside the object that is written, by the names in its placeholders. Where nothing fits, nothing is read.
pub(super) fn further(request: &Request, live: Option<&ReadObject>, mask: &MaskContext) -> Vec<String> {
    let (namespace, name) = (request.object_namespace(), request.object_name());
    let mut wanted = Wanted { mask, namespace, names: Vec::new() };
    match written(request) {
        Ok(Some(payload)) => wanted.of_release(name, &payload.document),
        Ok(None) => wanted.of_secret(request, live),
        Err(_) => {}
    }
    let mut names = wanted.names;
    names.retain(|wanted| wanted != name);
    names.truncate(RELEASE_READS);
    names
}

struct Wanted<'a> {
    mask: &'a MaskContext,
    namespace: &'a str,
    names: Vec<String>,
}

impl Wanted<'_> {
    fn add(&mut self, name: String) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn of_release(&mut self, own: &str, document: &Value) {
        let Some((release, last)) = release::revision(own) else { return };
        let first = last.saturating_sub(RELEASE_REVISIONS) + 1;
        let mut open = false;
        for pointer in release::manifests(document) {
            let manifest = document.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
            let pieces = release::pieces(manifest).unwrap_or_default();
            let documents: Vec<&Value> = pieces.iter().filter_map(|piece| piece.document.as_ref()).collect();
            for (_, secret) in documents.into_iter().flat_map(found) {
                for field in release::fields(secret, self.namespace) {
                    let Some(code) = code(&field) else { continue };
                    if owns(self.mask, &field, &code) {
                        if field.namespace == self.namespace {
                            self.add(field.name.to_owned());
                        }
                    } else if !self.revision(release, (first..=last).rev(), &field, &code) {
                        open = true;
                    }
                }
            }
        }
        // A text elsewhere doesn't say whose it is; most are of the revision before, as values that are used again.
        let mut rest = document.clone();
        for pointer in release::manifests(document) {
            if let Some(manifest) = rest.pointer_mut(&pointer) {
                *manifest = Value::Null;
            }
        }
        if last > 1 && (open || find_placeholder(&rest).is_some()) {
            self.add(release::name_of(release, last - 1));
        }
    }

    /// Finds the revision whose placeholder it is.
    fn revision(
        &mut self,
        release: &str,
        mut revisions: impl Iterator<Item = u64>,
        field: &SecretField<'_>,
        code: &str,
    ) -> bool {
        let fits = |name: &str| {
            let carrier = (self.namespace, name);
            carries(self.mask, carrier, field, code)
                || (0..RELEASE_VALUES as u64).any(|index| self.mask.is_value(carrier, index, code))
        };
        if self.names.iter().any(|name| fits(name)) {
            return true;
        }
        let found = revisions.find_map(|revision| {
            let name = release::name_of(release, revision);
            fits(&name).then_some(name)
        });
        found.map(|name| self.add(name)).is_some()
    }

    fn of_secret(&mut self, request: &Request, live: Option<&ReadObject>) {
        let Some(body) = request.body() else { return };
        let said = |object: &Value, (place, name): (&str, &str)| {
            object.get("metadata")?.get(place)?.get(name)?.as_str().map(str::to_owned)
        };
        let objects = [Some(&body.value), live.map(ReadObject::masked)];
        let mut releases: Vec<String> = RELEASE_NAMES
            .into_iter()
            .flat_map(|name| objects.into_iter().flatten().filter_map(move |object| said(object, name)))
            .collect();
        releases.dedup();
        let mut texts = Vec::new();
        placeholders(&body.value, body.encoding, &mut texts);
        for (key, text) in &texts {
            let value = Value::from(text.as_str());
            let name = request.object_name();
            let field = SecretField { namespace: self.namespace, name, section: "stringData", key, value: &value };
            let Some(code) = code(&field) else { continue };
            let mut found = owns(self.mask, &field, &code);
            for release in &releases {
                found = found || self.revision(release, 1..=RELEASE_REVISIONS, &field, &code);
            }
            if !found {
                return;
            }
        }
    }
}

/// Whole placeholders in a body, with the name of the field that they go into.
fn placeholders(value: &Value, encoding: Encoding, texts: &mut Vec<(String, String)>) {
    let operations = value.as_array().filter(|_| encoding == Encoding::JsonPatch);
    if let Some(operations) = operations {
        for operation in operations {
            let path = operation.get("path").and_then(Value::as_str).map(pointer).unwrap_or_default();
            if let Some(value) = operation.get("value") {
                leaves(value, path.last().map(String::as_str).unwrap_or_default(), texts);
            }
        }
    } else {
        for section in Section::BOTH {
            if let Some(value) = value.get(section.name()) {
                leaves(value, "", texts);
            }
        }
    }
}

fn leaves(value: &Value, name: &str, texts: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if is_placeholder(text) => texts.push((name.to_owned(), text.clone())),
        Value::Object(members) => members.iter().for_each(|(name, member)| leaves(member, name, texts)),
        Value::Array(_) | Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn found(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    release::secrets(document, String::new(), &mut found);
    found
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
    fn objects(&self) -> impl Iterator<Item = &ReadObject> {
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
            let mut known =
                Section::BOTH.into_iter().filter_map(|section| stored.value(carrier.0, field, section.name()));
            let same = known.any(|known| known == value) || self.is_now(field, value);
            Some(if same { Ok(value.to_vec()) } else { Err(Why::Other) })
        })
    }

    /// Whether the Secret has this value in that field.
    fn is_now(&self, field: &SecretField<'_>, value: &[u8]) -> bool {
        let place = (field.namespace, field.name);
        let now = self.objects().filter(|object| object.place() == place);
        now.filter_map(|secret| super::walk::value(secret.real(), field.key))
            .any(|now| now.is_ok_and(|now| now == value))
    }

    /// The payload with values where its placeholders were, as it stands in the body; `None`: it has none.
    pub(super) fn payload(&self, encoding: Encoding, body: &Value) -> Result<Option<String>, RestoreError> {
        if !self.secret {
            return Ok(None);
        }
        let named = body.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
        let name = named.or_else(|| Some(self.live?.place().1)).unwrap_or_default();
        let Some(mut payload) = payload(name, encoding, body)? else { return Ok(None) };
        let mut release =
            Release { restorer: *self, namespace: self.mask.namespace(), path: Vec::new(), whole: Vec::new() };
        let shown = payload.document.clone();
        release.value(&mut payload.document)?;
        release.hides_as_before(&shown, &payload.document, name)?;
        payload.write().map(Some).ok_or_else(|| release.error(Why::Unreadable))
    }
}

/// A release on its way through.
struct Release<'a> {
    restorer: Restorer<'a>,
    namespace: &'a str,
    path: Vec<String>,
    /// Where a text was put back as a whole.
    whole: Vec<String>,
}

impl Release<'_> {
    fn pointer(&self) -> String {
        FieldPath::from(self.path.clone()).to_string()
    }

    fn error(&self, why: Why) -> RestoreError {
        RestoreError { field: format!("{PLACE}{}", self.pointer()), why }
    }

    /// No deeper than a payload is read.
    fn value(&mut self, value: &mut Value) -> Result<(), RestoreError> {
        match value {
            Value::String(text) if contains_placeholder(text.as_bytes()) => {
                *value = self.text(text)?;
                Ok(())
            }
            Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(index, item)| {
                self.path.push(index.to_string());
                self.value(item)?;
                self.path.truncate(self.path.len().saturating_sub(1));
                Ok(())
            }),
            Value::Object(members) => members.iter_mut().try_for_each(|(name, member)| {
                self.path.push(name.clone());
                if contains_placeholder(name.as_bytes()) {
                    return Err(self.error(Why::Elsewhere));
                }
                self.value(member)?;
                self.path.truncate(self.path.len().saturating_sub(1));
                Ok(())
            }),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    fn text(&mut self, text: &str) -> Result<Value, RestoreError> {
        let place = self.pointer();
        // Values that are used again stand among the chart's own afterwards.
        let config = place.strip_prefix("/chart/values").map(|rest| format!("/config{rest}"));
        let shown = |object: &ReadObject| {
            let stored = object.release()?;
            let own = stored.shown_as(&place, text);
            own.or_else(|| stored.shown_as(config.as_deref()?, text)).cloned()
        };
        if let Some(real) = self.restorer.objects().find_map(shown) {
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

    fn notes(&self, text: &str) -> Result<String, RestoreError> {
        let mut notes = text.to_owned();
        for (code, value) in self.restorer.objects().flat_map(ReadObject::codes) {
            let sentence = STANDARD.decode(&code).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            if let (Some(sentence), Ok(value)) = (sentence, String::from_utf8(value)) {
                notes = notes.replace(&code, &value).replace(&sentence, &value);
            }
        }
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
        let inside = |field: &str, why| {
            let of = |name: &str| document.pointer(name).and_then(Value::as_str).unwrap_or_default();
            let (kind, name) = (of("/kind"), of("/metadata/name"));
            RestoreError { field: format!("{}/{kind}/{name}{field}", self.error(why).field), why }
        };
        let (mut restored, mut pairs) = (document.clone(), Vec::new());
        for (pointer, secret) in found(document) {
            for field in release::fields(secret, self.namespace) {
                let Some(text) = field.value.as_str().filter(|text| contains_placeholder(text.as_bytes())) else {
                    continue;
                };
                let own = FieldPath::from(vec![field.section.to_owned(), field.key.to_owned()]);
                let place = format!("{pointer}{own}");
                let real = self.field(&field).map_err(|why| inside(&place, why))?;
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
            let secret = self.restorer.objects().find(|object| object.place() == place).ok_or(Why::NoObject)?;
            super::walk::value(secret.real(), field.key).ok_or(Why::NoField)??
        } else {
            self.restorer.stored(field, &code).ok_or(Why::Other)??
        };
        match field.section {
            "data" => Ok(STANDARD.encode(value)),
            _ => String::from_utf8(value).map_err(|_| Why::NotText),
        }
    }

    /// Whoever is shown this release must not be shown more of the texts that were put back than whoever wrote it.
    fn hides_as_before(&self, shown: &Value, restored: &Value, name: &str) -> Result<(), RestoreError> {
        let mut again = restored.clone();
        let unreadable = || RestoreError { field: PLACE.to_owned(), why: Why::Unreadable };
        release::mask_document(&mut again, self.restorer.mask, self.namespace, name).ok_or_else(unreadable)?;
        for place in &self.whole {
            let text = |document: &Value| {
                let text = document.pointer(place)?.as_str()?;
                let parts = pointer(place);
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let file = release::is_data(&parts).then(|| STANDARD.decode(text).ok()).flatten();
                Some(without_codes(&file.unwrap_or_else(|| text.as_bytes().to_vec())))
            };
            if text(shown) != text(&again) {
                return Err(RestoreError { field: format!("{PLACE}{place}"), why: Why::Elsewhere });
            }
        }
        Ok(())
    }
}

/// A release that was read, as it is and as it was shown.
pub(super) struct StoredRelease {
    real: Value,
    shown: Vec<Value>,
    values: Vec<StoredValue>,
    /// What stands for a value by itself, also under the key of before a rotation.
    codes: Vec<(String, Vec<u8>)>,
}

struct StoredValue {
    namespace: Option<String>,
    name: String,
    section: &'static str,
    key: String,
    value: Vec<u8>,
}

impl StoredRelease {
    /// From the Secret as it is and as it is shown under each key; `None`: it is none, or was shown masked whole.
    pub(super) fn of<'a>(
        real: &Value,
        shown: impl Iterator<Item = &'a Value>,
        masks: impl Iterator<Item = &'a MaskContext>,
    ) -> Option<Self> {
        let name = real.pointer("/metadata/name")?.as_str()?;
        let namespace = real.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        release::revision(name)?;
        let open = |secret: &Value| Payload::open(secret.pointer(PLACE)?.as_str()?).map(|payload| payload.document);
        let (real, shown) = (open(real)?, shown.filter_map(open).collect());
        let mut values = Vec::new();
        for pointer in release::manifests(&real) {
            for piece in release::pieces(real.pointer(&pointer)?.as_str()?)? {
                let Some(document) = &piece.document else { continue };
                for (_, secret) in found(document) {
                    // Without a namespace of its own it is in the release's, which is not known here.
                    values.extend(release::fields(secret, "").iter().filter_map(StoredValue::of));
                }
            }
        }
        let mut codes = Vec::new();
        for mask in masks {
            let mut masked = real.clone();
            codes.extend(release::mask_document(&mut masked, mask, namespace, name)?.codes);
        }
        Some(Self { real, shown, values, codes })
    }

    /// All that stand for a value by themselves.
    pub(super) fn codes(&self) -> &[(String, Vec<u8>)] {
        &self.codes
    }

    /// The value that this stands for by itself.
    fn coded(&self, code: &str) -> Option<&[u8]> {
        self.codes.iter().find(|(known, _)| known == code).map(|(_, value)| value.as_slice())
    }

    fn shown_as(&self, place: &str, text: &str) -> Option<&Value> {
        let same = |shown: &Value| shown.pointer(place).and_then(Value::as_str) == Some(text);
        if self.shown.iter().any(same) { self.real.pointer(place) } else { None }
    }

    /// `None`: there is none, or there are two that differ.
    fn value(&self, release_namespace: &str, field: &SecretField<'_>, section: &str) -> Option<Vec<u8>> {
        let fits = |value: &&StoredValue| {
            value.namespace.as_deref().unwrap_or(release_namespace) == field.namespace
                && (value.name.as_str(), value.section, value.key.as_str()) == (field.name, section, field.key)
        };
        let mut values = self.values.iter().filter(fits).map(|value| &value.value);
        let first = values.next()?;
        values.all(|other| other == first).then(|| first.clone())
    }

    /// Wipes the texts.
    pub(super) fn wipe(&mut self, wipe: fn(&mut Value)) {
        wipe(&mut self.real);
        let values = self.values.iter_mut().map(|value| &mut value.value);
        values.chain(self.codes.iter_mut().map(|(_, value)| value)).for_each(zeroize::Zeroize::zeroize);
    }
}

impl StoredValue {
    fn of(field: &SecretField<'_>) -> Option<Self> {
        let text = match field.value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => field.value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let value = if field.section == "data" { STANDARD.decode(text).ok()? } else { text.into_bytes() };
        let namespace = Some(field.namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        Some(Self { namespace, name: field.name.to_owned(), section: field.section, key: field.key.to_owned(), value })
    }
}
