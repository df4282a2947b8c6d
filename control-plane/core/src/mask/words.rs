//! How a pod's containers have ended, and who may say so (SECURITY.md M7): the kubelet writes it, and what is shown of it goes by the reason
//! that stands beside it.

use serde_json::Value;

use super::changes::pointer;
use crate::body::{Encoding, ParsedBody};
use crate::request_info::RequestInfo;

/// Where it stands in a pod's status.
const LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

/// Whether a request is about pods.
pub(super) fn is_of_pods(info: &RequestInfo) -> bool {
    info.is_resource_request && info.api_group.is_empty() && info.resource == "pods"
}

/// Whether what a JSON pointer points to in a pod is one of these lists, stands in one, or holds one.
pub(super) fn is_reached(path: &[String]) -> bool {
    path.first().is_none_or(|first| first == "status")
        && path.get(1).is_none_or(|second| LISTS.contains(&second.as_str()))
}

/// Whether a request may change how containers of a pod have ended. Only writes of `pods/status` can: of any other, and of what is created, the
/// API server takes no status (k8s.io/kubernetes pkg/registry/core/pod/strategy.go).
pub fn writes_container_statuses(info: &RequestInfo, body: &ParsedBody) -> bool {
    if !is_of_pods(info) || info.subresource != "status" || info.is_read() {
        return false;
    }
    if body.encoding == Encoding::JsonPatch {
        let path = |operation: &Value| operation.get("path").and_then(Value::as_str).map(pointer).unwrap_or_default();
        return body
            .value
            .as_array()
            .is_none_or(|operations| operations.iter().map(path).any(|path| is_reached(&path)));
    }
    match body.value.get("status") {
        None => false,
        // Directives of a strategic merge patch name the list after a slash.
        Some(Value::Object(status)) => {
            status.keys().filter_map(|name| name.rsplit('/').next()).any(|name| LISTS.contains(&name))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => true,
    }
}
