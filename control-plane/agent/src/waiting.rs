//! What writes have in memory before it is their turn: the text of what they write, and that of the object which is read for it. A bound for
//! all of them together, and half of it for one session's. Answers have places elsewhere ([`room`](crate::room)), so who reads nothing of what he
//! asked for keeps nobody from writing.
//!
//! Who has a place: a write from before its object is read until what is sent has been made of it, and a log while the Secrets of its pod are
//! read. Everything that it waits for meanwhile (the API server, a [turn](crate::apart::Turn)) it waits for until its grant's time is over, and no
//! longer. Nobody waits for a place who has a turn or another place, so those who have one never wait for those who want one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use shared::ids::SessionId;
use shared::limits;
use shared_net::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a piece in which room is counted.
const PIECE: usize = 1024;

/// The room of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Waiting {
    all: Arc<Semaphore>,
    /// Of sessions that have some, or wait for it.
    sessions: Arc<Mutex<HashMap<SessionId, Weak<Semaphore>>>>,
    clock: Clock,
}

/// There was none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("writes that wait for their turn have all the room there is")]
pub(crate) struct NoRoom;

/// What somebody has of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Waiting {
    /// As much as an agent has.
    pub fn new(clock: &Clock) -> Self {
        let all = Arc::new(Semaphore::new(limits::WAITING_BYTES / PIECE));
        Self { all, sessions: Arc::default(), clock: clock.clone() }
    }

    /// What that session may have: half.
    fn of(&self, session: SessionId) -> Arc<Semaphore> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sessions.get(&session).and_then(Weak::upgrade) {
            return own;
        }
        // No more stay than operations are under way.
        sessions.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(limits::WAITING_BYTES / PIECE / 2));
        sessions.insert(session, Arc::downgrade(&own));
        own
    }

    /// A place for so many bytes, if there is one within that time.
    pub(crate) async fn take(&self, session: SessionId, bytes: usize, within: Duration) -> Result<Place, NoRoom> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_err(|_| NoRoom)?;
        let session = self.of(session);
        let place = async {
            // Of its own first: who has all of that takes nothing of what all share.
            let own = session.acquire_many_owned(pieces).await.map_err(|_| NoRoom)?;
            let all = Arc::clone(&self.all).acquire_many_owned(pieces).await.map_err(|_| NoRoom)?;
            Ok(Place { own, all })
        };
        tokio::select! {
            biased;
            // Whoever has no time left gets none of what others give back in that moment.
            () = self.clock.sleep(within) => Err(NoRoom),
            place = place => place,
        }
    }
}

impl Place {
    /// No more than so many bytes are needed: others have the rest.
    pub(crate) fn keep(&mut self, bytes: usize) {
        for permit in [&mut self.own, &mut self.all] {
            let rest = permit.num_permits().saturating_sub(bytes.div_ceil(PIECE));
            drop(permit.split(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::time::Timestamp;
    use shared_net::clock::ManualClock;
    use uuid::Uuid;

    use super::*;

    const ALL: usize = limits::WAITING_BYTES;
    const SOON: Duration = Duration::from_secs(1);

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    /// What there is at once.
    async fn now(waiting: &Waiting, session: SessionId, bytes: usize) -> Option<Place> {
        tokio::select! {
            biased;
            place = waiting.take(session, bytes, SOON) => place.ok(),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn a_session_has_half_and_gives_back_what_it_does_not_need() {
        let waiting = Waiting::new(&Clock::system());
        let (one, two, three) = (session(), session(), session());
        let mut first = now(&waiting, one, ALL / 2).await.unwrap();
        assert!(now(&waiting, one, PIECE).await.is_none());
        let second = now(&waiting, two, ALL / 2).await.unwrap();
        assert!(now(&waiting, three, PIECE).await.is_none(), "there is no more for anybody");
        first.keep(PIECE);
        assert!(now(&waiting, one, ALL / 2 - PIECE).await.is_some());
        drop(second);
        assert!(now(&waiting, three, ALL / 2).await.is_some());
        assert!(now(&waiting, two, ALL).await.is_none());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_he_has_time() {
        let hand = ManualClock::new(Timestamp(0));
        let waiting = Waiting::new(&hand.clock());
        let one = session();
        let first = now(&waiting, one, ALL / 2).await.unwrap();
        let mut late = std::pin::pin!(waiting.take(one, PIECE, SOON));
        tokio::select! {
            biased;
            _ = &mut late => panic!("there was room"),
            () = std::future::ready(()) => hand.advance(SOON),
        }
        assert_eq!(late.await.err(), Some(NoRoom));
        drop(first);
        assert!(now(&waiting, one, ALL / 2).await.is_some());
    }
}
