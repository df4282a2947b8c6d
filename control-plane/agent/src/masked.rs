//! The body of an answer on its way out: masked piece by piece as it arrives, in constant memory (of protobuf, one object), and ended by an
//! error whenever it is not certain to be whole. What takes long is done beside this thread ([`Apart`]); until then the body is one that waits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::mask::{AnswerMaskError, AnswerMasker};
use http_body::{Body, Frame};
use shared_net::body::BoxError;
use shared_net::clock::Clock;

use crate::apart::{Apart, BrokenOff};
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
    /// The work on it came to no end.
    #[error("the answer can't be masked")]
    BrokenOff(#[source] BrokenOff),
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

/// Long work on a piece of the body: the masker comes back with what it gave, unless the body is at its end.
type Work = Pin<Box<dyn Future<Output = Result<(Option<AnswerMasker>, Vec<u8>), BodyEnd>> + Send>>;

/// See the module. Dropped, it drops the upstream stream at once.
pub struct MaskedBody<B> {
    upstream: Option<B>,
    masker: Option<AnswerMasker>,
    /// It has the masker.
    work: Option<Work>,
    apart: Apart,
    clock: Clock,
    until: Sleep,
    silence: Option<(Duration, Sleep)>,
    may_end: bool,
    metrics: AgentMetrics,
    _open: OpenBody,
}

impl<B> MaskedBody<B> {
    /// The masker says what becomes of the bytes.
    pub fn new(
        upstream: B,
        masker: AnswerMasker,
        clock: &Clock,
        apart: &Apart,
        bounds: &Bounds,
        metrics: AgentMetrics,
    ) -> Self {
        Self {
            upstream: Some(upstream),
            masker: Some(masker),
            work: None,
            apart: apart.clone(),
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
        self.work = None;
        self.metrics.aborted();
        tracing::warn!(error = %shared::chain::Chain(&end), "an answer was broken off");
        Poll::Ready(Some(Err(end.into())))
    }

    /// The upstream has nothing more. Gives what the masker held until now.
    fn end(&mut self) -> Result<Vec<u8>, BodyEnd> {
        self.upstream = None;
        // Without its masker it has no end that anybody could vouch for.
        self.masker.take().ok_or(BodyEnd::BrokenOff(BrokenOff)).and_then(finish)
    }

    /// Has the next piece masked beside this thread; with none, what was held until the end.
    fn set_apart(&mut self, masker: AnswerMasker, piece: Option<Bytes>) {
        let work = self.apart.clone().run(move || match piece {
            None => finish(masker).map(|rest| (None, rest)),
            Some(piece) => {
                let (mut masker, mut out) = (masker, Vec::with_capacity(piece.len()));
                masker.push(&piece, &mut out).map_err(BodyEnd::Mask)?;
                Ok((Some(masker), out))
            }
        });
        self.work = Some(Box::pin(async move { work.await.unwrap_or_else(|broken| Err(BodyEnd::BrokenOff(broken))) }));
    }
}

fn finish(masker: AnswerMasker) -> Result<Vec<u8>, BodyEnd> {
    let mut rest = Vec::new();
    masker.finish(&mut rest).map_err(BodyEnd::Mask)?;
    Ok(rest)
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
        if this.upstream.is_none() && this.work.is_none() {
            return Poll::Ready(None);
        }
        if this.until.as_mut().poll(cx).is_ready() {
            let working = this.work.is_some();
            return match this.end() {
                // Of a watch nothing is held but a part of an event.
                Ok(rest) if this.may_end && rest.is_empty() && !working => Poll::Ready(None),
                Ok(_) | Err(_) => this.broken(BodyEnd::Until),
            };
        }
        loop {
            let out = if let Some(work) = &mut this.work {
                let done = ready!(work.as_mut().poll(cx));
                this.work = None;
                // Meanwhile nobody listened.
                this.heard();
                match done {
                    Ok((masker, out)) => {
                        this.masker = masker;
                        Bytes::from(out)
                    }
                    Err(end) => return this.broken(end),
                }
            } else {
                match ready!(this.poll_upstream(cx)) {
                    None => return Poll::Ready(None),
                    Some(Ok(out)) => out,
                    Some(Err(end)) => return this.broken(end),
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
            if this.upstream.is_none() && this.work.is_none() {
                return Poll::Ready(None);
            }
        }
    }
}

impl<B> MaskedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// What becomes of the next piece from upstream: nothing yet, where that takes long.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyEnd>>> {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
        let frame = match Pin::new(upstream).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Some((_, timer)) = &mut self.silence {
                    ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(BodyEnd::Silent)));
                }
                return Poll::Pending;
            }
        };
        let data = match frame {
            None => return Poll::Ready(Some(self.at_end())),
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyEnd::Upstream(error.into())))),
            // Trailers are dropped: Kubernetes sends none.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        self.heard();
        match self.masker.take() {
            Some(masker) if masker.is_pass() => {
                self.masker = Some(masker);
                Poll::Ready(Some(Ok(data)))
            }
            Some(masker) if masker.takes_long(Some(&data)) => {
                self.set_apart(masker, Some(data));
                Poll::Ready(Some(Ok(Bytes::new())))
            }
            Some(mut masker) => {
                let mut out = Vec::with_capacity(data.len());
                let pushed = masker.push(&data, &mut out).map_err(BodyEnd::Mask);
                self.masker = Some(masker);
                Poll::Ready(Some(pushed.map(|()| out.into())))
            }
            // It is elsewhere, and nobody reads on meanwhile; if somebody did, nothing would pass as it is.
            None => Poll::Ready(Some(Err(BodyEnd::BrokenOff(BrokenOff)))),
        }
    }

    /// Silence begins anew.
    fn heard(&mut self) {
        if let Some((wait, timer)) = &mut self.silence {
            *timer = sleep(&self.clock, *wait);
        }
    }

    fn at_end(&mut self) -> Result<Bytes, BodyEnd> {
        match self.masker.take() {
            Some(masker) if masker.takes_long(None) => {
                self.upstream = None;
                self.set_apart(masker, None);
                Ok(Bytes::new())
            }
            masker => {
                self.masker = masker;
                self.end().map(Bytes::from)
            }
        }
    }
}
