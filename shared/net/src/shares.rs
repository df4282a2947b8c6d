//! Shares of what sessions have together and nobody waits for: streams, connections. How much one may have depends on what is free, so that
//! one that takes all it can leaves most to the others, and it takes many such until the next one finds none.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::SessionId;

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    all: usize,
    most: fn(free: usize) -> usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_session: HashMap<SessionId, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Share {
    from: Shares,
    session: SessionId,
}

impl Shares {
    /// So many, of which a session that has fewer than `most` says gets one more.
    pub fn new(all: usize, most: fn(free: usize) -> usize) -> Self {
        Self(Arc::new(Inner { all, most, taken: Mutex::default() }))
    }

    /// One for that session, if it may have another.
    pub fn take(&self, session: SessionId) -> Option<Share> {
        let mut taken = self.taken();
        let own = taken.by_session.get(&session).copied().unwrap_or_default();
        let free = self.0.all.saturating_sub(taken.total);
        (free > 0 && own < (self.0.most)(free)).then(|| self.counted(&mut taken, session))
    }

    /// One in any case; it counts like others.
    pub fn take_anyway(&self, session: SessionId) -> Share {
        self.counted(&mut self.taken(), session)
    }

    /// How many are taken, and by how many sessions.
    pub fn count(&self) -> (usize, usize) {
        let taken = self.taken();
        (taken.total, taken.by_session.len())
    }

    fn counted(&self, taken: &mut Taken, session: SessionId) -> Share {
        taken.total = taken.total.saturating_add(1);
        let own = taken.by_session.entry(session).or_default();
        *own = own.saturating_add(1);
        Share { from: self.clone(), session }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, sessions) = self.count();
        f.debug_struct("Shares").field("all", &self.0.all).field("taken", &taken).field("sessions", &sessions).finish()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.from.taken();
        taken.total = taken.total.saturating_sub(1);
        if let Entry::Occupied(mut own) = taken.by_session.entry(self.session) {
            *own.get_mut() = own.get().saturating_sub(1);
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn session() -> SessionId {
        SessionId::new(Uuid::new_v4())
    }

    #[test]
    fn twenty_that_take_all_they_can_leave_some_for_the_next() {
        let shares = Shares::new(768, |free| (free / 4).min(128));
        let all_of = |session| std::iter::from_fn(|| shares.take(session)).collect::<Vec<_>>();
        let greedy = session();
        let mut first = all_of(greedy);
        assert_eq!(first.len(), 128);
        let others: Vec<_> = (1..=20).map(|_| all_of(session())).collect();
        assert!(others.iter().all(|own| !own.is_empty()));
        assert!(shares.count().0 < 768, "{shares:?}");
        drop(others);
        first.pop();
        assert!(shares.take(greedy).is_some(), "what is given back is there again");
        let more: Vec<_> = (0..10).map(|_| shares.take_anyway(greedy)).collect();
        drop((first, more));
        assert_eq!(shares.count(), (0, 0), "nothing is left behind");
    }
}
