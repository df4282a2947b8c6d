//! A bound port, the connections that it makes and takes, and what our code may do with one.
//!
//! Who listens does so over UDP and, at the same port, over TCP (`tcp`). A connection is the same over both.

mod connection;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, ServerConfig, TransportErrorCode, VarInt,
};
use shared::{limits, wire};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::crypto;
use crate::drain::Drain;
use crate::tasks::TaskSet;
use crate::tcp::{self, Listener, Sockets};
use crate::udp::NetRuntime;
pub use connection::{Connection, ExportError, OpenError, Way};

/// Bytes asked for each way of the UDP socket; the kernel caps them (`net.core.rmem_max`). The default of 208 kB loses packets in bursts.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// Shortest time between two stateless resets. A reset is smaller than what it answers, so there is nothing to amplify; what is bounded is
/// our work. A thousand peers of an earlier process are told within a second.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// Secret from which a server proves that a reset is its own; the same in each of its processes.
#[derive(Clone)]
pub struct ResetKey([u8; 32]);

impl ResetKey {
    /// From 32 bytes that only the server knows.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey")
    }
}

struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&crypto::random::<8>())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A bound endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: quinn::Endpoint,
    /// Where it listens over TCP.
    listener: Option<Arc<Listener>>,
    /// Its connections over TCP.
    pub(crate) sockets: Arc<Sockets>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address or the configuration can't be used.
    #[error("can't dial {address}")]
    Dial {
        /// The peer.
        address: SocketAddr,
        /// Why.
        #[source]
        source: quinn::ConnectError,
    },
    /// The handshake failed.
    #[error("handshake with {address} failed")]
    Handshake {
        /// The peer.
        address: SocketAddr,
        /// Why.
        #[source]
        source: quinn::ConnectionError,
    },
    /// No TCP connection.
    #[error("no TCP connection with {address}")]
    Tcp {
        /// The peer.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The handshake took too long.
    #[error("handshake with {address} took longer than {wait:?}")]
    Slow {
        /// The peer.
        address: SocketAddr,
        /// How long it was waited for.
        wait: Duration,
    },
    /// The peer showed no key.
    #[error("{address} showed no key")]
    NoKey {
        /// The peer.
        address: SocketAddr,
    },
}

impl ConnectError {
    /// Whether it is the peer's own word, and not the way to it that is at fault.
    pub(crate) fn is_answer(&self) -> bool {
        let Self::Handshake { source, .. } = self else { return matches!(self, Self::NoKey { .. }) };
        match source {
            quinn::ConnectionError::TransportError(error) => error.code != TransportErrorCode::INTERNAL_ERROR,
            quinn::ConnectionError::VersionMismatch
            | quinn::ConnectionError::ConnectionClosed(_)
            | quinn::ConnectionError::ApplicationClosed(_) => true,
            quinn::ConnectionError::Reset
            | quinn::ConnectionError::TimedOut
            | quinn::ConnectionError::LocallyClosed
            | quinn::ConnectionError::CidsExhausted => false,
        }
    }
}

