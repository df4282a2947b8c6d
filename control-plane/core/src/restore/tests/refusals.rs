//! Each trick with a placeholder, by name. What is refused is not sent, and the sentence names the field.

use crate::mask::placeholder::MAC_CHARS;

use super::*;

fn refusal(request: &Request, live: Option<&Value>) -> (String, Why) {
    let error = match finished(request, live) {
        Err(FinishError::Restore(error)) => error,
        other => panic!("{other:?}"),
    };
    let sentence = error.to_string();
    assert!(sentence.contains("placeholder") && sentence.contains(&error.field), "{sentence}");
    assert!(!sentence.contains(PASSWORD) && !sentence.contains(&STANDARD.encode(PASSWORD)), "{sentence}");
    (error.field, error.why)
}

#[track_caller]
fn refused(method: &str, path: &str, content_type: &str, body: &Value, field: &str, why: Why) {
    let request = request(method, path, &format!("application/{content_type}"), body.to_string());
    assert_eq!(refusal(&request, Some(&live())), (field.to_owned(), why), "{body}");
}

/// A merge patch of the Secret.
#[track_caller]
fn patch_refused(body: &Value, field: &str, why: Why) {
    for kind in ["merge-patch+json", "strategic-merge-patch+json"] {
        refused("PATCH", SECRET, kind, body, field, why);
    }
}

#[track_caller]
fn operations_refused(body: &Value, field: &str, why: Why) {
    refused("PATCH", SECRET, "json-patch+json", body, field, why);
}

fn password() -> Value {
    shown(&live())["data"]["password"].clone()
}

#[test]
fn another_field() {
    patch_refused(&json!({"data": {"user": password()}}), "/data/user", Why::Other);
    patch_refused(&json!({"data": {"new": password()}}), "/data/new", Why::Other);
    patch_refused(&json!({"stringData": {"user": decoded(&password())}}), "/stringData/user", Why::Other);
}

