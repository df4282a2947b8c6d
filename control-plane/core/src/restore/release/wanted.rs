//! Which objects a write has values put back from: told by the names that its placeholders fit. The work is bounded twice: nothing is looked for
//! any more once more revisions are found than are read, and by the number of comparisons.

use serde_json::Value;
use shared::limits::{RELEASE_COMPARISONS, RELEASE_READS, RELEASE_READS_OF_REVISIONS, RELEASE_REVISIONS};

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
    let mut wanted = Wanted::new(request.object_namespace(), mask);
    match release {
        Some(payload) => wanted.of_release(request.object_name(), &payload.document),
        None => wanted.of_secret(request, live),
    }
    let mut names = wanted.names;
    let mut revisions = 0;
    names.retain(|wanted| {
        revisions += usize::from(release::revision(wanted).is_some());
        wanted != request.object_name()
            && (release::revision(wanted).is_none() || revisions <= RELEASE_READS_OF_REVISIONS)
    });
    names.truncate(RELEASE_READS);
    names
}

struct Wanted<'a> {
    mask: &'a MaskContext,
    namespace: &'a str,
    names: Vec<String>,
    /// Those among them that placeholders were found to be of.
    revisions: Vec<String>,
    /// Comparisons that are left.
    left: u64,
}

impl<'a> Wanted<'a> {
    const fn new(namespace: &'a str, mask: &'a MaskContext) -> Self {
        Self { mask, namespace, names: Vec::new(), revisions: Vec::new(), left: RELEASE_COMPARISONS }
    }

    fn add(&mut self, name: String) {
        // One more than is read tells that there are too many.
        if self.names.len() <= RELEASE_READS && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Whether it is a placeholder of that revision.
    fn fits(&mut self, name: &str, field: &SecretField<'_>, code: &str) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let carrier = (self.namespace, name);
        carries(self.mask, carrier, field, code) || self.mask.is_value(carrier, code)
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
                        let names = (first..=last).rev().map(|revision| release::name_of(release, revision));
                        open = !self.revision(names, &field, &code);
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

    /// Finds the revision whose placeholder it is, unless more are found already than are read.
    fn revision(&mut self, names: impl Iterator<Item = String>, field: &SecretField<'_>, code: &str) -> bool {
        for at in 0..self.revisions.len() {
            let Some(name) = self.revisions.get(at).cloned() else { break };
            if self.fits(&name, field, code) {
                return true;
            }
        }
        if self.revisions.len() > RELEASE_READS_OF_REVISIONS {
            return false;
        }
        let mut names = names;
        let Some(name) = names.find(|name| self.fits(name, field, code)) else { return false };
        self.revisions.push(name.clone());
        self.add(name);
        true
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
            let names = releases.iter();
            let names =
                names.flat_map(|release| (1..=RELEASE_REVISIONS).map(|revision| release::name_of(release, revision)));
            // One that fits nothing can't be put back, and so needs no others to be looked for.
            if !owns(self.mask, &field, &code) && !self.revision(names, &field, &code) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri, header};
    use serde_json::{Map, json};

    use super::*;
    use crate::mask::{PlaceholderKey, PlaceholderKeys};

    const PATH: &str = "/api/v1/namespaces/default/secrets/db";

    fn mask() -> MaskContext {
        let keys = Arc::new(PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None));
        let request = patch(&json!({}));
        MaskContext::response(keys, "a", request.info())
    }

    fn patch(body: &Value) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/merge-patch+json".parse().unwrap());
        Request::parse(&Method::PATCH, &Uri::from_static(PATH), &headers, Bytes::from(body.to_string())).unwrap()
    }

    /// A patch with so many fields, each with the placeholder of a value of a revision.
    fn of_revisions(mask: &MaskContext, revisions: impl Iterator<Item = u64>) -> Request {
        let code = |(at, revision)| {
            let carrier = format!("sh.helm.release.v1.web.v{revision}");
            (format!("k{at:05}"), json!(mask.value_code(("default", &carrier), 3)))
        };
        let data: Map<String, Value> = revisions.enumerate().map(code).collect();
        let annotations = json!({"meta.helm.sh/release-name": "web"});
        patch(&json!({"metadata": {"annotations": annotations}, "data": data}))
    }

    /// What is found, and with how many comparisons.
    fn found(revisions: impl Iterator<Item = u64>) -> (usize, u64) {
        let mask = mask();
        let mut wanted = Wanted::new("default", &mask);
        wanted.of_secret(&of_revisions(&mask, revisions), None);
        (wanted.names.len(), RELEASE_COMPARISONS - wanted.left)
    }

    #[test]
    fn p12_no_more_revisions_are_looked_for_than_are_read() {
        assert_eq!(found([1, 1, 2].into_iter()), (2, 1 + 1 + 3));
        // One more than is read, and then no more.
        let many = RELEASE_READS_OF_REVISIONS + 1;
        let (names, compared) = found(1..=400);
        assert_eq!(names, many);
        assert!(compared < 50, "{compared}");
        // However many there are of those that were found.
        let (names, compared) = found((1..=4).chain(std::iter::repeat_n(4, 4000)));
        assert_eq!(names, 4);
        assert!(compared <= RELEASE_COMPARISONS, "{compared}");
    }
}
