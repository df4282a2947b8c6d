//! The way to the API server. The cluster credential is read in one function of this file (`Upstream::call`) and nowhere else.
//!
//! Redirects are not followed: nothing here could (SECURITY.md U3). Three pools: ordinary calls share an HTTP/2 connection, as many as it has
//! room for when nobody reads their answers (SECURITY.md D9); what is too many for that, and a stream that may last, gets an HTTP/1.1 connection of
//! its own, because the API server allows few streams per connection and a hundred watches would leave no room for a write; what the agent asks
//! for itself, and reads itself at once, has a connection that no runner's answer can stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::grant::{GrantClaims, Impersonation, Purpose, Target, VerifiedGrant};
use control_plane_core::request::WireRequest;
use http::header::{self, HeaderName};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use shared::limits;
use shared::status::Reason;
use shared_net::shares::{Share, Shares};
use tokio::sync::watch;

use crate::refusal::Sent;

/// The one user that is impersonated.
pub const USER: &str = "sallyport:runner";

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");
/// `sallyport.dev/operation`, percent-encoded as the API server expects extra keys in header names.
const EXTRA_OPERATION: HeaderName = HeaderName::from_static("impersonate-extra-sallyport.dev%2foperation");
const EXTRA_SESSION: HeaderName = HeaderName::from_static("impersonate-extra-sallyport.dev%2fsession");
const EXTRA_SUBJECT: HeaderName = HeaderName::from_static("impersonate-extra-sallyport.dev%2fsubject");
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, so nothing was sent.
    #[error("it can't be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// The connection broke after the request may have gone out.
    #[error("the connection broke before it answered")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// It took too long.
    #[error("it did not answer in time")]
    Slow,
    /// The request can't be written: our own fault.
    #[error("the request can't be written")]
    Request(#[source] http::Error),
    /// There is no credential.
    #[error("this agent has no credential")]
    NoCredential,
    /// The task that waited for the answer is gone.
    #[error("the wait for the answer was broken off")]
    Lost,
}

impl UpstreamError {
    /// What became of the request.
    pub const fn sent(&self) -> Sent {
        match self {
            Self::Unreachable(_) | Self::Request(_) | Self::NoCredential => Sent::No,
            Self::Broken(_) | Self::Slow | Self::Lost => Sent::Unknown,
        }
    }

    /// One word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream-unreachable",
            Self::Broken(_) => "upstream-broken",
            Self::Slow => "upstream-slow",
            Self::Request(_) => "upstream-request",
            Self::NoCredential => "upstream-no-credential",
            Self::Lost => "upstream-lost",
        }
    }

    /// HTTP code: 503 where nothing was sent, so that a caller may try again.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Unreachable(_) | Self::Request(_) | Self::NoCredential => Reason::ServiceUnavailable,
            Self::Slow => Reason::Timeout,
            Self::Broken(_) | Self::Lost => Reason::BadGateway,
        }
    }
}

/// Where the API server is and how to trust it.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// Host and port.
    pub authority: Authority,
    /// Its authorities' certificates.
    pub roots: RootCertStore,
    /// The ServiceAccount token; it changes while we run.
    pub token_file: PathBuf,
}

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Shared HTTP/2.
    Call,
    /// An HTTP/1.1 connection of its own.
    Stream,
    /// The agent's own HTTP/2.
    Own,
}

/// The place of a call on the shared connection. It comes with the answer, as an extension of its head, and is kept until the body is dropped.
#[derive(Clone, Debug)]
pub struct CallPlace(#[expect(dead_code, reason = "it is dropped, and that is all")] Arc<Share>);

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Who<'a> {
    /// The agent itself: Leases of its own, token reviews, and reads of what protects the cluster.
    Agent,
    /// Our one user, in one group.
    As(&'a Impersonation, &'a GrantClaims),
}

/// The client. Clones share pools and credential.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Authority,
    calls: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    streams: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    own: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Shares,
    token_file: PathBuf,
    credential: watch::Sender<Option<HeaderValue>>,
}

