//! What the canned upstream answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::stats::Dice;

/// Bytes of a long list: of Secrets whose values have a KiB, and of Pods.
pub(super) const LIST: usize = 32 * 1024 * 1024;
/// Objects of a list of Secrets.
const SECRETS: usize = 10_000;
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
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5c7588df", "controller": true,
                "uid": "5e1b9bd3-7d0c-4a4e-9f57-3a0d6a2c1b01", "blockOwnerDeletion": true,
            }],
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

/// A list of Secrets whose values are of so many bytes: about [`LIST`] for a KiB, a sixth of it for 32 bytes.
pub(super) fn secrets(bytes: usize) -> Vec<u8> {
    list("SecretList", |index| secret(index, bytes), |index, _| index < SECRETS)
}

/// The same with values of 32 bytes, where no object is like another: each has a label and a key that no other has.
pub(super) fn unlike_secrets() -> Vec<u8> {
    let unlike = |index| {
        let [label, key] = ["tier", "password"].map(|name| format!("{name}-{index}"));
        secret(index, 32).replace("tier", &label).replace("password", &key)
    };
    list("SecretList", unlike, |index, _| index < SECRETS)
}

/// A list of Pods as clusters have them, at least [`LIST`] long.
pub(super) fn pods() -> Vec<u8> {
    // In lines for readers; the API server writes none, and no blanks.
    let pod: String = include_str!("pod.json").lines().map(str::trim).collect();
    // Each has times, addresses and a number of its own.
    let own = |index: usize| {
        let [seconds, byte] = [index % 60, index % 250];
        pod.replace("x2x7k", &format!("{index:05}"))
            .replace("3a0d6a2c1b00", &format!("{index:012}"))
            .replace("03:04:05Z", &format!("03:04:{seconds:02}Z"))
            .replace("03:04:09Z", &format!("03:05:{seconds:02}Z"))
            .replace("10.1.2.3", &format!("10.1.2.{byte}"))
            .replace("10.0.0.1", &format!("10.0.0.{byte}"))
            .replace("4711", &format!("{}", 4711 + index))
            .replace("node-1", &format!("node-{byte}"))
    };
    list("PodList", own, |_, bytes| bytes < LIST)
}

