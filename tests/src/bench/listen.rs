//! A TLS listener with a certificate of its own, for the canned upstream, the first process of the bare chain and the gate of the stories.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared_net::body::BoxBody;
use shared_net::clock::Clock;
use shared_net::pki::{CA_LIFE, Ca};
use shared_net::tasks::TaskSet;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A bound listener.
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    tasks: TaskSet,
}

impl Listener {
    /// Binds, and writes the certificate of its authority to a file.
    pub(crate) async fn bind(ca_file: &Path, protocols: &[&[u8]]) -> Result<Self> {
        let now = Clock::system().now();
        let ca = Ca::generate("bench", now)?;
        let identity = ca.issue_server(&["localhost"], &[Ipv4Addr::LOCALHOST.into()], now, CA_LIFE)?;
        std::fs::write(ca_file, ca.pem())?;
        Self::with(identity.chain().to_vec(), identity.key(), protocols).await
    }

    /// Binds with a certificate that was made elsewhere.
    pub(crate) async fn with(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        protocols: &[&[u8]],
    ) -> Result<Self> {
        let mut config = rustls::ServerConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { tcp, tls: TlsAcceptor::from(Arc::new(config)), tasks: TaskSet::new() })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.tcp.local_addr()?)
    }

    /// Serves for ever.
    pub(crate) async fn serve<F, R>(self, answer: F) -> Result<()>
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<BoxBody>> + Send + 'static,
    {
        loop {
            let (stream, _) = self.tcp.accept().await?;
            stream.set_nodelay(true)?;
            let (tls, answer) = (self.tls.clone(), answer.clone());
            self.tasks.spawn("connection", async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| {
                    let response = answer(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let io = TokioIo::new(stream);
                // A connection that breaks off is its client's business.
                if h2 {
                    drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
                } else {
                    drop(http1::Builder::new().serve_connection(io, service).await);
                }
            });
        }
    }
}
