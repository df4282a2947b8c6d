//! One HTTP/1.1 exchange per bidirectional stream, hyper on both ends.
//!
//! A reset in either direction cancels the exchange: dropping the future of [`send`], or the body of its answer, frees the peer's handler
//! at once; a handler that dies breaks the caller's body off. A request without a body is finished with its head, so that an exchange is
//! a packet each way. After `101 Switching Protocols` the stream is the raw tunnel
//! (`hyper::upgrade::on` on both sides).

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::limits;
use tokio::io::AsyncWriteExt as _;

use crate::body::BoxError;
use crate::drain::Drain;
use crate::endpoint::{Connection, OpenError};
use crate::stream::{self, QuicIo};
use crate::tasks::{CancelOnDrop, TaskSet};

// hyper's own bound, which it keeps on the stack; setting it to the same number would cost an allocation per head.
const _: () = assert!(limits::HEADERS == 100);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Not one byte of the request left: it certainly did not run.
    #[error("the request was not sent")]
    NotSent(#[source] OpenError),
    /// The peer is going away and gave the request back without having looked at it: it certainly did not run.
    #[error("the peer is going away and did not take the request")]
    Refused(#[source] hyper::Error),
    /// The request left, at least in part: nobody here can say whether it ran.
    #[error("no answer; the request may have been sent")]
    MaybeSent(#[source] hyper::Error),
}

impl ExchangeError {
    /// Whether it is certain that the request did not run.
    pub const fn certainly_not_sent(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Refused(_))
    }

    /// What a broken exchange means: only the peer's own word makes it certain that nothing ran.
    fn broken(error: hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(error_below) = cause {
            if error_below.downcast_ref().is_some_and(stream::is_refusal) {
                return Self::Refused(error);
            }
            cause = error_below.source();
        }
        Self::MaybeSent(error)
    }
}

/// Sends one request and waits for the head of its answer.
///
/// The URI must be a path with query and `Host` one of [`shared::wire`]'s. Dropping the future, or the body of the answer before its end,
/// resets the stream and so cancels the exchange at the peer.
///
/// # Errors
/// See [`ExchangeError`]; the two variants tell whether a repetition is harmless.
pub async fn send<B>(connection: &Connection, request: Request<B>) -> Result<Response<ResponseBody>, ExchangeError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut io = connection.open().await.map_err(ExchangeError::NotSent)?;
    if request.body().is_end_stream() && !request.headers().contains_key(UPGRADE) {
        io = io.finish_with_head();
    }
    let handshake = async {
        let builder = client::Builder::new()
            .max_buf_size(limits::HEAD_BYTES)
            .max_header_size(limits::HEAD_BYTES)
            .handshake(TokioIo::new(io));
        let (sender, driver) = builder.await.map_err(ExchangeError::broken)?;
        Ok((sender, Driver(Some(Box::pin(driver.with_upgrades())))))
    };
    // Boxed: it is over at once, and whoever sends would keep room for it until the answer.
    let (mut sender, mut driver) = Box::pin(handshake).await?;
    let response = {
        let answer = sender.send_request(request);
        // With the only handle gone, hyper ends the connection after this exchange.
        drop(sender);
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|cx| {
            driver.done(cx);
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(ExchangeError::broken)?
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Ends at once: it hands the stream over to `hyper::upgrade::on`.
        std::future::poll_fn(|cx| if driver.done(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
    Ok(response.map(|incoming| ResponseBody { incoming, driver }))
}

type BoxFuture = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The future that moves bytes for an exchange. It lives in the body that it feeds, so there is no task that could outlive the exchange.
struct Driver(Option<BoxFuture>);

impl Driver {
    /// Moves what can be moved; says whether nothing is left to do.
    fn done(&mut self, cx: &mut Context<'_>) -> bool {
        // An error of the connection also reaches the answer or its body, where it is handled.
        if self.0.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
            self.0 = None;
        }
        self.0.is_none()
    }
}

/// The body of an answer. Dropped before its end, it cancels the exchange.
pub struct ResponseBody {
    incoming: Incoming,
    driver: Driver,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody").field("incoming", &self.incoming).finish_non_exhaustive()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.driver.done(cx);
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            // One more turn, in which hyper finishes our half of the stream.
            self.driver.done(cx);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            // The answer was complete and its length known, so the reader did not ask for the end: finish instead of reset.
            self.driver.done(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Answers the exchanges that the peer opens, each in its own task, until the connection ends or draining begins; then what runs is
/// finished, up to the drain's deadline, and what is opened is given back untouched, which the peer knows for certain. When this future
/// ends or is dropped, every exchange of the connection is cancelled.
///
/// A handler is dropped as soon as its caller gives up. A handler that panics resets its own stream only.
pub async fn serve<S, B>(connection: &Connection, service: S, tasks: &TaskSet, mut drain: Drain)
where
    S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let guard = drain.guard();
    let streams = tasks.child();
    let _cancel = CancelOnDrop(streams.clone());
    loop {
        let (io, guard) = tokio::select! {
            biased;
            _ = drain.started() => break,
            taken = connection.take() => match taken {
                Ok(taken) => taken,
                Err(reason) => {
                    tracing::debug!(%reason, "connection ended");
                    return;
                }
            },
        };
        let (service, tasks) = (service.clone(), streams.clone());
        streams.spawn("exchange", async move {
            let _guard = guard;
            answer(io, service, tasks).await;
        });
    }
    let finished = async {
        streams.wait().await;
        // The process may end; as long as it has not, what is opened is given back.
        drop(guard);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = finished => {}
        () = drain.immediate() => {}
        () = refuse_all(connection) => {}
    }
}

/// Gives back what the peer opens, until the connection ends.
async fn refuse_all(connection: &Connection) {
    while let Ok((io, _guard)) = connection.take().await {
        io.refuse();
    }
}

async fn answer<S, B>(io: QuicIo, service: S, tasks: TaskSet)
where
    S: HttpService<Incoming, ResBody = B> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let whole = Arc::new(AtomicBool::new(false));
    let io = io.answers(Arc::clone(&whole));
    let service = service_fn(move |request: Request<Incoming>| {
        // Here and not in the future below: hyper may look for the client's leaving before it polls that for the first time.
        let only_head = request.body().is_end_stream() && !request.headers().contains_key(UPGRADE);
        whole.store(only_head, Ordering::Relaxed);
        call(service.clone(), request, tasks.clone())
    });
    let served = server::Builder::new()
        // One exchange per stream: after the answer the stream is finished.
        .keep_alive(false)
        // Must stay off: with it a caller that left would not cancel its handler.
        .half_close(false)
        // What the answer says stays what it says.
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_WAIT)
        .max_buf_size(limits::HEAD_BYTES)
        .max_header_size(limits::HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(error = %shared::chain::Chain(&error), "exchange ended early");
    }
}

/// Calls the service. hyper gives the stream of *every* request that asked for an upgrade away, also when the answer is no 101, and a
/// stream that nobody finishes is reset, which would take the refusal with it: so a refused upgrade's stream is finished here.
async fn call<S, B>(mut service: S, mut request: Request<Incoming>, tasks: TaskSet) -> Result<Response<B>, S::Error>
where
    S: HttpService<Incoming, ResBody = B>,
{
    let asked = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    if let Some(upgrade) = &asked {
        request.extensions_mut().insert(upgrade.clone());
    }
    let response = service.call(request).await?;
    if let Some(upgrade) = asked.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
        tasks.spawn("refused-upgrade", async move {
            if let Ok(stream) = upgrade.await {
                // Fails only if the peer is gone already.
                drop(TokioIo::new(stream).shutdown().await);
            }
        });
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
