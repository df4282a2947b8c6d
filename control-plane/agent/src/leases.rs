//! Our Leases in our own namespace: what the cluster's etcd remembers for us. They are made, read and removed, never changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shared::ids::AgentId;
use shared::limits;
use shared_net::body::collect_bounded;

use crate::upstream::Upstream;

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    upstream: Upstream,
    collection: String,
    namespace: String,
    agent: AgentId,
}

/// What came of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// This call made it.
    Here,
    /// It was there.
    Before,
}

/// The API server gave no clear answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// No readable answer.
    #[error("the API server gave no readable answer about our Leases")]
    NoAnswer,
    /// Refused.
    #[error("the API server answered {0} about our Leases; manifests/agent has the rights that are needed")]
    Status(u16),
}

impl Leases {
    /// `namespace` is the agent's own; its name was checked by the configuration.
    pub(crate) fn new(upstream: Upstream, namespace: &str, agent: AgentId) -> Self {
        Self {
            upstream,
            collection: format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            namespace: namespace.to_owned(),
            agent,
        }
    }

    /// Makes one, if it is not there.
    pub(crate) async fn create(
        &self,
        name: &str,
        label: (&str, &str),
        annotations: &[(&str, String)],
        audit: &str,
    ) -> Result<Created, LeaseError> {
        let annotations: BTreeMap<_, _> = annotations.iter().map(|(key, value)| (*key, value)).collect();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {label.0: label.1},
                "annotations": annotations,
            },
            "spec": {"holderIdentity": self.agent.to_string()},
        });
        let body = Bytes::from(lease.to_string());
        let answer = self.upstream.own(&Method::POST, &self.collection, body, audit).await.map_err(no_answer)?;
        match answer.status() {
            StatusCode::CREATED => Ok(Created::Here),
            StatusCode::CONFLICT => Ok(Created::Before),
            status => Err(LeaseError::Status(status.as_u16())),
        }
    }

    /// Those with a label, at most [`limits::LEASE_PAGE`].
    pub(crate) async fn list(&self, label: (&str, &str), audit: &str) -> Result<Vec<Lease>, LeaseError> {
        let (key, value) = (label.0.replace('/', "%2F"), label.1);
        let path = format!("{}?labelSelector={key}%3D{value}&limit={}", self.collection, limits::LEASE_PAGE);
        let answer = self.upstream.own(&Method::GET, &path, Bytes::new(), audit).await.map_err(no_answer)?;
        if answer.status() != StatusCode::OK {
            return Err(LeaseError::Status(answer.status().as_u16()));
        }
        let body = collect_bounded(answer.into_body(), limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT)
            .await
            .map_err(|_| LeaseError::NoAnswer)?;
        let list: LeaseList = serde_json::from_slice(&body).map_err(|_| LeaseError::NoAnswer)?;
        Ok(list.items.into_iter().map(|item| item.metadata).collect())
    }

    /// Removes one, only that and only in that state. `false`: it could not be.
    pub(crate) async fn delete(&self, lease: &Lease, audit: &str) -> bool {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": lease.uid}});
        let path = format!("{}/{}", self.collection, lease.name);
        let answer = self.upstream.own(&Method::DELETE, &path, Bytes::from(options.to_string()), audit).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

fn no_answer(error: crate::upstream::UpstreamError) -> LeaseError {
    tracing::warn!(error = %shared::chain::Chain(&error), "no answer about our Leases");
    LeaseError::NoAnswer
}

#[derive(Debug, Deserialize)]
struct LeaseList {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    metadata: Lease,
}

/// The metadata of one.
#[derive(Debug, Deserialize)]
pub(crate) struct Lease {
    pub(crate) name: String,
    uid: String,
    annotations: Option<BTreeMap<String, String>>,
}

impl Lease {
    /// One annotation.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}
