//! The path of one granted request, in order. Each step takes what the one before gave; nothing is sent by any other way.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use control_plane_core::digest::DigestKey;
use control_plane_core::finish::{FinishError, Finished};
use control_plane_core::grant::{self, Arrived, MatchedGrant, Purpose, VerifiedGrant, VerifyKeys};
use control_plane_core::headers::wants_upgrade;
use control_plane_core::hide::Filter;
use control_plane_core::ledger::Epoch;
use control_plane_core::mask::values::{SecretValues, TextPart};
use control_plane_core::mask::{AnswerMasker, Format, MaskContext, PlaceholderKeys};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::restore::Carried;
use control_plane_core::version_pin::VersionPin;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use shared::ids::SessionId;
use shared::{limits, wire};
use shared_net::body::{BoxBody, BoxError, collect_bounded, empty, full};
use shared_net::clock::Clock;
use shared_net::memory::{self, Memory};
use shared_net::tasks::TaskSet;

use crate::answer::{self, AnswerError, Asked, Plan, Treatment};
use crate::apart::{Apart, Turn};
use crate::disclosure::Disclosable;
use crate::guard::Guarded;
use crate::hidden::{self, Shows};
use crate::lives::SeenLives;
use crate::masked::{Beside, Bounds, MaskedBody};
use crate::metrics::AgentMetrics;
use crate::obligations::{Carries, Granted, Obligations};
use crate::prepare::{needed, object, prepare};
use crate::ration::{JudgedReleases, Ration};
use crate::refusal::{Fate, Refusal, Sent};
use crate::report::{Report, SharedLedger};
use crate::review;
use crate::room::Room;
use crate::rules::{Ours, check_patch};
use crate::spent::SpentLeases;
use crate::text::{self, Searchers};
use crate::unread::Unread;
use crate::upstream::{Lane, Upstream, UpstreamError};

/// What every operation of this process needs.
#[derive(Debug)]
pub struct Agent {
    /// Our name of the cluster.
    pub cluster: String,
    /// The keys of placeholders.
    pub placeholders: Arc<PlaceholderKeys>,
    /// What is ours.
    pub ours: Ours,
    /// Of which Secrets values may be shown.
    pub disclosable: Disclosable,
    /// What of ours is compared with what was installed.
    pub guarded: Guarded,
    /// The ledger.
    pub ledger: SharedLedger,
    /// What may still be told of masked values.
    pub reviews: Ration,
    /// Writes that are compared with values of helm's releases, unapproved.
    pub judged_releases: JudgedReleases,
    /// The control plane's lives that the cluster has seen.
    pub lives: SeenLives,
    /// The cluster's own ledger of approvals.
    pub spent: SpentLeases,
    /// The API server.
    pub upstream: Upstream,
    /// Time.
    pub clock: Clock,
    /// Where what takes long or much is done.
    pub apart: Apart,
    /// Where answers are held that have to be whole.
    pub room: Room,
    /// What requests' bodies take, as they came and as they are sent: from before they are read until the API server has answered. Control planes
    /// have shared it out among sessions before they send one, so nobody waits for it here, with a body on its way that keeps others' from coming.
    pub bodies: Memory,
    /// What writes read before they are made, one object each, and logs the Secrets of their pods. Who has a place waits meanwhile for the API server
    /// or for a [turn](crate::apart::Turn), until his grant's time is over; nobody waits for one who has a turn or another place, but for that of his
    /// body. Answers have places elsewhere ([`room`](crate::room)), so who reads nothing of what he asked for keeps nobody from writing.
    pub waiting: Memory,
    /// Turns to look at one object where some are hidden: places in which nothing is held for a reader, of the longest for any of them. Two at
    /// once are 16 MiB ([`limits::HIDDEN_OBJECT_BYTES`]).
    pub looks: Room,
    /// What looks for values in logs.
    pub searchers: Searchers,
    /// Tasks that outlive an exchange: writes that were sent are followed to their answer.
    pub tasks: TaskSet,
    /// Counters.
    pub metrics: AgentMetrics,
}

