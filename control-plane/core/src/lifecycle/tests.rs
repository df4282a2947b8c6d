use std::time::Duration;

use shared::limits;
use shared::time::Timestamp;

use super::fixtures::{operation as operation_of, *};
use super::*;
use crate::attributes::Attributes;
use crate::decision::{ClaimError, Decision, Effect, Group, Verdict};
use crate::four_eyes::{Mode, VoteRefusal};
use crate::identity::{Identity, PodIdentity};
use crate::request::Request;
use crate::statement::{Algorithm, Signature, SignedVote};
use crate::version_pin::VersionPin;

fn open(quorum: u8) -> (HoldRecord, OperationRecord) {
    let key = key(1, 1);
    let (hold, bound) = HoldRecord::open(opening(key, quorum), Waiting::default(), T0).unwrap();
    (hold, operation(key).wait(bound).unwrap())
}

pub(super) fn yes(hold: &HoldRecord, person: &str, now: Timestamp) -> Result<HoldRecord, VoteError> {
    let ballot = Ballot::Approve { signature: None };
    hold.vote(&voter(person), ballot, approval_id(1), Mode::Serve, now).map(|step| step.state)
}

fn no(hold: &HoldRecord, person: &str, now: Timestamp) -> Result<HoldRecord, VoteError> {
    let ballot = Ballot::Deny { reason: "not on a Friday".to_owned() };
    hold.vote(&voter(person), ballot, approval_id(1), Mode::Serve, now).map(|step| step.state)
}

fn fine(hold: &HoldRecord) -> StillFine {
    match recheck(hold, &verdict(Effect::Hold, Some(hold.terms().clone())), Mode::Serve) {
        Recheck::StillFine(fine) => fine,
        other @ (Recheck::NewHold(_) | Recheck::Denied) => panic!("{other:?}"),
    }
}

fn spend_at(hold: &HoldRecord, operation: &OperationRecord, now: Timestamp) -> Result<Spend, SpendRefusal> {
    spend(hold, operation, fine(hold), new_issue(1), now).map(|step| step.state)
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - 1)
}

#[test]
fn votes_add_up_and_the_last_approves() {
    let (hold, _) = open(2);
    let ballot = || Ballot::Approve { signature: None };
    let step = hold.vote(&voter("1"), ballot(), approval_id(1), Mode::Serve, T0).unwrap();
    assert_eq!(step.effects.assert_durable(), VoteEffect::Counted { have: 1, need: 2 });
    let step = step.state.vote(&voter("2"), ballot(), approval_id(2), Mode::Serve, T0).unwrap();
    assert_eq!(step.effects.assert_durable(), VoteEffect::Approved(approval_id(2)));
    assert_eq!(step.state.votes().len(), 2);
    assert_eq!(yes(&step.state, "3", T0), Err(VoteError::Over { phase: "approved" }));
}

/// A signature stays with its vote and goes to the agent; it makes a vote no better, and a long one is refused.
#[test]
fn signatures_go_with_their_votes() {
    let signature = |text: &str| Signature {
        algorithm: Algorithm::Ed25519,
        key_id: "laptop".to_owned(),
        signature: text.to_owned(),
        passkey: None,
    };
    let (hold, operation) = open(2);
    let vote = |hold: &HoldRecord, person: &str, signature| {
        let ballot = Ballot::Approve { signature };
        hold.vote(&voter(person), ballot, approval_id(1), Mode::Serve, T0).map(|step| step.state)
    };
    let long = "x".repeat(limits::SIGNATURE_BYTES);
    assert_eq!(vote(&hold, "1", Some(signature(&long))), Err(VoteError::SignatureTooLong));
    let hold = vote(&hold, "1", Some(signature("by 1"))).unwrap();
    assert_eq!(vote(&hold, "1", Some(signature("again"))), Err(VoteError::Refused(VoteRefusal::AlreadyVoted)));
    assert_eq!(vote(&hold, "7", Some(signature("by the asker"))), Err(VoteError::Refused(VoteRefusal::Asker)));
    let hold = vote(&hold, "2", None).unwrap();
    let signed =
        SignedVote { issuer: "https://sso".to_owned(), subject: "sub-1".to_owned(), signature: signature("by 1") };
    let stored: HoldRecord = serde_json::from_str(&serde_json::to_string(&hold).unwrap()).unwrap();
    assert_eq!(stored.signatures(), std::slice::from_ref(&signed));
    let spent = spend(&stored, &operation, fine(&stored), new_issue(1), T0).unwrap();
    assert_eq!(spent.effects.assert_durable().claimed.signatures, [signed]);
}

