//! `sallyport-sidecar probe`: from inside a runner-like Pod, which ways round the agent are open, and whether a call goes the way that it
//! should. It is the *main* container of the Pod that `sallyport doctor` starts, beside a sidecar that was injected as into any other, and
//! is set up as any client there is: address in `KUBERNETES_SERVICE_*`, files where a ServiceAccount's are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared::bypass::{Call, Probed};
use shared::limits;
use shared::status::Status;
use shared_net::body::collect_bounded;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Endpoint, Network};
use crate::prober;
use crate::serve_dir::{CA_FILE, TOKEN_FILE};

/// Where a Pod's clients look for their credentials.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Tries everything.
pub async fn run(network: &Network) -> Probed {
    let report = prober::once(network).await;
    Probed { report, call: through(Endpoint::from_env(), Path::new(CREDENTIALS), limits::PROBE_WAIT).await }
}

/// A call, again and again until it is answered well or the time is over.
async fn through(endpoint: Option<Endpoint>, folder: &Path, wait: Duration) -> Call {
    let Some(endpoint) = endpoint else {
        return Call::Failed { why: "KUBERNETES_SERVICE_HOST and _PORT name no API server".to_owned() };
    };
    let mut last = Call::Failed { why: "no answer in time".to_owned() };
    let tries = async {
        loop {
            last = match once(&endpoint, folder).await {
                Ok((status, message)) => Call::Answered { status, message },
                Err(error) => Call::Failed { why: format!("{error:#}") },
            };
            if matches!(last, Call::Answered { status: 200, .. }) {
                return;
            }
            tokio::time::sleep(limits::PROBE_PAUSE).await;
        }
    };
    // What the last try said is told, whether or not there was time for another.
    drop(tokio::time::timeout(wait, tries).await);
    last
}

async fn once(endpoint: &Endpoint, folder: &Path) -> anyhow::Result<(u16, String)> {
    use anyhow::Context as _;
    let token = std::fs::read_to_string(folder.join(TOKEN_FILE)).context("there is no token")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(CA_FILE)).context("there is no certificate")?)?;
    let tls = ClientConfig::builder_with_provider(shared_net::crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.context("nothing listens")?;
    let name = ServerName::try_from(endpoint.host.clone())?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.context("TLS failed")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/version")
        .header(header::HOST, format!("{}:{}", endpoint.host, endpoint.port))
        .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
        .body(Empty::<bytes::Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await.context("no answer")?;
        let status = response.status().as_u16();
        let body = collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::SESSION_WAIT).await?;
        let message = serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
        anyhow::Ok((status, if status == 200 { String::new() } else { message }))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        // The connection may end with the answer, before the body was looked at.
        ended = connection => { ended.context("the connection broke")?; exchange.await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: 1 };
        let wait = Duration::from_millis(10);
        let why = |call: Call| match call {
            Call::Failed { why } => why,
            Call::Answered { .. } => panic!("nobody is there"),
        };
        assert!(why(through(None, folder.path(), wait).await).contains("KUBERNETES_SERVICE_HOST"));
        assert!(why(through(Some(endpoint), folder.path(), wait).await).starts_with("there is no token"));
    }
}