/// What belongs to one connection to the control plane.
#[derive(Debug)]
pub struct Link {
    /// Its exporter value, which grants name.
    pub epoch: Epoch,
    /// What its grants are checked with.
    pub keys: VerifyKeys,
    /// How long the token that was shown on it is good, from the greeting.
    pub token_life: Duration,
}

/// Answers one request of host `kubernetes`.
pub async fn serve<B>(agent: &Arc<Agent>, link: &Link, request: Request<B>) -> Response<BoxBody>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut fate = Fate::default();
    match perform(agent, link, request, &mut fate).await {
        Ok(response) => response,
        Err(refusal) => {
            agent.metrics.refused(&refusal);
            let attack = refusal.is_attack_signal();
            let reason = refusal.label();
            tracing::warn!(reason, attack, error = %shared::chain::Chain(&refusal), "refused");
            refusal.reply_of(fate)
        }
    }
}

/// verify → refuse → spend → (approval: spend for good) → send → check → mask. `fate` is what a refusal has to say of the request.
async fn perform<B>(
    agent: &Arc<Agent>,
    link: &Link,
    request: Request<B>,
    fate: &mut Fate,
) -> Result<Response<BoxBody>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let received = agent.clock.monotonic();
    agent.metrics.arrived();
    let (head, body) = request.into_parts();
    let Arrival { matched, write, room, turn } = verified(agent, link, &head, body, received).await?;
    let (obligations, carries) = refuse(agent, &head, &matched)?;
    let obligations = Arc::new(obligations);
    review::check(write.as_ref(), &matched)?;
    agent.guarded.check(&matched)?;
    let (grant, mut report) = agent.ledger.spend(matched).map_err(Refusal::Spend)?;
    // From here on only its text is there.
    drop(turn);
    let info = grant.request().info().clone();
    fate.read = info.is_read();
    let long = answer::is_stream(&info, grant.request().wire().path_and_query());

    spend_approval(agent, &grant, &mut report).await?;
    if grant.claims().purpose == Purpose::GuardRead {
        return guarded(agent, &grant, report).await;
    }
    let lane = if long { Lane::Stream } else { Lane::Call };
    let granted = Arc::new(Granted { grant, obligations: Arc::clone(&obligations), carries, _room: room });
    let Obligations { hidden, reveal, text_part, .. } = &*obligations;
    let accept = obligations.accept(granted.grant.request().wire())?;
    let mask = agent.mask(&info, &obligations).with_tried(granted.carries.tried.clone());
    let masked = mask.guards_messages();
    let bounds = Bounds::of(granted.grant.claims(), long);
    let asked = Asked { info: &info, is_head: head.method == Method::HEAD, accept: accept.as_ref() };
    if let Some(response) = hidden::instead(agent, &granted).await? {
        return not_sent(agent, &asked, response, mask, &bounds).await;
    }
    let left = granted.grant.time_left(agent.clock.monotonic().saturating_sub(received));
    let text = text::wanted(agent, &granted, left).await?.map(|text| (text, Arc::clone(&granted)));
    let response = send(agent, granted, received, lane, report).await?;

    agent.metrics.answered(response.status().as_u16());
    fate.is_answered(response.status());
    let plan = answer::check(&asked, &response).map_err(Refusal::Answer)?;
    if let Some((text, granted)) = text.as_ref().filter(|_| response.status().is_success()) {
        text.check(agent, granted).await?;
    }
    let text = text.map(|(text, _)| (text.values, *text_part));
    // Objects are the same whatever operation shows them; what stands in for an error's words is this one's.
    let mask = if response.status().is_success() { mask } else { mask.of_operation(bounds.operation) };
    if let Some(write) = write
        && matches!(response.status(), StatusCode::OK | StatusCode::NOT_FOUND)
    {
        return reviewed(agent, (bounds.session, &mask), &write, response, plan).await;
    }
    // Only in what the API server calls a success, and that is shown; whatever else comes is masked as ever.
    let reveal = reveal.clone().filter(|_| response.status() == StatusCode::OK);
    let masker = |filter, reveal| masker(plan, mask, text, filter, reveal);
    match hidden::shows(hidden, &info, asked.is_head, response.status()) {
        Shows::All => pass_on(agent, &info, response, plan, masker(None, reveal)?, masked, &bounds).await,
        Shows::Some(filter) => {
            pass_on(agent, &info, response, plan, masker(Some(*filter), None)?, masked, &bounds).await
        }
        Shows::One => {
            let shown = hidden::shown(agent, bounds.session, hidden, &info, response, plan).await?;
            let reveal = reveal.filter(|_| shown.status() == StatusCode::OK);
            pass_on(agent, &info, shown, plan, masker(None, reveal)?, masked, &bounds).await
        }
    }
}

