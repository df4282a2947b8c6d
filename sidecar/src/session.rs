//! The session: who this runner is, said once per connection and renewed in time. It belongs to this process's key.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use shared::ids::{OperationId, SessionId};
use shared::secret::Secret;
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::body::{BodyError, collect_bounded, full};
use shared_net::clock::Clock;
use shared_net::crypto;
use shared_net::endpoint::Connection;
use shared_net::exchange::{self, ExchangeError};

/// Where the tokens are.
#[derive(Clone, Debug)]
pub(crate) struct TokenFiles {
    pub(crate) pod: Option<PathBuf>,
    pub(crate) ci: Option<PathBuf>,
}

/// What they hold now. Compared to see whether kubelet or the CI provider renewed one.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pod: Option<Secret<String>>,
    ci: Option<Secret<String>>,
}

/// A token file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("can't read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no token (empty, over {limit} bytes, or not one line of text)", limit = limits::TOKEN_BYTES)]
    Content { path: PathBuf },
}

impl TokenFiles {
    pub(crate) fn read(&self) -> Result<Tokens, TokenError> {
        let read = |path: &Option<PathBuf>| path.as_deref().map(read_token).transpose();
        Ok(Tokens { pod: read(&self.pod)?, ci: read(&self.ci)? })
    }
}

fn read_token(path: &Path) -> Result<Secret<String>, TokenError> {
    let content = || TokenError::Content { path: path.to_owned() };
    let bytes = std::fs::read(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    if bytes.len() > limits::TOKEN_BYTES {
        return Err(content());
    }
    let text = String::from_utf8(bytes).map_err(|_| content())?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(content());
    }
    Ok(Secret::new(token.to_owned()))
}

impl Tokens {
    pub(crate) fn same(&self, other: &Self) -> bool {
        let same = |a: &Option<Secret<String>>, b: &Option<Secret<String>>| {
            a.as_ref().map(Secret::expose) == b.as_ref().map(Secret::expose)
        };
        same(&self.pod, &other.pod) && same(&self.ci, &other.ci)
    }

    /// The namespace that the pod's token names. Not verified, and good only for the file that tells clients their default.
    pub(crate) fn namespace(&self) -> Option<String> {
        use base64::Engine as _;
        #[derive(Deserialize)]
        struct Claims {
            #[serde(rename = "kubernetes.io")]
            kubernetes: Kubernetes,
        }
        #[derive(Deserialize)]
        struct Kubernetes {
            namespace: String,
        }
        let payload = self.pod.as_ref()?.expose().split('.').nth(1)?;
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Claims = serde_json::from_slice(&json).ok()?;
        Some(claims.kubernetes.namespace).filter(|name| crate::config::is_label(name))
    }
}

/// An open session, as the control plane confirmed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The control plane's clock when it answered.
    told: Timestamp,
    /// Ours at that moment.
    heard: Duration,
    life: Duration,
}

impl Session {
    /// A new operation id. It carries the *control plane's* time (told by it, carried on by our monotonic clock), so a wrong wall clock in
    /// the pod gets no operation refused.
    pub(crate) fn operation(&self, clock: &Clock) -> OperationId {
        let at = self.told.after(clock.monotonic().saturating_sub(self.heard));
        OperationId::new(uuid::Builder::from_unix_timestamp_millis(at.0, &crypto::random()).into_uuid())
    }

    /// When it must be renewed, on our monotonic clock: at 80 % of its life.
    pub(crate) fn renew_at(&self) -> Duration {
        self.heard.saturating_add(self.life.mul_f64(0.8))
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("token can't be read")]
    Tokens(#[from] TokenError),
    #[error("control plane did not answer")]
    Exchange(#[source] ExchangeError),
    #[error("control plane did not answer within {0:?}")]
    Slow(Duration),
    #[error("answer of the control plane broke off")]
    Body(#[source] BodyError),
    #[error("answer of the control plane can't be read")]
    Garbled,
    /// The control plane said no.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
}

impl SessionError {
    /// What was judged of who we are; `None`: nobody was able to judge.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => Some(Verdict::Refused),
            Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN => Some(Verdict::Over),
            Self::Tokens(_) => Some(Verdict::Refused),
            Self::Exchange(_) | Self::Slow(_) | Self::Body(_) | Self::Garbled | Self::Refused { .. } => None,
        }
    }
}

/// What the control plane thinks of who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The tokens are no good now; fresh ones may be.
    Refused,
    /// This key gets no session any more: revoked, restored from a backup, another runner's.
    Over,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ci_token: Option<&'a str>,
    version: &'static str,
}

