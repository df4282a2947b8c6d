//! The agents that are connected, and what is said to them.
//!
//! An agent's right to its connection is its ServiceAccount token, verified under the cluster's pinned keys; it is shown on every
//! connection, so no client certificate of long life exists that could be stolen. Each connection is an epoch of its own: a grant
//! names one, and the loss of the connection voids every grant that was not spent.

pub(crate) mod answer;
pub(crate) mod forward;
mod guard;
mod hello;
mod internal;
mod issuer_keys;
mod listen;
mod settle;
pub(crate) mod streams;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use control_plane_core::grant::ReadKey;
use control_plane_core::ledger::Epoch;
use control_plane_core::lifecycle::{Life, NewIssue};
use serde::Serialize;
use shared::ids::{AgentId, GrantId, SessionId};
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::endpoint::{Connection, Way};
use shared_net::memory::{self, Memory};
use tokio::sync::watch;
use uuid::Uuid;

pub use hello::{HelloError, HelloReply, HelloRequest, Offer};
pub use internal::InternalError;

use self::answer::Unread;
use self::streams::{Reviews, Streams};
use crate::grants::Grants;
use crate::records::Recorder;

/// One connection of one agent process.
pub struct AgentLink {
    /// The process.
    pub id: AgentId,
    /// Its cluster.
    pub cluster: String,
    /// What it says of its version.
    pub version: String,
    /// Since when it is connected.
    pub since: Timestamp,
    /// The connection.
    pub connection: Connection,
    /// What grants for this connection carry as `aud`.
    pub epoch: Epoch,
    /// Key of plain reads' grants on this connection.
    pub read_key: ReadKey,
    /// Until when its token is good, in ms since the epoch; a fresh one, shown on the same connection, moves it.
    until: AtomicU64,
    /// Whether it was not heard for a while, and did not answer: gone, most likely, though nobody has said so yet.
    silent: AtomicBool,
    /// Whether it has said that it is going away.
    leaving: watch::Sender<bool>,
    /// Who has its streams.
    pub(crate) streams: Streams,
    /// What bodies may take there ([`limits::AGENT_BODY_BYTES`]).
    bodies: Memory,
    /// Its answers that wait for their readers.
    unread: Unread,
}

impl AgentLink {
    /// A grant to come for this connection.
    pub fn new_issue(&self, life: Life) -> NewIssue {
        NewIssue { jti: GrantId::new(Uuid::now_v7()), epoch: self.epoch, agent: self.id, life }
    }

    /// Whether nothing new may be sent to it.
    pub fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    /// Room there for a body of that session, to be had until its answer begins. Waited for here, where the body has room already: on its way
    /// it would keep others' from coming, and there it is in memory.
    ///
    /// # Errors
    /// [`memory::NoRoom`], after [`limits::BODY_ROOM_WAIT`].
    pub(crate) async fn body_room(
        &self,
        session: SessionId,
        body: usize,
    ) -> Result<Option<memory::Place>, memory::NoRoom> {
        if body == 0 {
            return Ok(None);
        }
        self.bodies
            .take(session, body.saturating_mul(limits::AGENT_BODY_COPIES), limits::BODY_ROOM_WAIT)
            .await
            .map(Some)
    }

    fn leave(&self) {
        if !self.leaving.send_replace(true) {
            tracing::info!(agent.id = %self.id, cluster = %self.cluster, "agent is going away");
        }
    }

    /// Resolves when nothing new may be sent to it.
    pub async fn left(&self) {
        // The sender is ours: it can't be gone.
        drop(self.leaving.subscribe().wait_for(|leaving| *leaving).await);
    }
}

/// A connected agent, as people see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// The process.
    pub id: AgentId,
    /// What it says of its version.
    pub version: String,
    /// Since when it is connected.
    pub since: Timestamp,
    /// Whether it was heard within its keep-alives.
    pub heard: bool,
    /// Whether it came over TCP, because UDP was not answered.
    pub over_tcp: bool,
}

/// The agents of all clusters.
pub struct Agents {
    by_cluster: RwLock<HashMap<String, Vec<Arc<AgentLink>>>>,
    turn: AtomicUsize,
    changed: watch::Sender<u64>,
    reviews: Reviews,
    grants: Arc<Grants>,
    recorder: Recorder,
}

impl Agents {
    /// None is connected yet.
    pub fn new(grants: Arc<Grants>, recorder: Recorder) -> Self {
        Self {
            by_cluster: RwLock::new(HashMap::new()),
            turn: AtomicUsize::new(0),
            changed: watch::Sender::new(0),
            reviews: Reviews::default(),
            grants,
            recorder,
        }
    }

