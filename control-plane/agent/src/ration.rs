//! What answers tell of values that nobody is shown, a bit each, and how many of those anybody gets (SECURITY.md, windows).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::limits;

/// How many may still be given: so many in a row, and another one after each pause.
#[derive(Debug)]
pub struct Ration {
    most: u32,
    pause: Duration,
    taken: Mutex<Taken>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    /// Given and not yet forgotten.
    count: u32,
    /// When the last of them was forgotten, on the monotonic clock.
    forgotten: Duration,
}

impl Taken {
    fn forget(&mut self, pause: Duration, now: Duration) {
        let passed = now.saturating_sub(self.forgotten).as_secs() / pause.as_secs().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.count = self.count.saturating_sub(passed);
        self.forgotten = self.forgotten.saturating_add(pause.saturating_mul(passed));
    }
}

impl Ration {
    /// What approvers are told of a write.
    pub fn of_reviews() -> Self {
        Self { most: limits::REVIEWS, pause: limits::REVIEW_EVERY, taken: Mutex::default() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self, now: Duration) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.forget(self.pause, now);
        let left = taken.count < self.most;
        taken.count += u32::from(left);
        left
    }
}

/// Releases of helm's that were refused, by namespace: that one was tells that a guess in it is right.
#[derive(Debug, Default)]
pub struct RefusedReleases(Mutex<HashMap<String, Taken>>);

impl RefusedReleases {
    /// Whether another one may be judged there.
    pub(crate) fn has_room(&self, namespace: &str, now: Duration) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, taken| {
            taken.forget(limits::RELEASE_REFUSAL_EVERY, now);
            taken.count > 0
        });
        match all.get(namespace) {
            Some(taken) => taken.count < limits::RELEASE_REFUSALS,
            None => all.len() < limits::RELEASE_REFUSALS_NAMESPACES,
        }
    }

    /// One was refused.
    pub(crate) fn count(&self, namespace: &str, now: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(namespace.to_owned()).or_insert(Taken { count: 0, forgotten: now });
        taken.count = taken.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_rationed() {
        let ration = Ration::of_reviews();
        let at = |seconds: u64| Duration::from_secs(1_000_000 + seconds);
        let answered = |seconds, asked: u32| (0..asked).filter(|_| ration.take(at(seconds))).count();
        assert_eq!(answered(0, 1000), limits::REVIEWS as usize);
        assert_eq!(answered(0, 1000), 0);
        let ten = 10 * limits::REVIEW_EVERY.as_secs();
        assert_eq!(answered(ten, 1000), 10);
        assert_eq!(answered(ten, 1000), 0);
        assert_eq!(answered(1_000_000, 1000), limits::REVIEWS as usize);
    }

    #[test]
    fn refused_releases_are_rationed_by_namespace() {
        let refused = RefusedReleases::default();
        let pause = limits::RELEASE_REFUSAL_EVERY;
        let at = |pauses: u32| Duration::from_secs(1_000_000) + pause * pauses;
        let tried = |namespace: &str, now, often: u32| {
            let mut judged = 0;
            for _ in 0..often {
                if refused.has_room(namespace, now) {
                    refused.count(namespace, now);
                    judged += 1;
                }
            }
            judged
        };
        assert_eq!(tried("shop", at(0), 100), limits::RELEASE_REFUSALS);
        assert_eq!(tried("shop", at(0) + pause / 2, 100), 0);
        assert_eq!(tried("other", at(0), 100), limits::RELEASE_REFUSALS, "each has its own");
        assert_eq!(tried("shop", at(1), 100), 1);
        assert_eq!(tried("shop", at(100), 100), limits::RELEASE_REFUSALS);
        for namespace in 0..2 * limits::RELEASE_REFUSALS_NAMESPACES {
            tried(&format!("n-{namespace}"), at(100), 1);
        }
        assert!(!refused.has_room("one-more", at(100)) && refused.has_room("n-0", at(100)), "no room is no way round");
        assert!(refused.has_room("one-more", at(200)), "what is forgotten takes no room");
    }
}
