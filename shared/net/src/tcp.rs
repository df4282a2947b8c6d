//! The way of QUIC's packets where UDP is blocked: over one TCP connection, each after its length (`frames`).
//!
//! It is the same QUIC, so the same handshake, keys, exporter, streams and codes; TCP carries no TLS of its own and is trusted with nothing:
//! whoever is in the middle can lose packets, as he can over UDP. Each TCP connection has a quinn endpoint of its own with at most one QUIC
//! connection, so what one peer sends meets nobody else.
//!
//! TCP loses and reorders nothing, so QUIC's congestion control never sees a loss and its window only grows; what limits the rate is TCP's,
//! felt as a socket that is full. A stall of TCP makes QUIC repeat a packet or two (RFC 9002 §6.2), which lowers nothing.

mod frames;
pub mod fuzz;
mod listen;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, EndpointConfig, ServerConfig};
use shared::{limits, wire};
use tokio::net::TcpStream;

use crate::endpoint::{ConnectError, Connection};
use crate::quic;

pub(crate) use listen::{Listener, bind_both};
use socket::Driven;
pub(crate) use socket::{Socket, Sockets};

/// What holds a QUIC connection up that goes over TCP; it ends with it.
#[derive(Debug)]
pub(crate) struct Carrier {
    socket: Arc<Socket>,
    /// Its driver goes on as long as there is a handle.
    _endpoint: quinn::Endpoint,
}

impl Carrier {
    fn new(socket: Arc<Socket>, endpoint: quinn::Endpoint, connection: &quinn::Connection) -> Self {
        socket.carries(connection.clone());
        Self { socket, _endpoint: endpoint }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // A handle in the socket would keep the connection from ending.
        self.socket.carries_nothing();
    }
}

/// Dials.
pub(crate) async fn connect(
    address: SocketAddr,
    mut config: ClientConfig,
    sockets: &Arc<Sockets>,
    wait: Duration,
) -> Result<Connection, ConnectError> {
    config.transport_config(Arc::new(quic::transport_over_tcp(true)));
    let connected = async {
        let failed = |source| ConnectError::Tcp { address, source };
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let socket = Socket::new(stream, sockets).map_err(failed)?;
        // As the socket says it: what arrives must come from whom was dialled.
        let peer = socket.peer();
        let endpoint = endpoint(&socket, None).map_err(failed)?;
        let connection = endpoint
            .connect_with(config, peer, wire::SERVER_NAME)
            .map_err(|source| ConnectError::Dial { address, source })?
            .await
            .map_err(|source| ConnectError::Handshake { address, source })?;
        let carrier = Carrier::new(socket, endpoint, &connection);
        Connection::new(connection, None, Some(carrier)).ok_or(ConnectError::NoKey { address })
    };
    tokio::time::timeout(wait, connected).await.map_err(|_| ConnectError::Slow { address, wait })?
}

fn endpoint(socket: &Arc<Socket>, server: Option<ServerConfig>) -> io::Result<quinn::Endpoint> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(limits::TCP_PACKET_BYTES).map_err(io::Error::other)?;
    quinn::Endpoint::new_with_abstract_socket(config, server, Arc::<Socket>::clone(socket), Driven::new(socket))
}
