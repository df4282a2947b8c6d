//! The webhook's certificate, read again when its files change: whoever renews it need not restart us.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use shared::chain::Chain;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::validity::validity;
use tokio_rustls::TlsAcceptor;

use super::config::TlsFiles;
use super::metrics::InjectorMetrics;

/// Between two looks at the files. They are small, and a Secret's volume changes within a minute or so anyway.
const LOOK: Duration = Duration::from_secs(2);
/// A certificate that ends sooner than this is spoken of.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// Between two such words.
const REMIND: Duration = Duration::from_secs(3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("{path} can't be read")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no {what} in PEM")]
    Content { path: PathBuf, what: &'static str },
    #[error("certificate and key are refused")]
    Refused(#[source] rustls::Error),
    #[error("the authority of clients is refused")]
    Clients(#[source] rustls::server::VerifierBuilderError),
}

/// The certificate in use.
pub(super) struct Certificate {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

/// What the files held.
#[derive(PartialEq, Eq)]
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads it.
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (config, _) = read(&files).and_then(|read| parse(&files, &read))?;
        Ok(Self { files, current: RwLock::new(Arc::new(config)) })
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Follows the files for ever. Files that don't go together, as in the midst of a change, leave the old certificate in use.
    pub(super) async fn follow(self: Arc<Self>, clock: Clock, metrics: Arc<InjectorMetrics>) {
        let mut known: Option<Read> = None;
        let mut end = None;
        let mut reminded = None::<Duration>;
        loop {
            match read(&self.files) {
                Ok(read) if known.as_ref() != Some(&read) => {
                    match parse(&self.files, &read) {
                        Ok((config, until)) => {
                            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                            (end, reminded) = (until, None);
                            metrics.certificate_end.set(until.unwrap_or_default());
                            tracing::info!(end = until, "the webhook's certificate is in use");
                        }
                        Err(error) => tracing::warn!(error = %Chain(&error), "the new certificate is not used"),
                    }
                    known = Some(read);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(error = %Chain(&error), "the certificate's files can't be read just now"),
            }
            let quiet = reminded.is_some_and(|at| clock.monotonic().saturating_sub(at) < REMIND);
            if let Some(end) = end
                && !quiet
                && end < seconds(clock.now().after(SOON))
            {
                reminded = Some(clock.monotonic());
                let over = end < seconds(clock.now());
                tracing::warn!(
                    end,
                    over,
                    "the webhook's certificate ends; once it is over the API server creates no Pod that is ours"
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}

fn read(files: &TlsFiles) -> Result<Read, TlsError> {
    let bytes = |path: &Path| std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source });
    Ok(Read {
        certificate: bytes(&files.certificate)?,
        key: bytes(&files.key)?,
        client_ca: files.client_ca.as_deref().map(bytes).transpose()?,
    })
}

/// The configuration, and when the certificate ends.
fn parse(files: &TlsFiles, read: &Read) -> Result<(ServerConfig, Option<i64>), TlsError> {
    let content = |path: &Path, what| TlsError::Content { path: path.to_owned(), what };
    let chain = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok();
    let certificates = chain(&read.certificate)
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| content(&files.certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(|_| content(&files.key, "key"))?;
    let end = certificates.first().and_then(|leaf| validity(leaf)).map(|validity| seconds(validity.until));
    let provider = shared_net::crypto::provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Refused)?;
    let builder = match (&files.client_ca, &read.client_ca) {
        (Some(path), Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for root in chain(pem).unwrap_or_default() {
                roots.add(root).map_err(TlsError::Refused)?;
            }
            if roots.is_empty() {
                return Err(content(path, "certificate"));
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::Clients)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, end))
}