#[test]
fn who_may_not_vote_changes_nothing() {
    let (hold, _) = open(1);
    assert_eq!(yes(&hold, "7", T0), Err(VoteError::Refused(VoteRefusal::Asker)));
    assert_eq!(no(&hold, "7", T0), Err(VoteError::Refused(VoteRefusal::Asker)));
    let (hold, _) = open(2);
    let hold = yes(&hold, "1", T0).unwrap();
    assert_eq!(yes(&hold, "1", T0), Err(VoteError::Refused(VoteRefusal::AlreadyVoted)));
    let denied = no(&hold, "1", T0).unwrap();
    assert_eq!(denied.phase().as_str(), "denied", "a yes may still become a no");
}

/// At the deadline and at the expiry, to the millisecond, whether a sweep came by or not.
#[test]
fn time_is_over_at_the_very_millisecond() {
    let (hold, operation) = open(1);
    let deadline = T0.after(WAIT);
    assert_eq!(yes(&hold, "1", deadline), Err(VoteError::Over { phase: "expired" }));
    assert_eq!(no(&hold, "1", deadline), Err(VoteError::Over { phase: "expired" }));
    assert!(hold.expire(before(deadline)).is_none());
    assert_eq!(hold.expire(deadline).unwrap().state.phase().as_str(), "expired");

    let hold = yes(&hold, "1", before(deadline)).unwrap();
    let expires = before(deadline).after(limits::CLAIM_WAIT);
    assert_eq!(hold.expires(), Some(expires));
    assert!(spend_at(&hold, &operation, before(expires)).is_ok());
    assert_eq!(spend_at(&hold, &operation, expires), Err(SpendRefusal::Expired));
    assert!(hold.expire(before(expires)).is_none());
    let expired = hold.expire(expires).unwrap().state;
    assert_eq!(expired.phase(), &Phase::Expired { at: expires, approval: Some(approval_id(1)) });
    assert_eq!(expired.expire(expires.after(WAIT)).map(|step| step.state), None, "once");
}

#[test]
fn no_hold_waits_longer_than_the_limit() {
    let mut opening = opening(key(1, 1), 1);
    opening.terms.wait = Duration::MAX;
    let (hold, _) = HoldRecord::open(opening, Waiting::default(), T0).unwrap();
    assert_eq!(hold.deadline(), T0.after(limits::HOLD_WAIT_MAX));
}

#[test]
fn holds_are_bounded_and_possible() {
    let open = |waiting, change: fn(&mut Opening)| {
        let mut opening = opening(key(1, 1), 1);
        change(&mut opening);
        HoldRecord::open(opening, waiting, T0).map(drop)
    };
    let none = Waiting::default();
    let places = |taken| Places { taken, first_ends: later(60) };
    let of_session = |taken| Waiting { of_session: places(taken), ..none };
    assert_eq!(open(of_session(limits::SESSION_HOLDS - 1), |_| {}), Ok(()));
    let full = open(of_session(limits::SESSION_HOLDS), |_| {}).unwrap_err();
    assert_eq!(full, HoldError::SessionFull(later(60)));
    assert!(full.to_string().ends_with(&format!("the first at {}", later(60))), "{full}");
    let of_asker = Waiting { of_asker: places(limits::ASKER_HOLDS), ..none };
    assert_eq!(open(of_asker, |_| {}), Err(HoldError::AskerFull(later(60))));
    let in_all = Waiting { in_all: places(limits::HOLDS), ..none };
    assert_eq!(open(in_all, |_| {}), Err(HoldError::Full(later(60))));
    assert_eq!(open(none, |opening| opening.terms.groups.clear()), Err(HoldError::NobodyCould));
    assert_eq!(open(none, |opening| opening.terms.wait = Duration::ZERO), Err(HoldError::NobodyCould));
    assert_eq!(open(none, |opening| opening.terms.quorum = u8::MAX), Err(HoldError::NobodyCould));
}

