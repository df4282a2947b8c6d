//! Patches that would show a masked field without carrying any of it: policy's `[name=*SECRET*]` tells which elements of a list are masked by
//! what their member says, and a patch can change that member and leave the rest of the element as it is.
//!
//! What is replaced whole has nothing of what was there: a PUT, a list in a merge patch (RFC 7386), a value in a JSON Patch. So this is about
//! JSON Patches that reach into an element, and about lists that the API server merges: strategic merge patches
//! (k8s.io/apimachinery strategicpatch), applies (sigs.k8s.io/structured-merge-diff).

use serde_json::Value;

use super::pattern::fits;
use super::{FieldPath, MaskedFields, Step};
use crate::body::Encoding;
use crate::mask::changes::pointer;
use crate::request_info::RequestInfo;

/// Lists whose elements the API server tells by their `name` (`patchMergeKey` and `listMapKey` in k8s.io/api core/v1), so that no patch
/// can give one another name. Of other lists that is not known here.
const TOLD_BY_NAME: [&str; 6] =
    ["containers", "initContainers", "ephemeralContainers", "env", "volumes", "imagePullSecrets"];
/// Groups of the resources in which they are those lists.
const GROUPS: [&str; 3] = ["", "apps", "batch"];
/// The directive of a strategic merge patch that names what stays of an element.
const RETAIN_KEYS: &str = "$retainKeys";

impl MaskedFields {
    /// The first member that a patch changes by which these fields are told from others.
    pub fn renamed(&self, info: &RequestInfo, encoding: Encoding, patch: &Value) -> Option<FieldPath> {
        match encoding {
            Encoding::JsonPatch => patch.as_array()?.iter().find_map(|operation| {
                let place = operation.get("path").and_then(Value::as_str).map(pointer)?;
                let named = self.0.iter().any(|pattern| is_name(pattern.steps(), &place));
                named.then(|| FieldPath::from(place))
            }),
            Encoding::StrategicMergePatch | Encoding::ApplyPatch => {
                let by_name: &[&str] = if GROUPS.contains(&info.api_group.as_str()) { &TOLD_BY_NAME } else { &[] };
                self.0.iter().find_map(|pattern| {
                    let mut walk = Merge { by_name, path: Vec::new() };
                    walk.renames(pattern.steps(), patch, "").then(|| FieldPath::from(walk.path))
                })
            }
            Encoding::Json | Encoding::Yaml | Encoding::Protobuf | Encoding::MergePatch => None,
        }
    }

    /// Whether a place is at, in or above one of them, whatever is in the lists on the way.
    pub fn touch(&self, place: &[String]) -> bool {
        let along = |(step, part): (&Step, &String)| leads(step, part);
        self.0.iter().any(|pattern| pattern.steps().iter().zip(place).all(along))
    }
}

/// Any element may be meant: indexes are the writer's, and can count from the end.
pub(super) fn leads(step: &Step, part: &str) -> bool {
    match step {
        Step::Member(pattern) => fits(pattern, part),
        Step::Elements | Step::Where(..) => true,
    }
}

/// Whether a place is what `[name=…]` looks at, in some element.
fn is_name(steps: &[Step], place: &[String]) -> bool {
    let names = |(at, step): (usize, &Step)| {
        let Step::Where(name, _) = step else { return false };
        let (above, below) = (place.get(..=at), place.get(at + 1));
        below == Some(name) && above.is_some_and(|above| steps.iter().zip(above).all(|(step, part)| leads(step, part)))
    };
    steps.iter().enumerate().any(names)
}

/// A patch that looks like the object.
struct Merge<'a> {
    /// Lists in which `name` is what the API server goes by.
    by_name: &'a [&'a str],
    path: Vec<String>,
}

impl Merge<'_> {
    /// `list`: the name of the member that this is. No deeper than there are steps.
    fn renames(&mut self, steps: &[Step], value: &Value, list: &str) -> bool {
        match (steps.split_first(), value) {
            (Some((Step::Member(pattern), rest)), Value::Object(members)) => {
                // `$setElementOrder/env` and its like name no values.
                let named = members.iter().filter(|(name, _)| !name.starts_with('$') && fits(pattern, name));
                named.into_iter().any(|(name, member)| self.below(name, |walk| walk.renames(rest, member, name)))
            }
            (Some((Step::Elements, rest)), Value::Array(items)) => {
                self.elements(items, |walk, item| walk.renames(rest, item, ""))
            }
            (Some((Step::Where(name, pattern), rest)), Value::Array(items)) => {
                let fixed = name == "name" && self.by_name.contains(&list);
                self.elements(items, |walk, item| {
                    let own = item.get(name);
                    if fixed {
                        let meant = own.and_then(Value::as_str).is_some_and(|own| fits(pattern, own));
                        return meant && walk.renames(rest, item, "");
                    }
                    // What `$retainKeys` doesn't name goes, and with it what the pattern looks for.
                    let changed = own.map(|_| name.as_str());
                    match changed.or_else(|| item.get(RETAIN_KEYS).map(|_| RETAIN_KEYS)) {
                        Some(member) => walk.below(member, |_| true),
                        None => walk.renames(rest, item, ""),
                    }
                })
            }
            _ => false,
        }
    }

    fn elements(&mut self, items: &[Value], mut renames: impl FnMut(&mut Self, &Value) -> bool) -> bool {
        items.iter().enumerate().any(|(index, item)| self.below(&index.to_string(), |walk| renames(walk, item)))
    }

    /// The path stays where something is found.
    fn below(&mut self, part: &str, renames: impl FnOnce(&mut Self) -> bool) -> bool {
        self.path.push(part.to_owned());
        let found = renames(self);
        if !found {
            self.path.pop();
        }
        found
    }
}
