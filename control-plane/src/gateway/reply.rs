//! The only two ways in which a client is written to: a recorded answer, or a refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use control_plane_core::lifecycle::{Outcome, Unknown};
use control_plane_core::request::RequestError;
use control_plane_core::request_info::RequestInfo;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use shared::ids::OperationId;
use shared::wire;
use shared_net::body::{self, BoxBody, BoxError};

use super::refusal::Refusal;
use super::send::AnswerBody;
use super::watch::WatchEnd;
use crate::records::OperationLog;
use crate::sessions::SessionError;

/// An answer whose every byte is noted in the record before the client gets it. Its end closes the record; a break breaks the client's
/// stream too, so that nobody takes a part for the whole.
pub(super) struct Recorded {
    inner: AnswerBody,
    log: Option<OperationLog>,
    status: u16,
    watch: Option<WatchEnd>,
    /// It ended before the agent's answer did.
    over: bool,
}

impl Recorded {
    /// Starts the record stage for an answer.
    fn new(inner: AnswerBody, log: OperationLog, status: u16, watch: Option<WatchEnd>) -> Self {
        Self { inner, log: Some(log), status, watch, over: false }
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.over = self.over || self.watch.as_mut().is_some_and(|watch| watch.is_due(cx));
        if self.over {
            self.end();
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let Self { log, watch, .. } = &mut *self;
                if let (Some(log), Some(data)) = (log, frame.data_ref()) {
                    log.append(data);
                    watch.iter_mut().for_each(|watch| watch.passed(data));
                }
                if self.inner.is_end_stream() {
                    self.end();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                if let Some(log) = self.log.take() {
                    // The status came, so it was carried out; the rest of the answer is lost.
                    let outcome = log.outcome(self.status);
                    log.close_later(outcome, self.status, Some("the answer broke off".to_owned()));
                }
                Some(Err(error))
            }
            None => {
                self.end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Recorded {
    fn end(&mut self) {
        if let Some(log) = self.log.take() {
            let outcome = log.outcome(self.status);
            log.close_later(outcome, self.status, None);
        }
    }
}

/// Gives a recorded answer to the client.
pub(super) fn recorded(
    response: Response<AnswerBody>,
    mut log: OperationLog,
    watch: Option<WatchEnd>,
) -> Response<BoxBody> {
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    log.answered(status, content_type);
    response.map(|inner| {
        let mut body = Recorded::new(inner, log, status, watch);
        if body.is_end_stream() {
            body.end();
        }
        body.boxed_unsync()
    })
}

/// Refuses.
pub(super) fn refuse(
    refusal: &Refusal,
    operation: Option<OperationId>,
    info: Option<&RequestInfo>,
) -> Response<BoxBody> {
    let shape = refusal.shape();
    let status = refusal.status(operation, info);
    // A server may ignore an upgrade (RFC 9110, 7.8). fabric8's client asks for each watch by a WebSocket first, and for an ordinary one only
    // where the answer is 200; so it gets a watch that says why in its one event and ends.
    let (code, content) = if matches!(refusal, Refusal::Request(RequestError::Upgrade { watch: true, .. })) {
        (StatusCode::OK, [&br#"{"type":"ERROR","object":"#[..], &status.to_json(), b"}\n"].concat())
    } else {
        (StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), status.to_json())
    };
    let mut response = Response::new(body::full(content));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if matches!(refusal, Refusal::Session(SessionError::Expired(_) | SessionError::Over(_))) {
        headers.insert(wire::header::RENEW, HeaderValue::from_static("1"));
    }
    if matches!(refusal, Refusal::GoingAway) {
        headers.insert(wire::header::AGAIN, HeaderValue::from_static("1"));
    }
    if shape.retry {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The outcome when an answer of the agent does not say that the API server answered.
pub(super) const fn lost() -> Outcome {
    Outcome::Unknown { why: Unknown::NoAnswer }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fabric8's client for Java falls back on. No other upgrade that is refused looks like an answer.
    #[tokio::test]
    async fn a_watch_by_websocket_ends_at_once_with_the_reason() {
        for (watch, code, begins) in [(true, 200, r#"{"type":"ERROR","object":{"#), (false, 400, r#"{"kind":"Status""#)]
        {
            let refusal = Refusal::Request(RequestError::Upgrade { what: "configmaps".to_owned(), watch });
            let (parts, body) = refuse(&refusal, None, None).into_parts();
            let body =
                String::from_utf8(body::collect_bounded(body, 1024, shared::limits::HANDSHAKE).await.unwrap().to_vec())
                    .unwrap();
            assert_eq!(parts.status, code, "{body}");
            assert!(body.starts_with(begins) && body.contains("configmaps can't be upgraded"), "{body}");
            assert!(body.contains(r#""code":400"#), "{body}");
        }
    }
}
