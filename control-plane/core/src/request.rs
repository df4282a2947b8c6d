//! One request as it is judged and as it is forwarded: the same value. The upstream request is rebuilt from what was parsed; the
//! client's bytes never travel beside a parsed copy of them (only a protobuf body does, and that exact body is what was parsed).
//!
//! Made by the gateway for each operation ([`Request::parse`]) and for internal reads ([`Request::read`]).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Uri};
use serde_json::Value;
use shared::limits;
use shared::status::Reason;

use crate::body::{self, BodyError, BodyKind, Encoding, ParsedBody};
use crate::digest::{Digest, DigestKey};
use crate::headers;
use crate::query::{Query, QueryError};
use crate::request_info::{RequestInfo, RequestInfoError, Verb};

mod accept;
pub(crate) mod agree;
mod fuzz;
mod wire;

#[doc(hidden)]
pub use fuzz::fuzz_request;
pub use wire::{FORWARDED, WireError, WireRequest};

pub(crate) use wire::path_and_query;

/// What is asked for where the answer has to be JSON.
fn accept_json<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> String {
    accept::rewrite(values, accept::Keep::Json)
}

#[cfg(test)]
mod tests;

/// A request in exactly one reading. Not `Clone`: it moves into the attributes.
#[derive(Debug)]
pub struct Request {
    info: RequestInfo,
    query: Query,
    body: Option<ParsedBody>,
    wire: WireRequest,
    upgrade: Option<Upgrade>,
    client: Client,
}

/// A request for a stream in both directions (exec, attach, port-forward, or an upgrade through a proxy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// `Upgrade: websocket`.
    WebSocket,
    /// `Upgrade: SPDY/3.1`.
    Spdy,
    /// A connect subresource without an upgrade that could be read: the API server would refuse it.
    Missing,
}

/// What the client says of itself: shown to people, never trusted, never forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// `User-Agent`. This one is forwarded too: the API server derives the field manager from it.
    pub user_agent: String,
    /// `Kubectl-Command`: `kubectl create secret generic`.
    pub command: String,
    /// `Kubectl-Session`: the same for all requests of one kubectl.
    pub session: String,
}

