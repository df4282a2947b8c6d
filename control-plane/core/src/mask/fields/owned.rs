//! What managers own of an object, `metadata.managedFields`: names of its fields, but where the elements of a list are told by what is in them,
//! that stands there too, as `v:"…"` or `k:{"pin":"…"}` (sigs.k8s.io/structured-merge-diff fieldpath/serialize-pe.go).
//!
//! One name stands in place of all that hold masked values, and it is none to the API server, which takes what it has itself for managed fields of
//! which it can't read one (k8s.io/apimachinery pkg/util/managedfields/internal `decodeLiveOrNew`). So whoever writes an object back as it
//! was shown changes no owners. Had the elements been left out, they would lose theirs; and how many there are, or in which order they
//! stand, which is that of their values, is not told.

use serde_json::{Map, Value};

use super::pattern::Step;
use super::{Walk, element, member};
use crate::body::{Budget, json};

/// What stands in place of elements of which masked values are the names.
const HIDDEN: &str = "v:(masked)";

impl Walk<'_> {
    /// Of one object.
    pub(super) fn owned(&mut self, object: &mut Value) {
        let entries = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("managedFields"));
        for entry in entries.and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = entry.get_mut("fieldsV1") {
                self.masked += below(fields, self.steps);
            }
        }
    }
}

/// Hides what is masked below a place to which these steps lead. No deeper than a document is read.
fn below(fields: &mut Value, steps: &[&[Step]]) -> u64 {
    match fields {
        _ if steps.is_empty() => 0,
        Value::Object(members) => hide(members, steps),
        Value::Null => 0,
        // Nobody writes this.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            *fields = Value::Object(Map::new());
            1
        }
    }
}

fn hide(members: &mut Map<String, Value>, steps: &[&[Step]]) -> u64 {
    let (mut hidden, mut masked) = (false, 0);
    members.retain(|name, member| match steps_below(name, steps) {
        Some(steps) => {
            masked += below(member, &steps);
            true
        }
        None => {
            hidden = true;
            masked += 1;
            false
        }
    });
    if hidden {
        members.insert(HIDDEN.to_owned(), Value::Object(Map::new()));
    }
    masked
}

/// What is left of the steps below this member; `None`: its name is a value that is masked, or may be.
fn steps_below<'s>(name: &str, steps: &[&'s [Step]]) -> Option<Vec<&'s [Step]>> {
    // Names of members are shown below what is masked too.
    let all = steps.iter().any(|steps| steps.is_empty());
    let mut left: Vec<&[Step]> = if all { vec![&[]] } else { Vec::new() };
    match name.split_once(':') {
        Some(("f", name)) => left.extend(steps.iter().filter_map(|steps| member(steps, name))),
        Some(("i", _)) => left.extend(steps.iter().filter_map(|steps| any_element(steps))),
        Some((kind @ ("v" | "k"), content)) => {
            let item = json::read(content.as_bytes(), &mut Budget::of_annotation()).ok().filter(|_| !all)?;
            // Of an element that is told by some of its members the others are not there.
            let of_key = |steps: &&'s [Step]| match steps.first() {
                Some(Step::Where(name, _)) if item.get(name).is_none() => any_element(steps),
                _ => element(steps, &item),
            };
            left = steps
                .iter()
                .filter_map(|steps| if kind == "k" { of_key(steps) } else { element(steps, &item) })
                .collect();
            if reaches(&item, &left) {
                return None;
            }
        }
        _ if name == "." => left.clear(),
        // Nobody knows what it is.
        _ => return None,
    }
    Some(left)
}

/// Whether something in a value is masked.
fn reaches(value: &Value, steps: &[&[Step]]) -> bool {
    if steps.iter().any(|steps| steps.is_empty()) {
        return true;
    }
    let within = |value: &Value, left: Vec<&[Step]>| !left.is_empty() && reaches(value, &left);
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| within(value, steps.iter().filter_map(|steps| member(steps, name)).collect())),
        Value::Array(items) => {
            items.iter().any(|item| within(item, steps.iter().filter_map(|steps| element(steps, item)).collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn any_element(steps: &[Step]) -> Option<&[Step]> {
    match steps.split_first()? {
        (Step::Elements | Step::Where(..), rest) => Some(rest),
        (Step::Member(_), _) => None,
    }
}
