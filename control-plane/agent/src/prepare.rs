//! What is sent of a granted request: the objects that it needs are read inside the operation, values are put where placeholders were, and
//! the precondition of the state that was read goes with it. Called by [`operation`](crate::operation), once for each try.
//!
//! Parsed, a request and its object take many times their bytes, so nothing is kept so while it waits: it first has a place for the bytes
//! ([`Agent::bodies`], [`Agent::waiting`]), then its turn if it is large ([`apart`](crate::apart)), and is read then. What is small has no turn, and waits
//! for nothing from when it is read until what is sent has been made: one at a time, on the thread that serves everybody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::finish::{FinishError, Finished, Reads, finish};
use control_plane_core::grant::Target;
use control_plane_core::mask::{Format, MaskContext};
use control_plane_core::request::Request;
use control_plane_core::request_info::RequestInfo;
use control_plane_core::restore::{Carried, ReadError, ReadObject, Why, WriteRoom};
use control_plane_core::version_pin::VersionPin;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use shared::ids::SessionId;
use shared::limits;
use shared_net::body::collect_bounded;
use shared_net::memory::Place;

use crate::answer::{self, Asked, Plan, Treatment};
use crate::apart::Turn;
use crate::obligations::Granted;
use crate::operation::Agent;
use crate::refusal::Refusal;
use crate::rules::Ours;
use crate::unread::Unread;

/// The object that has to be read before this is sent: for the version pin, or for the values behind placeholders.
pub(crate) fn needed(granted: &Granted) -> Result<Option<RequestInfo>, Refusal> {
    let (info, claims) = (granted.grant.request().info(), granted.grant.claims());
    let needed = match (*granted.pin() != VersionPin::None, &granted.carries.source) {
        (true, _) => info.live_object().ok_or(Refusal::Read(Unread::NoneSuch))?,
        (false, _) if Ours::needs_live(info) => return Err(Refusal::Read(Unread::NotListed)),
        (false, Some(source)) => source.clone(),
        (false, None) => return Ok(None),
    };
    if claims.reads.contains(&Target::of(&needed)) { Ok(Some(needed)) } else { Err(Refusal::Read(Unread::NotListed)) }
}

/// What is sent: the approved request, with values where its placeholders were, and with the precondition of the state just read, if that
/// is the state that was approved. `left`: how long there is time for it.
pub(crate) async fn prepare(
    agent: &Agent,
    granted: &Arc<Granted>,
    needed: Option<&RequestInfo>,
    left: Duration,
) -> Result<Finished, Refusal> {
    let request = granted.grant.request();
    if needed.is_none() && !granted.carries.is_release {
        // Most requests: nothing to put back, and no state to demand.
        let request = granted.obligations.narrow(request.wire().clone())?;
        return Ok(Finished { request, precondition: false });
    }
    let mut held = Held::new(agent, granted, left).await?;
    let read = held.first(needed).await?;
    let own = Arc::clone(granted);
    let mut work = held.done(move || Work::open(own, read)).await??;
    agent.ours.check_live(request.info(), work.live.as_ref().map(ReadObject::masked)).map_err(Refusal::Rule)?;
    // One that is hidden is not there, also for who compares the state that was approved.
    work.live = work.live.filter(|live| !live.is_hidden(&granted.obligations.hidden));
    let mask = agent.mask(request.info(), &granted.obligations);
    let context = mask.clone();
    let (further, mut work) = held.done(move || (work.further(&context), work)).await?;
    for info in further {
        if let Some(read) = held.beside(&info).await? {
            work = held.done(move || work.with(read)).await??;
        }
    }
    // Of what was approved somebody knows. No two are judged at once: what is refused of one counts for the next.
    let guess = granted.grant.claims().approval.is_none() && work.carried.compares(work.reads());
    if guess && held.turn.is_none() {
        return Err(Refusal::Read(Unread::NotListed));
    }
    let namespace = &request.info().namespace;
    if guess && !agent.judged_releases.take(namespace, agent.clock.monotonic()) {
        return Err(Refusal::Releases);
    }
    let finished = held.done(move || work.finish(&mask)).await?;
    // In a dry run nothing is compared, and a hash of a placeholder is found before anything is.
    let untold = |why: Why| matches!(why, Why::DryRun | Why::Hashed | Why::Unhashed);
    let is_told = |error: &FinishError| matches!(error, FinishError::Restore(error) if !untold(error.why));
    if guess && finished.as_ref().is_err_and(is_told) {
        agent.judged_releases.refused(namespace);
    }
    let Finished { request, precondition } = finished.map_err(Refusal::Finish)?;
    Ok(Finished { request: granted.obligations.narrow(request)?, precondition })
}