#[derive(Deserialize)]
struct Opened {
    session: SessionId,
    expires: Timestamp,
    now: Timestamp,
}

/// Opens or renews the session of this connection's key.
pub(crate) async fn open(connection: &Connection, tokens: &Tokens, clock: &Clock) -> Result<Session, SessionError> {
    tokio::time::timeout(limits::SESSION_WAIT, exchange(connection, tokens, clock))
        .await
        .unwrap_or(Err(SessionError::Slow(limits::SESSION_WAIT)))
}

async fn exchange(connection: &Connection, tokens: &Tokens, clock: &Clock) -> Result<Session, SessionError> {
    let open = Open {
        pod_token: tokens.pod.as_ref().map(|token| token.expose().as_str()),
        ci_token: tokens.ci.as_ref().map(|token| token.expose().as_str()),
        version: env!("CARGO_PKG_VERSION"),
    };
    let mut request = Request::new(full(serde_json::to_vec(&open).map_err(|_| SessionError::Garbled)?));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(wire::path::SESSION);
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static(wire::HOST_CONTROL));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = exchange::send(connection, request).await.map_err(SessionError::Exchange)?;
    let status = response.status();
    let body = collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::SESSION_WAIT)
        .await
        .map_err(SessionError::Body)?;
    if !status.is_success() {
        return Err(SessionError::Refused { status, message: message(status, &body) });
    }
    let opened: Opened = serde_json::from_slice(&body).map_err(|_| SessionError::Garbled)?;
    Ok(Session {
        id: opened.session,
        told: opened.now,
        heard: clock.monotonic(),
        life: opened.expires.since(opened.now),
    })
}

fn message(status: StatusCode, body: &Bytes) -> String {
    serde_json::from_slice::<shared::status::Status>(body)
        .map_or_else(|_| format!("HTTP {status}"), |status| status.message)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use shared_net::clock::ManualClock;

    use super::*;

    #[test]
    fn token_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let files = TokenFiles { pod: Some(path.clone()), ci: None };
        assert!(matches!(files.read(), Err(TokenError::Read { .. })));
        for wrong in ["", "\n", "two lines\nof text", &"x".repeat(limits::TOKEN_BYTES + 1)] {
            std::fs::write(&path, wrong).unwrap();
            assert!(matches!(files.read(), Err(TokenError::Content { .. })), "{wrong:?}");
        }
        let payload =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"kubernetes.io":{"namespace":"ci-jobs"}}"#);
        std::fs::write(&path, format!("h.{payload}.s\n")).unwrap();
        let first = files.read().unwrap();
        assert_eq!(first.namespace().as_deref(), Some("ci-jobs"));
        assert!(first.same(&files.read().unwrap()));
        std::fs::write(&path, "other").unwrap();
        let second = files.read().unwrap();
        assert!(!first.same(&second));
        assert_eq!(second.namespace(), None);
    }

    #[test]
    fn operation_ids_carry_the_control_planes_time() {
        let hand = ManualClock::new(Timestamp(5));
        let clock = hand.clock();
        let session = Session {
            id: SessionId::new(uuid::Uuid::nil()),
            told: Timestamp(1_700_000_000_000),
            heard: clock.monotonic(),
            life: Duration::from_secs(100),
        };
        assert_eq!(session.renew_at(), Duration::from_secs(80));
        hand.jump(Timestamp(0));
        hand.advance(Duration::from_secs(3));
        let (one, two) = (session.operation(&clock).uuid(), session.operation(&clock).uuid());
        assert_ne!(one, two);
        assert_eq!(one.get_version_num(), 7);
        let (seconds, nanos) = one.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_003, 0));
    }
}
