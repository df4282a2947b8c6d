//! Room for operations and for the bodies of their requests, taken before a byte of a body is read and given back when the operation
//! ends: what a session, and all of them together, can make this process hold in memory is bounded. A request without a body asks its
//! own session only.

use std::sync::Arc;

use shared::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::SessionError;

/// Room is counted in pieces of so many bytes.
const PIECE: usize = 1024;

/// Room for bodies, of one session or of the process. Clones are the same room.
#[derive(Clone)]
pub struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    /// For bodies of so many bytes together.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PIECE)))
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).ok()?;
        tokio::time::timeout(limits::BODY_ROOM_WAIT, Arc::clone(&self.0).acquire_many_owned(pieces)).await.ok()?.ok()
    }
}

/// The room of one session.
pub(super) struct Room {
    operations: Arc<Semaphore>,
    bodies: BodyRoom,
}

/// The place of one operation, until it is dropped.
pub struct Place {
    bodies: BodyRoom,
    _operation: OwnedSemaphorePermit,
    body: Option<[OwnedSemaphorePermit; 2]>,
}

impl Room {
    pub(super) fn new() -> Self {
        let operations = Arc::new(Semaphore::new(limits::SESSION_OPERATIONS));
        Self { operations, bodies: BodyRoom::new(limits::SESSION_BODY_BYTES) }
    }

    /// A place, if there is one.
    pub(super) fn enter(&self) -> Result<Place, SessionError> {
        match Arc::clone(&self.operations).try_acquire_owned() {
            Ok(permit) => Ok(Place { bodies: self.bodies.clone(), _operation: permit, body: None }),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Err(SessionError::Busy),
        }
    }
}

impl Place {
    /// Waits for room for a body, in the session first: a session that fills its own takes nothing of what all share.
    /// [`limits::BODY_ROOM_WAIT`] at most for each; who has room for a body waits for no more.
    pub async fn make_room(&mut self, shared: &BodyRoom, bytes: usize) -> Result<(), SessionError> {
        let own = self.bodies.take(bytes).await.ok_or(SessionError::Full)?;
        let common = shared.take(bytes).await.ok_or(SessionError::Full)?;
        drop(self.body.replace([own, common]));
        Ok(())
    }

    /// The body takes no more than so many bytes: others have the rest.
    pub fn keep(&mut self, bytes: usize) {
        for permit in self.body.iter_mut().flatten() {
            let rest = permit.num_permits().saturating_sub(bytes.div_ceil(PIECE));
            drop(permit.split(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is room at once.
    async fn fits(place: &mut Place, all: &BodyRoom, bytes: usize) -> bool {
        tokio::select! {
            biased;
            made = place.make_room(all, bytes) => made.is_ok(),
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_session_holds_its_own_bytes_and_no_more() {
        let (room, other, all) = (Room::new(), Room::new(), BodyRoom::new(2 * limits::SESSION_BODY_BYTES));
        let mut places = Vec::new();
        for _ in 0..limits::SESSION_BODY_BYTES / limits::REQUEST_BODY_BYTES {
            let mut place = room.enter().unwrap();
            assert!(fits(&mut place, &all, limits::REQUEST_BODY_BYTES).await);
            places.push(place);
        }
        let mut late = room.enter().unwrap();
        assert!(!fits(&mut late, &all, limits::REQUEST_BODY_BYTES).await);
        // Its neighbour does not notice, and neither does a small body of its own.
        assert!(fits(&mut other.enter().unwrap(), &all, limits::REQUEST_BODY_BYTES).await);
        assert!(fits(&mut room.enter().unwrap(), &all, 1).await);
        places.pop();
        assert!(fits(&mut late, &all, limits::REQUEST_BODY_BYTES).await);
    }

    #[tokio::test]
    async fn all_sessions_together_are_bounded() {
        let all = BodyRoom::new(limits::REQUEST_BODY_BYTES);
        let (one, two) = (Room::new(), Room::new());
        let (mut first, mut second) = (one.enter().unwrap(), two.enter().unwrap());
        assert!(fits(&mut first, &all, limits::REQUEST_BODY_BYTES).await);
        assert!(!fits(&mut second, &all, 1).await);
        drop(first);
        assert!(fits(&mut second, &all, 1).await);
    }

    #[tokio::test]
    async fn what_a_body_does_not_take_is_given_back() {
        let (room, all) = (Room::new(), BodyRoom::new(limits::SESSION_BODY_BYTES));
        let mut place = room.enter().unwrap();
        assert!(fits(&mut place, &all, limits::SESSION_BODY_BYTES).await);
        place.keep(limits::SESSION_BODY_BYTES - PIECE);
        assert!(fits(&mut room.enter().unwrap(), &all, PIECE).await);
        assert!(!fits(&mut room.enter().unwrap(), &all, PIECE + 1).await);
        // It can't become more so.
        place.keep(limits::SESSION_BODY_BYTES);
        assert!(!fits(&mut room.enter().unwrap(), &all, PIECE + 1).await);
        drop(place);
        assert!(fits(&mut room.enter().unwrap(), &all, limits::SESSION_BODY_BYTES).await);
        let mut empty = room.enter().unwrap();
        empty.keep(1);
        assert!(fits(&mut empty, &all, limits::SESSION_BODY_BYTES).await);
    }

    #[test]
    fn places_are_counted() {
        let room = Room::new();
        let places: Vec<_> = (0..limits::SESSION_OPERATIONS).map(|_| room.enter().unwrap()).collect();
        assert_eq!(room.enter().err(), Some(SessionError::Busy));
        drop(places);
        room.enter().unwrap();
    }
}
