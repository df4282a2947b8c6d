//! Work that takes much memory or long is done beside the one thread that serves everybody, and one after the other: answers that are read as a
//! whole, releases of helm's that are opened, writes that are large or need other objects than their own, searchers for values that are made. What
//! each of them may have ([`limits::ANSWER_TREE_BYTES`], [`limits::WRITE_TREE_BYTES`]) is more than half of an agent's memory.
//!
//! Who has the turn:
//! - an answer, for one piece of work. Whoever reads it polls for the result, and has the turn no longer than until he has it.
//! - a write, from when it is its turn until what is sent has been made. Meanwhile it may read further objects (of helm's); for the API server it
//!   waits until its grant's time is over, and no longer. Nobody who waits for a turn has anything that this read needs: of an answer that waits
//!   a stream's window is full, and not the connection's.
//! - a large request when it is checked, and a log's Secret when it is looked at. Neither waits for anything meanwhile.
//!
//! Who has it waits neither for another turn nor for room, of whatever kind.

use std::sync::Arc;

use shared::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns. Clones share them.
#[derive(Clone, Debug)]
pub struct Apart {
    turns: Arc<Semaphore>,
    /// Those who come with one piece of work queue among themselves first, so that a write waits for one of them, however many there are.
    pieces: Arc<Semaphore>,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// The work was not done: it panicked, or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work on it was broken off")]
pub struct BrokenOff;

impl Default for Apart {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(limits::APART_AT_ONCE));
        Self { turns: one(), pieces: one() }
    }
}

impl Apart {
    /// Waits for a turn.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub async fn turn(&self) -> Result<Turn, BrokenOff> {
        Arc::clone(&self.turns).acquire_owned().await.map(|_permit| Turn { _permit }).map_err(|_| BrokenOff)
    }

    /// Does one piece of work when it is its turn.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, BrokenOff> {
        let _first = Arc::clone(&self.pieces).acquire_owned().await.map_err(|_| BrokenOff)?;
        self.turn().await?.run(work).await.map(|(done, _)| done)
    }
}

impl Turn {
    /// Does the work. Its result comes with the turn, so that nobody else begins while nobody has taken it; left alone, work that has begun goes on
    /// to its end, and has the turn until then.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Self), BrokenOff> {
        tokio::task::spawn_blocking(move || (work(), self)).await.map_err(|_| BrokenOff)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Whether somebody else may begin.
    fn is_free(apart: &Apart) -> bool {
        Arc::clone(&apart.turns).try_acquire_owned().is_ok()
    }

    #[tokio::test]
    async fn a_turn_lasts_until_its_result_is_taken() {
        let apart = Apart::default();
        let (ended, end) = mpsc::channel::<()>();
        let mut work = Box::pin(apart.clone().run(move || drop(ended)));
        tokio::select! {
            biased;
            _ = &mut work => panic!("it was done on this thread"),
            () = std::future::ready(()) => {}
        }
        // The work is over, and its result lies there.
        assert!(end.recv().is_err());
        assert!(!is_free(&apart));
        work.await.unwrap();
        assert!(is_free(&apart));
    }

    #[tokio::test]
    async fn work_that_is_left_alone_has_its_turn_to_the_end() {
        let apart = Apart::default();
        let (open, opened) = mpsc::channel::<()>();
        let mut work = Box::pin(apart.clone().run(move || opened.recv().is_err()));
        tokio::select! {
            biased;
            _ = &mut work => panic!("it was done on this thread"),
            () = std::future::ready(()) => {}
        }
        drop(work);
        assert!(!is_free(&apart));
        drop(open);
        drop(apart.turn().await.unwrap());
        assert!(apart.clone().run::<()>(|| panic!("in the work")).await.is_err());
        assert!(is_free(&apart), "a panic gives it back");
    }
}
