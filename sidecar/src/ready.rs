//! `sallyport-sidecar ready`: whether the sidecar of this configuration serves, for a startup probe; and `wait`, which ends when it does, for
//! a hook after its start. There is no port for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared::limits;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::serve_dir::{CA_FILE, TOKEN_FILE};

/// Why it is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The folder is not written.
    #[error("{0} does not hold a certificate")]
    NoCertificate(PathBuf),
    /// The folder has no token: there has been no session yet, and clients are to wait for one.
    #[error("there is no session with the control plane yet")]
    NoSession,
    /// Nobody listens.
    #[error("nothing listens")]
    NoListener(#[source] io::Error),
    /// Someone else listens, or the files are of an earlier life.
    #[error("the listener does not go with the files in the folder")]
    Other(#[source] io::Error),
    /// No answer.
    #[error("no answer within {wait:?}", wait = limits::HANDSHAKE)]
    Slow,
    /// TLS could not be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// Ready means: there is a token for clients (so a session, where they wait for one), and the listener answers with the certificate that clients were told to expect. A TLS handshake shows both.
///
/// # Errors
/// See [`NotReady`].
pub async fn check(config: &Config) -> Result<(), NotReady> {
    let path = config.serve_dir.join(CA_FILE);
    let certificate = CertificateDer::from_pem_file(&path).map_err(|_| NotReady::NoCertificate(path.clone()))?;
    if !config.serve_dir.join(TOKEN_FILE).exists() {
        return Err(NotReady::NoSession);
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|_| NotReady::NoCertificate(path))?;
    let tls = ClientConfig::builder_with_provider(shared_net::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(NotReady::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect(config.listen).await.map_err(NotReady::NoListener)?;
        let name = ServerName::IpAddress(config.listen.ip().into());
        let connected = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        connected.map(drop).map_err(NotReady::Other)
    };
    tokio::time::timeout(limits::HANDSHAKE, handshake).await.unwrap_or(Err(NotReady::Slow))
}

/// Ends when it is ready, as [`check`] means it.
///
/// # Errors
/// It was not within [`limits::READY_WAIT`]; the last reason.
pub async fn wait(config: &Config) -> Result<(), NotReady> {
    let mut last = NotReady::Slow;
    let ready = async {
        while let Err(error) = check(config).await {
            last = error;
            tokio::time::sleep(limits::READY_LOOK).await;
        }
    };
    match tokio::time::timeout(limits::READY_WAIT, ready).await {
        Ok(()) => Ok(()),
        Err(_) => Err(last),
    }
}