    /// A connected agent of the cluster that takes operations; several take turns.
    pub fn pick(&self, cluster: &str) -> Option<Arc<AgentLink>> {
        self.pick_but(cluster, None)
    }

    /// The same, without one connection.
    fn pick_but(&self, cluster: &str, but: Option<Epoch>) -> Option<Arc<AgentLink>> {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        let links = by_cluster.get(cluster)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let alive = |link: &&Arc<AgentLink>| {
            !link.is_leaving() && link.connection.close_reason().is_none() && but != Some(link.epoch)
        };
        let mut taking_turns = links.iter().cycle().skip(turn % links.len().max(1)).take(links.len()).filter(alive);
        let first = taking_turns.next()?;
        let heard = |link: &&Arc<AgentLink>| !link.silent.load(Ordering::Relaxed);
        Some(std::iter::once(first).chain(taking_turns).find(heard).unwrap_or(first)).cloned()
    }

    /// The connection of a certain agent process of a cluster, if it has one. An agent chooses its id, so one of another cluster may bear
    /// the same, and has nothing to say here.
    pub fn by_id(&self, cluster: &str, id: AgentId) -> Option<Arc<AgentLink>> {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        newest(&by_cluster, cluster, |link| link.id == id)
    }

    /// The agent that a connection is, if it still is one.
    fn on(&self, connection: &Connection, cluster: &str) -> Option<Arc<AgentLink>> {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        newest(&by_cluster, cluster, |link| link.connection.same(connection))
    }

    /// Whether the connection of this epoch lives.
    pub fn has_epoch(&self, epoch: Epoch) -> bool {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        by_cluster.values().flatten().any(|link| link.epoch == epoch && link.connection.close_reason().is_none())
    }

    /// Whether every one of these clusters has an agent.
    pub fn serves(&self, cluster: &str) -> bool {
        self.pick(cluster).is_some()
    }

    /// Connected agents by cluster.
    pub fn count(&self, cluster: &str) -> usize {
        self.by_cluster.read().unwrap_or_else(PoisonError::into_inner).get(cluster).map_or(0, Vec::len)
    }

    /// The connected agents of a cluster, as people see them.
    pub fn list(&self, cluster: &str) -> Vec<Connected> {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        let links = by_cluster.get(cluster).into_iter().flatten();
        let alive = links.filter(|link| link.connection.close_reason().is_none());
        let view = |link: &Arc<AgentLink>| Connected {
            id: link.id,
            version: link.version.clone(),
            since: link.since,
            heard: !link.silent.load(Ordering::Relaxed),
            over_tcp: link.connection.way() == Way::Tcp,
        };
        alive.map(view).collect()
    }

    /// Told whenever an agent comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// An agent says that it goes away: nothing new is sent to it, and it finishes what it has.
    pub fn leave(&self, link: &AgentLink) {
        link.leave();
        self.changed.send_modify(|n| *n += 1);
    }

    /// Ends every connection of a cluster that is not known any more.
    pub fn cut(&self, cluster: &str, why: &str) {
        let by_cluster = self.by_cluster.read().unwrap_or_else(PoisonError::into_inner);
        for link in by_cluster.get(cluster).into_iter().flatten() {
            link.connection.close(wire::code::UNAUTHENTICATED, why);
        }
    }

    fn add(&self, link: Arc<AgentLink>) {
        let mut by_cluster = self.by_cluster.write().unwrap_or_else(PoisonError::into_inner);
        by_cluster.entry(link.cluster.clone()).or_default().push(link);
        drop(by_cluster);
        self.changed.send_modify(|n| *n += 1);
    }

    fn remove(&self, link: &Arc<AgentLink>) {
        let mut by_cluster = self.by_cluster.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(links) = by_cluster.get_mut(&link.cluster) {
            links.retain(|other| !Arc::ptr_eq(other, link));
        }
        drop(by_cluster);
        self.changed.send_modify(|n| *n += 1);
    }
}

/// The newest connection is the one that lives.
fn newest(
    by_cluster: &HashMap<String, Vec<Arc<AgentLink>>>,
    cluster: &str,
    is: impl Fn(&AgentLink) -> bool,
) -> Option<Arc<AgentLink>> {
    let links = by_cluster.get(cluster)?.iter().rev();
    links.filter(|link| link.connection.close_reason().is_none()).find(|link| is(link)).cloned()
}

#[cfg(test)]
mod tests;