/// Objects as long as there is to be another one, of that index, after so many bytes.
fn list(kind: &str, object: impl Fn(usize) -> String, goes_on: impl Fn(usize, usize) -> bool) -> Vec<u8> {
    let mut list =
        format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"123456"}},"items":["#)
            .into_bytes();
    let mut index = 0;
    while goes_on(index, list.len()) {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(object(index).as_bytes());
        index += 1;
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

/// A Secret of eight values in Kubernetes' protobuf.
pub(super) fn protobuf_secret() -> Vec<u8> {
    let data = (0..8).flat_map(|index| entry(2, &format!("key-{index}"), &[b'v'; 32]));
    object("v1", "Secret", field(1, metadata()).into_iter().chain(data).collect())
}

/// A Pod of three containers.
pub(super) fn protobuf_pod() -> Vec<u8> {
    let env = (0..10).flat_map(|index| field(7, [field(1, format!("NAME_{index}")), field(2, "value")].concat()));
    let container = [field(1, "web"), field(2, "registry.example.com/team/web:1.2.3"), env.collect()].concat();
    let condition = [field(1, "Ready"), field(2, "True"), field(6, "all is well, as it was before")].concat();
    let status = [field(1, "Running"), field(2, condition.clone()), field(2, condition)].concat();
    let parts = [field(1, metadata()), field(2, field(2, container).repeat(3)), field(3, status)];
    object("v1", "Pod", parts.concat())
}

fn metadata() -> Vec<u8> {
    let labels: String = (0..20).map(|number| format!(r#""f:example.com/label-{number}":{{}},"#)).collect();
    let managed = format!(r#"{{"f:metadata":{{"f:labels":{{{labels}"f:app":{{}}}}}}}}"#);
    let names = [field(1, "web-5d9c7b6f4-x2x7k"), field(3, "default"), entry(11, "app", b"web")].concat();
    let managed = field(17, [field(1, "kube-controller-manager"), field(7, field(1, managed))].concat());
    [names, entry(12, "example.com/note", b"a line of text"), managed].concat()
}

fn object(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let type_meta = [field(1, api_version), field(2, kind)].concat();
    [b"k8s\0".to_vec(), field(1, type_meta), field(2, raw), field(3, ""), field(4, "")].concat()
}

fn entry(number: u64, key: &str, value: &[u8]) -> Vec<u8> {
    field(number, [field(1, key), field(2, value)].concat())
}

/// A field of bytes (<https://protobuf.dev/programming-guides/encoding/>).
fn field(number: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = Vec::new();
    for mut value in [number << 3 | 2, bytes.len() as u64] {
        while value > 0x7f {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    out.extend_from_slice(bytes);
    out
}

/// Values of Secrets as generators of passwords draw them: 32 characters, some of which base64, URLs and JSON write otherwise.
pub(super) fn values(count: usize) -> Vec<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \"/&+<=%";
    let mut dice = Dice::new(11);
    let mut letter = || LETTERS.get(dice.below(LETTERS.len())).map_or('x', |byte| char::from(*byte));
    // A blank at an end is no part of a value.
    (0..count).map(|_| format!("v{}v", (0..30).map(|_| letter()).collect::<String>())).collect()
}

/// A log of about so many bytes. In one line of forty stands a value, in one of its forms.
pub(super) fn log(values: &[String], bytes: usize) -> Vec<u8> {
    let json = |value: &str| serde_json::Value::from(value).to_string();
    let url = |value: &str| {
        value.bytes().fold(String::new(), |url, byte| {
            let plain = byte.is_ascii_alphanumeric();
            if plain { url + &char::from(byte).to_string() } else { format!("{url}%{byte:02X}") }
        })
    };
    let mut forms = values.iter().cycle().enumerate().map(|(index, value)| match index % 6 {
        0 => value.clone(),
        1 => STANDARD.encode(value),
        2 => STANDARD.encode(format!("user:{value}")),
        3 => STANDARD.encode(STANDARD.encode(value)),
        4 => url(value),
        _ => json(value),
    });
    let mut log = String::with_capacity(bytes + 256);
    for line in 0_usize.. {
        if log.len() >= bytes {
            break;
        }
        let (minute, second, took) = (line / 60 % 60, line % 60, line * 7919 % 1000);
        log += &format!(
            "2026-11-28T09:{minute:02}:{second:02}Z INFO request handled method=GET path=/api/items/{line} status=200 ms={took}"
        );
        if line % 40 == 0 {
            log += " password=";
            log += &forms.next().unwrap_or_default();
        }
        log.push('\n');
    }
    log.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use control_plane_core::mask::values::{SecretValues, TextMasker};

    use super::*;

    #[test]
    fn the_bodies_are_what_they_say() {
        assert!((900..1200).contains(&pod().len()), "{}", pod().len());
        let list: serde_json::Value = serde_json::from_slice(&secrets(1024)).unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), SECRETS);
        let list: serde_json::Value = serde_json::from_slice(&pods()).unwrap();
        let pods = list["items"].as_array().unwrap();
        assert!((LIST / 7000..LIST / 4000).contains(&pods.len()), "{}", pods.len());
        assert_ne!(pods[0]["metadata"]["name"], pods[1]["metadata"]["name"]);
        assert_eq!(sent(&event(1234)), Some(1234));
        assert_eq!(sent(b"{}"), None);
    }

    #[test]
    fn each_value_in_the_log_is_found() {
        let values = values(100);
        let log = log(&values, 1 << 20);
        let told = String::from_utf8(log.clone()).unwrap().matches(" password=").count();
        assert!(told > values.len());
        let searched = SecretValues::new(values.iter().map(String::as_bytes)).unwrap();
        let mut masker = TextMasker::new(Arc::new(searched));
        let mut out = Vec::new();
        masker.push(&log, &mut out);
        assert_eq!(masker.finish(&mut out), told as u64);
    }
}