/// Who joins what, in every phase.
#[test]
fn joining() {
    let (waiting, operation) = open(1);
    let approved = yes(&waiting, "1", T0).unwrap();
    let denied = no(&waiting, "1", T0).unwrap();
    let spent = spend_at(&approved, &operation, T0).unwrap().hold;
    let expired = waiting.expire(later(900)).unwrap().state;
    let void = waiting.void(VoidReason::SessionRevoked, T0).unwrap().state;
    let moved = |mut candidate: Candidate| {
        candidate.pin = pin("2");
        candidate
    };
    let (same, other) = (candidate(key(1, 2)), candidate(key(2, 3)));
    let joined = |hold: &HoldRecord, candidate: &Candidate| match hold.join(candidate, T0) {
        Join::Not => "not",
        Join::Wait(bound) => {
            assert_eq!((bound.hold(), bound.operation()), (hold.id(), candidate.operation));
            "wait"
        }
        Join::Denied => "denied",
        Join::Replace => "replace",
    };
    let rows = [
        (&waiting, "wait", "wait", "replace", "not"),
        (&approved, "wait", "wait", "replace", "not"),
        // A denial sticks to the session, whatever became of the object; another session asks people again.
        (&denied, "denied", "not", "denied", "not"),
        (&spent, "not", "not", "not", "not"),
        (&expired, "not", "not", "not", "not"),
        (&void, "not", "not", "not", "not"),
    ];
    for (hold, same_session, other_session, same_moved, other_moved) in rows {
        let phase = hold.phase().as_str();
        assert_eq!(joined(hold, &same), same_session, "{phase}");
        assert_eq!(joined(hold, &other), other_session, "{phase}");
        assert_eq!(joined(hold, &moved(same.clone())), same_moved, "{phase}, moved");
        assert_eq!(joined(hold, &moved(other.clone())), other_moved, "{phase}, moved");
        let strangers: [fn(&mut Candidate); 4] = [
            |candidate| candidate.intent = digest("another"),
            |candidate| candidate.cluster = "stage".to_owned(),
            |candidate| candidate.asker.service_account = "other".to_owned(),
            |candidate| candidate.asker.person = Some("8".to_owned()),
        ];
        for stranger in strangers {
            for mut candidate in [same.clone(), other.clone()] {
                stranger(&mut candidate);
                assert_eq!(joined(hold, &candidate), "not", "{phase}");
            }
        }
    }
    assert_eq!(waiting.join(&same, later(900)), Join::Not);
    assert_eq!(approved.join(&same, T0.after(limits::CLAIM_WAIT)), Join::Not);
    assert_eq!(denied.join(&same, before(T0.after(limits::DENIAL_STICKS))), Join::Denied);
    assert_eq!(denied.join(&same, T0.after(limits::DENIAL_STICKS)), Join::Not);
}

#[test]
fn an_approval_is_spent_by_one() {
    let (hold, first) = open(1);
    let Join::Wait(bound) = hold.join(&candidate(key(2, 2)), T0) else {
        panic!("does not join");
    };
    let second = operation(key(2, 2)).wait(bound).unwrap();
    let unapproved = spend(&hold, &first, StillFine { hold: hold.id() }, new_issue(1), T0);
    assert_eq!(unapproved.map(|step| step.state), Err(SpendRefusal::NotApproved { phase: "waiting" }));
    let approved = yes(&hold, "1", T0).unwrap();
    let stranger = operation(key(3, 3));
    assert_eq!(spend_at(&approved, &stranger, T0), Err(SpendRefusal::NotBound));
    let spent = spend_at(&approved, &first, T0).unwrap();
    assert_eq!(spend_at(&spent.hold, &second, T0), Err(SpendRefusal::Used { by: first.key() }));
    assert_eq!(spend_at(&spent.hold, &first, T0), Err(SpendRefusal::Used { by: first.key() }));
    let settled = second.settle(&spent.hold, T0).unwrap();
    assert_eq!(settled.state.outcome(), Some(Outcome::NotSent { why: NotSent::ApprovalUsed }));
    // Also told so if it was about to use it itself.
    assert_eq!(spend_at(&spent.hold, &settled.state, T0), Err(SpendRefusal::Used { by: first.key() }));
    assert_eq!(spend_at(&spent.hold, &stranger, T0), Err(SpendRefusal::NotBound));
    assert!(spent.operation.settle(&spent.hold, T0).is_none());
}

