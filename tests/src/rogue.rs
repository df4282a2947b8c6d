//! Who means harm. A sidecar: a key of its own, a real pod's token, and on each stream whatever bytes a test wants. And a job, which says
//! whatever bytes it wants to its sidecar.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use shared::ids::OperationId;
use shared::wire;
use shared_net::clock::Clock;
use shared_net::pki::Identity;
use shared_net::quic;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::bench::client::trusting;
use crate::stack::Stack;
use crate::web::{Reply, head};

/// Everything ends within this time, or the test fails. More than a body waits for room.
const WITHIN: Duration = Duration::from_secs(40);
/// Bytes of an answer that are read.
const ANSWER: usize = 16 * 1024 * 1024;

/// The key of a sidecar, to which its session belongs, and the token of its pod.
#[derive(Debug)]
pub struct Key {
    identity: Identity,
    token: String,
}

impl Key {
    /// A fresh one, in a pod of its own in the runner's namespace.
    pub fn new(stack: &Stack) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pod = format!("rogue-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace = stack.namespace();
        namespace.pod(&pod);
        let token = namespace.cluster().token(namespace, "default", Some("sallyport"), Some(&pod));
        let life = Duration::from_secs(3600);
        let identity = Identity::self_signed(Clock::system().now(), life).expect("a key can be made");
        Self { identity, token }
    }

    /// The pod's token.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// A connection under a key. Whatever it does ends with it.
#[derive(Debug)]
pub struct Rogue {
    connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

/// An exchange whose request is under way.
#[derive(Debug)]
pub struct Exchange {
    send: SendStream,
    receive: RecvStream,
}

/// A new operation id, as an honest sidecar makes them.
pub fn new_id() -> OperationId {
    OperationId::new(Uuid::now_v7())
}

impl Rogue {
    /// Connects, as nobody yet.
    pub async fn connect(stack: &Stack, key: &Key) -> Self {
        let pin = stack.pin().parse().expect("the control plane prints its pin");
        let config = quic::client_config(&key.identity, pin).expect("a key fits its certificate");
        let endpoint = quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let dial = endpoint.connect_with(config, stack.quic(), wire::SERVER_NAME).expect("a good address");
        let connection = tokio::time::timeout(WITHIN, dial).await.expect("in time").expect("the control plane answers");
        Self { connection, _endpoint: endpoint }
    }

    /// Connects with a session.
    pub async fn with_session(stack: &Stack, key: &Key) -> (Self, String) {
        let rogue = Self::connect(stack, key).await;
        let reply = rogue.open_session(key).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let session = reply.json().get("session").and_then(Value::as_str).expect("a session has an id").to_owned();
        (rogue, session)
    }

    /// Shows the pod's token.
    pub async fn open_session(&self, key: &Key) -> Reply {
        self.control(wire::path::SESSION, &json!({ "podToken": key.token, "version": "rogue" })).await
    }

    /// One of our own calls.
    pub async fn control(&self, path: &str, body: &Value) -> Reply {
        let headers = [("Host", wire::HOST_CONTROL), ("Content-Type", "application/json")];
        let reply = self.say(&head("POST", path, &headers, body.to_string().as_bytes())).await;
        reply.expect("an answer")
    }

    /// One operation.
    pub async fn call(&self, id: OperationId, method: &str, target: &str, body: &str) -> Reply {
        self.call_with(id, method, target, &[], body).await
    }

    /// The same with further headers.
    pub async fn call_with(
        &self,
        id: OperationId,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        self.say(&operation(id, method, target, headers, body)).await.expect("an answer")
    }

    /// Says these very bytes, leaves its half open, and gives the answer; `None` where the stream was reset without one.
    pub async fn say(&self, bytes: &[u8]) -> Option<Reply> {
        let mut exchange = self.begin(bytes).await;
        exchange.answer().await
    }

    /// Begins an exchange with these bytes.
    pub async fn begin(&self, bytes: &[u8]) -> Exchange {
        let open = tokio::time::timeout(WITHIN, self.connection.open_bi()).await;
        let (send, receive) = open.expect("a stream in time").expect("the connection lives");
        let mut exchange = Exchange { send, receive };
        exchange.more(bytes).await;
        exchange
    }
}

impl Exchange {
    /// Says more. The other side may have heard enough already.
    pub async fn more(&mut self, bytes: &[u8]) {
        drop(tokio::time::timeout(WITHIN, self.send.write_all(bytes)).await.expect("the bytes leave in time"));
    }

    /// Says that this was all.
    pub fn finish(&mut self) {
        let _stopped_by_the_peer = self.send.finish().is_err();
    }

    /// What comes until the other side is done; `None` where it resets the stream before its answer is whole.
    pub async fn answer(&mut self) -> Option<Reply> {
        let bytes = self.said().await;
        (!bytes.is_empty()).then(|| Reply::parse(&bytes))
    }

    /// The same as it came; nothing where the stream is reset.
    pub async fn said(&mut self) -> Vec<u8> {
        let read = tokio::time::timeout(WITHIN, self.receive.read_to_end(ANSWER)).await.expect("an answer in time");
        read.unwrap_or_default()
    }
}

/// Says these very bytes to the sidecar, on a connection of its own under this protocol (ALPN), and gives what it says until it closes or
/// has been silent for `patience`.
pub async fn tell_sidecar(stack: &Stack, protocol: &[u8], bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut tls = (*trusting(&stack.sidecar_files().join("ca.crt")).expect("the sidecar's authority")).clone();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let tcp = TcpStream::connect(stack.sidecar()).await.expect("the sidecar listens");
    let name = ServerName::IpAddress(stack.sidecar().ip().into());
    let mut io = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.expect("TLS under its authority");
    // The sidecar may hang up in the middle.
    drop(io.write_all(bytes).await);
    let mut said = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(patience, io.read_buf(&mut said)).await {}
    said
}

/// The bytes of an operation's request.
pub fn operation(id: OperationId, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let id = id.to_string();
    let mut all = vec![("Host", wire::HOST_KUBERNETES), (wire::header::OPERATION, id.as_str())];
    if !body.is_empty() {
        all.push(("Content-Type", "application/json"));
    }
    all.extend(headers);
    head(method, target, &all, body.as_bytes())
}
