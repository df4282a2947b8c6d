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

/// Releases of helm's with placeholders, and Secrets with what a release shows, that nobody has approved, by namespace: what was judged, and
/// what was refused of it. That one was refused, or not, tells whether a guess in it is right.
#[derive(Debug, Default)]
pub struct JudgedReleases(Mutex<HashMap<String, Releases>>);

#[derive(Debug, Default)]
struct Releases {
    judged: Taken,
    refused: Taken,
}

impl JudgedReleases {
    /// Takes one for a release in this namespace, if there is one.
    pub(crate) fn take(&self, namespace: &str, now: Duration) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, releases| {
            releases.judged.forget(limits::RELEASE_JUDGED_EVERY, now);
            releases.refused.forget(limits::RELEASE_REFUSAL_EVERY, now);
            releases.judged.count > 0 || releases.refused.count > 0
        });
        if !all.contains_key(namespace) && all.len() >= limits::RELEASE_NAMESPACES {
            return false;
        }
        let start = Taken { count: 0, forgotten: now };
        let releases = all.entry(namespace.to_owned()).or_insert(Releases { judged: start, refused: start });
        let left = releases.judged.count < limits::RELEASES_JUDGED && releases.refused.count < limits::RELEASE_REFUSALS;
        releases.judged.count += u32::from(left);
        left
    }

    /// The one that was taken was refused.
    pub(crate) fn refused(&self, namespace: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(releases) = all.get_mut(namespace) {
            releases.refused.count = releases.refused.count.saturating_add(1);
        }
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
    fn releases_are_rationed_by_namespace() {
        let releases = JudgedReleases::default();
        let at = |seconds: u64| Duration::from_secs(1_000_000 + seconds);
        let day = limits::RELEASE_REFUSAL_EVERY.as_secs();
        let tried = |namespace: &str, seconds: u64, often: u32, is_refused: bool| {
            let judge = |_: &u32| {
                let judged = releases.take(namespace, at(seconds));
                if judged && is_refused {
                    releases.refused(namespace);
                }
                judged
            };
            u32::try_from((0..often).filter(judge).count()).unwrap()
        };
        assert_eq!(tried("shop", 0, 100, true), limits::RELEASE_REFUSALS);
        assert_eq!(tried("shop", day / 2, 100, false), 0, "whatever is in them");
        assert_eq!(tried("shop", day, 100, true), 1);
        assert_eq!(tried("shop", 100 * day, 100, true), limits::RELEASE_REFUSALS);
        assert_eq!(tried("other", 100 * day, 1000, false), limits::RELEASES_JUDGED, "each has its own");
        let minutes = 10 * limits::RELEASE_JUDGED_EVERY.as_secs();
        assert_eq!(tried("other", 100 * day + minutes, 1000, false), 10);
        for namespace in 0..2 * limits::RELEASE_NAMESPACES {
            tried(&format!("n-{namespace}"), 200 * day, 1, false);
        }
        assert_eq!(tried("one-more", 200 * day, 1, false), 0, "no room is no way round");
        assert_eq!(tried("n-0", 200 * day, 1, false), 1);
        assert_eq!(tried("one-more", 201 * day, 1, false), 1, "what is forgotten takes no room");
    }
}
