use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::json;

use super::*;

const ITEM: &str = "/api/v1/namespaces/ns/secrets/s";

fn live() -> Value {
    let managed = json!([
        {"manager": "ci", "operation": "Apply", "fieldsV1": {"f:data": {"f:user": {}, "f:old": {}, "f:both": {}}}},
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {".": {}, "f:both": {}}}},
        {"manager": "ci", "operation": "Update", "fieldsV1": {"f:data": {"f:late": {}}}},
    ]);
    // user=ann password=old (as Go and others may write it)
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "managedFields": managed},
        "data": {"user": "YW5u", "password": "b2xk", "old": "", "both": "eA=="},
    })
}

fn asked(method: Method, path: &str, content_type: &str, body: &Value) -> Option<SecretWrite> {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]);
    let request = Request::parse(&method, &path.parse::<Uri>().unwrap(), &headers, body.to_string().into()).unwrap();
    SecretWrite::of(&request)
}

/// `+added -removed !changed =unchanged`
fn told(write: &SecretWrite, live: Option<&Value>) -> String {
    let sent = serde_json::to_vec(write).unwrap();
    let arrived: SecretWrite = serde_json::from_slice(&sent).unwrap();
    let all = arrived.changes(live).into_iter().map(|field| {
        let sign = match field.change {
            Change::Unchanged => '=',
            Change::Changed => '!',
            Change::Added => '+',
            Change::Removed => '-',
        };
        format!("{sign}{}", field.field.strip_prefix("data/").unwrap())
    });
    all.collect::<Vec<_>>().join(" ")
}

fn patched(content_type: &str, body: &Value) -> String {
    told(&asked(Method::PATCH, ITEM, content_type, body).unwrap(), Some(&live()))
}

#[test]
fn a_whole_object_leaves_nothing_over() {
    let put = |data: Value| {
        let mut body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        body.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        asked(Method::PUT, ITEM, "application/json", &body).unwrap()
    };
    let live = live();
    let same = put(json!({"data": live["data"]}));
    assert_eq!(told(&same, Some(&live)), "=both =old =password =user");
    let put = put(json!({"data": {"user": "YW\nVu", "password": "bmV3"}, "stringData": {"user": "ann", "extra": "x"}}));
    assert_eq!(told(&put, Some(&live)), "-both +extra -old !password =user");
    assert_eq!(told(&put, None), "+extra +password +user");
}

#[test]
fn merge_patches() {
    for content_type in ["application/merge-patch+json", "application/strategic-merge-patch+json"] {
        let told = |body: Value| patched(content_type, &body);
        assert_eq!(told(json!({"metadata": {"labels": {"a": "b"}}})), "=both =old =password =user");
        assert_eq!(told(json!({"data": {"password": "b2xk"}})), "=both =old =password =user");
        assert_eq!(told(json!({"data": {"password": "b2xl", "user": null}})), "=both =old !password -user");
        assert_eq!(told(json!({"stringData": {"password": "old", "new": ""}})), "=both +new =old =password =user");
        assert_eq!(told(json!({"stringData": {"password": "new", "user": null}})), "=both =old !password =user");
        assert_eq!(told(json!({"data": null})), "-both -old -password -user");
        assert_eq!(told(json!({"data": null, "stringData": {"user": "ann"}})), "-both -old -password =user");
        // Not base64: the API server refuses it; it is not unchanged.
        assert_eq!(told(json!({"data": {"password": "old"}})), "=both =old !password =user");
    }
}

