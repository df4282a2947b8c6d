//! One session in memory: who it is, until when, and what of it is under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{Effect, Verdict};
use control_plane_core::identity::Identity;
use control_plane_core::policy::SessionFacts;
use control_plane_core::request_info::RequestInfo;
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::time::Timestamp;
use shared_net::tls::PeerKey;
use tokio::sync::watch;

use super::seat::Seat;
use crate::presence::Presence;
use crate::store::SessionRow;

/// An open session. One lives in memory per sidecar key; connections hold it by `Arc`.
pub struct Session {
    pub(super) id: SessionId,
    pub(super) peer: PeerKey,
    pub(super) identity: Identity,
    opened: Timestamp,
    pub(super) expires: AtomicU64,
    /// Where its sidecar is.
    pub(super) seat: Mutex<Seat>,
    /// Holds the reason once the session is over; long streams watch it.
    pub(super) over: watch::Sender<Option<String>>,
    running: Mutex<HashMap<OperationId, watch::Receiver<bool>>>,
    facts: Mutex<SessionFacts>,
    pub(super) presence: Presence,
}

/// An operation under way; its waiters are woken when it is dropped.
pub struct Running {
    session: Arc<Session>,
    id: OperationId,
    done: watch::Sender<bool>,
}

/// Why an operation can't start in this session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The token ran out and was not renewed.
    #[error("the session's token expired at {0}")]
    Expired(Timestamp),
    /// Revoked or ended.
    #[error("the session is over: {0}")]
    Over(String),
    /// Too many at once.
    #[error("the session has {} operations under way, which is the most", limits::SESSION_OPERATIONS)]
    Busy,
}

/// What happens to an operation id that arrives.
pub enum Claim {
    /// Nobody runs it: run it.
    Mine(Running),
    /// It is under way: wait until it is done.
    Theirs(watch::Receiver<bool>),
}

impl Session {
    pub(super) fn new(row: SessionRow, facts: SessionFacts) -> Arc<Self> {
        Arc::new(Self {
            id: row.id,
            peer: PeerKey(row.peer_key),
            identity: row.identity,
            opened: row.opened,
            expires: AtomicU64::new(row.expires.0),
            seat: Mutex::new(Seat::new(row.shown)),
            over: watch::Sender::new(row.closed_why.or_else(|| row.closed.map(|_| "closed".to_owned()))),
            running: Mutex::new(HashMap::new()),
            facts: Mutex::new(facts),
            presence: Presence::default(),
        })
    }

    /// Its id.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Its runner's cluster.
    pub fn cluster(&self) -> &str {
        &self.identity.pod().cluster
    }

    /// Its runner's pod, as `namespace/name`.
    pub fn pod(&self) -> String {
        let pod = self.identity.pod();
        format!("{}/{}", pod.namespace, pod.pod)
    }

    /// Whether it was ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    /// Its sidecar.
    pub(crate) const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// When it was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// The identify stage: who asks, if the session still may.
    pub fn identify(&self, now: Timestamp) -> Result<Identity, SessionError> {
        if let Some(why) = self.over.borrow().as_ref() {
            return Err(SessionError::Over(why.clone()));
        }
        let expires = Timestamp(self.expires.load(Ordering::Acquire));
        if now >= expires {
            return Err(SessionError::Expired(expires));
        }
        Ok(self.identity.clone().expiring(expires))
    }

    /// What policy may ask about the session's past.
    pub fn facts(&self, now: Timestamp) -> SessionFacts {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        facts.age_seconds = now.since(self.opened).as_secs();
        facts
    }

    /// Notes what was decided, for the facts of the next question.
    pub fn note(&self, attributes: &Attributes, verdict: &Verdict) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict.explanation().effect {
            Effect::Allow => went_through(&mut facts, attributes, verdict.cost()),
            Effect::Hold => facts.holds += 1,
            Effect::Deny => facts.denials += 1,
        }
    }

    /// Notes that an operation that was held goes through now.
    pub fn note_approved(&self, attributes: &Attributes, cost: u8) {
        went_through(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner), attributes, cost);
    }

    /// Notes that people denied an operation that was held.
    pub fn note_denied(&self) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).denials += 1;
    }

    /// Resolves when the session is over.
    pub async fn ended(&self) -> String {
        let mut over = self.over.subscribe();
        let why = over.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }

    /// Registers an operation as under way.
    pub fn run(self: &Arc<Self>, id: OperationId) -> Result<Claim, SessionError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = running.get(&id) {
            return Ok(Claim::Theirs(done.clone()));
        }
        if running.len() >= limits::SESSION_OPERATIONS {
            return Err(SessionError::Busy);
        }
        let (done, waiting) = watch::channel(false);
        running.insert(id, waiting);
        Ok(Claim::Mine(Running { session: Arc::clone(self), id, done }))
    }
}

fn went_through(facts: &mut SessionFacts, attributes: &Attributes, cost: u8) {
    facts.went_through(cost, deed(attributes.info()));
    facts.seen.note(attributes.info());
}

/// What is remembered of an operation, if it was no read.
fn deed(info: &RequestInfo) -> Option<String> {
    (!info.is_read()).then(|| format!("{} {}", info.verb, info.resource_word()))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.done.send_replace(true);
    }
}
