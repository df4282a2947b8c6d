//! The canned upstream: HTTP/1.1 and HTTP/2 over TLS, a Pod, a long list of Secrets and a watch that never take time to make.
//!
//! Everything else goes to the real API server: the agent's token reviews and Leases stay real.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use shared::limits;
use shared_net::body::{BoxBody, channel, collect_bounded, empty, full};
use shared_net::tasks::TaskSet;

use super::bodies;
use super::listen::Listener;
use super::machine::nanos;

/// Between two events of a watch.
pub(super) const EVENTS: Duration = Duration::from_millis(5);

/// An HTTPS client as the agent's: HTTP/2 where the server has it.
pub(crate) type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Makes the client.
pub(crate) fn https(tls: Arc<ClientConfig>) -> Https {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(ClientConfig::clone(&tls))
        .https_only()
        .enable_all_versions()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .http2_initial_stream_window_size(limits::STREAM_WINDOW)
        .http2_initial_connection_window_size(limits::CONNECTION_WINDOW)
        .build(connector)
}

struct Canned {
    pod: Bytes,
    secrets: Bytes,
    real: String,
    https: Https,
    tasks: TaskSet,
}

/// The role: serves for ever, in front of the real API server.
///
/// # Errors
/// It can't be bound.
pub(super) async fn run(real: &str, real_ca: &Path, ca_file: &Path) -> Result<()> {
    let listener = Listener::bind(ca_file, &[b"h2", b"http/1.1"]).await?;
    let canned = Arc::new(Canned {
        pod: bodies::pod().into(),
        secrets: bodies::secrets(1024).into(),
        real: real.to_owned(),
        https: https(super::client::trusting(real_ca)?),
        tasks: TaskSet::new(),
    });
    super::say_ready(&[listener.address()?.to_string()]);
    listener.serve(move |request| answer(Arc::clone(&canned), request)).await
}

async fn answer(canned: Arc<Canned>, request: Request<Incoming>) -> Response<BoxBody> {
    let path = request.uri().path();
    let json = |body: &Bytes| {
        let mut response = Response::new(full(body.clone()));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    };
    if path.ends_with("/pods/canned") {
        json(&canned.pod)
    } else if path.ends_with("/secrets") {
        json(&canned.secrets)
    } else if path.ends_with("/pods") && request.uri().query().is_some_and(|query| query.contains("watch=")) {
        let mut response = Response::new(watch(&canned.tasks));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    } else {
        pass(&canned.https, &canned.real, request).await.unwrap_or_else(|error| {
            let mut response = Response::new(full(format!("{error:#}")));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }
}

/// Events for ever, until the reader leaves.
fn watch(tasks: &TaskSet) -> BoxBody {
    let (sender, body) = channel(4);
    tasks.spawn("watch", async move {
        while sender.send(bodies::event(nanos()).into()).await.is_ok() {
            tokio::time::sleep(EVENTS).await;
        }
    });
    body.boxed_unsync()
}

/// Gives a request to the real API server, and its answer back.
///
/// # Errors
/// No answer, or one that is longer than the bound.
pub(crate) async fn pass(https: &Https, real: &str, request: Request<Incoming>) -> Result<Response<BoxBody>> {
    let (parts, body) = request.into_parts();
    let body = collect_bounded(body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut forward = Request::new(Full::new(body));
    *forward.method_mut() = parts.method;
    *forward.uri_mut() = format!("{real}{path}").parse::<Uri>()?;
    *forward.headers_mut() = end_to_end(parts.headers);
    let (parts, body) = https.request(forward).await?.into_parts();
    let body = collect_bounded(body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await?;
    let mut response = Response::new(if body.is_empty() { empty() } else { full(body) });
    *response.status_mut() = parts.status;
    *response.headers_mut() = end_to_end(parts.headers);
    Ok(response)
}

/// Without what belongs to one connection.
pub(super) fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
