//! The accept stage: framing is hyper's; here are size and headers. What passes is still nobody's and means nothing.

use std::str::FromStr;

use bytes::Bytes;
use control_plane_core::headers;
use http::request::Parts;
use hyper::body::Incoming;
use shared::ids::OperationId;
use shared::{limits, wire};
use shared_net::body::collect_bounded;

use super::refusal::Refusal;

/// A request whose framing is valid and whose headers are harmless.
pub(super) struct Accepted {
    parts: Parts,
    body: Incoming,
    id: OperationId,
}

/// The same with its body read whole.
pub(super) struct Read {
    /// Head.
    pub(super) parts: Parts,
    /// Body, at most [`limits::REQUEST_BODY_BYTES`].
    pub(super) body: Bytes,
}

impl Accepted {
    /// Takes a request in, or says why not.
    pub(super) fn new(request: http::Request<Incoming>) -> Result<Self, (Refusal, Option<OperationId>)> {
        let (mut parts, body) = request.into_parts();
        let id = parts.headers.remove(wire::header::OPERATION);
        let id = id.as_ref().and_then(|id| id.to_str().ok()).and_then(|id| OperationId::from_str(id).ok());
        let Some(id) = id else { return Err((Refusal::NoOperationId, None)) };
        headers::check(&parts.headers).map_err(|error| (Refusal::Header(error), Some(id)))?;
        Ok(Self { parts, body, id })
    }

    /// The sidecar's id of it.
    pub(super) const fn id(&self) -> OperationId {
        self.id
    }

    /// Method and path, cut, for the log of rejected attempts. The query stays out: it can carry secrets.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.parts.method, self.parts.uri.path().chars().take(200).collect::<String>())
    }

    /// Reads the body to its bound.
    pub(super) async fn read(self) -> Result<Read, Refusal> {
        let body =
            collect_bounded(self.body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await.map_err(Refusal::Body)?;
        Ok(Read { parts: self.parts, body })
    }
}