impl Upstream {
    /// A client; connections are made when they are needed.
    ///
    /// # Errors
    /// The TLS stack refuses its own defaults.
    pub fn new(server: ApiServer) -> Result<Self, rustls::Error> {
        let tls = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(server.roots)
            .with_no_client_auth();
        let tcp = |received| {
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            // Without it a request after a cancelled one waits 40 ms for a delayed acknowledgement.
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(limits::HANDSHAKE));
            tcp.set_recv_buffer_size(received);
            tcp
        };
        let tls = || hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_only();
        let multiplexed = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http2_keep_alive_interval(limits::UPSTREAM_KEEP_ALIVE)
                .http2_keep_alive_timeout(limits::HANDSHAKE)
                .http2_initial_stream_window_size(limits::UPSTREAM_STREAM_WINDOW)
                .http2_initial_connection_window_size(limits::UPSTREAM_WINDOW)
                .build(tls().enable_all_versions().wrap_connector(tcp(None)))
        };
        let streams = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_max_idle_per_host(limits::UPSTREAM_IDLE_STREAMS)
            .http1_max_buf_size(limits::HEAD_BYTES)
            .build(tls().enable_http1().wrap_connector(tcp(Some(limits::UPSTREAM_RECEIVED_BYTES))));
        Ok(Self(Arc::new(Inner {
            authority: server.authority,
            calls: multiplexed(),
            streams,
            own: multiplexed(),
            // Whoever is alone has two thirds.
            places: Shares::new(limits::UPSTREAM_CALLS, |free| free.saturating_mul(2)),
            token_file: server.token_file,
            credential: watch::Sender::new(None),
        })))
    }

    /// Reads the credential anew; to be called often, since the kubelet rotates it. An unreadable file leaves the old one in place until
    /// the API server refuses it.
    ///
    /// # Errors
    /// The file can't be read, or holds no token.
    pub async fn refresh_credential(&self) -> std::io::Result<()> {
        let text = tokio::fs::read_to_string(&self.0.token_file).await?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", text.trim()))
            .ok()
            .filter(|_| !text.trim().is_empty() && text.len() <= limits::TOKEN_BYTES)
            .ok_or(std::io::ErrorKind::InvalidData)?;
        value.set_sensitive(true);
        self.0.credential.send_replace(Some(value));
        Ok(())
    }

    /// Host and port of the API server.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Sends the request of a spent grant. `wire` is what `core::finish` made of it.
    pub(crate) async fn forward(
        &self,
        grant: &VerifiedGrant,
        wire: &WireRequest,
        lane: Lane,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let claims = grant.claims();
        // `verify` lets only a token review and a guard read come without impersonation.
        let who = claims.impersonation.as_ref().map_or(Who::Agent, |who| Who::As(who, claims));
        let mut headers = HeaderMap::with_capacity(12);
        for (name, value) in wire.headers() {
            headers.insert(name, value.clone());
        }
        let audit = claims.operation.to_string();
        let lane = if is_own(claims) { Lane::Own } else { lane };
        self.placed(claims, lane, wire.method(), wire.path_and_query(), headers, wire.body().clone(), &audit, who).await
    }

    /// Reads one of the objects that a grant lists: an approved operation in its own group, which the object was approved for; the others
    /// write in groups that read nothing.
    pub(crate) async fn read(
        &self,
        grant: &VerifiedGrant,
        target: &Target,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let claims = grant.claims();
        let reader = claims.impersonation.as_ref().map(Impersonation::reading);
        let who = reader.as_ref().map_or(Who::Agent, |who| Who::As(who, claims));
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let audit = format!("{}-read", claims.operation);
        let lane = if is_own(claims) { Lane::Own } else { Lane::Call };
        self.placed(claims, lane, &Method::GET, &target.path(), headers, Bytes::new(), &audit, who).await
    }

    /// A call about the agent's own Leases: `path` begins below their collection.
    pub(crate) async fn own(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        audit: &str,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.call(Lane::Own, method, path, headers, body, audit, Who::Agent).await
    }

    /// A call of an operation: on the shared connection while there is a place, on one of its own otherwise. Nobody waits for a place.
    #[expect(clippy::too_many_arguments, reason = "as of `call`")]
    async fn placed(
        &self,
        claims: &GrantClaims,
        lane: Lane,
        method: &Method,
        path_and_query: &str,
        headers: HeaderMap,
        body: Bytes,
        audit: &str,
        who: Who<'_>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let place = if lane == Lane::Call { self.0.places.take(claims.session) } else { None };
        let lane = if lane == Lane::Call && place.is_none() { Lane::Stream } else { lane };
        let mut response = self.call(lane, method, path_and_query, headers, body, audit, who).await?;
        if let Some(place) = place {
            response.extensions_mut().insert(CallPlace(Arc::new(place)));
        }
        Ok(response)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request; a struct would only name them twice")]
    async fn call(
        &self,
        lane: Lane,
        method: &Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Bytes,
        audit: &str,
        who: Who<'_>,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let uri = Uri::builder()
            .scheme("https")
            .authority(self.0.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(UpstreamError::Request)?;
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| UpstreamError::Request(error.into()));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(AUDIT_ID, text(audit)?);
        let credential = self.0.credential.borrow().clone().ok_or(UpstreamError::NoCredential)?;
        headers.insert(header::AUTHORIZATION, credential);
        // Last, when nothing can remove or double them any more (SECURITY.md I1, I2).
        if let Who::As(who, claims) = who {
            headers.insert(IMPERSONATE_USER, HeaderValue::from_static(USER));
            headers.insert(IMPERSONATE_GROUP, HeaderValue::from_static(who.group.as_str()));
            headers.insert(EXTRA_OPERATION, text(&claims.operation.to_string())?);
            headers.insert(EXTRA_SESSION, text(&claims.session.to_string())?);
            headers.insert(EXTRA_SUBJECT, text(&who.subject)?);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let client = match lane {
            Lane::Call => &self.0.calls,
            Lane::Stream => &self.0.streams,
            Lane::Own => &self.0.own,
        };
        let answer = tokio::time::timeout(limits::UPSTREAM_HEAD, client.request(request));
        match answer.await {
            Err(_) => Err(UpstreamError::Slow),
            Ok(Err(error)) if error.is_connect() => Err(UpstreamError::Unreachable(error)),
            Ok(Err(error)) => Err(UpstreamError::Broken(error)),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// Whether a TCP connection to the API server can be made. No request is sent: without a grant none may be.
    pub async fn is_reachable(&self) -> bool {
        let authority = &self.0.authority;
        let address = (authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(443));
        let connect = tokio::time::timeout(limits::HANDSHAKE, tokio::net::TcpStream::connect(address));
        matches!(connect.await, Ok(Ok(_)))
    }
}

/// What is not about what a runner asked for: it is answered from here, in words, or is small and read at once by the control plane.
const fn is_own(claims: &GrantClaims) -> bool {
    match claims.purpose {
        Purpose::TokenReview | Purpose::IssuerKeys | Purpose::GuardRead => true,
        Purpose::Operation | Purpose::LiveRead | Purpose::Preview => false,
    }
}

/// How often to call [`Upstream::refresh_credential`].
pub const REFRESH: Duration = Duration::from_secs(20);
