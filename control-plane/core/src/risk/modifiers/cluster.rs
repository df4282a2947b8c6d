//! Everything else that is more than its verb says: namespaces, Services, storage, the control plane's own objects.

use serde_json::Value;

use super::super::{Found, shown};
use super::{SYSTEM_NAMESPACES, at, entries, is_set, text_at};
use crate::policy::question::Live;
use crate::request_info::Verb;
use shared::limits;

/// Labels of a namespace that choose what guards it.
const GUARDS: [&str; 8] = [
    "pod-security.kubernetes.io/",
    "kubernetes.io/metadata.name",
    "istio-injection",
    "istio.io/",
    "linkerd.io/",
    "admission.gatekeeper.sh/",
    "policies.kyverno.io/",
    "network",
];

/// ConfigMaps of kube-system with which the control plane and the nodes are configured.
const SYSTEM_CONFIGURATION: [&str; 7] = [
    "aws-auth",
    "cluster-info",
    "coredns",
    "extension-apiserver-authentication",
    "kube-proxy",
    "kubeadm-config",
    "kubelet-config",
];

/// ConfigMaps of Argo CD that say what it applies and who may tell it to (argo-cd.readthedocs.io, operator manual), wherever it is installed: who
/// changes them has its rights, as who makes its `Application`s has.
const GITOPS_CONFIGURATION: [&str; 3] = ["argocd-cm", "argocd-cmd-params-cm", "argocd-rbac-cm"];

/// Looks at the body.
pub(super) fn apply(found: &mut Found<'_, '_>, document: &Value) {
    let info = found.question.info;
    match (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str()) {
        ("", "namespaces", _) => namespace(found, document),
        ("", "services", "") => service(found, document),
        ("", "persistentvolumes", "") => volume(found, document),
        ("networking.k8s.io", "ingresses", "") => ingress(found, document),
        ("apiextensions.k8s.io", "customresourcedefinitions", _)
            if text_at(document, &["spec", "conversion", "strategy"]) == "Webhook" =>
        {
            found.at_least("modifier/conversion-webhook", 85, "sends every object to a server to be converted".into());
        }
        ("certificates.k8s.io", "certificatesigningrequests", "") => {
            let signer = text_at(document, &["spec", "signerName"]);
            if signer.starts_with("kubernetes.io/kube-apiserver-client") {
                found.at_least(
                    "modifier/client-certificate",
                    60,
                    "asks for a certificate that opens the API server".into(),
                );
            }
        }
        ("resource.k8s.io", _, _) if anywhere(document, "adminAccess", limits::BODY_DEPTH) => {
            found.at_least("modifier/admission-of-devices", 80, "uses devices that are in use by others".into());
        }
        _ => {}
    }
    finalizers(found, document);
}

/// Looks at what is named, whatever the body says.
pub(super) fn targets(found: &mut Found<'_, '_>) {
    let info = found.question.info;
    let system = SYSTEM_NAMESPACES.contains(&info.namespace.as_str());
    if info.is_connect() {
        let known = ["dashboard", "metrics", "prometheus", "grafana", "kubernetes"];
        let proxied = info.subresource == "proxy" && info.resource != "nodes";
        if proxied && (system || known.iter().any(|word| info.name.contains(word))) {
            found.at_least("modifier/proxy-target", 75, "reaches a service that is trusted by others".into());
        }
        if system && matches!(info.subresource.as_str(), "exec" | "attach") {
            found.at_least("modifier/system-stream", 95, "reaches into a pod of the control plane".into());
        }
    }
    let named = || {
        let own = Some(info.name.as_str()).filter(|name| !name.is_empty());
        own.or_else(|| found.question.body.value().map(|body| text_at(body, &["metadata", "name"]))).unwrap_or_default()
    };
    let configures = info.api_group.is_empty() && info.resource == "configmaps" && !info.is_read();
    if configures && GITOPS_CONFIGURATION.contains(&named()) {
        found.at_least(
            "modifier/gitops-configuration",
            85,
            "changes what a GitOps controller applies, and for whom".into(),
        );
    }
    if !system {
        return;
    }
    let word = (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str());
    match word {
        ("", "serviceaccounts", "token") => {
            found.at_least("modifier/system-token", 95, "acts as a controller of the control plane".into());
        }
        ("", "configmaps", _) if info.is_read() => {
            found.at_least("modifier/system-configuration", 30, "reads the control plane's configuration".into());
        }
        ("", "configmaps", _) => {
            let risk = match named() {
                "aws-auth" => 98,
                name if SYSTEM_CONFIGURATION.contains(&name) => 95,
                _ => 85,
            };
            found.at_least("modifier/system-configuration", risk, "changes the control plane's configuration".into());
        }
        ("coordination.k8s.io", "leases", _) if !info.is_read() => {
            found.at_least("modifier/lease-of-control-plane", 60, "takes the lead from a controller".into());
        }
        _ => {}
    }
}