/// The manager's name is stored in managed fields, which clients write back.
#[test]
fn in_the_query() {
    let password = password();
    let placeholder = password.as_str().unwrap();
    let path =
        format!("{SECRET}?fieldManager={}", placeholder.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    refused(
        "PATCH",
        &path,
        "merge-patch+json",
        &json!({"metadata": {"labels": {"a": "b"}}}),
        "?fieldManager",
        Why::Elsewhere,
    );
}

#[test]
fn another_object() {
    let mut other = live();
    other["metadata"]["name"] = json!("other");
    patch_refused(&json!({"data": {"password": shown(&other)["data"]["password"]}}), "/data/password", Why::Other);
}

#[test]
fn another_namespace() {
    let mut other = live();
    other["metadata"]["namespace"] = json!("kube-system");
    patch_refused(&json!({"data": {"password": shown(&other)["data"]["password"]}}), "/data/password", Why::Other);
}

#[test]
fn another_cluster() {
    let info = request("GET", SECRET, "", "").info().clone();
    let staging = MaskContext::response(Arc::new(keys()), "staging", &info);
    let shown = read(&live(), &staging).masked().clone();
    patch_refused(&json!({"data": {"password": shown["data"]["password"]}}), "/data/password", Why::Other);
}

#[test]
fn made_up() {
    let text = decoded(&password());
    let (start, _) = text.split_at(text.len() - MAC_CHARS);
    let forged = STANDARD.encode(format!("{start}{}", "A".repeat(MAC_CHARS)));
    patch_refused(&json!({"data": {"password": forged}}), "/data/password", Why::Other);
}

#[test]
fn a_field_that_is_gone() {
    let request =
        request("PATCH", SECRET, "application/merge-patch+json", json!({"data": {"password": password()}}).to_string());
    let without = secret(&json!({"user": "YWRtaW4="}));
    assert_eq!(refusal(&request, Some(&without)), ("/data/password".to_owned(), Why::NoField));
}

#[test]
fn an_object_that_is_gone() {
    for (method, path, kind) in [
        ("PUT", SECRET, "json"),
        ("PATCH", SECRET, "apply-patch+yaml"),
        ("POST", "/api/v1/namespaces/default/secrets", "json"),
    ] {
        let request = request(method, path, &format!("application/{kind}"), shown(&live()).to_string());
        assert_eq!(refusal(&request, None), ("/data/password".to_owned(), Why::NoObject), "{method}");
    }
}

#[test]
fn a_copy_under_another_name() {
    let mut copy = shown(&live());
    copy["metadata"]["name"] = json!("copy");
    let mut there = live();
    there["metadata"]["name"] = json!("copy");
    let create = request("POST", "/api/v1/namespaces/default/secrets", "application/json", copy.to_string());
    assert_eq!(refusal(&create, Some(&there)), ("/data/password".to_owned(), Why::Other));
    copy["metadata"] = json!({"generateName": "copy-"});
    let create = request("POST", "/api/v1/namespaces/default/secrets", "application/json", copy.to_string());
    assert_eq!(refusal(&create, None), ("/data/password".to_owned(), Why::Elsewhere));
}

#[test]
fn in_another_annotation() {
    let body = json!({"metadata": {"annotations": {"note": password()}}});
    patch_refused(&body, "/metadata/annotations/note", Why::Elsewhere);
    let manifest = json!({"kind": "Secret", "data": {"password": password()}}).to_string();
    let body = json!({"metadata": {"annotations": {"note": manifest}}});
    patch_refused(&body, "/metadata/annotations/note", Why::Elsewhere);
}

#[test]
fn in_a_label_a_name_and_a_type() {
    patch_refused(&json!({"metadata": {"labels": {"x": password()}}}), "/metadata/labels/x", Why::Elsewhere);
    patch_refused(&json!({"metadata": {"generateName": password()}}), "/metadata/generateName", Why::Elsewhere);
    patch_refused(&json!({"type": password()}), "/type", Why::Elsewhere);
    patch_refused(&json!({"metadata": {"finalizers": [password()]}}), "/metadata/finalizers/0", Why::Elsewhere);
}

#[test]
fn as_the_name_of_a_field() {
    let name = password();
    let name = name.as_str().unwrap();
    patch_refused(&json!({"data": {name: "eA=="}}), &format!("/data/{name}"), Why::Elsewhere);
}

#[test]
fn in_a_section_of_another_spelling() {
    patch_refused(&json!({"Data": {"password": password()}}), "/Data/password", Why::Elsewhere);
    patch_refused(&json!({"data": password()}), "/data", Why::Elsewhere);
    patch_refused(&json!({"data": {"password": [password()]}}), "/data/password/0", Why::Elsewhere);
    patch_refused(&json!({"object": {"data": {"password": password()}}}), "/object/data/password", Why::Elsewhere);
}

#[test]
fn in_a_config_map() {
    let config_map = |verb: &str, path: &str| {
        let body = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "db"}, "data": {"password": password()}});
        refused(verb, path, "json", &body, "/data/password", Why::Elsewhere);
    };
    config_map("POST", "/api/v1/namespaces/default/configmaps");
    config_map("PUT", "/api/v1/namespaces/default/configmaps/db");
}

#[test]
fn in_env_args_and_commands_of_a_pod() {
    for (container, field) in [
        (json!({"env": [{"name": "P", "value": decoded(&password())}]}), "/spec/containers/0/env/0/value"),
        (json!({"args": ["-p", password()]}), "/spec/containers/0/args/1"),
        (json!({"command": [format!("echo {}", decoded(&password()))]}), "/spec/containers/0/command/0"),
    ] {
        let body =
            json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [container]}});
        refused("POST", "/api/v1/namespaces/default/pods", "json", &body, field, Why::Elsewhere);
    }
}

#[test]
fn in_the_options_of_a_delete() {
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": password()}});
    refused("DELETE", SECRET, "json", &body, "/preconditions/uid", Why::Elsewhere);
}

#[test]
fn cut() {
    let text = password();
    let text = text.as_str().unwrap();
    for cut in [text.split_at(100).0, text.split_at(4).1, text.split_at(text.len() - 4).0] {
        patch_refused(&json!({"data": {"password": cut}}), "/data/password", Why::Altered);
    }
}

#[test]
fn in_a_longer_text() {
    let text = decoded(&password());
    let config = format!("password={text}\n");
    patch_refused(&json!({"stringData": {"password": config}}), "/stringData/password", Why::Altered);
    patch_refused(&json!({"data": {"password": STANDARD.encode(&config)}}), "/data/password", Why::Altered);
    patch_refused(
        &json!({"data": {"password": format!("{}\n", password().as_str().unwrap())}}),
        "/data/password",
        Why::Altered,
    );
}

