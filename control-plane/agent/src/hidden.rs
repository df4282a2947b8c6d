//! Objects that policy hides from a runner (core's `hide`): what the API server is asked instead, and what is shown of its answer.
//!
//! One object that is hidden is answered as one that isn't there. Where the answer would show it, it is looked at before any of it leaves. Where
//! it wouldn't (a log, a write), the object is read first, by the grant's `reads`. Either way one request tells both, and the head of the
//! answer is the API server's.
//!
//! What is looked at is read whole, by one after the other of a session and two at once in all (`looks`): whether it is hidden is known then, and
//! nothing but time has told of it. What is shown takes a place in the agent's [`Room`] like other held answers, until its reader has taken it. Who
//! looks may wait for such a place for [`limits::HELD_ROOM_WAIT`]; who has one waits for no look.

use std::sync::Arc;

use bytes::Bytes;
use control_plane_core::grant::Target;
use control_plane_core::hide::{self, Filter, Hidden};
use control_plane_core::mask::Format;
use control_plane_core::request_info::{RequestInfo, Verb};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use shared::ids::SessionId;
use shared::limits;

use crate::answer::{self, AnswerError, Asked, Plan, Treatment};
use crate::obligations::Granted;
use crate::operation::Agent;
use crate::refusal::Refusal;
use crate::room::{Holding, Place, Room};
use crate::unread::Unread;
use crate::upstream::CallPlace;

/// The only form in which one object is judged: asked for in JSON, and as it is.
const READABLE: Plan = Plan { treatment: Treatment::Mask(Format::Json), gzip: false };

/// The place of an answer that was held. It goes with the answer, as an extension of its head.
#[derive(Clone, Debug)]
struct Whole(Arc<Holding>);

/// The place of an answer that [`shown`] has held.
pub(crate) fn holding(head: &mut Parts) -> Option<Holding> {
    head.extensions.remove::<Whole>().and_then(|Whole(holding)| Arc::into_inner(holding))
}

/// The answer to a request about an object that is hidden, or, of a read, that isn't there; `None`: it may be sent.
pub(crate) async fn instead(agent: &Agent, granted: &Granted) -> Result<Option<Response<Full<Bytes>>>, Refusal> {
    let Granted { grant, obligations, .. } = granted;
    let hidden = &obligations.hidden;
    let request = grant.request();
    let Some(live) = hide::asked_live(request.info(), request.wire()).filter(|_| !hidden.is_empty()) else {
        return Ok(None);
    };
    let target = Target::of(&live);
    if !grant.claims().reads.contains(&target) {
        return Err(Refusal::Read(Unread::NotListed));
    }
    let response = agent.upstream.read(grant, &target).await;
    let response = response.map_err(|error| Refusal::Read(Unread::Upstream(error)))?;
    let session = grant.claims().session;
    let plan = answer::check(&Asked { info: &live, is_head: false, accept: None }, &response);
    let status = response.status().as_u16();
    if plan != Ok(READABLE) {
        return Err(Refusal::Read(Unread::Form { status }));
    }
    match response.status() {
        // Sent, a read would take longer where there is nothing than where something is hidden. A write may make the object.
        StatusCode::NOT_FOUND if request.info().is_read() => {
            let whole = whole(agent, session, response).await;
            let (response, _) = whole.map_err(|_| Refusal::Read(Unread::Answer(AnswerError::Unjudged)))?;
            Ok(Some(response.map(Full::new)))
        }
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => {
            let judged = judged(agent, session, hidden, &live, response)
                .await
                .map_err(|_| Refusal::Read(Unread::Answer(AnswerError::Unjudged)))?;
            Ok(match judged {
                Judged::Hidden(response) => Some(response.map(Full::new)),
                Judged::Shown(..) => None,
            })
        }
        _ => Err(Refusal::Read(Unread::Form { status })),
    }
}

