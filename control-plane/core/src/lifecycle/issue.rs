//! The operation's own record: whether a grant was issued for it, and how it ended.
//!
//! Invariant: at most one grant is under way; the next one only after an answer that the one before was never spent; `Ended` is
//! final. Called by the control plane's gateway (open, issue, finish) and by its recovery (question, answered, settle).

use serde::{Deserialize, Serialize};
use shared::ids::{AgentId, ApprovalId, GrantId, HoldId};
use shared::time::Timestamp;

use super::approval::{Claimed, Go, StillFine};
use super::hold::{Bound, Phase};
use super::{Answer, HoldRecord, Life, NotSent, OperationKey, Outcome, Question, Step, Unknown};
use crate::decision::Allowed;
use crate::digest::Digest;
use crate::ledger::Epoch;

/// What the store keeps of an operation's progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperationRecord {
    key: OperationKey,
    /// Digest of what the sidecar sent, under the operation's own key: a repeat must be the same request.
    request: Digest,
    opened: Timestamp,
    progress: Progress,
}

/// Where an operation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Progress {
    /// Recorded. Nothing was sent.
    Open,
    /// Waits on a hold. Nothing was sent.
    Waiting {
        /// Which, and on what.
        bound: Bound,
    },
    /// A grant may be on its way, or spent.
    Issued {
        /// The grant.
        issue: Issue,
    },
    /// A grant was issued and will never be spent. Nothing was sent; another may be issued.
    Returned {
        /// The approval, which stays this operation's.
        approval: Option<ApprovalUse>,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// When it was known.
        at: Timestamp,
        /// The last grant, if there was one.
        issue: Option<Issue>,
    },
}

/// A grant that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issue {
    /// Its id.
    pub jti: GrantId,
    /// The connection it is good on.
    pub epoch: Epoch,
    /// The agent process at the other end.
    pub agent: AgentId,
    /// The life of the control plane that issued it.
    pub life: Life,
    /// The approval that it uses.
    pub approval: Option<ApprovalUse>,
    /// When.
    pub at: Timestamp,
}

/// An approval in the hands of the one operation that spent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalUse {
    /// The approval.
    pub approval: ApprovalId,
    /// Its hold.
    pub hold: HoldId,
    /// From then on the agent refuses it: its Lease, which keeps it from running twice, is deleted some time after.
    pub expires: Timestamp,
}

/// A grant to be issued.
#[derive(Clone, Copy, Debug)]
pub struct NewIssue {
    /// A fresh id, a UUIDv7 (the agent's ledger forgets the oldest first).
    pub jti: GrantId,
    /// The connection it will be sent on.
    pub epoch: Epoch,
    /// The agent process at the other end.
    pub agent: AgentId,
    /// The life of this process.
    pub life: Life,
}

/// A grant with these values may be signed and sent, once. Not `Clone`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an issued grant that is not sent is asked about after the connection ends"]
pub struct Issued {
    operation: OperationKey,
    issue: Issue,
}

impl Issued {
    /// The operation.
    pub const fn operation(&self) -> OperationKey {
        self.operation
    }

    /// What to put into the grant.
    pub const fn issue(&self) -> &Issue {
        &self.issue
    }

    /// Whether it was issued for just what this `Allowed` rests on. Checked where the two become a grant.
    pub fn is_for(&self, allowed: &Allowed) -> bool {
        let issued = self.issue.approval.map(|mine| (mine.approval, mine.hold, mine.expires));
        let allowed = allowed.approval();
        issued == allowed.map(|theirs| (theirs.approval, theirs.hold, theirs.expires))
    }
}

