//! Who is asking. An [`Identity`] exists only where a signature, issuer, audience and expiry were checked.

mod fuzz;
pub mod token;
pub mod verify;

use std::collections::BTreeMap;

#[doc(hidden)]
pub use fuzz::{Accepted, fuzz_token};
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

/// Who asks: a pod of a cluster, and beside it, where the job has one, its CI provider's word for it.
///
/// Made by the verification functions of this module, and for what we ask ourselves by [`Identity::of_agent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    pub(crate) pod: PodIdentity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ci: Option<CiIdentity>,
    pub(crate) expires: Timestamp,
}

/// The pod that a ServiceAccount token is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodIdentity {
    /// Our name of the cluster whose pinned keys signed the token.
    pub cluster: String,
    /// Namespace of pod and ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
    /// Name of the pod.
    pub pod: String,
    /// uid of the pod.
    pub pod_uid: String,
}

/// What a CI provider's OIDC token says, after its issuer's rules passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CiIdentity {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`: opens one session, ever.
    pub jti: String,
    /// The person behind the job, as the issuer's configuration maps it; `None` where none is mapped.
    pub person: Option<String>,
    /// Named claims (repository_id, ref, project_id, …) that conditions may read.
    pub claims: BTreeMap<String, String>,
}

impl Identity {
    /// A cluster's agent, for what nobody else asks for: an internal operation that serves no runner.
    pub fn of_agent(cluster: &str, namespace: &str, service_account: &str) -> Self {
        let (pod, pod_uid) = (String::new(), String::new());
        let (namespace, service_account) = (namespace.to_owned(), service_account.to_owned());
        let pod = PodIdentity { cluster: cluster.to_owned(), namespace, service_account, pod, pod_uid };
        Self { pod, ci: None, expires: Timestamp(0) }
    }

    /// The pod.
    pub const fn pod(&self) -> &PodIdentity {
        &self.pod
    }

    /// The CI job, if one stands beside it.
    pub const fn ci(&self) -> Option<&CiIdentity> {
        self.ci.as_ref()
    }

    /// From this moment on it opens no new operation.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// `cluster/namespace/serviceaccount`: the asker that holds and four eyes speak of.
    pub fn asker(&self) -> Asker {
        Asker {
            cluster: self.pod.cluster.clone(),
            namespace: self.pod.namespace.clone(),
            service_account: self.pod.service_account.clone(),
            ci_issuer: self.ci.as_ref().map(|ci| ci.issuer.clone()),
            ci_subject: self.ci.as_ref().map(|ci| ci.subject.clone()),
            person: self.ci.as_ref().and_then(|ci| ci.person.clone()),
        }
    }
}

/// Who a hold belongs to: another session of the same asker may claim it (design: Holds).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asker {
    /// Cluster.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// ServiceAccount.
    pub service_account: String,
    /// Issuer of the CI token, if one stood beside the pod's.
    pub ci_issuer: Option<String>,
    /// Its subject.
    pub ci_subject: Option<String>,
    /// The person behind the job, if the issuer's configuration maps one.
    pub person: Option<String>,
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.namespace, self.service_account)
    }
}
