//! Sessions: who they belong to never changes; only their expiry moves, and where their sidecar is.

use std::net::IpAddr;

use control_plane_core::decision::Effect;
use control_plane_core::identity::{CiIdentity, Identity};
use control_plane_core::lifecycle::{NotSent, OperationRecord, Outcome};
use control_plane_core::policy::{SessionFacts, cost};
use control_plane_core::request_info::resource_word;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use shared::ids::SessionId;
use shared::time::Timestamp;
use shared_net::tls::PeerKey;
use uuid::Uuid;

use super::{Store, StoreError};

/// A session as stored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    /// Its place in the store's order; 0 until it is stored.
    pub seq: i64,
    /// Its id.
    pub id: SessionId,
    /// SHA-256 of the sidecar's public key.
    #[serde(skip)]
    pub peer_key: [u8; 32],
    /// Who it is.
    pub identity: Identity,
    /// When it was opened.
    pub opened: Timestamp,
    /// Until when its token is good.
    pub expires: Timestamp,
    /// When it was revoked or ended.
    pub closed: Option<Timestamp>,
    /// Why.
    pub closed_why: Option<String>,
    /// How its sidecar last showed itself.
    #[serde(skip)]
    pub shown: Shown,
}

/// Where a sidecar was when it opened or renewed its session, and until when the pod's token was good that it showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its address, as we see it.
    pub address: IpAddr,
    /// `exp` of the pod's token alone.
    pub token_expires: Timestamp,
}

impl SessionRow {
    /// A session that is opened now.
    pub const fn of(id: SessionId, peer: PeerKey, identity: Identity, now: Timestamp, shown: Shown) -> Self {
        let expires = identity.expires();
        Self { seq: 0, id, peer_key: peer.0, identity, opened: now, expires, closed: None, closed_why: None, shown }
    }
}

/// Whether a session was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedSession {
    /// It is new, and on record.
    New,
    /// Its key has a session already, and has one only.
    KeyTaken,
    /// Its CI token has opened one before.
    TokenTaken,
}

/// Whether a session was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Its expiry is that of the identity shown now.
    Yes,
    /// It is over.
    Over,
    /// The CI token belongs to another session.
    TokenTaken,
}

const COLUMNS: &str = "id, peer_key, identity, opened, expires, closed, closed_why, address, token_expires, seq";

fn row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let (identity, address): (String, String) = (row.get(2)?, row.get(7)?);
    let bad = |index, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error)
    };
    Ok(SessionRow {
        seq: row.get(9)?,
        id: SessionId::new(uuid(row.get(0)?)),
        peer_key: row.get(1)?,
        identity: serde_json::from_str(&identity).map_err(|error| bad(2, Box::new(error)))?,
        opened: time(row.get(3)?),
        expires: time(row.get(4)?),
        closed: row.get::<_, Option<i64>>(5)?.map(time),
        closed_why: row.get(6)?,
        shown: Shown {
            address: address.parse().map_err(|error| bad(7, Box::new(error)))?,
            token_expires: time(row.get(8)?),
        },
    })
}

pub(super) const fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp(u64::try_from(ms).unwrap_or(0))
}

