//! Holds and the progress of operations: every change is one transaction around one function of `core::lifecycle`.

use control_plane_core::decision::Explanation;
use control_plane_core::digest::DigestKey;
use control_plane_core::identity::Asker;
use control_plane_core::lifecycle::{
    Answer, HoldRecord, Issued, NewIssue, OperationKey, OperationRecord, Places, Waiting,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use shared::ids::{GrantId, HoldId, SessionId};
use shared::time::Timestamp;

use super::operations::find;
use super::seal::SealingKey;
use super::sessions::ms;
use super::{OperationRow, Store, StoreError};

/// A hold as stored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldRow {
    /// The truth.
    #[serde(flatten)]
    pub record: HoldRecord,
    /// What approvers see of the request, masked.
    pub show: serde_json::Value,
    /// Sealed key of the intent digest.
    #[serde(skip)]
    pub digest_key: Vec<u8>,
}

/// The open transaction, in words of the domain.
pub struct HoldTransaction<'a> {
    connection: &'a Connection,
    seal: &'a SealingKey,
}

const COLUMNS: &str = "state, show, digest_key";
const UNWRITABLE: StoreError = StoreError::Corrupt("an unwritable record");

fn row(r: &Row<'_>) -> rusqlite::Result<HoldRow> {
    let bad = |index, error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error);
    let state: String = r.get(0)?;
    let show: String = r.get(1)?;
    Ok(HoldRow {
        record: serde_json::from_str(&state).map_err(|error| bad(0, Box::new(error)))?,
        show: serde_json::from_str(&show).map_err(|error| bad(1, Box::new(error)))?,
        digest_key: r.get(2)?,
    })
}

impl<'a> HoldTransaction<'a> {
    /// Speaks through an open transaction.
    pub(super) const fn new(connection: &'a Connection, seal: &'a SealingKey) -> Self {
        Self { connection, seal }
    }

