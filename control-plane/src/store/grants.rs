//! Grants: written before they are sent, closed once.

use control_plane_core::lifecycle::Outcome;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use shared::ids::{AgentId, ApprovalId, GrantId, OperationId, SessionId};
use shared::time::Timestamp;

use super::sessions::{ms, time, uuid};
use super::{Store, StoreError};

/// A grant as stored. The JWT is not kept: what it said is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantRow {
    /// Its id.
    pub jti: GrantId,
    /// Session of the operation.
    pub session: SessionId,
    /// The operation.
    pub operation: OperationId,
    /// Cluster.
    pub cluster: String,
    /// The agent process that it was sent to.
    pub agent: AgentId,
    /// The connection of that process.
    pub epoch: String,
    /// The approval that was spent for it.
    pub approval: Option<ApprovalId>,
    /// JSON of the claims.
    pub claims: String,
    /// When it was made.
    pub issued: Timestamp,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<Outcome>,
}

const COLUMNS: &str = "jti, session, operation, cluster, agent, epoch, approval, claims, issued, outcome";

fn row(r: &Row<'_>) -> rusqlite::Result<GrantRow> {
    let outcome: Option<String> = r.get(9)?;
    Ok(GrantRow {
        jti: GrantId::new(uuid(r.get(0)?)),
        session: SessionId::new(uuid(r.get(1)?)),
        operation: OperationId::new(uuid(r.get(2)?)),
        cluster: r.get(3)?,
        agent: AgentId::new(uuid(r.get(4)?)),
        epoch: r.get(5)?,
        approval: r.get::<_, Option<[u8; 16]>>(6)?.map(|b| ApprovalId::new(uuid(b))),
        claims: r.get(7)?,
        issued: time(r.get(8)?),
        outcome: outcome.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

/// Writes a grant in an open transaction, where the approval is spent.
pub(crate) fn insert(c: &Connection, g: &GrantRow) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO grants (jti, session, operation, cluster, agent, epoch, approval, claims, issued) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        g.jti.uuid().as_bytes(),
        g.session.uuid().as_bytes(),
        g.operation.uuid().as_bytes(),
        g.cluster,
        g.agent.uuid().as_bytes(),
        g.epoch,
        g.approval.map(|a| *a.uuid().as_bytes()),
        g.claims,
        ms(g.issued)
    ])?;
    Ok(())
}

/// Closes a grant in an open transaction. A second closing changes nothing.
pub(crate) fn finish(c: &Connection, jti: GrantId, outcome: Outcome) -> Result<bool, StoreError> {
    let outcome = serde_json::to_string(&outcome).map_err(|_| StoreError::Corrupt("an unwritable outcome"))?;
    let sql = "UPDATE grants SET outcome = ?2 WHERE jti = ?1 AND outcome IS NULL";
    Ok(c.prepare_cached(sql)?.execute(params![jti.uuid().as_bytes(), outcome])? == 1)
}

impl Store {
    /// Writes the grant of a mutation, stream or reveal: on disk before it is sent.
    pub async fn write_grant(&self, grant: GrantRow) -> Result<(), StoreError> {
        self.writer.durable(move |c| insert(c, &grant)).await
    }

    /// Writes the grant of a read, lazily.
    pub async fn note_grant(&self, grant: GrantRow) -> Result<(), StoreError> {
        self.writer.lazy(move |c| insert(c, &grant)).await
    }

    /// Closes the grant of a mutation, stream or reveal.
    pub async fn finish_grant(&self, jti: GrantId, outcome: Outcome) -> Result<bool, StoreError> {
        self.writer.durable(move |c| finish(c, jti, outcome)).await
    }

    /// Closes the grant of a read, lazily.
    pub async fn note_grant_end(&self, jti: GrantId, outcome: Outcome) -> Result<(), StoreError> {
        self.writer.lazy(move |c| finish(c, jti, outcome).map(drop)).await
    }

    /// Grants without an outcome, oldest first.
    pub async fn open_grants(&self) -> Result<Vec<GrantRow>, StoreError> {
        self.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM grants WHERE outcome IS NULL ORDER BY seq");
            let rows = c.prepare_cached(&sql)?.query_map([], row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }

    /// The grants of one operation.
    pub async fn grants_of(&self, session: SessionId, operation: OperationId) -> Result<Vec<GrantRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM grants WHERE session = ?1 AND operation = ?2 ORDER BY seq");
            let rows = c
                .prepare_cached(&sql)?
                .query_map(params![session.uuid().as_bytes(), operation.uuid().as_bytes()], row)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }
}