/// Why a command does not fit an operation. Nothing changes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Not in a state where that can be.
    #[error("the operation is {progress}")]
    Progress {
        /// What it is.
        progress: &'static str,
    },
    /// The same id with another request: an attack signal (409).
    #[error("this operation id stands for another request")]
    OtherRequest,
    /// Word of a grant that is not the one under way.
    #[error("another grant is under way")]
    OtherGrant,
    /// The approval's time is over.
    #[error("the approval has expired")]
    ApprovalExpired,
    /// The hold, or the judgement, is not the one of this operation.
    #[error("not the hold of this operation")]
    OtherHold,
    /// The operation has an approval, which must be judged again first ([`OperationRecord::issue_again`]), or has none.
    #[error("the operation's approval must be judged again")]
    NeedsRecheck,
}

/// What to do with a request that comes a second time under the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Judge it: it was recorded and no more. (If this process is at it already, wait for that instead.)
    Judge,
    /// Wait on its hold.
    Rejoin(Bound),
    /// A grant is under way: wait for its outcome.
    Await(Issue),
    /// Judge it and issue again.
    IssueAgain(Option<ApprovalUse>),
    /// Over: give the recorded reply if there is one, else say what happened.
    Replay(Outcome),
}

impl OperationRecord {
    /// A new operation.
    pub const fn open(key: OperationKey, request: Digest, now: Timestamp) -> Self {
        Self { key, request, opened: now, progress: Progress::Open }
    }

    /// The same id again. `request` is the digest of what came now, under this operation's key.
    ///
    /// # Errors
    /// [`OperationError::OtherRequest`].
    pub fn repeat(&self, request: &Digest) -> Result<Repeat, OperationError> {
        if *request != self.request {
            return Err(OperationError::OtherRequest);
        }
        Ok(match &self.progress {
            Progress::Open => Repeat::Judge,
            Progress::Waiting { bound } => Repeat::Rejoin(bound.clone()),
            Progress::Issued { issue } => Repeat::Await(*issue),
            Progress::Returned { approval } => Repeat::IssueAgain(*approval),
            Progress::Ended { outcome, .. } => Repeat::Replay(*outcome),
        })
    }

    /// Waits on a hold: its first, or the one that took the first one's place. So may an operation whose grant came back unspent, where
    /// policy holds today what it let through before.
    ///
    /// # Errors
    /// A grant is under way, it has spent an approval, or it is over; or the hold was bound to another operation.
    pub fn wait(&self, bound: Bound) -> Result<Self, OperationError> {
        if bound.operation != self.key {
            return Err(OperationError::OtherHold);
        }
        match self.progress {
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { approval: None } => {
                Ok(self.with(Progress::Waiting { bound }))
            }
            Progress::Issued { .. } | Progress::Returned { approval: Some(_) } | Progress::Ended { .. } => {
                Err(self.unfit())
            }
        }
    }

    /// Issues a grant for an operation that policy allows without people.
    ///
    /// # Errors
    /// It waits on a hold, has a grant or an approval, or is over.
    pub fn issue(&self, new: NewIssue, now: Timestamp) -> Result<Step<Self, Issued>, OperationError> {
        match self.progress {
            Progress::Open | Progress::Returned { approval: None } => {
                let (state, effect) = self.issued(new, None, now);
                Ok(Step::new(state, effect))
            }
            Progress::Returned { approval: Some(_) } => Err(OperationError::NeedsRecheck),
            Progress::Waiting { .. } | Progress::Issued { .. } | Progress::Ended { .. } => Err(self.unfit()),
        }
    }

    /// Issues another grant under the approval that this operation has spent, after an agent said that it never spent the first.
    ///
    /// # Errors
    /// The operation has no returned grant with an approval, the hold or the judgement is another, or the approval has expired.
    pub fn issue_again(
        &self,
        hold: &HoldRecord,
        fine: StillFine,
        new: NewIssue,
        now: Timestamp,
    ) -> Result<Step<Self, Go>, OperationError> {
        let Progress::Returned { approval: Some(mine) } = self.progress else {
            return Err(self.unfit());
        };
        let is_mine =
            matches!(hold.phase(), Phase::Spent { approval, by, .. } if *approval == mine.approval && *by == self.key);
        if !is_mine || fine.hold != hold.id() || mine.hold != hold.id() {
            return Err(OperationError::OtherHold);
        }
        if now >= mine.expires {
            return Err(OperationError::ApprovalExpired);
        }
        let (state, effect) = self.issued(new, Some(mine), now);
        let claimed = Claimed::new(hold, self.key, mine.approval, mine.expires);
        Ok(Step::new(state, Go { claimed, issued: effect }))
    }