    /// Holds of an asker that are live, or were denied a while ago, newest first, each with the key of its digest.
    pub fn holds_of(&self, asker: &Asker, since: Timestamp) -> Result<Vec<(HoldRecord, DigestKey)>, StoreError> {
        let asker = serde_json::to_string(asker).map_err(|_| UNWRITABLE)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM holds WHERE asker = ?1 AND (phase IN ('waiting', 'approved') OR (phase = 'denied' AND opened > ?2)) \
             ORDER BY seq DESC LIMIT 200"
        );
        let rows: Vec<HoldRow> = self
            .connection
            .prepare_cached(&sql)?
            .query_map(params![asker, ms(since)], row)?
            .collect::<Result<_, _>>()?;
        // A key that can't be opened belongs to a database that was moved without its seal: such a hold is joined by nobody.
        Ok(rows.into_iter().filter_map(|row| Some((row.record, self.seal.open(&row.digest_key)?))).collect())
    }

    /// How many holds wait or are approved and unused: of a session, of its asker, in all.
    pub fn waiting(&self, session: SessionId, asker: &Asker) -> Result<Waiting, StoreError> {
        let asker = serde_json::to_string(asker).map_err(|_| UNWRITABLE)?;
        let count = |which: &str, values: &[&dyn rusqlite::ToSql]| -> Result<Places, StoreError> {
            let sql =
                format!("SELECT count(*), min(deadline) FROM holds WHERE phase IN ('waiting', 'approved') {which}");
            let row = |r: &Row<'_>| Ok((r.get(0)?, r.get::<_, Option<i64>>(1)?));
            let (count, ends): (i64, _) = self.connection.prepare_cached(&sql)?.query_row(values, row)?;
            Ok(Places {
                taken: usize::try_from(count).unwrap_or(usize::MAX),
                first_ends: Timestamp(ends.and_then(|ends| u64::try_from(ends).ok()).unwrap_or(0)),
            })
        };
        let of_session = "AND asker = ?1 AND state ->> '$.openedBy.session' = ?2";
        Ok(Waiting {
            of_session: count(of_session, &[&asker, &session.to_string()])?,
            of_asker: count("AND asker = ?1", &[&asker])?,
            in_all: count("", &[])?,
        })
    }

    /// Writes a new hold.
    pub fn insert_hold(&self, hold: &HoldRecord, key: &DigestKey, show: &serde_json::Value) -> Result<(), StoreError> {
        let sql = "INSERT INTO holds (id, phase, deadline, asker, opened, state, digest_key, show) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.connection.prepare_cached(sql)?.execute(params![
            hold.id().uuid().as_bytes(),
            hold.phase().as_str(),
            ms(hold.deadline()),
            serde_json::to_string(hold.asker()).map_err(|_| UNWRITABLE)?,
            ms(hold.opened()),
            serde_json::to_string(hold).map_err(|_| UNWRITABLE)?,
            self.seal.seal(key),
            show.to_string()
        ])?;
        Ok(())
    }

    /// Writes a hold's new state.
    pub fn save_hold(&self, hold: &HoldRecord) -> Result<(), StoreError> {
        let sql = "UPDATE holds SET phase = ?2, state = ?3, deadline = ?4 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![
            hold.id().uuid().as_bytes(),
            hold.phase().as_str(),
            serde_json::to_string(hold).map_err(|_| UNWRITABLE)?,
            ms(hold.expires().unwrap_or_else(|| hold.deadline()))
        ])?;
        Ok(())
    }

    /// One hold.
    pub fn hold(&self, id: HoldId) -> Result<Option<HoldRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM holds WHERE id = ?1");
        let found = self.connection.prepare_cached(&sql)?.query_row(params![id.uuid().as_bytes()], row).optional()?;
        Ok(found.map(|row| row.record))
    }

    /// One operation's progress.
    pub fn operation(&self, key: OperationKey) -> Result<Option<OperationRecord>, StoreError> {
        Ok(find(self.connection, key.session, key.operation)?.and_then(|row| row.record))
    }

    /// Writes an operation's progress while it is under way.
    pub fn save_operation(&self, record: &OperationRecord, hold: Option<HoldId>) -> Result<(), StoreError> {
        let key = record.key();
        let sql = "UPDATE operations SET record = ?3, hold = coalesce(?4, hold) WHERE session = ?1 AND id = ?2";
        self.connection.prepare_cached(sql)?.execute(params![
            key.session.uuid().as_bytes(),
            key.operation.uuid().as_bytes(),
            serde_json::to_string(record).map_err(|_| UNWRITABLE)?,
            hold.map(|hold| *hold.uuid().as_bytes())
        ])?;
        Ok(())
    }

    /// Writes why an operation waits.
    pub fn explain(&self, key: OperationKey, e: &Explanation) -> Result<(), StoreError> {
        let sql =
            "UPDATE operations SET effect = ?3, rule = ?4, risk = ?5, explanation = ?6 WHERE session = ?1 AND id = ?2";
        self.connection.prepare_cached(sql)?.execute(params![
            key.session.uuid().as_bytes(),
            key.operation.uuid().as_bytes(),
            e.effect.as_str(),
            e.rule.to_string(),
            e.risk,
            serde_json::to_string(e).map_err(|_| UNWRITABLE)?
        ])?;
        Ok(())
    }

    /// Ends an operation that nobody waits for here: its new state says how.
    pub fn end_operation(
        &self,
        record: &OperationRecord,
        status: u16,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(outcome) = record.outcome() else { return Err(StoreError::Corrupt("an end without an outcome")) };
        let (key, issue) = (record.key(), record.issue_on_record());
        let sql = "UPDATE operations SET record = ?3, outcome = ?4, status = ?5, reason = ?6, closed = ?7, \
                   jti = coalesce(jti, ?8), agent = coalesce(agent, ?9) \
                   WHERE session = ?1 AND id = ?2 AND outcome IS NULL";
        self.connection.prepare_cached(sql)?.execute(params![
            key.session.uuid().as_bytes(),
            key.operation.uuid().as_bytes(),
            serde_json::to_string(record).map_err(|_| UNWRITABLE)?,
            serde_json::to_string(&outcome).map_err(|_| UNWRITABLE)?,
            status,
            reason,
            ms(at),
            issue.map(|issue| *issue.jti.uuid().as_bytes()),
            issue.map(|issue| *issue.agent.uuid().as_bytes())
        ])?;
        Ok(())
    }

    /// Holds whose time has come.
    pub fn due(&self, now: Timestamp) -> Result<Vec<HoldRecord>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM holds WHERE phase IN ('waiting', 'approved') AND deadline <= ?1 LIMIT 200");
        let rows: Vec<HoldRow> =
            self.connection.prepare_cached(&sql)?.query_map(params![ms(now)], row)?.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().map(|row| row.record).collect())
    }

    /// Holds that are over while an operation still waits on them, or to be issued again under their approval.
    pub fn over_and_waited_for(&self) -> Result<Vec<HoldRecord>, StoreError> {
        let sql = "SELECT DISTINCT h.state, h.show, h.digest_key FROM operations o JOIN holds h ON h.id = o.hold \
                   WHERE o.outcome IS NULL AND o.record ->> '$.progress.progress' IN ('waiting', 'returned') \
                   AND h.phase NOT IN ('waiting', 'approved') LIMIT 200";
        let rows: Vec<HoldRow> = self.connection.prepare_cached(sql)?.query_map([], row)?.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().map(|row| row.record).collect())
    }

    /// Operations that wait on a hold.
    pub fn waiters(&self, hold: HoldId) -> Result<Vec<OperationRecord>, StoreError> {
        let sql = "SELECT record FROM operations WHERE hold = ?1 AND outcome IS NULL AND record IS NOT NULL";
        let texts: Vec<String> = self
            .connection
            .prepare_cached(sql)?
            .query_map(params![hold.uuid().as_bytes()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        let parsed = texts
            .iter()
            .map(|text| serde_json::from_str(text).map_err(|_| StoreError::Corrupt("an unreadable record")));
        parsed.collect()
    }
}

impl Store {
    /// Runs a change of holds and operations as one durable transaction.
    pub async fn change<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&HoldTransaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let seal = std::sync::Arc::clone(&self.seal);
        self.writer.durable(move |connection| f(&HoldTransaction::new(connection, &seal))).await
    }

    /// Puts a grant to come on record. `None`: the operation is not known, or not open any more.
    pub async fn issue(&self, key: OperationKey, new: NewIssue, now: Timestamp) -> Result<Option<Issued>, StoreError> {
        let effects = self.change(move |t| {
            let Some(operation) = t.operation(key)? else { return Ok(None) };
            let Ok(step) = operation.issue(new, now) else { return Ok(None) };
            t.save_operation(&step.state, None)?;
            Ok(Some(step.effects))
        });
        // `change` answers after the commit.
        Ok(effects.await?.map(|effects| effects.assert_durable()))
    }

    /// Puts on record that a grant was never spent and never will be: another one may be issued. `false`: it is not under way any more.
    pub async fn never_spent(&self, key: OperationKey, jti: GrantId, now: Timestamp) -> Result<bool, StoreError> {
        self.change(move |t| {
            let Some(operation) = t.operation(key)? else { return Ok(false) };
            let Ok(step) = operation.answered(jti, Answer::NeverSpent, now) else { return Ok(false) };
            t.save_operation(&step.state, None)?;
            Ok(true)
        })
        .await
    }

    /// One hold.
    pub async fn hold(&self, id: HoldId) -> Result<Option<HoldRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM holds WHERE id = ?1");
            Ok(c.prepare_cached(&sql)?.query_row(params![id.uuid().as_bytes()], row).optional()?)
        })
        .await
    }

    /// Holds, the newest first; `live` only those that wait or are approved and unused.
    pub async fn holds(&self, live: bool, limit: u32) -> Result<Vec<HoldRow>, StoreError> {
        self.read(move |c| {
            let sql = format!(
                "SELECT {COLUMNS} FROM holds WHERE ?1 = 0 OR phase IN ('waiting', 'approved') ORDER BY seq DESC LIMIT ?2"
            );
            let rows = c.prepare_cached(&sql)?.query_map(params![live, limit], row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }

    /// The operations that ever waited on a hold.
    pub async fn operations_of_hold(&self, hold: HoldId) -> Result<Vec<OperationRow>, StoreError> {
        self.read(move |c| super::operations::of_hold(c, hold)).await
    }
}
