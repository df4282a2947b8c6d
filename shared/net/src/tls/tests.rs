use std::time::Duration;

use shared::time::Timestamp;

use super::*;
use crate::clock::Clock;
use crate::pki::Ca;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn now() -> Timestamp {
    Clock::system().now()
}

fn peer() -> Identity {
    Identity::self_signed(now(), DAY).unwrap()
}

/// Drives both sides in memory to the end of the handshake.
#[expect(clippy::unwrap_in_result, reason = "only what the peer refuses is a result")]
fn handshake(client: ClientConfig, server: ServerConfig) -> Result<Option<PeerKey>, Error> {
    let name = ServerName::try_from(wire::SERVER_NAME).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(server.peer_certificates().and_then(|chain| PeerKey::of_certificate(chain.first()?)))
}

fn server(ca: &Ca) -> Identity {
    ca.issue_server(&[wire::SERVER_NAME], &[], now(), DAY).unwrap()
}

#[test]
fn the_peer_is_its_key() {
    let (ca, peer) = (Ca::generate("a", now()).unwrap(), peer());
    let seen = handshake(client_config(&peer, ca.pin()).unwrap(), server_config(&server(&ca)).unwrap());
    assert_eq!(seen, Ok(Some(PeerKey(*peer.pin().bytes()))));
}

/// A certificate that would end is replaced while the listener goes on; its authority's pin is the same.
#[test]
fn a_renewed_certificate_is_shown_at_once() {
    let ca = Ca::generate("a", now()).unwrap();
    let long_ago = Timestamp(now().0 - 1000 * 30 * DAY.as_secs());
    let ended = ca.issue_server(&[wire::SERVER_NAME], &[], long_ago, DAY).unwrap();
    let keys = Arc::new(ServerKeys::new(&ended).unwrap());
    let server = server_config_of(Arc::clone(&keys)).unwrap();
    let refused = handshake(client_config(&peer(), ca.pin()).unwrap(), server.clone());
    assert!(matches!(refused, Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))), "{refused:?}");
    keys.replace(&self::server(&ca)).unwrap();
    assert!(handshake(client_config(&peer(), ca.pin()).unwrap(), server).is_ok());
}

#[test]
fn nothing_can_be_replayed_or_resumed() {
    let ca = Ca::generate("a", now()).unwrap();
    let config = server_config(&server(&ca)).unwrap();
    assert_eq!((config.max_early_data_size, config.send_tls13_tickets), (0, 0));
    assert!(!config.session_storage.can_cache());
    let config = client_config(&peer(), ca.pin()).unwrap();
    assert!(!config.enable_early_data);
}

#[test]
fn a_server_under_another_key_is_refused() {
    let (ca, other) = (Ca::generate("a", now()).unwrap(), Ca::generate("a", now()).unwrap());
    let refused = handshake(client_config(&peer(), ca.pin()).unwrap(), server_config(&server(&other)).unwrap());
    assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
}

#[test]
fn showing_the_true_authority_beside_a_foreign_leaf_gains_nothing() {
    let (ca, other) = (Ca::generate("a", now()).unwrap(), Ca::generate("a", now()).unwrap());
    let (truly, forged) = (server(&ca), server(&other));
    let chain = vec![forged.chain()[0].clone(), truly.chain()[1].clone()];
    let mut config = server_config(&forged).unwrap();
    let signer = crypto::provider().key_provider.load_private_key(forged.key()).unwrap();
    config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(CertifiedKey::new(chain, signer)));
    assert!(matches!(
        handshake(client_config(&peer(), ca.pin()).unwrap(), config),
        Err(Error::InvalidCertificate(CertificateError::BadSignature | CertificateError::UnknownIssuer))
    ));
}

