//! Sessions: all operations of one runner. A session belongs to the key of its sidecar; a token renews it and never moves it.

mod ids;
mod room;
mod session;
mod taken;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::identity::Identity;
use control_plane_core::policy::SessionFacts;
use serde::{Deserialize, Serialize};
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::tls::PeerKey;
use tokio::sync::RwLock;
use uuid::Uuid;

use crate::agents::Agents;
use crate::authn::{Authn, AuthnError};
use crate::store::{OpenedSession, Renewed, SessionRow, Store, StoreError};
pub use ids::{Content, Use};
pub use room::{BodyRoom, Place};
pub use session::{Claim, Running, Session, SessionError};
pub use taken::Taken;

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
    /// Shared while a session is on its way from the store into `open`, alone while one is revoked: none comes in unseen.
    coming: RwLock<()>,
}

impl Sessions {
    /// None is open yet; those of earlier lives come back with their sidecars.
    pub fn new(authn: Arc<Authn>, agents: Arc<Agents>, store: Store, clock: Clock) -> Self {
        Self { authn, agents, store, clock, open: Mutex::new(HashMap::new()), coming: RwLock::new(()) }
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
        let found = match self.find(peer).await? {
            None => match self.create(peer, identity.clone(), token, now).await? {
                Some(session) => return Ok(self.opened(session, &request, now)),
                // Another first call on this key was faster: the session is that one's.
                None => self.find(peer).await?,
            },
            found => found,
        };
        let session = found.ok_or(StoreError::Corrupt("a session that is there and is not"))?;
        self.renew(&session, identity, token).await?;
        Ok(self.opened(session, &request, now))
    }

    fn opened(&self, session: Arc<Session>, request: &SessionRequest, now: Timestamp) -> (Arc<Session>, SessionReply) {
        tracing::info!(
            session.id = %session.id,
            identity.subject = %session.identity.asker(),
            sidecar.version = %request.version.chars().take(40).collect::<String>(),
            "session open"
        );
        let expires = Timestamp(session.expires.load(Ordering::Acquire));
        let reply = SessionReply { session: session.id, expires, now };
        (session, reply)
    }

    async fn renew(&self, session: &Session, identity: Identity, token: &str) -> Result<(), OpenError> {
        if !session.identity.is_same_runner(&identity) {
            return Err(OpenError::OtherRunner);
        }
        if let Some(why) = session.over.borrow().as_ref() {
            return Err(OpenError::Over(why.clone()));
        }
        self.agents.review_token(&identity, session.id, token).await?;
        let expires = identity.expires();
        match self.store.renew_session(session.id, identity).await? {
            Renewed::Yes => {
                session.expires.store(expires.0, Ordering::Release);
                Ok(())
            }
            Renewed::Over => Err(OpenError::Over("closed".to_owned())),
            Renewed::TokenTaken => Err(OpenError::Replayed),
        }
    }

    /// The first session of a key; `None` where another call has opened one meanwhile.
    async fn create(
        &self,
        peer: PeerKey,
        identity: Identity,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, OpenError> {
        let id = SessionId::new(Uuid::now_v7());
        self.agents.review_token(&identity, id, token).await?;
        let expires = identity.expires();
        let row = SessionRow { id, peer_key: peer.0, identity, opened: now, expires, closed: None, closed_why: None };
        let _coming = self.coming.read().await;
        match self.store.open_session(row.clone()).await? {
            OpenedSession::New => Ok(Some(self.keep(peer, row, SessionFacts::default(), None))),
            OpenedSession::KeyTaken => Ok(None),
            OpenedSession::TokenTaken => Err(OpenError::Replayed),
        }
    }

    async fn find(&self, peer: PeerKey) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&peer) {
            return Ok(Some(Arc::clone(session)));
        }
        let _coming = self.coming.read().await;
        let Some(row) = self.store.session_of_peer(peer.0).await? else { return Ok(None) };
        let facts = self.store.session_facts(row.id).await?;
        let newest = self.store.newest_operation(row.id).await?;
        Ok(Some(self.keep(peer, row, facts, newest)))
    }

    /// The one session of a key in memory: every connection under that key holds the same, or a revocation would miss one.
    fn keep(&self, peer: PeerKey, row: SessionRow, facts: SessionFacts, newest: Option<OperationId>) -> Arc<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(open.entry(peer).or_insert_with(|| Session::new(row, facts, newest)))
    }

    /// Ends a session: no new operation, and every stream of it is cut. `false` if there is no open session of that id.
    pub async fn revoke(&self, id: SessionId, why: &str) -> Result<bool, StoreError> {
        // Cut first, write then: a store that can't write must not keep a stream alive.
        self.cut(id, why);
        let _alone = self.coming.write().await;
        self.cut(id, why);
        self.store.close_session(id, self.clock.now(), why.to_owned()).await
    }

    fn cut(&self, id: SessionId, why: &str) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for session in open.values().filter(|session| session.id == id) {
            session.over.send_replace(Some(why.to_owned()));
        }
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