/// A request that is the granted one.
struct Arrival {
    matched: MatchedGrant,
    /// What approvers are to be shown beside it.
    write: Option<review::Question>,
    /// Of its body.
    room: Option<memory::Place>,
    /// In which it was read, if it is large.
    turn: Option<Turn>,
}

/// The verify stage.
async fn verified<B>(agent: &Agent, link: &Link, head: &Parts, body: B, received: Duration) -> Result<Arrival, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (token, digest_key) = presented(&head.headers)?;
    let (body, room) = collected(agent, body).await?;
    let (body, write, room) = review::question(&head.headers, body, room);
    let turn = first_turn(agent, head, &body).await?;
    let arrived = Arrived {
        method: &head.method,
        uri: &head.uri,
        headers: &head.headers,
        body,
        digest_key: &digest_key,
        epoch: link.epoch,
        cluster: &agent.cluster,
        life: agent.ledger.life(),
        waited: agent.clock.monotonic().saturating_sub(received),
        now: agent.clock.now(),
    };
    let matched = grant::verify(token, &link.keys, arrived).map_err(Refusal::Verify)?;
    Ok(Arrival { matched, write, room, turn })
}

/// The body of a request, and the room that it has: for its text and for what is made of it to be sent.
async fn collected<B>(agent: &Agent, body: B) -> Result<(Bytes, Option<memory::Place>), Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    let hint = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let most = hint.map_or(limits::REQUEST_BODY_BYTES, |bytes| bytes.min(limits::REQUEST_BODY_BYTES));
    let mut room = agent.bodies.now(limits::AGENT_BODY_COPIES * most).map_err(|_| Refusal::Busy)?;
    let body = collect_bounded(body, most, limits::BODY_WAIT).await.map_err(Refusal::Body)?;
    room.keep(body.len().saturating_mul(limits::AGENT_BODY_COPIES));
    Ok((body, Some(room)))
}

/// Marks the approval spent in the cluster's own ledger, where there is one.
async fn spend_approval(agent: &Agent, grant: &VerifiedGrant, report: &mut Report) -> Result<(), Refusal> {
    let Some(approval) = &grant.claims().approval else { return Ok(()) };
    let spent = agent.spent.spend(approval, grant.claims().operation).await;
    if matches!(spent, Err(Refusal::ApprovalSpent)) {
        report.spent_before();
    }
    spent
}

/// What was found out before anything was sent, as the API server would have said it.
async fn not_sent(
    agent: &Agent,
    asked: &Asked<'_>,
    response: Response<Full<Bytes>>,
    mask: MaskContext,
    bounds: &Bounds,
) -> Result<Response<BoxBody>, Refusal> {
    let plan = answer::check(asked, &response).map_err(Refusal::Answer)?;
    let masked = mask.guards_messages();
    let masker = masker(plan, mask, None, None, None)?;
    let response = pass_on(agent, asked.info, response, plan, masker, masked, bounds).await;
    let mut response = response.map_err(|_| Refusal::Read(Unread::Own))?;
    response.headers_mut().insert(wire::header::SENT, Sent::No.header());
    Ok(response)
}

/// How our own objects are, in words: no byte of them leaves the cluster.
async fn guarded(agent: &Agent, grant: &VerifiedGrant, mut report: Report) -> Result<Response<BoxBody>, Refusal> {
    report.sending();
    let first = agent.upstream.forward(grant, grant.request().wire(), Lane::Call).await.map_err(|error| {
        if error.sent() == Sent::No {
            report.not_sent();
        }
        Refusal::Upstream(error)
    })?;
    report.answered(first.status().as_u16());
    let watched = agent.guarded.report(&agent.upstream, grant, first).await;
    words(&watched)
}

