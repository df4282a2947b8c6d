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
    #[error("only upgrades to SPDY/3.1 and websocket are possible")]
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
    /// The control plane answered something that this protocol does not have.
    #[error("control plane answered out of protocol: {0}")]
    Protocol(&'static str),
}

impl Refusal {
    /// Kubernetes' word for it, and whether the client may come back by itself.
    const fn class(&self) -> (Reason, bool) {
        match self {
            Self::Malformed(_) | Self::Upgrade | Self::Headers(_) | Self::BodyBroken => (Reason::BadRequest, false),
            // 403 for a refused session too: the client's own credential is right, and of a 401 kubectl prints no more than that it
            // should log in.
            Self::Host | Self::Browser(_) | Self::Session(_) => (Reason::Forbidden, false),
            Self::Token => (Reason::Unauthorized, false),
            Self::BodyTooLarge(_) => (Reason::RequestEntityTooLarge, false),
            Self::BodySlow => (Reason::Timeout, false),
            // The only case in which a repetition is harmless for certain.
            Self::Unreachable(_) => (Reason::ServiceUnavailable, true),
            Self::Unknown(_) | Self::Protocol(_) => (Reason::BadGateway, false),
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
            Self::Protocol(_) => "protocol",
        }
    }

    /// The answer to a request for this path.
    pub(crate) fn reply(&self, operation: Option<OperationId>, path: &str) -> Response<BoxBody> {
        let (reason, again) = self.class();
        let mut status =
            Status::failure(reason, self.to_string()).with_cause(Cause::new("SallyportSidecar", self.word()));
        if let Some(operation) = operation {
            status = status.with_cause(Cause::new("SallyportOperation", operation.to_string()));
        }
        if again {
            status.details.get_or_insert_default().retry_after_seconds = Some(1);
        }
        let (content_type, body) = if reason == Reason::Forbidden && is_discovery(path) {
            ("text/plain; charset=utf-8", Bytes::from(status.message))
        } else {
            ("application/json", Bytes::from(status.to_json()))
        };
        let mut response = Response::new(full(body));
        *response.status_mut() = StatusCode::from_u16(reason.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// What kubectl asks before anything else. client-go reads no `Status` there (`discovery_client.go` takes the raw answer): of an
/// error it shows a text as it is (`NewGenericServerResponse`), and of everything else the word "unknown".
fn is_discovery(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.count()) {
        (Some("api"), rest) => rest <= 1,
        (Some("apis"), rest) => rest <= 2,
        (Some("openapi"), _) => true,
        _ => false,
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
            Refusal::Protocol("x"),
        ];
        for refusal in all {
            let reply = refusal.reply(None, "/api/v1/pods");
            let again = reply.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(again, matches!(refusal, Refusal::Unreachable(_)), "{refusal:?}");
            assert!(reply.status().is_client_error() || reply.status().is_server_error());
        }
    }

    #[test]
    fn discovery_reads_texts_only() {
        let session = Refusal::Session("it expired".to_owned());
        let kind = |path: &str| session.reply(None, path).headers()[header::CONTENT_TYPE].clone();
        for path in ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3/apis/apps/v1"] {
            assert_eq!(kind(path), "text/plain; charset=utf-8", "{path}");
        }
        for path in ["/", "/version", "/api/v1/pods", "/apis/apps/v1/deployments", "/apiary"] {
            assert_eq!(kind(path), "application/json", "{path}");
        }
    }
}
