//! The head of the API server's answer: what may be passed on at all, and under which headers.
//!
//! Only encodings that can be masked pass. Everything else is refused, never passed through (SECURITY.md M1, M4).

use control_plane_core::mask::{Format, values};
use control_plane_core::request_info::{RequestInfo, Verb};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use shared::ids::OperationId;
use shared::status::{Reason, Status};

use crate::warning;

#[cfg(test)]
mod tests;

/// Headers of the API server that reach the client. `ETag` and `Last-Modified` only where no object travels, for they could be made from
/// values (SECURITY.md M5).
const PASSED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::WARNING,
    header::RETRY_AFTER,
    HeaderName::from_static("x-kubernetes-pf-flowschema-uid"),
    HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"),
];
const PASSED_OF_DOCUMENTS: [HeaderName; 4] = [header::ETAG, header::LAST_MODIFIED, header::VARY, header::EXPIRES];

/// Kubernetes' own binary encoding.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const OPENAPI: [&str; 4] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
    // What is asked for with `@` is answered with a dot, since `@` may not stand in a media type (RFC 6838).
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
];

/// Why an answer is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// 301, 302, 303, 307, 308 and the like.
    #[error("it is a redirect ({0}), which is never followed")]
    Redirect(u16),
    /// 101 without a question for it, and other 1xx.
    #[error("it switches protocols without being asked to")]
    Switch,
    /// 401: it is the agent that it doesn't know, never the client.
    #[error("it does not accept the agent's credential")]
    Unauthorized,
    /// Compressed or otherwise encoded, and not with gzip.
    #[error("it is encoded, and cannot be masked so")]
    Encoding,
    /// CBOR, HTML, protobuf that was not asked for, …
    #[error("its content type cannot be masked")]
    MediaType,
    /// The text of a pod that there was not when its Secrets were to be read.
    #[error("it is the text of a pod that came up in this moment, whose Secrets are not known yet; ask again")]
    Pod,
    /// One object of which nobody can say whether policy hides it: no name, too long.
    #[error("nobody can say whether policy hides the object in it")]
    Unjudged,
    /// The same, for there was no room to look at it.
    #[error(
        "policy may hide the object in it, and answers that are held until they are whole have all the room there is; try again"
    )]
    Room,
}

impl AnswerError {
    /// One word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "answer-redirect",
            Self::Switch => "answer-switch",
            Self::Unauthorized => "answer-unauthorized",
            Self::Encoding => "answer-encoding",
            Self::MediaType => "answer-media-type",
            Self::Pod => "answer-pod",
            Self::Unjudged => "answer-unjudged",
            Self::Room => "answer-room",
        }
    }
}

/// What to do with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Objects: through the masker for how they are written.
    Mask(Format),
    /// The text of a pod: through the search for the values of its Secrets.
    Text,
    /// A text or document without objects in it.
    Pass,
    /// There is none.
    Empty,
    /// An error in plain text about a resource: nobody can say what it quotes, so a `Status` with the same code stands in for it.
    Replace,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request.
    pub info: &'a RequestInfo,
    /// A HEAD.
    pub is_head: bool,
    /// Its `Accept`, as it was sent.
    pub accept: Option<&'a HeaderValue>,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// With its body.
    pub treatment: Treatment,
    /// The body is gzip, though none was asked for, and is inflated first.
    pub gzip: bool,
}

/// Decides by status and headers.
///
/// # Errors
/// The answer may not be passed on.
pub fn check<B>(asked: &Asked<'_>, response: &Response<B>) -> Result<Plan, AnswerError> {
    check_status(response.status())?;
    let gzip = is_gzip(response.headers())?;
    Ok(Plan { treatment: treatment(asked, response)?, gzip })
}

fn check_status(status: StatusCode) -> Result<(), AnswerError> {
    if status.is_informational() {
        return Err(AnswerError::Switch);
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        return Err(AnswerError::Redirect(status.as_u16()));
    }
    if status == StatusCode::UNAUTHORIZED {
        return Err(AnswerError::Unauthorized);
    }
    Ok(())
}

/// Whether the body is gzip. Any other encoding, or more than one, can't be undone here.
fn is_gzip(headers: &HeaderMap) -> Result<bool, AnswerError> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    match (values.next().map(HeaderValue::as_bytes), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.eq_ignore_ascii_case(b"identity") => Ok(false),
        (Some(value), None) if value.eq_ignore_ascii_case(b"gzip") => Ok(true),
        (Some(_), _) => Err(AnswerError::Encoding),
    }
}

