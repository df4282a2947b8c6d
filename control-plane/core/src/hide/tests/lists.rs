//! Lists, tables and single objects.

use super::*;

fn pod(namespace: &str, name: &str, labels: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"text": "}]\"{"}})
}

fn list(items: &[Value]) -> String {
    let metadata = json!({"resourceVersion": "17", "continue": "abc", "remainingItemCount": 3});
    let items: Vec<String> = items.iter().map(Value::to_string).collect();
    format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{metadata},"items":[{}]}}"#, items.join(","))
}

#[test]
fn by_namespace_name_and_label() {
    let all = [
        pod("a", "x", &json!({})),
        pod("kube-system", "x", &json!(null)),
        pod("a", "db-1", &json!({"tier": "front"})),
        pod("b", "db-1", &json!({"tier": "back"})),
        pod("b", "y", &json!({"other": "back"})),
    ];
    for (entries, shown) in [
        (json!([]), vec![0, 1, 2, 3, 4]),
        (json!([{"namespaces": ["kube-*"]}]), vec![0, 2, 3, 4]),
        (json!([{"names": ["db-*", "y"]}]), vec![0, 1]),
        (json!([{"namespaces": ["b"], "names": ["db-*"]}]), vec![0, 1, 2, 4]),
        (json!([{"labels": ["tier"]}]), vec![0, 1, 4]),
        (json!([{"labels": ["tier!=front"]}]), vec![2]),
        (json!([{"labels": ["tier=back", "other in (back, x)"]}, {"namespaces": ["kube-system"]}]), vec![0, 2]),
        (json!([{"namespaces": ["*"]}]), vec![]),
    ] {
        let filter = || Filter::list(hidden(&entries, "/api/v1/pods"));
        let left: Value = serde_json::from_str(&left(filter, &list(&all)).unwrap()).unwrap();
        let expected: Vec<&Value> = shown.iter().map(|index| &all[*index]).collect();
        assert_eq!(left["items"], json!(expected), "{entries}");
        assert_eq!(left["metadata"], json!({"resourceVersion": "17", "continue": "abc"}), "{entries}");
        assert_eq!((&left["kind"], &left["apiVersion"]), (&json!("PodList"), &json!("v1")));
    }
}

#[test]
fn what_is_shown_is_not_touched() {
    let body = r#" {"kind":"List" , "x":[{"a":"\u005d]"}], "n":-1.5e3,"t":true ,"metadata":{ "resourceVersion" : "1"},"items":[{"metadata":{"name":"a"},"é":"\"\\"}],"z":null} "#;
    let filter = || Filter::list(hidden(&json!([{"names": ["nothing"]}]), "/api/v1/pods"));
    assert_eq!(left(filter, body).unwrap(), body);
}

#[test]
fn rows_of_tables() {
    let row = |name: &str| json!({"cells": [name, "1d"], "object": {"kind": "PartialObjectMetadata", "metadata": {"name": name, "namespace": "a"}}});
    let table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [{"name": "items"}],
        "metadata": {"resourceVersion": "1"}, "rows": [row("x"), row("db-1"), row("y")]});
    let filter = || Filter::list(hidden(&json!([{"names": ["db-*"]}]), "/api/v1/pods"));
    let left: Value = serde_json::from_str(&left(filter, &table.to_string()).unwrap()).unwrap();
    let mut expected = table;
    expected["rows"].as_array_mut().unwrap().remove(1);
    assert_eq!(left, expected);
}

/// A row without its object can't be judged.
#[test]
fn rows_without_objects() {
    let filter = || Filter::list(hidden(&json!([{"names": ["db-*"]}]), "/api/v1/pods"));
    for row in [json!({"cells": ["x"]}), json!({"cells": ["x"], "object": null}), json!({"object": {"metadata": {}}})] {
        let table = json!({"kind": "Table", "rows": [row]}).to_string();
        assert_eq!(left(filter, &table), Err(HideError::Unnamed), "{table}");
    }
}

#[test]
fn empty_lists() {
    let filter = || Filter::list(hidden(&json!([{"names": ["db-*"]}]), "/api/v1/pods"));
    for body in [r#"{"items":[]}"#, r#"{"metadata":null,"items":null}"#, r#"{"rows": [ ] }"#] {
        assert!(left(filter, body).is_ok(), "{body}");
    }
}

/// As in RequestInfo, a Namespace is in itself. What is in none is in none that a pattern means.
#[test]
fn namespaces_are_in_themselves() {
    let entries = json!([{"namespaces": ["kube-*"]}]);
    let namespaces = hidden(&entries, "/api/v1/namespaces");
    assert!(namespaces.hides_place("", "kube-system") && !namespaces.hides_place("", "a"));
    let nodes = hidden(&json!([{"namespaces": ["*"]}]), "/api/v1/nodes");
    assert!(!nodes.hides_place("", "kube-system"));
    let foreign = hidden(&entries, "/apis/example.com/v1/namespaces");
    assert!(!foreign.hides_place("", "kube-system"));
    // An object that doesn't say where it is is where it was asked for.
    let pods = hidden(&entries, "/api/v1/namespaces/kube-system/pods");
    assert!(pods.hides_place("", "x"));
}

/// Taking away, a star takes all.
#[test]
fn stars_reach_across_colons() {
    let roles = hidden(&json!([{"names": ["system:*"]}]), "/apis/rbac.authorization.k8s.io/v1/clusterroles");
    assert!(roles.hides_place("", "system:controller:x") && !roles.hides_place("", "systems"));
}

#[test]
fn one_object() {
    let hidden = hidden(&json!([{"labels": ["tier"]}]), "/api/v1/namespaces/a/pods/x");
    let one = |labels: &Value| json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x", "labels": labels}});
    let table = |labels: &Value| json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": [], "object": one(labels)}]});
    for (labels, expected) in [(json!({"tier": "x"}), true), (json!({"a": "x"}), false), (json!(null), false)] {
        assert_eq!(hidden.hides_answer(one(&labels).to_string().as_bytes()), Ok(expected));
        assert_eq!(hidden.hides_answer(table(&labels).to_string().as_bytes()), Ok(expected));
        assert_eq!(hidden.hides_value(&one(&labels)), expected);
    }
    for nothing in [
        json!({"kind": "Pod"}),
        json!({"metadata": {"name": "x"}}),
        json!({"kind": "Pod", "metadata": {}}),
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []}),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {"name": "x"}}),
        json!([one(&json!({}))]),
    ] {
        assert_eq!(hidden.hides_answer(nothing.to_string().as_bytes()), Err(HideError::Unnamed), "{nothing}");
    }
    assert!(hidden.hides_value(&json!({"metadata": {"labels": 1}})));
}

#[test]
fn entries_that_can_not_be_read() {
    let pods = info("/api/v1/pods");
    for entry in [
        json!({}),
        json!({"labels": ["a"], "names": ["x"]}),
        json!({"labels": ["a"], "namespaces": ["x"]}),
        json!({"labels": ["a b"]}),
        json!({"names": ["a?"]}),
        json!({"namespaces": [""]}),
    ] {
        assert!(Hidden::parse(&rules(&json!([entry])), &pods).is_err(), "{entry}");
    }
    assert!(serde_json::from_value::<HideRule>(json!({"names": ["x"], "show": ["x"]})).is_err());
    assert!(Hidden::parse(&rules(&json!([{"names": ["*"]}])), &info("/apis")).unwrap().is_empty());
}
