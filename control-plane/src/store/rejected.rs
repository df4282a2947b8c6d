//! Attempts that never became an operation.

use rusqlite::params;
use serde::Serialize;
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::time::Timestamp;

use super::sessions::{ms, time, uuid};
use super::{Store, StoreError};

/// An attempt that never became an operation.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// When.
    pub at: Timestamp,
    /// Session, if one is known.
    pub session: Option<SessionId>,
    /// Operation id, if one came.
    pub operation: Option<OperationId>,
    /// The stage that refused.
    pub stage: &'static str,
    /// HTTP status given.
    pub status: u16,
    /// Method and path, cut.
    pub what: String,
    /// Why.
    pub why: String,
}

/// The same as stored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedRow {
    /// When.
    pub at: Timestamp,
    /// Session.
    pub session: Option<SessionId>,
    /// Operation id.
    pub operation: Option<OperationId>,
    /// Stage.
    pub stage: String,
    /// HTTP status.
    pub status: u16,
    /// Method and path.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Store {
    /// Keeps a rejected attempt, lazily; the oldest make room.
    pub async fn reject(&self, rejected: Rejected) -> Result<(), StoreError> {
        self.writer
            .lazy(move |c| {
                let sql = "INSERT INTO rejected (at, session, operation, stage, status, what, why) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let seq = c.prepare_cached(sql)?.insert(params![
                    ms(rejected.at),
                    rejected.session.map(|s| *s.uuid().as_bytes()),
                    rejected.operation.map(|o| *o.uuid().as_bytes()),
                    rejected.stage,
                    rejected.status,
                    rejected.what,
                    rejected.why
                ])?;
                c.prepare_cached("DELETE FROM rejected WHERE seq <= ?1")?
                    .execute(params![seq - limits::REJECTED_ROWS])?;
                Ok(())
            })
            .await
    }

    /// The newest rejected attempts first.
    pub async fn rejected(&self, limit: u32) -> Result<Vec<RejectedRow>, StoreError> {
        self.read(move |c| {
            let sql =
                "SELECT at, session, operation, stage, status, what, why FROM rejected ORDER BY seq DESC LIMIT ?1";
            let rows = c
                .prepare_cached(sql)?
                .query_map(params![limit], |r| {
                    Ok(RejectedRow {
                        at: time(r.get(0)?),
                        session: r.get::<_, Option<[u8; 16]>>(1)?.map(|b| SessionId::new(uuid(b))),
                        operation: r.get::<_, Option<[u8; 16]>>(2)?.map(|b| OperationId::new(uuid(b))),
                        stage: r.get(3)?,
                        status: r.get(4)?,
                        what: r.get(5)?,
                        why: r.get(6)?,
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }
}
