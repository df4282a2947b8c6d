//! What arrives on a connection to the control plane: two virtual hosts, told apart by `Host`.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use control_plane_core::ledger::Epoch;
use control_plane_core::lifecycle::Answer;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use shared::ids::GrantId;
use shared::{limits, wire};
use shared_net::body::{BoxBody, BoxError, collect_bounded, empty, full};

use crate::operation::{self, Agent, Link};

/// Answers one exchange.
///
/// # Errors
/// None: whatever is wrong is an answer too.
pub async fn exchange<B>(
    agent: Arc<Agent>,
    link: Arc<Link>,
    request: Request<B>,
) -> Result<Response<BoxBody>, Infallible>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes(),
        _ => b"",
    };
    let kubernetes = host == wire::HOST_KUBERNETES.as_bytes();
    let control = host == wire::HOST_CONTROL.as_bytes();
    Ok(if kubernetes {
        operation::serve(&agent, &link, request).await
    } else if control {
        control_call(&agent, request).await
    } else {
        plain(StatusCode::MISDIRECTED_REQUEST)
    })
}

/// A question about grants of one connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    epoch: Epoch,
    jtis: Vec<GrantId>,
}

/// The answers, in the order of the question.
#[derive(Debug, Serialize)]
struct Answers {
    answers: Vec<Answer>,
}

async fn control_call<B>(agent: &Agent, request: Request<B>) -> Response<BoxBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match (request.method(), request.uri().path()) {
        (&Method::POST, wire::path::LEDGER) => ledger(agent, request.into_body()).await,
        (&Method::GET, wire::path::GUARDED) => json(&agent.guarded.targets()),
        (_, wire::path::PING) => plain(StatusCode::NO_CONTENT),
        _ => plain(StatusCode::NOT_FOUND),
    }
}

/// Seals the epoch, so that no answer can change afterwards, and says what is known.
async fn ledger<B>(agent: &Agent, body: B) -> Response<BoxBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let Ok(body) = collect_bounded(body, limits::CONTROL_BODY_BYTES, limits::BODY_WAIT).await else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => {
            tracing::warn!(%error, "a question about grants that can't be read");
            return plain(StatusCode::BAD_REQUEST);
        }
    };
    let answers = Answers { answers: agent.ledger.answer(question.epoch, &question.jtis) };
    json(&answers)
}

fn json<T: Serialize>(value: &T) -> Response<BoxBody> {
    match serde_json::to_vec(value) {
        Ok(text) => {
            let mut response = Response::new(full(text));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn plain(status: StatusCode) -> Response<BoxBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}
