//! A control plane that does what a test says, and clients for the local endpoint.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use shared::ids::SessionId;
use shared::wire;
use shared_net::body::{BoxBody, collect_bounded, full};
use shared_net::clock::Clock;
use shared_net::drain::{self, DrainTrigger, Mode};
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::pki::Ca;
use shared_net::tasks::{CancelOnDrop, TaskSet};
use shared_net::tls::PeerKey;
use shared_net::{exchange, quic};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app;
use crate::config::Config;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens")
}

pub(super) type Answer = Pin<Box<dyn Future<Output = Response<BoxBody>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// What the control plane saw of a Kubernetes call.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: http::Method,
    pub(super) uri: String,
    pub(super) headers: http::HeaderMap,
}

impl Seen {
    pub(super) fn operation(&self) -> &str {
        self.headers[wire::header::OPERATION].to_str().unwrap()
    }
}

/// The control plane.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) ca: Ca,
    pub(super) inner: Arc<Inner>,
    tasks: TaskSet,
    _trigger: DrainTrigger,
    _cancel: CancelOnDrop,
}

pub(super) struct Inner {
    handler: Handler,
    seen: Mutex<Vec<Seen>>,
    /// Bodies of the session calls.
    pub(super) sessions: watch::Sender<Vec<serde_json::Value>>,
    known: Mutex<HashMap<PeerKey, SessionId>>,
    pub(super) refuse: Mutex<Option<(StatusCode, String)>>,
    connections: Mutex<Vec<(Connection, DrainTrigger)>>,
}

impl Fake {
    pub(super) fn start<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<BoxBody>> + Send + 'static,
    {
        let now = Clock::system().now();
        let ca = Ca::generate("control plane", now).unwrap();
        let identity = ca.issue_server(&[wire::SERVER_NAME], &[], now, DAY).unwrap();
        let endpoint = Endpoint::server(LOCAL, quic::server_config(&identity).unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();
        let inner = Arc::new(Inner {
            handler: Arc::new(move |request| Box::pin(handler(request)) as Answer),
            seen: Mutex::default(),
            sessions: watch::Sender::default(),
            known: Mutex::default(),
            refuse: Mutex::default(),
            connections: Mutex::default(),
        });
        let tasks = TaskSet::new();
        let (trigger, drain) = drain::channel();
        let (own, all) = (Arc::clone(&inner), tasks.clone());
        tasks.spawn("accept", async move {
            let streams = all.clone();
            let serve = move |connection: Connection| serve(Arc::clone(&own), connection, streams.clone());
            endpoint.accept(16, &all, drain, serve).await;
        });
        Self { address, ca, inner, _cancel: CancelOnDrop(tasks.clone()), tasks, _trigger: trigger }
    }

    /// Answers everything with the request's own body.
    pub(super) fn echo() -> Self {
        Self::start(|request| async move { Response::new(full(read(request.into_body()).await)) })
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub(super) fn panics(&self) -> u64 {
        self.tasks.panics()
    }
}

impl Inner {
    /// Cuts every connection, as a crash would.
    pub(super) fn cut(&self) {
        for (connection, _) in self.connections.lock().unwrap().drain(..) {
            connection.close(wire::code::SHUTDOWN, "cut");
        }
    }

    /// All that were ever made and not cut.
    pub(super) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().iter().map(|(connection, _)| connection.clone()).collect()
    }

    /// Takes nothing new on the connections that there are, as a process that goes away.
    pub(super) fn go_away(&self) {
        for (_, trigger) in &*self.connections.lock().unwrap() {
            trigger.start(Mode::Graceful);
        }
    }

    /// Streams that were given back or broken off, on the connections that there are.
    pub(super) fn resets(&self) -> u64 {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|(connection, _)| connection.stats().frame_tx.reset_stream).sum()
    }

    /// Every runner gets a new session from now on.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap().clear();
    }
}

async fn serve(inner: Arc<Inner>, connection: Connection, tasks: TaskSet) {
    let (trigger, drain) = drain::channel();
    inner.connections.lock().unwrap().push((connection.clone(), trigger));
    let peer = connection.peer_key();
    let service = service_fn(move |request: Request<Incoming>| {
        let inner = Arc::clone(&inner);
        async move {
            if request.headers()["host"] == wire::HOST_CONTROL {
                assert_eq!(request.uri().path(), wire::path::SESSION);
                let body = read(request.into_body()).await;
                return Ok::<_, Infallible>(inner.session(peer, &body));
            }
            inner.seen.lock().unwrap().push(Seen {
                method: request.method().clone(),
                uri: request.uri().to_string(),
                headers: request.headers().clone(),
            });
            Ok((inner.handler)(request).await)
        }
    });
    exchange::serve(&connection, service, &tasks, drain).await;
}

