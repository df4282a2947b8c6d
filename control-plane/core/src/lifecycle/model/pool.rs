//! Records are kept once and named by number, so that a state is small and cheap to hash.

use std::collections::HashMap;
use std::hash::Hash;

use shared::ids::ApprovalId;
use shared::time::Timestamp;

use crate::ledger::Ledger;
use crate::lifecycle::{
    ApprovalUse, HoldRecord, Issue, Lives, OperationKey, OperationRecord, Outcome, Phase, Progress,
};

/// Values by number. `K` tells them apart quickly; that it does is checked.
pub(super) struct Pool<T, K> {
    values: Vec<T>,
    index: HashMap<K, u16>,
    key: fn(&T) -> K,
}

impl<T: PartialEq + std::fmt::Debug, K: Hash + Eq> Pool<T, K> {
    fn new(key: fn(&T) -> K) -> Self {
        Self { values: Vec::new(), index: HashMap::new(), key }
    }

    pub(super) fn get(&self, number: u16) -> &T {
        &self.values[usize::from(number)]
    }

    pub(super) fn put(&mut self, value: T) -> u16 {
        let key = (self.key)(&value);
        if let Some(number) = self.index.get(&key) {
            assert_eq!(self.values[usize::from(*number)], value, "the key does not tell these apart");
            return *number;
        }
        let number = u16::try_from(self.values.len()).unwrap();
        self.values.push(value);
        self.index.insert(key, number);
        number
    }
}

/// What tells two records of one operation apart in this model.
type OperationId = (OperationKey, &'static str, Option<Issue>, Option<Outcome>, Option<ApprovalUse>, Option<Timestamp>);

fn operation_key(record: &OperationRecord) -> OperationId {
    let (issue, outcome, approval, at) = match record.progress() {
        Progress::Open | Progress::Waiting { .. } => (None, None, None, None),
        Progress::Issued { issue } => (Some(*issue), None, None, None),
        Progress::Returned { approval } => (None, None, *approval, None),
        Progress::Ended { outcome, at, issue } => (*issue, Some(*outcome), None, Some(*at)),
    };
    (record.key(), record.progress().as_str(), issue, outcome, approval, at)
}

/// What tells two holds of this model apart.
type HoldKey = (
    Timestamp,
    OperationKey,
    &'static str,
    Vec<(String, Timestamp)>,
    Option<Timestamp>,
    Option<ApprovalId>,
    Option<OperationKey>,
);

fn hold_key(hold: &HoldRecord) -> HoldKey {
    let votes = hold.votes().iter().map(|vote| (vote.subject.clone(), vote.at)).collect();
    let (at, approval, by) = match hold.phase() {
        Phase::Waiting { .. } => (None, None, None),
        Phase::Approved { at, approval, .. } => (Some(*at), Some(*approval), None),
        Phase::Spent { at, approval, by, .. } => (Some(*at), Some(*approval), Some(*by)),
        Phase::Expired { at, approval } => (Some(*at), *approval, None),
        Phase::Denied { at, .. } | Phase::Void { at, .. } => (Some(*at), None, None),
    };
    (hold.opened(), hold.opened_by(), hold.phase().as_str(), votes, at, approval, by)
}

pub(super) struct Pools {
    pub(super) holds: Pool<HoldRecord, HoldKey>,
    pub(super) operations: Pool<OperationRecord, OperationId>,
    pub(super) ledgers: Pool<Ledger, Ledger>,
    pub(super) lives: Pool<Lives, Lives>,
    pub(super) issues: Pool<Issue, Issue>,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            holds: Pool::new(hold_key),
            operations: Pool::new(operation_key),
            ledgers: Pool::new(Clone::clone),
            lives: Pool::new(Clone::clone),
            issues: Pool::new(|issue| *issue),
        }
    }
}