#[test]
fn directives_of_strategic_patches() {
    let told = |body: Value| patched("application/strategic-merge-patch+json", &body);
    assert_eq!(told(json!({"data": {"$patch": "replace", "user": "YW5u"}})), "-both -old -password =user");
    assert_eq!(told(json!({"data": {"$patch": "delete"}})), "-both -old -password -user");
    assert_eq!(told(json!({"data": {"$patch": "delete", "user": "YW5u"}})), "-both -old -password -user");
    assert_eq!(told(json!({"$patch": "delete", "data": {"user": "YW5u"}})), "-both -old -password -user");
    assert_eq!(told(json!({"data": {"$patch": "merge", "user": "YW5u"}})), "=both =old =password =user");
    assert_eq!(told(json!({"$patch": "replace", "data": {"user": "eA=="}})), "-both -old -password !user");
}

/// What `$retainKeys` does not name is removed, though the patch says nothing else of it.
#[test]
fn directives_that_retain() {
    let told = |body: Value| patched("application/strategic-merge-patch+json", &body);
    assert_eq!(
        told(json!({"data": {"$retainKeys": ["note", "user"], "note": "eA=="}})),
        "-both +note -old -password =user"
    );
    assert_eq!(told(json!({"data": {"$retainKeys": []}})), "-both -old -password -user");
    assert_eq!(told(json!({"$retainKeys": ["kind", "metadata"]})), "-both -old -password -user");
    assert_eq!(told(json!({"$retainKeys": ["data"], "data": {"user": "eA=="}})), "=both =old =password !user");
    assert_eq!(
        told(json!({"$retainKeys": ["stringData"], "stringData": {"user": "ann"}})),
        "-both -old -password =user"
    );
    // What is none, or not known, may do anything.
    for body in [
        json!({"data": {"$retainKeys": "user"}}),
        json!({"data": {"$retainKeys": [1]}}),
        json!({"data": {"$patch": "other"}}),
        json!({"$patch": ["replace"]}),
    ] {
        assert_eq!(told(body.clone()), "!both !old !password !user", "{body}");
    }
    assert_eq!(patched("application/merge-patch+json", &json!({"$retainKeys": []})), "=both =old =password =user");
}

#[test]
fn json_patches() {
    let told = |operations: Value| patched("application/json-patch+json", &operations);
    assert_eq!(
        told(json!([{"op": "replace", "path": "/data/password", "value": "b2xk"}])),
        "=both =old =password =user"
    );
    assert_eq!(told(json!([{"op": "add", "path": "/data/password", "value": "bmV3"}])), "=both =old !password =user");
    assert_eq!(told(json!([{"op": "remove", "path": "/data/old"}])), "=both -old =password =user");
    assert_eq!(
        told(json!([{"op": "replace", "path": "/data", "value": {"a~b/c": "eA=="}}])),
        "+a~b/c -both -old -password -user"
    );
    assert_eq!(told(json!([{"op": "add", "path": "/data/a~0b~1c", "value": ""}])), "+a~b/c =both =old =password =user");
    // One value under another's name: what is copied is compared like any other.
    assert_eq!(
        told(json!([{"op": "copy", "from": "/data/user", "path": "/data/password"}])),
        "=both =old !password =user"
    );
    assert_eq!(
        told(json!([{"op": "move", "from": "/data/user", "path": "/data/name"}])),
        "=both +name =old =password -user"
    );
    assert_eq!(
        told(json!([{"op": "add", "path": "/stringData", "value": {"user": "bob"}}])),
        "=both =old =password !user"
    );
    // Can't be applied: nothing is called unchanged.
    assert_eq!(
        told(
            json!([{"op": "test", "path": "/data/user", "value": "eA=="}, {"op": "replace", "path": "/data/password", "value": "b2xk"}])
        ),
        "!both !old !password !user"
    );
    for path in ["/data/none", "/stringData/none"] {
        assert_eq!(told(json!([{"op": "remove", "path": path}])), "!both +none !old !password !user");
    }
    assert_eq!(told(json!([{"op": "add", "path": "/data/a~1b/c", "value": ""}])), "!both !old !password !user");
}