impl Inner {
    fn session(&self, peer: PeerKey, body: &Bytes) -> Response<BoxBody> {
        let asked = serde_json::from_slice(body).unwrap();
        self.sessions.send_modify(|sessions| sessions.push(asked));
        if let Some((status, message)) = &*self.refuse.lock().unwrap() {
            let refused = shared::status::Status::failure(shared::status::Reason::Unauthorized, message.clone());
            let mut response = Response::new(full(refused.to_json()));
            *response.status_mut() = *status;
            return response;
        }
        let id = *self
            .known
            .lock()
            .unwrap()
            .entry(peer)
            .or_insert_with(|| SessionId::new(uuid::Uuid::from_bytes(shared_net::crypto::random())));
        let now = Clock::system().now();
        Response::new(full(serde_json::json!({"session": id, "now": now.0, "expires": now.0 + 600_000}).to_string()))
    }
}

pub(super) async fn read<B>(body: B) -> Bytes
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<shared_net::body::BoxError>,
{
    collect_bounded(body, 1 << 24, PATIENCE).await.unwrap()
}

/// A running sidecar.
pub(super) struct Sidecar {
    pub(super) address: SocketAddr,
    pub(super) folder: TempDir,
    pub(super) config: Config,
    pub(super) token: String,
    stop: Option<oneshot::Sender<()>>,
    tasks: TaskSet,
}

impl Sidecar {
    pub(super) async fn start(fake: &Fake) -> Self {
        Self::with(fake.address, &fake.ca, &[], Clock::system()).await
    }

    pub(super) async fn with(control_plane: SocketAddr, ca: &Ca, more: &[(&str, &str)], clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
        std::fs::write(path("pod-token"), "pod-token-1").unwrap();
        let mut variables: HashMap<String, String> = [
            ("SALLYPORT_CONTROL_PLANE", control_plane.to_string()),
            ("SALLYPORT_CONTROL_PLANE_PIN", ca.pin().to_string()),
            ("SALLYPORT_POD_TOKEN_FILE", path("pod-token")),
            ("SALLYPORT_SERVE_DIR", path("serve")),
            ("SALLYPORT_KUBECONFIG", path("kubeconfig")),
            ("SALLYPORT_LISTEN", "127.0.0.1:0".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut config = Config::parse(&|name| variables.get(name).map(OsString::from)).unwrap();
        let bound = app::build(config.clone(), clock).await.unwrap();
        config.listen = bound.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let tasks = TaskSet::new();
        tasks.spawn("sidecar", async move {
            bound.run(async move { drop(stopped.await) }).await.unwrap();
        });
        Self {
            address: config.listen,
            // Not there yet where clients wait for a session.
            token: std::fs::read_to_string(config.serve_dir.join("token")).unwrap_or_default(),
            folder,
            config,
            stop: Some(stop),
            tasks,
        }
    }

    /// Begins the drain.
    pub(super) fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Resolves when it has ended.
    pub(super) async fn ended(&self) {
        soon(self.tasks.wait()).await;
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A TLS connection that offers these protocols.
    pub(super) async fn connect(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.config.serve_dir.join("ca.crt")).unwrap();
        roots.add(ca).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    pub(super) async fn client(&self, h2: bool) -> Client {
        let tasks = TaskSet::new();
        let sender = if h2 {
            let io = TokioIo::new(self.connect(&[b"h2", b"http/1.1"]).await);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tasks.spawn("client", async move { drop(connection.await) });
            Sender::H2(sender)
        } else {
            let io = TokioIo::new(self.connect(&[]).await);
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tasks.spawn("client", async move { drop(connection.with_upgrades().await) });
            Sender::H1(sender)
        };
        Client { sender, host: self.address.to_string(), token: self.token.clone(), _cancel: CancelOnDrop(tasks) }
    }
}

/// A Kubernetes client on one connection; dropped, it hangs up.
pub(super) struct Client {
    sender: Sender,
    host: String,
    token: String,
    _cancel: CancelOnDrop,
}

enum Sender {
    H1(http1::SendRequest<BoxBody>),
    H2(http2::SendRequest<BoxBody>),
}

impl Client {
    /// A request with host and token, as this protocol writes them.
    pub(super) fn request(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Request<BoxBody> {
        let request = Request::builder().method(method).header("authorization", format!("Bearer {}", self.token));
        let request = match self.sender {
            Sender::H1(_) => request.uri(path).header("host", &self.host),
            Sender::H2(_) => request.uri(format!("https://{}{path}", self.host)),
        };
        request.body(full(body)).unwrap()
    }

    pub(super) async fn send(&mut self, request: Request<BoxBody>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::H1(sender) => sender.send_request(request).await,
            Sender::H2(sender) => sender.send_request(request).await,
        }
    }

    pub(super) async fn call(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let request = self.request(method, path, body);
        soon(self.send(request)).await.unwrap()
    }

    pub(super) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.call("GET", path, "").await
    }
}
