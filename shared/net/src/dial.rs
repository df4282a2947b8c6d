//! Dialling a control plane, whichever way it can be reached: UDP has a head start, then TCP is tried beside it.
//!
//! Whoever completes the handshake first is taken and the other one dropped. An answer over UDP is final, whatever it says: then nothing is
//! blocked. One over TCP that is no connection is not, for another server may have that port. Each call tries both anew, so a link is over
//! UDP again when that works again and it is made again.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use quinn::ClientConfig;
use shared::chain::Chain;
use shared::limits;

use crate::endpoint::{ConnectError, Connection, Endpoint, Way};
use crate::tcp;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The peer has answered, and that is final.
    #[error("refused")]
    Answered(#[source] ConnectError),
    /// Neither way.
    #[error("no answer over UDP ({}), nor a connection over TCP ({}); the way to UDP or TCP {} has to be open", Chain(.udp), Chain(.tcp), .address.port())]
    Neither {
        /// The peer.
        address: SocketAddr,
        /// Why not over UDP.
        udp: ConnectError,
        /// Why not over TCP.
        tcp: ConnectError,
    },
}

impl Endpoint {
    /// Dials for as long as `wait`.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(
        &self,
        address: SocketAddr,
        config: ClientConfig,
        wait: Duration,
    ) -> Result<Connection, DialError> {
        let mut first = pin!(self.connect_within(address, config.clone(), wait));
        let failed = match tokio::time::timeout(limits::UDP_HEAD_START.min(wait), &mut first).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if error.is_answer() => return Err(DialError::Answered(error)),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let left = wait.saturating_sub(limits::UDP_HEAD_START);
        let udp = async {
            match failed {
                Some(error) => Err(error),
                // A fresh first packet too: where the first was merely lost (a control plane that has just started), UDP, which needs fewer
                // round trips, is still there before TCP.
                None => tokio::select! {
                    result = &mut first => result,
                    result = self.connect_within(address, config.clone(), left) => result,
                },
            }
        };
        let (mut udp, mut tcp) = (pin!(udp), pin!(tcp::connect(address, config.clone(), &self.sockets, left)));
        let neither = |udp: ConnectError, tcp| {
            if udp.is_answer() { DialError::Answered(udp) } else { DialError::Neither { address, udp, tcp } }
        };
        tokio::select! {
            result = &mut udp => match result {
                Ok(connection) => Ok(connection),
                Err(udp) if udp.is_answer() => Err(DialError::Answered(udp)),
                Err(udp) => tcp.await.map_err(|tcp| neither(udp, tcp)),
            },
            result = &mut tcp => match result {
                Ok(connection) => Ok(connection),
                Err(tcp) => udp.await.map_err(|udp| neither(udp, tcp)),
            },
        }
    }
}

/// Says so where a link stands over TCP: it works, and it is not what is wanted.
pub fn tell(connection: &Connection) {
    if connection.way() == Way::Tcp {
        let address = connection.remote_address();
        tracing::warn!(
            peer = %address,
            "UDP to {address} is not answered, so the link to the control plane is over TCP: slower where packets are lost; let UDP {} \
             through",
            address.port()
        );
    }
}

#[cfg(test)]
mod tests;
