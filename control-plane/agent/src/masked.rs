//! The body of an answer on its way out: masked piece by piece as it arrives, in constant memory (of protobuf, one object), and ended by an
//! error whenever it is not certain to be whole. What takes long is done beside this thread ([`Apart`]), and what is held until it is whole has
//! [`Room`]; until then the body is one that waits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::grant::GrantClaims;
use control_plane_core::mask::{AnswerMaskError, AnswerMasker};
use control_plane_core::request_info::Verb;
use http_body::{Body, Frame};
use shared::ids::SessionId;
use shared::limits;
use shared_net::body::BoxError;
use shared_net::clock::Clock;

use crate::apart::{Apart, BrokenOff};
use crate::metrics::{AgentMetrics, OpenBody};
use crate::room::{Holding, NoRoom, Place, Room};

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
    /// There is no room to hold it.
    #[error("the answer can't be held until it is whole")]
    Room(#[source] NoRoom),
    /// The grant's time for the answer is over.
    #[error("the answer lasted longer than the grant allows")]
    Until,
    /// The API server stopped in mid body.
    #[error("the API server stopped in mid answer")]
    Silent,
}

/// What all bodies share.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Where long work is done.
    pub apart: &'a Apart,
    /// Where what has to be whole is held.
    pub room: &'a Room,
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
    /// Whose it is.
    pub session: SessionId,
}

impl Bounds {
    /// Those of a granted operation; `stream`: its answer goes on for as long as its reader wants.
    pub fn of(claims: &GrantClaims, stream: bool) -> Self {
        Self {
            until: Duration::from_millis(claims.until),
            silence: (!stream).then_some(limits::BODY_WAIT),
            may_end: claims.info.verb == Verb::Watch,
            session: claims.session,
        }
    }
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What became of a piece of the body.
struct Worked {
    /// None, where the body is at its end.
    masker: Option<AnswerMasker>,
    out: Vec<u8>,
    /// Room for what is held.
    place: Option<Place>,
}

/// Long work on a piece of the body.
type Work = Pin<Box<dyn Future<Output = Result<Worked, BodyEnd>> + Send>>;

/// See the module. Dropped, it drops the upstream stream at once.
pub struct MaskedBody<B> {
    upstream: Option<B>,
    masker: Option<AnswerMasker>,
    /// It has the masker.
    work: Option<Work>,
    apart: Apart,
    holding: Holding,
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
        beside: Beside<'_>,
        bounds: &Bounds,
        metrics: AgentMetrics,
    ) -> Self {
        Self {
            upstream: Some(upstream),
            masker: Some(masker),
            work: None,
            apart: beside.apart.clone(),
            holding: beside.room.clone().holding(bounds.session),
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
            None => finish(masker).map(|out| Worked { masker: None, out, place: None }),
            Some(piece) => {
                let (mut masker, mut out) = (masker, Vec::with_capacity(piece.len()));
                masker.push(&piece, &mut out).map_err(BodyEnd::Mask)?;
                Ok(Worked { masker: Some(masker), out, place: None })
            }
        });
        self.work = Some(Box::pin(async move { work.await.unwrap_or_else(|broken| Err(BodyEnd::BrokenOff(broken))) }));
    }

    /// What may go out now: nothing yet, where what is held has no room and waits for it.
    fn keep(&mut self, worked: Worked) -> Bytes {
        let Worked { masker, out, place } = worked;
        place.into_iter().for_each(|place| self.holding.move_to(place));
        // Also what comes of an event that was held, which nobody else counts.
        let written = masker.as_ref().is_none_or(AnswerMasker::holds_wholes);
        let held = masker.as_ref().map_or(0, AnswerMasker::held) + if written { out.len() } else { 0 };
        match self.holding.grow(held) {
            None => {
                self.masker = masker;
                Bytes::from(out)
            }
            Some(taking) => {
                self.work = Some(Box::pin(async move {
                    let place = taking.await.map_err(BodyEnd::Room)?;
                    Ok(Worked { masker, out, place: Some(place) })
                }));
                Bytes::new()
            }
        }
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
                    Ok(worked) => this.keep(worked),
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
                if masker.is_done() {
                    // As much was asked for.
                    self.upstream = None;
                }
                let worked = Worked { masker: Some(masker), out, place: None };
                Poll::Ready(Some(pushed.map(|()| self.keep(worked))))
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
                let out = self.end()?;
                Ok(self.keep(Worked { masker: None, out, place: None }))
            }
        }
    }
}
