//! The load generator's client: one HTTP/1.1 connection that is kept, the same for every contestant.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared_net::tasks::TaskSet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::machine::{micros_since, now};

/// Where a contestant is reached, and how.
#[derive(Clone)]
pub(super) struct Place {
    /// Host and port.
    pub(super) address: SocketAddr,
    /// TLS, where it speaks that.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Bearer token, where it wants one.
    pub(super) token: Option<String>,
}

/// TLS that trusts one authority.
///
/// # Errors
/// The file does not hold a certificate.
pub(crate) fn trusting(ca: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| ca.display().to_string())? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(shared_net::crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// An open connection.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    token: Option<HeaderValue>,
}

impl Client {
    /// Connects; the connection's task goes into `tasks`.
    ///
    /// # Errors
    /// Nobody is there, or it is not who it must be.
    pub(super) async fn connect(place: &Place, tasks: &TaskSet) -> Result<Self> {
        let tcp = TcpStream::connect(place.address).await?;
        tcp.set_nodelay(true)?;
        let sender = match &place.tls {
            None => open(tcp, tasks).await?,
            Some(tls) => {
                let name = ServerName::IpAddress(place.address.ip().into());
                open(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?, tasks).await?
            }
        };
        let token = place.token.as_ref().map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose()?;
        Ok(Self { sender, host: HeaderValue::try_from(place.address.to_string())?, token })
    }

    /// Reads something whole, and says how many microseconds it took and how many bytes there were.
    ///
    /// # Errors
    /// Any answer but 200.
    pub(super) async fn read(&mut self, path: &str) -> Result<(f64, usize)> {
        let (_, took, bytes) = self.read_timed(path).await?;
        Ok((took, bytes))
    }

    /// The same, with the time until the first byte of the body before the whole time.
    ///
    /// # Errors
    /// Any answer but 200.
    pub(super) async fn read_timed(&mut self, path: &str) -> Result<(f64, f64, usize)> {
        let start = now();
        let mut response = self.send(Method::GET, path, Bytes::new()).await?;
        let status = response.status();
        let (mut bytes, mut first) = (0, 0.0);
        while let Some(frame) = response.body_mut().frame().await {
            if bytes == 0 {
                first = micros_since(start);
            }
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        let took = micros_since(start);
        if status != StatusCode::OK {
            bail!("GET {path}: {status}");
        }
        Ok((first, took, bytes))
    }

    /// Sends a request and gives the head of the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }
}

/// An HTTP/1.1 client on an open stream.
///
/// # Errors
/// The stream is broken.
pub(super) async fn open<S>(stream: S, tasks: &TaskSet) -> Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // What went wrong is said to whoever waits for an answer.
    tasks.spawn("client", async move { drop(connection.with_upgrades().await) });
    Ok(sender)
}
