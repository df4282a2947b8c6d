//! What Sallyport remembers: sessions, operations, holds, grants, rejected attempts. SQLite in WAL mode, one writer, group commit.
//!
//! Callers speak the domain's words; the SQL stays below this folder, so that another engine can stand beside this one.

mod closing;
mod enrolments;
mod holds;
mod lives;

mod operations;
mod reads;
mod rejected;
mod seal;
mod sessions;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::lifecycle::Lives;
pub use enrolments::{AskedFor, Enrolled, EnrolmentRow, NewEnrolment, PinnedCluster, Spending};
pub use holds::{HoldRow, HoldTransaction};
pub use lives::Start;
use rusqlite::{Connection, OpenFlags};
use shared::time::Timestamp;

pub use operations::{Closing, Filter, OpenOperation, Opened, Opening, OperationRow, RUNNER, Response};
pub use reads::OpenRead;
pub use rejected::{Rejected, RejectedRow};
pub use seal::SealingKey;
pub use sessions::{OpenedSession, Renewed, SessionRow, Shown};

use writer::Writer;

/// Migrations: entry `n` takes the database from `user_version` n to n + 1.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("enrolments.sql")];
/// Connections for reading at once; more readers wait.
const READERS: usize = 4;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, read-only or gone; or the process is ending.
    #[error("the store can't write")]
    Unavailable,
    /// The queue or the disk took longer than the bound.
    #[error("the store is too slow")]
    Slow,
    /// SQLite said no.
    #[error("the database refused")]
    Sqlite(#[source] rusqlite::Error),
    /// A row holds what this version can't read.
    #[error("the database holds {0}, which this version can't read")]
    Corrupt(&'static str),
    /// The database is from a newer version.
    #[error("the database has schema version {found}; this program knows {known}; use the newer program")]
    TooNew {
        /// `user_version` in the file.
        found: i64,
        /// What we know.
        known: i64,
    },
    /// Another process has it.
    #[error("another control plane works on {0}; one database has one control plane")]
    InUse(String),
    /// A file or folder could not be used.
    #[error("{path} can't be used")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Room of a file system, in bytes.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Space {
    /// What is free.
    pub free: u64,
    /// All there is.
    pub all: u64,
}

/// Handle to the store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    seal: Arc<SealingKey>,
    lives: Arc<Lives>,
    folder: Arc<Path>,
    /// Held as long as the process lives, by whoever opened the store last.
    _lock: Arc<File>,
}

struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: tokio::sync::Semaphore,
}

impl Store {
    /// Opens or creates the database in `folder`, migrates it, and begins a life.
    pub fn open(folder: &Path, how: Start, now: Timestamp) -> Result<(Self, std::thread::JoinHandle<()>), StoreError> {
        let path = folder.join("sallyport.db");
        let file_error = |source| StoreError::File { path: path.display().to_string(), source };
        std::fs::create_dir_all(folder).map_err(file_error)?;
        let lock = lock(folder)?;
        let seal = SealingKey::load_or_create(&folder.join("seal.key")).map_err(file_error)?;
        let mut connection = Connection::open(&path)?;
        configure(&connection)?;
        migrate(&mut connection)?;
        let lives = lives::begin(&mut connection, &seal, how, now)?;
        let idle = (0..READERS).map(|_| open_reader(&path)).collect::<Result<Vec<_>, _>>()?;
        let (writer, thread) = Writer::start(connection).map_err(file_error)?;
        let readers = Readers { idle: Mutex::new(idle), permits: tokio::sync::Semaphore::new(READERS) };
        let (readers, seal, lives, lock) = (Arc::new(readers), Arc::new(seal), Arc::new(lives), Arc::new(lock));
        Ok((Self { writer, readers, seal, lives, folder: folder.into(), _lock: lock }, thread))
    }

    /// Seals and opens the keys of digests.
    pub fn seal(&self) -> &SealingKey {
        &self.seal
    }

    /// Whether the last commit succeeded.
    pub fn is_writable(&self) -> bool {
        self.writer.is_healthy()
    }

    /// Bytes that are free for us where the database is, and of how many; `None` where the file system does not say.
    pub fn space(&self) -> Option<Space> {
        let said = rustix::fs::statvfs(&*self.folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(said.f_frsize);
        Some(Space { free: bytes(said.f_bavail), all: bytes(said.f_blocks) })
    }

    /// Tries a durable write, so that a store whose disk has space again is found to be healthy.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.writer.durable(|c| Ok(c.execute("UPDATE meta SET value = value WHERE key = 'probe'", []).map(drop)?)).await
    }

    /// Runs a query on a reader connection, off the runtime's threads.
    pub(crate) async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let _permit = self.readers.permits.acquire().await.map_err(|_| StoreError::Unavailable)?;
        tokio::task::spawn_blocking(move || {
            let connection = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = connection.ok_or(StoreError::Unavailable)?;
            let result = f(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
        .map_err(|_| StoreError::Unavailable)?
    }
}

/// Locks the folder for this process. The kernel lets go of it whatever way the process ends.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file_error = |source| StoreError::File { path: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.display().to_string())),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: an approved operation's record survives power loss; group commit pays for it.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(shared::limits::RECORD_WAIT)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, sql) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
