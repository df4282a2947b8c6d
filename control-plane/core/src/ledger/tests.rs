use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const E1: Epoch = Epoch::new([1; 32]);
const E2: Epoch = Epoch::new([2; 32]);
const OK: Outcome = Outcome::Ok { status: 201 };

fn jti(n: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(n))
}

fn ledger(entries: usize, epochs: usize) -> Ledger {
    let mut ledger = Ledger::new(Life(0));
    ledger.bounds = Bounds { entries, epochs };
    ledger
}

#[test]
fn a_grant_is_spent_once() {
    let mut ledger = ledger(10, 2);
    ledger.open_epoch(E1).unwrap();
    let spent = ledger.spend(E1, Life(1), jti(1)).unwrap();
    assert_eq!(ledger.spend(E1, Life(1), jti(1)), Err(SpendError::AlreadySpent));
    assert!(ledger.finish(spent.ticket(), OK));
    assert_eq!(ledger.spend(E1, Life(1), jti(1)), Err(SpendError::AlreadySpent));
}

#[test]
fn other_connections_and_lower_lives_are_refused() {
    let mut ledger = ledger(10, 2);
    ledger.open_epoch(E1).unwrap();
    assert_eq!(ledger.spend(E2, Life(3), jti(1)), Err(SpendError::EpochUnknown));
    assert_eq!(ledger.spend(E1, Life(2), jti(1)), Err(SpendError::LifeTooLow { seen: Life(3), got: Life(2) }));
    ledger.seal_epoch(E1);
    assert_eq!(ledger.spend(E1, Life(3), jti(1)), Err(SpendError::EpochSealed));
    assert_eq!(ledger.open_epoch(E1), Err(OpenError::Known));
}

#[test]
fn an_answer_seals_first_and_keeps_outcomes() {
    let mut ledger = ledger(10, 2);
    ledger.open_epoch(E1).unwrap();
    let done = ledger.spend(E1, Life(1), jti(1)).unwrap();
    let running = ledger.spend(E1, Life(1), jti(2)).unwrap();
    ledger.finish(done.ticket(), OK);
    assert_eq!(ledger.answer(E1, jti(1)), Answer::Spent { outcome: Some(OK) });
    assert_eq!(ledger.answer(E1, jti(2)), Answer::Spent { outcome: None });
    assert_eq!(ledger.answer(E1, jti(3)), Answer::NeverSpent);
    assert_eq!(ledger.spend(E1, Life(1), jti(3)), Err(SpendError::EpochSealed));
    ledger.finish(running.ticket(), OK);
    assert_eq!(ledger.answer(E1, jti(2)), Answer::Spent { outcome: Some(OK) });
    assert_eq!(ledger.answer(E2, jti(1)), Answer::NotKnown);
}

#[test]
fn the_first_outcome_stays() {
    let mut ledger = ledger(10, 2);
    ledger.open_epoch(E1).unwrap();
    let spent = ledger.spend(E1, Life(1), jti(1)).unwrap();
    assert!(ledger.finish(spent.ticket(), OK));
    assert!(!ledger.finish(spent.ticket(), Outcome::Error { status: 500 }));
    assert_eq!(ledger.answer(E1, jti(1)), Answer::Spent { outcome: Some(OK) });
}

#[test]
fn full_of_running_operations_refuses() {
    let mut ledger = ledger(2, 2);
    ledger.open_epoch(E1).unwrap();
    let first = ledger.spend(E1, Life(1), jti(1)).unwrap();
    let _second = ledger.spend(E1, Life(1), jti(2)).unwrap();
    assert_eq!(ledger.spend(E1, Life(1), jti(3)), Err(SpendError::Full));
    ledger.finish(first.ticket(), OK);
    let _third = ledger.spend(E1, Life(1), jti(3)).unwrap();
    assert_eq!(ledger.spend(E1, Life(1), jti(1)), Err(SpendError::TooOld), "forgotten, yet never again");
    assert_eq!(ledger.answer(E1, jti(1)), Answer::NotKnown);
}

#[test]
fn sealed_epochs_are_bounded() {
    let mut ledger = ledger(4, 2);
    for n in 0..50u8 {
        let epoch = Epoch::new([n; 32]);
        ledger.open_epoch(epoch).unwrap();
        for id in 0..3 {
            let spent = ledger.spend(epoch, Life(1), jti(id)).unwrap();
            ledger.finish(spent.ticket(), OK);
        }
        ledger.seal_epoch(epoch);
        assert!(ledger.sealed.iter().map(|(_, entries)| entries.len()).sum::<usize>() <= 4);
        assert!(ledger.sealed.len() <= 2);
        assert_eq!(ledger.answer(epoch, jti(1)), Answer::Spent { outcome: Some(OK) });
    }
    let fresh = |n: u8| Epoch::new([n; 32]);
    ledger.open_epoch(fresh(100)).unwrap();
    ledger.open_epoch(fresh(101)).unwrap();
    assert_eq!(ledger.open_epoch(fresh(102)), Err(OpenError::Full));
}

#[test]
fn lease_names_are_stable_dns_names() {
    let name = spent_lease_name(ApprovalId::new(Uuid::from_u128(1)));
    assert_eq!(name.len(), 70);
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    assert_ne!(name, spent_lease_name(ApprovalId::new(Uuid::from_u128(2))));
    // Agents of different versions must agree on it.
    assert_eq!(name, "spent-12ec88a49349b0e9929566202282c389a1468dc647bef6cceab5aa9e4b0fdd0b");
}

#[test]
fn epoch_text_round_trip() {
    assert_eq!(E1.to_string().parse(), Ok(E1));
    assert_eq!("AAAA".parse::<Epoch>(), Err(EpochError));
    assert_eq!(serde_json::from_str::<Epoch>(&serde_json::to_string(&E1).unwrap()).unwrap(), E1);
}

proptest! {
    /// Whatever is replayed in whatever order, with any bound: no id is accepted twice, and "never spent" is never said of one
    /// that was accepted, nor made false afterwards.
    #[test]
    fn never_twice(ids in prop::collection::vec((0u128..40, any::<bool>()), 0..300), entries in 1usize..12) {
        let mut ledger = ledger(entries, 2);
        ledger.open_epoch(E1).unwrap();
        let mut accepted = BTreeSet::new();
        for (id, finish) in ids {
            if let Ok(spent) = ledger.spend(E1, Life(1), jti(id)) {
                prop_assert!(accepted.insert(id));
                if finish {
                    ledger.finish(spent.ticket(), OK);
                }
            }
            prop_assert!(ledger.open.get(&E1).unwrap().len() <= entries);
        }
        for id in 0..40 {
            let answer = ledger.answer(E1, jti(id));
            prop_assert!(answer != Answer::NeverSpent || !accepted.contains(&id));
            prop_assert!(ledger.spend(E1, Life(1), jti(id)).is_err());
        }
    }
}
