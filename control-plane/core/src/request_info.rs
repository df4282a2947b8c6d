//! What a request asks for, in the API server's own words (k8s.io/apiserver pkg/endpoints/request/requestinfo.go).

use std::fmt;

use serde::{Deserialize, Serialize};

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
        let mut word = self.resource.clone();
        if !self.api_group.is_empty() {
            word.push('.');
            word.push_str(&self.api_group);
        }
        if !self.subresource.is_empty() {
            word.push('/');
            word.push_str(&self.subresource);
        }
        word
    }

    /// Whether the verb changes nothing (RBAC's reading; connect subresources are never reads, see [`Self::is_connect`]).
    pub fn is_read(&self) -> bool {
        !self.is_connect() && matches!(self.verb, Verb::Get | Verb::List | Verb::Watch | Verb::Head)
    }

    /// exec, attach, portforward and every proxy: they open a stream whatever the method (failures.md U6).
    pub fn is_connect(&self) -> bool {
        matches!(
            (self.api_group.as_str(), self.resource.as_str(), self.subresource.as_str()),
            ("", "pods", "exec" | "attach" | "portforward" | "proxy") | ("", "services" | "nodes", "proxy")
        )
    }
}
