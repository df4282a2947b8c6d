//! Each start of the control plane is a life of its database, on disk before anything else happens.

use control_plane_core::lifecycle::{HoldRecord, Life, Lives, VoidReason};
use rusqlite::{Connection, Transaction, params};
use shared::time::Timestamp;

use super::StoreError;
use super::holds::HoldTransaction;
use super::operations;
use super::seal::SealingKey;
use super::sessions::ms;

/// Why the control plane starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// On the newest database, or a new one.
    Ordinary,
    /// On a backup, as the operator says (`serve --restored`). What was going on in it is void: it may have gone on without it.
    Restored,
}

const SESSION_RESTORED: &str = "the control plane was restored from a backup; start the job again";
const TOKEN_RESTORED: &str = "the control plane was restored from a backup";
const OPERATION_RESTORED: &str = "the database was restored from a backup, so nobody knows what became of it";

/// Begins a life.
pub(super) fn begin(c: &mut Connection, seal: &SealingKey, how: Start, now: Timestamp) -> Result<Lives, StoreError> {
    let transaction = c.transaction()?;
    let text: String = transaction.query_row("SELECT value FROM meta WHERE key = 'lives'", [], |row| row.get(0))?;
    let before: Lives = serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("an unreadable list of lives"))?;
    let lives = match how {
        Start::Ordinary => before.start(now),
        Start::Restored => {
            void(&transaction, seal, now)?;
            before.restore(now)
        }
    };
    let text = serde_json::to_string(&lives).map_err(|_| StoreError::Corrupt("an unwritable list of lives"))?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'lives'", [text])?;
    transaction.commit()?;
    Ok(lives)
}

/// Ends every hold, operation, session and unspent enrolment token of a backup.
fn void(transaction: &Transaction<'_>, seal: &SealingKey, now: Timestamp) -> Result<(), StoreError> {
    let changes = HoldTransaction::new(transaction, seal);
    let mut holds: u32 = 0;
    for hold in live_holds(transaction)? {
        if let Some(step) = hold.void(VoidReason::Restored, now) {
            changes.save_hold(&step.state)?;
            holds = holds.saturating_add(1);
        }
    }
    let open = operations::open(transaction)?;
    for row in &open {
        match &row.record {
            Some(record) => {
                if let Some(step) = record.restored(now) {
                    changes.end_operation(&step.state, 0, OPERATION_RESTORED, now)?;
                }
            }
            None => operations::lose(transaction, row, OPERATION_RESTORED, now)?,
        }
    }
    let sql = "UPDATE sessions SET closed = ?1, closed_why = ?2 WHERE closed IS NULL";
    let sessions = transaction.execute(sql, params![ms(now), SESSION_RESTORED])?;
    // A token of the backup may have been spent since.
    let sql = "UPDATE enrolments SET ended = ?1, ended_why = ?2 WHERE enrolled IS NULL AND ended IS NULL";
    transaction.execute(sql, params![ms(now), TOKEN_RESTORED])?;
    tracing::warn!(holds, operations = open.len(), sessions, "restored from a backup: what was open in it is void");
    Ok(())
}

fn live_holds(c: &Connection) -> Result<Vec<HoldRecord>, StoreError> {
    let mut statement = c.prepare("SELECT state FROM holds WHERE phase IN ('waiting', 'approved')")?;
    let texts = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let parsed = texts.iter().map(|text| serde_json::from_str(text));
    parsed.collect::<Result<_, _>>().map_err(|_| StoreError::Corrupt("an unreadable hold"))
}

impl super::Store {
    /// The life of this process. Agents refuse a lower one than they have seen.
    pub fn life(&self) -> Life {
        self.lives.current()
    }

    /// Every life of this database.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }
}
