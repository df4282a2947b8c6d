//! `metadata.managedFields`: names of fields, but of elements that are told by what is in them that too.

use super::*;

const FIELDS: [&str; 3] = ["spec.tokens[*]", "spec.users[*].pin", "spec.doors[name=*secret*]"];

/// What a manager of this object owns.
fn fields() -> Value {
    json!({
        "f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
        "f:spec": {
            ".": {},
            "f:tokens": {".": {}, "v:\"CANARY-2\"": {}, "v:\"CANARY-1\"": {}},
            "f:users": {
                "k:{\"name\":\"ann\"}": {".": {}, "f:name": {}, "f:pin": {}},
                "k:{\"pin\":\"CANARY-3\"}": {".": {}, "f:pin": {}},
            },
            "f:doors": {
                "k:{\"name\":\"front\"}": {".": {}},
                "k:{\"name\":\"secret-CANARY\"}": {".": {}},
                "k:{\"number\":77001}": {".": {}},
            },
        },
    })
}

fn owned(document: &mut Value) {
    document["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Apply", "apiVersion": "example.com/v1", "fieldsType": "FieldsV1", "fieldsV1": fields()}]);
}

fn login(kind: &str) -> Value {
    let mut login = json!({"kind": kind, "apiVersion": "example.com/v1", "metadata": {"name": "l", "namespace": "default"}, "spec": {"x": 1.10}});
    owned(&mut login);
    login
}

/// What is left of them. The name that stands for the others is one that the API server can't read, so that it takes its own for all.
fn left() -> Value {
    let hidden = || json!({});
    json!({
        "f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
        "f:spec": {
            ".": {},
            "f:tokens": {".": {}, "v:(masked)": hidden()},
            "f:users": {"k:{\"name\":\"ann\"}": {".": {}, "f:name": {}, "f:pin": {}}, "v:(masked)": hidden()},
            "f:doors": {"k:{\"name\":\"front\"}": {".": {}}, "v:(masked)": hidden()},
        },
    })
}

fn is_hidden(shown: &Value, object: &str) {
    let text = shown.to_string();
    assert!(!text.contains("CANARY") && !text.contains("77001"), "{text}");
    assert_eq!(shown.pointer(&format!("{object}/metadata/managedFields/0/fieldsV1")), Some(&left()), "{text}");
}

#[test]
fn m7_values_by_which_managed_fields_tell_elements() {
    let context = masking("logins", Verb::Get, &FIELDS);
    let login = login("Login");
    is_hidden(&shown(&context, &login), "");
    is_hidden(
        &shown(&context, &json!({"kind": "LoginList", "apiVersion": "example.com/v1", "items": [login]})),
        "/items/0",
    );
    let mut partial = self::login("PartialObjectMetadata");
    partial["apiVersion"] = json!("meta.k8s.io/v1");
    let table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": ["l"], "object": partial}]});
    is_hidden(&shown(&context, &table), "/rows/0/object");
    let watch = masking("logins", Verb::Watch, &FIELDS);
    let event = format!("{}\n", text(&json!({"type": "ADDED", "object": login})));
    is_hidden(&serde_json::from_slice(&run(&watch, Format::Json, &[event.as_bytes()]).unwrap()).unwrap(), "/object");
    // As it was applied, and as it is sent: for the record.
    let mut applied = json!({"kind": "Login", "apiVersion": "example.com/v1", "metadata": {"name": "l"}});
    applied["metadata"]["annotations"] = json!({LAST_APPLIED: login.to_string()});
    let shown = shown(&context, &applied);
    let applied = shown["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    is_hidden(&serde_json::from_str(applied).unwrap(), "");
    for mut body in [login.clone(), json!({"metadata": login["metadata"]})] {
        assert!(mask_value(&mut body, &MaskContext { root: Presumed::NotSecret, ..context.clone() }) > 0);
        is_hidden(&body, "");
    }
}

/// Below what is masked whole stand names of members, and no values.
#[test]
fn m7_managed_fields_below_what_is_masked_whole() {
    let mut login = login("Login");
    login["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:odd"] = json!({"x": {}, "i:0": "CANARY"});
    let shown = shown(&masking("logins", Verb::Get, &["spec"]), &login);
    let fields = &shown["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert!(!fields.to_string().contains("CANARY"), "{fields}");
    assert_eq!(fields["f:users"], json!({"v:(masked)": {}}));
    assert_eq!(fields["f:odd"], json!({"i:0": {}, "v:(masked)": {}}));
}

/// What can't be read may be anything.
#[test]
fn m7_managed_fields_that_can_not_be_read() {
    let mut login = login("Login");
    login["metadata"]["managedFields"][0]["fieldsV1"] =
        json!({"f:spec": {"f:tokens": {"v:{\"a\":CANARY": {}, "CANARY": {}}, "f:x": {"v:\"y\"": {}}}});
    let shown = shown(&masking("logins", Verb::Get, &FIELDS), &login);
    let expected = json!({"f:spec": {"f:tokens": {"v:(masked)": {}}, "f:x": {"v:\"y\"": {}}}});
    assert_eq!(shown["metadata"]["managedFields"][0]["fieldsV1"], expected);
}

#[test]
fn m7_managed_fields_in_protobuf() {
    use crate::body::tests::protobuf::{envelope as whole, field};
    let raw = field(1, br#"{"f:data":{"v:\"CANARY\"":{},"f:plain":{}}}"#);
    let entry = [field(1, b"m"), field(2, b"Update"), field(3, b"v1"), field(6, b"FieldsV1"), field(7, &raw)].concat();
    // Number 17 takes two bytes.
    let mut entry = field(1, &entry);
    entry.splice(..1, [0x8a, 0x01]);
    let metadata = field(1, &[field(1, b"c"), field(3, b"default"), entry].concat());
    let object = whole("v1", "ConfigMap", &metadata);
    let out = run(&masking("configmaps", Verb::Get, &["data"]), Format::Protobuf, &[&object]).unwrap();
    let stands = |text: &[u8]| memchr::memmem::find(&out, text).is_some();
    assert!(!stands(b"CANARY") && stands(br#"{"f:plain":{},"v:(masked)":{}}"#), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn m7_what_was_applied_within_what_was_applied() {
    let context = masking("logins", Verb::Get, &["spec.token"]);
    let login = |applied: Option<&Value>| {
        let annotations = applied.map_or_else(|| json!({}), |applied| json!({LAST_APPLIED: applied.to_string()}));
        json!({"kind": "Login", "apiVersion": "example.com/v1", "metadata": {"name": "l", "annotations": annotations}, "spec": {"token": "CANARY"}})
    };
    let mut document = login(None);
    for _ in 0..5 {
        document = login(Some(&document));
        let shown = shown(&context, &document);
        assert!(!shown.to_string().contains("CANARY"), "{shown}");
    }
}
