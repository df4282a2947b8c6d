//! `sallyport upgrade`: what another `kubectl apply` would change, asked of the API server itself by a dry run.

use serde_json::Value;

use super::cluster::items;
use super::kubectl::Kubectl;
use super::ports::{self, LeftOut};
use super::{Form, Installation, remove, yaml};

/// What the API server writes by itself, or kubectl to remember.
const NOT_OURS: [&str; 5] = [
    "/metadata/generation",
    "/metadata/resourceVersion",
    "/metadata/managedFields",
    "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
    "/status",
];

/// What another apply would change, and what it would not.
#[derive(Debug)]
pub struct Changes {
    /// What changes, a line each.
    pub lines: Vec<String>,
    /// What is in the cluster and no longer installed, for `kubectl delete -f -`.
    pub gone: Option<String>,
    /// Ports that the apply leaves out.
    pub left_out: Vec<LeftOut>,
}

/// Asks.
///
/// # Errors
/// What kubectl said: the API server refuses an object, for one.
pub fn changes(kubectl: &Kubectl, installation: &Installation) -> anyhow::Result<Changes> {
    let manifests = installation.print(Form::Manifests);
    let list = |arguments: &[&str]| -> anyhow::Result<Vec<Value>> {
        let text = kubectl.run(arguments, &manifests)?;
        let list = if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text)? };
        Ok(items(&list).into_iter().map(comparable).collect())
    };
    let before = list(&["get", "--ignore-not-found", "-f", "-", "-o", "json"])?;
    let after = list(&["apply", "--dry-run=server", "-f", "-", "-o", "json"])?;
    let mut lines = Vec::new();
    for object in &after {
        match before.iter().find(|other| same(object, other)) {
            None => lines.push(format!("added    {}", name(object))),
            Some(other) if other != object => lines.push(format!("changed  {}", name(object))),
            Some(_) => {}
        }
    }
    let installed = remove::installed(kubectl)?;
    let gone: Vec<_> = installed.into_iter().filter(|one| !after.iter().any(|other| same(one, other))).collect();
    lines.extend(gone.iter().map(|object| format!("removed  {}", name(object))));
    let left_out = ports::left_out(installation.objects(), &after);
    Ok(Changes { lines, gone: (!gone.is_empty()).then(|| yaml::file(&gone)), left_out })
}

pub(super) fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    for pointer in NOT_OURS {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(map) = object.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            map.remove(&key.replace("~1", "/"));
        }
    }
    // What kubectl remembered may have been all that stood there.
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut)
        && metadata.get("annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
    {
        metadata.remove("annotations");
    }
    object
}

pub(super) fn same(one: &Value, other: &Value) -> bool {
    ["/kind", "/metadata/namespace", "/metadata/name"].iter().all(|at| one.pointer(at) == other.pointer(at))
}

pub(super) fn name(object: &Value) -> String {
    let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{} {} in {namespace}", at("/kind"), at("/metadata/name")),
        None => format!("{} {}", at("/kind"), at("/metadata/name")),
    }
}
