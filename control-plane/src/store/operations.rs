//! Operations: opened before anything is decided, closed in exactly one outcome.

use control_plane_core::decision::Explanation;
use control_plane_core::digest::Digest;
use control_plane_core::lifecycle::{NotSent, OperationKey, OperationRecord, Outcome, Unknown};
use control_plane_core::request_info::RequestInfo;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use shared::ids::{AgentId, GrantId, HoldId, OperationId, SessionId};
use shared::time::Timestamp;

use super::closing::close;
use super::sessions::{ms, time, uuid};
use super::{Store, StoreError};

/// Kind of the operations that runners ask for.
pub const RUNNER: &str = "runner";

/// The record's first half: the intent, before it is judged.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Session it belongs to.
    pub session: SessionId,
    /// Its id, unique in the session.
    pub id: OperationId,
    /// Cluster it is for.
    pub cluster: String,
    /// Issuer of the CI token beside the pod's, for the access event: the record has the session for that.
    pub issuer: Option<String>,
    /// When it arrived.
    pub opened: Timestamp,
    /// [`RUNNER`], or `internal/<name>`.
    pub kind: String,
    /// For an internal one, the operation it serves; for a read that its sidecar asked for again, the first run.
    pub parent: Option<OperationId>,
    /// What a person would have typed.
    pub typed: String,
    /// `Kubectl-Command`, display only.
    pub command: String,
    /// `User-Agent`, display only.
    pub user_agent: String,
    /// HTTP method.
    pub method: String,
    /// Path and query as forwarded.
    pub uri: String,
    /// What it is.
    pub info: RequestInfo,
    /// Masked request body.
    pub body: Option<Vec<u8>>,
    /// Intent digest.
    pub digest: Digest,
    /// Sealed key of the digest.
    pub digest_key: Vec<u8>,
    /// Bytes of the request body.
    pub bytes_in: u64,
}

impl Opening {
    /// Whether it is an internal operation.
    pub fn is_ours(&self) -> bool {
        self.kind != RUNNER
    }
}

/// The record's second half.
#[derive(Clone, Debug)]
pub struct Closing {
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status that the client got.
    pub status: u16,
    /// Why, in a sentence, where it did not simply succeed.
    pub reason: Option<String>,
    /// When.
    pub closed: Timestamp,
    /// What it was decided, if it came that far.
    pub explanation: Option<Explanation>,
    /// The hold it waited in.
    pub hold: Option<HoldId>,
    /// The grant it ran under.
    pub jti: Option<GrantId>,
    /// The agent process that had it.
    pub agent: Option<AgentId>,
    /// JSON of the grant's claims.
    pub claims: Option<String>,
    /// The masked answer.
    pub response: Response,
}

impl Closing {
    /// The end of an operation of which nothing was sent and nothing more is known.
    pub fn not_sent(why: NotSent, closed: Timestamp, reason: &str) -> Self {
        Self {
            outcome: Outcome::NotSent { why },
            status: 0,
            reason: Some(reason.to_owned()),
            closed,
            explanation: None,
            hold: None,
            jti: None,
            agent: None,
            claims: None,
            response: Response::default(),
        }
    }
}

/// The masked answer as far as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Its content type.
    pub content_type: Option<String>,
    /// All its bytes, or the first part of them.
    pub body: Vec<u8>,
    /// Whether `body` is all of it.
    pub complete: bool,
    /// Bytes given to the client.
    pub bytes: u64,
    /// Digest of all of them, under the operation's key.
    pub digest: Option<Digest>,
}