pub(super) fn ms(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens the one session of its key, durably.
    pub async fn open_session(&self, session: SessionRow) -> Result<OpenedSession, StoreError> {
        self.writer
            .durable(move |c| {
                // In the transaction, so that of two first calls on one key only one opens a session.
                let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE peer_key = ?1)";
                if c.prepare_cached(sql)?.query_row(params![session.peer_key], |r| r.get(0))? {
                    return Ok(OpenedSession::KeyTaken);
                }
                if let Some(ci) = session.identity.ci()
                    && !take_ci_token(c, ci, session.id)?
                {
                    return Ok(OpenedSession::TokenTaken);
                }
                insert(c, &session)?;
                Ok(OpenedSession::New)
            })
            .await
    }

    /// Moves the expiry of an open session to that of the identity shown now.
    pub async fn renew_session(&self, id: SessionId, identity: Identity, shown: Shown) -> Result<Renewed, StoreError> {
        self.writer
            .durable(move |c| {
                if let Some(ci) = identity.ci()
                    && !take_ci_token(c, ci, id)?
                    && ci_token_of(c, ci)? != Some(id)
                {
                    return Ok(Renewed::TokenTaken);
                }
                let sql = "UPDATE sessions SET expires = ?2, address = ?3, token_expires = ?4 WHERE id = ?1 AND closed IS NULL";
                let open = c.prepare_cached(sql)?.execute(params![
                    id.uuid().as_bytes(),
                    ms(identity.expires()),
                    shown.address.to_string(),
                    ms(shown.token_expires)
                ])?;
                Ok(if open > 0 { Renewed::Yes } else { Renewed::Over })
            })
            .await
    }

    /// Ends a session for good. `false`: there is no open session of that id.
    pub async fn close_session(&self, id: SessionId, at: Timestamp, why: String) -> Result<bool, StoreError> {
        self.writer
            .durable(move |c| {
                let sql = "UPDATE sessions SET closed = ?2, closed_why = ?3 WHERE id = ?1 AND closed IS NULL";
                Ok(c.prepare_cached(sql)?.execute(params![id.uuid().as_bytes(), ms(at), why])? > 0)
            })
            .await
    }

    /// Ends all sessions of a cluster for good.
    pub async fn close_sessions_of(&self, cluster: &str, at: Timestamp, why: String) -> Result<(), StoreError> {
        let cluster = cluster.to_owned();
        self.writer
            .durable(move |c| {
                let sql = "UPDATE sessions SET closed = ?2, closed_why = ?3 WHERE cluster = ?1 AND closed IS NULL";
                Ok(c.prepare_cached(sql)?.execute(params![cluster, ms(at), why]).map(drop)?)
            })
            .await
    }

    /// The session that belongs to a sidecar's key.
    pub async fn session_of_peer(&self, peer_key: [u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM sessions WHERE peer_key = ?1 ORDER BY seq DESC LIMIT 1");
            Ok(c.prepare_cached(&sql)?.query_row(params![peer_key], row).optional()?)
        })
        .await
    }

    /// The key to which a pod's session belongs, if it has one that is not closed.
    pub async fn peer_of_pod(&self, cluster: &str, pod_uid: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let (cluster, pod_uid) = (cluster.to_owned(), pod_uid.to_owned());
        self.read(move |c| {
            let sql = "SELECT peer_key FROM sessions WHERE cluster = ?1 AND pod_uid = ?2 AND closed IS NULL \
                       ORDER BY seq DESC LIMIT 1";
            Ok(c.prepare_cached(sql)?.query_row(params![cluster, pod_uid], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// What policy may ask about a session's past, read from its operations; its age is not among it.
    pub async fn session_facts(&self, id: SessionId) -> Result<SessionFacts, StoreError> {
        self.read(move |c| facts(c, id)).await
    }

    /// One session.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
            Ok(c.prepare_cached(&sql)?.query_row(params![id.uuid().as_bytes()], row).optional()?)
        })
        .await
    }

    /// The newest sessions first.
    pub async fn sessions(&self, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM sessions ORDER BY seq DESC LIMIT ?1");
            let rows = c.prepare_cached(&sql)?.query_map(params![limit], row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }

    /// Sessions in the store's order, those after a sequence number.
    pub async fn sessions_after(&self, after: i64, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.read(move |c| {
            let sql = format!("SELECT {COLUMNS} FROM sessions WHERE seq > ?1 ORDER BY seq LIMIT ?2");
            let rows = c.prepare_cached(&sql)?.query_map(params![after, limit], row)?.collect::<Result<_, _>>()?;
            Ok(rows)
        })
        .await
    }
}

/// Writes down that a CI token belongs to a session. `false`: it was shown before.
fn take_ci_token(c: &Connection, ci: &CiIdentity, session: SessionId) -> rusqlite::Result<bool> {
    let sql = "INSERT OR IGNORE INTO ci_tokens (issuer, jti, session) VALUES (?1, ?2, ?3)";
    Ok(c.prepare_cached(sql)?.execute(params![ci.issuer, ci.jti, session.uuid().as_bytes()])? > 0)
}

fn ci_token_of(c: &Connection, ci: &CiIdentity) -> rusqlite::Result<Option<SessionId>> {
    let sql = "SELECT session FROM ci_tokens WHERE issuer = ?1 AND jti = ?2";
    let row = |r: &Row<'_>| r.get(0).map(|id| SessionId::new(uuid(id)));
    c.prepare_cached(sql)?.query_row(params![ci.issuer, ci.jti], row).optional()
}

fn insert(c: &Connection, session: &SessionRow) -> Result<(), StoreError> {
    let identity =
        serde_json::to_string(&session.identity).map_err(|_| StoreError::Corrupt("an unwritable identity"))?;
    c.prepare_cached(
        "INSERT INTO sessions (id, peer_key, cluster, identity, opened, expires, pod_uid, address, token_expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        session.id.uuid().as_bytes(),
        session.peer_key,
        session.identity.pod().cluster,
        identity,
        ms(session.opened),
        ms(session.expires),
        session.identity.pod().pod_uid,
        session.shown.address.to_string(),
        ms(session.shown.token_expires)
    ])?;
    Ok(())
}

/// The past of a session as [`crate::sessions::Session`] would have noted it.
fn facts(c: &Connection, session: SessionId) -> Result<SessionFacts, StoreError> {
    let mut facts = SessionFacts::default();
    let sql = "SELECT effect, risk, verb, api_group, resource, record, jti IS NOT NULL, outcome, namespace, name FROM operations \
               WHERE session = ?1 AND kind = 'runner' AND (effect IS NOT NULL OR record IS NOT NULL) ORDER BY seq";
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(params![session.uuid().as_bytes()])?;
    while let Some(row) = rows.next()? {
        let (effect, risk, record): (Option<String>, Option<u8>, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(5)?);
        let is_read = record.is_none();
        let record: Option<OperationRecord> = record.and_then(|text| serde_json::from_str(&text).ok());
        let outcome: Option<String> = row.get(7)?;
        let outcome = outcome.and_then(|text| serde_json::from_str(&text).ok());
        let denied = matches!(outcome, Some(Outcome::NotSent { why: NotSent::HoldDenied }));
        facts.holds += u64::from(effect.as_deref() == Some(Effect::Hold.as_str()));
        facts.denials += u64::from(effect.as_deref() == Some(Effect::Deny.as_str()) || denied);
        // What was under way when a process died has its grant on record and not yet its risk: then it counts as all there is, for a
        // budget must not grow by a crash.
        if row.get(6)? || record.is_some_and(|record| record.issue_on_record().is_some()) {
            let (verb, group, resource): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let (namespace, name): (String, String) = (row.get(8)?, row.get(9)?);
            facts.seen.note_words(&verb, &group, &resource, &namespace, &name);
            let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
            let word = resource_word(resource, &group, subresource);
            facts.went_through(cost(is_read, risk.unwrap_or(100)), (!is_read).then(|| format!("{verb} {word}")));
        }
    }
    Ok(facts)
}
