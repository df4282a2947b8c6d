//! Objects that policy hides from a runner (core's `hide`): what the API server is asked instead, and what is shown of its answer.
//!
//! One object that is hidden is answered as one that isn't there. Where the answer would show it, it is looked at before any of it leaves. Where
//! it wouldn't (a log, a write), the object is read first, by the grant's `reads`. Either way one request tells both, and the head of the
//! answer is the API server's.

use bytes::Bytes;
use control_plane_core::grant::Target;
use control_plane_core::hide::{self, Filter, Hidden};
use control_plane_core::mask::Format;
use control_plane_core::request_info::{RequestInfo, Verb};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use shared::limits;
use shared_net::body::collect_bounded;

use crate::answer::{self, AnswerError, Asked, Plan, Treatment};
use crate::obligations::Granted;
use crate::operation::Agent;
use crate::refusal::Refusal;
use crate::unread::Unread;

/// The only form in which one object is judged: asked for in JSON, and as it is.
const READABLE: Plan = Plan { treatment: Treatment::Mask(Format::Json), gzip: false };

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
    let plan = answer::check(&Asked { info: &live, is_head: false, accept: None }, &response);
    let status = response.status().as_u16();
    if plan != Ok(READABLE) {
        return Err(Refusal::Read(Unread::Form { status }));
    }
    match response.status() {
        // Sent, a read would take longer where there is nothing than where something is hidden. A write may make the object.
        StatusCode::NOT_FOUND if request.info().is_read() => {
            let response = whole(response).await.map_err(|_| Refusal::Read(Unread::Answer(AnswerError::Unjudged)))?;
            Ok(Some(response.map(Full::new)))
        }
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => {
            let response = shown(hidden, &live, response, READABLE).await;
            let response = response.map_err(|_| Refusal::Read(Unread::Answer(AnswerError::Unjudged)))?;
            Ok(Some(response).filter(|response| response.status() == StatusCode::NOT_FOUND))
        }
        _ => Err(Refusal::Read(Unread::Form { status })),
    }
}

/// The answer that shows one object, or that there is none.
pub(crate) async fn shown(
    hidden: &Hidden,
    info: &RequestInfo,
    response: Response<Incoming>,
    plan: Plan,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if plan != READABLE {
        return Err(Refusal::Answer(AnswerError::MediaType));
    }
    let mut response = whole(response).await?;
    let is_hidden = hidden.hides_answer(response.body()).map_err(|_| Refusal::Answer(AnswerError::Unjudged))?;
    if is_hidden {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Bytes::from(hide::not_found(info));
    }
    Ok(response.map(Full::new))
}

async fn whole(response: Response<Incoming>) -> Result<Response<Bytes>, Refusal> {
    let (head, body) = response.into_parts();
    let bytes = collect_bounded(body, limits::HIDDEN_OBJECT_BYTES, limits::BODY_WAIT).await;
    let bytes = bytes.map_err(|_| Refusal::Answer(AnswerError::Unjudged))?;
    Ok(Response::from_parts(head, bytes))
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
