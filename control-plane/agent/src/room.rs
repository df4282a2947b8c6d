//! Room for answers that are held until they are whole, which others are not: a bound for all of them together, and one for each
//! session's. What is held of an answer stays counted until its reader has taken it, however slowly he reads.
//!
//! It is given in places of a few sizes ([`limits::HELD`]). Who needs a larger one keeps his own and waits for one, and who has the largest waits for
//! nothing, so those who wait never wait for one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shared::ids::SessionId;
use shared::limits;
use shared_net::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of each size.
type Places = [Arc<Semaphore>; limits::HELD.len()];

/// The room of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    all: Arc<Places>,
    /// Of sessions that have some, or wait for it.
    sessions: Arc<Mutex<HashMap<SessionId, Weak<Places>>>>,
    clock: Clock,
}

/// There is none, and there was none for [`limits::HELD_ROOM_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("answers that are held until they are whole have all the room there is; ask for fewer objects at once (limit)")]
pub struct NoRoom;

/// A place that somebody has, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    size: usize,
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    _session: Arc<Places>,
}

/// What one answer has of it.
#[derive(Debug)]
pub(crate) struct Holding {
    room: Room,
    session: SessionId,
    place: Option<Place>,
}

impl Room {
    /// As much as an agent has.
    pub fn new(clock: &Clock) -> Self {
        Self { all: Arc::new(places(|number| number)), sessions: Arc::default(), clock: clock.clone() }
    }

    /// None of it yet, for an answer of that session.
    pub(crate) const fn holding(self, session: SessionId) -> Holding {
        Holding { room: self, session, place: None }
    }

    /// What that session may have: half of each size.
    fn of(&self, session: SessionId) -> Arc<Places> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sessions.get(&session).and_then(Weak::upgrade) {
            return own;
        }
        // Few have any, and each of those has a part of what there is.
        sessions.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(places(|number| number / 2));
        sessions.insert(session, Arc::downgrade(&own));
        own
    }

    /// A place for so much.
    pub(crate) async fn take(self, session: SessionId, bytes: usize) -> Result<Place, NoRoom> {
        let (index, size) = place_for(bytes).ok_or(NoRoom)?;
        let session = self.of(session);
        let place = async {
            let one = |places: &Places| places.get(index).cloned().ok_or(NoRoom);
            let own = one(&session)?.acquire_owned().await.map_err(|_| NoRoom)?;
            let all = one(&self.all)?.acquire_owned().await.map_err(|_| NoRoom)?;
            Ok(Place { size, _own: own, _all: all, _session: Arc::clone(&session) })
        };
        tokio::select! {
            biased;
            place = place => place,
            () = self.clock.sleep(limits::HELD_ROOM_WAIT) => Err(NoRoom),
        }
    }
}

fn places(share: impl Fn(usize) -> usize) -> Places {
    limits::HELD.map(|(_, number)| Arc::new(Semaphore::new(share(number))))
}

/// The smallest that is large enough.
fn place_for(bytes: usize) -> Option<(usize, usize)> {
    let sizes = limits::HELD.iter().map(|(size, _)| *size);
    sizes.enumerate().find(|(_, size)| bytes <= *size)
}

impl Holding {
    /// Takes a larger place for an answer that holds so many bytes now: a future, if it needs one.
    pub(crate) fn grow(&mut self, bytes: usize) -> Option<impl Future<Output = Result<Place, NoRoom>> + Send + use<>> {
        if bytes <= limits::HELD_BYTES_FREE {
            // Such are most, and streams hold nothing between two events.
            self.place = None;
            return None;
        }
        let is_enough = self.place.as_ref().is_some_and(|place| bytes <= place.size);
        (!is_enough).then(|| self.room.clone().take(self.session, bytes))
    }

    /// What was asked for has come, and takes the place of the smaller one.
    pub(crate) fn move_to(&mut self, place: Place) {
        self.place = Some(place);
    }
}
