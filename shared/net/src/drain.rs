//! Going away in order: stop taking, finish what runs, then close; with a deadline.
//!
//! Who must finish before the process ends keeps a [`Guard`]; dropping it says "done".

use std::time::Duration;

use tokio::sync::watch;

/// How much patience there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Take nothing new; finish what runs.
    Graceful,
    /// Drop everything.
    Immediate,
}

/// The side that says when.
#[derive(Debug)]
pub struct DrainTrigger {
    mode: watch::Sender<Option<Mode>>,
    guards: watch::Sender<()>,
}

/// The side that hears it. Holding one does not delay the drain; a [`Guard`] does.
#[derive(Clone, Debug)]
pub struct Drain {
    mode: watch::Receiver<Option<Mode>>,
    guards: watch::Sender<()>,
}

/// Work that must be finished: the drain is complete when every guard is gone.
#[derive(Clone, Debug)]
#[must_use = "dropping it at once delays nothing"]
pub struct Guard(#[expect(dead_code, reason = "counted by its sender")] watch::Receiver<()>);

/// A new pair.
pub fn channel() -> (DrainTrigger, Drain) {
    let (sender, mode) = watch::channel(None);
    let guards = watch::Sender::new(());
    let drain = Drain { mode, guards: guards.clone() };
    (DrainTrigger { mode: sender, guards }, drain)
}

impl DrainTrigger {
    /// Asks all to finish, waits for them up to `deadline`, then drops what is left. Returns whether all finished in time.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.mode.send_replace(Some(Mode::Graceful));
        let finished = tokio::time::timeout(deadline, self.guards.closed()).await.is_ok();
        if !finished {
            self.mode.send_replace(Some(Mode::Immediate));
        }
        finished
    }

    /// Tells without waiting.
    pub fn start(&self, mode: Mode) {
        self.mode.send_replace(Some(mode));
    }
}

impl Drain {
    /// Resolves when draining begins (or has begun). A trigger that is gone counts as immediate.
    pub async fn started(&mut self) -> Mode {
        match self.mode.wait_for(Option::is_some).await {
            Ok(mode) => mode.unwrap_or(Mode::Immediate),
            Err(_) => Mode::Immediate,
        }
    }

    /// Resolves when patience is over.
    pub async fn immediate(&mut self) {
        // An error means that the trigger is gone: nobody is left to wait for us.
        drop(self.mode.wait_for(|mode| *mode == Some(Mode::Immediate)).await);
    }

    /// Delays the drain (up to its deadline) until it is dropped.
    pub fn guard(&self) -> Guard {
        Guard(self.guards.subscribe())
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.mode.borrow().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_when_the_last_guard_is_gone() {
        let (trigger, mut drain) = channel();
        assert!(!drain.is_draining());
        let guard = drain.guard();
        let other = guard.clone();
        let all = trigger.drain(Duration::from_secs(60));
        let work = async {
            assert_eq!(drain.started().await, Mode::Graceful);
            drop((guard, other));
        };
        assert!(tokio::join!(all, work).0);
    }

    #[tokio::test(start_paused = true)]
    async fn loses_patience() {
        let (trigger, mut drain) = channel();
        let _guard = drain.guard();
        let mut late = drain.clone();
        assert!(!trigger.drain(Duration::from_secs(60)).await);
        assert_eq!(drain.started().await, Mode::Immediate);
        late.immediate().await;
    }
}
