//! What policy says of [`Attributes`], and the proof types that follow from it.
//!
//! [`Verdict`] is the pure answer of policy. [`Attributes::decide`] turns it into a [`Decision`] by taking the attributes by value:
//! an [`Allowed`] can't exist without a verdict that allows, or a hold whose approval was spent.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use shared::ids::{ApprovalId, HoldId};
use shared::time::Timestamp;

use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::hide::{Hidden, HideRule};
use crate::lifecycle::{Bound, Claimed};
use crate::request_info::RequestInfo;
use crate::statement::SignedVote;
use crate::version_pin::VersionPin;

/// What is to happen. Ordered by strictness, so that the strictest of several is their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Goes through now.
    Allow,
    /// Waits for people.
    Hold,
    /// Refused.
    Deny,
}

impl Effect {
    /// As policy files, records and metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The group that the agent impersonates; the API server's RBAC backs our decision with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Group {
    /// Reads.
    #[serde(rename = "sallyport:read")]
    Read,
    /// Writes that need no approval.
    #[serde(rename = "sallyport:write")]
    Write,
    /// Writes that the API server only tries: as wide as what they could try, for the agent takes nothing else into this group.
    #[serde(rename = "sallyport:dry-run")]
    DryRun,
    /// What people approved.
    #[serde(rename = "sallyport:approved")]
    Approved,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::DryRun, Self::Approved];

    /// The group's name in the cluster.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "sallyport:read",
            Self::Write => "sallyport:write",
            Self::DryRun => "sallyport:dry-run",
            Self::Approved => "sallyport:approved",
        }
    }
}

/// How a contribution moves the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// Whatever else is found, the score is not below this (0–100). The highest of them is where the sum starts.
    AtLeast(u8),
    /// Points added to that (or, for a dry run, taken from it).
    Plus(i16),
    /// Found, and accepted by name by the rule that settled it: counts nothing.
    Accepted,
}

/// One named part of the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contribution {
    /// Where it comes from, and the name by which a rule may `accept` it: `table/secrets:get`, `modifier/pod-privileged`,
    /// `rule/no-friday-deploys`.
    pub source: Cow<'static, str>,
    /// What was found, as a short fact for a person: `creates a ServiceAccount`, `container "x" is privileged`.
    pub fact: Cow<'static, str>,
    /// What it does to the score.
    pub weight: Weight,
}

/// Why it was decided so. Every contribution to the score is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rule that settled it: a name from the policy file, or `default/…` for a built-in one.
    pub rule: String,
    /// What it says.
    pub effect: Effect,
    /// 0–100.
    pub risk: u8,
    /// From this score on it is held.
    pub hold_at: u8,
    /// From this score on it is denied.
    pub deny_at: u8,
    /// The parts of the score, riskiest first.
    pub contributions: Vec<Contribution>,
    /// What would help, or what to know: `delete by name`, `condition took too long`.
    pub notes: Vec<String>,
}

/// Who must say yes to a hold, and for how long it waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalTerms {
    /// A vote counts only from a member of one of these.
    pub groups: BTreeSet<String>,
    /// Votes by different people that are needed.
    pub quorum: u8,
    /// How long the hold waits for them.
    pub wait: Duration,
}

/// Policy's answer. Made by `policy` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub(crate) explanation: Explanation,
    pub(crate) group: Group,
    pub(crate) terms: Option<ApprovalTerms>,
    pub(crate) mask: Vec<String>,
    pub(crate) hide: Vec<HideRule>,
    pub(crate) reveal: BTreeSet<String>,
    pub(crate) cost: u8,
}

impl Verdict {
    /// Why.
    pub const fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    /// Who must approve; present exactly when the effect is hold.
    pub const fn terms(&self) -> Option<&ApprovalTerms> {
        self.terms.as_ref()
    }

    /// The group to impersonate if it is allowed.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Fields that the matching rules mask in addition to what the agent always masks.
    pub fn mask(&self) -> &[String] {
        &self.mask
    }

