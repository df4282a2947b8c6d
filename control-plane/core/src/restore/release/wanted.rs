//! Which objects a write has values put back from: told by the names that its placeholders fit.

use serde_json::Value;
use shared::limits::{RELEASE_READS, RELEASE_READS_OF_REVISIONS, RELEASE_REVISIONS};

use super::{carries, code, found, owns};
use crate::body::Encoding;
use crate::mask::changes::pointer;
use crate::mask::release::{self, Payload, SecretField};
use crate::mask::{MaskContext, find_placeholder, is_placeholder};
use crate::request::Request;
use crate::restore::read::ReadObject;
use crate::restore::walk::Section;

/// Where the name of a release stands in its objects: helm's own annotation (helm pkg/action/validate.go), and the label that helm has charts
/// put there, for hooks have no annotation.
const RELEASE_NAMES: [(&str, &str); 2] =
    [("annotations", "meta.helm.sh/release-name"), ("labels", "app.kubernetes.io/instance")];

/// What has to be read beside the object that is written, by the names in its placeholders. Where nothing fits, nothing is read.
pub(in crate::restore) fn further(
    request: &Request,
    release: Option<&Payload>,
    live: Option<&ReadObject>,
    mask: &MaskContext,
) -> Vec<String> {
    let (namespace, name) = (request.object_namespace(), request.object_name());
    let mut wanted = Wanted { mask, namespace, names: Vec::new() };
    match release {
        Some(payload) => wanted.of_release(name, &payload.document),
        None => wanted.of_secret(request, live),
    }
    let mut names = wanted.names;
    let mut revisions = 0;
    names.retain(|wanted| {
        revisions += usize::from(release::revision(wanted).is_some());
        wanted != name && (release::revision(wanted).is_none() || revisions <= RELEASE_READS_OF_REVISIONS)
    });
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
                    } else if !open {
                        // One that fits nothing can't be put back, and so needs no others to be looked for.
                        open = !self.revision(release, (first..=last).rev(), &field, &code);
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
            carries(self.mask, carrier, field, code) || self.mask.is_value(carrier, code)
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
