//! Where the clients in the other containers look for the API server.
//!
//! The kubelet adds the variables of Services only where a container has none of that name, so those set here count.

use serde_json::{Map, Value, json};

use super::list;
use super::read::text;

/// Loopback, where the sidecar listens.
pub(super) const HOST: &str = "127.0.0.1";

/// Sets the address of the sidecar, and that no proxy is asked for it.
pub(super) fn point_home(container: &mut Map<String, Value>, port: u16) {
    let url = format!("tcp://{HOST}:{port}");
    let port = port.to_string();
    // The same names as the kubelet gives to the Service `kubernetes`; 443 is that Service's port, and part of a name.
    let wanted = [
        ("KUBERNETES_SERVICE_HOST", HOST),
        ("KUBERNETES_SERVICE_PORT", &port),
        ("KUBERNETES_SERVICE_PORT_HTTPS", &port),
        ("KUBERNETES_PORT", &url),
        ("KUBERNETES_PORT_443_TCP", &url),
        ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
        ("KUBERNETES_PORT_443_TCP_ADDR", HOST),
        ("KUBERNETES_PORT_443_TCP_PORT", &port),
    ];
    // Variables from a whole ConfigMap or Secret are known to the kubelet alone, which can put one into another.
    let from_elsewhere = container.get("envFrom").and_then(Value::as_array).is_some_and(|from| !from.is_empty());
    let Some(env) = list(container, "env") else { return };
    let missing: Vec<Value> = wanted
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .filter(|entry| !stands_alone(env, entry))
        .collect();
    env.retain(|entry| !missing.iter().any(|new| text(new, "name") == text(entry, "name")));
    env.splice(0..0, missing);
    for name in ["NO_PROXY", "no_proxy"] {
        no_proxy(env, name, from_elsewhere);
    }
}

/// Whether it is there, and nothing else of its name.
fn stands_alone(env: &[Value], wanted: &Value) -> bool {
    let mut same = env.iter().filter(|entry| text(entry, "name") == text(wanted, "name"));
    same.next() == Some(wanted) && same.next().is_none()
}

/// Adds our address to the list. A variable that comes from elsewhere by itself stays: to replace it would lose what is in it, and the
/// clients that ask for a proxy even on loopback are few.
fn no_proxy(env: &mut Vec<Value>, name: &str, from_elsewhere: bool) {
    let Some(entry) = env.iter_mut().rev().find(|entry| text(entry, "name") == name) else {
        let value = if from_elsewhere { format!("$({name}),{HOST}") } else { HOST.to_owned() };
        env.push(json!({"name": name, "value": value}));
        return;
    };
    let value = text(entry, "value").to_owned();
    let from_one_key = entry.get("valueFrom").is_some_and(|from| !from.is_null());
    if from_one_key || value.split(',').map(str::trim).any(|item| item == HOST || item == "*") {
        return;
    }
    if let Some(entry) = entry.as_object_mut() {
        let value = if value.is_empty() { HOST.to_owned() } else { format!("{value},{HOST}") };
        entry.insert("value".to_owned(), json!(value));
    }
}
