//! One call of the web API, over the Unix socket or HTTPS.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use shared_net::tasks::TaskSet;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Server;
use super::text::safe;

/// Bytes of an answer that the command line reads.
const ANSWER: usize = 64 * 1024 * 1024;

pub(super) struct Client {
    server: Server,
    tasks: TaskSet,
}

impl Client {
    pub(super) fn new(server: Server) -> anyhow::Result<Self> {
        if server.socket.is_none() && server.server.is_none() {
            bail!(
                "say where the control plane is: --socket PATH, or --server URL with --token-file (or SALLYPORT_SOCKET, SALLYPORT_SERVER)"
            );
        }
        Ok(Self { server, tasks: TaskSet::new() })
    }

    pub(super) const fn json(&self) -> bool {
        self.server.json
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        Self::read(self.send(method, path, body).await?).await
    }

    /// The body of an answer that goes on.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<Incoming> {
        let response = self.send(Method::GET, path, None).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Self::read(response).await?;
        bail!("the answer is no stream")
    }

    /// The answer as JSON; a problem is an error with its sentence.
    async fn read(response: Response<Incoming>) -> anyhow::Result<Value> {
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), ANSWER);
        #[expect(clippy::disallowed_methods, reason = "the body is Limited")]
        let bytes = body.collect().await.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
        let value: Value =
            serde_json::from_slice(&bytes).context("the answer is not JSON; is this a control plane?")?;
        if !status.is_success() {
            let error = value.get("error").and_then(Value::as_str);
            bail!("{}", safe(error.unwrap_or("the control plane refused without a reason"), false));
        }
        Ok(value)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let body = Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default());
        if let Some(socket) = &self.server.socket {
            let stream = UnixStream::connect(socket).await;
            let stream =
                stream.with_context(|| format!("the control plane does not listen on {}", socket.display()))?;
            return self.exchange(stream, request.header(HOST, "localhost").body(body)?).await;
        }
        let url: http::Uri =
            self.server.server.as_deref().unwrap_or_default().parse().context("--server is not a URL")?;
        let host = url.host().context("--server has no host")?.to_owned();
        let tcp = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(8443))).await;
        let tcp = tcp.with_context(|| format!("{url} can't be reached"))?;
        let stream = TlsConnector::from(self.tls()?).connect(ServerName::try_from(host.clone())?, tcp).await?;
        if let Some(path) = &self.server.token_file {
            let token = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        self.exchange(stream, request.header(HOST, host).body(body)?).await
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        self.tasks.spawn("connection", async move { drop(connection.await) });
        Ok(sender.send_request(request).await?)
    }

    fn tls(&self) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        match &self.server.ca {
            Some(path) => {
                for certificate in CertificateDer::pem_file_iter(path)? {
                    roots.add(certificate?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let builder = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider());
        Ok(Arc::new(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth()))
    }
}
