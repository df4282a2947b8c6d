//! What a dry run gives is not what the object has: its answer shows that, and can't be mistaken for it when it comes back.

use super::*;
use crate::body::Budget;
use crate::mask::{MaskedFields, Masker, Tried};

/// The answer to this request, as a client is shown it, if the object is `after` then.
fn answered(request: &Request, after: &Value) -> Value {
    let context = context(SECRET).with_tried(Tried::of(request, &MaskedFields::default()).map(Arc::new));
    let (mut masker, mut out) = (Masker::new(context), Vec::new());
    masker.push(typed(after).as_bytes(), &mut out).unwrap();
    masker.finish().unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// A change of the password beside the user's name as it was shown, in each form of a write.
fn writes() -> Vec<(&'static str, &'static str, String)> {
    let shown = shown(&live());
    let user = &shown["data"]["user"];
    let plain = decoded(user);
    let whole = |data: &Value| secret(data).to_string();
    let data = json!({"password": "bmV3", "user": user});
    let text = json!({"stringData": {"password": "new", "user": plain}});
    let patch = json!([
        {"op": "replace", "path": "/data/password", "value": "bmV3"},
        {"op": "add", "path": "/data/user", "value": user},
    ]);
    let all = json!([{"op": "add", "path": "/stringData", "value": {"password": "new"}}]);
    vec![
        ("PUT", "application/json", whole(&data)),
        ("PATCH", "application/merge-patch+json", json!({"data": data}).to_string()),
        ("PATCH", "application/strategic-merge-patch+json", text.to_string()),
        ("PATCH", "application/apply-patch+yaml", whole(&data)),
        ("PATCH", "application/json-patch+json", patch.to_string()),
        ("PATCH", "application/json-patch+json", all.to_string()),
    ]
}

#[test]
fn m6_a_value_that_was_only_tried_is_not_the_one_that_the_object_has() {
    let before = shown(&live());
    let mut after = live();
    after["data"]["password"] = json!("bmV3");
    for (method, kind, body) in writes() {
        let tried =
            answered(&request(method, &format!("{SECRET}?dryRun=All&fieldManager=m"), kind, body.clone()), &after);
        assert_ne!(tried["data"]["password"], before["data"]["password"], "{kind}: {body}");
        assert_eq!(tried["data"]["user"], before["data"]["user"], "{kind}: {body}");
        // Whatever the value is: that it differs tells nothing.
        let same = request(method, &format!("{SECRET}?dryRun=All&fieldManager=m"), kind, body.clone());
        assert_eq!(answered(&same, &live()), tried, "{kind}: {body}");
        let stored = answered(&request(method, &format!("{SECRET}?fieldManager=m"), kind, body), &after);
        assert_eq!(stored["data"], before["data"], "{kind}");

        let patch = json!({"stringData": {"password": decoded(&tried["data"]["password"])}});
        for back in [
            request("PUT", SECRET, "application/json", tried.to_string()),
            request("POST", SECRET.trim_end_matches("/db"), "application/json", tried.to_string()),
            request("PATCH", SECRET, "application/merge-patch+json", patch.to_string()),
        ] {
            let Err(FinishError::Restore(error)) = finished(&back, Some(&live())) else {
                panic!("{kind}: it was sent")
            };
            assert_eq!(error.why, Why::Tried, "{error}");
            assert!(error.field.ends_with("ata/password"), "{error}");
        }
    }
}

/// `kubectl apply set-last-applied --dry-run=server`.
#[test]
fn m6_nor_is_what_is_tried_as_applied_last() {
    let applied = |password: &str| secret(&json!({"password": password})).to_string();
    let with = |password: &str| annotated(live(), LAST_APPLIED, &applied(password));
    let before = shown(&with("b2xk"));
    let patch = json!({"metadata": {"annotations": {LAST_APPLIED: applied("bmV3")}}});
    let kind = "application/merge-patch+json";
    let tried = answered(&request("PATCH", &format!("{SECRET}?dryRun=All"), kind, patch.to_string()), &with("bmV3"));
    let place = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
    assert_ne!(tried.pointer(place), before.pointer(place));
    let back = request("PATCH", SECRET, kind, json!({"metadata": tried["metadata"]}).to_string());
    let Err(FinishError::Restore(error)) = finished(&back, Some(&with("b2xk"))) else { panic!("it was sent") };
    assert_eq!(error.why, Why::Tried, "{error}");

    let unreadable = json!({"metadata": {"annotations": {LAST_APPLIED: "{"}}});
    let tried = answered(&request("PATCH", &format!("{SECRET}?dryRun=All"), kind, unreadable.to_string()), &live());
    assert_ne!(tried["data"]["user"], before["data"]["user"], "it may give any");
}

#[test]
fn m6_a_dry_run_that_gives_nothing_shows_the_object() {
    let before = shown(&live());
    for body in [before.to_string(), secret(&json!({})).to_string()] {
        let request = request("PUT", &format!("{SECRET}?dryRun=All"), "application/json", body);
        assert_eq!(answered(&request, &live())["data"], before["data"]);
    }
}

#[test]
fn p12_of_very_many_names_all_were_tried() {
    let data: serde_json::Map<String, Value> = (0..2000).map(|n| (format!("key-{n:06}"), json!("bmV3"))).collect();
    let request = request("PUT", &format!("{SECRET}?dryRun=All"), "application/json", secret(&data.into()).to_string());
    let tried = answered(&request, &live());
    let before = shown(&live());
    assert!(tried["data"]["password"] != before["data"]["password"] && tried["data"]["user"] != before["data"]["user"]);
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/web";

/// What the container's environment has, in the answer to a write of this kind.
fn environment(more: &str, kind: &str, body: &Value, after: &Value) -> Value {
    let fields = MaskedFields::parse(&["spec.template.spec.containers[*].env[name=*PASSWORD*].value"]).unwrap();
    let method = if kind == "application/json" { "PUT" } else { "PATCH" };
    let request = request(method, &format!("{DEPLOYMENT}{more}"), kind, body.to_string());
    let tried = Tried::of(&request, &fields).map(Arc::new);
    let mut after = after.clone();
    let context = context(DEPLOYMENT).with_fields(fields).with_tried(tried);
    context.mask_fields(&mut after, &mut Budget::of_answer()).unwrap();
    after["spec"]["template"]["spec"]["containers"][0]["env"].take()
}

#[test]
fn m6_nor_is_that_of_a_field_that_policy_masks() {
    let deployment = |password: &str, level: &str| {
        let env = json!([{"name": "DB_PASSWORD", "value": password}, {"name": "LEVEL", "value": level}]);
        json!({
            "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "env": env}]}}},
        })
    };
    let (old, new) = (deployment("old-password", "a"), deployment("new-password", "b"));
    let patch = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    let all = "/spec/template/spec/containers";
    let stored = environment("", "application/json", &new, &new);
    for (kind, body) in [
        ("application/json", new.clone()),
        ("application/apply-patch+yaml", new.clone()),
        ("application/merge-patch+json", json!({"spec": new["spec"]})),
        ("application/strategic-merge-patch+json", json!({"spec": new["spec"]})),
        ("application/json-patch+json", patch(all, new["spec"]["template"]["spec"]["containers"].clone())),
        ("application/json-patch+json", patch(&format!("{all}/0/env/0/value"), json!("new-password"))),
    ] {
        let tried = environment("?dryRun=All&fieldManager=m", kind, &body, &new);
        assert_ne!(tried[0], stored[0], "{kind}");
        assert_eq!(tried[1], stored[1], "{kind}");
        assert_eq!(environment("?fieldManager=m", kind, &body, &new), stored, "{kind}: it is stored");
        assert_eq!(environment("?dryRun=All&fieldManager=m", kind, &body, &old)[0], tried[0], "{kind}: whatever it is");
    }
    // What was shown comes back, with a change of something that is not masked.
    let mut shown = old;
    shown["spec"]["template"]["spec"]["containers"][0]["env"][0] = stored[0].clone();
    shown["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = json!("b");
    assert_eq!(environment("?dryRun=All", "application/json", &shown, &new), stored);
    let level = patch(&format!("{all}/0/replicas"), json!(2));
    assert_eq!(environment("?dryRun=All", "application/json-patch+json", &level, &new), stored);
}
