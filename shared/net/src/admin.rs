//! `/livez`, `/readyz` and `/metrics` on a TCP port of their own. Read-only: nothing here stops or changes the process.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::drain::Drain;
use crate::metrics::Metrics;
use crate::ready::Readiness;
use crate::tasks::TaskSet;

/// Probes and scrapers at once.
const CONNECTIONS: usize = 16;
/// A connection that says nothing.
const WAIT: Duration = Duration::from_secs(10);

/// The bound listener.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    readiness: Readiness,
    also: Option<(&'static str, Readiness)>,
    metrics: Metrics,
}

impl Admin {
    /// Binds.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn bind(address: SocketAddr, readiness: Readiness, metrics: Metrics) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, readiness, also: None, metrics })
    }

    /// Answers on a path of its own for something that must be seen, but takes nothing from the process's readiness.
    #[must_use]
    pub fn also(self, path: &'static str, readiness: Readiness) -> Self {
        Self { also: Some((path, readiness)), ..self }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until draining is over (`/readyz` says no from its begin).
    pub async fn run(self, tasks: TaskSet, drain: Drain) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut end = drain.clone();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let stream = tokio::select! {
                biased;
                () = end.immediate() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, most likely: let others give some back.
                        tracing::warn!(%error, "can't accept on the admin port");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let (readiness, metrics, draining) = (self.readiness.clone(), self.metrics.clone(), drain.is_draining());
            let also = self.also.clone();
            tasks.spawn("admin", async move {
                let _permit = permit;
                let service = service_fn(move |request: Request<Incoming>| {
                    let reply = match &also {
                        Some((path, readiness)) if request.uri().path() == *path => ready(&request, readiness, false),
                        _ => reply(&request, &readiness, &metrics, draining),
                    };
                    async move { Ok::<_, Infallible>(reply) }
                });
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(WAIT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Ok(Err(error)) = tokio::time::timeout(WAIT, connection).await {
                    tracing::debug!(%error, "admin exchange ended early");
                }
            });
        }
    }
}

fn ready<B>(request: &Request<B>, readiness: &Readiness, draining: bool) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    let mut pending = readiness.pending();
    if draining {
        pending.push("draining");
    }
    if pending.is_empty() {
        return text(StatusCode::OK, "ok\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join(", ")))
}

fn reply<B>(request: &Request<B>, readiness: &Readiness, metrics: &Metrics, draining: bool) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(request, readiness, draining),
        "/metrics" => match metrics.encode() {
            Ok(body) => {
                let mut response = text(StatusCode::OK, body);
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
                );
                response
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics can't be printed\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "/livez, /readyz or /metrics\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, readiness: &Readiness, draining: bool) -> StatusCode {
        reply(&Request::get(path).body(()).unwrap(), readiness, &Metrics::new(), draining).status()
    }

    #[test]
    fn readiness_follows_guards_and_draining() {
        let readiness = Readiness::new();
        let pending = readiness.wait_for("store");
        assert_eq!(get("/readyz", &readiness, false), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/livez", &readiness, false), StatusCode::OK);
        drop(pending);
        assert_eq!(get("/readyz", &readiness, false), StatusCode::OK);
        assert_eq!(get("/readyz", &readiness, true), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/metrics", &readiness, false), StatusCode::OK);
        assert_eq!(get("/quit", &readiness, false), StatusCode::NOT_FOUND);
        let post = Request::post("/livez").body(()).unwrap();
        assert_eq!(reply(&post, &readiness, &Metrics::new(), false).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
