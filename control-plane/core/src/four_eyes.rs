//! Four eyes: whose yes counts.
//!
//! The asker is a workload, the approver a person. Invariant: no vote counts that may be the asker's own, none counts twice, and
//! what we do not know counts as "may be". Pure functions over votes; called by [`crate::lifecycle::HoldRecord::vote`] and, when an
//! approval is judged again before it is used, by [`crate::lifecycle::recheck`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

use crate::decision::ApprovalTerms;
use crate::identity::Asker;
use crate::statement::Signature;

/// The person behind a job, as the configuration of its issuer maps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "behind", rename_all = "camelCase")]
pub enum Behind {
    /// This one: the value of the claim that the issuer's configuration names (`actor_id`, `user_id`).
    Person {
        /// The value. Compared with the approver claim that the same configuration names; equal strings are the same person.
        person: String,
    },
    /// The configuration says that no person stands behind jobs of this issuer.
    Nobody,
    /// There may be one, and we don't know who (a bare pod token): any one approver may be the asker.
    Unmapped,
}

impl Behind {
    /// Of an asker. `nobody`: the configuration of its issuer (or of its cluster, for a bare pod token) says that no person
    /// stands behind its jobs. A mapped person wins over that.
    pub fn of(asker: &Asker, nobody: bool) -> Self {
        match &asker.person {
            Some(person) => Self::Person { person: person.clone() },
            None if nobody => Self::Nobody,
            None => Self::Unmapped,
        }
    }
}

/// How a vote came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Via {
    /// Web API or CLI, with a verified OIDC token of an approvers' issuer.
    Oidc,
    /// The local Unix socket: says which user of the machine it was, not which person.
    LocalSocket,
}

/// What the control plane was started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `sallyport serve`: the socket has no vote.
    Serve,
    /// `scripts/try`: one local vote is enough, and every answer says so.
    Try,
}

/// Who votes. Made by the web API from verified credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// `iss` of the token; `local` for the socket.
    pub issuer: String,
    /// `sub` of the token; never an e-mail address. The user id for the socket.
    pub subject: String,
    /// The approver claim that the configuration of *the asker's* issuer names; `None` if the token has no such claim.
    pub person: Option<String>,
    /// Groups of the token, exactly as it says them.
    pub groups: BTreeSet<String>,
    /// How.
    pub via: Via,
}

/// A yes that counted when it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vote {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The mapped person.
    pub person: Option<String>,
    /// How.
    pub via: Via,
    /// Those of the voter's groups that made it count.
    pub groups: BTreeSet<String>,
    /// When.
    pub at: Timestamp,
    /// The approver's signature over the statement, where the cluster demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Voter {
    /// This voter's yes under these terms.
    pub(crate) fn vote(&self, terms: &ApprovalTerms, signature: Option<Signature>, at: Timestamp) -> Vote {
        Vote {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            person: self.person.clone(),
            via: self.via,
            groups: self.groups.intersection(&terms.groups).cloned().collect(),
            at,
            signature,
        }
    }

    /// Whether that vote is by the same person: the same account, or two accounts that map to one person.
    fn is(&self, vote: &Vote) -> bool {
        let same_account = self.issuer == vote.issuer && self.subject == vote.subject;
        let same_person = self.person.is_some() && self.person == vote.person;
        same_account || same_person
    }
}

/// Why somebody has no vote on a hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefusal {
    /// The voter is the asker, or the person behind the job.
    #[error("the person behind the job can't approve it")]
    Asker,
    /// A person stands behind the job, and the voter's token lacks the claim that tells whether it is this one.
    #[error("the token doesn't say which person this is, so it may be the one behind the job")]
    PersonUnknown,
    /// Not a member of any of the rule's groups.
    #[error("only members of {} may vote on this", list(.groups))]
    NotInGroup {
        /// Those groups.
        groups: BTreeSet<String>,
    },
    /// This person has said yes already, perhaps under another account.
    #[error("this person has voted already")]
    AlreadyVoted,
    /// The local socket has a vote in `try` only.
    #[error("votes over the local socket count in `try` only")]
    LocalOnlyInTry,
    /// The rule asks for more than one approver.
    #[error("votes over the local socket don't count in a quorum of {quorum}")]
    LocalInQuorum {
        /// How many it asks for.
        quorum: u8,
    },
    /// There are votes of the other kind.
    #[error("votes over the local socket don't count beside others")]
    LocalBesideOthers,
}

