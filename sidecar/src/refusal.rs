//! The one table of what this process says by itself. Everything is a Kubernetes `Status`, so unchanged clients print it well.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use shared::ids::OperationId;
use shared::status::{Cause, Reason, Status};
use shared_net::body::{BoxBody, full};

/// Why a request is answered here instead of by the control plane.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Framing or head that has more than one reading.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// Not one of our names.
    #[error(
        "this endpoint does not answer to that host name; use the address from the kubeconfig or the service account files"
    )]
    Host,
    /// A browser speaks.
    #[error("this endpoint does not serve web pages (the request has {0})")]
    Browser(&'static str),
    /// Not the token of this pod.
    #[error(
        "the token of this runner is missing or wrong; clients find it in the service account files or the kubeconfig"
    )]
    Token,
    /// An upgrade that no Kubernetes client asks for.
    #[error("no upgrade is passed on but those to SPDY/3.1 and websocket")]
    Upgrade,
    /// More headers than allowed.
    #[error("more headers than {0}")]
    Headers(usize),
    /// A body over the bound.
    #[error("request body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// A body that stopped.
    #[error("request body made no progress")]
    BodySlow,
    /// The client's body broke off.
    #[error("request body broke off")]
    BodyBroken,
    /// The control plane can't be reached, and the request was certainly not sent.
    #[error("control plane can't be reached ({0}); the request was not sent")]
    Unreachable(String),
    /// The control plane does not accept who we are.
    #[error("control plane refused this runner's session: {0}")]
    Session(String),
    /// The request may have been sent and nobody can say what became of it.
    #[error(
        "outcome unknown: the connection to the control plane was lost after the request may have been sent ({0}); look before repeating it"
    )]
    Unknown(String),
    /// The same of what only reads, so that it doesn't matter.
    #[error(
        "the connection to the control plane was lost before it answered ({0}); it only reads, so nothing was changed: run it again"
    )]
    NoAnswer(String),
    /// The control plane answered something that this protocol does not have.
    #[error("control plane answered out of protocol: {0}")]
    Protocol(&'static str),
}

impl Refusal {
    /// Kubernetes' word for it, and whether the client may come back by itself.
    const fn class(&self) -> (Reason, bool) {
        match self {
            Self::Malformed(_) | Self::Upgrade | Self::Headers(_) | Self::BodyBroken => (Reason::BadRequest, false),
            // A refused session is no 401: kubectl throws its sentence away and asks for credentials, which would not help.
            Self::Host | Self::Browser(_) | Self::Session(_) => (Reason::Forbidden, false),
            Self::Token => (Reason::Unauthorized, false),
            Self::BodyTooLarge(_) => (Reason::RequestEntityTooLarge, false),
            Self::BodySlow => (Reason::Timeout, false),
            // The only case in which a repetition is harmless for certain.
            Self::Unreachable(_) => (Reason::ServiceUnavailable, true),
            Self::Unknown(_) | Self::NoAnswer(_) | Self::Protocol(_) => (Reason::BadGateway, false),
        }
    }

    /// A word for logs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Host => "host",
            Self::Browser(_) => "browser",
            Self::Token => "token",
            Self::Upgrade => "upgrade",
            Self::Headers(_) => "headers",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodySlow => "body_slow",
            Self::BodyBroken => "body_broken",
            Self::Unreachable(_) => "unreachable",
            Self::Session(_) => "session",
            Self::Unknown(_) => "outcome_unknown",
            Self::NoAnswer(_) => "no_answer",
            Self::Protocol(_) => "protocol",
        }
    }

    /// The answer.
    pub(crate) fn reply(&self, operation: Option<OperationId>) -> Response<BoxBody> {
        let (reason, again) = self.class();
        let mut status =
            Status::failure(reason, self.to_string()).with_cause(Cause::new("SallyportSidecar", self.word()));
        if let Some(operation) = operation {
            status = status.with_cause(Cause::new("SallyportOperation", operation.to_string()));
        }
        if again {
            status.details.get_or_insert_default().retry_after_seconds = Some(1);
        }
        let mut response = Response::new(full(Bytes::from(status.to_json())));
        *response.status_mut() = StatusCode::from_u16(reason.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_certainly_not_sent_may_be_repeated() {
        let all = [
            Refusal::Malformed("x"),
            Refusal::Host,
            Refusal::Browser("x"),
            Refusal::Token,
            Refusal::Upgrade,
            Refusal::Headers(1),
            Refusal::BodyTooLarge(1),
            Refusal::BodySlow,
            Refusal::BodyBroken,
            Refusal::Unreachable(String::new()),
            Refusal::Session(String::new()),
            Refusal::Unknown(String::new()),
            Refusal::NoAnswer(String::new()),
            Refusal::Protocol("x"),
        ];
        for refusal in all {
            let reply = refusal.reply(None);
            let again = reply.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(again, matches!(refusal, Refusal::Unreachable(_)), "{refusal:?}");
            assert!(reply.status().is_client_error() || reply.status().is_server_error());
        }
    }
}