#[test]
fn what_is_stricter_today_is_not_used() {
    let (hold, _) = open(1);
    let approved = yes(&hold, "1", T0).unwrap();
    let today = |effect, terms| match recheck(&approved, &verdict(effect, terms), Mode::Serve) {
        Recheck::StillFine(_) => "fine",
        Recheck::NewHold(_) => "new hold",
        Recheck::Denied => "denied",
    };
    let mut others = terms(1);
    others.groups = ["leads".to_owned()].into();
    let mut more = terms(1);
    more.groups.insert("leads".to_owned());
    assert_eq!(today(Effect::Hold, Some(terms(1))), "fine");
    assert_eq!(today(Effect::Hold, Some(more)), "fine");
    assert_eq!(today(Effect::Hold, Some(terms(2))), "new hold");
    assert_eq!(today(Effect::Hold, Some(others)), "new hold");
    assert_eq!(today(Effect::Allow, None), "fine");
    assert_eq!(today(Effect::Hold, None), "denied");
    assert_eq!(today(Effect::Deny, None), "denied");
    let (waiting, _) = open(1);
    let not_yet = recheck(&waiting, &verdict(Effect::Allow, None), Mode::Serve);
    assert!(matches!(not_yet, Recheck::NewHold(_)));
}

/// Disclosure: people said yes to these keys in this state, and to no others.
#[test]
fn what_is_shown_today_is_what_was_approved() {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let live = serde_json::json!({"metadata": {"uid": "u", "resourceVersion": "1"}});
    let opening = Opening { pin: VersionPin::of_reveal(Some(&live), &keys(&["a"])), ..opening(key(1, 1), 1) };
    let (hold, _) = HoldRecord::open(opening, Waiting::default(), T0).unwrap();
    let approved = yes(&hold, "1", T0).unwrap();
    let today = |effect, terms, shown: &[&str]| {
        let today = Verdict { reveal: keys(shown), ..verdict(effect, terms) };
        match recheck(&approved, &today, Mode::Serve) {
            Recheck::StillFine(_) => "fine",
            Recheck::NewHold(_) => "new hold",
            Recheck::Denied => "denied",
        }
    };
    assert_eq!(today(Effect::Hold, Some(terms(1)), &["a"]), "fine");
    assert_eq!(today(Effect::Hold, Some(terms(1)), &["a", "b"]), "new hold");
    assert_eq!(today(Effect::Hold, Some(terms(1)), &[]), "new hold");
    assert_eq!(today(Effect::Allow, None, &[]), "denied");
}

#[test]
fn another_grant_only_after_the_first_is_known_never_to_be_spent() {
    let (hold, operation) = open(1);
    let spent = spend_at(&yes(&hold, "1", T0).unwrap(), &operation, T0).unwrap();
    let (hold, issued) = (spent.hold, spent.operation);
    let again = |operation: &OperationRecord, now| {
        let step = operation.issue_again(&hold, fine(&hold), new_issue(2), now);
        step.map(|step| step.state)
    };
    assert_eq!(again(&issued, T0), Err(OperationError::Progress { progress: "issued" }));
    assert_eq!(issued.question().map(|question| question.jti), Some(jti(1)));
    let asked = |answer| issued.answered(jti(1), answer, T0).unwrap();
    assert_eq!(asked(Answer::Spent { outcome: None }).state, issued);
    let unknown = asked(Answer::NotKnown).state;
    assert_eq!(unknown.outcome(), Some(Outcome::Unknown { why: Unknown::AgentForgot }));
    assert_eq!(again(&unknown, T0), Err(OperationError::Progress { progress: "over" }));
    let ok = Outcome::Ok { status: 201 };
    assert_eq!(asked(Answer::Spent { outcome: Some(ok) }).state.outcome(), Some(ok));

    let returned = asked(Answer::NeverSpent).state;
    assert_eq!(returned.question(), None);
    let expires = T0.after(limits::CLAIM_WAIT);
    assert_eq!(again(&returned, expires), Err(OperationError::ApprovalExpired));
    assert!(returned.issue(new_issue(2), T0).is_err(), "not without judging the approval again");
    let reissued = again(&returned, before(expires)).unwrap();
    assert_eq!(reissued.question().map(|question| question.jti), Some(jti(2)));
    let late = reissued.finish(jti(1), ok, T0).map(|step| step.state);
    assert_eq!(late, Err(OperationError::OtherGrant));
    assert_eq!(hold.bound_again(operation.key()).map(|bound| bound.hold()), Some(hold.id()));
    assert_eq!(hold.bound_again(key(2, 2)), None);
    let gone = returned.settle(&hold, expires).unwrap().state;
    assert_eq!(gone.outcome(), Some(Outcome::NotSent { why: NotSent::HoldExpired }));
}

