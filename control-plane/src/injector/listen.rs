//! HTTPS for the API server. Whoever else reaches the port can make the injector answer, and nothing more: it has nothing to give away, and
//! what a stranger can take of it is bounded.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shared::limits;
use shared_net::body::{BodyError, collect_bounded};
use shared_net::clock::Clock;
use shared_net::drain::Drain;
use shared_net::tasks::TaskSet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::config::Config;
use super::metrics::{AdmissionLabels, InjectorMetrics};
use super::review::{self, Webhook};
use super::tls::Certificate;

/// The bound listener.
pub(super) struct Listener {
    tcp: TcpListener,
    door: Arc<Door>,
}

/// What every call needs.
struct Door {
    config: Config,
    certificate: Arc<Certificate>,
    metrics: Arc<InjectorMetrics>,
    clock: Clock,
    /// KiB of bodies that may be in memory.
    room: Semaphore,
}

/// What a connection has been good for.
#[derive(Default)]
struct Use {
    /// It has asked for something that there is.
    known: AtomicBool,
    running: AtomicUsize,
    /// Milliseconds of the monotonic clock at the end of the last call.
    last: AtomicU64,
}

impl Listener {
    pub(super) async fn bind(
        config: Config,
        certificate: Arc<Certificate>,
        metrics: Arc<InjectorMetrics>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let address = config.listen;
        let tcp = TcpListener::bind(address).await.with_context(|| format!("TCP {address} can't be bound"))?;
        let room = Semaphore::new(limits::ADMISSION_BYTES_AT_ONCE / 1024);
        Ok(Self { tcp, door: Arc::new(Door { config, certificate, metrics, clock, room }) })
    }

    pub(super) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until draining begins and, since the Service still sends us calls for a while, a little longer.
    pub(super) async fn run(self, tasks: TaskSet, mut drain: Drain) {
        let places = Arc::new(Semaphore::new(limits::ADMISSION_CONNECTIONS));
        let _guard = drain.guard();
        let end = drain.clone();
        let mut closing = pin!(async move {
            let _ = drain.started().await;
            tokio::time::sleep(limits::ADMISSION_LAST_CALLS).await;
        });
        loop {
            let accept = async {
                // Never closed, so there always comes one.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, self.tcp.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = &mut closing => return,
                accepted = accept => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: let others give some back.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (door, drain) = (Arc::clone(&self.door), end.clone());
            tasks.spawn("admission", async move {
                let _place = place;
                connection(stream, door, drain).await;
            });
        }
    }
}

async fn connection(stream: TcpStream, door: Arc<Door>, mut drain: Drain) {
    // The answers are small and each is waited for.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handshake = tokio::time::timeout(limits::HANDSHAKE, door.certificate.acceptor().accept(stream)).await;
    let Ok(Ok(stream)) = handshake else { return };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEAD_WAIT).max_buf_size(limits::HEAD_BYTES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100).max_header_list_size(64 * 1024);
    let used = Arc::new(Use::default());
    used.last.store(millis(door.clock.monotonic()), Ordering::Relaxed);
    let (caller, clock) = (Arc::clone(&used), door.clock.clone());
    let service = service_fn(move |request| {
        let (door, used) = (Arc::clone(&door), Arc::clone(&caller));
        async move {
            used.running.fetch_add(1, Ordering::AcqRel);
            let reply = handle(request, &door, &used).await;
            used.last.store(millis(door.clock.monotonic()), Ordering::Relaxed);
            used.running.fetch_sub(1, Ordering::AcqRel);
            Ok::<_, Infallible>(reply)
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let idle = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let known = used.known.load(Ordering::Acquire);
            let patience = if known { limits::ADMISSION_IDLE } else { limits::STRANGER_WAIT };
            let since = millis(clock.monotonic()).saturating_sub(used.last.load(Ordering::Relaxed));
            if used.running.load(Ordering::Acquire) == 0 && since > millis(patience) {
                return;
            }
        }
    };
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(error, "a connection of the webhook ended");
            }
            return;
        }
        () = idle => {}
        () = async {
            let _ = drain.started().await;
            tokio::time::sleep(limits::ADMISSION_LAST_CALLS).await;
        } => {}
    }
    connection.as_mut().graceful_shutdown();
    // If it does not end by itself now, it ends with this task.
    drop(tokio::time::timeout(limits::ADMISSION_WAIT, connection).await);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn handle(request: Request<Incoming>, door: &Door, used: &Use) -> Response<Full<Bytes>> {
    let Some((webhook, scope)) = Webhook::from_path(request.uri().path()) else {
        return count(door, "none", "invalid", text(StatusCode::NOT_FOUND, "/mutate, /validate or /warn"));
    };
    let invalid = |status, words: &str| count(door, webhook.word(), "invalid", text(status, words));
    if request.method() != Method::POST {
        return invalid(StatusCode::METHOD_NOT_ALLOWED, "only POST");
    }
    let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !request.headers().get(CONTENT_TYPE).is_some_and(json) {
        return invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let body = match tokio::time::timeout(limits::ADMISSION_WAIT, read(request, door)).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge { limit })) => {
            let words = format!("the review is over {limit} bytes, more than any Pod can be");
            return invalid(StatusCode::PAYLOAD_TOO_LARGE, &words);
        }
        Ok(Err(_)) => return invalid(StatusCode::BAD_REQUEST, "the review did not arrive whole"),
        Err(_) => return invalid(StatusCode::SERVICE_UNAVAILABLE, "the review did not arrive in time"),
    };
    let begun = door.clock.monotonic();
    match review::answer(&door.config, webhook, scope, &body) {
        Ok(answer) => {
            used.known.store(true, Ordering::Release);
            door.metrics.seconds.observe(door.clock.monotonic().saturating_sub(begun).as_secs_f64());
            let mut response = text(StatusCode::OK, "");
            *response.body_mut() = Full::new(answer.body.into());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            count(door, webhook.word(), answer.result, response)
        }
        Err(error) => {
            tracing::warn!(%error, "a review was not answered");
            invalid(StatusCode::BAD_REQUEST, &error.to_string())
        }
    }
}

/// The body, once there is room for all of it.
async fn read(request: Request<Incoming>, door: &Door) -> Result<Bytes, BodyError> {
    let mut body = request.into_body();
    let most = body.size_hint().upper().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let room = u32::try_from(most.min(limits::ADMISSION_BYTES) / 1024).unwrap_or(u32::MAX).saturating_add(1);
    // Never closed.
    let room = door.room.acquire_many(room).await.ok();
    let read = collect_bounded(&mut body, limits::ADMISSION_BYTES, limits::ADMISSION_WAIT).await;
    drop(room);
    if matches!(read, Err(BodyError::TooLarge { .. })) {
        // Who is hung up on while he sends does not hear why.
        while let Some(Ok(_)) = body.frame().await {}
    }
    read
}

fn count(
    door: &Door,
    webhook: &'static str,
    result: &'static str,
    response: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    door.metrics.admissions.get_or_create(&AdmissionLabels { webhook, result }).inc();
    response
}

fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(words.to_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