#[test]
fn encoded_anew() {
    let text = password();
    let again = STANDARD.encode(text.as_str().unwrap());
    patch_refused(&json!({"data": {"password": again}}), "/data/password", Why::Altered);
    patch_refused(&json!({"stringData": {"password": again}}), "/stringData/password", Why::Altered);
    // Decoded once too often.
    patch_refused(&json!({"data": {"password": decoded(&text)}}), "/data/password", Why::Altered);
}

#[test]
fn as_text_although_it_is_none() {
    let live = secret(&json!({"password": "/w=="}));
    let body = json!({"stringData": {"password": decoded(&shown(&live)["data"]["password"])}});
    let request = request("PATCH", SECRET, "application/merge-patch+json", body.to_string());
    assert_eq!(refusal(&request, Some(&live)), ("/stringData/password".to_owned(), Why::NotText));
}

#[test]
fn in_a_json_patch_that_copies_or_moves() {
    let put = json!({"op": "replace", "path": "/data/password", "value": password()});
    for op in ["copy", "move"] {
        let out = json!({"op": op, "from": "/data/password", "path": "/metadata/annotations/x"});
        operations_refused(&json!([put, out]), "/1/op", Why::Operation);
        operations_refused(&json!([out, put]), "/0/op", Why::Operation);
    }
}

#[test]
fn in_a_json_patch_that_tests() {
    let test = json!([{"op": "test", "path": "/data/password", "value": password()}]);
    operations_refused(&test, "/0/value", Why::Operation);
}

#[test]
fn elsewhere_in_a_json_patch() {
    let text = password();
    operations_refused(&json!([{"op": "add", "path": "/data/user", "value": text}]), "/data/user", Why::Other);
    operations_refused(&json!([{"op": "add", "path": "/data", "value": {"user": text}}]), "/data/user", Why::Other);
    operations_refused(
        &json!([{"op": "add", "path": "/metadata/labels/x", "value": text}]),
        "/metadata/labels/x",
        Why::Elsewhere,
    );
    operations_refused(
        &json!([{"op": "add", "path": "/data/password", "value": "eA==", "from": text}]),
        "/0/from",
        Why::Operation,
    );
    operations_refused(&json!([{"op": "remove", "path": "/data/password", "value": text}]), "/0/value", Why::Operation);
    operations_refused(
        &json!([{"op": "remove", "path": format!("/data/{}", text.as_str().unwrap())}]),
        "/0/path",
        Why::Operation,
    );
}

#[test]
fn in_last_applied_of_another_object_or_place() {
    let here = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
    let body = |document: Value| json!({"metadata": {"annotations": {LAST_APPLIED: document.to_string()}}});
    patch_refused(&body(json!({"data": {"user": password()}})), &format!("{here}/data/user"), Why::Other);
    patch_refused(&body(json!({"spec": {"x": password()}})), &format!("{here}/spec/x"), Why::Elsewhere);
    patch_refused(&body(json!([password()])), here, Why::Altered);
    patch_refused(&json!({"metadata": {"annotations": {LAST_APPLIED: password()}}}), here, Why::Altered);
    let nested =
        json!({"metadata": {"annotations": {LAST_APPLIED: json!({"data": {"password": password()}}).to_string()}}});
    patch_refused(&body(nested), &format!("{here}{here}"), Why::Elsewhere);
    // Of something that is no Secret it holds none of its fields.
    let path = "/api/v1/namespaces/default/configmaps/db";
    let document = body(json!({"kind": "Secret", "data": {"password": password()}}));
    refused("PATCH", path, "merge-patch+json", &document, &format!("{here}/data/password"), Why::Elsewhere);
}

#[test]
fn an_annotation_of_another_object() {
    let annotated = |name: &str| {
        let mut object = annotated(live(), "copy", &json!({"kind": "Secret", "data": {"x": "eA=="}}).to_string());
        object["metadata"]["name"] = json!(name);
        object
    };
    let text = shown(&annotated("other"))["metadata"]["annotations"]["copy"].clone();
    let body = json!({"metadata": {"annotations": {"copy": text}}});
    let request = request("PATCH", SECRET, "application/merge-patch+json", body.to_string());
    let (field, why) = refusal(&request, Some(&annotated("db")));
    assert_eq!((field.as_str(), why), ("/metadata/annotations/copy", Why::Elsewhere));
}
