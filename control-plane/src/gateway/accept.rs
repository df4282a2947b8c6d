//! The accept stage: framing is hyper's; here are size and headers. What passes is still nobody's and means nothing.

use std::str::FromStr;

use std::time::Duration;

use bytes::Bytes;
use control_plane_core::headers;
use control_plane_core::request::memory_of_body;
use http::HeaderValue;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};
use shared::ids::OperationId;
use shared::{limits, wire};
use shared_net::body::{BodyError, collect_bounded};

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
        let Some(id) = operation_id(&parts) else { return Err((Refusal::NoOperationId, None)) };
        parts.headers.remove(wire::header::OPERATION);
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

    /// Bytes of memory that its body may take, with what is read of it: by what it says of its length, or as much as any. None where there is no
    /// body.
    pub(super) fn body_bytes(&self) -> Option<usize> {
        if self.body.is_end_stream() {
            return None;
        }
        let said = self.body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = said.map_or(limits::REQUEST_BODY_BYTES, |bytes| bytes.min(limits::REQUEST_BODY_BYTES));
        Some(memory_of_body(bytes))
    }

    /// Reads the body to its bound, in bytes and in time.
    pub(super) async fn read(self) -> Result<Read, Refusal> {
        if self.body.is_end_stream() {
            return Ok(Read { parts: self.parts, body: Bytes::new() });
        }
        let body = collect_bounded(self.body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT);
        let slow = |_| BodyError::Broken(Box::new(TooSlow(limits::BODY_TIME)));
        let body = tokio::time::timeout(limits::BODY_TIME, body).await.map_err(slow).flatten();
        Ok(Read { parts: self.parts, body: body.map_err(Refusal::Body)? })
    }
}

/// It came piece by piece, and never to an end.
#[derive(Debug, thiserror::Error)]
#[error("it was not whole after {0:?}")]
struct TooSlow(Duration);

/// The one id that the sidecar gave it.
fn operation_id(parts: &Parts) -> Option<OperationId> {
    let mut ids = parts.headers.get_all(wire::header::OPERATION).iter().map(HeaderValue::to_str);
    match (ids.next(), ids.next()) {
        (Some(Ok(id)), None) => OperationId::from_str(id).ok(),
        _ => None,
    }
}
