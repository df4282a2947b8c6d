//! The approval: judged again, then spent, once.
//!
//! Invariant: [`spend`] is the only function that takes a hold to `Spent`, and it gives the new states of hold and operation
//! together, so that one transaction holds both: no approval is used without an `issued` that can be asked about, and none twice.

use std::collections::BTreeSet;

use shared::ids::{ApprovalId, HoldId};
use shared::time::Timestamp;

use super::hold::Phase;
use super::issue::{ApprovalUse, Issued, NewIssue, OperationRecord, Progress};
use super::{HoldRecord, NotSent, OperationKey, Outcome, Step};
use crate::decision::{ApprovalTerms, Effect, Verdict};
use crate::digest::Digest;
use crate::four_eyes::{self, Mode};
use crate::statement::SignedVote;
use crate::version_pin::VersionPin;

/// How today's verdict compares with what was approved.
#[derive(Debug, PartialEq, Eq)]
pub enum Recheck {
    /// The votes that were given are enough today.
    StillFine(StillFine),
    /// Other or more people would have to say yes today: void this hold and open one under the new terms.
    NewHold(ApprovalTerms),
    /// Denied today.
    Denied,
}

/// The votes of this hold are enough under a verdict of just now. Not `Clone`; [`spend`] and
/// [`OperationRecord::issue_again`] take it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "proof that an approval was judged again, to be spent now"]
pub struct StillFine {
    pub(super) hold: HoldId,
}

/// Judges an approved hold again, with the verdict on the same request under today's policy and session.
pub fn recheck(hold: &HoldRecord, today: &Verdict, mode: Mode) -> Recheck {
    let fine = || Recheck::StillFine(StillFine { hold: hold.id() });
    // What people said may be shown is what they were told; anything else is another question. Of what was not there nothing is shown.
    let nothing = BTreeSet::new();
    if *hold.pin() != VersionPin::Absent && hold.pin().revealed().unwrap_or(&nothing) != today.reveal() {
        return today.terms().map_or(Recheck::Denied, |terms| Recheck::NewHold(terms.clone()));
    }
    match (today.explanation().effect, today.terms()) {
        // Looser now. The approval is used all the same: it is what the agent's group `sallyport:approved` stands for.
        (Effect::Allow, _) => {
            if four_eyes::is_enough(hold.terms(), hold.behind(), mode, hold.votes()) {
                fine()
            } else {
                Recheck::NewHold(hold.terms().clone())
            }
        }
        (Effect::Hold, Some(terms)) => {
            if four_eyes::is_enough(terms, hold.behind(), mode, hold.votes()) {
                fine()
            } else {
                Recheck::NewHold(terms.clone())
            }
        }
        (Effect::Hold, None) | (Effect::Deny, _) => Recheck::Denied,
    }
}

/// Why an approval is not spent. Nothing changes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpendRefusal {
    /// People have not said yes, or no more.
    #[error("the hold is {phase}, not approved")]
    NotApproved {
        /// What it is.
        phase: &'static str,
    },
    /// Past its time.
    #[error("the approval has expired")]
    Expired,
    /// Another operation that waited on the same hold was first.
    #[error("another try of the same request used the approval")]
    Used {
        /// Which.
        by: OperationKey,
    },
    /// The operation does not wait on this hold, or its request or its object's state is another.
    #[error("the operation does not belong to this hold")]
    NotBound,
    /// Judged again for another hold.
    #[error("another hold was judged again")]
    OtherRecheck,
}

/// This operation has used this approval, durably. Turns the waiting stage into `Allowed`
/// ([`crate::decision::BoundHold::claim`]). Not `Clone`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the approval is spent: carry the operation out"]
pub struct Claimed {
    pub(crate) operation: OperationKey,
    pub(crate) hold: HoldId,
    pub(crate) approval: ApprovalId,
    pub(crate) intent: Digest,
    pub(crate) pin: VersionPin,
    pub(crate) expires: Timestamp,
    pub(crate) signatures: Vec<SignedVote>,
    pub(crate) approvers: Vec<String>,
}

/// Two records that are written together.
#[derive(Debug, PartialEq, Eq)]
pub struct Spend {
    /// The hold, spent.
    pub hold: HoldRecord,
    /// The operation, issued.
    pub operation: OperationRecord,
}

/// What the use of an approval gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Go {
    /// Turns the waiting stage into `Allowed`.
    pub claimed: Claimed,
    /// Turns that into a grant.
    pub issued: Issued,
}

impl Claimed {
    pub(super) fn new(hold: &HoldRecord, operation: OperationKey, approval: ApprovalId, expires: Timestamp) -> Self {
        let (intent, pin, signatures) = (*hold.intent(), hold.pin().clone(), hold.signatures());
        let approvers = hold.votes().iter().map(|vote| vote.subject.clone()).collect();
        Self { operation, hold: hold.id(), approval, intent, pin, expires, signatures, approvers }
    }
}

/// Spends the approval of a hold for one operation that waits on it, and writes `issued`.
///
/// # Errors
/// See [`SpendRefusal`].
pub fn spend(
    hold: &HoldRecord,
    operation: &OperationRecord,
    fine: StillFine,
    new: NewIssue,
    now: Timestamp,
) -> Result<Step<Spend, Go>, SpendRefusal> {
    if fine.hold != hold.id() {
        return Err(SpendRefusal::OtherRecheck);
    }
    let Progress::Waiting { bound } = operation.progress() else {
        // Whoever was first has ended the others that waited.
        return Err(match (operation.outcome(), hold.phase()) {
            (Some(Outcome::NotSent { why: NotSent::ApprovalUsed }), Phase::Spent { by, .. }) => {
                SpendRefusal::Used { by: *by }
            }
            _ => SpendRefusal::NotBound,
        });
    };
    let belongs = bound.operation == operation.key()
        && bound.hold == hold.id()
        && bound.intent == *hold.intent()
        && bound.pin == *hold.pin();
    if !belongs {
        return Err(SpendRefusal::NotBound);
    }
    let (approval, votes, expires) = match hold.phase() {
        Phase::Approved { approval, votes, expires, .. } => (*approval, votes.clone(), *expires),
        Phase::Spent { by, .. } => return Err(SpendRefusal::Used { by: *by }),
        phase @ (Phase::Waiting { .. } | Phase::Denied { .. } | Phase::Expired { .. } | Phase::Void { .. }) => {
            return Err(SpendRefusal::NotApproved { phase: phase.as_str() });
        }
    };
    if now >= expires {
        return Err(SpendRefusal::Expired);
    }
    let by = operation.key();
    let spent = hold.with(Phase::Spent { approval, votes, by, at: now, expires });
    let approval_use = ApprovalUse { approval, hold: hold.id(), expires };
    let (issued, effect) = operation.issued(new, Some(approval_use), now);
    let claimed = Claimed::new(hold, by, approval, expires);
    let state = Spend { hold: spent, operation: issued };
    Ok(Step::new(state, Go { claimed, issued: effect }))
}
