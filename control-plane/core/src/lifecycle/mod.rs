//! The life of one operation between "decide" and its outcome: hold, votes, approval, grant, end.
//!
//! Two records are kept for it: [`HoldRecord`] (who may say yes, who did, whether the yes was used) and [`OperationRecord`] (whether
//! it was issued, to which agent, how it ended). Both are plain values that serialise; every change is a function of records, a
//! command and `now`, and gives a [`Step`]: the new state, and effects that can't be had before the caller vouches that the state is
//! on disk. So the control plane does, for each command, and for nothing else:
//!
//! 1. in one transaction: load the record(s), call the function, write the new state;
//! 2. when that is durable: [`Pending::assert_durable`], and carry the effects out.
//!
//! A crash between the two loses effects, never their reason: [`OperationRecord::question`] and [`OperationRecord::settle`] find again
//! what was under way. `model` (tests) explores this with the functions of this folder and of [`crate::ledger`] themselves.
//!
//! What each part promises: an approval is spent at most once, by the transaction that also writes `issued` ([`spend`]); an
//! operation has one grant under way at most, and another one only after an agent swore that the first was never spent
//! ([`OperationRecord::answered`]); an outcome never changes. A grant that its own process never signed ends its operation
//! ([`OperationRecord::given_up`]).

mod approval;
mod hold;
mod issue;
mod life;
mod outcome;

use serde::{Deserialize, Serialize};
use shared::ids::{AgentId, GrantId, OperationId, SessionId};

pub use approval::{Claimed, Go, Recheck, Spend, SpendRefusal, StillFine, recheck, spend};
pub use hold::{
    Ballot, Bound, Candidate, HoldError, HoldRecord, Join, Opening, Phase, Places, VoidReason, VoteEffect, VoteError,
    Waiting,
};
pub use issue::{ApprovalUse, Issue, Issued, NewIssue, OperationError, OperationRecord, Progress, Repeat};
pub use life::{Life, Lives, OldCopy};
pub use outcome::{NotSent, Outcome, Unknown};

use crate::ledger::Epoch;

/// Which operation: its id means something within its session only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperationKey {
    /// The session.
    pub session: SessionId,
    /// The id that the sidecar made.
    pub operation: OperationId,
}

/// A change: what to write, and what to do once that is written.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "write the state in the same transaction as it was loaded in"]
pub struct Step<S, E> {
    /// To be written.
    pub state: S,
    /// To be carried out afterwards.
    pub effects: Pending<E>,
}

impl<S, E> Step<S, E> {
    pub(crate) const fn new(state: S, effects: E) -> Self {
        Self { state, effects: Pending(effects) }
    }
}

/// Effects that wait for their state to be durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "effects that are dropped are found again only after a restart"]
pub struct Pending<E>(E);

impl<E> Pending<E> {
    /// Gives the effects out. The caller vouches that the transaction that wrote the state of this [`Step`] is durable; for reads,
    /// that the writer has accepted it (design: the open stage). Grep for this name to audit every place that says so.
    pub fn assert_durable(self) -> E {
        self.0
    }
}

/// What is to be asked of one agent process: did you spend this?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// The grant.
    pub jti: GrantId,
    /// The connection it was for, which the agent seals before it answers.
    pub epoch: Epoch,
    /// The process that had that connection. No other can answer.
    pub agent: AgentId,
}

/// What an agent process says of a grant, after it sealed the grant's epoch ([`crate::ledger::Ledger::answer`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// It was not spent here and never will be: the operation may be issued again.
    NeverSpent,
    /// It was spent.
    Spent {
        /// How it ended; `None` while it runs (ask again).
        outcome: Option<Outcome>,
    },
    /// This process can't tell.
    NotKnown,
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
