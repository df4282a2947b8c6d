//! The routes. [`ROUTES`] is the one list that dispatch, the OpenAPI document and the tests share.

use control_plane_core::four_eyes::{Mode, Via, Voter};
use control_plane_core::lifecycle::{Ballot, VoteEffect, VoteError};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::ids::{HoldId, SessionId};

use super::Parts;
use super::answer::{self, Answer, Problem};
use super::caller::{self, LocalPeer};
use crate::approvals::BallotError;
use crate::store::Filter;

/// Rows that one call gives at the most.
const ROWS: u32 = 500;

/// What can be called: method, path, what it is for.
pub const ROUTES: [(Method, &str, &str); 13] = [
    (Method::GET, "/v1/approvals", "Holds, newest first; ?live=true only those that wait"),
    (Method::GET, "/v1/approvals/{id}", "One hold, with what an approver must see, and the operations that wait on it"),
    (Method::POST, "/v1/approvals/{id}/approve", "Vote yes"),
    (Method::POST, "/v1/approvals/{id}/deny", "Vote no, with a reason that the asker reads"),
    (Method::GET, "/v1/sessions", "Sessions, newest first"),
    (Method::GET, "/v1/sessions/{id}", "One session with its operations in order"),
    (Method::POST, "/v1/sessions/{id}/revoke", "End a session now: its streams are cut and its holds are void"),
    (Method::GET, "/v1/operations", "Operations in the store's order; ?session= ?after= ?limit="),
    (Method::GET, "/v1/rejected", "Attempts that never became an operation, newest first"),
    (Method::GET, "/v1/policy", "The policy in force, and what is wrong with a newer file"),
    (Method::GET, "/v1/events", "Changes of holds as server-sent events"),
    (Method::GET, "/v1/whoami", "Who the caller is taken for"),
    (Method::GET, "/openapi.json", "This list as an OpenAPI 3.1 document"),
];

/// Answers one call.
pub(super) async fn answer(
    parts: &Parts,
    method: Method,
    path: &str,
    query: &str,
    headers: HeaderMap,
    local: Option<LocalPeer>,
    body: &[u8],
) -> Answer {
    match dispatch(parts, method, path, query, &headers, local, body).await {
        Ok(response) => response,
        Err(problem) => answer::problem(&problem),
    }
}

