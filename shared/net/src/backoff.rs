//! When to try again to reach a control plane: exponential, with full jitter, so that a crowd does not come back as one; and never far apart
//! in the first minute after a loss, for then it is most likely being restarted.

use std::time::Duration;

use shared::limits;

use crate::crypto;

/// Counts attempts since the last success. Times are of a monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
    lost: Option<Duration>,
}

impl Backoff {
    /// There is what was wanted.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.lost = None;
    }

    /// It is lost, or an attempt failed.
    pub fn failed(&mut self, now: Duration) {
        if self.lost.is_some() {
            self.failures = self.failures.saturating_add(1);
        }
        self.lost.get_or_insert(now);
    }

    fn is_soon(&self, now: Duration) -> bool {
        self.lost.is_none_or(|lost| now.saturating_sub(lost) < limits::SOON)
    }

    /// Longest pause before the next attempt.
    pub fn ceiling(&self, now: Duration) -> Duration {
        let most = if self.is_soon(now) { limits::BACKOFF_SOON } else { limits::BACKOFF_MAX };
        limits::BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(most)
    }

    /// Longest handshake of the next attempt.
    pub fn patience(&self, now: Duration) -> Duration {
        let most = if self.is_soon(now) { limits::HANDSHAKE_SOON } else { limits::HANDSHAKE };
        limits::CONNECT_FIRST.saturating_mul(1 << self.failures.min(16)).min(most)
    }
}

/// Anything up to `ceiling`.
pub fn jitter(ceiling: Duration) -> Duration {
    let share = f64::from(u32::from_be_bytes(crypto::random())) / f64::from(u32::MAX);
    ceiling.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries until somebody is there, who comes back `outage` after the loss, and says how long after that he was met. An attempt fails at
    /// once (nobody's port, a session refused), or after all patience.
    fn met(outage: Duration, at_once: bool) -> Duration {
        let (mut backoff, mut now) = (Backoff::default(), Duration::ZERO);
        loop {
            backoff.failed(now);
            now += jitter(backoff.ceiling(now));
            if now >= outage {
                return now - outage;
            }
            now += if at_once { Duration::from_millis(1) } else { backoff.patience(now) };
        }
    }

    #[test]
    fn a_thousand_are_back_ten_seconds_after_a_restart() {
        for outage in [1, 3, 10, 30, 50].map(Duration::from_secs) {
            for at_once in [true, false] {
                let mut back: Vec<_> = (0..1000).map(|_| met(outage, at_once)).collect();
                back.sort();
                assert!(back[999] < Duration::from_secs(10), "{outage:?} {at_once}: {:?}", back[999]);
            }
        }
        // And not all in the same instant.
        let mut back: Vec<_> = (0..1000).map(|_| met(Duration::from_secs(10), true)).collect();
        back.sort();
        assert!(back[900] - back[100] > Duration::from_millis(500), "{:?}", back[900] - back[100]);
    }

    #[test]
    fn who_is_long_away_is_asked_for_seldom() {
        let mut backoff = Backoff::default();
        for second in 0..60 {
            backoff.failed(Duration::from_secs(second));
            assert!(backoff.ceiling(Duration::from_secs(second)) <= limits::BACKOFF_SOON);
        }
        assert_eq!(backoff.ceiling(Duration::from_secs(60)), limits::BACKOFF_MAX);
        assert_eq!(backoff.patience(Duration::from_secs(60)), limits::HANDSHAKE);
        backoff.succeeded();
        backoff.failed(Duration::from_secs(100));
        assert_eq!(backoff.ceiling(Duration::from_secs(100)), limits::BACKOFF_FIRST, "a new loss starts anew");
    }
}