#[test]
fn dates_names_and_purposes_of_the_server_count() {
    let ca = Ca::generate("a", now()).unwrap();
    let pin = ca.pin();
    let old = Timestamp(now().0 - 10 * 86_400_000);
    let expired = ca.issue_server(&[wire::SERVER_NAME], &[], old, DAY).unwrap();
    let misnamed = ca.issue_server(&["other.internal"], &[], now(), DAY).unwrap();
    for (what, identity) in [("expired", expired), ("misnamed", misnamed), ("self-signed", peer())] {
        let result = handshake(client_config(&peer(), pin).unwrap(), server_config(&identity).unwrap());
        assert!(matches!(result, Err(Error::InvalidCertificate(_))), "{what}: {result:?}");
    }
}

#[test]
fn a_client_without_a_key_or_with_anothers_certificate_is_refused() {
    let ca = Ca::generate("a", now()).unwrap();
    let mut config = client_config(&peer(), ca.pin()).unwrap();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    assert_eq!(handshake(config, server_config(&server(&ca)).unwrap()), Err(Error::NoCertificatesPresented));
    let (mine, theirs) = (peer(), peer());
    let mut config = client_config(&mine, ca.pin()).unwrap();
    let signer = crypto::provider().key_provider.load_private_key(mine.key()).unwrap();
    let stolen = CertifiedKey::new(theirs.chain().to_vec(), signer);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
    assert_eq!(
        handshake(config, server_config(&server(&ca)).unwrap()),
        Err(Error::InvalidCertificate(CertificateError::BadSignature))
    );
}

#[test]
fn tls_1_2_and_other_protocols_are_refused() {
    let ca = Ca::generate("a", now()).unwrap();
    let mut config = client_config(&peer(), ca.pin()).unwrap();
    config.alpn_protocols = vec![b"h3".to_vec()];
    assert_eq!(handshake(config, server_config(&server(&ca)).unwrap()), Err(Error::NoApplicationProtocol));
    let old = ClientConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    assert!(matches!(handshake(old, server_config(&server(&ca)).unwrap()), Err(Error::PeerIncompatible(_))));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// While an authority changes, both keys lead to what is shown; afterwards the old one does not, and never does it to anything else.
#[test]
fn two_authorities_are_trusted_while_one_follows_the_other() {
    let (old, foreign) = (Ca::generate("a", now()).unwrap(), Ca::generate("a", now()).unwrap());
    let new = old.successor(now()).unwrap();
    let takes =
        |pin, shown: &Identity| handshake(client_config(&peer(), pin).unwrap(), server_config(shown).unwrap()).is_ok();
    let shown = server(&new);
    assert!(takes(old.pin(), &shown) && takes(new.pin(), &shown) && !takes(foreign.pin(), &shown));
    assert!(takes(old.pin(), &server(&old)) && !takes(new.pin(), &server(&old)));
    // Read again, as the next process does.
    let read = Ca::from_pem(new.key_pem().expose(), new.pem(), "a").unwrap();
    let finished = server(&read);
    assert!(!takes(old.pin(), &finished) && takes(new.pin(), &finished));
    let before = new.before_pem().unwrap();
    let read = read.with_before(&before).unwrap();
    assert!(takes(old.pin(), &server(&read)) && takes(new.pin(), &server(&read)));
    // It leads to one key only, and one follows at a time.
    assert!(Ca::generate("a", now()).unwrap().with_before(&before).is_err());
    assert!(matches!(new.successor(now()), Err(crate::pki::PkiError::Unfinished)));
    // A leaf of somebody else's, beside all that is true.
    let forged = server(&foreign);
    let chain = forged.chain().iter().take(1).chain(shown.chain().iter().skip(1)).cloned().collect();
    let signer = crypto::provider().key_provider.load_private_key(forged.key()).unwrap();
    for pin in [old.pin(), new.pin()] {
        let mut config = server_config(&forged).unwrap();
        let key = CertifiedKey::new(Vec::clone(&chain), Arc::clone(&signer));
        config.cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        assert!(handshake(client_config(&peer(), pin).unwrap(), config).is_err());
    }
}