/// What was read for a write, and how it is masked.
type Read = (Bytes, MaskContext);

/// What one write has while it is prepared.
struct Held<'a> {
    agent: &'a Agent,
    granted: &'a Granted,
    place: Place,
    /// Its turn, if it is large.
    turn: Option<Turn>,
    /// When its grant's time is over.
    deadline: Duration,
}

impl<'a> Held<'a> {
    /// Waits for a place for the object, whose length nobody knows. What is written has one.
    async fn new(agent: &'a Agent, granted: &'a Granted, left: Duration) -> Result<Self, Refusal> {
        let deadline = agent.clock.monotonic().saturating_add(left);
        let place = agent.waiting.take(granted.grant.claims().session, limits::LIVE_OBJECT_BYTES, left).await;
        Ok(Self { agent, granted, place: place.map_err(|_| Refusal::Busy)?, turn: None, deadline })
    }

    /// The bytes of the object that is written, and the turn, if either is large. The object is read before that, so that nobody waits for
    /// another's read; but releases of helm's, and whatever may need other objects, have many to read.
    async fn first(&mut self, needed: Option<&RequestInfo>) -> Result<Option<Read>, Refusal> {
        if self.granted.carries.is_release || needed.is_some_and(|info| self.is_listed(info)) {
            self.wait().await?;
        }
        let read = match needed {
            Some(info) => self.asked(info).await?,
            None => None,
        };
        let (body, object) = (self.granted.length(), read.as_ref().map_or(0, |(bytes, _)| bytes.len()));
        self.place.keep(object);
        if body.max(object) > limits::WRITE_TURN_BYTES {
            self.wait().await?;
        }
        Ok(read)
    }

    /// The bytes of a further object. Who may need any has a turn.
    async fn beside(&mut self, info: &RequestInfo) -> Result<Option<Read>, Refusal> {
        if self.turn.is_none() || !self.is_listed(info) {
            return Err(Refusal::Read(Unread::NotListed));
        }
        self.asked(info).await
    }

    fn is_listed(&self, info: &RequestInfo) -> bool {
        self.granted.grant.claims().reads.contains(&Target::all_beside(info))
    }

    async fn asked(&self, info: &RequestInfo) -> Result<Option<Read>, Refusal> {
        let bytes = tokio::select! {
            biased;
            bytes = asked(self.agent, self.granted, info) => bytes?,
            () = self.time_is_over() => return Err(Refusal::Late),
        };
        Ok(bytes.map(|bytes| (bytes, self.agent.mask(info, &self.granted.obligations))))
    }

    async fn wait(&mut self) -> Result<(), Refusal> {
        if self.turn.is_none() {
            let turn = tokio::select! {
                biased;
                () = self.time_is_over() => return Err(Refusal::Busy),
                turn = self.agent.apart.turn() => turn,
            };
            self.turn = Some(turn.map_err(|error| Refusal::Read(Unread::Work(error)))?);
        }
        Ok(())
    }

    async fn time_is_over(&self) {
        self.agent.clock.sleep(self.deadline.saturating_sub(self.agent.clock.monotonic())).await;
    }

    /// Work of a write that has its turn may take long, and is done where it holds up nobody.
    async fn done<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let Some(turn) = self.turn.take() else { return Ok(work()) };
        let (done, turn) = turn.run(work).await.map_err(|error| Refusal::Read(Unread::Work(error)))?;
        self.turn = Some(turn);
        Ok(done)
    }
}

/// A write, with all that is read of it and for it.
struct Work {
    granted: Arc<Granted>,
    request: Request,
    carried: Carried,
    room: WriteRoom,
    live: Option<ReadObject>,
    more: Vec<ReadObject>,
}

impl Work {
    fn open(granted: Arc<Granted>, read: Option<Read>) -> Result<Self, Refusal> {
        let request = granted.grant.request().read().map_err(|_| Refusal::Read(Unread::Own))?;
        let carried = Carried::of(&request).map_err(|error| Refusal::Finish(FinishError::Restore(error)))?;
        let room = WriteRoom::of(&request, &carried).map_err(|error| refusal(error, &carried, &request))?;
        let mut work = Self { granted, request, carried, room, live: None, more: Vec::new() };
        work.live = read.map(|read| work.object(&read)).transpose()?;
        Ok(work)
    }

