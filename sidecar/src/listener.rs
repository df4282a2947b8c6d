//! The local Kubernetes endpoint: TLS, HTTP/2 and HTTP/1.1, and the way of one request through this process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::limits;
use shared_net::body::{BodyError, BoxBody, collect_bounded};
use shared_net::clock::Clock;
use shared_net::drain::Drain;
use shared_net::tasks::TaskSet;
use shared_net::telemetry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::discovery;
use crate::forward::Forwarder;
use crate::guard::Guard;
use crate::refusal::Refusal;
use crate::translate::{self, Outbound, Upgrade};
use crate::tunnel;

// hyper's own bound, which it keeps on the stack; setting it to the same number would cost an allocation per head.
const _: () = assert!(limits::HEADERS == 100);

/// The protocol ids by which clients choose (RFC 7301).
pub(crate) const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) guard: Guard,
    pub(crate) forwarder: Forwarder,
    pub(crate) clock: Clock,
    pub(crate) tasks: TaskSet,
    pub(crate) drain: Drain,
}

/// Accepts until draining begins. A permit comes before a connection, so a flood waits in the kernel's queue.
pub(crate) async fn run(listener: TcpListener, tls: TlsAcceptor, gate: Arc<Gate>) {
    let permits = Arc::new(Semaphore::new(limits::SIDECAR_CONNECTIONS));
    let mut drain = gate.drain.clone();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            biased;
            _ = drain.started() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: let others give some back.
                    tracing::warn!(%error, "can't accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (tls, gate) = (tls.clone(), Arc::clone(&gate));
        let guard = drain.guard();
        gate.tasks.clone().spawn("client", async move {
            let _held = (permit, guard);
            prepare(&stream);
            match tokio::time::timeout(limits::HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    connection(stream, h2, peer, gate).await;
                }
                Ok(Err(_)) => telemetry::early_refusal(&peer, "handshake"),
                Err(_) => telemetry::early_refusal(&peer, "handshake_slow"),
            }
        });
    }
}

fn prepare(stream: &TcpStream) {
    // Best effort both: without them a client is slower, or its death is noticed later.
    drop(stream.set_nodelay(true));
    let keep_alive =
        socket2::TcpKeepalive::new().with_time(limits::CLIENT_KEEP_ALIVE).with_interval(limits::CLIENT_KEEP_ALIVE);
    drop(socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive));
}

/// Serves one client. The protocol is what TLS agreed on, never guessed from the first bytes.
pub(crate) async fn connection<I>(stream: I, h2: bool, peer: SocketAddr, gate: Arc<Gate>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut drain = gate.drain.clone();
    let executor = OnTasks(gate.tasks.clone());
    let service = service_fn(move |request| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(Box::pin(handle(&gate, request)).await) }
    });
    let served = if h2 {
        let connection = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(limits::SIDECAR_STREAMS)
            .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX))
            .keep_alive_interval(limits::CLIENT_KEEP_ALIVE)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            _ = drain.started() => connection.as_mut().graceful_shutdown(),
            result = connection.as_mut() => return log_end(peer, result),
        }
        tokio::select! { result = connection => result, () = drain.immediate() => Ok(()) }
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_WAIT)
            // Must stay off: with it a client that left would not cancel its operation.
            .half_close(false)
            .auto_date_header(false)
            .max_buf_size(limits::HEAD_BYTES)
            .max_header_size(limits::HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            _ = drain.started() => connection.as_mut().graceful_shutdown(),
            result = connection.as_mut() => return log_end(peer, result),
        }
        tokio::select! { result = connection => result, () = drain.immediate() => Ok(()) }
    };
    log_end(peer, served);
}

fn log_end(peer: SocketAddr, served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%peer, error = %shared::chain::Chain(&error), "client connection ended early");
    }
}

/// Runs the streams of an HTTP/2 connection as tasks with an owner.
#[derive(Clone, Debug)]
struct OnTasks(TaskSet);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for OnTasks {
    fn execute(&self, future: F) {
        self.0.spawn("h2 stream", future);
    }
}

