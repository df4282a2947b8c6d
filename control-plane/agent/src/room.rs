//! Room for answers that are held until they are whole, which others are not, and for objects that writes wait with: a bound for all of them
//! together, and one for each session's. What is held of an answer stays counted until its reader has taken it, however slowly he reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shared::ids::SessionId;
use shared::limits;
use shared_net::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for.
const UNIT: usize = 1024;

/// The room of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    all: Arc<Semaphore>,
    /// Of sessions that have some, or wait for it.
    sessions: Arc<Mutex<HashMap<SessionId, Weak<Semaphore>>>>,
    clock: Clock,
}

/// There is none, and there was none for [`limits::HELD_ROOM_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("answers that are held until they are whole have all the room there is; ask for fewer objects at once (limit)")]
pub struct NoRoom;

/// Room that somebody has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Part {
    _own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

/// What one answer has of it.
#[derive(Debug)]
pub(crate) struct Holding {
    room: Room,
    session: SessionId,
    parts: Vec<Part>,
}

impl Room {
    /// As much as an agent has.
    pub fn new(clock: &Clock) -> Self {
        let all = Arc::new(Semaphore::new(limits::HELD_BYTES_AT_ONCE / UNIT));
        Self { all, sessions: Arc::default(), clock: clock.clone() }
    }

    /// None of it yet, for an answer of that session.
    pub(crate) const fn holding(self, session: SessionId) -> Holding {
        Holding { room: self, session, parts: Vec::new() }
    }

    /// What that session may have.
    fn of(&self, session: SessionId) -> Arc<Semaphore> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sessions.get(&session).and_then(Weak::upgrade) {
            return own;
        }
        // Few have any, and each of those has a part of what there is.
        sessions.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(limits::HELD_BYTES_OF_SESSION / UNIT));
        sessions.insert(session, Arc::downgrade(&own));
        own
    }

    /// So much of it, for as long as that is kept.
    pub(crate) async fn take(self, session: SessionId, bytes: usize) -> Result<Part, NoRoom> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| NoRoom)?;
        let own = self.of(session);
        let part = async {
            let own = own.acquire_many_owned(units).await.map_err(|_| NoRoom)?;
            let all = self.all.acquire_many_owned(units).await.map_err(|_| NoRoom)?;
            Ok(Part { _own: own, all })
        };
        tokio::select! {
            biased;
            part = part => part,
            () = self.clock.sleep(limits::HELD_ROOM_WAIT) => Err(NoRoom),
        }
    }
}

impl Holding {
    /// Takes what is missing for an answer that holds so many bytes now: a future, if something is.
    pub(crate) fn grow(&mut self, bytes: usize) -> Option<impl Future<Output = Result<Part, NoRoom>> + Send + use<>> {
        if bytes <= limits::HELD_BYTES_FREE {
            // Such are most, and streams hold nothing between two events.
            self.parts.clear();
            return None;
        }
        let has = self.parts.iter().map(|part| part.all.num_permits() * UNIT).sum();
        let missing = bytes.checked_sub(has).filter(|missing| *missing > 0)?;
        // A little more than that, so that a long answer asks a few times only.
        let more = missing.max(limits::HELD_BYTES_MORE).min(limits::HELD_BYTES_OF_SESSION.saturating_sub(has));
        let enough = missing <= more;
        let taking = self.room.clone().take(self.session, more);
        Some(async move { if enough { taking.await } else { Err(NoRoom) } })
    }

    /// What was asked for has come.
    pub(crate) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }
}
