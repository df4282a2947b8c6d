//! Ports of Services that `kubectl apply` leaves out. It tells the entries of a list of ports apart by their numbers alone, so one that is
//! new under a number that is there with another protocol is lost without a word (kubernetes/kubernetes issue 39188).
//!
//! What an apply would leave behind is asked of the API server by a dry run, so this speaks up only where an entry is really lost.

use serde_json::{Value, json};

use super::upgrade::{name, same};

/// A Service that lacks entries after an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What it lacks, as a sentence.
    pub sentence: String,
    /// The line that adds it, for a shell.
    pub line: String,
}

/// The Services of `wanted` that are without one of their ports in `after`, which is what an apply leaves behind.
pub(super) fn left_out(wanted: &[Value], after: &[Value]) -> Vec<LeftOut> {
    let services = wanted.iter().filter(|object| object.get("kind").is_some_and(|kind| kind == "Service"));
    let pairs = services.filter_map(|service| Some((service, after.iter().find(|other| same(service, other))?)));
    pairs.filter_map(|(service, after)| of_service(service, after)).collect()
}

fn of_service(wanted: &Value, after: &Value) -> Option<LeftOut> {
    let there: Vec<_> = ports(after).map(entry).collect();
    let lacking: Vec<_> = ports(wanted).enumerate().filter(|(_, port)| !there.contains(&entry(port))).collect();
    if lacking.is_empty() {
        return None;
    }
    let which = lacking.iter().map(|(_, port)| {
        let (number, protocol) = entry(port);
        format!("{protocol} {number}")
    });
    let which = which.collect::<Vec<_>>().join(" and ");
    let sentence = format!("{} has no {which}, and kubectl apply does not add it", name(wanted));
    // Each at its place: in another order the next apply would find something to change.
    let add = |(added, (place, port)): (usize, &(usize, &Value))| {
        let place = (*place).min(there.len() + added);
        json!({"op": "add", "path": format!("/spec/ports/{place}"), "value": port})
    };
    let patch = Value::Array(lacking.iter().enumerate().map(add).collect());
    let at = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // Names and numbers of our own manifests: there is nothing in it that a shell would read.
    let line = format!(
        "kubectl -n {} patch service {} --type=json -p='{patch}'",
        at("/metadata/namespace"),
        at("/metadata/name")
    );
    Some(LeftOut { sentence, line })
}

fn ports(service: &Value) -> impl Iterator<Item = &Value> {
    service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten()
}

/// What the API server tells entries apart by.
fn entry(port: &Value) -> (u64, &str) {
    let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
    (port.get("port").and_then(Value::as_u64).unwrap_or_default(), protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ports: &Value) -> Value {
        json!({"kind": "Service", "metadata": {"name": "sallyport", "namespace": "sallyport"}, "spec": {"ports": ports}})
    }

    #[test]
    fn only_what_is_lost_is_told() {
        let (udp, tcp) = (json!({"name": "a", "port": 1, "protocol": "UDP"}), json!({"name": "b", "port": 1}));
        let told = |after: &Value| left_out(&[service(&json!([udp, tcp]))], &[service(after)]);
        assert_eq!(told(&json!([udp, tcp, {"port": 2}])), []);
        // The API server writes the default.
        assert_eq!(told(&json!([{"port": 1, "protocol": "TCP", "nodePort": 9}, udp])), []);
        let [lost] = told(&json!([udp])).try_into().unwrap();
        assert_eq!(lost.sentence, "Service sallyport in sallyport has no TCP 1, and kubectl apply does not add it");
        assert_eq!(
            lost.line,
            r#"kubectl -n sallyport patch service sallyport --type=json -p='[{"op":"add","path":"/spec/ports/1","value":{"name":"b","port":1}}]'"#
        );
        assert_eq!(
            told(&json!([])).first().unwrap().sentence.split(" and ").next(),
            Some("Service sallyport in sallyport has no UDP 1")
        );
        // One that is not there yet gets all of its ports.
        assert_eq!(left_out(&[service(&json!([udp, tcp]))], &[]), []);
    }
}
