//! One-time tokens for clusters, and what they pinned. A token is spent in the transaction that pins its cluster, or not at all.

use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::limits;
use shared::time::Timestamp;
use shared_net::crypto;

use super::sessions::{ms, time};
use super::{Store, StoreError};

/// A token, and what became of it.
#[derive(Clone, Debug)]
pub struct EnrolmentRow {
    /// Its place in the store's order.
    pub seq: i64,
    /// What the cluster is called.
    pub name: String,
    /// When somebody asked for it.
    pub asked: Timestamp,
    /// Who.
    pub asked_by: String,
    /// Until when it may be spent.
    pub expires: Timestamp,
    /// Whether a session of the cluster needs a CI provider's token.
    pub require_ci: bool,
    /// Whether keys count that the cluster publishes later.
    pub adopt_keys: bool,
    /// The cluster that spent it.
    pub enrolled: Option<Enrolled>,
    /// Why it is over.
    pub ended: Option<String>,
}

/// What a token pinned.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// When.
    pub at: Timestamp,
    /// Where its agent was.
    pub from: String,
    /// The cluster.
    pub pinned: PinnedCluster,
}

/// What is pinned of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedCluster {
    /// uid of its kube-system namespace.
    pub uid: String,
    /// `iss` of its ServiceAccount tokens.
    pub issuer: String,
    /// The key set of that issuer (JWKS).
    pub keys: String,
}

/// A token that is wanted.
#[derive(Clone, Debug)]
pub struct NewEnrolment {
    /// For which cluster.
    pub name: String,
    /// All that is kept of it.
    pub hash: [u8; 32],
    /// When.
    pub asked: Timestamp,
    /// By whom.
    pub asked_by: String,
    /// Until when it is good.
    pub expires: Timestamp,
    /// See [`EnrolmentRow::require_ci`].
    pub require_ci: bool,
    /// See [`EnrolmentRow::adopt_keys`].
    pub adopt_keys: bool,
}

/// Whether there is a token now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedFor {
    /// There is.
    Yes,
    /// There is, and the one before of that name is void.
    Replaced,
    /// A cluster of that name is enrolled.
    Enrolled,
    /// Too many wait already.
    TooMany,
}

/// What became of an attempt to spend a token.
#[derive(Clone, Debug)]
pub enum Spending {
    /// It is spent, and the cluster is pinned.
    Now(EnrolmentRow),
    /// This very cluster spent it before.
    Before(EnrolmentRow),
    /// Another cluster did.
    ByAnother,
    /// It is too late.
    Expired(Timestamp),
    /// It was taken back, replaced, or its cluster forgotten.
    Ended,
    /// The cluster is enrolled under another name.
    TwoNames,
    /// There is no such token.
    Unknown,
}

const COLUMNS: &str = "seq, name, asked, asked_by, expires, require_ci, adopt_keys, enrolled, enrolled_from, uid, issuer, keys, ended_why";
const REPLACED: &str = "another token was made for this name";

fn row(row: &Row<'_>) -> rusqlite::Result<EnrolmentRow> {
    let enrolled = match row.get::<_, Option<i64>>(7)? {
        None => None,
        Some(at) => {
            let pinned = PinnedCluster { uid: row.get(9)?, issuer: row.get(10)?, keys: row.get(11)? };
            Some(Enrolled { at: time(at), from: row.get(8)?, pinned })
        }
    };
    Ok(EnrolmentRow {
        seq: row.get(0)?,
        name: row.get(1)?,
        asked: time(row.get(2)?),
        asked_by: row.get(3)?,
        expires: time(row.get(4)?),
        require_ci: row.get(5)?,
        adopt_keys: row.get(6)?,
        enrolled,
        ended: row.get(12)?,
    })
}

