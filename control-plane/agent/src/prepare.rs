//! What is sent of a granted request: the objects that it needs are read inside the operation, values are put where placeholders were, and
//! the precondition of the state that was read goes with it. Called by [`operation`](crate::operation), once for each try.

use std::sync::Arc;

use bytes::Bytes;
use control_plane_core::finish::{FinishError, Finished, Reads};
use control_plane_core::grant::Target;
use control_plane_core::mask::{Format, MaskContext};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::restore::{ReadError, ReadObject, Why, WriteRoom};
use control_plane_core::version_pin::VersionPin;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use shared::limits;
use shared_net::body::collect_bounded;
use tokio::sync::SemaphorePermit;

use crate::answer::{self, Asked, Plan, Treatment};
use crate::obligations::Granted;
use crate::operation::Agent;
use crate::refusal::Refusal;
use crate::rules::Ours;

/// The object that has to be read before this is sent: for the version pin, or for the values behind placeholders.
pub(crate) fn needed(granted: &Granted) -> Result<Option<RequestInfo>, Refusal> {
    let (request, claims) = (granted.grant.request(), granted.grant.claims());
    let pinned = claims.approval.as_ref().is_some_and(|approval| approval.pin != VersionPin::None);
    let needed = match (pinned, granted.carried.needed()) {
        (true, _) => request.info().live_object().ok_or(Refusal::Read)?,
        (false, _) if Ours::needs_live(request.info()) => return Err(Refusal::Read),
        (false, Some(source)) => source.clone(),
        (false, None) => return Ok(None),
    };
    if claims.reads.contains(&Target::of(&needed)) { Ok(Some(needed)) } else { Err(Refusal::Read) }
}

/// What is sent: the approved request, with values where its placeholders were, and with the precondition of the state just read, if that
/// is the state that was approved.
pub(crate) async fn prepare(
    agent: &Agent,
    granted: &Arc<Granted>,
    needed: Option<&RequestInfo>,
) -> Result<Finished, Refusal> {
    let (info, claims) = (granted.grant.request().info(), granted.grant.claims());
    let listed = |info: &RequestInfo| claims.reads.contains(&Target::all_beside(info));
    // Releases wait for a turn, and whatever needs other objects, of which it may need many.
    let mut beside = granted.carried.is_release() || needed.is_some_and(listed);
    let mut held = Held { agent, granted, turn: None, room: None };
    if beside {
        held.wait().await?;
    }
    let live = match needed {
        Some(info) => held.read(info).await?,
        None => None,
    };
    if needed.is_some() && body_length(granted) > limits::WRITE_TURN_BYTES {
        held.wait().await?;
    }
    agent.ours.check_live(info, live.as_ref().map(ReadObject::masked)).map_err(Refusal::Rule)?;
    // One that is hidden is not there, also for who compares the state that was approved.
    let live = live.filter(|live| !live.is_hidden(&granted.obligations.hidden));
    let mask = agent.mask(info, &granted.obligations);
    let long = body_length(granted) > limits::MASK_APART_BYTES || live.as_ref().is_some_and(ReadObject::is_long);
    let (own, context) = (Arc::clone(granted), mask.clone());
    let further = move || (own.carried.further(own.grant.request(), live.as_ref(), &context), live);
    let (further, live) = apart(agent, beside || long, further).await?;
    let mut more = Vec::new();
    if !further.is_empty() {
        beside = true;
        held.wait().await?;
    }
    for info in further {
        more.extend(held.read(Some(&info).filter(|info| listed(info)).ok_or(Refusal::Read)?).await?);
    }
    // Of what was approved somebody knows. No two are judged at once: what is refused of one counts for the next.
    let guess = claims.approval.is_none() && granted.carried.compares(Reads { live: live.as_ref(), more: &more });
    if guess {
        held.wait().await?;
    }
    if guess && !agent.judged_releases.take(&info.namespace, agent.clock.monotonic()) {
        return Err(Refusal::Releases);
    }
    let own = Arc::clone(granted);
    let finish = move || own.finish(Reads { live: live.as_ref(), more: &more }, &mask);
    let finished = apart(agent, beside || long, finish).await?;
    // In a dry run nothing is compared.
    let is_told = |error: &FinishError| matches!(error, FinishError::Restore(error) if error.why != Why::DryRun);
    if guess && finished.as_ref().is_err_and(is_told) {
        agent.judged_releases.refused(&info.namespace);
    }
    let Finished { request, precondition } = finished.map_err(Refusal::Finish)?;
    Ok(Finished { request: granted.obligations.narrow(request)?, precondition })
}

/// Bytes that are written.
fn body_length(granted: &Granted) -> usize {
    granted.grant.request().wire().body().len()
}

/// What one write has while it is prepared.
struct Held<'a> {
    agent: &'a Agent,
    granted: &'a Granted,
    /// Its turn, if it is large. A grant that is too old when that comes is refused as late.
    turn: Option<SemaphorePermit<'a>>,
    /// What it may take in memory, from the first read on.
    room: Option<WriteRoom>,
}

