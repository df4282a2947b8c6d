//! Which headers a client may not send at all. What may be sent and is not on the closed list of [`crate::request::WireRequest`] is not
//! forwarded; these are refused, because whoever sends one expects it to mean something (failures I1, I2, I4, U4, U8).
//!
//! Names come lower-cased from the `http` crate; some servers read `_` as `-`, so both are taken for one here.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use shared::status::Reason;

#[cfg(test)]
mod tests;

/// Prefixes of names that assert an identity: only the agent may, after every other header is gone.
const IDENTITY_PREFIXES: [&str; 2] = ["impersonate-", "x-remote-"];

/// The only headers that `Connection` may name: those of the connection itself. Any other would make the next hop drop that header,
/// and with it, say, an impersonation that was just added (failures I1, CVE-2021-31999).
const CONNECTION_TOKENS: [&str; 3] = ["close", "keep-alive", "upgrade"];

/// The upgrades that Kubernetes has (failures U4).
const UPGRADES: [&str; 2] = ["websocket", "SPDY/3.1"];

/// A bearer token in disguise (k8s.io/apiserver pkg/authentication/request/websocket/protocol.go).
const WEBSOCKET_BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// Headers of which a second one would be read by one party and not by another.
const SINGLE: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
    header::IF_NONE_MATCH,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// Why a request's headers are refused. `Display` is the sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefusal {
    /// A client's own impersonation, or a front proxy's identity header.
    #[error("the header {name:?} asserts an identity, which a client can't do here")]
    Identity {
        /// Its name as it came.
        name: String,
    },
    /// A token that travels as a WebSocket sub-protocol.
    #[error("Sec-WebSocket-Protocol carries a bearer token, which a client can't send here")]
    WebSocketBearer,
    /// Empty, without a token, or of another scheme than Bearer.
    #[error("the Authorization header holds no bearer token")]
    Authorization,
    /// Twice the same.
    #[error("the header {name:?} stands there more than once")]
    Duplicate {
        /// Its name.
        name: String,
    },
    /// `Connection` names a header that is not the connection's own.
    #[error("the Connection header names {got:?}")]
    Connection {
        /// What it names.
        got: String,
    },
    /// An upgrade that Kubernetes doesn't have.
    #[error("the upgrade to {got:?} is not known: websocket or SPDY/3.1")]
    Upgrade {
        /// What is asked for.
        got: String,
    },
    /// A page in a browser, not a client.
    #[error("the header {name:?} comes from a web page, and pages are not served")]
    Browser {
        /// Its name.
        name: String,
    },
    /// Bytes that are no visible ASCII where they decide something.
    #[error("the header {name:?} is not readable text")]
    Text {
        /// Its name.
        name: String,
    },
}

impl HeaderRefusal {
    /// The word and HTTP code of the refusal.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Identity { .. } | Self::WebSocketBearer | Self::Browser { .. } => Reason::Forbidden,
            Self::Authorization => Reason::Unauthorized,
            Self::Duplicate { .. } | Self::Connection { .. } | Self::Upgrade { .. } | Self::Text { .. } => {
                Reason::BadRequest
            }
        }
    }
}

/// Checks the headers of a client's request, before anything is dropped or added.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(headers: &HeaderMap) -> Result<(), HeaderRefusal> {
    for name in headers.keys() {
        let plain = name.as_str().replace('_', "-");
        if IDENTITY_PREFIXES.iter().any(|prefix| plain.starts_with(prefix)) {
            return Err(HeaderRefusal::Identity { name: name.as_str().to_owned() });
        }
        // `Content_Type` and the like: for one reader a twin of the real one, for another nothing.
        if plain != name.as_str() && SINGLE.iter().any(|single| single.as_str() == plain) {
            return Err(HeaderRefusal::Duplicate { name: plain });
        }
    }
    for name in &SINGLE {
        if headers.get_all(name).iter().nth(1).is_some() {
            let refusal = if *name == header::AUTHORIZATION {
                HeaderRefusal::Authorization
            } else {
                HeaderRefusal::Duplicate { name: name.as_str().to_owned() }
            };
            return Err(refusal);
        }
    }
    // Two lengths of one body (RFC 9112 §6.3): whoever sends both wants two readers to disagree.
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(HeaderRefusal::Duplicate { name: header::CONTENT_LENGTH.as_str().to_owned() });
    }
    check_authorization(headers)?;
    check_connection(headers)?;
    check_browser(headers)
}

/// Whether the API server would take the request for an upgrade: an `Upgrade` header, or the *substring* `upgrade` in any
/// `Connection` header (apimachinery pkg/util/httpstream `IsUpgradeRequest`).
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        || headers.get_all(header::CONNECTION).iter().any(|value| {
            value.as_bytes().to_ascii_lowercase().windows(b"upgrade".len()).any(|window| window == b"upgrade")
        })
}

fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, HeaderRefusal> {
    value.to_str().map_err(|_| HeaderRefusal::Text { name: name.as_str().to_owned() })
}

fn check_authorization(headers: &HeaderMap) -> Result<(), HeaderRefusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(());
    };
    let value = value.to_str().map_err(|_| HeaderRefusal::Authorization)?;
    match value.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(HeaderRefusal::Authorization),
    }
}

fn check_connection(headers: &HeaderMap) -> Result<(), HeaderRefusal> {
    for value in headers.get_all(header::CONNECTION) {
        for token in text(&header::CONNECTION, value)?.split(',').map(str::trim) {
            if !token.is_empty() && !CONNECTION_TOKENS.iter().any(|known| known.eq_ignore_ascii_case(token)) {
                return Err(HeaderRefusal::Connection { got: token.to_owned() });
            }
        }
    }
    if let Some(value) = headers.get(header::UPGRADE) {
        let got = text(&header::UPGRADE, value)?;
        if !UPGRADES.iter().any(|known| known.eq_ignore_ascii_case(got)) {
            return Err(HeaderRefusal::Upgrade { got: got.to_owned() });
        }
    }
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let offered = text(&header::SEC_WEBSOCKET_PROTOCOL, value)?.to_ascii_lowercase();
        if offered.split(',').any(|one| one.trim().starts_with(WEBSOCKET_BEARER)) {
            return Err(HeaderRefusal::WebSocketBearer);
        }
    }
    Ok(())
}

/// No Kubernetes client sends these; a page that reaches a local port does (failures U8).
fn check_browser(headers: &HeaderMap) -> Result<(), HeaderRefusal> {
    if headers.contains_key(header::ORIGIN) {
        return Err(HeaderRefusal::Browser { name: "origin".to_owned() });
    }
    match headers.get("sec-fetch-site") {
        Some(site) if site.as_bytes() != b"none" => Err(HeaderRefusal::Browser { name: "sec-fetch-site".to_owned() }),
        _ => Ok(()),
    }
}
