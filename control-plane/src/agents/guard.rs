//! Guard reads: whether what protects a cluster is as it was installed. Which objects these are is the agents' own list, and so is the
//! comparison; we ask, and get words.

use bytes::Bytes;
use control_plane_core::grant::{Purpose, Target};
use control_plane_core::internal;
use http::StatusCode;
use http::header::HOST;
use http_body_util::Full;
use shared::guard::Watched;
use shared::ids::{OperationId, SessionId};
use shared::{limits, wire};
use shared_net::body::collect_bounded;
use shared_net::exchange;
use uuid::Uuid;

use super::internal::{Beside, InternalError};
use super::{AgentLink, Agents};

impl Agents {
    /// How the objects of a cluster are that its agent guards. Empty: the agent was not told of any.
    pub async fn guard_read(&self, cluster: &str) -> Result<Vec<Watched>, InternalError> {
        let mut link = self.pick(cluster).ok_or_else(|| InternalError::NoAgent(cluster.to_owned()))?;
        let targets = match guarded(&link).await {
            // While agents are updated one of the others may be newer.
            Err(InternalError::OldAgents) => {
                link = self.pick_but(cluster, Some(link.epoch)).ok_or(InternalError::OldAgents)?;
                guarded(&link).await?
            }
            asked => asked?,
        };
        let mut watched = Vec::new();
        // An operation for as many objects as one grant can list.
        for some in targets.chunks(limits::GRANT_READS.saturating_add(1)) {
            let Some((first, rest)) = some.split_first() else { continue };
            let not_made = |error| InternalError::NotMade(Box::new(error));
            let id = OperationId::new(Uuid::now_v7());
            // No session stands behind it.
            let session = SessionId::new(Uuid::nil());
            let attributes = internal::guard_read(cluster, id, session, first).map_err(not_made)?;
            let beside = Beside::Reads(rest.to_vec());
            let (status, body) = self.ask_through(Purpose::GuardRead, attributes, None, &link, beside).await?;
            if status != StatusCode::OK {
                return Err(InternalError::Status(status.as_u16()));
            }
            let some: Vec<Watched> = serde_json::from_slice(&body).map_err(|_| InternalError::Unreadable)?;
            watched.extend(some);
        }
        Ok(watched)
    }
}

/// The agent's list.
async fn guarded(link: &AgentLink) -> Result<Vec<Target>, InternalError> {
    let request =
        http::Request::get(wire::path::GUARDED).header(HOST, wire::HOST_CONTROL).body(Full::new(Bytes::new()));
    let request = request.map_err(|error| InternalError::NotMade(Box::new(error)))?;
    let asked = tokio::time::timeout(limits::SESSION_WAIT, exchange::send(&link.connection, request)).await;
    let response = asked.ok().and_then(Result::ok).ok_or(InternalError::NoAnswer)?;
    match response.status() {
        StatusCode::OK => {}
        // An agent of a version that knows nothing of it: not the same as one that was told of nothing.
        StatusCode::NOT_FOUND => return Err(InternalError::OldAgents),
        other => return Err(InternalError::Status(other.as_u16())),
    }
    let body = collect_bounded(response.into_body(), limits::LIVE_OBJECT_BYTES, limits::SESSION_WAIT).await;
    let body = body.map_err(|error| InternalError::NotMade(Box::new(error)))?;
    let targets: Vec<Target> = serde_json::from_slice(&body).map_err(|_| InternalError::Unreadable)?;
    if targets.len() > limits::GUARDED_OBJECTS { Err(InternalError::Unreadable) } else { Ok(targets) }
}
