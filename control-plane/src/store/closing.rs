//! The end of an operation's record: one outcome, which never changes.

use control_plane_core::lifecycle::{OperationRecord, Outcome};
use rusqlite::{Connection, params};
use shared::ids::{OperationId, SessionId};

use super::StoreError;
use super::operations::{Closing, find};
use super::sessions::ms;

/// Sets the outcome once. A second closing changes nothing.
pub(super) fn close(c: &Connection, session: SessionId, id: OperationId, x: &Closing) -> Result<bool, StoreError> {
    let Some(row) = find(c, session, id)? else { return Ok(false) };
    let record = match &row.record {
        Some(record) => match ended(record, x)? {
            None => return Ok(false),
            ended => ended,
        },
        // A plain read has no record of its own. One whose client left may run again under its id: nothing is lost by that.
        None if matches!(row.outcome, None | Some(Outcome::NotSent { .. } | Outcome::Unknown { .. })) => None,
        None => return Ok(false),
    };
    // A grant that was drawn and never came on record is none.
    let jti = x.jti.filter(|_| record.as_ref().is_none_or(|record| record.issue_on_record().is_some()));
    let unwritable = |_| StoreError::Corrupt("an unwritable record");
    let record = record.as_ref().map(serde_json::to_string).transpose().map_err(unwritable)?;
    let explanation = x.explanation.as_ref().map(serde_json::to_string).transpose().map_err(unwritable)?;
    let outcome = serde_json::to_string(&x.outcome).map_err(unwritable)?;
    let changed = c
        .prepare_cached(
            "UPDATE operations SET outcome = ?3, status = ?4, reason = ?5, closed = ?6, effect = coalesce(?7, effect), \
             rule = coalesce(?8, rule), risk = coalesce(?9, risk), explanation = coalesce(?10, explanation), \
             hold = coalesce(?11, hold), jti = coalesce(?12, jti), bytes_out = ?13, response_type = ?14, response = ?15, \
             response_complete = ?16, response_digest = ?17, record = coalesce(?18, record), agent = coalesce(?19, agent), \
             claims = coalesce(?20, claims) WHERE session = ?1 AND id = ?2",
        )?
        .execute(params![
            session.uuid().as_bytes(),
            id.uuid().as_bytes(),
            outcome,
            x.status,
            x.reason,
            ms(x.closed),
            x.explanation.as_ref().map(|e| e.effect.as_str()),
            x.explanation.as_ref().map(|e| e.rule.to_string()),
            x.explanation.as_ref().map(|e| e.risk),
            explanation,
            x.hold.map(|h| *h.uuid().as_bytes()),
            jti.map(|j| *j.uuid().as_bytes()),
            i64::try_from(x.response.bytes).unwrap_or(i64::MAX),
            x.response.content_type,
            x.response.body,
            x.response.complete,
            x.response.digest.map(|d| d.to_string()),
            record,
            x.agent.map(|a| *a.uuid().as_bytes()),
            x.claims
        ])?;
    Ok(changed == 1)
}

/// The record's last state; `None`: it is over already.
fn ended(record: &OperationRecord, x: &Closing) -> Result<Option<OperationRecord>, StoreError> {
    let step = match (x.outcome, x.jti) {
        (Outcome::NotSent { why }, None) => record.refuse(why, x.closed),
        (Outcome::NotSent { why }, Some(jti)) => record.given_up(jti, why, x.closed),
        (outcome, Some(jti)) => record.finish(jti, outcome, x.closed),
        (Outcome::Ok { status } | Outcome::Error { status }, None) => record.answered_here(status, x.closed),
        (Outcome::Unknown { .. }, None) => return Err(StoreError::Corrupt("an operation that ran without a grant")),
    };
    Ok(step.ok().map(|step| step.state))
}
