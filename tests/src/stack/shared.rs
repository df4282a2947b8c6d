//! One stack for all stories of a file that run at the same time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Stack;

/// Holds it as long as a story does; it ends with the last of them.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Weak<Stack>>);

impl Shared {
    /// Nobody has it yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// The one that runs, or a new one. A story that failed to start it has told why; the next one tries again.
    pub fn get(&self, start: impl FnOnce() -> Stack) -> Arc<Stack> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let stack = Arc::new(start());
            *shared = Arc::downgrade(&stack);
            stack
        })
    }
}
