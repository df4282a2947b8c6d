//! What our code may do with a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use quinn::VarInt;
use rustls::pki_types::CertificateDer;
use shared::limits;
use tokio::sync::OwnedSemaphorePermit;

use crate::tcp::Carrier;
use crate::tls::PeerKey;

/// What carries a connection's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As QUIC is meant.
    Udp,
    /// UDP is blocked.
    Tcp,
}

impl Way {
    /// As a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// One connection to a peer whose key is proven. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    quic: quinn::Connection,
    peer: PeerKey,
    certificates: Vec<CertificateDer<'static>>,
    streams: AtomicU32,
    allowed: AtomicU32,
    carrier: Option<Carrier>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// A stream could not be opened; nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The connection is lost.
    #[error("connection lost")]
    Lost(#[source] quinn::ConnectionError),
    /// The peer allows no further stream within [`limits::OPEN_STREAM`].
    #[error("peer allowed no further stream within {wait:?}", wait = limits::OPEN_STREAM)]
    Full,
}

/// Label or length of an exporter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS exporter refused")]
pub struct ExportError;

impl Connection {
    pub(crate) fn new(
        quic: quinn::Connection,
        permit: Option<OwnedSemaphorePermit>,
        carrier: Option<Carrier>,
    ) -> Option<Self> {
        let certificates = *quic.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        let peer = PeerKey::of_certificate(certificates.first()?)?;
        Some(Self(Arc::new(Inner {
            quic,
            peer,
            certificates,
            streams: AtomicU32::new(0),
            allowed: AtomicU32::new(limits::STREAMS_INITIAL),
            carrier,
            _permit: permit,
        })))
    }

    /// The key that the peer proved in the handshake.
    pub fn peer_key(&self) -> PeerKey {
        self.0.peer
    }

    /// The certificates that the peer showed, leaf first. Only the leaf's *key* is proven.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.certificates
    }

    /// What carries its packets.
    pub fn way(&self) -> Way {
        if self.0.carrier.is_some() { Way::Tcp } else { Way::Udp }
    }

    /// Where the peer is reached now; it may move.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.quic.remote_address()
    }

    /// Keying material of this connection (TLS exporter, RFC 5705): equal on both sides, different for every connection.
    ///
    /// # Errors
    /// The TLS stack refuses.
    pub fn export(&self, label: &[u8]) -> Result<[u8; 32], ExportError> {
        let mut bytes = [0; 32];
        self.0.quic.export_keying_material(&mut bytes, label, &[]).map_err(|_| ExportError)?;
        Ok(bytes)
    }

    /// Ends the connection; every stream of it is lost. Codes: [`shared::wire::code`].
    pub fn close(&self, code: u32, reason: &str) {
        self.0.quic.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Resolves with the reason when the connection has ended.
    pub async fn closed(&self) -> quinn::ConnectionError {
        self.0.quic.closed().await
    }

    /// Why it has ended, if it has.
    pub fn close_reason(&self) -> Option<quinn::ConnectionError> {
        self.0.quic.close_reason()
    }

    /// The code with which the *peer* closed, if it did so in our protocol.
    pub fn peer_close_code(&self) -> Option<u64> {
        match self.close_reason()? {
            quinn::ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            quinn::ConnectionError::VersionMismatch
            | quinn::ConnectionError::TransportError(_)
            | quinn::ConnectionError::ConnectionClosed(_)
            | quinn::ConnectionError::Reset
            | quinn::ConnectionError::TimedOut
            | quinn::ConnectionError::LocallyClosed
            | quinn::ConnectionError::CidsExhausted => None,
        }
    }

    /// Round trip time, loss and traffic.
    pub fn stats(&self) -> quinn::ConnectionStats {
        self.0.quic.stats()
    }

    /// How much the peer may have sent on all streams together that nobody has read, in place of [`limits::CONNECTION_WINDOW`].
    pub fn allow_unread(&self, bytes: u32) {
        self.0.quic.set_receive_window(VarInt::from_u32(bytes));
    }

    /// A number that changes with every authentic packet of the peer.
    pub fn heard(&self) -> u64 {
        let frames = self.stats().frame_rx;
        [
            frames.acks,
            frames.ping,
            frames.stream,
            frames.max_data,
            frames.max_stream_data,
            frames.max_streams_bidi,
            frames.reset_stream,
            frames.stop_sending,
            frames.new_connection_id,
            frames.path_challenge,
            frames.path_response,
        ]
        .iter()
        .fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Whether both are handles of the same connection.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Opens a stream. The peer sees it with the first byte.
    pub(crate) async fn open(&self) -> Result<crate::stream::QuicIo, OpenError> {
        let (send, recv) = tokio::time::timeout(limits::OPEN_STREAM, self.0.quic.open_bi())
            .await
            .map_err(|_| OpenError::Full)?
            .map_err(OpenError::Lost)?;
        Ok(crate::stream::QuicIo::new(send, recv))
    }

    /// Takes the next stream that the peer opened.
    pub(crate) async fn take(&self) -> Result<(crate::stream::QuicIo, StreamGuard), quinn::ConnectionError> {
        let (send, recv) = self.0.quic.accept_bi().await?;
        let guard = StreamGuard::new(self);
        Ok((crate::stream::QuicIo::new(send, recv), guard))
    }

    /// Streams of the peer that are served now.
    pub fn streams(&self) -> u32 {
        self.0.streams.load(Ordering::Relaxed)
    }
}

/// Counts one stream of the peer. quinn pays memory for every stream that it *permits*, so a connection starts with few, and the permitted
/// number doubles when three quarters are in use.
#[derive(Debug)]
pub(crate) struct StreamGuard(Connection);

impl StreamGuard {
    fn new(connection: &Connection) -> Self {
        let inner = &connection.0;
        let running = inner.streams.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let allowed = inner.allowed.load(Ordering::Relaxed);
        if running.saturating_mul(4) >= allowed.saturating_mul(3) && allowed < limits::STREAMS_MAX {
            let raised = allowed.saturating_mul(2).min(limits::STREAMS_MAX);
            // Only the accepting task comes here, so there is no race with another raise.
            inner.allowed.store(raised, Ordering::Relaxed);
            inner.quic.set_max_concurrent_bi_streams(VarInt::from_u32(raised));
        }
        Self(connection.clone())
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
