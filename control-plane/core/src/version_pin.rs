//! Which state of an object an approver saw.

use serde::{Deserialize, Serialize};

/// The state that an approval is bound to. `Absent` pins that there was no such object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum VersionPin {
    /// The request has no object that a read could show (most creates, non-resource paths).
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
}