#[test]
fn an_outcome_never_changes() {
    let issued = operation(key(1, 1)).issue(new_issue(1), T0).unwrap().state;
    assert!(issued.refuse(NotSent::ClientLeft, T0).is_err(), "it may be running");
    let over = issued.finish(jti(1), Outcome::Ok { status: 200 }, T0).unwrap().state;
    let unfit = OperationError::Progress { progress: "over" };
    assert_eq!(over.finish(jti(1), Outcome::Error { status: 500 }, T0).map(|s| s.state), Err(unfit));
    assert_eq!(over.answered(jti(1), Answer::NeverSpent, T0).map(|s| s.state), Err(unfit));
    assert_eq!(over.agent_gone(jti(1), T0).map(|s| s.state), Err(unfit));
    assert_eq!(over.refuse(NotSent::Denied, T0).map(|s| s.state), Err(unfit));
    assert_eq!(over.issue(new_issue(2), T0).map(|s| s.state), Err(unfit));
    assert!(over.restored(T0).is_none());
    let (hold, _) = open(1);
    assert!(over.settle(&hold.expire(later(900)).unwrap().state, T0).is_none());
}

#[test]
fn the_same_id_again() {
    let (hold, waiting) = open(1);
    let request = digest("request");
    assert_eq!(waiting.repeat(&digest("another")), Err(OperationError::OtherRequest));
    assert_eq!(operation(key(1, 1)).repeat(&request), Ok(Repeat::Judge));
    assert!(matches!(waiting.repeat(&request), Ok(Repeat::Rejoin(bound)) if bound.hold() == hold.id()));
    let issued = operation(key(1, 1)).issue(new_issue(1), T0).unwrap().state;
    assert!(matches!(issued.repeat(&request), Ok(Repeat::Await(issue)) if issue.jti == jti(1)));
    let returned = issued.answered(jti(1), Answer::NeverSpent, T0).unwrap().state;
    assert_eq!(returned.repeat(&request), Ok(Repeat::IssueAgain(None)));
    let over = issued.finish(jti(1), Outcome::Ok { status: 200 }, T0).unwrap().state;
    assert_eq!(over.repeat(&request), Ok(Repeat::Replay(Outcome::Ok { status: 200 })));
}

#[test]
fn a_restored_database_claims_nothing_about_what_was_open() {
    let (_, waiting) = open(1);
    let unknown = Some(Outcome::Unknown { why: Unknown::Restored });
    assert_eq!(waiting.restored(T0).map(|step| step.state.outcome()), Some(unknown));
}

/// The store keeps these as JSON: a renamed field would lose every hold of a running system.
#[test]
fn records_keep_their_names() {
    let (hold, operation) = open(1);
    let approved = yes(&hold, "1", T0).unwrap();
    let spent = spend_at(&approved, &operation, T0).unwrap();
    for hold in [&hold, &approved, &spent.hold] {
        let text = serde_json::to_string(hold).unwrap();
        assert_eq!(&serde_json::from_str::<HoldRecord>(&text).unwrap(), hold);
    }
    let text = serde_json::to_value(&spent.hold).unwrap();
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&text), "asker behind cluster deadline id intent opened openedBy phase pin request terms");
    assert_eq!(names(&text["phase"]), "approval at by expires phase votes");
    assert_eq!(names(&text["phase"]["votes"][0]), "at groups issuer person subject via");
    let text = serde_json::to_value(&spent.operation).unwrap();
    assert_eq!(serde_json::from_value::<OperationRecord>(text.clone()).unwrap(), spent.operation);
    assert_eq!(names(&text), "key opened progress request");
    assert_eq!(names(&text["progress"]), "issue progress");
    assert_eq!(names(&text["progress"]["issue"]), "agent approval at epoch jti life");
    let outcome = serde_json::to_string(&Outcome::NotSent { why: NotSent::HoldExpired }).unwrap();
    assert_eq!(outcome, r#"{"outcome":"notSent","why":"holdExpired"}"#);
}

pub(super) fn attributes() -> Attributes {
    let identity = Identity {
        pod: PodIdentity {
            cluster: "prod".to_owned(),
            namespace: "ci".to_owned(),
            service_account: "runner".to_owned(),
            pod: "runner-1".to_owned(),
            pod_uid: "u".to_owned(),
        },
        ci: None,
        expires: Timestamp(u64::MAX),
    };
    let uri = "/api/v1/namespaces/shop/pods/p".parse().unwrap();
    let request = Request::parse(&http::Method::DELETE, &uri, &http::HeaderMap::new(), bytes::Bytes::new()).unwrap();
    Attributes::new(identity, key(1, 1).operation, session(1), request)
}