fn list(groups: &BTreeSet<String>) -> String {
    if groups.is_empty() {
        return "no group".to_owned();
    }
    groups.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether this voter may vote beside these votes, before asking which way.
///
/// # Errors
/// The first [`VoteRefusal`] that applies. A second vote of one person is not one of them: see [`has_voted`].
pub fn may_vote(
    terms: &ApprovalTerms,
    asker: &Asker,
    behind: &Behind,
    mode: Mode,
    votes: &[Vote],
    voter: &Voter,
) -> Result<(), VoteRefusal> {
    if voter.via == Via::LocalSocket {
        return may_vote_locally(terms, mode, votes);
    }
    if votes.iter().any(|vote| vote.via == Via::LocalSocket) {
        return Err(VoteRefusal::LocalBesideOthers);
    }
    // The job's own CI token is no approver, whoever the issuers say may approve.
    let own_token =
        asker.ci_issuer.as_ref() == Some(&voter.issuer) && asker.ci_subject.as_ref() == Some(&voter.subject);
    if own_token {
        return Err(VoteRefusal::Asker);
    }
    if let Behind::Person { person } = behind {
        match &voter.person {
            Some(voter) if voter == person => return Err(VoteRefusal::Asker),
            Some(_) => {}
            None => return Err(VoteRefusal::PersonUnknown),
        }
    }
    if terms.groups.is_disjoint(&voter.groups) {
        return Err(VoteRefusal::NotInGroup { groups: terms.groups.clone() });
    }
    Ok(())
}

fn may_vote_locally(terms: &ApprovalTerms, mode: Mode, votes: &[Vote]) -> Result<(), VoteRefusal> {
    if mode != Mode::Try {
        return Err(VoteRefusal::LocalOnlyInTry);
    }
    if terms.quorum > 1 {
        return Err(VoteRefusal::LocalInQuorum { quorum: terms.quorum });
    }
    if !votes.is_empty() {
        return Err(VoteRefusal::LocalBesideOthers);
    }
    Ok(())
}

/// Whether this person's yes is among the votes.
pub fn has_voted(votes: &[Vote], voter: &Voter) -> bool {
    votes.iter().any(|vote| voter.is(vote))
}

/// How many people must say yes. Never fewer than the rule says, never none, and two where the asker may be one of them.
pub fn votes_needed(terms: &ApprovalTerms, behind: &Behind) -> u8 {
    let floor = match behind {
        Behind::Unmapped => 2,
        Behind::Person { .. } | Behind::Nobody => 1,
    };
    terms.quorum.max(floor)
}

/// Whether these votes are enough under these terms, which may be others than those under which they were given. Votes are
/// counted by person.
pub fn is_enough(terms: &ApprovalTerms, behind: &Behind, mode: Mode, votes: &[Vote]) -> bool {
    let local = votes.iter().any(|vote| vote.via == Via::LocalSocket);
    if local {
        // Alone, in `try`, and not where the rule itself asks for two. That nobody is mapped does not matter: `try` says so.
        return mode == Mode::Try && votes.len() == 1 && terms.quorum <= 1;
    }
    count(terms, behind, votes) >= usize::from(votes_needed(terms, behind))
}

/// People whose votes count under these terms. Two accounts that share either an account or a person are one.
pub fn count(terms: &ApprovalTerms, behind: &Behind, votes: &[Vote]) -> usize {
    let mut accounts = BTreeSet::new();
    let mut people = BTreeSet::new();
    votes
        .iter()
        .filter(|vote| !terms.groups.is_disjoint(&vote.groups))
        .filter(|vote| match behind {
            Behind::Person { person } => vote.person.as_ref().is_some_and(|voter| voter != person),
            Behind::Nobody | Behind::Unmapped => true,
        })
        .filter(|vote| {
            let new_account = accounts.insert((&vote.issuer, &vote.subject));
            let new_person = vote.person.as_ref().is_none_or(|person| people.insert(person));
            new_account && new_person
        })
        .count()
}

#[cfg(test)]
mod tests;
