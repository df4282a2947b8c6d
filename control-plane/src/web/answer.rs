//! Answers of the web API: JSON, or a problem in one shape.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast;

use crate::approvals::Event;

/// An answer, before warp sends it.
pub(super) enum Answer {
    /// JSON.
    Json(StatusCode, Vec<u8>),
    /// Server-sent events.
    Events(broadcast::Receiver<Event>),
}

/// What went wrong, for a person and for a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// No credential, or one that does not count.
    #[error("{0}")]
    Unauthenticated(String),
    /// A credential that may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("there is no {0} of that id")]
    NotFound(&'static str),
    /// The path or method.
    #[error("there is no such route; see /openapi.json")]
    NoRoute,
    /// What was sent.
    #[error("{0}")]
    Bad(String),
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
            Self::NotFound(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
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