    /// What the matching rules hide from this request.
    pub fn hide(&self) -> &[HideRule] {
        &self.hide
    }

    /// Whether an object that was read for this request is hidden.
    pub fn hides(&self, info: &RequestInfo, object: &Value) -> bool {
        Hidden::parse(&self.hide, info).map_or(true, |hidden| hidden.hides_value(object))
    }

    /// Keys of the Secret whose real values are shown once people have approved it; only of a hold.
    pub const fn reveal(&self) -> &BTreeSet<String> {
        &self.reveal
    }

    /// What the operation takes from its session's risk budget: the caller adds it to the session's `risk_spent` when the
    /// operation goes through.
    pub const fn cost(&self) -> u8 {
        self.cost
    }
}

/// The three ways on.
#[derive(Debug)]
pub enum Decision {
    /// Goes to `issue`.
    Allow(Allowed),
    /// Goes to `approvals`.
    Hold(Hold),
    /// Goes to `refuse`.
    Deny(Denial),
}

/// The right to be issued one grant. Not `Clone`; `issue` spends it.
#[derive(Debug)]
pub struct Allowed {
    pub(crate) attributes: Attributes,
    pub(crate) explanation: Explanation,
    pub(crate) group: Group,
    pub(crate) mask: Vec<String>,
    pub(crate) hide: Vec<HideRule>,
    /// Present exactly when the group is [`Group::Approved`] by way of a hold.
    pub(crate) approval: Option<ApprovalRef>,
}

/// Must wait for people.
#[derive(Debug)]
pub struct Hold {
    pub(crate) attributes: Attributes,
    pub(crate) explanation: Explanation,
    pub(crate) terms: ApprovalTerms,
    pub(crate) mask: Vec<String>,
    pub(crate) hide: Vec<HideRule>,
    pub(crate) reveal: BTreeSet<String>,
}

/// Refused by policy.
#[derive(Debug)]
pub struct Denial {
    pub(crate) attributes: Attributes,
    pub(crate) explanation: Explanation,
}

impl Attributes {
    /// Turns policy's answer into the next stage.
    pub fn decide(self, verdict: Verdict) -> Decision {
        let Verdict { explanation, group, terms, mask, hide, reveal, cost: _ } = verdict;
        match (explanation.effect, terms) {
            (Effect::Allow, _) => {
                Decision::Allow(Allowed { attributes: self, explanation, group, mask, hide, approval: None })
            }
            (Effect::Hold, Some(terms)) => {
                Decision::Hold(Hold { attributes: self, explanation, terms, mask, hide, reveal })
            }
            // A hold that nobody could approve is a denial.
            (Effect::Hold, None) | (Effect::Deny, _) => Decision::Deny(Denial { attributes: self, explanation }),
        }
    }
}

impl Attributes {
    /// The operation as waiting on the hold whose approval it has spent, for a grant in the place of one that was never spent.
    /// It gives no right, whatever the verdict: only [`BoundHold::claim`] does.
    pub fn waiting_again(self, today: &Verdict, terms: &ApprovalTerms, bound: Bound) -> BoundHold {
        let Verdict { explanation, mask, hide, reveal, .. } = today.clone();
        BoundHold { hold: Hold { attributes: self, explanation, terms: terms.clone(), mask, hide, reveal }, bound }
    }
}

macro_rules! parts {
    ($($name:ident),*) => {$(
        impl $name {
            /// What was judged.
            pub const fn attributes(&self) -> &Attributes {
                &self.attributes
            }

            /// Why.
            pub const fn explanation(&self) -> &Explanation {
                &self.explanation
            }
        }
    )*};
}
parts!(Allowed, Hold, Denial);

impl Allowed {
    /// The group to impersonate.
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Fields to mask in addition to what the agent always masks.
    pub fn mask(&self) -> &[String] {
        &self.mask
    }

    /// What is hidden.
    pub fn hide(&self) -> &[HideRule] {
        &self.hide
    }
}

