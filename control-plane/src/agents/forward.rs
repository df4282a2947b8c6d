//! The forward stage: a grant is sent once, to one agent.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use control_plane_core::lifecycle::{NotSent, Outcome, Unknown};
use http::header::HOST;
use http::{HeaderValue, Response};
use http_body_util::Full;
use shared::wire;
use shared_net::exchange::{self, ExchangeError, ResponseBody};

use super::AgentLink;
use crate::grants::Outgoing;

/// What the agent's answer says of the send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The API server answered.
    Yes,
    /// Nothing was sent.
    No,
    /// It was sent and nobody knows what became of it.
    Unknown,
}

impl Sent {
    /// What became of the request, where the agent answered with this status.
    pub(crate) const fn outcome(self, status: u16) -> Outcome {
        match self {
            Self::Yes => Outcome::of_status(status),
            Self::No => Outcome::NotSent { why: NotSent::AgentRefused },
            Self::Unknown => Outcome::Unknown { why: Unknown::NoAnswer },
        }
    }
}

/// The agent refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentRefused {
    /// Its word for it.
    pub word: HeaderValue,
    /// Whether it takes us for somebody else.
    pub attack: bool,
}

/// Why there is no answer of the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// Certainly not sent.
    #[error("the grant did not reach the agent")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It left, and nothing came back.
    #[error("the agent did not answer")]
    NoAnswer(#[source] ExchangeError),
}

/// Sends a grant with its request. The answer is the agent's, with our own headers still on it.
pub(crate) async fn forward(link: &AgentLink, outgoing: Outgoing) -> Result<Response<ResponseBody>, ForwardError> {
    forward_with(link, outgoing, None).await
}

/// The same with what approvers look at, which is no part of the request.
pub(crate) async fn forward_with(
    link: &AgentLink,
    outgoing: Outgoing,
    review: Option<Bytes>,
) -> Result<Response<ResponseBody>, ForwardError> {
    let Outgoing { grant, key } = outgoing;
    let request = grant.request();
    let mut builder = http::Request::builder().method(request.method().clone()).uri(request.path_and_query());
    builder = builder.header(HOST, wire::HOST_KUBERNETES);
    for (name, value) in request.headers() {
        builder = builder.header(name, value.clone());
    }
    builder = builder.header(wire::header::GRANT, grant.token());
    builder = builder.header(wire::header::DIGEST_KEY, URL_SAFE_NO_PAD.encode(key.expose()));
    if review.is_some() {
        builder = builder.header(wire::header::REVIEW, "1");
    }
    let request = builder.body(Full::<Bytes>::new(review.unwrap_or_else(|| request.body().clone())));
    let request = request.map_err(|error| ForwardError::NotSent(Box::new(error)))?;
    exchange::send(&link.connection, request).await.map_err(|error| {
        if error.certainly_not_sent() { ForwardError::NotSent(Box::new(error)) } else { ForwardError::NoAnswer(error) }
    })
}

/// Reads and removes our own headers from an agent's answer. An answer that does not say whether it was sent counts as unknown.
pub(crate) fn sent(headers: &mut http::HeaderMap) -> (Sent, Option<AgentRefused>) {
    let sent = match headers.remove(wire::header::SENT).as_ref().map(HeaderValue::as_bytes) {
        Some(b"yes") => Sent::Yes,
        Some(b"no") => Sent::No,
        _ => Sent::Unknown,
    };
    let attack = headers.contains_key(wire::header::ATTACK);
    let refused = headers.remove(wire::header::REFUSED).map(|word| AgentRefused { word, attack });
    let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("sallyport-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    (sent, refused)
}
