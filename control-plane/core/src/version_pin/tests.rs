use http::Method;
use serde_json::json;

use super::*;
use crate::query::Query;

fn info(method: &str, path: &str) -> RequestInfo {
    RequestInfo::parse(&method.parse::<Method>().unwrap(), path, &Query::default()).unwrap()
}

fn deployment() -> Value {
    json!({"metadata": {
        "name": "x", "uid": "u", "resourceVersion": "5", "generation": 3,
        "labels": {"a": "b"}, "annotations": {"c": "d"}, "managedFields": [{"time": 1}],
    }, "spec": {}, "status": {"replicas": 1}})
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/d/deployments/x";

fn changed(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

#[test]
fn kinds_with_a_generation_let_status_change() {
    let pin = VersionPin::of(&info("PATCH", DEPLOYMENT), Some(&deployment()));
    assert!(matches!(pin, VersionPin::Generation { generation: 3, .. }), "{pin:?}");
    let same = [
        changed(deployment(), "/status/replicas", json!(2)),
        changed(deployment(), "/metadata/resourceVersion", json!("6")),
        changed(deployment(), "/metadata/managedFields", json!([])),
    ];
    for live in same {
        assert_eq!(pin.holds(Some(&live)), Ok(()), "{live}");
    }
    let field = |live: &Value| pin.holds(Some(live)).unwrap_err().field;
    assert_eq!(field(&changed(deployment(), "/metadata/uid", json!("v"))), "uid");
    assert_eq!(field(&changed(deployment(), "/metadata/generation", json!(4))), "generation");
    for pointer in ["/metadata/labels", "/metadata/annotations"] {
        let got = field(&changed(deployment(), pointer, json!({"a": "z"})));
        assert_eq!(got, "labels, annotations, finalizers or ownerReferences");
    }
    let mut finalizer = deployment();
    finalizer["metadata"]["finalizers"] = json!(["f"]);
    assert!(pin.holds(Some(&finalizer)).is_err());
    assert_eq!(pin.holds(None).unwrap_err().field, "existence");
}

#[test]
fn other_kinds_let_nothing_change() {
    let secret = json!({"metadata": {"uid": "u", "resourceVersion": "5"}});
    let pin = VersionPin::of(&info("PUT", "/api/v1/namespaces/d/secrets/x"), Some(&secret));
    assert_eq!(pin.holds(Some(&secret)), Ok(()));
    let newer = changed(secret.clone(), "/metadata/resourceVersion", json!("6"));
    assert_eq!(
        pin.holds(Some(&newer)),
        Err(PinBroken { field: "resourceVersion", expected: "5".to_owned(), got: "6".to_owned() })
    );
    // Deleted and made again under the same version: another object.
    assert!(pin.holds(Some(&changed(secret, "/metadata/uid", json!("v")))).is_err());
}

#[test]
fn what_is_absent_stays_absent() {
    let pin = VersionPin::of(&info("PATCH", DEPLOYMENT), None);
    assert_eq!(pin, VersionPin::Absent);
    assert_eq!(pin.holds(None), Ok(()));
    assert_eq!(pin.holds(Some(&deployment())).unwrap_err().field, "existence");
}

#[test]
fn an_object_without_identity_never_holds() {
    let bare = json!({"metadata": {}});
    let pin = VersionPin::of(&info("PATCH", DEPLOYMENT), Some(&bare));
    assert_eq!(pin.holds(Some(&bare)).unwrap_err().field, "uid");
}

#[test]
fn requests_without_one_object_have_no_pin() {
    for (method, path) in [
        ("POST", "/api/v1/namespaces/d/pods"),
        ("DELETE", "/api/v1/namespaces/d/pods"),
        ("GET", "/api/v1/namespaces/d/pods"),
        ("GET", "/api/v1/namespaces/d/pods/x"),
        ("GET", "/api/v1/namespaces/d/pods/x/log"),
        ("GET", "/version"),
    ] {
        assert_eq!(VersionPin::of(&info(method, path), Some(&deployment())), VersionPin::None, "{path}");
        assert_eq!(VersionPin::of(&info(method, path), None), VersionPin::None, "{path}");
    }
    assert_ne!(
        VersionPin::of(&info("POST", "/api/v1/namespaces/d/pods/x/exec"), Some(&deployment())),
        VersionPin::None
    );
}
