//! `sallyport uninstall`: what of ours is in the cluster, in an order that locks nobody out.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::cluster::{NAMESPACE, items};
use super::kubectl::Kubectl;
use super::yaml;

/// Our kinds in the order of their ends. What the API server asks before it lets a pod in goes first: with the injector gone and that there,
/// no pod would be let in.
const KINDS: [&str; 19] = [
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "deployments.apps",
    "statefulsets.apps",
    "poddisruptionbudgets.policy",
    "services",
    "ciliumclusterwidenetworkpolicies.cilium.io",
    "ciliumnetworkpolicies.cilium.io",
    "networkpolicies.networking.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "namespaces",
];
/// Without these the records that stay can't be used, nor the pins of what is configured elsewhere.
const KEPT_SECRETS: [&str; 2] = ["sallyport-ca", "sallyport-placeholder"];
/// Selects what is ours.
const OURS: &str = "app.kubernetes.io/part-of=sallyport";

/// What goes and what stays.
#[derive(Debug)]
pub struct Removal {
    /// For `kubectl delete -f -`.
    pub manifests: String,
    /// How many objects these are.
    pub count: usize,
    /// What is left in the cluster, one sentence each.
    pub stays: Vec<String>,
}

/// Lists what of ours is in the cluster. Records, the keys that belong to them and the namespace go with `purge` only.
///
/// # Errors
/// What kubectl said.
pub fn removal(kubectl: &Kubectl, purge: bool) -> anyhow::Result<Removal> {
    let mut all = Vec::new();
    let mut stays = Vec::new();
    for object in installed(kubectl)? {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        let kept = kind == "Namespace" || kind == "Secret" && KEPT_SECRETS.contains(&name);
        if kept && !purge {
            stays.push(format!("{kind} {name}"));
        } else {
            all.push(object);
        }
    }
    let claims = ["get", "persistentvolumeclaims", "-n", NAMESPACE, "-l", OURS, "--ignore-not-found", "-o", "json"];
    for claim in items(&kubectl.json(&claims)?).iter().map(|claim| reference(claim)) {
        let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if purge {
            // Before the namespace, so that what is deleted is named.
            let last = all.len().saturating_sub(1);
            all.insert(last, claim);
        } else {
            stays.push(format!("PersistentVolumeClaim {name}: the records"));
        }
    }
    Ok(Removal { manifests: yaml::file(&all), count: all.len(), stays })
}

/// Every object of ours, as apiVersion, kind and name, in the order of [`KINDS`].
pub(super) fn installed(kubectl: &Kubectl) -> anyhow::Result<Vec<Value>> {
    let served = kubectl.run(&["api-resources", "--no-headers", "-o", "name"], "").context("what it serves")?;
    let served: Vec<_> = served.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for kind in KINDS.iter().filter(|kind| served.contains(kind)) {
        let list = kubectl.json(&["get", kind, "--all-namespaces", "-l", OURS, "-o", "json"])?;
        found.extend(items(&list).into_iter().map(reference));
    }
    Ok(found)
}

/// What names an object.
pub(super) fn reference(object: &Value) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let mut metadata = json!({"name": at("/metadata/name")});
    if let (Some(map), Some(namespace)) = (metadata.as_object_mut(), object.pointer("/metadata/namespace")) {
        map.insert("namespace".to_owned(), namespace.clone());
    }
    json!({"apiVersion": at("/apiVersion"), "kind": at("/kind"), "metadata": metadata})
}