    fn object(&mut self, (bytes, mask): &Read) -> Result<ReadObject, Refusal> {
        let read = ReadObject::within(bytes, mask, &mut self.room);
        read.map_err(|error| refusal(error, &self.carried, &self.request))
    }

    fn with(mut self, read: Read) -> Result<Self, Refusal> {
        let object = self.object(&read)?;
        self.more.push(object);
        Ok(self)
    }

    fn further(&self, mask: &MaskContext) -> Vec<RequestInfo> {
        self.carried.further(&self.request, self.live.as_ref(), mask)
    }

    fn reads(&self) -> Reads<'_> {
        Reads { live: self.live.as_ref(), more: &self.more }
    }

    fn finish(self, mask: &MaskContext) -> Result<Finished, FinishError> {
        let wire = self.request.wire().clone();
        finish(wire, self.request.body(), &self.carried, self.granted.pin(), self.reads(), mask)
    }
}

fn refusal(error: ReadError, carried: &Carried, request: &Request) -> Refusal {
    match (error, carried.too_large(request)) {
        (ReadError::Memory, Some(error)) => Refusal::Finish(FinishError::Restore(error)),
        (ReadError::Memory | ReadError::NoObject | ReadError::Deep | ReadError::Mask(_), _) => {
            Refusal::Read(Unread::from(error))
        }
    }
}

/// An object that was looked at, with the turn in which that was: nobody else has much in memory while this is there. Whoever has it waits for
/// nothing.
pub(crate) struct Looked {
    pub(crate) object: ReadObject,
    _turn: Option<Turn>,
}

/// One object, for who has a place for it; `None`: there is none.
pub(crate) async fn read(agent: &Agent, granted: &Granted, info: &RequestInfo) -> Result<Option<Looked>, Refusal> {
    let Some(body) = asked(agent, granted, info).await? else { return Ok(None) };
    looked_at(agent, agent.mask(info, &granted.obligations), body).await.map(Some)
}

/// The object in an answer; `None`: there is none.
pub(crate) async fn object(
    agent: &Agent,
    (session, mask): (SessionId, MaskContext),
    response: Response<Incoming>,
    plan: Plan,
) -> Result<Option<Looked>, Refusal> {
    let place = agent.waiting.take(session, limits::LIVE_OBJECT_BYTES, limits::GRANT_TTL).await;
    let _place = place.map_err(|_| Refusal::Busy)?;
    let Some(body) = body(response, plan).await? else { return Ok(None) };
    looked_at(agent, mask, body).await.map(Some)
}

/// The bytes of an object; `None`: there is none.
async fn asked(agent: &Agent, granted: &Granted, info: &RequestInfo) -> Result<Option<Bytes>, Refusal> {
    let response = agent.upstream.read(&granted.grant, &Target::of(info)).await;
    let response = response.map_err(|error| Refusal::Read(Unread::Upstream(error)))?;
    let asked = Asked { info, is_head: false, accept: None };
    let plan = answer::check(&asked, &response).map_err(|error| Refusal::Read(Unread::Answer(error)))?;
    body(response, plan).await
}

/// The same of an answer. Our own reads are asked for in JSON and as they are.
async fn body(response: Response<Incoming>, plan: Plan) -> Result<Option<Bytes>, Refusal> {
    let readable = Plan { treatment: Treatment::Mask(Format::Json), gzip: false };
    match response.status() {
        StatusCode::OK if plan == readable => {}
        StatusCode::NOT_FOUND if plan == readable => return Ok(None),
        other => return Err(Refusal::Read(Unread::Form { status: other.as_u16() })),
    }
    // The head has the call's place, until all of it has come.
    let (_head, body) = response.into_parts();
    let body = collect_bounded(body, limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT).await;
    body.map(Some).map_err(|error| Refusal::Read(Unread::from(error)))
}

async fn looked_at(agent: &Agent, mask: MaskContext, body: Bytes) -> Result<Looked, Refusal> {
    let broken = |error| Refusal::Read(Unread::Work(error));
    let is_long = body.len() > limits::WRITE_TURN_BYTES || mask.may_be_release();
    let look = move || ReadObject::new(&body, &mask);
    let (object, turn) = if is_long {
        let turn = agent.apart.turn().await.map_err(broken)?;
        let (object, turn) = turn.run(look).await.map_err(broken)?;
        (object, Some(turn))
    } else {
        (look(), None)
    };
    Ok(Looked { object: object.map_err(|error| Refusal::Read(Unread::from(error)))?, _turn: turn })
}