/// An answer of ours in the place of the API server's.
fn words<T: serde::Serialize>(what: &T) -> Result<Response<BoxBody>, Refusal> {
    let text = serde_json::to_vec(what).map_err(|_| Refusal::Read(Unread::Own))?;
    let mut response = Response::new(full(text));
    response.headers_mut().insert(header::CONTENT_TYPE, answer::JSON);
    response.headers_mut().insert(wire::header::SENT, Sent::Yes.header());
    Ok(response)
}

/// Grant and digest key, each exactly once.
fn presented(headers: &HeaderMap) -> Result<(&str, DigestKey), Refusal> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().map_err(|_| Refusal::NoGrant),
            _ => Err(Refusal::NoGrant),
        }
    };
    let token = one(wire::header::GRANT)?;
    let key = URL_SAFE_NO_PAD
        .decode(one(wire::header::DIGEST_KEY)?)
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or(Refusal::NoGrant)?;
    Ok((token, DigestKey::new(key)))
}

/// The turn in which a large request is checked, for which it is read, or one that may be a release of helm's, which is opened; `None`: it is
/// small. Nothing is waited for in it.
async fn first_turn(agent: &Agent, head: &Parts, body: &Bytes) -> Result<Option<Turn>, Refusal> {
    let may_be_release = !body.is_empty() && head.uri.path().contains("/secrets");
    if body.len() <= limits::WRITE_TURN_BYTES && !may_be_release {
        return Ok(None);
    }
    tokio::select! {
        biased;
        turn = agent.apart.turn() => turn.map(Some).map_err(|error| Refusal::Read(Unread::Work(error))),
        // So long no grant lives.
        () = agent.clock.sleep(limits::GRANT_TTL) => Err(Refusal::Busy),
    }
}

/// What is not carried out whatever the grant says, and what this version can't do.
fn refuse(agent: &Agent, head: &Parts, matched: &MatchedGrant) -> Result<(Obligations, Carries), Refusal> {
    let request = matched.request();
    if request.upgrade().is_some() || request.info().is_connect() || wants_upgrade(&head.headers) {
        return Err(Refusal::Connect);
    }
    agent.ours.check(request).map_err(Refusal::Rule)?;
    let obligations = Obligations::of(matched, &agent.disclosable)?;
    check_patch(request, &obligations.fields).map_err(Refusal::Rule)?;
    let carried = Carried::of(request).map_err(|error| Refusal::Finish(FinishError::Restore(error)))?;
    let carries = Carries::of(request, &carried, &obligations.fields);
    Ok((obligations, carries))
}

/// Carries a spent grant out. A read is given up with its exchange. A write that was sent is followed to its answer by a task of its own,
/// so that its outcome is known when the control plane asks after a crash.
async fn send(
    agent: &Arc<Agent>,
    granted: Arc<Granted>,
    received: Duration,
    lane: Lane,
    report: Report,
) -> Result<Response<Incoming>, Refusal> {
    if granted.grant.request().info().is_read() {
        return attempt(agent, granted, received, lane, report).await;
    }
    let (answer, waiting) = tokio::sync::oneshot::channel();
    let own = Arc::clone(agent);
    agent.tasks.spawn("write", async move {
        let result = attempt(&own, granted, received, lane, report).await;
        // Nobody waits any more if the exchange was cancelled. The report has the outcome either way.
        drop(answer.send(result));
    });
    waiting.await.unwrap_or(Err(Refusal::Upstream(UpstreamError::Lost)))
}

/// Prepares and sends; up to three times again where only the precondition that we wrote was in the way and the pin still holds.
async fn attempt(
    agent: &Agent,
    granted: Arc<Granted>,
    received: Duration,
    lane: Lane,
    mut report: Report,
) -> Result<Response<Incoming>, Refusal> {
    let mut tries: u32 = 0;
    let grant = &granted.grant;
    let needed = needed(&granted)?;
    loop {
        let left = || grant.time_left(agent.clock.monotonic().saturating_sub(received));
        // What was sent once is tried again as long as a grant lives.
        let time = if tries == 0 { left() } else { limits::GRANT_TTL };
        let Finished { request, precondition } = prepare(agent, &granted, needed.as_ref(), time).await?;
        if tries == 0 && left().is_zero() {
            return Err(Refusal::Late);
        }
        report.sending();
        let response = agent.upstream.forward(grant, &request, lane).await.map_err(|error| {
            if error.sent() == Sent::No {
                report.not_sent();
            }
            Refusal::Upstream(error)
        })?;
        report.answered(response.status().as_u16());
        if response.status() != StatusCode::CONFLICT || !precondition || tries >= limits::PIN_RETRIES {
            return Ok(response);
        }
        tries = tries.saturating_add(1);
    }
}

