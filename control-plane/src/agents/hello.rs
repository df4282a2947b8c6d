//! An agent says who it is; from then on its connection carries granted operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control_plane_core::grant::ReadKey;
use control_plane_core::identity::token::LEEWAY;
use control_plane_core::ledger::Epoch;
use control_plane_core::lifecycle::{Life, OldCopy};
use serde::{Deserialize, Serialize};
use shared::ids::AgentId;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::endpoint::Connection;
use shared_net::memory::Memory;
use tokio::sync::watch;

use super::answer::Unread;
use super::streams::Streams;
use super::{AgentLink, Agents};
use crate::authn::{Authn, AuthnError};

/// What an agent sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HelloRequest {
    token: Secret<String>,
    agent: AgentId,
    cluster_uid: String,
    /// The highest life of a control plane that was seen in that cluster.
    life: Life,
    #[serde(default)]
    version: String,
    /// What enrols its cluster, if that is not known yet.
    #[serde(default)]
    enrolment: Option<Offer>,
}

/// What an agent shows beside its own token, as `sallyport install --enrol` wrote it: a one-time token, and what it pins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// The secret of the one-time token.
    pub(crate) secret: Secret<String>,
    /// `iss` of the cluster's ServiceAccount tokens.
    pub(crate) issuer: String,
    /// The key set of that issuer (JWKS), read with the administrator's credentials.
    pub(crate) keys: String,
}

impl HelloRequest {
    /// The agent's own token.
    pub(crate) const fn token(&self) -> &Secret<String> {
        &self.token
    }

    /// The uid of its cluster, as it says.
    pub(crate) fn cluster_uid(&self) -> &str {
        &self.cluster_uid
    }

    /// What enrols its cluster.
    pub(crate) const fn enrolment(&self) -> Option<&Offer> {
        self.enrolment.as_ref()
    }
}

/// What it gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloReply {
    /// Our name of its cluster, which grants carry.
    pub cluster: String,
    /// Life of the database; the agent refuses a lower one than it has seen.
    pub life: Life,
    /// The Ed25519 public key of grants, base64url.
    pub grant_key: String,
    /// Our clock.
    pub now: Timestamp,
    /// Until when the agent's token is good; it shows a fresh one before.
    pub expires: Timestamp,
}

/// Why a connection is no agent's.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The token.
    #[error(transparent)]
    Authn(#[from] AuthnError),
    /// The agent stands in another cluster than its token is of.
    #[error("cluster {name} has uid {expected:?} here, the agent says {got:?}")]
    OtherCluster {
        /// Our name of it.
        name: String,
        /// As configured.
        expected: String,
        /// As the agent reads it.
        got: String,
    },
    /// The cluster remembers a control plane that our database doesn't.
    #[error(
        "an old database: if it was restored from a backup, start once with `sallyport serve --restored`, else stop this control plane"
    )]
    OldCopy(#[from] OldCopy),
    /// A connection stays the one process of the one cluster that it was.
    #[error("this connection is another agent's")]
    OtherAgent,
    /// The cluster was forgotten meanwhile.
    #[error("cluster {0} is not known here any more")]
    Forgotten(String),
    /// The TLS exporter failed.
    #[error("the connection gave no exporter value")]
    Export,
}

impl Agents {
    /// Makes a connection an agent's, or renews what it is: a connection lasts no longer than the last token that was shown on it.
    pub fn hello(
        &self,
        authn: &Authn,
        connection: &Connection,
        request: &HelloRequest,
        first: bool,
    ) -> Result<(Arc<AgentLink>, HelloReply), HelloError> {
        let now = self.recorder.clock.now();
        let (cluster, expires) = authn.agent(request.token.expose(), now)?;
        if request.cluster_uid != cluster.uid {
            return Err(HelloError::OtherCluster {
                name: cluster.name.clone(),
                expected: cluster.uid.clone(),
                got: request.cluster_uid.chars().take(80).collect(),
            });
        }
        self.recorder.store.lives().check(request.life)?;
        let reply = HelloReply {
            cluster: cluster.name.clone(),
            life: self.recorder.store.life(),
            grant_key: URL_SAFE_NO_PAD.encode(self.grants.public_key()),
            now,
            expires,
        };
        if !first {
            let link = self.on(connection, &cluster.name).filter(|link| link.id == request.agent);
            let link = link.ok_or(HelloError::OtherAgent)?;
            link.until.fetch_max(expires.after(LEEWAY).0, Ordering::AcqRel);
            return Ok((link, reply));
        }
        let epoch = connection.export(wire::EXPORTER_EPOCH).map_err(|_| HelloError::Export)?;
        let read_key = connection.export(wire::EXPORTER_READ_GRANTS).map_err(|_| HelloError::Export)?;
        let link = Arc::new(AgentLink {
            id: request.agent,
            cluster: cluster.name.clone(),
            version: request.version.chars().take(limits::VERSION_CHARS).collect(),
            since: now,
            connection: connection.clone(),
            epoch: Epoch::new(epoch),
            read_key: ReadKey::new(&read_key),
            until: AtomicU64::new(expires.after(LEEWAY).0),
            silent: AtomicBool::new(false),
            leaving: watch::Sender::new(false),
            streams: Streams::new(),
            bodies: Memory::new(limits::AGENT_BODY_BYTES, &self.recorder.clock),
            unread: Unread::new(),
        });
        connection.allow_unread(limits::AGENT_WINDOW);
        self.add(Arc::clone(&link));
        // Forgotten between the look at its token and here: whoever cut its links did not see this one.
        if !authn.knows(&cluster) {
            self.remove(&link);
            return Err(HelloError::Forgotten(link.cluster.clone()));
        }
        tracing::info!(
            agent.id = %link.id,
            cluster = %link.cluster,
            agent.version = %link.version,
            "agent connected"
        );
        Ok((link, reply))
    }

    /// Keeps a link registered until its connection ends, or its token does.
    pub async fn attend(&self, link: Arc<AgentLink>) {
        let reason = tokio::select! {
            reason = link.connection.closed() => reason,
            never = link.listen() => match never {},
            () = self.outlived(&link) => {
                link.connection.close(wire::code::UNAUTHENTICATED, "the agent's token expired");
                link.connection.closed().await
            }
        };
        self.remove(&link);
        if link.is_leaving() {
            tracing::info!(agent.id = %link.id, cluster = %link.cluster, "agent is gone");
            return;
        }
        tracing::warn!(agent.id = %link.id, cluster = %link.cluster, %reason, "agent disconnected; its unspent grants are void");
    }

    /// Resolves when the last token that was shown on a connection is good no more.
    async fn outlived(&self, link: &AgentLink) {
        loop {
            let left = Timestamp(link.until.load(Ordering::Acquire)).since(self.recorder.clock.now());
            if left.is_zero() {
                return;
            }
            self.recorder.clock.sleep(left).await;
        }
    }
}