/// An operation as stored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationRow {
    /// The store's own order.
    pub seq: i64,
    /// Session.
    pub session: SessionId,
    /// Id.
    pub id: OperationId,
    /// Cluster.
    pub cluster: String,
    /// When it arrived.
    pub opened: Timestamp,
    /// `runner` or `internal/<name>`.
    pub kind: String,
    /// The operation it serves, for an internal one; the first run, for a read that was asked for again.
    pub parent: Option<OperationId>,
    /// What a person would have typed.
    pub typed: String,
    /// `Kubectl-Command`.
    pub command: String,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// RBAC verb.
    pub verb: String,
    /// Group.
    pub api_group: String,
    /// Resource with /subresource.
    pub resource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Masked request body, as text where it is UTF-8.
    pub body: Option<String>,
    /// Intent digest.
    pub digest: String,
    /// Sealed key of the digest.
    #[serde(skip)]
    pub digest_key: Vec<u8>,
    /// The truth of everything but a plain read.
    #[serde(skip)]
    pub record: Option<OperationRecord>,
    /// allow, hold or deny.
    pub effect: Option<String>,
    /// The rule that settled it.
    pub rule: Option<String>,
    /// 0–100.
    pub risk: Option<u8>,
    /// JSON of the explanation.
    pub explanation: Option<serde_json::Value>,
    /// The hold it waited in.
    pub hold: Option<HoldId>,
    /// The grant it ran under.
    pub jti: Option<GrantId>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// HTTP status that the client got.
    pub status: Option<u16>,
    /// Why.
    pub reason: Option<String>,
    /// When it ended.
    pub closed: Option<Timestamp>,
    /// Bytes of the answer.
    pub bytes_out: Option<u64>,
    /// Content type of the answer.
    pub response_type: Option<String>,
    /// The masked answer or its first part, as text where it is UTF-8.
    #[serde(skip)]
    pub response: Option<Vec<u8>>,
    /// Whether it is all of it.
    pub response_complete: bool,
}

/// An operation without an outcome.
#[derive(Clone, Debug)]
pub struct OpenOperation {
    /// Which.
    pub key: OperationKey,
    /// When it arrived.
    pub opened: Timestamp,
    /// How far it is; a plain read has none.
    pub record: Option<OperationRecord>,
}

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this session only.
    pub session: Option<SessionId>,
    /// Only with a sequence number above this.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

const COLUMNS: &str = "seq, session, id, cluster, opened, kind, parent, typed, command, method, uri, verb, api_group, \
    resource, namespace, name, body, digest, digest_key, effect, rule, risk, explanation, hold, jti, outcome, status, \
    reason, closed, bytes_out, response_type, response, response_complete, record";

fn row(r: &Row<'_>) -> rusqlite::Result<OperationRow> {
    let outcome: Option<String> = r.get(25)?;
    let explanation: Option<String> = r.get(22)?;
    Ok(OperationRow {
        seq: r.get(0)?,
        session: SessionId::new(uuid(r.get(1)?)),
        id: OperationId::new(uuid(r.get(2)?)),
        cluster: r.get(3)?,
        opened: time(r.get(4)?),
        kind: r.get(5)?,
        parent: r.get::<_, Option<[u8; 16]>>(6)?.map(|b| OperationId::new(uuid(b))),
        typed: r.get(7)?,
        command: r.get(8)?,
        method: r.get(9)?,
        uri: r.get(10)?,
        verb: r.get(11)?,
        api_group: r.get(12)?,
        resource: r.get(13)?,
        namespace: r.get(14)?,
        name: r.get(15)?,
        body: r.get::<_, Option<Vec<u8>>>(16)?.map(|b| String::from_utf8_lossy(&b).into_owned()),
        digest: r.get(17)?,
        digest_key: r.get(18)?,
        effect: r.get(19)?,
        rule: r.get(20)?,
        risk: r.get(21)?,
        explanation: explanation.and_then(|text| serde_json::from_str(&text).ok()),
        hold: r.get::<_, Option<[u8; 16]>>(23)?.map(|b| HoldId::new(uuid(b))),
        jti: r.get::<_, Option<[u8; 16]>>(24)?.map(|b| GrantId::new(uuid(b))),
        outcome: outcome.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        status: r.get(26)?,
        reason: r.get(27)?,
        closed: r.get::<_, Option<i64>>(28)?.map(time),
        bytes_out: r.get::<_, Option<i64>>(29)?.and_then(|n| u64::try_from(n).ok()),
        response_type: r.get(30)?,
        response: r.get(31)?,
        response_complete: r.get::<_, Option<bool>>(32)?.unwrap_or(false),
        record: r.get::<_, Option<String>>(33)?.and_then(|text| serde_json::from_str(&text).ok()),
    })
}

/// What is known of an operation id of a session.
#[derive(Debug)]
pub enum Opened {
    /// It is new, and recorded.
    New,
    /// It was recorded before.
    Known(Box<OperationRow>),
}

impl Store {
    /// Records the intent durably. Mutations, streams and reveals go this way: nothing is sent before it answers.
    pub async fn open_operation(&self, opening: Opening) -> Result<Opened, StoreError> {
        self.writer
            .durable(move |c| {
                let key = OperationKey { session: opening.session, operation: opening.id };
                let record = OperationRecord::open(key, opening.digest, opening.opened);
                if insert(c, &opening, Some(&record), None)? {
                    return Ok(Opened::New);
                }
                find(c, opening.session, opening.id)?
                    .map(|row| Opened::Known(Box::new(row)))
                    .ok_or(StoreError::Corrupt("an operation that is there and is not"))
            })
            .await
    }