fn treatment<B>(asked: &Asked<'_>, response: &Response<B>) -> Result<Treatment, AnswerError> {
    let Asked { info, is_head, .. } = *asked;
    let (status, headers) = (response.status(), response.headers());
    if is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Treatment::Empty);
    }
    let Some((media_type, parameters)) = media_type(headers)? else {
        let nothing = headers.get(header::CONTENT_LENGTH).is_some_and(|value| value.as_bytes() == b"0");
        // Never an empty 200: an answer without type and length could be anything.
        return if nothing && !status.is_success() { Ok(Treatment::Empty) } else { Err(AnswerError::MediaType) };
    };
    let openapi = !info.is_resource_request && info.non_resource_path.starts_with("/openapi/");
    match media_type.as_str() {
        // Schemas hold no objects, and much that looks like one.
        "application/json" if openapi => Ok(Treatment::Pass),
        "application/json" => Ok(Treatment::Mask(Format::Json)),
        PROTOBUF if asked.for_protobuf() => protobuf(info, status, &parameters).map(Treatment::Mask),
        "application/jwk-set+json" if info.non_resource_path == "/openid/v1/jwks" => Ok(Treatment::Pass),
        other if openapi && OPENAPI.contains(&other) => Ok(Treatment::Pass),
        "text/plain" if !info.is_resource_request => Ok(Treatment::Pass),
        "text/plain" if values::pod_of(info).is_some() => Ok(Treatment::Text),
        "text/plain" if !status.is_success() => Ok(Treatment::Replace),
        _ => Err(AnswerError::MediaType),
    }
}

impl Asked<'_> {
    /// The control plane asks for protobuf only where it is masked (core's `request::accept`).
    fn for_protobuf(&self) -> bool {
        let accept = self.accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut clauses = accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
        self.info.is_resource_request && clauses.any(|media_type| media_type == PROTOBUF)
    }
}

/// A watch has lengths between its events, and says so; an error is one object.
fn protobuf(info: &RequestInfo, status: StatusCode, parameters: &str) -> Result<Format, AnswerError> {
    match (parameters.trim(), info.verb == Verb::Watch && status == StatusCode::OK) {
        ("stream=watch", true) => Ok(Format::ProtobufWatch),
        ("", false) => Ok(Format::Protobuf),
        _ => Err(AnswerError::MediaType),
    }
}

/// Type and subtype in lower case, and the parameters; `None` if there is no header.
fn media_type(headers: &HeaderMap) -> Result<Option<(String, String)>, AnswerError> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AnswerError::MediaType);
    }
    let text = value.to_str().map_err(|_| AnswerError::MediaType)?;
    let (plain, parameters) = text.split_once(';').unwrap_or((text, ""));
    Ok(Some((plain.trim().to_ascii_lowercase(), parameters.to_owned())))
}

/// Whether the answer may go on for long, so that it needs a connection of its own and no limit on silence.
pub fn is_stream(info: &RequestInfo, path_and_query: &str) -> bool {
    info.verb == Verb::Watch || (values::pod_of(info).is_some() && follows(path_and_query))
}

/// Any `follow` counts: the worst that can happen is a connection of its own.
fn follows(path_and_query: &str) -> bool {
    path_and_query.split_once('?').is_some_and(|(_, query)| query.split('&').any(|pair| pair.starts_with("follow")))
}

/// The headers that are passed on. `masked`: the answer is about something that is masked, which a warning may quote.
pub fn headers(info: &RequestInfo, masked: bool, from: &HeaderMap) -> HeaderMap {
    let mut to = HeaderMap::with_capacity(8);
    let documents = if info.is_resource_request { &[][..] } else { &PASSED_OF_DOCUMENTS[..] };
    for name in PASSED.iter().chain(documents) {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
    if masked {
        let all = from.get_all(header::WARNING).iter();
        let (shown, others): (Vec<_>, Vec<_>) = all.partition(|value| warning::is_harmless(value));
        to.remove(header::WARNING);
        let not_shown = others.first().map(|_| warning::NOT_SHOWN);
        shown.into_iter().cloned().chain(not_shown).for_each(|value| {
            to.append(header::WARNING, value);
        });
    }
    if info.resource == "serviceaccounts" && info.subresource == "token" {
        to.append(header::WARNING, warning::TOKEN);
    }
    to
}

/// Content type of everything that we write ourselves.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What stands in for a text that is not passed on: the same code, in a form that clients print well.
pub fn stand_in(status: StatusCode, operation: OperationId) -> Status {
    let reason = match status.as_u16() {
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        405 => Reason::MethodNotAllowed,
        406 => Reason::NotAcceptable,
        409 => Reason::Conflict,
        413 => Reason::RequestEntityTooLarge,
        415 => Reason::UnsupportedMediaType,
        429 => Reason::TooManyRequests,
        502 => Reason::BadGateway,
        503 => Reason::ServiceUnavailable,
        504 => Reason::Timeout,
        400..=499 => Reason::BadRequest,
        _ => Reason::InternalError,
    };
    let mut stand_in = match status {
        // The API server's own words, which tools look for.
        StatusCode::NOT_FOUND => Status::failure(reason, "the server could not find the requested resource"),
        _ => {
            let message = format!("the API server answered {} in plain text, which is not passed on", status.as_u16());
            Status::failure(reason, message).of_operation(operation)
        }
    };
    stand_in.code = status.as_u16();
    stand_in
}
