//! The scenarios. Each explores its whole space, and says which outcomes must be in it: a checker that never gets anywhere finds
//! nothing wrong. Then the mistakes, each of which must be found.

use super::*;
use crate::lifecycle::{NotSent, Unknown};

const HELD: Scenario = Scenario {
    held: true,
    operations: 1,
    denial: false,
    starts: 1,
    overlap: true,
    cuts: true,
    gives_up: true,
    agent_crashes: 0,
    connections: 2,
    grants: 2,
    times: &[0],
    restore: None,
    mutation: None,
    bound: 200_000,
};
const PLAIN: Scenario = Scenario { held: false, ..HELD };
/// For mistakes that run something twice: with the wrong end that is written although the first run happened, fewer steps would do.
const PATIENT: Scenario = Scenario { gives_up: false, ..PLAIN };
const RESTORED: Scenario = Scenario { starts: 2, overlap: false, cuts: false, ..HELD };

const OK: Outcome = Outcome::Ok { status: 201 };
const FORGOT: Outcome = Outcome::Unknown { why: Unknown::AgentForgot };

const fn not_sent(why: NotSent) -> Outcome {
    Outcome::NotSent { why }
}

fn holds(name: &str, scenario: Scenario, must_occur: &[Outcome]) {
    let mut model = Model::new(scenario);
    match model.run() {
        Ok(Seen { states, transitions, depth }) => {
            println!("{name}: {states} states, {transitions} transitions, {depth} deep, nothing wrong");
        }
        Err(broken) => panic!("{name}: {}\n  {}", broken.what, broken.trace.join("\n  ")),
    }
    for outcome in must_occur {
        let occurs = model.outcomes.iter().any(|(_, seen)| seen == outcome);
        assert!(occurs, "{name}: never ended as {outcome}: {:?}", model.outcomes);
    }
}

#[test]
fn approved_through_two_overlapping_lives_and_an_agent_crash() {
    holds("two lives", Scenario { starts: 2, agent_crashes: 1, ..HELD }, &[OK, FORGOT]);
}

/// All kinds of faults at once, as far as seconds allow; `deep` goes further.
#[test]
fn two_sessions_through_two_lives_and_an_agent_crash() {
    let scenario = Scenario {
        operations: 2,
        starts: 2,
        agent_crashes: 1,
        denial: true,
        overlap: false,
        cuts: false,
        bound: 400_000,
        ..HELD
    };
    let ends =
        [OK, FORGOT, not_sent(NotSent::HoldDenied), not_sent(NotSent::ApprovalUsed), not_sent(NotSent::ClientLeft)];
    holds("two sessions, two lives, agent crash, in turn", scenario, &ends);
}

#[test]
fn approved_in_time_or_not_at_all() {
    let late = [OK, FORGOT, not_sent(NotSent::HoldExpired), not_sent(NotSent::AgentRefused)];
    holds("time", Scenario { times: &[0, 700, 10_000], ..HELD }, &late);
}

#[test]
fn two_sessions_share_one_approval() {
    let one_of_them = [OK, FORGOT, not_sent(NotSent::ApprovalUsed)];
    holds("two sessions", Scenario { operations: 2, ..HELD }, &one_of_them);
}

#[test]
fn denied_is_not_sent() {
    let scenario = Scenario { denial: true, operations: 2, starts: 2, connections: 1, grants: 1, ..HELD };
    holds("denial", scenario, &[OK, not_sent(NotSent::HoldDenied), not_sent(NotSent::ApprovalUsed)]);
}

#[test]
fn without_approval_once_through_two_lives_and_an_agent_crash() {
    holds("no approval", Scenario { starts: 2, agent_crashes: 1, ..PLAIN }, &[OK, FORGOT]);
}

#[test]
fn a_third_grant_after_two_that_were_never_spent() {
    let scenario =
        Scenario { starts: 2, agent_crashes: 1, connections: 3, grants: 3, overlap: false, cuts: false, ..PLAIN };
    holds("three grants", scenario, &[OK, FORGOT]);
}

/// The operator forgets `--restored`: the approval is protected by the cluster's own ledger.
#[test]
fn an_approval_runs_once_though_the_database_was_silently_restored() {
    let before = Outcome::Unknown { why: Unknown::SpentBefore };
    holds("silently restored", Scenario { restore: Some(Restored::Silently), ..RESTORED }, &[OK, before]);
}

