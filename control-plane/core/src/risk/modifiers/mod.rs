//! What a request does beyond its verb and resource: each file looks at one kind of power, wherever it hides.

mod cluster;
mod patch;
mod pods;
mod rbac;
mod request;
mod secrets;
mod workload;

use serde_json::Value;

use super::Found;
use crate::request_info::Verb;

pub(super) use patch::{JSON_PATCH, json_patch_as_object};
pub(super) use request::dry_run;
pub(crate) use request::{is_dry_run, is_honoured_dry_run};
pub(crate) use secrets::SECRET_SEEN;

/// Every modifier's name, as a rule's `accept` may say it.
pub const NAMES: &[&str] = &[
    "modifier/admin-role",
    "modifier/admission-of-devices",
    "modifier/aggregated-role",
    "modifier/all-namespaces",
    "modifier/body-kind",
    "modifier/body-unreadable",
    "modifier/bootstrap-token",
    "modifier/client-certificate",
    "modifier/code-with-secrets",
    "modifier/conversion-webhook",
    "modifier/every-node",
    "modifier/everybody",
    "modifier/finalizers",
    "modifier/force",
    "modifier/forced-ownership",
    "modifier/gitops-configuration",
    "modifier/ignores-read-errors",
    "modifier/image-change",
    "modifier/image-unpinned",
    "modifier/ingress-snippet",
    "modifier/lease-of-control-plane",
    "modifier/may-create",
    "modifier/namespace-labels",
    "modifier/node-volume",
    "modifier/orphans",
    "modifier/patch-copies",
    "modifier/pod-capabilities",
    "modifier/pod-ephemeral-container",
    "modifier/pod-host-namespaces",
    "modifier/pod-host-path",
    "modifier/pod-host-port",
    "modifier/pod-host-probe",
    "modifier/pod-mirror",
    "modifier/pod-node",
    "modifier/pod-priority",
    "modifier/pod-privileged",
    "modifier/pod-runtime-class",
    "modifier/pod-secret",
    "modifier/pod-security-removed",
    "modifier/pod-selinux",
    "modifier/pod-service-account",
    "modifier/pod-sysctls",
    "modifier/pod-token",
    "modifier/pod-unconfined",
    "modifier/pod-windows-host",
    "modifier/powerful-role",
    "modifier/proxy-target",
    "modifier/scale-large",
    "modifier/scale-zero",
    "modifier/secret-of-ingress",
    SECRET_SEEN,
    "modifier/secrets-everywhere",
    "modifier/service-exposure",
    "modifier/system-configuration",
    "modifier/system-namespace",
    "modifier/system-stream",
    "modifier/system-token",
    "modifier/token-secret",
    "modifier/workload",
    "modifier/dry-run",
    "modifier/reserved-identity",
    "modifier/sallyport",
];

/// Namespaces of the control plane.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Runs them all. Order is the order of the facts at equal weight.
pub(super) fn apply(found: &mut Found<'_, '_>, document: Option<&Value>) {
    let info = found.question.info;
    request::place(found);
    request::delete_options(found);
    secrets::requested(found);
    // The body of a DELETE is its options; of a GET the server reads none.
    let writes = matches!(info.verb, Verb::Create | Verb::Update | Verb::Patch);
    if let Some(document) = document.filter(|_| writes) {
        request::body_kind(found, document);
        patch::patch_operations(found);
        pods::apply(found, document);
        workload::apply(found, document);
        match (info.api_group.as_str(), info.resource.as_str()) {
            ("", "secrets") => secrets::written(found, document),
            ("rbac.authorization.k8s.io", _) => rbac::apply(found, document),
            _ => cluster::apply(found, document),
        }
    }
    cluster::targets(found);
}

/// The value at a path of keys.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// The text at a path of keys, or the empty text.
fn text_at<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list at a key; of anything else none.
fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The entries of a map at a path; of anything else none.
fn entries<'v>(value: &'v Value, path: &[&str]) -> impl Iterator<Item = (&'v str, &'v Value)> {
    at(value, path).and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a field is set to anything but what its absence means.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Bool(true) | Value::Object(_)) => true,
    }
}
