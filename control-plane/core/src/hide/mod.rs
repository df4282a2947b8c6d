//! Hiding: objects that policy keeps out of a runner's sight, by namespace, by name and by label.
//!
//! Namespace and name of an object never change, so what is hidden by them is left out of the answer as it flows by ([`Filter`]), one object
//! at a time, and nothing has to be remembered. Labels do change. An object that loses or gains one enters or leaves the visible set in the
//! middle of a watch, and only who knows what it was before can tell the client the truth without telling of objects that it never saw. The
//! API server knows, so it is asked ([`Hidden::narrow`]): a selector that leaves out what is hidden goes with the request, and MODIFIED
//! becomes DELETED or ADDED there, pages and their `continue` are of visible objects alone, for a watch as for a list. That is why a label
//! stands alone in an entry: what a selector can't say can't be hidden. The filter looks at labels too, for servers that ignore selectors.
//!
//! Whatever can't be judged (no metadata, no name, longer than [`HIDDEN_OBJECT_BYTES`](shared::limits::HIDDEN_OBJECT_BYTES)) is not shown:
//! the stream ends. One object that is hidden is answered as one that isn't there, in the API server's own words ([`not_found`]).
//!
//! [`HideRule`]s come from the rules of the policy file, are merged for each request (`policy::decide`), and travel in its grant. They take
//! away and never give.

mod event;
mod filter;
mod fuzz;
mod labels;
mod narrow;
mod object;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::glob::Glob;
use crate::request_info::{RequestInfo, Verb};

pub use filter::{Filter, HideError};
pub(crate) use labels::Requirement;
pub use narrow::{NarrowError, asked_live, not_found};
use object::Meta;

/// One entry, as the policy file and the grant write it: either labels, or namespaces and names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HideRule {
    /// Patterns of namespaces; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Patterns of names; none for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// As `kubectl get -l` has them; an object that has any is hidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl HideRule {
    /// `namespaces kube-*, names db-*`: for a person.
    pub fn text(&self) -> String {
        let parts = [("namespaces", &self.namespaces), ("names", &self.names), ("labels", &self.labels)];
        let parts = parts.iter().filter(|(_, texts)| !texts.is_empty());
        parts.map(|(name, texts)| format!("{name} {}", texts.join(" or "))).collect::<Vec<_>>().join(", ")
    }
}

/// An entry that can't be read; then nothing may be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HideRuleError {
    /// A pattern or label.
    #[error("{0}")]
    Text(String),
    /// Neither, or both.
    #[error("an entry has either labels, or namespaces and names")]
    Form,
}

/// What is hidden from one request.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    places: Vec<Place>,
    labels: Vec<Requirement>,
    /// The request's, for objects that don't say theirs.
    namespace: String,
    /// Objects of the request are namespaces: each is in itself, as in RequestInfo.
    of_namespaces: bool,
}

/// Empty for any.
#[derive(Clone, Debug)]
struct Place {
    namespaces: Vec<Glob>,
    names: Vec<Glob>,
}

impl Place {
    fn covers(&self, namespace: &str, name: &str) -> bool {
        let any = |patterns: &[Glob], text: &str| patterns.is_empty() || patterns.iter().any(|glob| glob.spans(text));
        // What is in no namespace is not in any that a pattern means.
        (self.namespaces.is_empty() || !namespace.is_empty())
            && any(&self.namespaces, namespace)
            && any(&self.names, name)
    }
}

impl Hidden {
    /// Reads what policy or a grant says, for a request.
    ///
    /// # Errors
    /// The first entry that can't be read.
    pub fn parse(rules: &[HideRule], info: &RequestInfo) -> Result<Self, HideRuleError> {
        if rules.is_empty() || !info.is_resource_request {
            return Ok(Self::default());
        }
        let mut hidden = Self {
            namespace: info.namespace.clone(),
            of_namespaces: info.api_group.is_empty() && info.resource == "namespaces",
            ..Self::default()
        };
        for rule in rules {
            let has_place = !(rule.namespaces.is_empty() && rule.names.is_empty());
            if has_place != rule.labels.is_empty() {
                return Err(HideRuleError::Form);
            }
            for label in &rule.labels {
                hidden.labels.push(Requirement::parse(label).map_err(HideRuleError::Text)?);
            }
            if has_place {
                hidden.places.push(Place { namespaces: globs(&rule.namespaces)?, names: globs(&rule.names)? });
            }
        }
        Ok(hidden)
    }

    /// Whether nothing is hidden.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty() && self.labels.is_empty()
    }

    /// Whether an object of that name is hidden, whatever its labels. The namespace counts where the object is in one.
    pub fn hides_place(&self, namespace: &str, name: &str) -> bool {
        let namespace = match (self.of_namespaces, namespace) {
            (true, _) => name,
            (false, "") => &self.namespace,
            (false, namespace) => namespace,
        };
        self.places.iter().any(|place| place.covers(namespace, name))
    }

    /// Whether an object that was read is hidden; one that can't be judged is.
    pub fn hides_value(&self, object: &Value) -> bool {
        if self.is_empty() {
            return false;
        }
        let meta = object.get("metadata").and_then(|metadata| Meta::deserialize(metadata).ok());
        meta.is_none_or(|meta| self.hides(&meta))
    }

    /// Whether the one object in an answer is hidden, be it itself or a row of a table.
    ///
    /// # Errors
    /// It can't be judged.
    pub fn hides_answer(&self, body: &[u8]) -> Result<bool, HideError> {
        Ok(object::named(body)?.iter().any(|meta| self.hides(meta)))
    }

    fn hides(&self, meta: &Meta) -> bool {
        self.hides_place(meta.namespace(), meta.name()) || self.labels.iter().any(|label| label.holds(meta.labels()))
    }
}

/// Entry of the fuzz target, also run over its corpus by an ordinary test.
#[doc(hidden)]
pub fn fuzz_hide(data: &[u8]) {
    fuzz::fuzz(data);
}

fn globs(patterns: &[String]) -> Result<Vec<Glob>, HideRuleError> {
    patterns.iter().map(|pattern| Glob::word(pattern).map_err(HideRuleError::Text)).collect()
}

/// Those of the entries that can be about what a request reaches; all that are left out hide nothing there.
pub(crate) fn about(rules: impl Iterator<Item = HideRule>, info: &RequestInfo) -> Vec<HideRule> {
    let fits = |patterns: &[String], text: &str| {
        let any = |pattern: &String| Glob::word(pattern).map_or(true, |glob| glob.spans(text));
        patterns.is_empty() || text.is_empty() || patterns.iter().any(any)
    };
    // A field selector pins a list to one name, if the server keeps to it.
    let one = !matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    let name = if one { info.name.as_str() } else { "" };
    let mut kept: Vec<HideRule> =
        rules.filter(|rule| fits(&rule.namespaces, &info.namespace) && fits(&rule.names, name)).collect();
    kept.sort();
    kept.dedup();
    kept
}
