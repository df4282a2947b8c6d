//! The bare chain: as many processes and hops as Sallyport has, made of the same parts (hyper, quinn, `shared_net`), and nothing in them
//! but passing on. What Sallyport takes beyond it is the price of its stages.
//!
//! `front` listens with TLS as the sidecar does and dials the middle; `end` dials the middle as the agent does and calls the upstream with
//! the agent's kind of client; `middle` passes what comes from the one to the other.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use shared::{limits, wire};
use shared_net::body::{BoxBody, collect_bounded, full};
use shared_net::clock::Clock;
use shared_net::drain;
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::exchange::{self, ResponseBody};
use shared_net::pki::{CA_LIFE, Ca, Identity, KeyPin};
use shared_net::quic;
use shared_net::tasks::TaskSet;
use tokio::sync::watch;

use super::listen::Listener;
use super::upstream::{Https, end_to_end, https};

/// The role in the middle. It says where fronts dial, where ends dial, and the pin.
///
/// # Errors
/// It can't be bound.
pub(super) async fn middle() -> Result<()> {
    let now = Clock::system().now();
    let ca = Ca::generate("bench", now)?;
    let identity = ca.issue_server(&[wire::SERVER_NAME], &[Ipv4Addr::LOCALHOST.into()], now, CA_LIFE)?;
    let bind = || Endpoint::server((Ipv4Addr::LOCALHOST, 0).into(), quic::server_config(&identity)?).context("bind");
    let (fronts, ends) = (bind()?, bind()?);
    super::say_ready(&[fronts.local_addr()?.to_string(), ends.local_addr()?.to_string(), ca.pin().to_string()]);
    let (end, next) = watch::channel(None::<Connection>);
    let end = Arc::new(end);
    let (_trigger, drain) = drain::channel();
    let tasks = TaskSet::new();
    let take_end = move |connection: Connection| {
        let end = Arc::clone(&end);
        async move {
            end.send_replace(Some(connection.clone()));
            connection.closed().await;
        }
    };
    let (front_tasks, front_drain) = (tasks.clone(), drain.clone());
    let serve_front = move |connection: Connection| {
        let (next, tasks, drain) = (next.clone(), front_tasks.clone(), front_drain.clone());
        async move {
            let service = service_fn(move |request| {
                let next = next.clone();
                async move { Ok::<_, Infallible>(pass(next, request).await) }
            });
            exchange::serve(&connection, service, &tasks, drain).await;
        }
    };
    let limit = limits::PEER_CONNECTIONS;
    tokio::join!(
        fronts.accept(limit, &tasks, drain.clone(), serve_front),
        ends.accept(limit, &tasks, drain.clone(), take_end)
    );
    Ok(())
}

async fn pass(next: watch::Receiver<Option<Connection>>, request: Request<Incoming>) -> Response<BoxBody> {
    let connection = next.borrow().clone();
    match connection {
        Some(connection) => forward(&connection, request).await,
        None => broken("there is no end"),
    }
}

/// The role that listens. It says where.
///
/// # Errors
/// The middle is not there.
pub(super) async fn front(middle: SocketAddr, pin: KeyPin, ca_file: &Path) -> Result<()> {
    let connection = dial(middle, pin).await?;
    let listener = Listener::bind(ca_file, &[b"http/1.1"]).await?;
    super::say_ready(&[listener.address()?.to_string()]);
    listener
        .serve(move |request| {
            let connection = connection.clone();
            async move { forward(&connection, request).await }
        })
        .await
}

/// The role that calls the upstream.
///
/// # Errors
/// The middle is not there.
pub(super) async fn end(middle: SocketAddr, pin: KeyPin, upstream: &str, ca: &Path) -> Result<()> {
    let connection = dial(middle, pin).await?;
    let client = https(super::client::trusting(ca)?);
    let upstream: Arc<str> = upstream.into();
    let service = service_fn(move |request| {
        let (client, upstream) = (client.clone(), Arc::clone(&upstream));
        async move { Ok::<_, Infallible>(call(&client, &upstream, request).await) }
    });
    let (_trigger, drain) = drain::channel();
    super::say_ready(&[]);
    exchange::serve(&connection, service, &TaskSet::new(), drain).await;
    Ok(())
}

async fn dial(middle: SocketAddr, pin: KeyPin) -> Result<Connection> {
    let me = Identity::self_signed(Clock::system().now(), CA_LIFE)?;
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(endpoint.connect(middle, quic::client_config(&me, pin)?).await?)
}

/// One hop over QUIC. The request is read whole, as every hop of Sallyport does; the answer streams.
async fn forward(connection: &Connection, request: Request<Incoming>) -> Response<BoxBody> {
    let (parts, body) = request.into_parts();
    let Ok(body) = collect_bounded(body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await else {
        return broken("the request broke off");
    };
    let mut onward = Request::new(Full::new(body));
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = parts.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    *onward.headers_mut() = end_to_end(parts.headers);
    onward.headers_mut().insert(HOST, HeaderValue::from_static(wire::HOST_KUBERNETES));
    match exchange::send(connection, onward).await {
        Ok(response) => answered(response.map(|body: ResponseBody| body.map_err(Into::into).boxed_unsync())),
        Err(error) => broken(&error.to_string()),
    }
}

async fn call(client: &Https, upstream: &str, request: Request<Incoming>) -> Response<BoxBody> {
    let (parts, body) = request.into_parts();
    let Ok(body) = collect_bounded(body, limits::REQUEST_BODY_BYTES, Duration::from_secs(5)).await else {
        return broken("the request broke off");
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut onward = Request::new(Full::<Bytes>::new(body));
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = format!("{upstream}{path}").parse().unwrap_or_default();
    *onward.headers_mut() = end_to_end(parts.headers);
    match client.request(onward).await {
        Ok(response) => answered(response.map(|body| body.map_err(Into::into).boxed_unsync())),
        Err(error) => broken(&error.to_string()),
    }
}

fn answered(mut response: Response<BoxBody>) -> Response<BoxBody> {
    let length = response.headers().get(http::header::CONTENT_LENGTH).cloned();
    let headers = end_to_end(std::mem::take(response.headers_mut()));
    *response.headers_mut() = headers;
    if let Some(length) = length {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length);
    }
    let (mut parts, body) = response.into_parts();
    // Between HTTP versions, a head says that of its own hop.
    parts.version = http::Version::HTTP_11;
    Response::from_parts(parts, body)
}

fn broken(why: &str) -> Response<BoxBody> {
    let mut response = Response::new(full(why.to_owned()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