impl Held<'_> {
    async fn wait(&mut self) -> Result<(), Refusal> {
        if self.turn.is_none() {
            self.turn = Some(self.agent.releases.acquire().await.map_err(|_| Refusal::Read)?);
        }
        Ok(())
    }

    /// One object; `None`: there is none. What comes takes many times its bytes when it is looked at, and not before it is its turn.
    async fn read(&mut self, info: &RequestInfo) -> Result<Option<ReadObject>, Refusal> {
        let Some(body) = asked(self.agent, self.granted, info).await? else { return Ok(None) };
        // Read before that, so that nobody waits for another's read; meanwhile it is held like an answer.
        let mut _waiting = None;
        if self.turn.is_none() && body.len() > limits::WRITE_TURN_BYTES {
            let session = self.granted.grant.claims().session;
            let room = self.agent.room.clone().take(session, body.len()).await;
            _waiting = Some(room.map_err(|error| {
                tracing::warn!(error = %shared::chain::Chain(&error), "a large write finds no room to wait for its turn");
                Refusal::Read
            })?);
            self.wait().await?;
        }
        let mut room = match self.room.take() {
            Some(room) => room,
            None => {
                let Granted { grant, carried, .. } = self.granted;
                WriteRoom::of(grant.request(), carried).map_err(|error| self.refusal(error))?
            }
        };
        let mask = self.agent.mask(info, &self.granted.obligations);
        let long = is_long(&body, &mask);
        let read = move || (ReadObject::within(&body, &mask, &mut room), room);
        let (read, room) = apart(self.agent, long, read).await?;
        self.room = Some(room);
        read.map(Some).map_err(|error| self.refusal(error))
    }

    fn refusal(&self, error: ReadError) -> Refusal {
        let too_large = self.granted.carried.too_large(self.granted.grant.request());
        match (error, too_large) {
            (ReadError::Memory, Some(error)) => Refusal::Finish(FinishError::Restore(error)),
            (ReadError::Memory | ReadError::NoObject | ReadError::Mask(_), _) => Refusal::Read,
        }
    }
}

/// Work that takes long is done where it holds up nobody.
async fn apart<T: Send + 'static>(
    agent: &Agent,
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if long { agent.apart.clone().run(work).await.map_err(|_| Refusal::Read) } else { Ok(work()) }
}

/// One object; `None`: there is none.
pub(crate) async fn read(agent: &Agent, granted: &Granted, info: &RequestInfo) -> Result<Option<ReadObject>, Refusal> {
    let Some(body) = asked(agent, granted, info).await? else { return Ok(None) };
    looked_at(agent, agent.mask(info, &granted.obligations), body).await.map(Some)
}

/// The object in an answer; `None`: there is none.
pub(crate) async fn object(
    agent: &Agent,
    mask: MaskContext,
    response: Response<Incoming>,
    plan: Plan,
) -> Result<Option<ReadObject>, Refusal> {
    let Some(body) = body(response, plan).await? else { return Ok(None) };
    looked_at(agent, mask, body).await.map(Some)
}

/// The bytes of an object; `None`: there is none.
async fn asked(agent: &Agent, granted: &Granted, info: &RequestInfo) -> Result<Option<Bytes>, Refusal> {
    let response = agent.upstream.read(&granted.grant, &Target::of(info)).await.map_err(|error| {
        tracing::warn!(error = %shared::chain::Chain(&error), "an object that this operation needs can't be read");
        Refusal::Read
    })?;
    let asked = Asked { info, is_head: false, accept: None };
    let plan = answer::check(&asked, &response).map_err(|_| Refusal::Read)?;
    body(response, plan).await
}

/// The same of an answer. Our own reads are asked for in JSON and as they are.
async fn body(response: Response<Incoming>, plan: Plan) -> Result<Option<Bytes>, Refusal> {
    let readable = Plan { treatment: Treatment::Mask(Format::Json), gzip: false };
    match response.status() {
        StatusCode::OK if plan == readable => {}
        StatusCode::NOT_FOUND if plan == readable => return Ok(None),
        _ => return Err(Refusal::Read),
    }
    let body = collect_bounded(response.into_body(), limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT).await;
    body.map(Some).map_err(|_| Refusal::Read)
}

async fn looked_at(agent: &Agent, mask: MaskContext, body: Bytes) -> Result<ReadObject, Refusal> {
    let long = is_long(&body, &mask);
    apart(agent, long, move || ReadObject::new(&body, &mask)).await?.map_err(|_| Refusal::Read)
}

/// Whether it takes long to look at what was read.
fn is_long(body: &Bytes, mask: &MaskContext) -> bool {
    body.len() > limits::MASK_APART_BYTES || mask.may_be_release()
}