    /// Records the intent of an operation whose id is new for certain; it is on disk with the next that must be, as its grant is.
    pub async fn open_with_grant(&self, opening: Opening) -> Result<(), StoreError> {
        self.writer
            .lazy(move |c| {
                let key = OperationKey { session: opening.session, operation: opening.id };
                let record = OperationRecord::open(key, opening.digest, opening.opened);
                let inserted = insert(c, &opening, Some(&record), None)?;
                inserted.then_some(()).ok_or(StoreError::Corrupt("two operations under one new id"))
            })
            .await
    }

    /// Makes a recorded read one with a record of its own, durably: it will wait for people, and run under their approval.
    pub async fn promote_read(&self, opening: Opening) -> Result<Opened, StoreError> {
        self.writer
            .durable(move |c| {
                let key = OperationKey { session: opening.session, operation: opening.id };
                let record = OperationRecord::open(key, opening.digest, opening.opened);
                let record = serde_json::to_string(&record).map_err(|_| StoreError::Corrupt("an unwritable record"))?;
                // The digest tells the row of this very run: its key was drawn for it.
                let sql = "UPDATE operations SET record = ?3, outcome = NULL, closed = NULL \
                           WHERE session = ?1 AND id = ?2 AND record IS NULL AND digest = ?4";
                let promoted = c.prepare_cached(sql)?.execute(params![
                    opening.session.uuid().as_bytes(),
                    opening.id.uuid().as_bytes(),
                    record,
                    opening.digest.to_string(),
                ])?;
                if promoted == 1 {
                    return Ok(Opened::New);
                }
                find(c, opening.session, opening.id)?
                    .map(|row| Opened::Known(Box::new(row)))
                    .ok_or(StoreError::Corrupt("a hold without its operation"))
            })
            .await
    }

    /// Closes an operation durably. `false`: it had its one outcome already.
    pub async fn close_operation(&self, s: SessionId, id: OperationId, closing: Closing) -> Result<bool, StoreError> {
        self.writer.durable(move |c| close(c, s, id, &closing)).await
    }

    /// The same where nobody waits for it.
    pub async fn close_unhurried(&self, s: SessionId, id: OperationId, closing: Closing) -> Result<bool, StoreError> {
        self.writer.unhurried(move |c| close(c, s, id, &closing)).await
    }

    /// One operation, with all that was written of it before this, reads included.
    pub async fn written_operation(&self, s: SessionId, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
        // Through the writer's queue: a reader would not see a read that still waits there.
        self.writer.durable(move |c| find(c, s, id)).await
    }

    /// The newest id of a session that is on record.
    pub async fn newest_operation(&self, session: SessionId) -> Result<Option<OperationId>, StoreError> {
        self.read(move |c| {
            let sql = "SELECT max(id) FROM operations WHERE session = ?1";
            let id: Option<[u8; 16]> = c.prepare_cached(sql)?.query_row([session.uuid().as_bytes()], |r| r.get(0))?;
            Ok(id.map(|id| OperationId::new(uuid(id))))
        })
        .await
    }

    /// One operation.
    pub async fn operation(&self, session: SessionId, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
        self.read(move |c| find(c, session, id)).await
    }

