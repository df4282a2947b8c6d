//! The clusters that are known: those of the configuration, and those that were enrolled, which come and go while the process runs.
//!
//! Invariant: a cluster comes in by the configuration, from the store, or as a [`Candidate`], which only [`Authn::judge`] makes; one that is
//! known is never replaced; and no two that were enrolled have a key, a uid or a name in common, nor one of them with the configuration's.

use std::sync::{Arc, PoisonError};

use control_plane_core::identity::token::TokenError;
use control_plane_core::identity::verify;
use shared::time::Timestamp;
use tokio::sync::watch;

use super::pinned::PinnedKeys;
use super::{Authn, AuthnError, Offered};
use crate::config::Cluster;

/// A cluster with its keys.
pub(super) struct Known {
    pub(super) cluster: Arc<Cluster>,
    pub(super) keys: PinnedKeys,
}

/// A cluster whose agent has proven to be under its keys, and that is nobody else's.
pub struct Candidate(Arc<Known>);

/// Why a cluster can't be added.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    /// Its keys.
    #[error("the issuer keys that came with the token can't be used: {0}")]
    Keys(String),
    /// Its agent.
    #[error("the agent's own token is not of that cluster")]
    Agent(#[source] AuthnError),
    /// A name stands for one cluster.
    #[error("a cluster of that name is known here already")]
    Name,
    /// A cluster has one name.
    #[error("the cluster is known here already, under another name")]
    Uid,
    /// Under one key each could make up the other's pods.
    #[error("another cluster that is known here signs its tokens with one of these keys")]
    SharedKey,
}

impl Known {
    pub(super) fn agent(&self, token: &str, now: Timestamp) -> Result<Timestamp, TokenError> {
        let Cluster { issuer, agent_namespace, agent_service_account, .. } = &*self.cluster;
        verify::agent(token, &self.keys.keys(), issuer, agent_namespace, agent_service_account, now)
    }
}

impl Authn {
    /// Whether a cluster may be added: the token of its agent is good under the very keys that it brings, and nothing of it is another's.
    pub fn judge(&self, cluster: Cluster, agent_token: &str, now: Timestamp) -> Result<Candidate, NotAdmitted> {
        let candidate = self.candidate(cluster)?;
        candidate.0.agent(agent_token, now).map_err(|error| NotAdmitted::Agent(error.into()))?;
        Ok(candidate)
    }

    /// The same for one that was admitted by an earlier process.
    pub(crate) fn restore(&self, cluster: Cluster) -> Result<(), NotAdmitted> {
        let candidate = self.candidate(cluster)?;
        self.admit(candidate);
        Ok(())
    }

    fn candidate(&self, cluster: Cluster) -> Result<Candidate, NotAdmitted> {
        let keys = PinnedKeys::read(&cluster, &self.data).map_err(NotAdmitted::Keys)?;
        for known in self.known() {
            if known.cluster.name == cluster.name {
                return Err(NotAdmitted::Name);
            }
            if known.cluster.uid == cluster.uid {
                return Err(NotAdmitted::Uid);
            }
            if known.keys.shares_with(&keys) {
                return Err(NotAdmitted::SharedKey);
            }
        }
        Ok(Candidate(Arc::new(Known { cluster: Arc::new(cluster), keys })))
    }

    /// From now on it is known. One of that name that is there stays.
    pub fn admit(&self, Candidate(known): Candidate) {
        let mut clusters = self.clusters.write().unwrap_or_else(PoisonError::into_inner);
        clusters.entry(known.cluster.name.clone()).or_insert(known);
        drop(clusters);
        self.changed.send_modify(|n| *n += 1);
    }

    /// From now on nobody of it is let in.
    pub(crate) fn remove(&self, name: &str) {
        self.clusters.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Whether this is still known, and not another of its name.
    pub fn knows(&self, cluster: &Arc<Cluster>) -> bool {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        clusters.get(&cluster.name).is_some_and(|known| Arc::ptr_eq(&known.cluster, cluster))
    }

    /// The clusters, by name.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.known().iter().map(|known| Arc::clone(&known.cluster)).collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.clusters.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Told when one comes or goes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn known(&self) -> Vec<Arc<Known>> {
        self.clusters.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Reads again what administrators pinned in files, where it changed.
    pub fn reload_pinned(&self) {
        self.known().iter().for_each(|known| known.keys.reload());
    }

    /// Takes what a cluster publishes.
    pub fn offer(&self, cluster: &str, published: &[u8]) -> Result<Offered, String> {
        let found = self.known().into_iter().find(|known| known.cluster.name == cluster);
        found.map_or_else(|| Ok(Offered::default()), |known| known.keys.offer(published))
    }
}
