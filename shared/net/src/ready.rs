//! Readiness as a set of guards: a process is ready when nobody holds one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the process still waits for. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, usize>>>);

/// Something that is not ready yet, or no longer; dropping it says that it is.
#[derive(Debug)]
#[must_use = "dropping it at once means ready"]
pub struct Pending {
    set: Readiness,
    name: &'static str,
}

impl Readiness {
    /// Nothing is waited for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready for this reason until the guard is dropped.
    pub fn wait_for(&self, name: &'static str) -> Pending {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting.entry(name).or_default() += 1;
        Pending { set: self.clone(), name }
    }

    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What is waited for, by name.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut waiting = self.set.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = waiting.get(self.name).copied().unwrap_or(1).saturating_sub(1);
        if left == 0 {
            waiting.remove(self.name);
        } else {
            waiting.insert(self.name, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_guard_is_gone() {
        let set = Readiness::new();
        assert!(set.is_ready());
        let (a, b, c) = (set.wait_for("a"), set.wait_for("b"), set.wait_for("a"));
        drop(a);
        assert_eq!(set.pending(), ["a", "b"]);
        drop((b, c));
        assert!(set.is_ready());
    }
}