/// The live object as it may be seen, and what the write would do to its values, in words.
async fn reviewed(
    agent: &Agent,
    (session, mask): (SessionId, &MaskContext),
    write: &review::Question,
    response: Response<Incoming>,
    plan: Plan,
) -> Result<Response<BoxBody>, Refusal> {
    let looked = object(agent, (session, mask.clone()), response, plan).await?;
    let live = looked.as_ref().map(|looked| &looked.object);
    words(&review::answer(&agent.reviews, &write.read()?, live, mask, agent.clock.monotonic()))
}

/// What becomes of the bytes of an answer.
fn masker(
    plan: Plan,
    mask: MaskContext,
    text: Option<(Arc<SecretValues>, TextPart)>,
    filter: Option<Filter>,
    reveal: Option<VersionPin>,
) -> Result<AnswerMasker, Refusal> {
    let masker = match (plan.treatment, filter) {
        (Treatment::Mask(format), None) => match reveal {
            Some(pin) if format == Format::Json => AnswerMasker::revealing(mask, pin),
            Some(_) | None => AnswerMasker::new(mask, format),
        },
        (Treatment::Mask(Format::Json), Some(filter)) => AnswerMasker::new(mask, Format::Json).hiding(filter),
        (Treatment::Text, None) => {
            let (values, part) = text.ok_or(Refusal::Answer(AnswerError::Pod))?;
            AnswerMasker::text(values, part)
        }
        (Treatment::Pass, None) | (Treatment::Empty | Treatment::Replace, _) => AnswerMasker::pass(),
        (Treatment::Mask(_) | Treatment::Text | Treatment::Pass, Some(_)) => {
            return Err(Refusal::Answer(AnswerError::MediaType));
        }
    };
    Ok(if plan.gzip { masker.inflating() } else { masker })
}

/// The answer that leaves the agent. `masked`: it is about something that is masked. The head of what has an end goes out with the first piece of
/// its body, so that a body that can't be shown is refused in words, and only what breaks off later is cut.
async fn pass_on<B>(
    agent: &Agent,
    info: &RequestInfo,
    response: Response<B>,
    plan: Plan,
    masker: AnswerMasker,
    masked: bool,
    bounds: &Bounds,
) -> Result<Response<BoxBody>, Refusal>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let mut headers = answer::headers(info, masked, &head.headers);
    let body = match plan.treatment {
        Treatment::Empty => empty(),
        Treatment::Replace => {
            headers.insert(header::CONTENT_TYPE, answer::JSON);
            full(Bytes::from(answer::stand_in(head.status, bounds.operation).to_json()))
        }
        Treatment::Mask(_) | Treatment::Text | Treatment::Pass => {
            let beside = Beside { apart: &agent.apart, room: &agent.room };
            let places = (hidden::holding(&mut head), head.extensions.remove());
            let body = MaskedBody::new(body, masker, &agent.clock, beside, bounds, agent.metrics.clone());
            let mut body = body.with(places);
            if !(bounds.is_stream() && head.status.is_success()) {
                body.begin().await.map_err(Refusal::Unshown)?;
            }
            body.boxed_unsync()
        }
    };
    headers.insert(wire::header::SENT, Sent::Yes.header());
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    Ok(response)
}

impl Agent {
    /// How answers about this are masked: Secrets whatever the grant says, and the fields that it names.
    pub(crate) fn mask(&self, info: &RequestInfo, obligations: &Obligations) -> MaskContext {
        let context = MaskContext::response(Arc::clone(&self.placeholders), &self.cluster, info);
        context.with_fields(obligations.fields.clone())
    }
}
