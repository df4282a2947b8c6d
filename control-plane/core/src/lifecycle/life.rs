//! Which life of the control plane is speaking, and whether its database is the newest one.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use shared::limits;
use shared::time::Timestamp;

/// A number in the database, raised and made durable at each start before anything else, and sent in every grant. Agents
/// refuse a lower one than they have seen: an old copy of the database, or a process that should be dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Life(pub u64);

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Every life that this database has lived: how the control plane finds out by itself that its database is an old copy.
///
/// A counter alone would not tell: the copy counts up to the number that was used before, and a few restarts later beyond it. So
/// a life is the millisecond of its start (still always rising), and an agent that has seen a life that is not in this list has
/// seen a future that this database lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lives {
    lived: BTreeSet<Life>,
    /// Lives up to this one are not asked about: older than the list, or lost by a restore that the operator declared.
    forgiven: Life,
}

/// An agent has seen a life that this database doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster has seen life {seen} of this control plane, which its database doesn't know")]
pub struct OldCopy {
    /// That life.
    pub seen: Life,
}

impl Lives {
    /// An ordinary start. To be durable before the process does anything else.
    #[must_use]
    pub fn start(&self, now: Timestamp) -> Self {
        let mut lives = self.clone();
        lives.lived.insert(Life(now.0).max(Life(self.current().0.saturating_add(1))));
        while lives.lived.len() > limits::LIVES {
            if let Some(oldest) = lives.lived.pop_first() {
                lives.forgiven = lives.forgiven.max(oldest);
            }
        }
        lives
    }

    /// A start with `--restored`: whatever was lived between the backup and now is forgiven. Holds, approvals, sessions and open
    /// operations of the backup are made void with it ([`super::OperationRecord::restored`]).
    #[must_use]
    pub fn restore(&self, now: Timestamp) -> Self {
        let mut lives = self.start(now);
        lives.forgiven = lives.current();
        lives
    }

    /// The life of this process.
    pub fn current(&self) -> Life {
        self.lived.last().copied().unwrap_or_default()
    }

    /// Checks what an agent has seen, before the first grant to it.
    ///
    /// # Errors
    /// [`OldCopy`]: nothing may be issued for that cluster until the operator has said `--restored`.
    pub fn check(&self, seen: Life) -> Result<(), OldCopy> {
        if seen <= self.forgiven || self.lived.contains(&seen) { Ok(()) } else { Err(OldCopy { seen }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_only_rise() {
        let first = Lives::default().start(Timestamp(1000));
        let clock_set_back = first.start(Timestamp(10));
        assert!(clock_set_back.current() > first.current());
    }

    #[test]
    fn an_old_copy_is_found_however_often_it_restarts() {
        let backup = Lives::default().start(Timestamp(1000));
        let lost = backup.start(Timestamp(2000));
        assert_eq!(lost.check(backup.current()), Ok(()));
        let mut copy = backup.clone();
        for now in 3000..3010 {
            copy = copy.start(Timestamp(now));
            assert_eq!(copy.check(lost.current()), Err(OldCopy { seen: lost.current() }));
            assert_eq!(copy.check(backup.current()), Ok(()));
            assert_eq!(copy.check(Life(0)), Ok(()), "an agent that has seen nothing");
        }
        let declared = backup.restore(Timestamp(4000));
        assert_eq!(declared.check(lost.current()), Ok(()));
        assert!(declared.current() > lost.current());
    }

    #[test]
    fn the_list_is_bounded() {
        let mut lives = Lives::default();
        for now in 1..limits::LIVES as u64 + 10 {
            lives = lives.start(Timestamp(now));
        }
        assert_eq!(lives.lived.len(), limits::LIVES);
        assert_eq!(lives.check(Life(1)), Ok(()));
    }
}