#[test]
fn a_declared_restore_claims_nothing_and_runs_nothing_again() {
    let restored = Outcome::Unknown { why: Unknown::Restored };
    let scenario = Scenario { restore: Some(Restored::Copied), ..RESTORED };
    holds("restored", scenario, &[OK, restored]);
    holds("restored, no approval", Scenario { held: false, ..scenario }, &[OK, restored]);
}

/// Minutes in a debug build: `cargo test --release -p control-plane-core -- --ignored deep --nocapture`.
#[test]
#[ignore = "millions of states: for a release build, before a release"]
fn deep() {
    let bound = 20_000_000;
    let all = Scenario { starts: 2, agent_crashes: 1, operations: 2, bound, ..HELD };
    holds("two sessions, two lives, agent crash", all, &[OK, FORGOT]);
    holds("two lives, agent crash, time", Scenario { operations: 1, times: &[0, 700, 10_000], ..all }, &[OK, FORGOT]);
    holds(
        "no approval, three grants",
        Scenario { operations: 1, connections: 3, grants: 3, held: false, ..all },
        &[OK],
    );
    holds("no approval, two operations", Scenario { agent_crashes: 0, held: false, ..all }, &[OK]);
    let restored = Scenario { agent_crashes: 0, operations: 1, ..all };
    for restore in [Restored::Silently, Restored::Copied] {
        let scenario = Scenario { restore: Some(restore), ..restored };
        holds("restored", scenario, &[OK]);
        holds("restored, no approval", Scenario { held: false, starts: 3, ..scenario }, &[OK]);
        holds(
            "restored, three grants",
            Scenario { cuts: false, overlap: false, starts: 3, connections: 3, grants: 3, ..scenario },
            &[OK],
        );
    }
}

#[track_caller]
fn finds(mutation: Mutation, expected: &str, scenario: Scenario) {
    let mut model = Model::new(Scenario { mutation: Some(mutation), ..scenario });
    match model.run() {
        Ok(seen) => panic!("{mutation:?} was not found: {seen:?}"),
        Err(Broken { what, trace }) => {
            println!("{mutation:?}: {what}, in {} steps:\n  {}", trace.len(), trace.join("\n  "));
            assert!(what.contains(expected), "{mutation:?} was found as {what:?}, not as {expected:?}");
        }
    }
}

#[test]
fn effects_before_durable_are_found() {
    finds(Mutation::EffectsBeforeDurable, "ran before its record was durable", PLAIN);
    finds(Mutation::EffectsBeforeDurable, "ran before its approval was durable", HELD);
}

#[test]
fn mistakes_with_the_lease_are_found() {
    let silent = Scenario { restore: Some(Restored::Silently), gives_up: false, ..RESTORED };
    finds(Mutation::NoLease, "an approval ran twice", silent);
    finds(Mutation::LeaseConflictIgnored, "an approval ran twice", silent);
    finds(Mutation::LeaseDeletedEarly, "an approval ran twice", silent);
    let late = Scenario { times: &[0, 10_000], bound: 500_000, ..silent };
    finds(Mutation::ExpiryUnchecked, "an approval ran twice", late);
}

#[test]
fn mistakes_with_the_ledger_are_found() {
    finds(Mutation::SpendForgotten, "an operation ran twice", PLAIN);
    let wrong_end = "ended as not sent: the client left, and ran 1 times";
    finds(Mutation::AnswerWithoutSealing, "an operation ran twice", PATIENT);
    finds(Mutation::AnswerWithoutSealing, wrong_end, PLAIN);
    let crash = Scenario { agent_crashes: 1, ..PLAIN };
    finds(Mutation::FreshProcessAnswers, "an operation ran twice", Scenario { gives_up: false, ..crash });
    finds(Mutation::FreshProcessAnswers, wrong_end, crash);
}

#[test]
fn mistakes_after_a_crash_are_found() {
    finds(Mutation::UnknownIssuedAgain, "an operation ran twice", PATIENT);
    finds(Mutation::LostIsUnsent, "an operation ran twice", PATIENT);
    finds(Mutation::NoQuestions, "is forgotten: issued", PLAIN);
    finds(Mutation::OutcomeReplaced, "an outcome changed", Scenario { starts: 2, ..PLAIN });
}

#[test]
fn mistakes_around_the_transactions_are_found() {
    finds(Mutation::WaitersForgotten, "waits on a hold that is over", Scenario { denial: true, ..HELD });
    finds(Mutation::LeavingForgotten, "is forgotten: issued", HELD);
    finds(Mutation::LeavingForgotten, "is forgotten: issued", PLAIN);
}

#[test]
fn an_asker_who_may_vote_is_found() {
    finds(Mutation::AskerNotMapped, "the asker's vote counted", HELD);
}
