//! What a dry run gives is not what the object has: its answer shows that, and can't be mistaken for it when it comes back.

use super::*;
use crate::mask::{Masker, Tried};

/// The answer to this request, as a client is shown it, if the object is `after` then.
fn answered(request: &Request, after: &Value) -> Value {
    let context = context(SECRET).with_tried(Tried::of(request).map(Arc::new));
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
    assert_eq!(Tried::of(&request), Some(Tried::All));
}