async fn dispatch(
    parts: &Parts,
    method: Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    local: Option<LocalPeer>,
    body: &[u8],
) -> Result<Answer, Problem> {
    // Authentication first: to a stranger every path looks the same.
    let voter = caller::authenticate(parts, headers, local).await?;
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, segments.as_slice()) {
        (Method::GET, ["v1", "approvals"]) => Ok(answer::json(&parts.store.holds(flag(query, "live"), ROWS).await?)),
        (Method::GET, ["v1", "approvals", id]) => approval(parts, hold_id(id)?).await,
        (Method::POST, ["v1", "approvals", id, "approve"]) => {
            vote(parts, voter, hold_id(id)?, Ballot::Approve { signature: None }).await
        }
        (Method::POST, ["v1", "approvals", id, "deny"]) => {
            let denial: Denial = serde_json::from_slice(body)
                .map_err(|_| Problem::Bad("the body must be {\"reason\": \"…\"}".to_owned()))?;
            vote(parts, voter, hold_id(id)?, Ballot::Deny { reason: denial.reason }).await
        }
        (Method::GET, ["v1", "sessions"]) => Ok(answer::json(&parts.store.sessions(ROWS).await?)),
        (Method::GET, ["v1", "sessions", id]) => session(parts, session_id(id)?).await,
        (Method::POST, ["v1", "sessions", id, "revoke"]) => revoke(parts, &voter, session_id(id)?).await,
        (Method::GET, ["v1", "operations"]) => {
            let session = value(query, "session").map(session_id).transpose()?;
            let number = |key: &str| value(query, key).and_then(|text| text.parse::<i64>().ok());
            let limit = number("limit").and_then(|n| u32::try_from(n).ok()).unwrap_or(ROWS).min(ROWS);
            let filter = Filter { session, after: number("after").unwrap_or(0), limit };
            Ok(answer::json(&parts.store.operations(filter).await?))
        }
        (Method::GET, ["v1", "rejected"]) => Ok(answer::json(&parts.store.rejected(ROWS).await?)),
        (Method::GET, ["v1", "policy"]) => Ok(answer::json(&parts.policies.state())),
        (Method::GET, ["v1", "events"]) => Ok(Answer::Events(parts.approvals.events())),
        (Method::GET, ["v1", "whoami"]) => Ok(answer::json(&json!({
            "issuer": voter.issuer,
            "subject": voter.subject,
            "groups": voter.groups,
            "via": voter.via,
        }))),
        (Method::GET, ["openapi.json"]) => Ok(answer::json(&openapi())),
        _ => Err(Problem::NoRoute),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial {
    reason: String,
}

async fn approval(parts: &Parts, id: HoldId) -> Result<Answer, Problem> {
    let hold = parts.store.hold(id).await?.ok_or(Problem::NotFound("hold"))?;
    let operations = parts.store.operations_of_hold(id).await?;
    Ok(answer::json(&json!({ "hold": hold, "operations": operations })))
}

async fn vote(parts: &Parts, voter: Voter, id: HoldId, ballot: Ballot) -> Result<Answer, Problem> {
    let (subject, local) = (voter.subject.clone(), voter.via == Via::LocalSocket);
    let (effect, record) = match parts.approvals.vote(id, voter, ballot).await {
        Ok(voted) => voted,
        Err(BallotError::Unknown) => return Err(Problem::NotFound("hold")),
        Err(BallotError::Store(error)) => return Err(error.into()),
        Err(BallotError::Vote(error)) => {
            let text = shared::chain::Chain(&error).to_string();
            return Err(match error {
                VoteError::Refused(_) => Problem::Forbidden(text),
                VoteError::Over { .. } => Problem::Conflict(text),
                VoteError::ReasonTooLong => Problem::Bad(text),
            });
        }
    };
    tracing::info!(hold.id = %id, approver = subject, phase = record.phase().as_str(), "vote");
    let (word, have, need) = match effect {
        VoteEffect::Counted { have, need } => ("counted", Some(have), Some(need)),
        VoteEffect::Approved(_) => ("approved", None, None),
        VoteEffect::Denied => ("denied", None, None),
    };
    let warning = (local && parts.approvals.mode() == Mode::Try)
        .then_some("one vote over the local socket was enough, because this is a trial: nobody proved to be another person than the asker");
    Ok(answer::json(
        &json!({ "result": word, "have": have, "need": need, "phase": record.phase(), "warning": warning }),
    ))
}

async fn session(parts: &Parts, id: SessionId) -> Result<Answer, Problem> {
    let session = parts.store.session(id).await?.ok_or(Problem::NotFound("session"))?;
    let operations = parts.store.operations(Filter { session: Some(id), after: 0, limit: 10 * ROWS }).await?;
    Ok(answer::json(&json!({ "session": session, "operations": operations })))
}

async fn revoke(parts: &Parts, voter: &Voter, id: SessionId) -> Result<Answer, Problem> {
    if voter.groups.is_empty() {
        return Err(Problem::Forbidden("only a member of an approvers' group may end a session".to_owned()));
    }
    let why = format!("revoked by {}", voter.subject);
    let revoked = parts.sessions.revoke(id, &why).await?;
    parts.approvals.void_session(id).await?;
    if revoked { Ok(answer::json(&json!({ "result": "revoked" }))) } else { Err(Problem::NotFound("open session")) }
}

fn hold_id(text: &str) -> Result<HoldId, Problem> {
    text.parse().map_err(|_| Problem::NotFound("hold"))
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    text.parse().map_err(|_| Problem::NotFound("session"))
}

fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn flag(query: &str, key: &str) -> bool {
    value(query, key) == Some("true")
}

/// The OpenAPI 3.1 document, made from [`ROUTES`].
pub fn openapi() -> Value {
    let mut paths = serde_json::Map::new();
    for (method, path, summary) in &ROUTES {
        let parameters: Vec<Value> = path
            .contains("{id}")
            .then(|| json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } }))
            .into_iter()
            .collect();
        let mut operation = json!({
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": { "description": "The answer" },
                "401": { "description": "No credential that counts", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } } },
                "default": { "description": "A problem", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Problem" } } } },
            },
        });
        if path.ends_with("/deny")
            && let Some(operation) = operation.as_object_mut()
        {
            let schema = json!({ "type": "object", "required": ["reason"], "properties": { "reason": { "type": "string" } }, "additionalProperties": false });
            operation.insert(
                "requestBody".to_owned(),
                json!({ "required": true, "content": { "application/json": { "schema": schema } } }),
            );
        }
        let entry = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Sallyport", "version": env!("CARGO_PKG_VERSION") },
        "security": [{ "oidc": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "oidc": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["error", "status"],
                    "properties": { "error": { "type": "string" }, "status": { "type": "integer" } },
                },
            },
        },
    })
}
