//! The listeners of the web API: HTTPS on TCP, and the local Unix socket. warp turns requests into calls of [`routes::identify`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use shared::limits;
use shared_net::drain::Drain;
use shared_net::tasks::TaskSet;
use shared_net::tls::ServerKeys;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::answer::{self, Answer, Problem};
use super::caller::{self, LocalPeer};
use super::routes::{self, Asked};
use super::{Parts, stream};
use crate::config::{Config, LocalSocket};

/// Calls at once.
const CONNECTIONS: usize = 512;
/// Connections to the local socket at once.
const LOCAL_CONNECTIONS: usize = 64;

/// The bound listeners.
pub struct Web {
    tcp: TcpListener,
    tls: TlsAcceptor,
    local: Option<(UnixListener, LocalSocket)>,
    parts: Parts,
    names: Vec<String>,
}

/// What every call needs.
struct Door {
    parts: Parts,
    /// Host names that we answer to.
    names: Vec<String>,
    /// Where calls run that change something.
    tasks: TaskSet,
    drain: Drain,
}

/// Binds.
///
/// # Errors
/// An address or the socket's path can't be used.
pub async fn build(config: &Config, keys: Arc<ServerKeys>, parts: Parts) -> anyhow::Result<Web> {
    let tcp = TcpListener::bind(config.web).await.with_context(|| format!("TCP {} can't be bound", config.web))?;
    let builder = rustls::ServerConfig::builder_with_provider(shared_net::crypto::provider());
    let builder = builder.with_safe_default_protocol_versions().context("no TLS versions")?.with_no_client_auth();
    let mut tls = builder.with_cert_resolver(keys);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let local = config.local_socket.as_ref().map(bind_local).transpose()?;
    Ok(Web { tcp, tls: TlsAcceptor::from(Arc::new(tls)), local, parts, names: config.web_names() })
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
        let Self { tcp, tls, local, parts, names } = self;
        let connections = tasks.child();
        let door = Arc::new(Door { parts, names, tasks, drain: drain.clone() });
        // The local socket has places of its own: whoever floods HTTPS keeps nobody out who sits at the machine.
        let (places, local_places) =
            (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(LOCAL_CONNECTIONS)));
        loop {
            let (permit, (stream, peer)) = tokio::select! {
                biased;
                _ = drain.started() => break,
                accepted = with_place(&local_places, || accept_local(local.as_ref())) => accepted,
                accepted = with_place(&places, || accept_tcp(&tcp, &tls)) => accepted,
            };
            if matches!(stream, Incoming::Nobody) {
                continue;
            }
            let door = Arc::clone(&door);
            connections.spawn("web", async move {
                let _permit = permit;
                serve(stream, peer, door).await;
            });
        }
        // Event streams would never end by themselves.
        connections.cancel();
    }
}

enum Incoming {
    Tcp(tokio::net::TcpStream, TlsAcceptor),
    Unix(tokio::net::UnixStream),
    Nobody,
}

/// Takes the next connection once there is a place for it.
async fn with_place<T, F: Future<Output = T>>(
    places: &Arc<Semaphore>,
    accept: impl FnOnce() -> F,
) -> (Option<OwnedSemaphorePermit>, T) {
    // Never closed, so there always comes one.
    let place = Arc::clone(places).acquire_owned().await.ok();
    (place, accept().await)
}

async fn accept_tcp(tcp: &TcpListener, tls: &TlsAcceptor) -> (Incoming, Option<LocalPeer>) {
    match tcp.accept().await {
        Ok((stream, _)) => (Incoming::Tcp(stream, tls.clone()), None),
        Err(_) => {
            // Out of descriptors, most likely: let others give some back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            (Incoming::Nobody, None)
        }
    }
}

async fn accept_local(local: Option<&(UnixListener, LocalSocket)>) -> (Incoming, Option<LocalPeer>) {
    let Some((listener, socket)) = local else { return std::future::pending().await };
    let Ok((stream, _)) = listener.accept().await else {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return (Incoming::Nobody, None);
    };
    let peer = stream.peer_cred().ok().and_then(|cred| LocalPeer::new(cred.uid(), socket));
    match peer {
        Some(peer) => (Incoming::Unix(stream), Some(peer)),
        None => {
            tracing::warn!("a user who may not speak knocked on the local socket");
            (Incoming::Nobody, None)
        }
    }
}

