use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::*;
use crate::mask::{PlaceholderKey, PlaceholderKeys};
use crate::request::Request;

fn live() -> Value {
    json!({"metadata": {"name": "x", "uid": "u", "resourceVersion": "5"}})
}

fn mask(info: &RequestInfo) -> MaskContext {
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "prod", info)
}

/// What is sent when that object is read.
fn sent(
    request: &Request,
    parsed: Option<&ParsedBody>,
    pin: &VersionPin,
    live: Option<&Value>,
) -> Result<WireRequest, FinishError> {
    let mask = mask(request.info());
    let live = live.map(|live| ReadObject::new(live.to_string().as_bytes(), &mask).unwrap());
    let reads = Reads { live: live.as_ref(), more: &[] };
    let carried = Carried::of(request).map_err(FinishError::Restore)?;
    finish(request.wire().clone(), parsed, &carried, pin, reads, &mask).map(|finished| finished.request)
}

/// Finishes against [`live`], pinned to it. Gives path and query, content type, and body of what is sent.
fn finished(method: &str, target: &str, content_type: &str, body: Option<Value>) -> (String, String, Value) {
    let request = request(method, target, content_type, body.as_ref());
    let live = live();
    let pin = VersionPin::of(request.info(), Some(&live));
    let sent = sent(&request, request.body(), &pin, Some(&live)).unwrap();
    assert_eq!(sent.method(), request.wire().method());
    let content_type = sent.header(&CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = serde_json::from_slice(sent.body()).unwrap_or(Value::Null);
    (sent.path_and_query().to_owned(), content_type, body)
}

fn request(method: &str, target: &str, content_type: &str, body: Option<&Value>) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    let body = body.map(ToString::to_string).unwrap_or_default();
    Request::parse(&method.parse().unwrap(), &target.parse().unwrap(), &headers, body.into()).unwrap()
}

const OBJECT: &str = "/api/v1/namespaces/d/configmaps/x";
const POD: &str = "/api/v1/namespaces/d/pods/x";

#[test]
fn writes_carry_the_version_that_was_read() {
    for (method, target, content_type) in [
        ("PUT", OBJECT, "application/json"),
        ("PUT", "/apis/apps/v1/namespaces/d/deployments/x/scale", "application/json"),
        ("PATCH", OBJECT, "application/merge-patch+json"),
        ("PATCH", OBJECT, "application/strategic-merge-patch+json"),
        ("PATCH", "/api/v1/namespaces/d/configmaps/x?fieldManager=f&force=true", "application/apply-patch+yaml"),
    ] {
        for (body, expected) in [
            (json!({"data": {}}), json!({"data": {}, "metadata": {"resourceVersion": "5"}})),
            (
                json!({"metadata": {"name": "x", "resourceVersion": ""}}),
                json!({"metadata": {"name": "x", "resourceVersion": "5"}}),
            ),
            // Every way to say "whatever it is".
            (json!({"metadata": {"resourceVersion": null}}), json!({"metadata": {"resourceVersion": "5"}})),
            (json!({"metadata": {"resourceVersion": "00"}}), json!({"metadata": {"resourceVersion": "5"}})),
            // The client's own is kept, also an old one: the API server answers 409.
            (json!({"metadata": {"resourceVersion": "4"}}), json!({"metadata": {"resourceVersion": "4"}})),
        ] {
            let (path, sent_type, sent) = finished(method, target, content_type, Some(body));
            assert_eq!((path.as_str(), sent_type.as_str()), (target, content_type));
            assert_eq!(sent, expected, "{method} {content_type}");
        }
    }
}

#[test]
fn a_json_patch_begins_with_a_test() {
    let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": "5"});
    let patch = |operations: Value| finished("PATCH", OBJECT, "application/json-patch+json", Some(operations)).2;
    let remove = json!({"op": "remove", "path": "/data/a"});
    assert_eq!(patch(json!([remove])), json!([test, remove]));
    assert_eq!(patch(json!([])), json!([test]));
    let own = json!({"op": "test", "path": "/metadata/resourceVersion", "value": "4"});
    assert_eq!(patch(json!([own, remove])), json!([own, remove]));
    // Further back it could test what the patch itself wrote.
    let write = json!({"op": "add", "path": "/metadata/resourceVersion", "value": "4"});
    assert_eq!(patch(json!([write, own])), json!([test, write, own]));
}

