//! etcd as the ledger of spent approvals: a Lease per approval in our own namespace, created before the send (ARCHITECTURE.md, Grants).
//!
//! Invariant: an approved operation is sent only after *this* call created its Lease. If it exists, somebody spent the approval before:
//! another agent, an earlier process, an earlier life of the control plane, a restored backup.

use bytes::Bytes;
use control_plane_core::grant::ApprovalClaim;
use control_plane_core::ledger::spent_lease_name;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shared::ids::{AgentId, OperationId};
use shared::limits;
use shared::time::Timestamp;
use shared_net::body::collect_bounded;

use crate::refusal::Refusal;
use crate::upstream::Upstream;

const LABEL: &str = "sallyport.dev/spent";
const EXPIRES: &str = "sallyport.dev/expires";

/// Our Leases in one namespace.
#[derive(Clone, Debug)]
pub struct SpentLeases {
    upstream: Upstream,
    collection: String,
    namespace: String,
    agent: AgentId,
}

impl SpentLeases {
    /// `namespace` is the agent's own; its name was checked by the configuration.
    pub fn new(upstream: Upstream, namespace: &str, agent: AgentId) -> Self {
        Self {
            upstream,
            collection: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            namespace: namespace.to_owned(),
            agent,
        }
    }

    /// Spends an approval for good.
    ///
    /// # Errors
    /// [`Refusal::ApprovalSpent`] if it was spent before, [`Refusal::LedgerClosed`] if the API server gave no clear answer.
    pub async fn spend(&self, approval: &ApprovalClaim, operation: OperationId) -> Result<(), Refusal> {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": spent_lease_name(approval.approval),
                "namespace": self.namespace,
                "labels": {LABEL: "true"},
                "annotations": {
                    EXPIRES: approval.expires.0.to_string(),
                    "sallyport.dev/operation": operation.to_string(),
                },
            },
            "spec": {"holderIdentity": self.agent.to_string()},
        });
        let audit = format!("{operation}-spent");
        let answer = self
            .upstream
            .own(&Method::POST, &self.collection, Bytes::from(lease.to_string()), &audit)
            .await
            .map_err(|error| {
            tracing::warn!(error = %shared::chain::Chain(&error), "no answer from the ledger of spent approvals");
            Refusal::LedgerClosed
        })?;
        match answer.status() {
            StatusCode::CREATED => Ok(()),
            StatusCode::CONFLICT => Err(Refusal::ApprovalSpent),
            status => {
                tracing::warn!(%status, "the ledger of spent approvals refused");
                Err(Refusal::LedgerClosed)
            }
        }
    }

    /// Deletes Leases whose approval expired long ago, at most a page of them. Returns how many.
    ///
    /// # Errors
    /// The API server does not list them.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, SweepError> {
        let path = format!(
            "{}?labelSelector={}%3Dtrue&limit={}",
            self.collection,
            "sallyport.dev%2Fspent",
            limits::SPENT_SWEEP
        );
        let answer = self
            .upstream
            .own(&Method::GET, &path, Bytes::new(), "sallyport-sweep")
            .await
            .map_err(|_| SweepError::NoAnswer)?;
        if answer.status() != StatusCode::OK {
            return Err(SweepError::Status(answer.status().as_u16()));
        }
        let body = collect_bounded(answer.into_body(), limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT)
            .await
            .map_err(|_| SweepError::NoAnswer)?;
        let list: LeaseList = serde_json::from_slice(&body).map_err(|_| SweepError::NoAnswer)?;
        let mut deleted: usize = 0;
        for lease in list.items {
            let expires =
                lease.metadata.annotations.and_then(|annotations| annotations.get(EXPIRES)?.as_str()?.parse().ok());
            // What carries no time of ours is not ours to delete.
            let Some(expires) = expires.map(Timestamp) else { continue };
            if expires.after(limits::SPENT_LEASE_KEEP) >= now || !lease.metadata.name.starts_with("spent-") {
                continue;
            }
            // Only that Lease in that state.
            let options =
                json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": lease.metadata.uid}});
            let path = format!("{}/{}", self.collection, lease.metadata.name);
            let answer =
                self.upstream.own(&Method::DELETE, &path, Bytes::from(options.to_string()), "sallyport-sweep").await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                deleted = deleted.saturating_add(1);
            }
        }
        Ok(deleted)
    }
}

/// Why nothing was swept; tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// No readable answer.
    #[error("the API server gave no readable list of Leases")]
    NoAnswer,
    /// Refused.
    #[error("the API server answered {0}")]
    Status(u16),
}

#[derive(Debug, Deserialize)]
struct LeaseList {
    items: Vec<Lease>,
}

#[derive(Debug, Deserialize)]
struct Lease {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    uid: String,
    annotations: Option<serde_json::Map<String, serde_json::Value>>,
}
