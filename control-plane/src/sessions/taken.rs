//! What an operation takes from its session's budget. It is taken together with the answer of policy, so that operations side by side
//! can't all see the same rest; what comes to no grant gives it back.

use std::sync::{Arc, PoisonError};

use control_plane_core::policy::SessionFacts;

use super::Session;

/// What an allowed operation has taken. Given back when it is dropped, unless it was [kept](Self::keep).
#[must_use]
pub struct Taken(Option<Part>);

struct Part {
    session: Arc<Session>,
    cost: u8,
    write: bool,
}

impl Taken {
    pub(super) const fn some(session: Arc<Session>, cost: u8, write: bool) -> Self {
        Self(Some(Part { session, cost, write }))
    }

    /// Of an operation that takes nothing, or whose share is spent already.
    pub const fn nothing() -> Self {
        Self(None)
    }

    /// A grant was issued: from here on it counts, whatever comes of it.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(Part { session, cost, write }) = self.0.take() {
            session.facts.lock().unwrap_or_else(PoisonError::into_inner).give_back(cost, write);
        }
    }
}

/// Whether what policy saw of a session's past is still all of it. Plain reads are left out, for they cost
/// nothing, but not the Secrets that they show.
pub(super) fn is_current(seen: &SessionFacts, now: &SessionFacts) -> bool {
    let weight = |facts: &SessionFacts| (facts.risk_spent, facts.writes, facts.holds, facts.denials, facts.did.len());
    weight(seen) == weight(now) && seen.seen == now.seen
}