async fn serve(stream: Incoming, peer: Option<LocalPeer>, door: Arc<Door>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEAD_WAIT).max_buf_size(limits::HEAD_BYTES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100).max_header_list_size(64 * 1024);
    let known = Arc::new(AtomicBool::new(peer.is_some()));
    let service = TowerToHyperService::new(warp::service(filter(door, peer, Arc::clone(&known))));
    let served = served(stream, &builder, service);
    let stranger = async {
        tokio::time::sleep(limits::STRANGER_WAIT).await;
        if known.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! { () = served => {}, () = stranger => {} }
}

async fn served<S>(stream: Incoming, builder: &auto::Builder<TokioExecutor>, service: S)
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    let result = match stream {
        Incoming::Nobody => return,
        Incoming::Unix(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
        Incoming::Tcp(stream, tls) => {
            let Ok(Ok(stream)) = tokio::time::timeout(limits::HANDSHAKE, tls.accept(stream)).await else { return };
            builder.serve_connection(TokioIo::new(stream), service).await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a web connection ended");
    }
}

fn filter(
    door: Arc<Door>,
    peer: Option<LocalPeer>,
    known: Arc<AtomicBool>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    // Where the two places for a host's name disagree, there is none.
    let host = warp::host::optional().or(warp::any().map(|| None)).unify();
    let refuse = Arc::clone(&door);
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(host)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            move |method: Method, path: FullPath, query: String, host: Option<Authority>, headers: HeaderMap, body| {
                let (door, peer, known) = (Arc::clone(&door), peer.clone(), Arc::clone(&known));
                async move {
                    let asked = Asked { method: &method, path: path.as_str(), query: &query, headers: &headers };
                    let answer = answer(&door, asked, host.as_ref(), peer, &known, body).await;
                    send(answer.unwrap_or_else(|problem| answer::problem(&problem)), &door)
                }
            },
        )
        .recover(move |_| {
            let door = Arc::clone(&refuse);
            async move { Ok::<_, Infallible>(send(answer::problem(&Problem::NoRoute), &door)) }
        })
        .unify()
}

/// Who asks comes first; a stranger's body is not read.
async fn answer<B: Buf>(
    door: &Arc<Door>,
    asked: Asked<'_>,
    host: Option<&Authority>,
    peer: Option<LocalPeer>,
    known: &AtomicBool,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Answer, Problem> {
    caller::check_host(&door.names, host)?;
    caller::check_browser(asked.headers)?;
    let call = routes::identify(&door.parts, asked, peer).await?;
    known.store(true, Ordering::Release);
    let body = tokio::time::timeout(limits::OPEN_STREAM, read(body)).await;
    let body = body.map_err(|_| Problem::Bad("the body did not arrive in time".to_owned()))??;
    if !call.changes() {
        return call.answer(&door.parts, &body).await;
    }
    // What changes something runs to its end, also where its caller leaves and where a drain begins: a vote that is on record, and whose
    // operation nobody has told, would be worth nothing.
    let (answer, answered) = oneshot::channel();
    let (own, guard) = (Arc::clone(door), door.drain.guard());
    door.tasks.spawn("call", async move {
        let _guard = guard;
        drop(answer.send(call.answer(&own.parts, &body).await));
    });
    answered.await.unwrap_or(Err(Problem::Unavailable))
}

async fn read<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Vec<u8>, Problem> {
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        let mut piece = piece.map_err(|_| Problem::Bad("the body did not arrive whole".to_owned()))?;
        if whole.len().saturating_add(piece.remaining()) > limits::CONTROL_BODY_BYTES {
            return Err(Problem::TooLarge);
        }
        whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    Ok(whole)
}

/// Every answer is for its caller alone, and is data.
fn send(answer: Answer, door: &Door) -> Response {
    let (content_type, mut response) = match answer {
        Answer::Events { changes, until } => {
            let events = stream::events(changes, until, door.parts.clock.clone());
            ("text/event-stream", warp::reply::stream(events).into_response())
        }
        Answer::Json(status, bytes) => ("application/json", warp::reply::with_status(bytes, status).into_response()),
    };
    let unauthenticated = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
