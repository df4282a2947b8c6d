//! Whether a pod takes Secrets is asked where its log is read and where it is shown itself, in each encoding (SECURITY.md M7).

use super::*;
use crate::mask::tests::mask as mask_json;
use crate::mask::values::secret_names;
use crate::mask::{LAST_WORDS, mask_value};
use crate::protobuf::{Kind, Message, Shape, Table, table};

/// Names with "secret" in them by which no process of the pod has one: the node pulls images with those, and this is a file's path.
const NONE: [&str; 2] = ["imagePullSecrets", "secretFile"];

/// One way to name a Secret below a message: where, and the members that do it, in JSON and on the wire.
struct Reference {
    place: String,
    json: Value,
    wire: Vec<u8>,
}

/// All of them, as the generated table has them.
fn references(table: &Table, id: usize, depth: usize, found: &mut Vec<Reference>) {
    assert!(depth < 20, "a message within itself");
    let message = table.message(id).unwrap();
    // What every object has, and selectors, which name none.
    if message.name.starts_with("meta.v1.") {
        return;
    }
    for field in message.fields.iter().filter(|field| field.shape != Shape::Map) {
        let name = field.name.unwrap_or_default();
        let mut inner = Vec::new();
        if NONE.contains(&name) {
            continue;
        } else if !name.to_ascii_lowercase().contains("secret") {
            let Some(id) = field.kind.message() else { continue };
            references(table, id, depth + 1, &mut inner);
        } else if field.kind == Kind::Text {
            inner.push(Reference { place: String::new(), json: json!("s"), wire: b"s".to_vec() });
        } else {
            let (json, wire) = named(table, table.message(field.kind.message().unwrap()).unwrap());
            inner.push(Reference { place: String::new(), json, wire });
        }
        for Reference { place, json, wire } in inner {
            let mut out = Vec::new();
            put(field.number, &wire, &mut out);
            let (place, json) = match (field.name, field.shape) {
                (None, _) => (place, json),
                (Some(_), Shape::List) => (format!("/{name}{place}"), json!({name: [json]})),
                (Some(_), _) => (format!("/{name}{place}"), json!({name: json})),
            };
            found.push(Reference { place, json, wire: out });
        }
    }
}

/// Such a message with nothing in it but the name.
fn named(table: &Table, message: &Message) -> (Value, Vec<u8>) {
    let mut out = Vec::new();
    for field in &message.fields {
        match (field.name, field.kind.message()) {
            (Some(name @ ("name" | "secretName")), _) => {
                put(field.number, b"s", &mut out);
                return (json!({name: "s"}), out);
            }
            (None, Some(id)) => {
                let (json, wire) = named(table, table.message(id).unwrap());
                put(field.number, &wire, &mut out);
                return (json, out);
            }
            _ => {}
        }
    }
    panic!("{} has no name", message.name);
}

/// A pod of which a container has ended with such words.
fn pod(spec: &Value, wire: &[u8]) -> (String, Vec<u8>) {
    let text = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"db","namespace":"default"}},"spec":{spec},"status":{{"containerStatuses":[{{"name":"c","state":{{"terminated":{{"exitCode":1,"reason":"Error","message":"{CANARY}"}}}}}}]}}}}"#
    );
    let ended = [field(3, b"Error"), field(4, CANARY.as_bytes())].concat();
    let container = [field(1, b"c"), field(2, &field(3, &ended))].concat();
    let raw = [field(1, &metadata(&[])), field(2, wire), field(3, &field(8, &container))].concat();
    (text, whole("v1", "Pod", &raw))
}

/// How often the words are left out of what is shown, which is the same in each encoding.
fn left_out(json: &str, wire: &[u8]) -> u64 {
    let context = context("pods", Verb::Get);
    let (shown, summary) = mask_json(&context, json).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let ended = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"].clone();
    assert_eq!(ended(&shown), if summary.masked > 0 { LAST_WORDS } else { CANARY }, "{json}");
    let mut value = serde_json::from_str(json).unwrap();
    mask_value(&mut value, &context);
    assert_eq!(value, shown, "{json}");
    let (out, of_wire) = mask(&context, Format::Protobuf, wire).unwrap();
    assert_eq!((ended(&read(&out)), of_wire.masked), (ended(&shown), summary.masked), "{json}");
    let watch = self::context("pods", Verb::Watch);
    let (out, _) = mask(&watch, Format::ProtobufWatch, &frame("ADDED", wire)).unwrap();
    assert_eq!(contains(&out, LAST_WORDS.as_bytes()), summary.masked > 0, "{json}");
    summary.masked
}

#[test]
fn m7_whatever_names_a_secret_counts_everywhere() {
    let table = table().unwrap();
    let spec = table.messages().iter().position(|message| message.name == "core.v1.PodSpec").unwrap();
    let mut found = Vec::new();
    references(table, spec, 0, &mut found);
    for Reference { place, json, wire } in &found {
        assert_eq!(secret_names(json).into_iter().collect::<Vec<_>>(), ["s"], "{place}");
        let (text, bytes) = pod(json, wire);
        assert_eq!(left_out(&text, &bytes), 1, "{place}");
    }
    let places: Vec<&str> = found.iter().map(|reference| reference.place.as_str()).collect();
    for known in [
        "/volumes/secret",
        "/volumes/projected/sources/secret",
        "/volumes/csi/nodePublishSecretRef",
        "/volumes/azureFile/secretName",
        "/volumes/flexVolume/secretRef",
        "/volumes/cephfs/secretRef",
        "/volumes/iscsi/secretRef",
        "/volumes/rbd/secretRef",
        "/volumes/scaleIO/secretRef",
        "/volumes/storageos/secretRef",
        "/containers/env/valueFrom/secretKeyRef",
        "/containers/envFrom/secretRef",
        "/initContainers/env/valueFrom/secretKeyRef",
        "/initContainers/envFrom/secretRef",
        "/ephemeralContainers/env/valueFrom/secretKeyRef",
        "/ephemeralContainers/envFrom/secretRef",
    ] {
        assert!(places.contains(&known), "{known} of {places:?}");
    }
    // The node pulls images with one.
    let mut wire = Vec::new();
    put(15, &field(1, b"s"), &mut wire);
    let (text, bytes) = pod(&json!({"imagePullSecrets": [{"name": "s"}]}), &wire);
    assert_eq!(left_out(&text, &bytes), 0);
}
