//! What a request asks for, in the API server's own words (k8s.io/apiserver pkg/endpoints/request/requestinfo.go).

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::status::Reason;

mod parse;
mod selector;

/// A resource as people name it: `deployments.apps/scale`.
pub fn resource_word(resource: &str, api_group: &str, subresource: &str) -> String {
    let mut word = resource.to_owned();
    if !api_group.is_empty() {
        word.push('.');
        word.push_str(api_group);
    }
    if !subresource.is_empty() {
        word.push('/');
        word.push_str(subresource);
    }
    word
}

#[cfg(test)]
mod tests;

/// The RBAC verb. For a non-resource path it is the lower-cased HTTP method, of which there are four more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// GET or HEAD of one object, or of a non-resource path.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection with `watch`, or below the old `/watch/` prefix.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
    /// Non-resource only.
    Post,
    /// Non-resource only.
    Put,
    /// Non-resource only.
    Head,
    /// Non-resource only.
    Options,
}

impl Verb {
    /// As RBAC and the audit log write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Post => "post",
            Self::Put => "put",
            Self::Head => "head",
            Self::Options => "options",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields of the API server's own RequestInfo. An absent text is the empty string, as there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestInfo {
    /// False for discovery, version, health and the like.
    pub is_resource_request: bool,
    /// The decoded path of a non-resource request; empty for a resource request, whose path [`RequestInfo::path`] renders.
    pub non_resource_path: String,
    /// The verb that RBAC knows.
    pub verb: Verb,
    /// Group, empty for the core group.
    pub api_group: String,
    /// Version.
    pub api_version: String,
    /// Namespace, empty for cluster-scoped and all-namespaces requests. For `namespaces/x` it is `x`, as in the API server.
    pub namespace: String,
    /// Resource (plural).
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Name; for a list or watch that a field selector pins to one name, that name; empty on create.
    pub name: String,
    /// What follows `…/proxy/`, without the leading slash; empty elsewhere.
    pub proxy_path: String,
}

impl RequestInfo {
    /// `pods`, `deployments.apps`, `pods/exec`, `serviceaccounts/token`: how people and kubectl write it.
    pub fn resource_word(&self) -> String {
        resource_word(&self.resource, &self.api_group, &self.subresource)
    }

    /// Whether the verb changes nothing (RBAC's reading; connect subresources are never reads, see [`Self::is_connect`]).
    pub fn is_read(&self) -> bool {
        !self.is_connect() && matches!(self.verb, Verb::Get | Verb::List | Verb::Watch | Verb::Head)
    }

    /// exec, attach, portforward and every proxy: they open a stream whatever the method (SECURITY.md U6).
    pub fn is_connect(&self) -> bool {
        self.is_proxy()
            || (self.is_core("pods") && matches!(self.subresource.as_str(), "exec" | "attach" | "portforward"))
    }

    /// A proxy to a pod, a Service or a node: everything below it belongs to the backend.
    pub fn is_proxy(&self) -> bool {
        self.subresource == "proxy" && (self.is_core("pods") || self.is_core("services") || self.is_core("nodes"))
    }

    /// Discovery, OpenAPI, version and health: never held, for clients wait for them 32 s at most.
    pub const fn is_discovery(&self) -> bool {
        !self.is_resource_request
    }

    fn is_core(&self, resource: &str) -> bool {
        self.is_resource_request && self.api_group.is_empty() && self.resource == resource
    }

    /// The GET that shows the object which this request touches: the main resource under the same name. `None` where there is no one
    /// object: collections, creates (the name is in the body), non-resource paths.
    pub fn live_object(&self) -> Option<Self> {
        if !self.is_resource_request
            || self.name.is_empty()
            || matches!(self.verb, Verb::List | Verb::Watch | Verb::DeleteCollection)
        {
            return None;
        }
        Some(Self { verb: Verb::Get, subresource: String::new(), proxy_path: String::new(), ..self.clone() })
    }
}

/// Why a request can't be read in exactly one way. `Display` is the sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestInfoError {
    /// Longer than [`shared::limits::URI_BYTES`].
    #[error("the path has {got} bytes; at most {expected} are read")]
    TooLong {
        /// The limit in bytes.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Not a path: an authority, an absolute URL, `*`.
    #[error("the path must begin with '/', it is {got:?}")]
    NotAbsolute {
        /// What came.
        got: String,
    },
    /// A `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the path has a bad percent escape in {got:?}")]
    Escape {
        /// The segment.
        got: String,
    },
    /// A character that must be escaped, or that no segment may have even so: `/`, `%`, `\\`, control characters.
    #[error("the path contains the character {got:?}, which may not stand there")]
    Character {
        /// The character.
        got: char,
    },
    /// An empty segment (`//`) or a dot segment. The API server resolves neither; other readers do.
    #[error("the path contains the segment {got:?}: empty and dot segments are not read")]
    Segment {
        /// The segment as it came.
        got: String,
    },
    /// A path that we don't carry: not an API path, nor one of the public ones.
    #[error("the path {got:?} is not served")]
    UnknownPath {
        /// The decoded path.
        got: String,
    },
    /// More segments than a resource has.
    #[error("the path {got:?} has more segments than a resource, its name and a subresource")]
    TooDeep {
        /// The decoded path.
        got: String,
    },
    /// The deprecated verb-by-prefix paths.
    #[error("paths that begin with /{got}/ are not read: use ?watch=true, or the proxy subresource")]
    Prefix {
        /// `watch` or `proxy`.
        got: String,
    },
    /// A method that has no RBAC verb here.
    #[error("the method {got:?} can't be used here: {expected}")]
    Method {
        /// What can be.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A word of the path that no API object could have.
    #[error("the {field} {got:?} is not {expected}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// A query option that the API server would refuse or ignore.
    #[error("the option {key}={got:?} is not {expected}")]
    Option {
        /// The key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
}

impl RequestInfoError {
    /// The word and HTTP code of the refusal.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::UnknownPath { .. } => Reason::NotFound,
            Self::Method { .. } => Reason::MethodNotAllowed,
            Self::TooLong { .. }
            | Self::NotAbsolute { .. }
            | Self::Escape { .. }
            | Self::Character { .. }
            | Self::Segment { .. }
            | Self::TooDeep { .. }
            | Self::Prefix { .. }
            | Self::Field { .. }
            | Self::Option { .. } => Reason::BadRequest,
        }
    }
}
