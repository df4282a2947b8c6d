//! The words of a hold: its phases, its commands, what they give, why they are refused.

use serde::{Deserialize, Serialize};
use shared::ids::{ApprovalId, HoldId};
use shared::limits;
use shared::time::Timestamp;

use super::super::OperationKey;
use crate::decision::ApprovalTerms;
use crate::digest::Digest;
use crate::four_eyes::{Behind, Vote, VoteRefusal};
use crate::identity::Asker;
use crate::request_info::RequestInfo;
use crate::statement::Signature;
use crate::version_pin::VersionPin;

/// Where a hold is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Phase {
    /// For people.
    Waiting {
        /// Yes, so far.
        votes: Vec<Vote>,
    },
    /// Enough people said yes; nobody has used it yet.
    Approved {
        /// Their yes.
        approval: ApprovalId,
        /// The votes.
        votes: Vec<Vote>,
        /// When the last of them came.
        at: Timestamp,
        /// From then on nobody may use it.
        expires: Timestamp,
    },
    /// One operation has used the approval. It stays that operation's.
    Spent {
        /// The approval.
        approval: ApprovalId,
        /// The votes, for the day when the operation must be issued again and judged again.
        votes: Vec<Vote>,
        /// Which operation.
        by: OperationKey,
        /// When.
        at: Timestamp,
        /// From then on no grant names it.
        expires: Timestamp,
    },
    /// Somebody said no.
    Denied {
        /// `iss` of that person.
        issuer: String,
        /// `sub` of that person.
        subject: String,
        /// In their words.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Not enough people came in time, or nobody used the approval in time.
    Expired {
        /// When it was noticed.
        at: Timestamp,
        /// The approval that nobody used.
        approval: Option<ApprovalId>,
    },
    /// Nobody may use it any more, for another reason.
    Void {
        /// Which.
        why: VoidReason,
        /// When.
        at: Timestamp,
    },
}

/// Why a hold became void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VoidReason {
    /// The same session asked the same of another state of the object.
    ObjectMoved,
    /// Its session was revoked.
    SessionRevoked,
    /// Judged again, policy denies it, or asks for other approvers.
    PolicyStricter,
    /// The database was restored from a backup.
    Restored,
}

/// What a hold is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// A fresh id.
    pub id: HoldId,
    /// The operation that asks first.
    pub operation: OperationKey,
    /// Who asks.
    pub asker: Asker,
    /// Of a disclosure: the uid of the pod that it is for, and of no other pod of this asker ([`crate::decision::Hold::only_pod`]).
    pub only_pod: Option<String>,
    /// The person behind the asker.
    pub behind: Behind,
    /// The cluster it is for.
    pub cluster: String,
    /// What is asked.
    pub request: RequestInfo,
    /// Its intent digest, under a key that stays with this hold.
    pub intent: Digest,
    /// The state of the object that approvers will see.
    pub pin: VersionPin,
    /// Who must say yes.
    pub terms: ApprovalTerms,
}

/// Holds that wait or are approved and unused, counted in the same transaction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// That the same session opened.
    pub of_session: Places,
    /// Of the same asker.
    pub of_asker: Places,
    /// In all.
    pub in_all: Places,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    /// How many.
    pub taken: usize,
    /// When the time of the first of them is over.
    pub first_ends: Timestamp,
}

impl Places {
    /// Whether one of so many is left.
    pub(super) fn left_of(&self, bound: usize, full: fn(Timestamp) -> HoldError) -> Result<(), HoldError> {
        if self.taken < bound { Ok(()) } else { Err(full(self.first_ends)) }
    }
}

/// Why a hold is not opened. The operation is then denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// The session has opened [`limits::SESSION_HOLDS`] already, though their clients may have left.
    #[error("{} operations of this session wait for people already; {}", limits::SESSION_HOLDS, FreesUp(*.0))]
    SessionFull(Timestamp),
    /// The asker has [`limits::ASKER_HOLDS`] already.
    #[error("{} operations of the same asker wait for people already; {}", limits::ASKER_HOLDS, FreesUp(*.0))]
    AskerFull(Timestamp),
    /// The control plane has [`limits::HOLDS`] already.
    #[error("too many operations wait for people; {}", FreesUp(*.0))]
    Full(Timestamp),
    /// The rule names no group, no time, or more people than could be got together: nobody could ever say yes.
    #[error("nobody could approve this")]
    NobodyCould,
}

/// When a place comes free, for a sentence.
struct FreesUp(Timestamp);

impl std::fmt::Display for FreesUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "a place comes free when one is denied, is approved and carried out, or has no time left, the first at {}",
            self.0
        )
    }
}

/// An operation that looks for a hold to join.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// It.
    pub operation: OperationKey,
    /// Who asks.
    pub asker: Asker,
    /// As in [`Opening`].
    pub only_pod: Option<String>,
    /// The cluster it is for.
    pub cluster: String,
    /// Its intent digest **under the key of the hold in question** (every hold has its own).
    pub intent: Digest,
    /// The state of the object now.
    pub pin: VersionPin,
}

/// The operation belongs to the hold: same intent, same pin, same session or asker. Kept in its record. Made here only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bound {
    pub(in crate::lifecycle) operation: OperationKey,
    pub(in crate::lifecycle) hold: HoldId,
    pub(in crate::lifecycle) intent: Digest,
    pub(in crate::lifecycle) pin: VersionPin,
}

impl Bound {
    /// The hold.
    pub const fn hold(&self) -> HoldId {
        self.hold
    }

    /// The operation.
    pub const fn operation(&self) -> OperationKey {
        self.operation
    }

    /// The intent digest, under the hold's key.
    pub const fn intent(&self) -> &Digest {
        &self.intent
    }

    /// The state of the object that an approver sees.
    pub const fn pin(&self) -> &VersionPin {
        &self.pin
    }
}

/// What a hold says to a [`Candidate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// It is about something else, or over: open a hold.
    Not,
    /// Wait on it (or claim it at once if it is approved).
    Wait(Bound),
    /// The same was denied to this session: deny, with that reason.
    Denied,
    /// The same of another state of the object: void this hold ([`VoidReason::ObjectMoved`]) and open one for the new state.
    Replace,
}

/// What a voter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// Yes.
    Approve {
        /// Over the statement, where the cluster demands it.
        signature: Option<Signature>,
    },
    /// No. One is enough.
    Deny {
        /// Printed by the client's kubectl.
        reason: String,
    },
}

/// What to do once a vote is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteEffect {
    /// Tell those who look at the hold.
    Counted {
        /// People who have said yes.
        have: usize,
        /// People who must.
        need: usize,
    },
    /// Wake the operations that wait: one of them may spend the approval.
    Approved(ApprovalId),
    /// Refuse the operations that wait.
    Denied,
}

/// Why a vote does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// This person has none here.
    #[error("no vote")]
    Refused(#[source] VoteRefusal),
    /// The hold waits for nobody any more.
    #[error("the hold is {phase}")]
    Over {
        /// What it is.
        phase: &'static str,
    },
    /// Longer than [`limits::REASON_BYTES`].
    #[error("the reason is longer than {} bytes", limits::REASON_BYTES)]
    ReasonTooLong,
    /// Longer than [`limits::SIGNATURE_BYTES`].
    #[error("the signature is longer than {} bytes", limits::SIGNATURE_BYTES)]
    SignatureTooLong,
}

impl Phase {
    /// In one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Approved { .. } => "approved",
            Self::Spent { .. } => "spent",
            Self::Denied { .. } => "denied",
            Self::Expired { .. } => "expired",
            Self::Void { .. } => "void",
        }
    }
}
