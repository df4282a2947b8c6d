//! TLS between our processes: both sides prove a key, the server's authority is pinned, nothing is resumed.
//!
//! A peer's certificate is only the envelope of its key: any self-signed one is taken, and who the key belongs to is decided by what is
//! said over the connection. Trust of the server is the pin of its authority's key.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, RootCertStore,
    ServerConfig, SignatureScheme,
};
use shared::wire;

use crate::crypto;
use crate::pki::{Identity, KeyPin};
use crate::validity::{Validity, validity};

/// The identity of a peer: SHA-256 of its public key (`SubjectPublicKeyInfo`), proven in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub [u8; 32]);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

impl PeerKey {
    /// The key in a certificate, or `None` if it can't be read.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        spki(certificate).map(|spki| Self(crypto::sha256(&spki)))
    }
}

/// The public key of a certificate in DER.
pub(crate) fn spki(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info().to_vec())
}

/// What a listener shows; it can be replaced while it listens.
pub struct ServerKeys(RwLock<Arc<CertifiedKey>>);

impl ServerKeys {
    /// Begins with this.
    ///
    /// # Errors
    /// The key does not fit the certificate.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        Ok(Self(RwLock::new(certified(identity)?)))
    }

    /// From when to when what is shown is good: the certificate, the authority's, and the one by which an authority before vouches for it, as
    /// long as that one is trusted. `None` where there is none, or it can't be read.
    pub fn validity(&self) -> [Option<Validity>; 3] {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        [0, 1, 2].map(|place| shown.cert.get(place).and_then(|certificate| validity(certificate)))
    }

    /// Shows this from the next handshake on.
    ///
    /// # Errors
    /// The key does not fit the certificate; what was shown before stays.
    pub fn replace(&self, identity: &Identity) -> Result<(), Error> {
        let certified = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKeys")
    }
}

impl ResolvesServerCert for ServerKeys {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, Error> {
    CertifiedKey::from_der(identity.chain().to_vec(), identity.key(), &crypto::provider()).map(Arc::new)
}

/// The configuration of the listening side.
///
/// # Errors
/// The key does not fit the certificate.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, Error> {
    server_config_of(Arc::new(ServerKeys::new(identity)?))
}

/// The same, with keys that may change.
///
/// # Errors
/// The crypto provider lacks TLS 1.3.
pub fn server_config_of(keys: Arc<ServerKeys>) -> Result<ServerConfig, Error> {
    let provider = crypto::provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey { provider }))
        .with_cert_resolver(keys);
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    // Early data can be replayed by anyone who recorded it, so there is none; and a resumed handshake would carry the peer's identity
    // over from a ticket instead of proving its key, so there are no tickets.
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// The configuration of the dialling side: proves `identity`, accepts only a server under the authority whose key is `pin`.
///
/// # Errors
/// The key does not fit the certificate.
pub fn client_config(identity: &Identity, pin: KeyPin) -> Result<ClientConfig, Error> {
    let provider = crypto::provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedAuthority { pin, provider }))
        .with_client_auth_cert(identity.chain().to_vec(), identity.key())?;
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes any certificate whose key signs the handshake.
#[derive(Debug)]
struct AnyKey {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The key must be readable, because it is the identity; names, dates and issuers mean nothing here.
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a server certificate iff it verifies for its name under an authority with the pinned key.
///
/// The authority's certificate comes with the handshake. Once its key equals the pin it is the *only* root, and the ordinary webpki
/// verification decides: signature, dates, name, purpose. A forged authority certificate around the true key gains nothing, because
/// what it would have to sign with that key is the leaf, or the authority that came after it (`pki/succession.rs`): it signs nothing else.
#[derive(Debug)]
struct PinnedAuthority {
    pin: KeyPin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| spki(certificate).is_some_and(|spki| KeyPin::of_spki(&spki) == self.pin))
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?
            .verify_server_cert(end_entity, intermediates, server_name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
