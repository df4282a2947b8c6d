//! The operation ids that a session has used, and for what: an id stands for one request, also of a plain read, whose record is not
//! there yet when it is sent.
//!
//! Kept are the newest ids. Ids hold their time, so whatever is not kept and newer than the horizon is new for certain; of the rest the
//! store's writer knows. The answer is therefore exact, and for an honest sidecar costs a look into a small map.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use control_plane_core::request::Request;
use shared::ids::OperationId;
use shared::limits;

/// What an id was used for: a keyed hash, so that a sidecar can't search for two requests with the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(u64);

/// Whether an id came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Never in this session.
    First,
    /// For the same request, or too long ago to say: the store knows.
    Perhaps,
    /// For another request.
    Other,
}

/// Makes contents comparable, within one session.
pub(super) struct ContentKey(RandomState);

impl ContentKey {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// What a request is compared by: all that is sent of it but headers.
    pub(super) fn of(&self, request: &Request) -> Content {
        let wire = request.wire();
        Content(self.0.hash_one((wire.method(), wire.path_and_query(), wire.body())))
    }
}

pub(super) struct Ids {
    newest: BTreeMap<OperationId, Content>,
    /// An id that is not newer than this may have been used and forgotten here.
    horizon: Option<OperationId>,
}

impl Ids {
    /// Of a session whose newest id on record is `horizon`.
    pub(super) const fn new(horizon: Option<OperationId>) -> Self {
        Self { newest: BTreeMap::new(), horizon }
    }

    /// Notes an id, and says whether it was used before.
    pub(super) fn note(&mut self, id: OperationId, content: Content) -> Use {
        if let Some(known) = self.newest.get(&id) {
            return if *known == content { Use::Perhaps } else { Use::Other };
        }
        if self.horizon.is_some_and(|horizon| id <= horizon) {
            return Use::Perhaps;
        }
        self.newest.insert(id, content);
        if self.newest.len() > limits::SESSION_IDS {
            self.horizon = self.newest.pop_first().map(|(oldest, _)| oldest);
        }
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(at: u128) -> OperationId {
        OperationId::new(Uuid::from_u128(at))
    }

    #[test]
    fn another_request_under_a_used_id_is_found() {
        let mut ids = Ids::new(None);
        assert_eq!(ids.note(id(1), Content(7)), Use::First);
        assert_eq!(ids.note(id(1), Content(7)), Use::Perhaps);
        assert_eq!(ids.note(id(1), Content(8)), Use::Other);
        assert_eq!(ids.note(id(2), Content(8)), Use::First);
    }

    #[test]
    fn what_is_forgotten_is_never_taken_for_new() {
        let mut ids = Ids::new(Some(id(10)));
        assert_eq!(ids.note(id(10), Content(1)), Use::Perhaps, "from before this process");
        let last = 11 + limits::SESSION_IDS as u128;
        for at in 11..=last {
            assert_eq!(ids.note(id(at), Content(1)), Use::First);
        }
        assert_eq!(ids.newest.len(), limits::SESSION_IDS);
        assert_eq!(ids.note(id(11), Content(2)), Use::Perhaps, "its place was taken");
        assert_eq!(ids.note(id(last), Content(2)), Use::Other);
    }
}
