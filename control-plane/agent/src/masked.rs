//! The body of an answer on its way out: masked piece by piece as it arrives, in constant memory (of protobuf, one object), and ended by an error whenever it is
//! not certain to be whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::mask::{AnswerMaskError, AnswerMasker};
use http_body::{Body, Frame};
use shared_net::body::BoxError;
use shared_net::clock::Clock;

use crate::metrics::{AgentMetrics, OpenBody};

/// Why a body was broken off. The control plane sees a reset stream.
#[derive(Debug, thiserror::Error)]
pub enum BodyEnd {
    /// The API server's stream ended before its body did, or lied about its length.
    #[error("the API server broke its answer off")]
    Upstream(#[source] BoxError),
    /// Something that can't be masked.
    #[error("the answer can't be masked")]
    Mask(#[source] AnswerMaskError),
    /// The grant's time for the answer is over.
    #[error("the answer lasted longer than the grant allows")]
    Until,
    /// The API server stopped in mid body.
    #[error("the API server stopped in mid answer")]
    Silent,
}

/// How a body is treated and bounded.
#[derive(Debug)]
pub struct Bounds {
    /// Longest life of the body.
    pub until: Duration,
    /// Longest silence; `None` for streams, where silence is normal.
    pub silence: Option<Duration>,
    /// A watch may end between two events at any time; anything else that ends early is not whole.
    pub may_end: bool,
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// See the module. Dropped, it drops the upstream stream at once.
pub struct MaskedBody<B> {
    upstream: Option<B>,
    masker: Option<AnswerMasker>,
    clock: Clock,
    until: Sleep,
    silence: Option<(Duration, Sleep)>,
    may_end: bool,
    metrics: AgentMetrics,
    _open: OpenBody,
}

impl<B> MaskedBody<B> {
    /// The masker says what becomes of the bytes.
    pub fn new(upstream: B, masker: AnswerMasker, clock: &Clock, bounds: &Bounds, metrics: AgentMetrics) -> Self {
        Self {
            upstream: Some(upstream),
            masker: Some(masker),
            until: sleep(clock, bounds.until),
            silence: bounds.silence.map(|wait| (wait, sleep(clock, wait))),
            clock: clock.clone(),
            may_end: bounds.may_end,
            _open: metrics.body(),
            metrics,
        }
    }

    fn broken(&mut self, end: BodyEnd) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.upstream = None;
        self.metrics.aborted();
        tracing::warn!(error = %shared::chain::Chain(&end), "an answer was broken off");
        Poll::Ready(Some(Err(end.into())))
    }

    /// The upstream has nothing more. Gives what the masker held until now.
    fn end(&mut self) -> Result<Vec<u8>, BodyEnd> {
        self.upstream = None;
        let mut rest = Vec::new();
        if let Some(masker) = self.masker.take() {
            masker.finish(&mut rest).map_err(BodyEnd::Mask)?;
        }
        Ok(rest)
    }
}

fn sleep(clock: &Clock, duration: Duration) -> Sleep {
    let clock = clock.clone();
    Box::pin(async move { clock.sleep(duration).await })
}

impl<B> Body for MaskedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.upstream.is_none() {
            return Poll::Ready(None);
        }
        if this.until.as_mut().poll(cx).is_ready() {
            return match this.end() {
                // Of a watch nothing is held but a part of an event.
                Ok(rest) if this.may_end && rest.is_empty() => Poll::Ready(None),
                Ok(_) | Err(_) => this.broken(BodyEnd::Until),
            };
        }
        loop {
            let Some(upstream) = &mut this.upstream else {
                return Poll::Ready(None);
            };
            let frame = match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if let Some((_, timer)) = &mut this.silence {
                        ready!(timer.as_mut().poll(cx));
                        return this.broken(BodyEnd::Silent);
                    }
                    return Poll::Pending;
                }
            };
            let data = match frame {
                None => {
                    return match this.end() {
                        Ok(rest) if rest.is_empty() => Poll::Ready(None),
                        Ok(rest) => Poll::Ready(Some(Ok(Frame::data(rest.into())))),
                        Err(end) => this.broken(end),
                    };
                }
                Some(Err(error)) => return this.broken(BodyEnd::Upstream(error.into())),
                // Trailers are dropped: Kubernetes sends none.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_) => continue,
                },
            };
            if let Some((wait, timer)) = &mut this.silence {
                *timer = sleep(&this.clock, *wait);
            }
            let Some(masker) = this.masker.as_mut().filter(|masker| !masker.is_pass()) else {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            };
            let mut out = Vec::with_capacity(data.len());
            if let Err(error) = masker.push(&data, &mut out) {
                return this.broken(BodyEnd::Mask(error));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }
}