    pub(super) fn issued(&self, new: NewIssue, approval: Option<ApprovalUse>, now: Timestamp) -> (Self, Issued) {
        let NewIssue { jti, epoch, agent, life } = new;
        let issue = Issue { jti, epoch, agent, life, approval, at: now };
        let effect = Issued { operation: self.key, issue };
        (self.with(Progress::Issued { issue }), effect)
    }

    /// The outcome of the grant under way, as its agent reported it. The effect is what to tell the client.
    ///
    /// # Errors
    /// The operation is over already, or another grant is under way: a message that comes late or twice.
    pub fn finish(
        &self,
        jti: GrantId,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Step<Self, Outcome>, OperationError> {
        let issue = self.under_way(jti)?;
        Ok(Step::new(self.ended(outcome, Some(issue), now), outcome))
    }

    /// Ends an operation that the control plane answers by itself: no grant, and nothing is sent. The effect is what the client is told.
    ///
    /// # Errors
    /// It waits, was issued, or is over.
    pub fn answered_here(&self, status: u16, now: Timestamp) -> Result<Step<Self, Outcome>, OperationError> {
        match self.progress {
            Progress::Open => {
                let outcome = Outcome::of_status(status);
                Ok(Step::new(self.ended(outcome, None, now), outcome))
            }
            Progress::Waiting { .. } | Progress::Issued { .. } | Progress::Returned { .. } | Progress::Ended { .. } => {
                Err(self.unfit())
            }
        }
    }

    /// Ends an operation of which nothing was sent.
    ///
    /// # Errors
    /// A grant is under way (ask its agent first), or it is over.
    pub fn refuse(&self, why: NotSent, now: Timestamp) -> Result<Step<Self, Outcome>, OperationError> {
        match self.progress {
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } => {
                let outcome = Outcome::NotSent { why };
                Ok(Step::new(self.ended(outcome, None, now), outcome))
            }
            Progress::Issued { .. } | Progress::Ended { .. } => Err(self.unfit()),
        }
    }