impl Endpoint {
    /// Binds for dialling only. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn client(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        Self::new(socket, EndpointConfig::default(), None, None)
    }

    /// Binds for listening, over UDP and TCP at the same port, and dialling too.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn server(address: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        Self::listening(address, EndpointConfig::default(), config)
    }

    /// Binds for listening as the same server as before: peers that still send to an earlier process are told at once that it is gone
    /// (stateless reset, RFC 9000 §10.3), instead of waiting for [`limits::IDLE`].
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn lasting_server(address: SocketAddr, config: ServerConfig, key: &ResetKey) -> io::Result<Self> {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.0);
        let mut endpoint = EndpointConfig::new(Arc::new(key));
        // quinn's own generator marks its ids with a key of its process, and drops packets for others unanswered.
        endpoint.cid_generator(|| Box::new(RandomIds)).min_reset_interval(RESET_INTERVAL);
        Self::listening(address, endpoint, config)
    }

    fn listening(address: SocketAddr, endpoint: EndpointConfig, config: ServerConfig) -> io::Result<Self> {
        let (socket, listener) = tcp::bind_both(address)?;
        let listener = Listener::new(listener, &config);
        Self::new(socket, endpoint, Some(config), Some(Arc::new(listener)))
    }

    fn new(
        socket: UdpSocket,
        endpoint: EndpointConfig,
        config: Option<ServerConfig>,
        listener: Option<Arc<Listener>>,
    ) -> io::Result<Self> {
        let raw = socket2::SockRef::from(&socket);
        // Best effort: an unprivileged pod gets what the node's limits give.
        drop(raw.set_recv_buffer_size(SOCKET_BUFFER));
        drop(raw.set_send_buffer_size(SOCKET_BUFFER));
        let inner = quinn::Endpoint::new(endpoint, config, socket, Arc::new(NetRuntime))?;
        Ok(Self { inner, listener, sockets: Sockets::new() })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Dials over UDP alone, for as long as [`limits::HANDSHAKE`].
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, address: SocketAddr, config: ClientConfig) -> Result<Connection, ConnectError> {
        self.connect_within(address, config, limits::HANDSHAKE).await
    }

    pub(crate) async fn connect_within(
        &self,
        address: SocketAddr,
        config: ClientConfig,
        wait: Duration,
    ) -> Result<Connection, ConnectError> {
        let connecting = self
            .inner
            .connect_with(config, address, wire::SERVER_NAME)
            .map_err(|source| ConnectError::Dial { address, source })?;
        let connection = tokio::time::timeout(wait, connecting)
            .await
            .map_err(|_| ConnectError::Slow { address, wait })?
            .map_err(|source| ConnectError::Handshake { address, source })?;
        Connection::new(connection, None, None).ok_or(ConnectError::NoKey { address })
    }

    /// Takes connections until draining begins or the endpoint closes, at most `limit` at once; `serve` runs for each, in its own task.
    ///
    /// A permit is taken before any work is done for a peer: when there is none, the peer is refused at once instead of queueing. Under
    /// load (half of the permits gone) a peer must first prove its address, so that forged packets can't use the rest up. A peer over TCP
    /// has proven it.
    pub async fn accept<F, R>(&self, limit: usize, tasks: &TaskSet, drain: Drain, serve: F)
    where
        F: Fn(Connection) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let permits = Arc::new(Semaphore::new(limit));
        let over_tcp = async {
            match &self.listener {
                Some(listener) => listener.accept(&permits, tasks, &self.sockets, serve.clone()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.accept_over_udp(limit, &permits, tasks, drain, serve.clone()) => {}
            never = over_tcp => match never {},
        }
    }

    async fn accept_over_udp<F, R>(
        &self,
        limit: usize,
        permits: &Arc<Semaphore>,
        tasks: &TaskSet,
        mut drain: Drain,
        serve: F,
    ) where
        F: Fn(Connection) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        loop {
            let incoming = tokio::select! {
                biased;
                _ = drain.started() => return,
                incoming = self.inner.accept() => incoming,
            };
            let Some(incoming) = incoming else { return };
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
                tracing::warn!(peer = %incoming.remote_address(), limit, "early refusal: too many connections");
                incoming.refuse();
                continue;
            };
            if permits.available_permits() < limit / 2 && !incoming.remote_address_validated() && incoming.may_retry() {
                // Fails only for an address that is validated already.
                drop(incoming.retry());
                continue;
            }
            let serve = serve.clone();
            tasks.spawn("connection", async move {
                match handshake(incoming, permit).await {
                    Ok(connection) => serve(connection).await,
                    Err(error) => refused(&error),
                }
            });
        }
    }

    /// Closes every connection with a code and waits until the peers have been told.
    pub async fn close(&self, code: u32, reason: &str) {
        let code = VarInt::from_u32(code);
        self.inner.close(code, reason.as_bytes());
        self.sockets.close(code, reason.as_bytes());
        // A peer over TCP that has gone has ended its connection; one that is stuck has had its time.
        let gone = tokio::time::timeout(limits::PEER_SETTLE, self.sockets.gone());
        let ((), _) = tokio::join!(self.inner.wait_idle(), gone);
    }
}

/// Says that there was no connection with a peer.
pub(crate) fn refused(error: &ConnectError) {
    tracing::info!(error = %shared::chain::Chain(error), "early refusal: handshake");
}

async fn handshake(incoming: quinn::Incoming, permit: OwnedSemaphorePermit) -> Result<Connection, ConnectError> {
    let address = incoming.remote_address();
    let connecting = incoming.accept().map_err(|source| ConnectError::Handshake { address, source })?;
    let connection = tokio::time::timeout(limits::HANDSHAKE, connecting)
        .await
        .map_err(|_| ConnectError::Slow { address, wait: limits::HANDSHAKE })?
        .map_err(|source| ConnectError::Handshake { address, source })?;
    Connection::new(connection, Some(permit), None).ok_or(ConnectError::NoKey { address })
}
