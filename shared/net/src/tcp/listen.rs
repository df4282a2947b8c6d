//! Listening over TCP, at the port of UDP.
//!
//! Before a peer has proven a key it has a permit, a place among the strangers of its address, a socket and an endpoint, for
//! [`limits::HANDSHAKE`]; what it sends costs as much as it would over UDP.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::ServerConfig;
use shared::limits;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Carrier, Socket, Sockets, endpoint};
use crate::endpoint::{ConnectError, Connection, refused};
use crate::quic;
use crate::strangers::Strangers;
use crate::tasks::TaskSet;

/// Connections that the kernel has made and we have not taken; past it, a client's first packet is lost and sent again.
const BACKLOG: u32 = 1024;

/// Binds the same port over UDP and TCP.
pub(crate) fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 1;
    loop {
        let udp = UdpSocket::bind(address)?;
        match bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            // The system has chosen a port that is free over UDP; over TCP somebody else may have it.
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && address.port() == 0 && tries < limits::PORT_TRIES =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    // Connections of an earlier process that are still being wound up don't keep us from listening.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes connections over TCP.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    config: ServerConfig,
    strangers: Strangers,
}

impl Listener {
    pub(crate) fn new(listener: TcpListener, config: &ServerConfig) -> Self {
        let mut config = config.clone();
        config.transport_config(Arc::new(quic::transport_over_tcp(false))).migration(false);
        Self { listener, config, strangers: Strangers::default() }
    }

    /// Takes connections for as long as it is polled; see [`crate::endpoint::Endpoint::accept`].
    pub(crate) async fn accept<F, R>(
        &self,
        permits: &Arc<Semaphore>,
        tasks: &TaskSet,
        sockets: &Arc<Sockets>,
        serve: F,
    ) -> Infallible
    where
        F: Fn(Connection) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "can't take a TCP connection");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
                tracing::warn!(%peer, "early refusal: too many connections");
                continue;
            };
            let Some(place) = self.strangers.admit(peer.ip()) else {
                tracing::warn!(%peer, "early refusal: too many strangers from one address");
                continue;
            };
            let (config, sockets, serve) = (self.config.clone(), Arc::clone(sockets), serve.clone());
            tasks.spawn("connection over TCP", async move {
                let taken = take(stream, peer, permit, config, &sockets).await;
                drop(place);
                match taken {
                    Ok((connection, rest)) => {
                        serve(connection).await;
                        rest.over().await;
                    }
                    Err(error) => refused(&error),
                }
            });
        }
    }
}

/// Takes the one QUIC connection of a TCP connection.
async fn take(
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    config: ServerConfig,
    sockets: &Arc<Sockets>,
) -> Result<(Connection, Rest), ConnectError> {
    let failed = |source| ConnectError::Tcp { address: peer, source };
    let taken = async {
        let socket = Socket::new(stream, sockets).map_err(failed)?;
        let endpoint = endpoint(&socket, Some(config)).map_err(failed)?;
        let incoming = endpoint.accept().await.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
        // There is no second.
        endpoint.set_server_config(None);
        let handshake = |source| ConnectError::Handshake { address: peer, source };
        let connection = incoming.accept().map_err(handshake)?.await.map_err(handshake)?;
        let carrier = Carrier::new(Arc::clone(&socket), endpoint.clone(), &connection);
        let connection = Connection::new(connection, Some(permit), Some(carrier));
        Ok((connection.ok_or(ConnectError::NoKey { address: peer })?, Rest { endpoint, socket }))
    };
    let slow = |_| ConnectError::Slow { address: peer, wait: limits::HANDSHAKE };
    tokio::time::timeout(limits::HANDSHAKE, taken).await.map_err(slow)?
}

/// What is left of a connection when it has been served.
struct Rest {
    endpoint: quinn::Endpoint,
    socket: Arc<Socket>,
}

impl Rest {
    /// Ends the TCP connection when the QUIC connection has ended and the peer has been told, or the peer has ended it.
    async fn over(self) {
        tokio::select! {
            () = self.endpoint.wait_idle() => {}
            () = self.socket.ended() => {}
        }
        self.socket.shut();
    }
}