impl Hold {
    /// Gives the waiting up, for the operation to be judged in another way.
    pub fn into_attributes(self) -> Attributes {
        self.attributes
    }

    /// Who must approve.
    pub const fn terms(&self) -> &ApprovalTerms {
        &self.terms
    }

    /// Keys of the Secret whose real values are to be shown.
    pub const fn reveal(&self) -> &BTreeSet<String> {
        &self.reveal
    }

    /// The uid of the pod whose approval it is alone, though its ServiceAccount may have others: real values are shown to the job that
    /// people saw. `None`: it shows none.
    pub fn only_pod(&self) -> Option<String> {
        (!self.reveal.is_empty()).then(|| self.attributes.identity().pod().pod_uid.clone())
    }

    /// Fields to mask in addition to what the agent always masks.
    pub fn mask(&self) -> &[String] {
        &self.mask
    }
}

/// The approval that an [`Allowed`] rests on: what the grant says of it, and what the agent checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRef {
    /// Its id: the agent's Lease in the cluster is named after it.
    pub approval: ApprovalId,
    /// The hold that people said yes to.
    pub hold: HoldId,
    /// What they said yes to.
    pub intent: Digest,
    /// The state of the object that they saw: the agent sends only if it is still so.
    pub pin: VersionPin,
    /// From then on the agent refuses it.
    pub expires: Timestamp,
    /// What came with the votes, unverified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignedVote>,
    /// `sub` of each who voted yes, for the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
}

/// A [`Hold`] whose operation is written down as waiting on a hold record.
#[derive(Debug)]
pub struct BoundHold {
    hold: Hold,
    bound: Bound,
}

/// What was claimed belongs to something else. The hold is lost with it: the operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another operation's.
    #[error("the approval was spent for another operation")]
    Operation,
    /// Another hold's.
    #[error("the approval is of another hold")]
    Hold,
    /// Of another request.
    #[error("the approval is of another request")]
    Intent,
    /// Of another state of the object.
    #[error("the approval is of another state of the object")]
    Pin,
}

impl Allowed {
    /// The approval it rests on, if people had to say yes.
    pub const fn approval(&self) -> Option<&ApprovalRef> {
        self.approval.as_ref()
    }
}

impl Hold {
    /// Waits on a hold record, with the proof that the operation belongs to it.
    pub const fn bind(self, bound: Bound) -> BoundHold {
        BoundHold { hold: self, bound }
    }
}

impl BoundHold {
    /// What was judged.
    pub const fn attributes(&self) -> &Attributes {
        &self.hold.attributes
    }

    /// Why it waits.
    pub const fn explanation(&self) -> &Explanation {
        &self.hold.explanation
    }

    /// What it waits on.
    pub const fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Turns waiting into the right to one grant, of `sallyport:approved`. The only way from a hold to an [`Allowed`].
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub fn claim(self, claimed: Claimed) -> Result<Allowed, ClaimError> {
        if claimed.operation != self.bound.operation() {
            return Err(ClaimError::Operation);
        }
        if claimed.hold != self.bound.hold() {
            return Err(ClaimError::Hold);
        }
        if claimed.intent != *self.bound.intent() {
            return Err(ClaimError::Intent);
        }
        if claimed.pin != *self.bound.pin() {
            return Err(ClaimError::Pin);
        }
        // What is revealed stands in the pin.
        let Hold { attributes, explanation, terms: _, mask, hide, reveal: _ } = self.hold;
        Ok(Allowed {
            attributes,
            explanation,
            group: Group::Approved,
            mask,
            hide,
            approval: Some(ApprovalRef {
                approval: claimed.approval,
                hold: claimed.hold,
                intent: claimed.intent,
                pin: claimed.pin,
                expires: claimed.expires,
                signatures: claimed.signatures,
                approvers: claimed.approvers,
            }),
        })
    }

    /// Judged again, it may not be used as approved: back to the decision, under today's verdict.
    pub fn decide_again(self, today: Verdict) -> Decision {
        self.hold.attributes.decide(today)
    }
}