/// The token of this hash. All are compared, each in the same time, so that nobody learns by how long it takes how near a guess was.
fn find(c: &Connection, hash: &[u8; 32]) -> Result<Option<EnrolmentRow>, StoreError> {
    let mut statement = c.prepare_cached("SELECT seq, token_hash FROM enrolments")?;
    let mut rows = statement.query([])?;
    let mut found = None;
    while let Some(row) = rows.next()? {
        let kept: [u8; 32] = row.get(1)?;
        if crypto::equal(&kept, hash) {
            found = Some(row.get::<_, i64>(0)?);
        }
    }
    let Some(seq) = found else { return Ok(None) };
    let sql = format!("SELECT {COLUMNS} FROM enrolments WHERE seq = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([seq], row).optional()?)
}

impl Store {
    /// Keeps a token that may be spent from now on. One of the same name that waits is void.
    pub async fn ask_enrolment(&self, new: NewEnrolment) -> Result<AskedFor, StoreError> {
        self.writer.durable(move |c| ask(c, &new)).await
    }

    /// The token of this hash, whatever became of it.
    pub async fn enrolment(&self, hash: [u8; 32]) -> Result<Option<EnrolmentRow>, StoreError> {
        self.read(move |c| find(c, &hash)).await
    }

    /// Those that are not over, by name.
    pub async fn enrolments(&self) -> Result<Vec<EnrolmentRow>, StoreError> {
        self.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM enrolments WHERE ended IS NULL ORDER BY name");
            Ok(c.prepare_cached(&sql)?.query_map([], row)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Spends a token and pins its cluster, in one transaction.
    pub async fn enrol(
        &self,
        hash: [u8; 32],
        cluster: PinnedCluster,
        from: String,
        now: Timestamp,
    ) -> Result<Spending, StoreError> {
        self.writer.durable(move |c| spend(c, &hash, cluster, from, now)).await
    }

    /// Ends a token that waits, or what it pinned. `None`: there is neither.
    pub async fn end_enrolment(
        &self,
        name: &str,
        why: String,
        now: Timestamp,
    ) -> Result<Option<EnrolmentRow>, StoreError> {
        let name = name.to_owned();
        self.writer
            .durable(move |c| {
                let sql = format!("SELECT {COLUMNS} FROM enrolments WHERE name = ?1 AND ended IS NULL");
                let found = c.prepare_cached(&sql)?.query_row([&name], row).optional()?;
                end(c, &name, &why, now)?;
                Ok(found)
            })
            .await
    }
}

fn end(c: &Connection, name: &str, why: &str, now: Timestamp) -> rusqlite::Result<usize> {
    let sql = "UPDATE enrolments SET ended = ?2, ended_why = ?3 WHERE name = ?1 AND ended IS NULL";
    c.prepare_cached(sql)?.execute(params![name, ms(now), why])
}

fn ask(c: &Connection, new: &NewEnrolment) -> Result<AskedFor, StoreError> {
    let sql = "SELECT enrolled IS NOT NULL FROM enrolments WHERE name = ?1 AND ended IS NULL";
    let known: Option<bool> = c.prepare_cached(sql)?.query_row([&new.name], |row| row.get(0)).optional()?;
    if known == Some(true) {
        return Ok(AskedFor::Enrolled);
    }
    // What has expired waits for nothing any more.
    let sql = "UPDATE enrolments SET ended = ?1, ended_why = 'expired' WHERE enrolled IS NULL AND ended IS NULL AND expires <= ?1";
    c.prepare_cached(sql)?.execute([ms(new.asked)])?;
    let replaced = end(c, &new.name, REPLACED, new.asked)? > 0;
    let sql = "SELECT count(*) FROM enrolments WHERE enrolled IS NULL AND ended IS NULL";
    let waiting: i64 = c.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    if waiting >= limits::ENROLMENTS_WAITING {
        return Ok(AskedFor::TooMany);
    }
    let sql = "INSERT INTO enrolments (name, token_hash, asked, asked_by, expires, require_ci, adopt_keys) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    c.prepare_cached(sql)?.execute(params![
        new.name,
        new.hash,
        ms(new.asked),
        new.asked_by,
        ms(new.expires),
        new.require_ci,
        new.adopt_keys
    ])?;
    let sql = "DELETE FROM enrolments WHERE ended IS NOT NULL AND seq NOT IN \
               (SELECT seq FROM enrolments WHERE ended IS NOT NULL ORDER BY seq DESC LIMIT ?1)";
    c.prepare_cached(sql)?.execute([limits::ENROLMENTS_ENDED])?;
    Ok(if replaced { AskedFor::Replaced } else { AskedFor::Yes })
}

fn spend(
    c: &Connection,
    hash: &[u8; 32],
    cluster: PinnedCluster,
    from: String,
    now: Timestamp,
) -> Result<Spending, StoreError> {
    let Some(mut row) = find(c, hash)? else { return Ok(Spending::Unknown) };
    match &row.enrolled {
        None if row.expires <= now => return Ok(Spending::Expired(row.expires)),
        _ if row.ended.is_some() => return Ok(Spending::Ended),
        Some(enrolled) if enrolled.pinned == cluster => return Ok(Spending::Before(row)),
        Some(_) => return Ok(Spending::ByAnother),
        None => {}
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM enrolments WHERE uid = ?1 AND ended IS NULL)";
    if c.prepare_cached(sql)?.query_row([&cluster.uid], |row| row.get(0))? {
        return Ok(Spending::TwoNames);
    }
    let sql =
        "UPDATE enrolments SET enrolled = ?2, enrolled_from = ?3, uid = ?4, issuer = ?5, keys = ?6 WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![row.seq, ms(now), from, cluster.uid, cluster.issuer, cluster.keys])?;
    row.enrolled = Some(Enrolled { at: now, from, pinned: cluster });
    Ok(Spending::Now(row))
}

#[cfg(test)]
mod tests;
