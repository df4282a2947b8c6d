//! Answers of the web API: JSON, or a problem in one shape.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::time::Timestamp;
use tokio::sync::broadcast;

use crate::events::Event;

/// An answer, before warp sends it.
pub(super) enum Answer {
    /// JSON.
    Json(StatusCode, Vec<u8>),
    /// Server-sent events, until the credential that asked for them expires.
    Events {
        /// What happens.
        changes: broadcast::Receiver<Event>,
        /// When to stop; `None` for the local socket.
        until: Option<Timestamp>,
    },
}

/// What went wrong, for a person and for a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// No credential, or one that does not count.
    #[error("{0}")]
    Unauthenticated(String),
    /// A credential that may not do this, or a browser that was made to ask.
    #[error("{0}")]
    Forbidden(String),
    /// Another host's name: nothing of ours sends it here.
    #[error("this server does not answer to that host name; listen.names lists those it has")]
    Host,
    /// There is no such thing.
    #[error("there is no {0} of that id")]
    NotFound(&'static str),
    /// There is no such cluster.
    #[error("{}", crate::enrolments::ForgetError::Unknown)]
    NoCluster,
    /// The path.
    #[error("there is no such route; see /openapi.json")]
    NoRoute,
    /// The method.
    #[error("this route does not take {0}; see /openapi.json")]
    Method(String),
    /// What was sent.
    #[error("{0}")]
    Bad(String),
    /// A body over the bound.
    #[error("the body is larger than {} bytes", shared::limits::CONTROL_BODY_BYTES)]
    TooLarge,
    /// A form, a text: what a web page can send to anybody.
    #[error("send application/json")]
    MediaType,
    /// It is over already.
    #[error("{0}")]
    Conflict(String),
    /// The store.
    #[error("the store can't be used right now; try again")]
    Unavailable,
}

impl Problem {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound(_) | Self::NoCluster | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<crate::store::StoreError> for Problem {
    fn from(error: crate::store::StoreError) -> Self {
        tracing::error!(error = %shared::chain::Chain(&error), "the store failed a web call");
        Self::Unavailable
    }
}

/// JSON with 200.
pub(super) fn json<T: Serialize>(value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => Answer::Json(StatusCode::OK, bytes),
        Err(_) => problem(&Problem::Unavailable),
    }
}

/// A problem.
pub(super) fn problem(problem: &Problem) -> Answer {
    let status = problem.status();
    Answer::Json(status, json!({ "error": problem.to_string(), "status": status.as_u16() }).to_string().into_bytes())
}
