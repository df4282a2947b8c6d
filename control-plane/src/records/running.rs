//! Which operations have a log in this process. One that is under way in the store and is not among them has lost its runner, and needs
//! somebody to settle it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::lifecycle::OperationKey;

/// The operations that are carried out or waited for here, as many as there are sessions' operations under way.
#[derive(Clone, Default)]
pub struct Runs(Arc<Mutex<HashMap<OperationKey, usize>>>);

/// One of them, until it is dropped.
pub(crate) struct Run {
    runs: Runs,
    key: OperationKey,
}

impl Runs {
    /// A repetition may open its log before that of the first try is closed.
    pub(crate) fn add(&self, key: OperationKey) -> Run {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        Run { runs: self.clone(), key }
    }

    /// Whether the operation has a log.
    pub(crate) fn has(&self, key: OperationKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut runs = self.runs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = runs.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                runs.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_runs_until_its_last_log_is_gone() {
        let key = OperationKey {
            session: shared::ids::SessionId::new(uuid::Uuid::nil()),
            operation: shared::ids::OperationId::new(uuid::Uuid::nil()),
        };
        let runs = Runs::default();
        let (first, second) = (runs.add(key), runs.add(key));
        drop(first);
        assert!(runs.has(key));
        drop(second);
        assert!(!runs.has(key));
    }
}
