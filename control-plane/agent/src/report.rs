//! One operation's line in the ledger: opened by spending, closed exactly once, whatever happens in between.

use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::grant::{MatchedGrant, VerifiedGrant};
use control_plane_core::ledger::{Epoch, Ledger, OpenError, SpendError, Ticket};
use control_plane_core::lifecycle::{Answer, Life, NotSent, Outcome, Unknown};
use shared::ids::GrantId;

/// The process' ledger. Clones are the same one. Its lock is held for a map lookup, never across an await.
#[derive(Clone, Debug)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl Default for SharedLedger {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedLedger {
    /// An empty one: no epoch of an earlier process counts.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Ledger::new(Life(0)))))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Ledger) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Highest life of the control plane that was seen.
    pub fn life(&self) -> Life {
        self.with(|ledger| ledger.life())
    }

    /// A connection was greeted by a control plane of this life.
    ///
    /// # Errors
    /// An earlier life than one seen before, or an epoch that can't be opened.
    pub fn open(&self, epoch: Epoch, life: Life) -> Result<(), EpochError> {
        self.with(|ledger| {
            ledger.see_life(life).map_err(EpochError::Life)?;
            ledger.open_epoch(epoch).map_err(EpochError::Open)
        })
    }

    /// The connection is over.
    pub fn seal(&self, epoch: Epoch) {
        self.with(|ledger| ledger.seal_epoch(epoch));
    }

    /// What became of these grants; seals their epoch first.
    pub fn answer(&self, epoch: Epoch, jtis: &[GrantId]) -> Vec<Answer> {
        self.with(|ledger| {
            ledger.seal_epoch(epoch);
            jtis.iter().map(|jti| ledger.answer(epoch, *jti)).collect()
        })
    }

    /// Spends a grant and opens its line.
    ///
    /// # Errors
    /// See [`SpendError`].
    pub fn spend(&self, grant: MatchedGrant) -> Result<(VerifiedGrant, Report), SpendError> {
        let grant = self.with(|ledger| grant.spend(ledger))?;
        let report = Report { ledger: self.clone(), ticket: grant.ticket(), state: State::Prepared };
        Ok((grant, report))
    }

    /// Operations that run now.
    pub fn running(&self) -> usize {
        self.with(|ledger| ledger.running())
    }
}

/// Why a connection can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// An old copy of the control plane, or one that should be dead.
    #[error("the control plane is of an earlier life")]
    Life(#[source] SpendError),
    /// The ledger refuses the epoch.
    #[error("the ledger refuses the connection")]
    Open(#[source] OpenError),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was sent.
    Prepared,
    /// The cluster's ledger knows the approval.
    SpentBefore,
    /// A request is under way.
    Sending,
    /// The API server answered with this status; it may be asked again under the same grant (version pin).
    Answered(u16),
}

/// The open line. Dropped, it writes what is known by then: so a panic, a cancelled exchange and an early return are told apart by how
/// far the operation had come, and none is forgotten.
#[derive(Debug)]
pub struct Report {
    ledger: SharedLedger,
    ticket: Ticket,
    state: State,
}

impl Report {
    /// The cluster's ledger says that this approval was spent before.
    pub fn spent_before(&mut self) {
        self.state = State::SpentBefore;
    }

    /// The next thing is a send: from here on, silence means unknown.
    pub fn sending(&mut self) {
        self.state = State::Sending;
    }

    /// No byte was sent after all: the connection could not be made.
    pub fn not_sent(&mut self) {
        self.state = State::Prepared;
    }

    /// The API server answered.
    pub fn answered(&mut self, status: u16) {
        self.state = State::Answered(status);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = match self.state {
            State::Prepared => Outcome::NotSent { why: NotSent::AgentRefused },
            State::SpentBefore => Outcome::Unknown { why: Unknown::SpentBefore },
            State::Sending => Outcome::Unknown { why: Unknown::NoAnswer },
            State::Answered(status) => Outcome::of_status(status),
        };
        self.ledger.with(|ledger| ledger.finish(self.ticket, outcome));
    }
}
