//! Reading an object that a stranger wrote: what is not there and what is null is the same, and what has another shape was refused before.

use serde_json::Value;

use super::Objections;

/// Where containers stand in a Pod's spec.
pub(super) const CONTAINERS: &[&str] = &["initContainers", "containers"];

/// The API server sends typed objects, so that any other shape is not from it. What follows relies on these.
pub(super) fn shape(pod: &Value, objections: &mut Objections) {
    let object = |path: &str| pod.pointer(path).is_some_and(Value::is_object);
    if !object("/metadata") || !object("/spec") {
        objections.mistake("it has no metadata or no spec");
        return;
    }
    for path in ["/metadata/labels", "/metadata/annotations"] {
        let strings = match pod.pointer(path) {
            None | Some(Value::Null) => true,
            Some(value) => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
        };
        if !strings {
            objections.mistake(format!("{path} is not a map of strings"));
        }
    }
    let Some(spec) = pod.get("spec") else { return };
    let mut objects = |parent: &Value, key: &str| match parent.get(key) {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) if items.iter().all(Value::is_object) => {}
        Some(_) => objections.mistake(format!("{key} is not a list of objects")),
    };
    objects(spec, "volumes");
    objects(spec, "ephemeralContainers");
    for kind in CONTAINERS {
        objects(spec, kind);
        for container in entries(spec, kind) {
            for key in ["env", "envFrom", "ports", "volumeMounts"] {
                objects(container, key);
            }
        }
    }
}

/// The items of a list; none if it is not there.
pub(super) fn entries<'a>(parent: &'a Value, key: &str) -> &'a [Value] {
    parent.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text; empty if it is not there.
pub(super) fn text<'a>(parent: &'a Value, key: &str) -> &'a str {
    parent.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether something is there at all.
pub(super) fn is_set(parent: &Value, key: &str) -> bool {
    parent.get(key).is_some_and(|value| !value.is_null())
}

/// A switch is off when it is not there or says so, and on whatever else it says.
pub(super) fn is_on(parent: &Value, key: &str) -> bool {
    !matches!(parent.get(key), None | Some(Value::Null | Value::Bool(false)))
}

/// All containers with the name of the list that they are in.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    CONTAINERS.iter().flat_map(|kind| entries(spec, kind))
}

/// Our own annotations or labels.
pub(super) fn strings<'a>(pod: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = pod.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
}
