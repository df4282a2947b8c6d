//! What a dry run only tries. Its answer shows a placeholder in place of a value that the request gave, and nobody keeps that value: written
//! back, the placeholder must not become the one that the object has. So it is one of its own, which is known and refused
//! ([`Why::Tried`](crate::restore::Why)). `kubectl diff`, too, shows by it that the field may change.
//!
//! It depends on the request alone, so it tells nothing of the value that the object has.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::changes::{self, pointer};
use super::{LAST_APPLIED, MaskedFields, is_placeholder};
use crate::body::{Budget, Encoding, json};
use crate::request::Request;
use crate::request_info::Verb;

/// Names that are kept until the answer comes, and their bytes. Whoever gives more has tried all.
const NAMES_MAX: usize = 256;
const NAMES_BYTES_MAX: usize = 16 * 1024;

/// What a dry run gives values of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Fields and annotations of a Secret.
    secret: Names,
    /// Some of the fields that policy masks. All that the answer has are taken for such: which of a list's elements is meant, the API server
    /// says.
    fields: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    These(BTreeSet<String>),
    All,
}

impl Names {
    fn add(&mut self, name: &str) {
        let Self::These(names) = self else { return };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        if names.len() > NAMES_MAX || names.iter().map(String::len).sum::<usize>() > NAMES_BYTES_MAX {
            *self = Self::All;
        }
    }
}

impl Tried {
    /// Of a request, of which policy masks these fields; `None`: whatever it gives is stored, or it gives nothing.
    pub fn of(request: &Request, fields: &MaskedFields) -> Option<Self> {
        let writes = matches!(request.info().verb, Verb::Create | Verb::Update | Verb::Patch);
        let body = request.body().filter(|_| writes && request.dry_run())?;
        let mut names = Names::These(BTreeSet::new());
        match body.encoding {
            _ if !changes::is_secret(request.info()) => {}
            Encoding::JsonPatch => {
                body.value.as_array().into_iter().flatten().for_each(|operation| of_operation(operation, &mut names));
            }
            Encoding::Json
            | Encoding::Yaml
            | Encoding::Protobuf
            | Encoding::MergePatch
            | Encoding::StrategicMergePatch
            | Encoding::ApplyPatch => of_object(&body.value, &mut names),
        }
        let fields = fields.are_given(body.encoding, &body.value);
        let tried = fields || names != Names::These(BTreeSet::new());
        tried.then_some(Self { secret: names, fields })
    }

    /// Whether this field of a Secret may be one.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        match &self.secret {
            Names::These(names) => str::from_utf8(name).is_ok_and(|name| names.contains(name)),
            Names::All => true,
        }
    }

    /// Whether some of the fields are that policy masks.
    pub(super) const fn has_fields(&self) -> bool {
        self.fields
    }
}

fn of_operation(operation: &Value, names: &mut Names) {
    let (Some(path), Some(value)) = (operation.get("path").and_then(Value::as_str), operation.get("value")) else {
        return;
    };
    let parts = pointer(path);
    match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => of_object(value, names),
        ["data" | "stringData"] | ["metadata", "annotations"] => of_members(value, names),
        ["metadata"] => of_annotations(value, names),
        ["data" | "stringData", name] | ["metadata", "annotations", name] if is_given(value) => {
            of_member(name, value, names);
        }
        _ => {}
    }
}

fn of_object(object: &Value, names: &mut Names) {
    of_sections(object, names);
    object.get("metadata").into_iter().for_each(|metadata| of_annotations(metadata, names));
}

fn of_sections(object: &Value, names: &mut Names) {
    ["data", "stringData"].iter().filter_map(|name| object.get(name)).for_each(|section| of_members(section, names));
}

fn of_annotations(metadata: &Value, names: &mut Names) {
    metadata.get("annotations").into_iter().for_each(|annotations| of_members(annotations, names));
}

fn of_members(section: &Value, names: &mut Names) {
    let members = section.as_object().into_iter().flat_map(Map::iter);
    members.filter(|(_, value)| is_given(value)).for_each(|(name, value)| of_member(name, value, names));
}

fn of_member(name: &str, value: &Value, names: &mut Names) {
    names.add(name);
    if name != LAST_APPLIED {
        return;
    }
    // What was applied last is shown field by field. Where it can't be read here, it may give any.
    let applied = value.as_str().map(|text| json::read_answer(text.as_bytes(), &mut Budget::of_annotation()));
    match applied {
        Some(Ok(applied)) => of_sections(&applied.value, names),
        Some(Err(_)) | None => *names = Names::All,
    }
}

/// Whether it is a value of the request's own. A placeholder is the object's value, and stays what it is; null takes away what there is.
fn is_given(value: &Value) -> bool {
    !value.is_null() && value.as_str().is_none_or(|text| !is_placeholder(text))
}
