//! Bytes of memory that sessions have together: a bound for all of them, and half of it for one session. Who finds no room waits for it, for as
//! long as he has time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use shared::ids::SessionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;

/// Bytes of a piece in which room is counted.
const PIECE: usize = 1024;

/// See the module. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    all: Arc<Semaphore>,
    /// Pieces that one session may have.
    half: usize,
    /// Of sessions that have some, or wait for it.
    sessions: Arc<Mutex<HashMap<SessionId, Weak<Semaphore>>>>,
    clock: Clock,
}

/// There was none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("others have all the room there is")]
pub struct NoRoom;

/// What somebody has of it, until it is dropped.
#[derive(Debug)]
pub struct Place {
    own: Option<OwnedSemaphorePermit>,
    all: OwnedSemaphorePermit,
}

impl Memory {
    /// So many bytes.
    pub fn new(bytes: usize, clock: &Clock) -> Self {
        let pieces = bytes / PIECE;
        Self { all: Arc::new(Semaphore::new(pieces)), half: pieces / 2, sessions: Arc::default(), clock: clock.clone() }
    }

    /// What that session may have: half.
    fn of(&self, session: SessionId) -> Arc<Semaphore> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sessions.get(&session).and_then(Weak::upgrade) {
            return own;
        }
        // No more stay than operations are under way.
        sessions.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.half));
        sessions.insert(session, Arc::downgrade(&own));
        own
    }

    /// A place for so many bytes, if there is one within that time.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub async fn take(&self, session: SessionId, bytes: usize, within: Duration) -> Result<Place, NoRoom> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_err(|_| NoRoom)?;
        let session = self.of(session);
        let place = async {
            // Of its own first: who has all of that takes nothing of what all share.
            let own = session.acquire_many_owned(pieces).await.map_err(|_| NoRoom)?;
            let all = Arc::clone(&self.all).acquire_many_owned(pieces).await.map_err(|_| NoRoom)?;
            Ok(Place { own: Some(own), all })
        };
        tokio::select! {
            biased;
            // Whoever has no time left gets none of what others give back in that moment.
            () = self.clock.sleep(within) => Err(NoRoom),
            place = place => place,
        }
    }

    /// A place for so many bytes if there is one now, whosever it is: for who can't wait, of what a sender has shared out among sessions before.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn now(&self, bytes: usize) -> Result<Place, NoRoom> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_err(|_| NoRoom)?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(pieces).map_err(|_| NoRoom)?;
        Ok(Place { own: None, all })
    }
}

impl Place {
    /// No more than so many bytes are needed: others have the rest.
    pub fn keep(&mut self, bytes: usize) {
        for permit in self.own.iter_mut().chain([&mut self.all]) {
            let rest = permit.num_permits().saturating_sub(bytes.div_ceil(PIECE));
            drop(permit.split(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::time::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::clock::ManualClock;

    const ALL: usize = 16 * PIECE;
    const SOON: Duration = Duration::from_secs(1);

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    /// What there is at once.
    async fn now(memory: &Memory, session: SessionId, bytes: usize) -> Option<Place> {
        tokio::select! {
            biased;
            place = memory.take(session, bytes, SOON) => place.ok(),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn a_session_has_half_and_gives_back_what_it_does_not_need() {
        let memory = Memory::new(ALL, &Clock::system());
        let (one, two, three) = (session(), session(), session());
        let mut first = now(&memory, one, ALL / 2).await.unwrap();
        assert!(now(&memory, one, PIECE).await.is_none());
        let second = now(&memory, two, ALL / 2).await.unwrap();
        assert!(now(&memory, three, PIECE).await.is_none(), "there is no more for anybody");
        first.keep(PIECE);
        assert!(now(&memory, one, ALL / 2 - PIECE).await.is_some());
        drop(second);
        assert!(now(&memory, three, ALL / 2).await.is_some());
        assert!(now(&memory, two, ALL).await.is_none());
        // Who can't wait has what there is, and gives it back.
        assert_eq!(memory.now(ALL).err(), Some(NoRoom));
        assert!(memory.now(ALL - PIECE).is_ok());
        drop(first);
        assert!(memory.now(ALL).is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_he_has_time() {
        let hand = ManualClock::new(Timestamp(0));
        let memory = Memory::new(ALL, &hand.clock());
        let one = session();
        let first = now(&memory, one, ALL / 2).await.unwrap();
        let mut late = std::pin::pin!(memory.take(one, PIECE, SOON));
        tokio::select! {
            biased;
            _ = &mut late => panic!("there was room"),
            () = std::future::ready(()) => hand.advance(SOON),
        }
        assert_eq!(late.await.err(), Some(NoRoom));
        drop(first);
        assert!(now(&memory, one, ALL / 2).await.is_some());
    }
}
