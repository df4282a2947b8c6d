//! Time as a thing that is handed in, so that tests can move it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use shared::time::Timestamp;
use tokio::sync::watch;

/// Tells the time. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant, born: Timestamp },
    Manual(Arc<Mutex<Manual>>, watch::Receiver<Duration>),
}

#[derive(Debug)]
struct Manual {
    born: Timestamp,
    start: Timestamp,
    elapsed: Duration,
}

impl Clock {
    /// The system's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now(), born: system_time() })
    }

    /// Wall clock. May jump; for records and token claims only.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => system_time(),
            Source::Manual(manual, _) => {
                let manual = manual.lock().unwrap_or_else(PoisonError::into_inner);
                manual.start.after(manual.elapsed)
            }
        }
    }

    /// Time since this clock was made; never goes back. For lifetimes and waits.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { origin, .. } => Instant::now().saturating_duration_since(*origin),
            Source::Manual(manual, _) => manual.lock().unwrap_or_else(PoisonError::into_inner).elapsed,
        }
    }

    /// The wall clock as it was when this clock was made, carried on by [`Self::monotonic`]: it does not jump. For times that are compared
    /// with one another and mean nothing to anybody else.
    pub fn steady(&self) -> Timestamp {
        let born = match &self.0 {
            Source::System { born, .. } => *born,
            Source::Manual(manual, _) => manual.lock().unwrap_or_else(PoisonError::into_inner).born,
        };
        born.after(self.monotonic())
    }

    /// Resolves after this long on this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Manual(_, ticks) => {
                let until = self.monotonic().saturating_add(duration);
                let mut ticks = ticks.clone();
                if ticks.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                    // Nobody can move this clock any more.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The hand that moves a clock in tests.
#[derive(Debug)]
pub struct ManualClock {
    manual: Arc<Mutex<Manual>>,
    ticks: watch::Sender<Duration>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            manual: Arc::new(Mutex::new(Manual { born: start, start, elapsed: Duration::ZERO })),
            ticks: watch::Sender::new(Duration::ZERO),
        }
    }

    /// What the code under test gets.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.manual), self.ticks.subscribe()))
    }

    /// Moves both wall clock and monotonic time.
    pub fn advance(&self, by: Duration) {
        let elapsed = {
            let mut manual = self.manual.lock().unwrap_or_else(PoisonError::into_inner);
            manual.elapsed = manual.elapsed.saturating_add(by);
            manual.elapsed
        };
        self.ticks.send_replace(elapsed);
    }

    /// Moves the wall clock alone, as an administrator or NTP would.
    pub fn jump(&self, to: Timestamp) {
        let mut manual = self.manual.lock().unwrap_or_else(PoisonError::into_inner);
        manual.start = Timestamp(to.0.saturating_sub(u64::try_from(manual.elapsed.as_millis()).unwrap_or(u64::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_only_by_hand() {
        let hand = ManualClock::new(Timestamp(1000));
        let clock = hand.clock();
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp(1000), Duration::ZERO));
        let sleeper = clock.sleep(Duration::from_secs(5));
        let mover = async {
            hand.advance(Duration::from_secs(4));
            hand.advance(Duration::from_secs(1));
        };
        tokio::join!(sleeper, mover);
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp(6000), Duration::from_secs(5)));
        hand.jump(Timestamp(100_000));
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp(100_000), Duration::from_secs(5)));
        assert_eq!(clock.steady(), Timestamp(6000), "a jump is no time that passed");
    }

    #[test]
    fn the_system_clock_is_of_this_century() {
        assert!(Clock::system().now() > Timestamp(1_700_000_000_000));
    }
}