/// The answer that shows one object, or that there is none.
pub(crate) async fn shown(
    agent: &Agent,
    session: SessionId,
    hidden: &Hidden,
    info: &RequestInfo,
    response: Response<Incoming>,
    plan: Plan,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if plan != READABLE {
        return Err(Refusal::Answer(AnswerError::MediaType));
    }
    match judged(agent, session, hidden, info, response).await? {
        Judged::Hidden(response) => Ok(response.map(Full::new)),
        Judged::Shown(mut response, look) => {
            let mut holding = agent.room.clone().holding(session);
            if let Some(taking) = holding.grow(response.body().len()) {
                holding.move_to(taking.await.map_err(|_| Refusal::Answer(AnswerError::Room))?);
            }
            drop(look);
            response.extensions_mut().insert(Whole(Arc::new(holding)));
            Ok(response.map(Full::new))
        }
    }
}

/// One object that was read.
enum Judged {
    /// It is as if it were not there.
    Hidden(Response<Bytes>),
    /// It may be shown, and is held by this look until it has a place.
    Shown(Response<Bytes>, Option<Place>),
}

async fn judged(
    agent: &Agent,
    session: SessionId,
    hidden: &Hidden,
    info: &RequestInfo,
    response: Response<Incoming>,
) -> Result<Judged, Refusal> {
    let (mut response, look) = whole(agent, session, response).await?;
    let is_hidden = hidden.hides_answer(response.body()).map_err(|_| Refusal::Answer(AnswerError::Unjudged))?;
    if !is_hidden {
        return Ok(Judged::Shown(response, look));
    }
    *response.status_mut() = StatusCode::NOT_FOUND;
    *response.body_mut() = Bytes::from(hide::not_found(info));
    Ok(Judged::Hidden(response))
}

/// Reads an answer whole. What is longer than a little waits for its turn to be looked at, for as long as it takes: a refusal would tell that there
/// is something.
async fn whole(
    agent: &Agent,
    session: SessionId,
    response: Response<Incoming>,
) -> Result<(Response<Bytes>, Option<Place>), Refusal> {
    const UNJUDGED: Refusal = Refusal::Answer(AnswerError::Unjudged);
    let (mut head, mut body) = response.into_parts();
    let (mut bytes, mut look) = (Vec::new(), None);
    while let Some(frame) = tokio::time::timeout(limits::BODY_WAIT, body.frame()).await.map_err(|_| UNJUDGED)? {
        let data = frame.map_err(|_| UNJUDGED)?.into_data().unwrap_or_default();
        let length = bytes.len().saturating_add(data.len());
        if length > limits::HIDDEN_OBJECT_BYTES {
            return Err(UNJUDGED);
        }
        if length > limits::HELD_BYTES_FREE && look.is_none() {
            look = Some(turn(&agent.looks, session).await);
        }
        bytes.extend_from_slice(&data);
    }
    bytes.shrink_to_fit();
    // All of it has come.
    drop(head.extensions.remove::<CallPlace>());
    Ok((Response::from_parts(head, Bytes::from(bytes)), look))
}

/// A turn to look at an object, of any length.
async fn turn(looks: &Room, session: SessionId) -> Place {
    loop {
        if let Ok(place) = looks.clone().take(session, limits::HIDDEN_OBJECT_BYTES).await {
            return place;
        }
    }
}

/// What of an answer is shown.
pub(crate) enum Shows {
    /// All of it: an error, or what is about no object or one that was judged before.
    All,
    /// One object.
    One,
    /// Those that the filter leaves.
    Some(Box<Filter>),
}

/// What an answer shows of objects, some of which are hidden.
pub(crate) fn shows(hidden: &Hidden, info: &RequestInfo, is_head: bool, status: StatusCode) -> Shows {
    if hidden.is_empty() || is_head || !status.is_success() || !info.subresource.is_empty() {
        return Shows::All;
    }
    match info.verb {
        Verb::Get => Shows::One,
        Verb::List => Shows::Some(Box::new(Filter::list(hidden.clone()))),
        Verb::Watch => Shows::Some(Box::new(Filter::watch(hidden.clone()))),
        // What a write answers was judged before it was sent. Collections aren't deleted where something is hidden in them.
        Verb::Create
        | Verb::Update
        | Verb::Patch
        | Verb::Delete
        | Verb::DeleteCollection
        | Verb::Post
        | Verb::Put
        | Verb::Head
        | Verb::Options => Shows::All,
    }
}
