//! The hold: an operation that waits for people.
//!
//! Invariant: a hold leaves `Waiting` once, and `Approved` once; what it became then never changes. `Approved` needs enough votes
//! by [`four_eyes`], all of them in the record. Called by the control plane's approvals, one transaction per function.

#[cfg(test)]
mod tests;
mod words;

use serde::{Deserialize, Serialize};
use shared::ids::{ApprovalId, HoldId, SessionId};
use shared::limits;
use shared::time::Timestamp;

pub use words::{
    Ballot, Bound, Candidate, HoldError, Join, Opening, Phase, Places, VoidReason, VoteEffect, VoteError, Waiting,
};

use super::{NotSent, OperationKey, Step};
use crate::decision::ApprovalTerms;
use crate::digest::Digest;
use crate::four_eyes::{self, Behind, Mode, Vote, VoteRefusal, Voter};
use crate::identity::Asker;
use crate::request_info::RequestInfo;
use crate::statement::{self, SignedVote, Statement};
use crate::version_pin::VersionPin;

/// What the store keeps of a hold. Made by [`HoldRecord::open`], changed by its functions only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldRecord {
    id: HoldId,
    asker: Asker,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    only_pod: Option<String>,
    behind: Behind,
    opened_by: OperationKey,
    cluster: String,
    request: RequestInfo,
    intent: Digest,
    pin: VersionPin,
    terms: ApprovalTerms,
    opened: Timestamp,
    deadline: Timestamp,
    phase: Phase,
}

impl HoldRecord {
    /// Opens a hold. The effect is the [`Bound`] of the operation that asked, to be written into its record in the same transaction.
    ///
    /// # Errors
    /// See [`HoldError`].
    pub fn open(opening: Opening, waiting: Waiting, now: Timestamp) -> Result<(Self, Bound), HoldError> {
        let Opening { id, operation, asker, only_pod, behind, cluster, request, intent, pin, terms } = opening;
        waiting.of_session.left_of(limits::SESSION_HOLDS, HoldError::SessionFull)?;
        waiting.of_asker.left_of(limits::ASKER_HOLDS, HoldError::AskerFull)?;
        waiting.in_all.left_of(limits::HOLDS, HoldError::Full)?;
        let needed = four_eyes::votes_needed(&terms, &behind);
        if terms.groups.is_empty() || terms.wait.is_zero() || needed > limits::QUORUM_MAX {
            return Err(HoldError::NobodyCould);
        }
        let record = Self {
            id,
            asker,
            only_pod,
            behind,
            opened_by: operation,
            cluster,
            request,
            intent,
            pin,
            opened: now,
            deadline: now.after(terms.wait.min(limits::HOLD_WAIT_MAX)),
            terms,
            phase: Phase::Waiting { votes: Vec::new() },
        };
        let bound = record.bind(operation);
        Ok((record, bound))
    }

    fn bind(&self, operation: OperationKey) -> Bound {
        Bound { operation, hold: self.id, intent: self.intent, pin: self.pin.clone() }
    }

    /// Whether a later operation belongs to this hold.
    pub fn join(&self, candidate: &Candidate, now: Timestamp) -> Join {
        let same_session = candidate.operation.session == self.opened_by.session;
        let same_thing = candidate.cluster == self.cluster && candidate.intent == self.intent;
        // Whom a value is shown to is whom people saw: the session that asked, or a later one of its pod.
        let same_job = same_session || candidate.only_pod == self.only_pod;
        if !same_thing || candidate.asker != self.asker || !same_job {
            return Join::Not;
        }
        match &self.phase {
            Phase::Waiting { .. } if now >= self.deadline => Join::Not,
            Phase::Approved { expires, .. } if now >= *expires => Join::Not,
            Phase::Waiting { .. } | Phase::Approved { .. } => {
                if candidate.pin == self.pin {
                    Join::Wait(self.bind(candidate.operation))
                } else if same_session {
                    Join::Replace
                } else {
                    Join::Not
                }
            }
            // Asking again must not tire the approver into a yes (SECURITY.md P9).
            Phase::Denied { at, .. } if same_session && now.since(*at) < limits::DENIAL_STICKS => Join::Denied,
            Phase::Denied { .. } | Phase::Spent { .. } | Phase::Expired { .. } | Phase::Void { .. } => Join::Not,
        }
    }

    /// What binds an operation that has spent this hold's approval, for when it must be issued again. `None`: it has not.
    pub fn bound_again(&self, operation: OperationKey) -> Option<Bound> {
        matches!(&self.phase, Phase::Spent { by, .. } if *by == operation).then(|| self.bind(operation))
    }

