//! Each way to write a Secret back as it was read.

use super::*;

/// With the precondition of the state that was read.
fn pinned(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = json!("5");
    object
}

#[test]
fn m6_a_whole_object_is_put_back_as_it_is() {
    let live = annotated(
        live(),
        LAST_APPLIED,
        &format!("{}\n", json!({"kind": "Secret", "stringData": {"password": "swordfish-1"}})),
    );
    let shown = shown(&live);
    assert!(!shown.to_string().contains("swordfish-1") && !shown.to_string().contains(&STANDARD.encode(PASSWORD)));
    let yaml = shown.to_string();
    for (content_type, body) in [("application/json", shown.to_string()), ("application/yaml", yaml)] {
        let request = request("PUT", SECRET, content_type, body);
        assert_eq!(sent(&request, &live), live, "{content_type}");
        // What was approved and digested is what the client sent.
        assert_eq!(serde_json::from_slice::<Value>(request.wire().body()).unwrap(), shown);
    }
}

#[test]
fn m6_a_protobuf_body_is_put_back_too() {
    let shown = shown(&live());
    let body = crate::body::ParsedBody { encoding: Encoding::Protobuf, value: shown.clone() };
    let request = request("PUT", SECRET, "application/json", shown.to_string());
    let context = context(SECRET);
    let read = read(&live(), &context);
    let (carried, reads) = (Carried::of(&request).unwrap(), Reads { live: Some(&read), more: &[] });
    let sent =
        finish(request.wire().clone(), Some(&body), &carried, &VersionPin::None, reads, &context).unwrap().request;
    assert_eq!(serde_json::from_slice::<Value>(sent.body()).unwrap(), live());
    assert_eq!(sent.header(&CONTENT_TYPE).unwrap(), "application/json");
}

#[test]
fn m6_patches_that_carry_a_field_put_it_back() {
    let shown = shown(&live());
    let (password, user) = (&shown["data"]["password"], &shown["data"]["user"]);
    let real = STANDARD.encode(PASSWORD);
    let plain = decoded(password);
    for (body, expected) in [
        (json!({"data": {"password": password}}), json!({"data": {"password": real}})),
        (
            json!({"data": {"password": "bmV3", "user": user}}),
            json!({"data": {"password": "bmV3", "user": "YWRtaW4="}}),
        ),
        (json!({"data": {"password": null, "user": user}}), json!({"data": {"password": null, "user": "YWRtaW4="}})),
        (
            json!({"stringData": {"password": plain, "more": "x"}}),
            json!({"stringData": {"password": PASSWORD, "more": "x"}}),
        ),
        (json!({"stringData": {"password": password}}), json!({"stringData": {"password": PASSWORD}})),
    ] {
        for kind in ["merge-patch+json", "strategic-merge-patch+json"] {
            let request = request("PATCH", SECRET, &format!("application/{kind}"), body.to_string());
            assert_eq!(sent(&request, &live()), pinned(expected.clone()), "{body}");
        }
        let mut apply = body.clone();
        apply["apiVersion"] = json!("v1");
        apply["kind"] = json!("Secret");
        let mut expected = pinned(expected);
        expected["apiVersion"] = json!("v1");
        expected["kind"] = json!("Secret");
        let request = request("PATCH", SECRET, "application/apply-patch+yaml", apply.to_string());
        assert_eq!(sent(&request, &live()), expected);
    }
}

