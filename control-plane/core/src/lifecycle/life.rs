//! Which life of the control plane is speaking.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

/// A number in the database, raised and made durable at each start before anything else, and sent in every grant. Agents
/// refuse a lower one than they have seen: an old copy of the database, or a process that should be dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Life(pub u64);

impl Life {
    /// At an ordinary start.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// At `serve --restored`, where the stored number is older than what agents have seen.
    ///
    /// Seconds since 1970 are above every life that was ever lived, as long as starts are rarer than one a second: each was
    /// either counted up from the last by one, or taken from an earlier clock by this very function.
    #[must_use]
    pub fn restored(self, now: Timestamp) -> Self {
        self.next().max(Self(now.seconds()))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