    /// A vote. `approval` is a fresh id, used if this vote is the last that is needed.
    ///
    /// # Errors
    /// See [`VoteError`]; nothing changes then.
    pub fn vote(
        &self,
        voter: &Voter,
        ballot: Ballot,
        approval: ApprovalId,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Step<Self, VoteEffect>, VoteError> {
        let Phase::Waiting { votes } = &self.phase else {
            return Err(VoteError::Over { phase: self.phase.as_str() });
        };
        // Not left to the sweep: a vote at or past the deadline is too late, whoever comes first.
        if now >= self.deadline {
            return Err(VoteError::Over { phase: "expired" });
        }
        four_eyes::may_vote(&self.terms, &self.asker, &self.behind, mode, votes, voter).map_err(VoteError::Refused)?;
        match ballot {
            Ballot::Deny { reason } if reason.len() > limits::REASON_BYTES => Err(VoteError::ReasonTooLong),
            Ballot::Deny { reason } => Ok(Step::new(
                self.with(Phase::Denied {
                    issuer: voter.issuer.clone(),
                    subject: voter.subject.clone(),
                    reason,
                    at: now,
                }),
                VoteEffect::Denied,
            )),
            Ballot::Approve { signature: Some(signature) } if !signature.fits() => Err(VoteError::SignatureTooLong),
            Ballot::Approve { .. } if four_eyes::has_voted(votes, voter) => {
                Err(VoteError::Refused(VoteRefusal::AlreadyVoted))
            }
            Ballot::Approve { signature } => {
                let mut votes = votes.clone();
                votes.push(voter.vote(&self.terms, signature, now));
                Ok(self.counted(votes, approval, mode, now))
            }
        }
    }

    fn counted(&self, votes: Vec<Vote>, approval: ApprovalId, mode: Mode, now: Timestamp) -> Step<Self, VoteEffect> {
        if four_eyes::is_enough(&self.terms, &self.behind, mode, &votes) {
            let phase = Phase::Approved { approval, votes, at: now, expires: now.after(limits::CLAIM_WAIT) };
            Step::new(self.with(phase), VoteEffect::Approved(approval))
        } else {
            let effect = VoteEffect::Counted {
                have: four_eyes::count(&self.terms, &self.behind, &votes),
                need: usize::from(four_eyes::votes_needed(&self.terms, &self.behind)),
            };
            Step::new(self.with(Phase::Waiting { votes }), effect)
        }
    }

    /// Ends a hold whose time is over. The effect is what to tell the operations that wait on it. `None`: nothing to do.
    pub fn expire(&self, now: Timestamp) -> Option<Step<Self, NotSent>> {
        if self.expires().is_none_or(|expires| now < expires) {
            return None;
        }
        let approval = match &self.phase {
            Phase::Approved { approval, .. } => Some(*approval),
            Phase::Waiting { .. }
            | Phase::Spent { .. }
            | Phase::Denied { .. }
            | Phase::Expired { .. }
            | Phase::Void { .. } => None,
        };
        Some(Step::new(self.with(Phase::Expired { at: now, approval }), NotSent::HoldExpired))
    }

    /// Makes a hold void. `None`: it is over already, or its approval was used.
    pub fn void(&self, why: VoidReason, now: Timestamp) -> Option<Step<Self, NotSent>> {
        self.is_live().then(|| Step::new(self.with(Phase::Void { why, at: now }), NotSent::HoldVoid))
    }

    pub(super) fn with(&self, phase: Phase) -> Self {
        Self { phase, ..self.clone() }
    }

    /// Waits, or is approved and unused: what counts towards the bounds of [`Waiting`].
    pub const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. } | Phase::Approved { .. })
    }

    /// The yes votes, in every phase that has some.
    pub fn votes(&self) -> &[Vote] {
        match &self.phase {
            Phase::Waiting { votes } | Phase::Approved { votes, .. } | Phase::Spent { votes, .. } => votes,
            Phase::Denied { .. } | Phase::Expired { .. } | Phase::Void { .. } => &[],
        }
    }

    /// The signatures that came with the votes, for the grant. Kept as they came: nobody has verified them.
    pub fn signatures(&self) -> Vec<SignedVote> {
        let signed = self.votes().iter().filter_map(|vote| {
            let signature = vote.signature.clone()?;
            Some(SignedVote { issuer: vote.issuer.clone(), subject: vote.subject.clone(), signature })
        });
        signed.collect()
    }

    /// When [`HoldRecord::expire`] has something to do, for a timer.
    pub const fn expires(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Waiting { .. } => Some(self.deadline),
            Phase::Approved { expires, .. } => Some(*expires),
            Phase::Spent { .. } | Phase::Denied { .. } | Phase::Expired { .. } | Phase::Void { .. } => None,
        }
    }

    /// What an approver of this hold signs. It is good for as long as an approval of it could be.
    pub fn statement(&self, cluster_uid: String) -> Statement {
        Statement::new(statement::Terms {
            cluster_uid,
            hold: self.id,
            intent: self.intent,
            request: self.request.clone(),
            pin: self.pin.clone(),
            asker: self.asker.clone(),
            exp: self.deadline.after(limits::CLAIM_WAIT).seconds(),
        })
    }

    /// Its id.
    pub const fn id(&self) -> HoldId {
        self.id
    }

    /// Who asks.
    pub const fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The person behind the asker.
    pub const fn behind(&self) -> &Behind {
        &self.behind
    }

    /// The session that opened it.
    pub const fn session(&self) -> SessionId {
        self.opened_by.session
    }

    /// The operation that opened it.
    pub const fn opened_by(&self) -> OperationKey {
        self.opened_by
    }

    /// The cluster it is for.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What is asked.
    pub const fn request(&self) -> &RequestInfo {
        &self.request
    }

    /// Its intent digest.
    pub const fn intent(&self) -> &Digest {
        &self.intent
    }

    /// The state of the object that approvers see.
    pub const fn pin(&self) -> &VersionPin {
        &self.pin
    }

    /// Who must say yes.
    pub const fn terms(&self) -> &ApprovalTerms {
        &self.terms
    }

    /// When it was opened.
    pub const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// Until when people may vote.
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Where it is.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }
}