    /// Operations in the store's own order.
    pub async fn operations(&self, filter: Filter) -> Result<Vec<OperationRow>, StoreError> {
        self.read(move |c| {
            let session = filter.session.map(|s| *s.uuid().as_bytes());
            let sql = format!(
                "SELECT {COLUMNS} FROM operations WHERE seq > ?1 AND (?2 IS NULL OR session = ?2) ORDER BY seq LIMIT ?3"
            );
            let rows = c
                .prepare_cached(&sql)?
                .query_map(params![filter.after, session, filter.limit], row)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }

    /// Operations without an outcome, which must get one.
    pub async fn open_progress(&self) -> Result<Vec<OpenOperation>, StoreError> {
        self.read(|c| {
            let sql = "SELECT session, id, opened, record FROM operations WHERE outcome IS NULL ORDER BY seq";
            let rows = c.prepare_cached(sql)?.query_map([], open_operation)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }
}

fn open_operation(r: &Row<'_>) -> rusqlite::Result<OpenOperation> {
    let key = OperationKey { session: SessionId::new(uuid(r.get(0)?)), operation: OperationId::new(uuid(r.get(1)?)) };
    let record = r.get::<_, Option<String>>(3)?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(OpenOperation { key, opened: time(r.get(2)?), record })
}

/// Operations without an outcome.
pub(super) fn open(c: &Connection) -> Result<Vec<OperationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE outcome IS NULL ORDER BY seq");
    let rows = c.prepare_cached(&sql)?.query_map([], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Ends a plain read of which nobody knows the end.
pub(super) fn lose(c: &Connection, row: &OperationRow, reason: &str, at: Timestamp) -> Result<(), StoreError> {
    let outcome = Outcome::Unknown { why: Unknown::Restored };
    let outcome = serde_json::to_string(&outcome).map_err(|_| StoreError::Corrupt("an unwritable outcome"))?;
    let sql = "UPDATE operations SET outcome = ?3, status = 0, reason = ?4, closed = ?5 \
               WHERE session = ?1 AND id = ?2 AND outcome IS NULL";
    c.prepare_cached(sql)?.execute(params![
        row.session.uuid().as_bytes(),
        row.id.uuid().as_bytes(),
        outcome,
        reason,
        ms(at)
    ])?;
    Ok(())
}

pub(super) fn of_hold(c: &Connection, hold: HoldId) -> Result<Vec<OperationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE hold = ?1 ORDER BY seq");
    let rows = c.prepare_cached(&sql)?.query_map(params![hold.uuid().as_bytes()], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn find(c: &Connection, session: SessionId, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE session = ?1 AND id = ?2");
    Ok(c.prepare_cached(&sql)?.query_row(params![session.uuid().as_bytes(), id.uuid().as_bytes()], row).optional()?)
}

/// Inserts the first half of a record, and the second with it where the operation is over already.
pub(super) fn insert(
    c: &Connection,
    o: &Opening,
    record: Option<&OperationRecord>,
    end: Option<&Closing>,
) -> Result<bool, StoreError> {
    let unwritable = |_| StoreError::Corrupt("an unwritable record");
    let record = record.map(serde_json::to_string).transpose().map_err(unwritable)?;
    let explanation = end.and_then(|x| x.explanation.as_ref());
    let explained = explanation.map(serde_json::to_string).transpose().map_err(unwritable)?;
    let outcome = end.map(|x| serde_json::to_string(&x.outcome)).transpose().map_err(unwritable)?;
    let resource = if o.info.subresource.is_empty() {
        o.info.resource.clone()
    } else {
        format!("{}/{}", o.info.resource, o.info.subresource)
    };
    let inserted = c
        .prepare_cached(
            "INSERT OR IGNORE INTO operations (session, id, cluster, opened, kind, parent, typed, command, user_agent, \
             method, uri, verb, api_group, resource, namespace, name, body, digest, digest_key, bytes_in, record, \
             outcome, status, reason, closed, effect, rule, risk, explanation, hold, jti, bytes_out, response_type, \
             response, response_complete, response_digest, agent, claims) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38)",
        )?
        .execute(params![
            o.session.uuid().as_bytes(),
            o.id.uuid().as_bytes(),
            o.cluster,
            ms(o.opened),
            o.kind,
            o.parent.map(|p| *p.uuid().as_bytes()),
            o.typed,
            o.command,
            o.user_agent,
            o.method,
            o.uri,
            o.info.verb.as_str(),
            o.info.api_group,
            resource,
            o.info.namespace,
            o.info.name,
            o.body,
            o.digest.to_string(),
            o.digest_key,
            i64::try_from(o.bytes_in).unwrap_or(i64::MAX),
            record,
            outcome,
            end.map(|x| x.status),
            end.and_then(|x| x.reason.as_deref()),
            end.map(|x| ms(x.closed)),
            explanation.map(|e| e.effect.as_str()),
            explanation.map(|e| e.rule.to_string()),
            explanation.map(|e| e.risk),
            explained,
            end.and_then(|x| x.hold).map(|h| *h.uuid().as_bytes()),
            end.and_then(|x| x.jti).map(|j| *j.uuid().as_bytes()),
            end.map(|x| i64::try_from(x.response.bytes).unwrap_or(i64::MAX)),
            end.and_then(|x| x.response.content_type.as_deref()),
            end.map(|x| x.response.body.as_slice()),
            end.map(|x| x.response.complete),
            end.and_then(|x| x.response.digest).map(|d| d.to_string()),
            end.and_then(|x| x.agent).map(|a| *a.uuid().as_bytes()),
            end.and_then(|x| x.claims.as_deref()),
        ])?;
    Ok(inserted == 1)
}
