//! Sessions: all operations of one runner. A session belongs to the key of its sidecar; a token renews it and never moves it. A pod has one
//! living session (`seat`).

mod ids;
mod room;
mod seat;
mod session;
mod taken;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::identity::Identity;
use control_plane_core::policy::SessionFacts;
use serde::{Deserialize, Serialize};
use shared::ids::SessionId;
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared::wire;
use shared_net::clock::Clock;
use shared_net::endpoint::Connection;
use shared_net::tls::PeerKey;
use tokio::sync::RwLock;
use uuid::Uuid;

use crate::agents::Agents;
use crate::authn::{Authn, AuthnError};
use crate::config::Cluster;
use crate::presence::Sidecar;
use crate::store::{OpenedSession, Renewed, SessionRow, Shown, Store, StoreError};
pub use ids::{Content, Use};
pub use room::{BodyRoom, Place};
use seat::{Found, Seats};
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
    /// Our clock, which does not jump.
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
    /// Its pod has a session, and that one's sidecar is alive.
    #[error("pod {0} has a session whose sidecar is alive: a pod's token is for its own sidecar alone")]
    Taken(String),
    /// Its pod had a session, and who asks may not be of that pod.
    #[error(
        "this may be no sidecar of pod {0}: it is not where only the last one was, and it shows no newer token than that one did"
    )]
    NotItsPlace(String),
    /// The CI token opened a session before.
    #[error("this CI token has opened a session before; a job's token opens one")]
    Replayed,
    /// Its cluster was forgotten meanwhile.
    #[error("cluster {0} is not known here any more")]
    Forgotten(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who asks for a session, as far as it is proven.
struct Comer<'a> {
    connection: &'a Connection,
    cluster: Arc<Cluster>,
    token: &'a str,
    identity: Identity,
    shown: Shown,
}

/// All open sessions by the key of their sidecar.
pub struct Sessions {
    authn: Arc<Authn>,
    agents: Arc<Agents>,
    store: Store,
    clock: Clock,
    open: Mutex<HashMap<PeerKey, Arc<Session>>>,
    seats: Seats,
    /// Shared while a session is on its way from the store into `open`, alone while one is revoked: none comes in unseen.
    coming: RwLock<()>,
}

impl Sessions {
    /// None is open yet; those of earlier lives come back with their sidecars.
    pub fn new(authn: Arc<Authn>, agents: Arc<Agents>, store: Store, clock: Clock) -> Self {
        let (open, seats, coming) = (Mutex::new(HashMap::new()), Seats::default(), RwLock::new(()));
        Self { authn, agents, store, clock, open, seats, coming }
    }

    /// Opens the session of a connection's key, or renews it. `shown_by` is told the uid of the pod once its token's signature is good.
    pub async fn open(
        &self,
        connection: &Connection,
        request: SessionRequest,
        shown_by: impl FnOnce(&str),
    ) -> Result<(Arc<Session>, SessionReply), OpenError> {
        let now = self.clock.now();
        let token = request.pod_token.expose();
        let (cluster, pod) = self.authn.pod(token, now)?;
        shown_by(&pod.value().pod_uid);
        let shown = Shown { address: seat::address(connection), token_expires: pod.expires() };
        let ci_token = request.ci_token.as_ref().map(|token| token.expose().as_str());
        let identity = self.authn.identity(&cluster, pod, ci_token, now).await?;
        let comer = Comer { connection, cluster, token, identity, shown };
        let found = match self.find(connection.peer_key()).await? {
            None => match self.create(&comer).await? {
                Some(session) => return Ok(self.opened(session, &request)),
                // Another first call on this key was faster: the session is that one's.
                None => self.find(connection.peer_key()).await?,
            },
            found => found,
        };
        let session = found.ok_or(StoreError::Corrupt("a session that is there and is not"))?;
        self.renew(&session, &comer).await?;
        Ok(self.opened(session, &request))
    }

    fn opened(&self, session: Arc<Session>, request: &SessionRequest) -> (Arc<Session>, SessionReply) {
        session.presence.version(&request.version);
        tracing::info!(
            session.id = %session.id,
            identity.subject = %session.identity.asker(),
            sidecar.version = %request.version.chars().take(limits::VERSION_CHARS).collect::<String>(),
            "session open"
        );
        // Told in the time that operation ids are made and judged in. A wall clock that is set back would else make every id of a session
        // one of the future.
        let left = Timestamp(session.expires.load(Ordering::Acquire)).since(self.clock.now());
        let now = self.clock.steady();
        let reply = SessionReply { session: session.id, expires: now.after(left), now };
        (session, reply)
    }

    async fn renew(&self, session: &Arc<Session>, comer: &Comer<'_>) -> Result<(), OpenError> {
        if !session.identity.is_same_runner(&comer.identity) {
            return Err(OpenError::OtherRunner);
        }
        if let Some(why) = session.over.borrow().as_ref() {
            return Err(OpenError::Over(why.clone()));
        }
        let before = self.before(comer).await?;
        self.agents.review_token(&comer.identity, session.id, comer.token).await?;
        self.take(session, before.as_ref())?;
        session.sit(comer.connection, comer.shown);
        let expires = comer.identity.expires();
        match self.store.renew_session(session.id, comer.identity.clone(), comer.shown).await? {
            Renewed::Yes => session.expires.store(expires.0, Ordering::Release),
            Renewed::Over => return Err(OpenError::Over("closed".to_owned())),
            Renewed::TokenTaken => return Err(OpenError::Replayed),
        }
        Ok(self.replace(before).await?)
    }

