//! Work that takes long, done beside the one thread that serves everybody, a few pieces at once: releases of helm's are opened and masked,
//! long documents are read. Whoever waits for a turn or for the work holds up nobody else.

use std::sync::Arc;

use shared::limits;
use tokio::sync::Semaphore;

/// The turns. Clones share them.
#[derive(Clone, Debug)]
pub struct Apart(Arc<Semaphore>);

/// The work was not done: it panicked, or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work on it was broken off")]
pub struct BrokenOff;

impl Default for Apart {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::MASK_APART_AT_ONCE)))
    }
}

impl Apart {
    /// Does the work when it is its turn. Left alone, work that has begun goes on to its end, in its turn.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, BrokenOff> {
        let turn = self.0.acquire_owned().await.map_err(|_| BrokenOff)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| BrokenOff)
    }
}
