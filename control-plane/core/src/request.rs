//! The request as it arrives at the agent: stand-in for the attribute stage's own, with the same functions.

use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use crate::digest::{Digest, DigestKey};
use crate::request_info::{RequestInfo, Verb};

/// The headers that go upstream.
pub const FORWARDED: [HeaderName; 4] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    header::USER_AGENT,
];

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: [Option<HeaderValue>; 4],
    pub(crate) body: Bytes,
}

/// Why something that arrived is no request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError;
impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wire")
    }
}
impl std::error::Error for WireError {}

impl WireRequest {
    /// From what arrived.
    pub fn arrived(method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Self, WireError> {
        Ok(Self {
            method: method.clone(),
            path_and_query: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: FORWARDED.map(|name| headers.get(name).cloned()),
            body,
        })
    }
    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }
    /// Path and query.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }
    /// The headers that are there.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        FORWARDED
            .into_iter()
            .zip(&self.headers)
            .filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
    }
    /// One of [`FORWARDED`].
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value)
    }
    /// The body.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
    /// The request digest.
    pub fn digest(&self, key: &DigestKey) -> Digest {
        let mut parts: Vec<&[u8]> = vec![self.method.as_str().as_bytes(), self.path_and_query.as_bytes()];
        for (name, value) in FORWARDED.iter().zip(&self.headers) {
            if let Some(value) = value {
                parts.push(name.as_str().as_bytes());
                parts.push(value.as_bytes());
            }
        }
        parts.push(&self.body);
        key.digest(&parts)
    }
    /// Reads it.
    pub fn reparse(&self) -> Result<RequestInfo, WireError> {
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        let p: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match p.split_first() {
            Some((&"api", rest)) => ("", rest),
            Some((&"apis", rest)) => match rest.split_first() {
                Some((g, rest)) => (*g, rest),
                None => return Err(WireError),
            },
            _ => return Err(WireError),
        };
        let (version, rest) = rest.split_first().ok_or(WireError)?;
        let (namespace, rest) = match rest {
            [first, ns, rest @ ..] if *first == "namespaces" && !rest.is_empty() => (*ns, rest),
            _ => ("", rest),
        };
        let name = rest.get(1).copied().unwrap_or_default();
        let verb = match (self.method.as_str(), name.is_empty()) {
            ("GET", true) => Verb::List,
            ("GET", false) => Verb::Get,
            ("POST", _) => Verb::Create,
            ("PUT", _) => Verb::Update,
            ("DELETE", false) => Verb::Delete,
            _ => return Err(WireError),
        };
        Ok(RequestInfo {
            is_resource_request: true,
            non_resource_path: String::new(),
            verb,
            api_group: group.into(),
            api_version: (*version).into(),
            namespace: namespace.into(),
            resource: rest.first().copied().unwrap_or_default().into(),
            subresource: rest.get(2).copied().unwrap_or_default().into(),
            name: name.into(),
            proxy_path: String::new(),
        })
    }
}