    /// The first session of a key; `None` where another call has opened one meanwhile.
    async fn create(&self, comer: &Comer<'_>) -> Result<Option<Arc<Session>>, OpenError> {
        let id = SessionId::new(Uuid::now_v7());
        let before = self.before(comer).await?;
        self.agents.review_token(&comer.identity, id, comer.token).await?;
        let row =
            SessionRow::of(id, comer.connection.peer_key(), comer.identity.clone(), self.clock.steady(), comer.shown);
        let session = Session::new(row.clone(), SessionFacts::default(), None);
        // Before it is anybody's, so that there is no moment in which its sidecar seems to have gone.
        session.sit(comer.connection, comer.shown);
        self.take(&session, before.as_ref())?;
        let session = {
            let _coming = self.coming.read().await;
            if !self.authn.knows(&comer.cluster) {
                return Err(OpenError::Forgotten(comer.cluster.name.clone()));
            }
            match self.store.open_session(row).await? {
                OpenedSession::New => self.keep(session),
                OpenedSession::KeyTaken => return Ok(None),
                OpenedSession::TokenTaken => return Err(OpenError::Replayed),
            }
        };
        // Another call may have found it in the store first: then that one's is the one that is kept.
        session.sit(comer.connection, comer.shown);
        self.take(&session, before.as_ref())?;
        self.replace(before).await?;
        Ok(Some(session))
    }

    /// The session that the pod has under another key, whose sidecar has gone; or why this one gets none.
    async fn before(&self, comer: &Comer<'_>) -> Result<Option<Arc<Session>>, OpenError> {
        let pod = comer.identity.pod();
        let known = match self.seats.get(pod) {
            Some(session) => Some(session),
            // Of an earlier life of this process.
            None => match self.store.peer_of_pod(&pod.cluster, &pod.pod_uid).await? {
                Some(peer) => self.find(PeerKey(peer)).await?,
                None => None,
            },
        };
        let own = comer.connection.peer_key();
        let Some(session) = known.filter(|session| session.peer != own && !session.is_over()) else {
            return Ok(None);
        };
        match session.seek(comer.shown).await {
            Found::Free => Ok(Some(session)),
            Found::Alive => Err(OpenError::Taken(session.pod())),
            Found::NotForYou => Err(OpenError::NotItsPlace(session.pod())),
        }
    }

    fn take(&self, session: &Arc<Session>, before: Option<&Arc<Session>>) -> Result<(), OpenError> {
        if self.seats.take(session, before) { Ok(()) } else { Err(OpenError::Taken(session.pod())) }
    }

    /// Ends the session of a sidecar that has gone and has a successor. Its holds stay: the next session of the same asker may claim them.
    async fn replace(&self, before: Option<Arc<Session>>) -> Result<(), StoreError> {
        const WHY: &str = "its pod's sidecar was started anew";
        let Some(session) = before else { return Ok(()) };
        session.over.send_replace(Some(WHY.to_owned()));
        if let Some(connection) = session.connection() {
            connection.close(wire::code::UNAUTHENTICATED, WHY);
        }
        self.revoke(session.id, WHY).await.map(drop)
    }

    async fn find(&self, peer: PeerKey) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&peer) {
            return Ok(Some(Arc::clone(session)));
        }
        let _coming = self.coming.read().await;
        let Some(row) = self.store.session_of_peer(peer.0).await? else { return Ok(None) };
        let facts = self.store.session_facts(row.id).await?;
        let newest = self.store.newest_operation(row.id).await?;
        Ok(Some(self.keep(Session::new(row, facts, newest))))
    }

    /// The one session of a key in memory: every connection under that key holds the same, or a revocation would miss one.
    fn keep(&self, session: Arc<Session>) -> Arc<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(open.entry(session.peer).or_insert(session))
    }

    /// Ends a session: no new operation, and every stream of it is cut. `false` if there is no open session of that id.
    pub async fn revoke(&self, id: SessionId, why: &str) -> Result<bool, StoreError> {
        // Cut first, write then: a store that can't write must not keep a stream alive.
        self.cut(id, why);
        let _alone = self.coming.write().await;
        self.cut(id, why);
        self.store.close_session(id, self.clock.now(), why.to_owned()).await
    }

    /// Ends every session of a cluster that is not known any more.
    pub async fn end_all_of(&self, cluster: &str, why: &str) -> Result<(), StoreError> {
        let of_it = |session: &Session| session.cluster() == cluster;
        self.cut_where(of_it, why);
        // A session that was on its way before the cluster was forgotten is in the store by then; one that comes later finds it unknown.
        let _alone = self.coming.write().await;
        self.cut_where(of_it, why);
        self.store.close_sessions_of(cluster, self.clock.now(), why.to_owned()).await
    }

    fn cut(&self, id: SessionId, why: &str) {
        self.cut_where(|session| session.id == id, why);
    }

    fn cut_where(&self, fits: impl Fn(&Session) -> bool, why: &str) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for session in open.values().filter(|session| fits(session)) {
            session.over.send_replace(Some(why.to_owned()));
        }
    }

    /// The sidecars that are connected, in the order of their sessions.
    pub fn sidecars(&self) -> Vec<Sidecar> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = open.values().filter_map(|session| session.presence.view(session)).collect();
        drop(open);
        all.sort_unstable_by_key(|sidecar| sidecar.session);
        all
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
        self.seats.sweep();
    }
}
