//! A stranger whose QUIC packets hold what no honest peer sends: quinn shakes hands for him, and from then on the frames of every packet
//! are replaced by his before they are sealed. Nothing is acknowledged then, either.

pub mod frames;

use std::any::Any;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::crypto::{self, CryptoError, ExportKeyingMaterialError, KeyPair, Keys, PacketKey};
use quinn::{
    ClientConfig, ConnectError, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, Side, TokioRuntime,
    TransportErrorCode,
};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use shared::wire;
use shared_net::clock::Clock;
use shared_net::pki::{CA_LIFE, Identity, KeyPin};
use shared_net::tls;

use frames::Heard;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fills a packet with frames: as many of its bytes as it likes; what is left becomes PADDING.
pub type Fill = Box<dyn FnMut(&mut Vec<u8>, usize) + Send>;

/// One connection of his.
#[derive(Debug)]
pub struct Forger {
    /// quinn's: what is written to its streams makes packets, whose content is replaced.
    pub connection: quinn::Connection,
    forge: Arc<Forge>,
    ids: Ids,
    _endpoint: Endpoint,
}

/// The connection ids by which quinn knows him; packets to others would be lost on him.
#[derive(Clone, Debug, Default)]
struct Ids(Arc<Mutex<Vec<ConnectionId>>>);

#[derive(Default)]
struct Forge {
    fill: Mutex<Option<Fill>>,
    heard: Mutex<Heard>,
    sent: Mutex<u64>,
}

impl Forger {
    /// Dials with a new key.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn dial(address: SocketAddr, pin: &str) -> Result<Self> {
        let pin: KeyPin = pin.parse().context("no pin")?;
        let identity = Identity::self_signed(Clock::system().now(), CA_LIFE)?;
        let forge = Arc::new(Forge::default());
        let inner = QuicClientConfig::try_from(tls::client_config(&identity, pin)?)?;
        let config = Config { inner: Arc::new(inner), forge: Arc::clone(&forge) };
        let ids = Ids::default();
        let mut endpoint = EndpointConfig::default();
        let generator = ids.clone();
        endpoint.cid_generator(move || Box::new(generator.clone()));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let endpoint = Endpoint::new(endpoint, None, socket, Arc::new(TokioRuntime))?;
        let connecting = endpoint.connect_with(ClientConfig::new(Arc::new(config)), address, wire::SERVER_NAME)?;
        Ok(Self { connection: connecting.await?, forge, ids, _endpoint: endpoint })
    }

    /// A connection id by which he is reached.
    pub fn id(&self) -> [u8; 8] {
        let ids = locked(&self.ids.0);
        ids.last().and_then(|id| id[..].try_into().ok()).expect("the generator makes ids of eight bytes")
    }

    /// Sends packets until the connection is over or so many are out, all filled by `fill`.
    ///
    /// # Errors
    /// Not even one stream may be opened.
    pub async fn flood(&self, packets: u64, fill: Fill) -> Result<Heard> {
        let (mut send, _receive) = self.connection.open_bi().await?;
        *locked(&self.forge.fill) = Some(fill);
        let block = vec![0; 16 * 1024];
        while *locked(&self.forge.sent) < packets {
            match tokio::time::timeout(PATIENCE, send.write_all(&block)).await {
                Ok(Ok(())) => {}
                // The connection is over, or the window that the other side gave in the handshake is used up.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(self.heard())
    }

    /// One packet with these frames alone, and the code with which the other side ends the connection, if it does.
    ///
    /// # Errors
    /// Not even one stream may be opened.
    pub async fn once(&self, forged: Vec<u8>) -> Result<Option<TransportErrorCode>> {
        let fill: Fill = Box::new(move |packet, room| {
            if forged.len() <= room {
                packet.extend(&forged);
            }
        });
        self.flood(1, fill).await?;
        Ok(self.closed().await)
    }

    /// The code with which the other side ends the connection, if it does so soon.
    pub async fn closed(&self) -> Option<TransportErrorCode> {
        match tokio::time::timeout(PATIENCE, self.connection.closed()).await {
            Ok(quinn::ConnectionError::ConnectionClosed(close)) => Some(close.error_code),
            Ok(_) | Err(_) => None,
        }
    }

    /// What came back so far.
    pub fn heard(&self) -> Heard {
        locked(&self.forge.heard).clone()
    }

    /// How many packets were forged.
    pub fn sent(&self) -> u64 {
        *locked(&self.forge.sent)
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let id = ConnectionId::new(&shared_net::crypto::random::<8>());
        locked(&self.0).push(id);
        id
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked with it")
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forge")
    }
}

struct Config {
    inner: Arc<QuicClientConfig>,
    forge: Arc<Forge>,
}

impl crypto::ClientConfig for Config {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        let inner = Arc::clone(&self.inner).start_session(version, server_name, params)?;
        Ok(Box::new(Session { inner, forge: Arc::clone(&self.forge) }))
    }
}

struct Session {
    inner: Box<dyn crypto::Session>,
    forge: Arc<Forge>,
}

impl Session {
    fn wrap(&self, pair: KeyPair<Box<dyn PacketKey>>) -> KeyPair<Box<dyn PacketKey>> {
        let wrap = |inner| -> Box<dyn PacketKey> { Box::new(Key { inner, forge: Arc::clone(&self.forge) }) };
        KeyPair { local: wrap(pair.local), remote: wrap(pair.remote) }
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn crypto::HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let keys = self.inner.write_handshake(buf)?;
        Some(Keys { header: keys.header, packet: self.wrap(keys.packet) })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let pair = self.inner.next_1rtt_keys()?;
        Some(self.wrap(pair))
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct Key {
    inner: Box<dyn PacketKey>,
    forge: Arc<Forge>,
}

impl PacketKey for Key {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        if let Some(fill) = locked(&self.forge.fill).as_mut() {
            let end = buf.len() - self.tag_len();
            let payload = buf.get_mut(header_len..end).expect("a packet has a header and a tag");
            let mut forged = Vec::with_capacity(payload.len());
            fill(&mut forged, payload.len());
            payload.fill(frames::PADDING);
            payload.iter_mut().zip(&forged).for_each(|(byte, forged)| *byte = *forged);
            *locked(&self.forge.sent) += u64::from(!forged.is_empty());
        }
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        if locked(&self.forge.fill).is_some() {
            let retired = locked(&self.forge.heard).note(payload);
            for frame in retired {
                payload.get_mut(frame).expect("it was found there").fill(frames::PADDING);
            }
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}
