//! The request as it travels from the control plane to the agent, and, once finished, from there to the API server.
//!
//! A closed form: a method, one path and query, four headers, a body. The request digest covers all of it, and the agent makes the same
//! value from what arrives, so that it judges, compares and sends one and the same thing (pair assertion A22).

use std::fmt;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use crate::digest::{Digest, DigestKey};
use crate::query::{Query, QueryError};
use crate::request_info::{RequestInfo, RequestInfoError};

/// The headers that go upstream, in the order in which they are digested. Nothing else a client sends does.
pub const FORWARDED: [HeaderName; 4] =
    [header::ACCEPT, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::USER_AGENT];

/// What is sent. `Debug` shows no body.
#[derive(Clone, PartialEq, Eq)]
pub struct WireRequest {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    /// Of each name in [`FORWARDED`], in the same place.
    pub(crate) headers: [Option<HeaderValue>; 4],
    pub(crate) body: Bytes,
}

/// Why something that arrived is no request of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// One of [`FORWARDED`] stands there more than once.
    #[error("the header {name} stands there more than once")]
    Duplicate {
        /// Its name.
        name: HeaderName,
    },
    /// The query can't be read.
    #[error("the query can't be read")]
    Query(#[source] QueryError),
    /// The path can't be read.
    #[error("the request can't be read")]
    Info(#[source] RequestInfoError),
    /// It says the same in another way than we write it.
    #[error("expected {expected:?}, got {got:?}")]
    NotCanonical {
        /// As we write it.
        expected: String,
        /// As it came.
        got: String,
    },
}

impl WireRequest {
    /// From what arrived. Headers that are not in [`FORWARDED`] are left behind.
    ///
    /// # Errors
    /// [`WireError::Duplicate`].
    pub fn arrived(method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Self, WireError> {
        for name in FORWARDED {
            if headers.get_all(&name).iter().nth(1).is_some() {
                return Err(WireError::Duplicate { name });
            }
        }
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

    /// Path and query, as they stand in the request line.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// The headers that are there.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        FORWARDED.into_iter().zip(&self.headers).filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
    }

    /// One of [`FORWARDED`].
    pub fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers().find(|(candidate, _)| candidate == name).map(|(_, value)| value)
    }

    /// The body; empty for none. Cheap to clone.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same, answered in JSON: each client takes it, and some answers can be read in that alone.
    #[must_use]
    pub fn in_json(mut self) -> Self {
        let [accept, ..] = &mut self.headers;
        let json = super::accept_json(accept.iter());
        *accept = Some(HeaderValue::try_from(json).unwrap_or(HeaderValue::from_static("application/json")));
        self
    }

    /// The request digest: over everything here, under the operation's key.
    pub fn digest(&self, key: &DigestKey) -> Digest {
        let mut parts: Vec<&[u8]> = vec![self.method.as_str().as_bytes(), self.path_and_query.as_bytes()];
        for (name, value) in FORWARDED.iter().zip(&self.headers) {
            // Names and values alternate, and every part carries its length: an absent header can't look like an empty one.
            if let Some(value) = value {
                parts.push(name.as_str().as_bytes());
                parts.push(value.as_bytes());
            }
        }
        parts.push(&self.body);
        key.digest(&parts)
    }

    /// Reads method, path and query again, as the API server will, and demands that they are written as we write them.
    ///
    /// # Errors
    /// Whatever the attribute stage would refuse, and every other spelling of what it accepts.
    pub fn reparse(&self) -> Result<RequestInfo, WireError> {
        Ok(self.read()?.0)
    }

    pub(crate) fn read(&self) -> Result<(RequestInfo, Query), WireError> {
        let (path, query) = self.path_and_query.split_once('?').unwrap_or((&self.path_and_query, ""));
        let query = Query::parse(query).map_err(WireError::Query)?;
        let info = RequestInfo::parse(&self.method, path, &query).map_err(WireError::Info)?;
        let expected = path_and_query(&info, &query);
        if expected != self.path_and_query {
            return Err(WireError::NotCanonical { expected, got: self.path_and_query.clone() });
        }
        Ok((info, query))
    }
}

/// The one way to write a request's path and query.
pub(crate) fn path_and_query(info: &RequestInfo, query: &Query) -> String {
    let mut text = info.path();
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query.canonical());
    }
    text
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireRequest")
            .field("method", &self.method)
            .field("path", &self.path_and_query.split('?').next().unwrap_or_default())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