/// What is not there is null, and passes a test for that.
#[test]
fn json_patches_that_replace_what_they_test() {
    let whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "bmV3"}});
    for place in ["/metadata/deletionTimestamp", "/data/none", "/stringData"] {
        let patch =
            json!([{"op": "test", "path": place, "value": null}, {"op": "replace", "path": "", "value": whole}]);
        assert_eq!(patched("application/json-patch+json", &patch), "-both -old !password -user", "{place}");
    }
    let wrong =
        json!([{"op": "test", "path": "/data/user", "value": null}, {"op": "replace", "path": "", "value": whole}]);
    assert_eq!(patched("application/json-patch+json", &wrong), "!both !old !password !user");
}

#[test]
fn an_apply_takes_back_what_it_alone_had_set() {
    let apply = |manager: &str, data: Value| {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
        let path = format!("{ITEM}?fieldManager={manager}");
        told(&asked(Method::PATCH, &path, "application/apply-patch+yaml", &body).unwrap(), Some(&live()))
    };
    assert_eq!(apply("ci", json!({"user": "YW5u", "old": "", "both": "eA=="})), "=both =old =password =user");
    assert_eq!(apply("ci", json!({"user": "eA=="})), "=both -old =password !user");
    assert_eq!(apply("other", json!({"new": "eA=="})), "=both +new =old =password =user");
}

#[test]
fn what_writes_no_secret_has_no_words() {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"a": "b"}});
    assert!(asked(Method::PUT, "/api/v1/namespaces/ns/configmaps/s", "application/json", &body).is_none());
    let delete = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    assert!(asked(Method::DELETE, ITEM, "application/json", &delete).is_none());
}

#[test]
fn neither_debug_nor_words_show_a_value() {
    let body = json!({"stringData": {"password": "hunter2"}});
    let write = asked(Method::PATCH, ITEM, "application/merge-patch+json", &body).unwrap();
    let all = format!("{write:?} {}", serde_json::to_string(&write.changes(Some(&live()))).unwrap());
    assert!(!all.contains("hunter2") && !all.contains("b2xk") && all.contains("changed"), "{all}");
}

/// SECURITY.md P12: each operation is short, and all of them together make something that no body could be.
#[test]
fn json_patches_that_grow() {
    let told = |operations: Vec<Value>| patched("application/json-patch+json", &json!(operations));
    let unknown = "!both !old !password !user";
    let deeper = |levels: usize| {
        let steps = (0..levels).map(|level| json!({"op": "add", "path": "/a".repeat(level + 1), "value": {}}));
        told(steps.collect())
    };
    assert_eq!(deeper(100), "=both =old =password =user");
    assert_eq!(deeper(200), unknown);
    // A tower of towers, as deep as the sum of all.
    let tower = (0..100).fold(json!(0), |inner, _| json!({"a": inner}));
    let towers = (0..20).map(|level| json!({"op": "add", "path": "/a".repeat(100 * level + 1), "value": tower}));
    assert_eq!(told(towers.collect()), unknown);
    let moved = [
        json!({"op": "add", "path": "/x", "value": tower}),
        json!({"op": "add", "path": "/y", "value": tower}),
        json!({"op": "move", "from": "/x", "path": format!("/y{}", "/a".repeat(100))}),
    ];
    assert_eq!(told(moved.to_vec()), unknown);
    let doubled = |times: usize| {
        let copies = (0..times).map(|n| json!({"op": "copy", "from": "/x", "path": format!("/x/{n}")}));
        told([json!({"op": "add", "path": "/x", "value": {}})].into_iter().chain(copies).collect())
    };
    assert_eq!(doubled(10), "=both =old =password =user");
    assert_eq!(doubled(60), unknown);
    // What stands in front of all others moves them.
    let list = json!({"op": "add", "path": "/x", "value": vec![0; 150_000]});
    let front = vec![json!({"op": "add", "path": "/x/0", "value": 0}); 900];
    assert_eq!(told([list].into_iter().chain(front).collect()), unknown);
}
