//! Sessions: all operations of one runner. A session belongs to the key of its sidecar; a token renews it and never moves it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{Effect, Verdict};
use control_plane_core::identity::Identity;
use control_plane_core::policy::SessionFacts;
use control_plane_core::request_info::RequestInfo;
use serde::{Deserialize, Serialize};
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::tls::PeerKey;
use tokio::sync::watch;
use uuid::Uuid;

use crate::agents::Agents;
use crate::authn::{Authn, AuthnError};
use crate::store::{SessionRow, Store, StoreError};

/// An open session. One lives in memory per sidecar key; connections hold it by `Arc`.
pub struct Session {
    id: SessionId,
    identity: Identity,
    opened: Timestamp,
    expires: AtomicU64,
    /// Holds the reason once the session is over; long streams watch it.
    over: watch::Sender<Option<String>>,
    running: Mutex<HashMap<OperationId, watch::Receiver<bool>>>,
    facts: Mutex<SessionFacts>,
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
    fn new(row: SessionRow, facts: SessionFacts) -> Arc<Self> {
        Arc::new(Self {
            id: row.id,
            identity: row.identity,
            opened: row.opened,
            expires: AtomicU64::new(row.expires.0),
            over: watch::Sender::new(row.closed_why.or_else(|| row.closed.map(|_| "closed".to_owned()))),
            running: Mutex::new(HashMap::new()),
            facts: Mutex::new(facts),
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

/// What a sidecar sends to open or renew its session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRequest {
    pod_token: Secret<String>,
    #[serde(default)]
    ci_token: Option<Secret<String>>,
    #[serde(default)]
    version: String,
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionReply {
    /// The session that belongs to the caller's key.
    pub session: SessionId,
    /// Until when it is good without renewal, in ms since the epoch.
    pub expires: Timestamp,
    /// Our clock.
    pub now: Timestamp,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Who asks could not be proven.
    #[error(transparent)]
    Authn(#[from] AuthnError),
    /// Another runner's token, shown on this key.
    #[error("this key's session belongs to another runner; a session's identity never changes")]
    OtherRunner,
    /// The session was ended.
    #[error("the session is over: {0}")]
    Over(String),
    /// The CI token opened a session before.
    #[error("this CI token has opened a session before; a job's token opens one")]
    Replayed,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All open sessions by the key of their sidecar.
pub struct Sessions {
    authn: Arc<Authn>,
    agents: Arc<Agents>,
    store: Store,
    clock: Clock,
    open: Mutex<HashMap<PeerKey, Arc<Session>>>,
}

impl Sessions {
    /// None is open yet; those of earlier lives come back with their sidecars.
    pub fn new(authn: Arc<Authn>, agents: Arc<Agents>, store: Store, clock: Clock) -> Self {
        Self { authn, agents, store, clock, open: Mutex::new(HashMap::new()) }
    }

    /// Opens the session of a key, or renews it.
    pub async fn open(
        &self,
        peer: PeerKey,
        request: SessionRequest,
    ) -> Result<(Arc<Session>, SessionReply), OpenError> {
        let now = self.clock.now();
        let token = request.pod_token.expose();
        let (cluster, pod) = self.authn.pod(token, now)?;
        let ci_token = request.ci_token.as_ref().map(|token| token.expose().as_str());
        let identity = self.authn.identity(cluster, pod, ci_token, now).await?;
        let session = match self.find(peer).await? {
            Some(session) => {
                if !session.identity.is_same_runner(&identity) {
                    return Err(OpenError::OtherRunner);
                }
                if let Some(why) = session.over.borrow().as_ref() {
                    return Err(OpenError::Over(why.clone()));
                }
                self.agents.review_token(&identity, session.id, token).await?;
                let expires = identity.expires();
                if !self.store.renew_session(session.id, identity).await? {
                    return Err(OpenError::Replayed);
                }
                session.expires.store(expires.0, Ordering::Release);
                session
            }
            None => self.create(peer, identity, token, now).await?,
        };
        tracing::info!(
            session.id = %session.id,
            identity.subject = %session.identity.asker(),
            sidecar.version = %request.version.chars().take(40).collect::<String>(),
            "session open"
        );
        let expires = Timestamp(session.expires.load(Ordering::Acquire));
        let reply = SessionReply { session: session.id, expires, now };
        Ok((session, reply))
    }

    async fn create(
        &self,
        peer: PeerKey,
        identity: Identity,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Session>, OpenError> {
        let id = SessionId::new(Uuid::now_v7());
        self.agents.review_token(&identity, id, token).await?;
        let expires = identity.expires();
        let row = SessionRow { id, peer_key: peer.0, identity, opened: now, expires, closed: None, closed_why: None };
        if !self.store.open_session(row.clone()).await? {
            return Err(OpenError::Replayed);
        }
        let session = Session::new(row, SessionFacts::default());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Two first calls on one key at once: the later row is the one that a restart would find, so it is the one that counts.
        open.insert(peer, Arc::clone(&session));
        Ok(session)
    }

    async fn find(&self, peer: PeerKey) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&peer) {
            return Ok(Some(Arc::clone(session)));
        }
        let Some(row) = self.store.session_of_peer(peer.0).await? else { return Ok(None) };
        let facts = self.store.session_facts(row.id).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(Arc::clone(open.entry(peer).or_insert_with(|| Session::new(row, facts)))))
    }

    /// Ends a session: no new operation, and every stream of it is cut. `false` if there is no open session of that id.
    pub async fn revoke(&self, id: SessionId, why: &str) -> Result<bool, StoreError> {
        let live: Vec<Arc<Session>> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().filter(|session| session.id == id).cloned().collect()
        };
        // Cut first, write then: a store that can't write must not keep a stream alive.
        for session in live {
            session.over.send_replace(Some(why.to_owned()));
        }
        self.store.close_session(id, self.clock.now(), why.to_owned()).await
    }

    /// How many are in memory.
    pub fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets sessions that are over or long expired, so that memory is bounded by what is alive.
    pub fn sweep(&self, now: Timestamp) {
        let gone = |session: &Arc<Session>| {
            let expired = now.since(Timestamp(session.expires.load(Ordering::Acquire))) > limits::CLAIM_WAIT;
            expired && Arc::strong_count(session) == 1
        };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, session| !gone(session));
    }
}