#[test]
fn a_delete_carries_preconditions() {
    let both = json!({"uid": "u", "resourceVersion": "5"});
    let delete = |query: &str, body| finished("DELETE", &format!("{POD}{query}"), "application/json", body);
    assert_eq!(delete("", None), (POD.to_owned(), "application/json".to_owned(), json!({"preconditions": both})));
    // A body makes the API server ignore the options of the query: they move.
    assert_eq!(
        delete(
            "?dryRun=All&gracePeriodSeconds=0&propagationPolicy=Foreground&orphanDependents=false&pretty=true\
             &ignoreStoreReadErrorWithClusterBreakingPotential=true",
            None
        ),
        (
            format!("{POD}?pretty=true"),
            "application/json".to_owned(),
            json!({
                "dryRun": ["All"], "gracePeriodSeconds": 0, "propagationPolicy": "Foreground", "orphanDependents": false,
                "ignoreStoreReadErrorWithClusterBreakingPotential": true, "preconditions": both,
            })
        )
    );
    let options = |body: Value| delete("", Some(body)).2;
    assert_eq!(
        options(json!({"gracePeriodSeconds": 5, "preconditions": null})),
        json!({"gracePeriodSeconds": 5, "preconditions": both})
    );
    assert_eq!(
        options(json!({"preconditions": {"uid": "v"}})),
        json!({"preconditions": {"uid": "v", "resourceVersion": "5"}})
    );
    assert_eq!(
        options(json!({"preconditions": {"uid": "v", "resourceVersion": "4"}})),
        json!({"preconditions": {"uid": "v", "resourceVersion": "4"}})
    );
}

#[test]
fn eviction_and_binding() {
    let both = json!({"uid": "u", "resourceVersion": "5"});
    let post = |sub: &str, body| finished("POST", &format!("{POD}/{sub}"), "application/json", Some(body)).2;
    assert_eq!(
        post("eviction", json!({"metadata": {"name": "x"}})),
        json!({"metadata": {"name": "x"}, "deleteOptions": {"preconditions": both}})
    );
    assert_eq!(
        post("eviction", json!({"deleteOptions": {"gracePeriodSeconds": 1}})),
        json!({"deleteOptions": {"gracePeriodSeconds": 1, "preconditions": both}})
    );
    assert_eq!(
        post("binding", json!({"metadata": {"name": "x"}, "target": {"name": "n"}})),
        json!({"metadata": {"name": "x", "uid": "u", "resourceVersion": "5"}, "target": {"name": "n"}})
    );
}

#[test]
fn where_there_is_no_precondition_nothing_is_added() {
    for (method, target, body) in [
        ("POST", "/api/v1/namespaces/d/pods/x/exec", None),
        ("POST", "/api/v1/namespaces/d/serviceaccounts/x/token", Some(json!({"spec": {}}))),
        ("POST", "/api/v1/namespaces/d/configmaps", Some(json!({"metadata": {"name": "x"}}))),
        ("DELETE", "/api/v1/namespaces/d/pods", None),
        ("PUT", "/api/v1/namespaces/d/pods/x/proxy", None),
        ("GET", POD, None),
    ] {
        let request = request(method, target, "application/json", body.as_ref());
        let live = live();
        let pin = VersionPin::of(request.info(), Some(&live));
        let sent = sent(&request, request.body(), &pin, Some(&live));
        assert_eq!(sent.as_ref(), Ok(request.wire()), "{method} {target}");
    }
}

#[test]
fn an_object_that_is_not_there_is_created_as_it_was_approved() {
    let request = request("PATCH", OBJECT, "application/apply-patch+yaml", Some(&json!({"data": {}})));
    assert_eq!(sent(&request, request.body(), &VersionPin::Absent, None).as_ref(), Ok(request.wire()));
    let live = live();
    let appeared = sent(&request, request.body(), &VersionPin::Absent, Some(&live));
    assert!(matches!(appeared, Err(FinishError::Pin(_))));
}

#[test]
fn a_broken_pin_sends_nothing() {
    let request = request("DELETE", POD, "", None);
    let live = live();
    let pin = VersionPin::of(request.info(), Some(&live));
    let mut newer = live;
    newer["metadata"]["resourceVersion"] = json!("6");
    for now in [Some(&newer), None] {
        let sent = sent(&request, request.body(), &pin, now);
        assert!(matches!(sent, Err(FinishError::Pin(_))), "{sent:?}");
    }
}

#[test]
fn bodies_without_a_place_for_it_are_refused() {
    let live = live();
    for body in [json!({"metadata": 7}), json!({"metadata": []}), json!([])] {
        let request = request("PATCH", OBJECT, "application/merge-patch+json", Some(&json!({})));
        let parsed = ParsedBody { encoding: Encoding::MergePatch, value: body };
        let pin = VersionPin::of(request.info(), Some(&live));
        let sent = sent(&request, Some(&parsed), &pin, Some(&live));
        assert!(matches!(sent, Err(FinishError::Body { .. })), "{sent:?}");
    }
}

#[test]
fn a_protobuf_body_is_sent_as_json() {
    let request = request("PUT", OBJECT, "application/json", Some(&json!({"data": {}})));
    let parsed = ParsedBody { encoding: Encoding::Protobuf, value: json!({"data": {}}) };
    let live = live();
    let pin = VersionPin::of(request.info(), Some(&live));
    let sent = sent(&request, Some(&parsed), &pin, Some(&live)).unwrap();
    assert_eq!(sent.header(&CONTENT_TYPE).unwrap(), "application/json");
    assert_eq!(
        serde_json::from_slice::<Value>(sent.body()).unwrap(),
        json!({"data": {}, "metadata": {"resourceVersion": "5"}})
    );
}