/// Why a request is refused before it is judged. `Display` and its sources are sentences for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The query can't be read.
    #[error("the query is not passed on")]
    Query(#[from] QueryError),
    /// Method, path or options can't be read.
    #[error("the request is not passed on")]
    Info(#[from] RequestInfoError),
    /// The body can't be read.
    #[error("the body can't be read")]
    Body(#[from] BodyError),
    /// The target is longer than [`limits::URI_BYTES`].
    #[error("path and query have {got} bytes; at most {expected} are read")]
    TargetTooLong {
        /// The limit in bytes.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// A body where the API server reads none: something that nobody judged would travel.
    #[error("a {method} of {what} takes no body")]
    BodyUnexpected {
        /// The method.
        method: Method,
        /// The resource word or path.
        what: String,
    },
    /// A compressed body; the API server doesn't unpack one either.
    #[error("the content encoding {got:?} is not read: send the body as it is")]
    ContentEncoding {
        /// What came.
        got: String,
    },
    /// An upgrade of something that is no stream (a watch, a log): the answer would come in frames that nobody masks.
    #[error("{what} can't be upgraded: ask for it without Upgrade and Connection: Upgrade")]
    Upgrade {
        /// The resource word or path.
        what: String,
        /// Whether it is a watch, which some clients first ask for so.
        watch: bool,
    },
    /// URL and body name different things.
    #[error("the {field} in the body is {got:?}, in the URL {expected:?}")]
    Mismatch {
        /// `name` or `namespace`.
        field: &'static str,
        /// In the URL.
        expected: String,
        /// In the body.
        got: String,
    },
    /// Something other than a text where a name belongs.
    #[error("metadata.{field} in the body is not a text")]
    NotText {
        /// `name`, `generateName` or `namespace`.
        field: &'static str,
    },
    /// A patch that changes who the object is.
    #[error("a patch may not change metadata.{field}")]
    Renamed {
        /// `name` or `namespace`.
        field: &'static str,
    },
    /// A DELETE with a body ignores options in the query: a dry run would be a real delete.
    #[error("with a body, the API server ignores {key} in the query: put it into the body")]
    DeleteOption {
        /// The option.
        key: String,
    },
    /// Something other than a list of `All`.
    #[error("dryRun in the body is not [\"All\"]")]
    DryRun,
}

impl RequestError {
    /// The word and HTTP code of the refusal.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Info(error) => error.reason(),
            Self::Body(BodyError::TooLong { .. } | BodyError::Memory { .. }) => Reason::RequestEntityTooLarge,
            Self::Body(BodyError::MediaType { .. }) | Self::ContentEncoding { .. } => Reason::UnsupportedMediaType,
            Self::Query(_)
            | Self::Body(_)
            | Self::TargetTooLong { .. }
            | Self::BodyUnexpected { .. }
            | Self::Upgrade { .. }
            | Self::Mismatch { .. }
            | Self::NotText { .. }
            | Self::Renamed { .. }
            | Self::DeleteOption { .. }
            | Self::DryRun => Reason::BadRequest,
        }
    }
}

/// Bytes of memory that a request with a body of so many bytes may take, text and values, whatever they are.
pub const fn memory_of_body(bytes: usize) -> usize {
    bytes.saturating_add(body::of_text(bytes))
}

impl Request {
    /// Reads a client's request whole. `headers` as they came, before hop-by-hop headers are dropped: an upgrade is told by them.
    /// [`headers::check`] has passed.
    ///
    /// # Errors
    /// Whatever can't be read in exactly one way; nothing is guessed and nothing dropped that could matter.
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Self, RequestError> {
        Self::parse_at(method, (uri.path(), uri.query().unwrap_or_default()), headers, body)
    }

    /// The same, with path and query as they stand in the request line.
    fn parse_at(
        method: &Method,
        (path, query): (&str, &str),
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Self, RequestError> {
        let length = path.len().saturating_add(query.len()).saturating_add(1);
        if length > limits::URI_BYTES {
            return Err(RequestError::TargetTooLong { expected: limits::URI_BYTES, got: length });
        }
        let query = Query::parse(query)?;
        let info = RequestInfo::parse(method, path, &query)?;
        let upgrade = upgrade(&info, headers)?;
        let parsed = read_body(method, &info, headers, &body)?;
        if let Some(parsed) = &parsed {
            agree::check(&info, &query, parsed)?;
        }
        let wire = WireRequest {
            method: method.clone(),
            path_and_query: path_and_query(&info, &query),
            headers: forwarded(&info, headers, parsed.as_ref()),
            body: match &parsed {
                None => Bytes::new(),
                // The exact bytes that were judged.
                Some(parsed) if parsed.encoding == Encoding::Protobuf => body,
                Some(parsed) => body::wire(&parsed.value).into(),
            },
        };
        // The agent reads that, which may be shorter: what it would refuse is refused here, where it is no sign of an attack.
        let limit = body::of_text(wire.body.len());
        if parsed.as_ref().is_some_and(|parsed| body::memory(&parsed.value) > limit) {
            return Err(RequestError::Body(BodyError::Memory { limit }));
        }
        Ok(Self { info, query, body: parsed, wire, upgrade, client: client(headers) })
    }

    /// A GET that we make ourselves, of one object (see [`RequestInfo::live_object`]).
    ///
    /// # Errors
    /// [`RequestInfoError`] if `info` is not what a GET of one object reads as.
    pub fn read(info: &RequestInfo) -> Result<Self, RequestInfoError> {
        let query = Query::default();
        let parsed = RequestInfo::parse(&Method::GET, &info.path(), &query)?;
        if parsed != *info || parsed.verb != Verb::Get || parsed.is_connect() {
            return Err(RequestInfoError::Method { expected: "the GET of one object", got: info.verb.to_string() });
        }
        let headers = [Some(HeaderValue::from_static("application/json")), None, None, None];
        Ok(Self {
            wire: WireRequest {
                method: Method::GET,
                path_and_query: path_and_query(&parsed, &query),
                headers,
                body: Bytes::new(),
            },
            info: parsed,
            query,
            body: None,
            upgrade: None,
            client: Client::default(),
        })
    }

    /// What is asked for and what is sent, without all that was read of it: a body takes many times its bytes so.
    pub fn set_aside(self) -> SetAside {
        SetAside { info: self.info, wire: self.wire }
    }

    /// What is asked for.
    pub const fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// The query, as it is forwarded.
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// The body, if there is one.
    pub const fn body(&self) -> Option<&ParsedBody> {
        self.body.as_ref()
    }

    /// Bytes of memory that its body takes, text and values.
    pub fn memory(&self) -> usize {
        let values = self.body.as_ref().map_or(0, |body| body::memory(&body.value));
        self.wire.body().len().saturating_add(values)
    }

    /// What the agent receives.
    pub const fn wire(&self) -> &WireRequest {
        &self.wire
    }

    /// Whether it wants a stream in both directions.
    pub const fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade
    }

    /// What the client says of itself.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The request digest ([`WireRequest::digest`]).
    pub fn digest(&self, key: &DigestKey) -> Digest {
        self.wire.digest(key)
    }

    /// The name of the object: from the URL, or of a create from the body. Empty if the API server is to make one up.
    pub fn object_name(&self) -> &str {
        if self.info.name.is_empty() && self.info.verb == Verb::Create {
            return self.body_text("name");
        }
        &self.info.name
    }

    /// The beginning of the name that the API server is to make up; empty if it isn't.
    pub fn generate_name(&self) -> &str {
        if self.info.verb == Verb::Create && self.object_name().is_empty() {
            return self.body_text("generateName");
        }
        ""
    }

    /// The namespace it acts in; that of `POST namespaces` is the one being made.
    pub fn object_namespace(&self) -> &str {
        if self.info.verb == Verb::Create && self.info.api_group.is_empty() && self.info.resource == "namespaces" {
            return self.object_name();
        }
        &self.info.namespace
    }

    /// Whether the API server will change nothing. With a body, a DELETE takes its options from there alone.
    pub fn dry_run(&self) -> bool {
        match (self.info.verb, &self.body) {
            (Verb::Create | Verb::Update | Verb::Patch, _) | (Verb::Delete | Verb::DeleteCollection, None) => {
                self.info.is_resource_request && self.query.get("dryRun") == Some("All")
            }
            (Verb::Delete | Verb::DeleteCollection, Some(options)) => {
                options.value.get("dryRun").and_then(Value::as_array).is_some_and(|values| !values.is_empty())
            }
            (Verb::Get | Verb::List | Verb::Watch | Verb::Post | Verb::Put | Verb::Head | Verb::Options, _) => false,
        }
    }

    fn body_text(&self, field: &'static str) -> &str {
        self.body.as_ref().and_then(|body| agree::metadata_text(&body.value, field).ok()).unwrap_or_default()
    }
}

/// A request that was read, and of whose body only the text is kept. It has no way to its values but [`Self::read`], so that nobody takes one
/// without a body for one whose body says nothing.
#[derive(Debug)]
pub struct SetAside {
    info: RequestInfo,
    wire: WireRequest,
}

impl SetAside {
    /// What is asked for.
    pub const fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// What is sent.
    pub const fn wire(&self) -> &WireRequest {
        &self.wire
    }

    /// Reads it again.
    ///
    /// # Errors
    /// None, of one that arrived as it is sent: it was read so before.
    pub fn read(&self) -> Result<Request, RequestError> {
        let target = self.wire.path_and_query();
        let headers = self.wire.headers().map(|(name, value)| (name, value.clone())).collect();
        let target = target.split_once('?').unwrap_or((target, ""));
        Request::parse_at(self.wire.method(), target, &headers, self.wire.body().clone())
    }
}

fn what(info: &RequestInfo) -> String {
    if info.is_resource_request { info.resource_word() } else { info.non_resource_path.clone() }
}

fn upgrade(info: &RequestInfo, headers: &HeaderMap) -> Result<Option<Upgrade>, RequestError> {
    let asked = headers::wants_upgrade(headers);
    if !info.is_connect() {
        return if asked {
            Err(RequestError::Upgrade { what: what(info), watch: info.verb == Verb::Watch })
        } else {
            Ok(None)
        };
    }
    match headers.get(header::UPGRADE).map(HeaderValue::as_bytes) {
        Some(token) if token.eq_ignore_ascii_case(b"websocket") => Ok(Some(Upgrade::WebSocket)),
        Some(token) if token.eq_ignore_ascii_case(b"spdy/3.1") => Ok(Some(Upgrade::Spdy)),
        // A plain call through a proxy is an ordinary exchange.
        None if info.is_proxy() && !asked => Ok(None),
        Some(_) | None => Ok(Some(Upgrade::Missing)),
    }
}

fn read_body(
    method: &Method,
    info: &RequestInfo,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Result<Option<ParsedBody>, RequestError> {
    if let Some(value) = headers.get(header::CONTENT_ENCODING)
        && value.as_bytes() != b"identity"
    {
        return Err(RequestError::ContentEncoding { got: String::from_utf8_lossy(value.as_bytes()).into_owned() });
    }
    let kind = match info.verb {
        // A connection's parameters stand in the query; what its body says is the backend's own.
        _ if !info.is_resource_request || info.is_connect() => None,
        Verb::Create | Verb::Update => Some(BodyKind::Object),
        Verb::Delete | Verb::DeleteCollection if !bytes.is_empty() => Some(BodyKind::Object),
        Verb::Patch => Some(BodyKind::Patch),
        Verb::Delete | Verb::DeleteCollection => None,
        Verb::Get | Verb::List | Verb::Watch | Verb::Post | Verb::Put | Verb::Head | Verb::Options => None,
    };
    let Some(kind) = kind else {
        if bytes.is_empty() {
            return Ok(None);
        }
        return Err(RequestError::BodyUnexpected { method: method.clone(), what: what(info) });
    };
    let content_type = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| BodyError::MediaType {
            expected: "a media type in plain text",
            got: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        })?),
    };
    Ok(Some(body::parse(content_type, kind, bytes)?))
}