    /// Ends an operation that this process will send nothing for, whether or not the grant of this id, which it never signed, is on
    /// record by now.
    ///
    /// # Errors
    /// Another grant is under way, or it is over.
    pub fn given_up(&self, jti: GrantId, why: NotSent, now: Timestamp) -> Result<Step<Self, Outcome>, OperationError> {
        match self.progress {
            Progress::Issued { .. } => self.finish(jti, Outcome::NotSent { why }, now),
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } | Progress::Ended { .. } => {
                self.refuse(why, now)
            }
        }
    }

    /// Ends an operation whose hold is over for it. `None`: it may still go on.
    pub fn settle(&self, hold: &HoldRecord, now: Timestamp) -> Option<Step<Self, Outcome>> {
        let why = match (&self.progress, hold.phase()) {
            (Progress::Waiting { bound }, phase) if bound.hold == hold.id() => match phase {
                Phase::Waiting { .. } | Phase::Approved { .. } => return None,
                Phase::Spent { .. } => NotSent::ApprovalUsed,
                Phase::Denied { .. } => NotSent::HoldDenied,
                Phase::Expired { .. } => NotSent::HoldExpired,
                Phase::Void { .. } => NotSent::HoldVoid,
            },
            (Progress::Returned { approval: Some(mine) }, _) if mine.hold == hold.id() && now >= mine.expires => {
                NotSent::HoldExpired
            }
            _ => return None,
        };
        self.refuse(why, now).ok()
    }

    /// What to ask, and whom, after a restart or a lost connection.
    pub const fn question(&self) -> Option<Question> {
        match &self.progress {
            Progress::Issued { issue } => Some(Question { jti: issue.jti, epoch: issue.epoch, agent: issue.agent }),
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } | Progress::Ended { .. } => None,
        }
    }

    /// The answer to [`OperationRecord::question`]. The effect is the outcome, if it is over now; `None` in the state `Issued`
    /// means ask again, in the state `Returned` that another grant may be issued.
    ///
    /// # Errors
    /// As [`OperationRecord::finish`].
    pub fn answered(
        &self,
        jti: GrantId,
        answer: Answer,
        now: Timestamp,
    ) -> Result<Step<Self, Option<Outcome>>, OperationError> {
        let issue = self.under_way(jti)?;
        let outcome = match answer {
            Answer::NeverSpent => {
                let returned = self.with(Progress::Returned { approval: issue.approval });
                return Ok(Step::new(returned, None));
            }
            Answer::Spent { outcome: None } => return Ok(Step::new(self.clone(), None)),
            Answer::Spent { outcome: Some(outcome) } => outcome,
            // Fails closed: what may have run is never run again.
            Answer::NotKnown => Outcome::Unknown { why: Unknown::AgentForgot },
        };
        Ok(Step::new(self.ended(outcome, Some(issue), now), Some(outcome)))
    }

    /// The agent process that had the grant is gone for good: nobody can answer any more.
    ///
    /// # Errors
    /// As [`OperationRecord::finish`].
    pub fn agent_gone(&self, jti: GrantId, now: Timestamp) -> Result<Step<Self, Option<Outcome>>, OperationError> {
        self.answered(jti, Answer::NotKnown, now)
    }

    /// What `--restored` makes of an operation in the backup. Even of one that waited we can't say that it did not run in the time
    /// that was lost. `None`: it was over before.
    pub fn restored(&self, now: Timestamp) -> Option<Step<Self, Outcome>> {
        let issue = match self.progress {
            Progress::Ended { .. } => return None,
            Progress::Issued { issue } => Some(issue),
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } => None,
        };
        let outcome = Outcome::Unknown { why: Unknown::Restored };
        Some(Step::new(self.ended(outcome, issue, now), outcome))
    }

    fn under_way(&self, jti: GrantId) -> Result<Issue, OperationError> {
        match self.progress {
            Progress::Issued { issue } if issue.jti == jti => Ok(issue),
            Progress::Issued { .. } => Err(OperationError::OtherGrant),
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } | Progress::Ended { .. } => {
                Err(self.unfit())
            }
        }
    }

    const fn ended(&self, outcome: Outcome, issue: Option<Issue>, at: Timestamp) -> Self {
        Self {
            key: self.key,
            request: self.request,
            opened: self.opened,
            progress: Progress::Ended { outcome, at, issue },
        }
    }

    const fn with(&self, progress: Progress) -> Self {
        Self { key: self.key, request: self.request, opened: self.opened, progress }
    }

    const fn unfit(&self) -> OperationError {
        OperationError::Progress { progress: self.progress.as_str() }
    }

    /// Which operation.
    pub const fn key(&self) -> OperationKey {
        self.key
    }

    /// When it was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Where it is.
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The grant that was issued for it last, if one was and is not known to be unspent.
    pub const fn issue_on_record(&self) -> Option<Issue> {
        match self.progress {
            Progress::Issued { issue } => Some(issue),
            Progress::Ended { issue, .. } => issue,
            Progress::Open | Progress::Waiting { .. } | Progress::Returned { .. } => None,
        }
    }

    /// How it ended.
    pub const fn outcome(&self) -> Option<Outcome> {
        match self.progress {
            Progress::Ended { outcome, .. } => Some(outcome),
            Progress::Open | Progress::Waiting { .. } | Progress::Issued { .. } | Progress::Returned { .. } => None,
        }
    }
}

impl Progress {
    /// In one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting { .. } => "waiting",
            Self::Issued { .. } => "issued",
            Self::Returned { .. } => "returned",
            Self::Ended { .. } => "over",
        }
    }
}
