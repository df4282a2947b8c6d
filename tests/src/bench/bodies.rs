//! What the canned upstream answers.

use serde_json::json;

/// Bytes of the long list.
pub(super) const LIST: usize = 32 * 1024 * 1024;
/// Name of the canned Pod.
pub(super) const POD: &str = "canned";

/// A Pod of about 1 KB.
pub(super) fn pod() -> Vec<u8> {
    let pod = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": POD, "namespace": "bench", "uid": "5e1b9bd3-7d0c-4a4e-9f57-3a0d6a2c1b00", "resourceVersion": "4711",
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web", "tier": "backend"},
        },
        "spec": {
            "containers": [{
                "name": "web", "image": "registry.example.com/team/web:1.2.3",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "LEVEL", "value": "info"}],
                "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
                "imagePullPolicy": "IfNotPresent",
            }],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "nodeName": "node-1",
        },
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.2.3", "qosClass": "Burstable",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}],
        },
    });
    pod.to_string().into_bytes()
}

/// A list of Secrets whose values are of so many bytes, at least [`LIST`] long.
pub(super) fn secrets(bytes: usize) -> Vec<u8> {
    let mut list =
        br#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"123456"},"items":["#.to_vec();
    for index in 0.. {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(secret(index, bytes).as_bytes());
        if list.len() > LIST {
            break;
        }
    }
    list.extend_from_slice(b"]}\n");
    list
}

fn secret(index: usize, bytes: usize) -> String {
    let (user, password) = (value(index, bytes), value(index + 7, bytes));
    format!(
        r#"{{"metadata":{{"name":"object-{index}","namespace":"bench","uid":"5e1b9bd3-7d0c-4a4e-9f57-{index:012}","resourceVersion":"{}","creationTimestamp":"2026-01-02T03:04:05Z","labels":{{"app":"web","tier":"backend"}},"managedFields":[{{"manager":"kubectl-create","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{".":{{}},"f:password":{{}},"f:username":{{}}}},"f:type":{{}}}}}}]}},"data":{{"password":"{password}","username":"{user}"}},"type":"Opaque"}}"#,
        index + 1000,
    )
}

/// Base64 without padding of that many bytes.
fn value(index: usize, bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let at = |at: usize| alphabet.get((at * 7 + index * 13 + at * at) % 64).map_or('A', |byte| char::from(*byte));
    (0..bytes * 4 / 3).map(at).collect()
}

/// A watch event that says when it was sent.
pub(super) fn event(nanos: u64) -> Vec<u8> {
    format!(
        "{{\"type\":\"MODIFIED\",\"object\":{{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\"{POD}\",\"namespace\":\"bench\",\"resourceVersion\":\"4711\",\"annotations\":{{\"bench/sent\":\"{nanos}\"}}}},\"spec\":{{\"nodeName\":\"node-1\"}},\"status\":{{\"phase\":\"Running\"}}}}}}\n"
    )
    .into_bytes()
}

/// When a watch event was sent.
pub(super) fn sent(event: &[u8]) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_slice(event).ok()?;
    event.pointer("/object/metadata/annotations/bench~1sent")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bodies_are_what_they_say() {
        assert!((900..1200).contains(&pod().len()), "{}", pod().len());
        let list: serde_json::Value = serde_json::from_slice(&secrets(1024)).unwrap();
        assert!(list["items"].as_array().unwrap().len() > 10_000);
        assert_eq!(sent(&event(1234)), Some(1234));
        assert_eq!(sent(b"{}"), None);
    }
}
