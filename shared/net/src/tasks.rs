//! Every task has a name, a span and an owner; a panic is logged and counted, and the panic of a core task ends the process.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// A handle to a family of tasks; clones are the same family. Cancelling one cancels its children too.
#[derive(Clone, Debug)]
pub struct TaskSet {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    alive: watch::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    panics: AtomicU64,
    fatal: watch::Sender<Option<&'static str>>,
}

impl Default for TaskSet {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskSet {
    /// A family of its own. Must be used inside a tokio runtime.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared { panics: AtomicU64::new(0), fatal: watch::Sender::new(None) }),
            cancel: CancellationToken::new(),
            alive: watch::Sender::new(()),
        }
    }

    /// A family that can be cancelled by itself, and is cancelled with this one. Panics count here.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), cancel: self.cancel.child_token(), alive: watch::Sender::new(()) }
    }

    /// Starts a task. A panic in it is logged and counted, and ends only this task.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.start(name, false, future);
    }

    /// Starts a task without which the process is of no use: its panic ends the process (see [`Self::fatal`]).
    pub fn spawn_core(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.start(name, true, future);
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    fn start(&self, name: &'static str, core: bool, future: impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let cancel = self.cancel.clone();
        let alive = self.alive.subscribe();
        let task = async move {
            let guarded = CatchUnwind(Box::pin(future));
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                result = guarded => {
                    if let Err(panic) = result {
                        shared.note_panic(name, core, &*panic);
                    }
                }
            }
            drop(alive);
        };
        // The handle is not needed: the family cancels by token and waits by `alive`.
        // The span is there for whoever looks for a fault; kept for each of a thousand exchanges a second it would cost as much as one.
        drop(tokio::spawn(task.instrument(tracing::debug_span!("task", name))));
    }

    /// Drops every task of this family and its children at its next await point.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Resolves when no task of this family (children not counted) is left.
    pub async fn wait(&self) {
        self.alive.closed().await;
    }

    /// Tasks of this family (children not counted) that run now.
    pub fn running(&self) -> usize {
        self.alive.receiver_count()
    }

    /// Panics so far, in this family and all that came from the same root.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Resolves with the name of a core task that panicked; `run` then ends the process.
    pub async fn fatal(&self) -> &'static str {
        let mut fatal = self.shared.fatal.subscribe();
        let name = fatal.wait_for(Option::is_some).await.map(|name| name.unwrap_or("unknown"));
        match name {
            Ok(name) => name,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Shared {
    fn note_panic(&self, name: &'static str, core: bool, panic: &(dyn Any + Send)) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no text)");
        tracing::error!(task = name, core, panic = text, "a task panicked");
        if core {
            self.fatal.send_replace(Some(name));
        }
    }
}

/// Cancels its family when dropped, so that tasks can't outlive the thing they serve.
#[derive(Debug)]
pub struct CancelOnDrop(pub TaskSet);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct CatchUnwind<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchUnwind<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Sound because a future that panicked is never polled again: the task ends.
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_a_core_panic_is_fatal() {
        let tasks = TaskSet::new();
        tasks.child().spawn("small", async { panic!("small") });
        tasks.spawn_core("big", async { panic!("big") });
        assert_eq!(tasks.fatal().await, "big");
        tasks.wait().await;
        tokio::task::yield_now().await;
        assert_eq!(tasks.panics(), 2);
    }

    #[tokio::test]
    async fn cancelling_a_child_leaves_the_parent() {
        let tasks = TaskSet::new();
        let child = tasks.child();
        tasks.spawn("stays", std::future::pending());
        child.spawn("goes", std::future::pending());
        drop(CancelOnDrop(child.clone()));
        child.wait().await;
        assert_eq!((tasks.running(), child.running()), (1, 0));
        tasks.cancel();
        tasks.wait().await;
    }
}