#[test]
fn m6_json_patches_put_back_what_they_add_and_replace() {
    let shown = shown(&live());
    let (password, user) = (&shown["data"]["password"], &shown["data"]["user"]);
    let real = STANDARD.encode(PASSWORD);
    let slashed = secret(&json!({"a/b~c": "eA=="}));
    for (live, path, value, expected) in [
        (live(), "/data/password", password.clone(), json!(real)),
        (
            live(),
            "/data",
            json!({"password": password, "user": user, "x": "eA=="}),
            json!({"password": real, "user": "YWRtaW4=", "x": "eA=="}),
        ),
        (live(), "", shown.clone(), live()),
        (live(), "/stringData", json!({"password": decoded(password)}), json!({"password": PASSWORD})),
        (slashed.clone(), "/data/a~1b~0c", super::shown(&slashed)["data"]["a/b~c"].clone(), json!("eA==")),
    ] {
        for op in ["add", "replace"] {
            let body =
                json!([{"op": "remove", "path": "/metadata/labels/x"}, {"op": op, "path": path, "value": value}]);
            let request = request("PATCH", SECRET, "application/json-patch+json", body.to_string());
            let sent = sent(&request, &live);
            assert_eq!(sent[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "5"}));
            assert_eq!(sent[2], json!({"op": op, "path": path, "value": expected}), "{path}");
        }
    }
}