fn namespace(found: &mut Found<'_, '_>, document: &Value) {
    let creates = found.question.info.verb == Verb::Create;
    for (key, value) in entries(document, &["metadata", "labels"]) {
        let guards = GUARDS.iter().any(|guard| key.starts_with(guard)) || key.contains("network");
        // A new namespace that asks for the strictest profile is no weaker for it; the server writes its own name into the other.
        let harmless = creates
            && (key == "kubernetes.io/metadata.name"
                || key.starts_with("pod-security.kubernetes.io/")
                    && (value == "restricted" || key.ends_with("-version")));
        if guards && !harmless {
            found.at_least(
                "modifier/namespace-labels",
                85,
                format!("changes what guards a namespace: {}", shown(key)).into(),
            );
        }
    }
    if at(document, &["metadata", "labels"]).is_some_and(|labels| labels.is_null() || labels.get("$patch").is_some()) {
        found.at_least("modifier/namespace-labels", 85, "takes all labels of a namespace away".into());
    }
}

fn service(found: &mut Found<'_, '_>, document: &Value) {
    let kind = text_at(document, &["spec", "type"]);
    if matches!(kind, "LoadBalancer" | "NodePort" | "ExternalName") {
        found.at_least(
            "modifier/service-exposure",
            55,
            format!("is of type {kind}: reachable from, or leading, outside").into(),
        );
    }
    for key in ["externalIPs", "loadBalancerIP", "externalName"] {
        if is_set(at(document, &["spec", key])) {
            found.at_least("modifier/service-exposure", 55, format!("takes traffic of other addresses: {key}").into());
        }
    }
}

fn volume(found: &mut Found<'_, '_>, document: &Value) {
    for key in ["hostPath", "local"] {
        if is_set(at(document, &["spec", key])) {
            found.at_least("modifier/node-volume", 92, format!("is a folder of a node: {key}").into());
        }
    }
}

fn ingress(found: &mut Found<'_, '_>, document: &Value) {
    for (key, _) in entries(document, &["metadata", "annotations"]) {
        if key.contains("snippet") || key.ends_with("/auth-url") || key.ends_with("/server-alias") {
            found.at_least(
                "modifier/ingress-snippet",
                85,
                format!("writes the proxy's own configuration: {}", shown(key)).into(),
            );
        }
    }
}

/// Whoever removes a finalizer ends a deletion that another waits to clean up after.
fn finalizers(found: &mut Found<'_, '_>, document: &Value) {
    if found.question.info.verb == Verb::Create {
        return;
    }
    let live = match found.question.live {
        Live::Present(object) => at(object, &["metadata", "finalizers"]),
        Live::NotRead | Live::Absent => None,
    };
    let given = at(document, &["metadata", "finalizers"]);
    let replaces = found.question.info.verb == Verb::Update;
    let removes = match given {
        // A PUT without them removes what is there; a patch without them leaves it.
        None => replaces && is_set(live),
        Some(Value::Array(list)) if !list.is_empty() => live.and_then(Value::as_array).is_some_and(|live| {
            live.iter().any(|one| !list.contains(one)) && replaces || list.iter().any(Value::is_null)
        }),
        Some(_) => true,
    };
    let directive = at(document, &["metadata", "$deleteFromPrimitiveList/finalizers"]).is_some();
    let json_patch = given.and_then(Value::as_array).is_some_and(|list| list.iter().any(Value::is_null));
    if removes || directive || json_patch {
        found.plus("modifier/finalizers", 20, "removes a finalizer: nobody cleans up".into());
    }
}

/// Whether the key is set to true at any depth.
fn anywhere(value: &Value, key: &str, depth: usize) -> bool {
    if depth == 0 {
        return true;
    }
    match value {
        Value::Object(map) => is_set(map.get(key)) || map.values().any(|child| anywhere(child, key, depth - 1)),
        Value::Array(list) => list.iter().any(|child| anywhere(child, key, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
