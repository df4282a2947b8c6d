//! A placeholder where it could become the value and be read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{World, world};

fn object(kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

/// Creates that are refused for the placeholder in them.
async fn refused(world: &World, resource: &str, body: &Value) {
    let message = world.post(&world.path(resource), body).await.refused();
    assert!(message.contains("placeholder"), "{message}");
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a19_into_a_config_map() {
    let world = world();
    let placeholder = world.placeholder().await;
    let sentence = String::from_utf8(STANDARD.decode(&placeholder).unwrap()).unwrap();
    for value in [&placeholder, &sentence] {
        refused(&world, "configmaps", &object("ConfigMap", "c", json!({"data": {"p": value}}))).await;
    }
    refused(&world, "configmaps", &object("ConfigMap", "c", json!({"binaryData": {"p": placeholder}}))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_into_a_pods_environment_and_command() {
    let world = world();
    let placeholder = world.placeholder().await;
    for rest in [
        json!({"env": [{"name": "P", "value": placeholder}]}),
        json!({"command": ["echo", placeholder]}),
        json!({"image": placeholder}),
    ] {
        let mut container = json!({"name": "c", "image": "i"});
        container.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        refused(&world, "pods", &object("Pod", "p", json!({"spec": {"containers": [container]}}))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a21_into_a_name_a_label_an_annotation() {
    let world = world();
    let placeholder = world.placeholder().await;
    for metadata in [
        json!({"name": placeholder.to_lowercase(), "annotations": {"a": placeholder}}),
        json!({"name": "c", "labels": {"a": placeholder}}),
        json!({"name": "c", "annotations": {placeholder.as_str(): "a"}}),
    ] {
        refused(&world, "configmaps", &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a22_into_another_secret_or_field() {
    let world = world();
    let placeholder = world.placeholder().await;
    refused(&world, "secrets", &object("Secret", "another", json!({"data": {"password": placeholder}}))).await;
    for (name, field) in [("target", "other"), ("target", "again"), ("same", "password")] {
        let body = json!({"data": {field: placeholder}});
        let message = world.patch(&world.secrets(&format!("/{name}")), "merge-patch+json", &body).await.refused();
        assert!(message.contains("placeholder"), "{message}");
    }
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_within_a_longer_text_cut_or_encoded_again() {
    let world = world();
    let placeholder = world.placeholder().await;
    let sentence = String::from_utf8(STANDARD.decode(&placeholder).unwrap()).unwrap();
    let longer = format!("password={sentence};");
    let cut = sentence.get(..sentence.len() - 3).unwrap();
    for value in [&longer, &STANDARD.encode(&placeholder), &STANDARD.encode(STANDARD.encode(&sentence))] {
        let body = object("Secret", "another", json!({"stringData": {"password": value}}));
        refused(&world, "secrets", &body).await;
    }
    // Cut it is no placeholder any more, and becomes nothing else than it is.
    let told = world.post(&world.secrets(""), &object("Secret", "cut", json!({"stringData": {"password": cut}}))).await;
    if told.status == 201 {
        let real = world.0.namespace().admin(&["get", "secret", "cut", "-o", "jsonpath={.data.password}"]);
        assert_eq!(real, STANDARD.encode(cut));
    }
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a24_copied_and_moved_by_the_api_server() {
    let world = world();
    let path = world.secrets("/target");
    for op in ["copy", "move"] {
        for to in ["/metadata/annotations/a", "/metadata/labels/a", "/data/other", "/type"] {
            let patch = json!([{"op": op, "from": "/data/password", "path": to}]);
            world.patch(&path, "json-patch+json", &patch).await.refused();
        }
        let whole = json!([{"op": op, "from": "/data", "path": "/metadata/annotations"}]);
        world.patch(&path, "json-patch+json", &whole).await.refused();
    }
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a25_the_whole_object_as_another_kind() {
    let world = world();
    let mut shown = world.get(&world.secrets("/target"), "application/json").await.ok().json();
    shown["metadata"] = json!({"name": "as-config-map"});
    shown["kind"] = json!("ConfigMap");
    shown.as_object_mut().unwrap().remove("type");
    refused(&world, "configmaps", &shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a26_the_whole_object_under_another_name() {
    let world = world();
    let mut shown = world.get(&world.secrets("/target"), "application/json").await.ok().json();
    shown["metadata"] = json!({"name": "renamed"});
    refused(&world, "secrets", &shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a27_made_up() {
    let world = world();
    let placeholder = world.placeholder().await;
    let mut bytes = STANDARD.decode(&placeholder).unwrap();
    // One bit of the MAC: still in the shape of a placeholder, and nobody's.
    let at = bytes.iter().rposition(u8::is_ascii_alphanumeric).unwrap();
    bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
    let body = json!({"data": {"password": STANDARD.encode(bytes)}});
    let told = world.patch(&world.secrets("/target"), "merge-patch+json", &body).await;
    assert_eq!(told.status, 403, "{told:?}");
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a28_as_an_apply_that_takes_the_field_over() {
    let world = world();
    let placeholder = world.placeholder().await;
    let own = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "target"}, "data": {"password": placeholder}});
    let told =
        world.patch(&world.secrets("/target?fieldManager=thief&force=true"), "apply-patch+yaml", &own).await.ok();
    assert!(told.text().contains("thief"), "{told:?}");
    let other =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "target"}, "data": {"thief": placeholder}});
    world.patch(&world.secrets("/target?fieldManager=thief&force=true"), "apply-patch+yaml", &other).await.refused();
    world.assert_unchanged();
}