/// The only way from a hold to `Allowed`: a claim on that hold, by that operation, for that request and object.
#[test]
fn a_hold_is_left_by_its_own_claim_only() {
    let (hold, operation) = open(1);
    let approved = yes(&hold, "1", T0).unwrap();
    let claim = |change: fn(&mut Claimed)| {
        let Decision::Hold(held) = attributes().decide(verdict(Effect::Hold, Some(terms(1)))) else {
            panic!("not held");
        };
        let Progress::Waiting { bound } = operation.progress() else {
            panic!("not waiting");
        };
        let step = spend(&approved, &operation, fine(&approved), new_issue(1), T0).unwrap();
        let Go { mut claimed, issued } = step.effects.assert_durable();
        change(&mut claimed);
        held.bind(bound.clone()).claim(claimed).map(|allowed| {
            assert_eq!(allowed.group(), Group::Approved);
            assert_eq!(allowed.approval().map(|approval| approval.approval), Some(approval_id(1)));
            assert!(issued.is_for(&allowed));
            let plain = operation_of(key(1, 1)).issue(new_issue(1), T0).unwrap();
            assert!(!plain.effects.assert_durable().is_for(&allowed), "a grant without the approval");
        })
    };
    assert_eq!(claim(|_| {}), Ok(()));
    assert_eq!(claim(|claimed| claimed.operation = key(1, 2)), Err(ClaimError::Operation));
    assert_eq!(claim(|claimed| claimed.hold = shared::ids::HoldId::new(uuid::Uuid::nil())), Err(ClaimError::Hold));
    assert_eq!(claim(|claimed| claimed.intent = digest("another")), Err(ClaimError::Intent));
    assert_eq!(claim(|claimed| claimed.pin = pin("2")), Err(ClaimError::Pin));
}

/// What policy answers by itself has an outcome like all else, and only before anything else became of it.
#[test]
fn answered_here_ends_what_is_only_on_record() {
    let recorded = operation(key(1, 1));
    let over = recorded.answered_here(201, T0).unwrap().state;
    assert_eq!(over.outcome(), Some(Outcome::Ok { status: 201 }));
    assert_eq!(over.issue_on_record(), None);
    let (_, waiting) = open(1);
    let issued = recorded.issue(new_issue(1), T0).unwrap().state;
    let returned = issued.answered(jti(1), Answer::NeverSpent, T0).unwrap().state;
    for other in [waiting, issued, returned, over] {
        let unfit = OperationError::Progress { progress: other.progress().as_str() };
        assert_eq!(other.answered_here(201, T0).map(|step| step.state), Err(unfit));
    }
}

/// A process that was about to send, and does not, ends the operation under its own grant, and nobody else's.
#[test]
fn what_is_not_sent_after_all_is_given_up() {
    let left = Some(Outcome::NotSent { why: NotSent::ClientLeft });
    let recorded = operation(key(1, 1));
    let (_, waiting) = open(1);
    let issued = recorded.issue(new_issue(1), T0).unwrap().state;
    // The transaction that issues may have failed, or not have been heard of.
    for progress in [&recorded, &waiting, &issued] {
        let over = progress.given_up(jti(1), NotSent::ClientLeft, T0).unwrap().state;
        assert_eq!(over.outcome(), left);
        assert!(over.given_up(jti(1), NotSent::ClientLeft, T0).is_err());
    }
    let other = issued.given_up(jti(2), NotSent::ClientLeft, T0).map(|step| step.state);
    assert_eq!(other, Err(OperationError::OtherGrant));
}

/// Policy may hold today what it let through before; an approval that was spent is another matter.
#[test]
fn what_came_back_unspent_may_have_to_wait() {
    let (hold, waiting) = open(1);
    let bound = |operation: OperationKey| match hold.join(&candidate(operation), T0) {
        Join::Wait(bound) => bound,
        other @ (Join::Not | Join::Denied | Join::Replace) => panic!("{other:?}"),
    };
    let plain = operation(key(1, 2)).issue(new_issue(1), T0).unwrap().state;
    let returned = plain.answered(jti(1), Answer::NeverSpent, T0).unwrap().state;
    assert_eq!(returned.wait(bound(key(1, 2))).unwrap().progress().as_str(), "waiting");
    let spent = spend_at(&yes(&hold, "1", T0).unwrap(), &waiting, T0).unwrap().operation;
    let returned = spent.answered(jti(1), Answer::NeverSpent, T0).unwrap().state;
    let unfit = OperationError::Progress { progress: "returned" };
    assert_eq!(returned.wait(bound(key(1, 1))), Err(unfit));
}
