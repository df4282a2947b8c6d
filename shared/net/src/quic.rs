//! QUIC parameters: what both sides allow each other.

use std::sync::Arc;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, IdleTimeout, MtuDiscoveryConfig, NoneTokenLog, ServerConfig, TransportConfig, VarInt};
use shared::limits;

use crate::pki::{Identity, KeyPin};
use crate::tls::{self, ServerKeys};

/// Bytes by which a server's packets over TCP can grow that are not worth another probe.
const PROBING_STEP: u16 = 1024;

/// Why a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Key and certificate don't fit.
    #[error("TLS refuses this identity")]
    Tls(#[from] rustls::Error),
    /// The crypto provider lacks what QUIC needs.
    #[error("the crypto provider lacks the first cipher suite of QUIC")]
    Suite(#[from] NoInitialCipherSuite),
}

/// The listening side.
///
/// # Errors
/// See [`ConfigError`].
pub fn server_config(identity: &Identity) -> Result<ServerConfig, ConfigError> {
    server_config_of(Arc::new(ServerKeys::new(identity)?))
}

/// The listening side, with keys that may change.
///
/// # Errors
/// See [`ConfigError`].
pub fn server_config_of(keys: Arc<ServerKeys>) -> Result<ServerConfig, ConfigError> {
    let crypto = QuicServerConfig::try_from(tls::server_config_of(keys)?)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    // A pod's address may change in mid connection (node NAT, CNI); the keys stay.
    config.migration(true);
    // No tokens for later connections (NEW_TOKEN, RFC 9000 §8.1.3): they would spare a peer one round trip, and only under load, while the
    // log of those that were used costs up to 20 MiB and takes peers that come back in another order for a clock that went back.
    config.validation_token.sent(0).log(Arc::new(NoneTokenLog));
    Ok(config)
}

/// The dialling side.
///
/// # Errors
/// See [`ConfigError`].
pub fn client_config(identity: &Identity, pin: KeyPin) -> Result<ClientConfig, ConfigError> {
    let crypto = QuicClientConfig::try_from(tls::client_config(identity, pin)?)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport()));
    Ok(config)
}

/// Over TCP: large packets, for nothing on the way limits them. A server may send only three times what a client has sent until that has
/// answered (RFC 9000 §8.1), which is less than one such packet, so it begins small and probes; a probe that arrives is all it takes.
pub(crate) fn transport_over_tcp(client: bool) -> TransportConfig {
    let mut transport = transport();
    let mut congestion = CubicConfig::default();
    // Ten packets, as over UDP (RFC 9002 §7.2); quinn's number is of small ones, and less than one of these would never leave.
    congestion.initial_window(10 * u64::from(limits::TCP_PACKET_BYTES));
    transport.congestion_controller_factory(Arc::new(congestion));
    if client {
        transport.initial_mtu(limits::TCP_PACKET_BYTES).mtu_discovery_config(None);
    } else {
        let mut probing = MtuDiscoveryConfig::default();
        probing.upper_bound(limits::TCP_PACKET_BYTES).minimum_change(PROBING_STEP);
        transport.mtu_discovery_config(Some(probing));
    }
    transport
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_INITIAL))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW))
        .send_window(u64::from(limits::CONNECTION_WINDOW))
        .keep_alive_interval(Some(limits::KEEP_ALIVE))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0);
    // Fails only for durations beyond 2^62 ms; the constant is seconds. Without it the default (30 s) would hold.
    if let Ok(idle) = IdleTimeout::try_from(limits::IDLE) {
        transport.max_idle_timeout(Some(idle));
    }
    transport
}
