//! The one writer: a thread with group commit.
//!
//! Callers hand in a closure that runs inside the next transaction. A *durable* write answers after the commit reached the disk
//! (`synchronous=FULL`); a *lazy* one is on disk within [`limits::READ_RECORD_LAG`]. A closure that fails rolls back to its own
//! savepoint and leaves the others alone; a commit that fails is everybody's failure, and nothing is forwarded on its strength.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Thread;

use rusqlite::{Connection, TransactionBehavior};
use shared::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::StoreError;

/// Runs in the transaction; gives back what to do once the commit's fate is known, or `None` if it failed and must be undone.
type Job = Box<dyn FnOnce(&Connection) -> Option<Finish> + Send>;
type Finish = Box<dyn FnOnce(bool) + Send>;

struct Command {
    job: Job,
    /// Somebody waits for the disk.
    hurry: bool,
    /// Held until the commit, so that the queue is bounded by [`limits::RECORD_QUEUE`].
    permit: OwnedSemaphorePermit,
}

/// Handle to the writer thread. When the last one is dropped the thread finishes its queue and ends.
#[derive(Clone)]
pub(crate) struct Writer {
    commands: Sender<Command>,
    /// Woken for what somebody waits for. A lazy write wakes nobody but a writer that has nothing at all to do, for that
    /// would cost each read a turn of the processor.
    thread: Thread,
    permits: Arc<Semaphore>,
    healthy: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread on a connection that is set up already.
    pub(crate) fn start(connection: Connection) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (commands, queue) = channel();
        let healthy = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&healthy);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(connection, &queue, &flag))?;
        let permits = Arc::new(Semaphore::new(limits::RECORD_QUEUE));
        Ok((Self { commands, thread: thread.thread().clone(), permits, healthy }, thread))
    }

    /// Whether the last commit succeeded.
    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Runs `f` in the next transaction and answers when that is on disk.
    pub(crate) async fn durable<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.written(f, true).await
    }

    /// The same for what nobody waits for but its own end: it hurries no commit, and costs those who wait none.
    pub(crate) async fn unhurried<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.written(f, false).await
    }

    async fn written<T, F>(&self, f: F, hurry: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| match f(connection) {
            Ok(value) => Some(Box::new(move |committed| {
                // The caller may have gone; what it asked for is on disk all the same.
                drop(reply.send(if committed { Ok(value) } else { Err(StoreError::Unavailable) }));
            })),
            Err(error) => {
                drop(reply.send(Err(error)));
                None
            }
        });
        self.send(job, hurry).await?;
        tokio::time::timeout(limits::RECORD_WAIT, answer)
            .await
            .map_err(|_| StoreError::Slow)?
            .map_err(|_| StoreError::Unavailable)?
    }

    /// Queues `f`; it is on disk within [`limits::READ_RECORD_LAG`]. Refused at once while the store can't write.
    pub(crate) async fn lazy<F>(&self, f: F) -> Result<(), StoreError>
    where
        F: FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    {
        if !self.is_healthy() {
            return Err(StoreError::Unavailable);
        }
        let job: Job = Box::new(move |connection| match f(connection) {
            Ok(()) => Some(Box::new(|_| {})),
            Err(error) => {
                tracing::error!(error = %shared::chain::Chain(&error), "a lazy record could not be written");
                None
            }
        });
        self.send(job, false).await
    }

    async fn send(&self, job: Job, hurry: bool) -> Result<(), StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = tokio::time::timeout(limits::RECORD_WAIT, permits.acquire_owned())
            .await
            .map_err(|_| StoreError::Slow)?
            .map_err(|_| StoreError::Unavailable)?;
        self.commands.send(Command { job, hurry, permit }).map_err(|_| StoreError::Unavailable)?;
        if hurry || self.permits.available_permits() < limits::RECORD_QUEUE / 2 {
            self.thread.unpark();
        }
        Ok(())
    }
}

fn run(mut connection: Connection, queue: &Receiver<Command>, healthy: &AtomicBool) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        gather(queue, &mut batch);
        commit(&mut connection, batch, healthy);
    }
}

/// Takes what waits; while nobody waits for the disk, sleeps for a moment first, so that reads share a commit.
fn gather(queue: &Receiver<Command>, batch: &mut Vec<Command>) {
    // Twice: being woken for nothing (an `unpark` of the batch before) must not cut the wait to zero.
    const NAPS: u32 = 2;
    let mut naps_left = NAPS;
    while batch.len() < limits::RECORD_BATCH {
        match queue.try_recv() {
            Ok(command) => batch.push(command),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                if naps_left == 0 || batch.iter().any(|command| command.hurry) {
                    return;
                }
                naps_left -= 1;
                std::thread::park_timeout(limits::READ_RECORD_LAG / (4 * NAPS));
            }
        }
    }
}

fn commit(connection: &mut Connection, batch: Vec<Command>, healthy: &AtomicBool) {
    let mut finishes = Vec::with_capacity(batch.len());
    let mut permits = Vec::with_capacity(batch.len());
    let result = transact(connection, batch, &mut finishes, &mut permits);
    let committed = result.is_ok();
    if let Err(error) = result {
        tracing::error!(%error, "a commit failed; no operation is forwarded until one succeeds");
    }
    if healthy.swap(committed, Ordering::Relaxed) != committed && committed {
        tracing::info!("the store writes again");
    }
    for finish in finishes {
        finish(committed);
    }
}

fn transact(
    connection: &mut Connection,
    batch: Vec<Command>,
    finishes: &mut Vec<Finish>,
    permits: &mut Vec<OwnedSemaphorePermit>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for Command { job, hurry: _, permit } in batch {
        permits.push(permit);
        transaction.prepare_cached("SAVEPOINT one")?.execute([])?;
        match job(&transaction) {
            Some(finish) => finishes.push(finish),
            None => transaction.prepare_cached("ROLLBACK TO one")?.execute([]).map(drop)?,
        }
        transaction.prepare_cached("RELEASE one")?.execute([])?;
    }
    transaction.commit()
}