/// kubectl makes last-applied from the file. Read again it must look as in the file, or the next apply would find a difference.
#[test]
fn m6_last_applied_made_of_a_file_with_placeholders_reads_as_the_file() {
    let live = annotated(live(), LAST_APPLIED, "{}");
    let shown = shown(&live);
    // As Go writes it: sorted, and `<`, `>` and `&` escaped.
    let file = format!(
        r#"{{"apiVersion":"v1","data":{{"password":{},"user":"YWRtaW4="}},"kind":"Secret","metadata":{{"annotations":{{"a":"\u003cb\u003e \u0026 \"\n\u2028"}},"name":"db","namespace":"default"}}}}
"#,
        shown["data"]["password"]
    );
    let body = json!({"metadata": {"annotations": {LAST_APPLIED: file}}});
    let request = request("PATCH", SECRET, "application/strategic-merge-patch+json", body.to_string());
    let sent = sent(&request, &live);
    let text = sent["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(text, file.replace(shown["data"]["password"].as_str().unwrap(), &STANDARD.encode(PASSWORD)));
    let now = super::shown(&annotated(live, LAST_APPLIED, text));
    let user = &shown["data"]["user"];
    assert_eq!(now["metadata"]["annotations"][LAST_APPLIED], file.replace("\"YWRtaW4=\"", &user.to_string()));
}

#[test]
fn m6_last_applied_takes_what_the_object_lacks_from_itself() {
    let before = json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"gone": "Z29uZQ=="}, "stringData": {"password": "swordfish-1"}});
    let live = annotated(live(), LAST_APPLIED, &before.to_string());
    let mut document: Value =
        serde_json::from_str(shown(&live)["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap()).unwrap();
    document["metadata"]["labels"] = json!({"edited": "yes"});
    let body = json!({"metadata": {"annotations": {LAST_APPLIED: document.to_string()}}});
    let request = request("PATCH", SECRET, "application/merge-patch+json", body.to_string());
    let text = sent(&request, &live)["metadata"]["annotations"][LAST_APPLIED].clone();
    let text: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(text["data"]["gone"], "Z29uZQ==");
    assert_eq!(text["stringData"]["password"], PASSWORD, "what the object has is the live value");
}

/// Whatever an annotation holds, written back as it was shown it stays.
#[test]
fn m6_an_annotation_as_it_was_shown_stays_as_it_is() {
    let path = "/apis/apps/v1/namespaces/default/deployments/d";
    let manifest = format!("{} {}", live(), "{\"kind\":\"Secret\",\"data\":{\"x\":\"eA==\"}}");
    let live = json!({
        "kind": "Deployment", "apiVersion": "apps/v1", "spec": {"replicas": 1},
        "metadata": {"name": "d", "namespace": "default", "uid": "u", "resourceVersion": "5", "annotations": {
            "copy": manifest, LAST_APPLIED: "password: 1", "plain": "x",
        }},
    });
    let shown = read(&live, &context(path)).masked().clone();
    assert!(!shown.to_string().contains("eA==") && !shown.to_string().contains("password: 1"), "{shown}");
    let request = request("PUT", path, "application/json", shown.to_string());
    assert_eq!(sent(&request, &live), live);
    // Also in the file that kubectl applies.
    let mut file = shown;
    file["metadata"]["annotations"].as_object_mut().unwrap().remove(LAST_APPLIED);
    let body = json!({"metadata": {"annotations": {LAST_APPLIED: file.to_string()}}});
    let request = super::request("PATCH", path, "application/merge-patch+json", body.to_string());
    let applied = sent(&request, &live)["metadata"]["annotations"][LAST_APPLIED].clone();
    let applied: Value = serde_json::from_str(applied.as_str().unwrap()).unwrap();
    assert_eq!(applied["metadata"]["annotations"]["copy"], live["metadata"]["annotations"]["copy"]);
}

#[test]
fn m6_the_live_value_is_kept_where_it_changed_since() {
    let shown = shown(&live());
    let request = request("PUT", SECRET, "application/json", shown.to_string());
    let mut changed = live();
    changed["data"]["password"] = json!("bmV3ZXI=");
    assert_eq!(sent(&request, &changed), changed);
}

#[test]
fn m6_a_placeholder_of_before_a_rotation_is_put_back() {
    let rotated = PlaceholderKeys::new(PlaceholderKey::new([8; 32]), Some(PlaceholderKey::new([7; 32])));
    let live = annotated(live(), "copy", &json!({"kind": "Secret", "data": {"x": "eA=="}}).to_string());
    let request = request("PUT", SECRET, "application/json", shown(&live).to_string());
    let finish = |keys: PlaceholderKeys| {
        let context = context_with(keys, SECRET);
        let read = read(&live, &context);
        finish(
            request.wire().clone(),
            request.body(),
            &Carried::of(&request).unwrap(),
            &VersionPin::None,
            Reads { live: Some(&read), more: &[] },
            &context,
        )
    };
    let sent = finish(rotated).unwrap().request;
    assert_eq!(serde_json::from_slice::<Value>(sent.body()).unwrap(), live);
    let forgotten = finish(PlaceholderKeys::new(PlaceholderKey::new([8; 32]), None));
    assert!(matches!(forgotten, Err(FinishError::Restore(_))), "{forgotten:?}");
}

#[test]
fn m6_the_clients_own_version_counts_and_a_conflict_over_it_is_its_own() {
    let mut shown = shown(&live());
    let ask = |shown: &Value| {
        finished(&request("PUT", SECRET, "application/json", shown.to_string()), Some(&live())).unwrap()
    };
    shown["metadata"]["resourceVersion"] = json!("4");
    let own = ask(&shown);
    assert!(!own.precondition);
    assert_eq!(serde_json::from_slice::<Value>(own.request.body()).unwrap()["metadata"]["resourceVersion"], "4");
    shown["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let ours = ask(&shown);
    assert!(ours.precondition);
    assert_eq!(serde_json::from_slice::<Value>(ours.request.body()).unwrap(), live());
}

/// What is created again although it is there gets the API server's own answer.
#[test]
fn m6_a_create_of_what_is_there_goes_to_the_api_server() {
    let request = request("POST", "/api/v1/namespaces/default/secrets", "application/json", shown(&live()).to_string());
    assert_eq!(Carried::of(&request).unwrap().needed().unwrap().path(), SECRET);
    let finished = finished(&request, Some(&live())).unwrap();
    assert!(!finished.precondition);
    assert_eq!(serde_json::from_slice::<Value>(finished.request.body()).unwrap(), live());
}

#[test]
fn without_placeholders_nothing_is_read_and_nothing_changes() {
    let request = request("PUT", SECRET, "application/json", live().to_string());
    assert_eq!(Carried::of(&request).unwrap().needed(), None);
    assert_eq!(finished(&request, None).unwrap().request, *request.wire());
}

#[test]
fn m8_debug_shows_no_values() {
    let read = read(&live(), &context(SECRET));
    assert!(!format!("{read:?}").contains(&STANDARD.encode(PASSWORD)));
    let request = request("PUT", SECRET, "application/json", shown(&live()).to_string());
    let finished = finished(&request, Some(&live()));
    assert!(!format!("{finished:?}").contains(&STANDARD.encode(PASSWORD)));
}
