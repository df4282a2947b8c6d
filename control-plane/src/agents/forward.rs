//! The forward stage: a grant is sent once, to one agent.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use control_plane_core::decision::Allowed;
use control_plane_core::lifecycle::{NotSent, Outcome, Unknown};
use http::header::HOST;
use http::{HeaderValue, Response};
use http_body_util::Full;
use shared::ids::GrantId;
use shared::wire;
use shared_net::exchange::{self, ExchangeError};
use shared_net::memory::Place;

use super::AgentLink;
use super::answer::AgentBody;
use super::streams::Share;
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
    /// What the API server answered, where that is what it refuses to pass on.
    pub answered: Option<u16>,
}

/// A grant that was certainly never spent and never will be: it did not get as far as an agent's ledger, or the agent that has that
/// ledger says so. The only way from a grant back to the right to be issued one.
pub(crate) struct Unspent(Outgoing);

impl Unspent {
    /// The grant.
    pub(crate) const fn jti(&self) -> GrantId {
        self.0.grant.claims().jti
    }

    /// What it was made of.
    pub(crate) fn allowed(&self) -> &Allowed {
        self.0.grant.allowed()
    }

    /// What it was made of, for another grant.
    pub(crate) fn again(self) -> Allowed {
        self.0.grant.unspent()
    }
}

/// A grant that left, and of which nobody here can say whether it was spent.
pub(crate) struct Lost(Outgoing);

impl Lost {
    /// The grant.
    pub(crate) const fn jti(&self) -> GrantId {
        self.0.grant.claims().jti
    }

    /// The agent process that could have spent it says that it did not, and has sealed its connection.
    pub(super) fn never_spent(self) -> Unspent {
        Unspent(self.0)
    }
}

impl fmt::Debug for Unspent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unspent").field(&self.jti()).finish()
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lost").field(&self.jti()).finish()
    }
}

/// Why there is no answer of the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// Certainly not sent.
    #[error("the grant did not reach the agent")]
    NotSent {
        /// It may be issued again.
        unspent: Box<Unspent>,
        /// Why.
        #[source]
        source: NotSentError,
    },
    /// It left, and nothing came back.
    #[error("the agent did not answer")]
    NoAnswer {
        /// Its agent may know.
        lost: Box<Lost>,
        /// Why.
        #[source]
        source: ExchangeError,
    },
}

/// Why a grant was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSentError {
    /// It said so after it was picked.
    #[error("the agent is going away")]
    Leaving,
    /// A head that can't be written.
    #[error("the request can't be written")]
    Request(#[source] http::Error),
    /// The connection, or the agent, did not take it.
    #[error("the agent did not take it")]
    Exchange(#[source] ExchangeError),
}

/// Sends a grant with its request, on a stream that the session has, and with room for its body. The answer is the agent's, with our own headers
/// still on it.
pub(crate) async fn forward(
    link: &AgentLink,
    outgoing: Outgoing,
    (share, room): (Share, Option<Place>),
) -> Result<Response<AgentBody>, ForwardError> {
    forward_with(link, outgoing, None, (share, room)).await
}

/// The same with what approvers look at, which is no part of the request.
pub(crate) async fn forward_with(
    link: &AgentLink,
    outgoing: Outgoing,
    review: Option<Bytes>,
    (share, _room): (Share, Option<Place>),
) -> Result<Response<AgentBody>, ForwardError> {
    let not_sent = |outgoing, source| Err(ForwardError::NotSent { unspent: Box::new(Unspent(outgoing)), source });
    if link.is_leaving() {
        return not_sent(outgoing, NotSentError::Leaving);
    }
    let request = match request(&outgoing, review) {
        Ok(request) => request,
        Err(error) => return not_sent(outgoing, NotSentError::Request(error)),
    };
    let session = outgoing.grant.claims().session;
    match exchange::send(&link.connection, request).await {
        Ok(response) => Ok(response.map(|body| link.unread.body(session, share, body))),
        Err(error) if error.certainly_not_sent() => {
            if matches!(error, ExchangeError::Refused(_)) {
                // What it has not said yet, or we have not heard.
                link.leave();
            }
            not_sent(outgoing, NotSentError::Exchange(error))
        }
        Err(source) => Err(ForwardError::NoAnswer { lost: Box::new(Lost(outgoing)), source }),
    }
}

/// What goes to the agent.
fn request(outgoing: &Outgoing, review: Option<Bytes>) -> Result<http::Request<Full<Bytes>>, http::Error> {
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
    builder.body(Full::new(review.unwrap_or_else(|| request.body().clone())))
}

/// Reads and removes our own headers from an agent's answer. An answer that does not say whether it was sent counts as unknown.
pub(crate) fn sent(headers: &mut http::HeaderMap) -> (Sent, Option<AgentRefused>) {
    let sent = match headers.remove(wire::header::SENT).as_ref().map(HeaderValue::as_bytes) {
        Some(b"yes") => Sent::Yes,
        Some(b"no") => Sent::No,
        _ => Sent::Unknown,
    };
    let attack = headers.contains_key(wire::header::ATTACK);
    let answered = headers.get(wire::header::ANSWERED).and_then(|status| status.to_str().ok()?.parse().ok());
    let refused = headers.remove(wire::header::REFUSED).map(|word| AgentRefused { word, attack, answered });
    let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("sallyport-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    (sent, refused)
}
