//! Which state of an object an approver saw (ARCHITECTURE.md, Holds: version pin).
//!
//! Pure: the control plane makes a pin from the object that it shows, the agent compares it with the object that it reads last.
//! Both must look at the same form of the object, masked in the same way.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::body;
use crate::request_info::RequestInfo;

#[cfg(test)]
mod tests;

/// The state that an approval is bound to. `Absent` pins that there was no such object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum VersionPin {
    /// The request changes no object that a read could show (reads, most creates, collections, non-resource paths).
    None,
    /// There was no such object.
    Absent,
    /// Kinds without `metadata.generation`: any write voids the approval.
    #[serde(rename_all = "camelCase")]
    ResourceVersion {
        /// `metadata.uid`.
        uid: String,
        /// `metadata.resourceVersion`.
        resource_version: String,
    },
    /// Kinds with `metadata.generation`: status writes do not void it.
    #[serde(rename_all = "camelCase")]
    Generation {
        /// `metadata.uid`.
        uid: String,
        /// `metadata.generation`.
        generation: i64,
        /// SHA-256 (hex) of labels, annotations, finalizers and ownerReferences, in canonical JSON.
        metadata_digest: String,
    },
    /// A read that shows real values: of this object, in this state, of these keys or fields and no others.
    #[serde(rename_all = "camelCase")]
    Reveal {
        /// `metadata.uid`.
        uid: String,
        /// `metadata.resourceVersion`.
        resource_version: String,
        /// Keys of a Secret's `data`, or fields that policy masks ([`RevealedFields`](crate::mask::RevealedFields)); sorted.
        keys: BTreeSet<String>,
    },
}

/// The object is no longer the one that was approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object has changed since it was judged: {field} was {expected:?} and is {got:?}")]
pub struct PinBroken {
    /// Which part of it.
    pub field: &'static str,
    /// As it was judged.
    pub expected: String,
    /// As it is.
    pub got: String,
}

/// What generation does not count.
const OWN_METADATA: [&str; 4] = ["annotations", "finalizers", "labels", "ownerReferences"];

impl VersionPin {
    /// The pin of a request, given the object that its [`RequestInfo::live_object`] showed (`None`: there is no such object).
    ///
    /// An object without uid or resourceVersion, which no API server sends, makes a pin that never holds.
    pub fn of(info: &RequestInfo, live: Option<&Value>) -> Self {
        // A read needs no state that it was approved for: it shows whichever there is, and changes none.
        if info.is_read() || info.live_object().is_none() {
            return Self::None;
        }
        let Some(live) = live else {
            return Self::Absent;
        };
        let uid = text(live, "uid").to_owned();
        match metadata(live, "generation").and_then(Value::as_i64) {
            Some(generation) if generation > 0 => {
                Self::Generation { uid, generation, metadata_digest: metadata_digest(live) }
            }
            _ => Self::ResourceVersion { uid, resource_version: text(live, "resourceVersion").to_owned() },
        }
    }

    /// The pin of a read that is to show the real values of these keys or fields of an object (`None`: there is none, and nothing to show).
    pub fn of_reveal(live: Option<&Value>, keys: &BTreeSet<String>) -> Self {
        let Some(live) = live else { return Self::Absent };
        Self::Reveal {
            uid: text(live, "uid").to_owned(),
            resource_version: text(live, "resourceVersion").to_owned(),
            keys: keys.clone(),
        }
    }

    /// The keys or fields whose real values it lets out; usually none.
    pub fn revealed(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Reveal { keys, .. } => Some(keys),
            Self::None | Self::Absent | Self::ResourceVersion { .. } | Self::Generation { .. } => None,
        }
    }

    /// Whether the object is still in this state.
    ///
    /// # Errors
    /// The first part that differs.
    pub fn holds(&self, live: Option<&Value>) -> Result<(), PinBroken> {
        match (self, live) {
            (Self::None, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(live)) => Err(broken("existence", "absent", &format!("uid {}", text(live, "uid")))),
            (Self::ResourceVersion { uid, .. } | Self::Generation { uid, .. } | Self::Reveal { uid, .. }, None) => {
                Err(broken("existence", &format!("uid {uid}"), "absent"))
            }
            (
                Self::ResourceVersion { uid, resource_version } | Self::Reveal { uid, resource_version, keys: _ },
                Some(live),
            ) => {
                same("uid", uid, text(live, "uid"))?;
                same("resourceVersion", resource_version, text(live, "resourceVersion"))
            }
            (Self::Generation { uid, generation, metadata_digest: expected }, Some(live)) => {
                same("uid", uid, text(live, "uid"))?;
                let got = metadata(live, "generation")
                    .and_then(Value::as_i64)
                    .map(|generation| generation.to_string())
                    .unwrap_or_default();
                same("generation", &generation.to_string(), &got)?;
                same("labels, annotations, finalizers or ownerReferences", expected, &metadata_digest(live))
            }
        }
    }
}

fn same(field: &'static str, expected: &str, got: &str) -> Result<(), PinBroken> {
    // An empty text is one that was missing: it equals nothing.
    if expected == got && !expected.is_empty() {
        return Ok(());
    }
    Err(broken(field, expected, got))
}

fn broken(field: &'static str, expected: &str, got: &str) -> PinBroken {
    PinBroken { field, expected: expected.to_owned(), got: got.to_owned() }
}

fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    metadata(object, field).and_then(Value::as_str).unwrap_or_default()
}

fn metadata_digest(object: &Value) -> String {
    let mut own = Map::new();
    for field in OWN_METADATA {
        if let Some(value) = metadata(object, field) {
            own.insert(field.to_owned(), value.clone());
        }
    }
    let sum = digest::digest(&digest::SHA256, &body::canonical(&Value::Object(own)));
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
