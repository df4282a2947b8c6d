//! One session in memory: who it is, until when, and what of it is under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{Effect, Verdict};
use control_plane_core::identity::Identity;
use control_plane_core::policy::SessionFacts;
use control_plane_core::request::Request;
use control_plane_core::request_info::RequestInfo;
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::time::Timestamp;
use shared_net::tls::PeerKey;
use tokio::sync::watch;

use super::ids::{Content, ContentKey, Ids, Use};
use super::room::{Place, Room};
use super::seat::Seat;
use super::taken::{self, Taken};
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
    room: Room,
    content_key: ContentKey,
    operations: Mutex<Operations>,
    pub(super) facts: Mutex<SessionFacts>,
    pub(super) presence: Presence,
}

struct Operations {
    running: HashMap<OperationId, watch::Receiver<bool>>,
    ids: Ids,
}

/// An operation under way; its waiters are woken when it is dropped.
pub struct Running {
    session: Arc<Session>,
    id: OperationId,
    done: watch::Sender<bool>,
    _place: Place,
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
    /// Too many answers under way at the cluster's agent.
    #[error(
        "the session has its share of what the cluster's agent can have under way ({} at most, fewer while others have much); end a watch, or try again",
        limits::AGENT_SESSION_OPERATIONS
    )]
    NoStream,
    /// Too many answers that wait for their readers.
    #[error(
        "the session has its share of the answers that may wait for their readers ({} for all sessions together); read them on or close them, or try again",
        limits::ANSWERS_UNREAD
    )]
    Unread,
    /// Too many bytes at once.
    #[error("there is no room for its body: others are under way")]
    Full,
}

/// What happens to an operation id that arrives.
pub enum Claim {
    /// Nobody runs it: run it. Where it may have run before, the store knows.
    Mine(Running, Use),
    /// It is under way: wait until it is done, and come back with the place.
    Theirs(watch::Receiver<bool>, Place),
    /// It stands for another request.
    Other,
}

impl Session {
    pub(super) fn new(row: SessionRow, facts: SessionFacts, newest: Option<OperationId>) -> Arc<Self> {
        Arc::new(Self {
            id: row.id,
            peer: PeerKey(row.peer_key),
            identity: row.identity,
            opened: row.opened,
            expires: AtomicU64::new(row.expires.0),
            seat: Mutex::new(Seat::new(row.shown)),
            over: watch::Sender::new(row.closed_why.or_else(|| row.closed.map(|_| "closed".to_owned()))),
            room: Room::new(),
            content_key: ContentKey::new(),
            operations: Mutex::new(Operations { running: HashMap::new(), ids: Ids::new(newest) }),
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

    /// When it was opened, on the clock that does not jump: its operations' ids are compared with that.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// The identify stage: who asks, if the session still may.
    pub fn identify(&self, now: Timestamp) -> Result<Identity, SessionError> {
        let expires = self.is_good(now)?;
        Ok(self.identity.clone().expiring(expires))
    }

    /// Whether the session still may, and until when. Asked again after every wait: revocation and expiry don't wait.
    pub fn is_good(&self, now: Timestamp) -> Result<Timestamp, SessionError> {
        if let Some(why) = self.over.borrow().as_ref() {
            return Err(SessionError::Over(why.clone()));
        }
        let expires = Timestamp(self.expires.load(Ordering::Acquire));
        if now >= expires {
            return Err(SessionError::Expired(expires));
        }
        Ok(expires)
    }

    /// A place for one more operation.
    pub fn enter(&self) -> Result<Place, SessionError> {
        self.room.enter()
    }

    /// What a request is compared by when its id comes again.
    pub fn content(&self, request: &Request) -> Content {
        self.content_key.of(request)
    }

    /// What policy may ask about the session's past. `now` is of the clock that does not jump.
    pub fn facts(&self, now: Timestamp) -> SessionFacts {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        facts.age_seconds = now.since(self.opened).as_secs();
        facts
    }

    /// Notes what was decided, for the facts of the next question. `None`: it was allowed in sight of a past that is no longer all, for
    /// another operation came between; it has to be decided again. That comes to an end, since each time another one got through.
    pub fn note(self: &Arc<Self>, seen: &SessionFacts, attributes: &Attributes, verdict: &Verdict) -> Option<Taken> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match verdict.explanation().effect {
            Effect::Allow => {
                let (cost, deed) = (verdict.cost(), deed(attributes.info()));
                let write = deed.is_some();
                if (cost > 0 || write) && !taken::is_current(seen, &facts) {
                    return None;
                }
                facts.went_through(cost, deed);
                facts.seen.note(attributes.info());
                return Some(Taken::some(Arc::clone(self), cost, write));
            }
            Effect::Hold => facts.holds += 1,
            Effect::Deny => facts.denials += 1,
        }
        Some(Taken::nothing())
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
    pub fn run(self: &Arc<Self>, id: OperationId, content: Content, place: Place) -> Claim {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let used = operations.ids.note(id, content);
        if used == Use::Other {
            return Claim::Other;
        }
        if let Some(done) = operations.running.get(&id) {
            return Claim::Theirs(done.clone(), place);
        }
        let (done, waiting) = watch::channel(false);
        operations.running.insert(id, waiting);
        Claim::Mine(Running { session: Arc::clone(self), id, done, _place: place }, used)
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
        self.session.operations.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.id);
        self.done.send_replace(true);
    }
}
