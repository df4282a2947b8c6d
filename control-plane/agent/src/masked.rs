//! The body of an answer on its way out: masked piece by piece as it arrives, in constant memory (of protobuf, one object), and ended by an
//! error whenever it is not certain to be whole. What takes long is done beside this thread ([`Apart`]), and what is held until it is whole has
//! [`Room`]; until then the body is one that waits. What ends before anything of it has left is told in words instead ([`MaskedBody::begin`]).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::grant::GrantClaims;
use control_plane_core::mask::{AnswerMaskError, AnswerMasker};
use control_plane_core::request_info::Verb;
use http_body::{Body, Frame};
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::status::Reason;
use shared_net::body::BoxError;
use shared_net::clock::Clock;

use crate::apart::{Apart, BrokenOff};
use crate::metrics::{AgentMetrics, OpenBody};
use crate::room::{Holding, NoRoom, Place, Room};
use crate::upstream::CallPlace;

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

impl BodyEnd {
    /// One word for metrics, where nothing of the body had left.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Upstream(_) => "answer-broken-off",
            Self::Mask(_) => "answer-unmaskable",
            Self::BrokenOff(_) => "answer-work",
            Self::Room(_) => "answer-room",
            Self::Until => "answer-until",
            Self::Silent => "answer-silent",
        }
    }

    /// HTTP code, where nothing of the body had left.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Until | Self::Silent => Reason::Timeout,
            Self::Upstream(_) | Self::Mask(_) | Self::BrokenOff(_) | Self::Room(_) => Reason::BadGateway,
        }
    }

    /// Whether the same may well end better another time.
    pub const fn may_pass(&self) -> bool {
        !matches!(self, Self::Mask(_))
    }

    /// For a client, of "the answer": the kind of fault, and nothing of what the answer says.
    pub fn words(&self) -> String {
        match self {
            Self::Upstream(_) => "the API server broke it off".to_owned(),
            Self::Mask(error) => format!("it can't be masked, for {}", error.words()),
            Self::BrokenOff(error) => error.to_string(),
            Self::Room(error) => error.to_string(),
            Self::Until => "it lasted longer than the grant allows".to_owned(),
            Self::Silent => "the API server stopped in the middle of it".to_owned(),
        }
    }
}

/// What all bodies share.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// Where long work is done.
    pub apart: &'a Apart,
    /// Where what has to be whole is held.
    pub room: &'a Room,
}

/// Whose a body is, and how it is bounded.
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
    /// What it answers.
    pub operation: OperationId,
}

impl Bounds {
    /// Whether the answer goes on for as long as its reader wants.
    pub(crate) const fn is_stream(&self) -> bool {
        self.silence.is_none()
    }

    /// Those of a granted operation; `stream`: its answer goes on for as long as its reader wants.
    pub fn of(claims: &GrantClaims, stream: bool) -> Self {
        Self {
            until: Duration::from_millis(claims.until),
            silence: (!stream).then_some(limits::BODY_WAIT),
            may_end: claims.info.verb == Verb::Watch,
            session: claims.session,
            operation: claims.operation,
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
    /// What came before the head of the answer left.
    ahead: [Option<Bytes>; 2],
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
    /// It comes in one piece, which was held, and counts until its reader has taken what comes of it.
    is_whole: bool,
    metrics: AgentMetrics,
    /// Kept for as long as it is.
    call: Option<CallPlace>,
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
            ahead: [None, None],
            upstream: Some(upstream),
            masker: Some(masker),
            work: None,
            apart: beside.apart.clone(),
            holding: beside.room.clone().holding(bounds.session),
            until: sleep(clock, bounds.until),
            silence: bounds.silence.map(|wait| (wait, sleep(clock, wait))),
            clock: clock.clone(),
            may_end: bounds.may_end,
            is_whole: false,
            call: None,
            _open: metrics.body(),
            metrics,
        }
    }

    /// With what the answer has already: a place for having been held, so that it never waits for one beside its own, and one on the connection
    /// to the API server.
    #[must_use]
    pub(crate) fn with(mut self, (held, call): (Option<Holding>, Option<CallPlace>)) -> Self {
        if let Some(held) = held {
            self.holding = held;
            self.is_whole = true;
        }
        self.call = call;
        self
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
        let written = self.is_whole || masker.as_ref().is_none_or(AnswerMasker::holds_wholes);
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
        if let Some(piece) = this.ahead.iter_mut().find_map(Option::take) {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match ready!(this.poll_piece(cx)) {
            Some(Err(end)) => this.broken(end),
            piece => Poll::Ready(piece.and_then(Result::ok).map(|piece| Ok(Frame::data(piece)))),
        }
    }
}

impl<B> MaskedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Waits for the first piece, which its reader gets as ever. Until it is there, nothing of the answer need leave, so that what goes wrong
    /// can be told in place of it. What follows at once is looked at too: most answers are short, and whether one is whole shows at its end.
    ///
    /// # Errors
    /// The answer can't be shown.
    pub async fn begin(&mut self) -> Result<(), BodyEnd> {
        let first = poll_fn(|cx| self.poll_piece(cx)).await.transpose()?;
        // More of it has a place, which is this piece's until it is taken.
        let more = first.as_ref().is_some_and(|first| first.len() <= limits::HELD_BYTES_FREE);
        let next = poll_fn(|cx| {
            let next = if more { self.poll_piece(cx) } else { Poll::Pending };
            Poll::Ready(if let Poll::Ready(next) = next { next.transpose() } else { Ok(None) })
        });
        let next = next.await?;
        self.ahead = [first, next];
        Ok(())
    }

    /// The next piece that may go out.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyEnd>>> {
        if self.upstream.is_none() && self.work.is_none() {
            return Poll::Ready(None);
        }
        if self.until.as_mut().poll(cx).is_ready() {
            let working = self.work.is_some();
            return match self.end() {
                // Of a watch nothing is held but a part of an event.
                Ok(rest) if self.may_end && rest.is_empty() && !working => Poll::Ready(None),
                Ok(_) | Err(_) => Poll::Ready(Some(Err(BodyEnd::Until))),
            };
        }
        loop {
            let out = if let Some(work) = &mut self.work {
                let done = ready!(work.as_mut().poll(cx));
                self.work = None;
                // Meanwhile nobody listened.
                self.heard();
                match done {
                    Ok(worked) => self.keep(worked),
                    Err(end) => return Poll::Ready(Some(Err(end))),
                }
            } else {
                match ready!(self.poll_upstream(cx)) {
                    Some(Ok(out)) => out,
                    end => return Poll::Ready(end),
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out)));
            }
            if self.upstream.is_none() && self.work.is_none() {
                return Poll::Ready(None);
            }
        }
    }

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