/// In the order of [`FORWARDED`].
fn forwarded(info: &RequestInfo, headers: &HeaderMap, body: Option<&ParsedBody>) -> [Option<HeaderValue>; 4] {
    let accept = match info.non_resource_path.as_str() {
        // The only form of these public keys; clients say `*/*`.
        "/openid/v1/jwks" => "application/jwk-set+json".to_owned(),
        _ => accept::rewrite(headers.get_all(header::ACCEPT).iter(), accept::Keep::of(info)),
    };
    [
        // Made of visible ASCII only.
        HeaderValue::from_str(&accept).ok(),
        body.map(|body| HeaderValue::from_static(content_type(body.encoding))),
        // Objects have no ETag; discovery and OpenAPI do.
        headers.get(header::IF_NONE_MATCH).filter(|_| info.is_discovery()).cloned(),
        headers.get(header::USER_AGENT).cloned(),
    ]
}

/// Under which a body of this encoding is forwarded: YAML as JSON, which an apply patch may be as well.
pub(crate) const fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json | Encoding::Yaml => "application/json",
        Encoding::Protobuf => accept::PROTOBUF,
        Encoding::JsonPatch => "application/json-patch+json",
        Encoding::MergePatch => "application/merge-patch+json",
        Encoding::StrategicMergePatch => "application/strategic-merge-patch+json",
        Encoding::ApplyPatch => "application/apply-patch+yaml",
    }
}

fn client(headers: &HeaderMap) -> Client {
    let text = |name: &str| {
        let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        // Shown to people: no control characters, and not more than a line of it.
        String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(limits::CLIENT_TEXT_CHARS).collect()
    };
    Client { user_agent: text("user-agent"), command: text("kubectl-command"), session: text("kubectl-session") }
}