/// The way of one request.
async fn handle(gate: &Gate, request: Request<Incoming>) -> Response<BoxBody> {
    let begun = gate.clock.monotonic();
    let (version, method) = (request.version(), request.method().clone());
    // Where a message's length was said in chunks, hyper has dropped a Content-Length that contradicted it (RFC 9112 §6.3). Nothing that
    // stands behind such a message on its connection is read as a request. The same holds for whatever we refuse.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let first = discovery::is_first(&request);
    let mut operation = None;
    let result = operate(gate, request, &mut operation).await;
    let refused = result.is_err();
    let mut response = match result {
        Ok(response) => response,
        Err(refusal) => {
            tracing::info!(
                operation.id = operation.map(tracing::field::display),
                why = refusal.word(),
                "refused here: {refusal}"
            );
            refusal.reply(operation)
        }
    };
    if first {
        response = discovery::readable(response).await;
    }
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if version == Version::HTTP_11 && !switched && (chunked || refused) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let head_ms = u64::try_from(gate.clock.monotonic().saturating_sub(begun).as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    // In a task of its own: the answer goes out before its line is written.
    gate.tasks.spawn("access", async move {
        tracing::event!(
            target: telemetry::ACCESS,
            tracing::Level::INFO,
            operation.id = operation.map(tracing::field::display),
            method = %method,
            status,
            head_ms,
            "operation"
        );
    });
    response
}

async fn operate(
    gate: &Gate,
    mut request: Request<Incoming>,
    operation: &mut Option<shared::ids::OperationId>,
) -> Result<Response<BoxBody>, Refusal> {
    let client = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    gate.guard.check(&parts)?;
    let head = Outbound::new(parts)?;
    // Read whole before it goes on: it must be kept anyway to be repeated, it gets one exact length, and a slow client holds no stream of
    // the control plane.
    let body =
        collect_bounded(body, limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await.map_err(|error| match error {
            BodyError::TooLarge { limit } => Refusal::BodyTooLarge(limit),
            BodyError::Idle { .. } => Refusal::BodySlow,
            BodyError::Broken(_) => Refusal::BodyBroken,
        })?;
    let (id, answer) = gate.forwarder.perform(&head, &body).await;
    *operation = id;
    reply(gate, answer?, head.upgrade, client)
}

/// Passes the answer on. Tunnels only after a 101 that agrees to exactly what was asked; an asked upgrade that is refused, or ignored as a
/// server may, ends the client's connection, so that bytes meant for the tunnel are never read as a request (CVE-2018-1002105).
fn reply(
    gate: &Gate,
    mut answer: Response<shared_net::exchange::ResponseBody>,
    upgrade: Option<Upgrade>,
    client: hyper::upgrade::OnUpgrade,
) -> Result<Response<BoxBody>, Refusal> {
    let status = answer.status();
    match upgrade {
        Some(upgrade) if status == StatusCode::SWITCHING_PROTOCOLS => {
            if !upgrade.agreed(answer.headers()) {
                return Err(Refusal::Protocol("it switched to a protocol that was not asked for"));
            }
            tunnel::start(client, hyper::upgrade::on(&mut answer), &gate.tasks, gate.drain.clone());
            let (mut parts, _) = answer.into_parts();
            translate::switched(&mut parts, upgrade);
            return Ok(Response::from_parts(parts, shared_net::body::empty()));
        }
        Some(_) if status.as_u16() < 400 && status != StatusCode::OK => {
            return Err(Refusal::Protocol("it neither switched protocols nor answered"));
        }
        None if status.is_informational() => return Err(Refusal::Protocol("it switched protocols unasked")),
        Some(_) | None => {}
    }
    let (mut parts, body) = answer.into_parts();
    translate::inbound(&mut parts);
    if upgrade.is_some() {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()))
}
