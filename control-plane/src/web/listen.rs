//! The listeners of the web API: HTTPS on TCP, and the local Unix socket. warp turns requests into calls of [`routes::answer`].

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use shared::limits;
use shared_net::drain::Drain;
use shared_net::pki::Identity;
use shared_net::tasks::TaskSet;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::answer::Answer;
use super::caller::LocalPeer;
use super::{Parts, routes, stream};
use crate::config::{Config, LocalSocket};

/// Calls at once.
const CONNECTIONS: usize = 512;

/// The bound listeners.
pub struct Web {
    tcp: TcpListener,
    tls: TlsAcceptor,
    local: Option<(UnixListener, LocalSocket)>,
    parts: Arc<Parts>,
}

/// Binds.
///
/// # Errors
/// An address or the socket's path can't be used.
pub async fn build(config: &Config, identity: &Identity, parts: Parts) -> anyhow::Result<Web> {
    let tcp = TcpListener::bind(config.web).await.with_context(|| format!("TCP {} can't be bound", config.web))?;
    let builder = rustls::ServerConfig::builder_with_provider(shared_net::crypto::provider());
    let builder = builder.with_safe_default_protocol_versions().context("no TLS versions")?.with_no_client_auth();
    let mut tls =
        builder.with_single_cert(identity.chain().to_vec(), identity.key()).context("the certificate is refused")?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let local = config.local_socket.as_ref().map(bind_local).transpose()?;
    Ok(Web { tcp, tls: TlsAcceptor::from(Arc::new(tls)), local, parts: Arc::new(parts) })
}

fn bind_local(socket: &LocalSocket) -> anyhow::Result<(UnixListener, LocalSocket)> {
    let path = &socket.path;
    // What an earlier life left; a living process has the data folder locked, so this is nobody's.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} is in the way", path.display())),
    }
    let listener = UnixListener::bind(path).with_context(|| format!("{} can't be bound", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).context("the socket's mode can't be set")?;
    Ok((listener, socket.clone()))
}

impl Web {
    /// Where HTTPS is bound.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until draining begins.
    pub async fn run(self, tasks: TaskSet, mut drain: Drain) {
        let Self { tcp, tls, local, parts } = self;
        let connections = tasks.child();
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let (stream, peer) = tokio::select! {
                biased;
                _ = drain.started() => break,
                accepted = tcp.accept() => match accepted {
                    Ok((stream, _)) => (Stream::Tcp(stream, tls.clone()), None),
                    Err(_) => continue,
                },
                accepted = accept_local(local.as_ref()) => accepted,
            };
            if matches!(stream, Stream::Nobody) {
                continue;
            }
            let parts = Arc::clone(&parts);
            connections.spawn("web", async move {
                let _permit = permit;
                serve(stream, peer, parts).await;
            });
        }
        // Event streams would never end by themselves.
        connections.cancel();
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream, TlsAcceptor),
    Unix(tokio::net::UnixStream),
    Nobody,
}

async fn accept_local(local: Option<&(UnixListener, LocalSocket)>) -> (Stream, Option<LocalPeer>) {
    let Some((listener, socket)) = local else { return std::future::pending().await };
    let Ok((stream, _)) = listener.accept().await else {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return (Stream::Nobody, None);
    };
    let peer = stream.peer_cred().ok().and_then(|cred| LocalPeer::new(cred.uid(), socket));
    match peer {
        Some(peer) => (Stream::Unix(stream), Some(peer)),
        None => {
            tracing::warn!("a user who may not speak knocked on the local socket");
            (Stream::Nobody, None)
        }
    }
}

async fn serve(stream: Stream, peer: Option<LocalPeer>, parts: Arc<Parts>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEAD_WAIT).max_buf_size(limits::HEAD_BYTES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100).max_header_list_size(64 * 1024);
    let service = TowerToHyperService::new(warp::service(filter(parts, peer)));
    let result = match stream {
        Stream::Nobody => return,
        Stream::Unix(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
        Stream::Tcp(stream, tls) => {
            let Ok(Ok(stream)) = tokio::time::timeout(limits::HANDSHAKE, tls.accept(stream)).await else { return };
            builder.serve_connection(TokioIo::new(stream), service).await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a web connection ended");
    }
}

fn filter(
    parts: Arc<Parts>,
    peer: Option<LocalPeer>,
) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let body = warp::body::content_length_limit(limits::CONTROL_BODY_BYTES as u64).and(warp::body::bytes());
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(body.or(warp::any().map(Bytes::new)).unify())
        .then(move |method: Method, path: FullPath, query: String, headers: HeaderMap, body: Bytes| {
            let (parts, peer) = (Arc::clone(&parts), peer.clone());
            async move { send(routes::answer(&parts, method, path.as_str(), &query, headers, peer, &body).await) }
        })
}

/// Every answer is for its caller alone, and is data.
fn send(answer: Answer) -> Response {
    let (content_type, mut response) = match answer {
        Answer::Events(receiver) => {
            ("text/event-stream", warp::reply::stream(stream::events(receiver)).into_response())
        }
        Answer::Json(status, bytes) => ("application/json", warp::reply::with_status(bytes, status).into_response()),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}
