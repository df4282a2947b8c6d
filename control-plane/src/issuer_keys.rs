//! Follows the keys of clusters' ServiceAccount issuers: the pinned files as they change, and what the clusters publish, which is asked of
//! their agents. A key that nobody pinned is told to people, and counts only where the configuration lets it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::limits;
use shared_net::clock::Clock;

use crate::agents::Agents;
use crate::authn::{Authn, Offered};
use crate::config::{Cluster, Keys};
use crate::store::{Rejected, Store};

/// How often the pinned files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What following takes.
pub(crate) struct IssuerKeys {
    /// Holds the keys.
    pub(crate) authn: Arc<Authn>,
    /// Are asked.
    pub(crate) agents: Arc<Agents>,
    /// Remembers for people.
    pub(crate) store: Store,
    /// Tells the time.
    pub(crate) clock: Clock,
}

/// When a cluster was asked, and whether it is to be asked again.
#[derive(Default)]
struct Asked {
    at: Option<Duration>,
    wanted: bool,
}

impl IssuerKeys {
    /// Follows both for ever.
    pub(crate) async fn follow(self) {
        tokio::select! {
            never = self.files() => match never {},
            never = self.published() => match never {},
        }
    }

    async fn files(&self) -> Infallible {
        loop {
            self.clock.sleep(LOOK).await;
            let authn = Arc::clone(&self.authn);
            // A slow disk is nobody's wait.
            if tokio::task::spawn_blocking(move || authn.reload_pinned()).await.is_err() {
                tracing::error!("the pinned issuer keys could not be looked at");
            }
        }
    }

    /// Asks at each first agent of a cluster, when a token names a key that is not known, and once an hour; a cluster no more often than an
    /// issuer.
    async fn published(&self) -> Infallible {
        let mut changes = self.agents.changes();
        let mut clusters: BTreeMap<String, Asked> = BTreeMap::new();
        loop {
            let waiting = clusters.values().any(|asked| asked.wanted);
            let all = tokio::select! {
                _ = changes.changed() => false,
                () = self.authn.strange_key() => true,
                () = self.clock.sleep(if waiting { limits::ISSUER_REFETCH } else { limits::PUBLISHED_KEYS }) => true,
            };
            let known = self.authn.clusters();
            clusters.retain(|name, _| known.iter().any(|cluster| cluster.name == *name));
            for cluster in known {
                let asked = clusters.entry(cluster.name.clone()).or_default();
                if !self.agents.serves(&cluster.name) {
                    *asked = Asked::default();
                    continue;
                }
                let now = self.clock.monotonic();
                asked.wanted |= all || asked.at.is_none();
                if asked.wanted && asked.at.is_none_or(|at| now.saturating_sub(at) >= limits::ISSUER_REFETCH) {
                    *asked = Asked { at: Some(now), wanted: false };
                    self.ask(&cluster).await;
                }
            }
        }
    }

    async fn ask(&self, cluster: &Cluster) {
        let published = match self.agents.issuer_keys(cluster).await {
            Ok(published) => published,
            Err(error) => {
                let error = shared::chain::Chain(&error).to_string();
                return tracing::warn!(
                    cluster = cluster.name,
                    error,
                    "the cluster does not say which keys it publishes"
                );
            }
        };
        let (authn, name) = (Arc::clone(&self.authn), cluster.name.clone());
        let offered = tokio::task::spawn_blocking(move || authn.offer(&name, &published)).await;
        match offered.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(Offered { adopted, strange }) => {
                for (ids, why) in [
                    (adopted, "adopted: an agent under a known key says that the cluster publishes it (adoptKeys)"),
                    (strange, remedy(cluster)),
                ] {
                    for id in ids {
                        self.tell(&cluster.name, &id, why).await;
                    }
                }
            }
            Err(error) => tracing::error!(cluster = cluster.name, error, "published issuer keys can't be used"),
        }
    }

    async fn tell(&self, cluster: &str, id: &str, why: &'static str) {
        tracing::warn!(cluster, key = id, why, "ALARM: a cluster publishes a new issuer key");
        let found = Rejected {
            at: self.clock.now(),
            session: None,
            operation: None,
            stage: "issuer-keys",
            status: 0,
            what: format!("key {id} of cluster {cluster}"),
            why: why.to_owned(),
        };
        if let Err(error) = self.store.reject(found).await {
            tracing::error!(error = %shared::chain::Chain(&error), "an alarm could not be recorded");
        }
    }
}

/// What to do about a key that nobody pinned.
const fn remedy(cluster: &Cluster) -> &'static str {
    match cluster.keys {
        Keys::File(_) => {
            "nobody pinned it, so its tokens don't count: put it into the cluster's keys file, if it is right"
        }
        Keys::Enrolled { .. } => {
            "nobody pinned it, so its tokens don't count: forget and enrol the cluster again, if it is right"
        }
    }
}
