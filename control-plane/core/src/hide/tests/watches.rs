//! Events of watches.

use super::*;

const STATUS: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":410}"#;

fn filter() -> Filter {
    Filter::watch(hidden(&json!([{"names": ["db-*"]}, {"labels": ["tier"]}]), "/api/v1/pods?watch=true"))
}

fn event(kind: &str, name: &str, labels: &Value) -> String {
    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}});
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn bookmark(ends: bool) -> String {
    let annotations = if ends { json!({"k8s.io/initial-events-end": "true"}) } else { json!(null) };
    let object =
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "5", "annotations": annotations}});
    format!("{}\n", json!({"type": "BOOKMARK", "object": object}))
}

#[test]
fn events_of_hidden_objects_are_dropped() {
    let (plain, tier) = (json!({"a": "b"}), json!({"tier": "x"}));
    let shown = [
        event("ADDED", "x", &plain),
        bookmark(true),
        event("MODIFIED", "x", &plain),
        // The API server says so of one that got a label that is hidden, and shows it as it was.
        event("DELETED", "x", &plain),
        event("ADDED", "x", &json!(null)),
        bookmark(false),
        format!(r#"{{"type":"ERROR","object":{STATUS}}}{}"#, "\n"),
    ];
    let hidden = [
        event("ADDED", "db-1", &plain),
        event("MODIFIED", "db-1", &plain),
        event("DELETED", "db-1", &plain),
        // From a server that ignores selectors.
        event("ADDED", "y", &tier),
        event("MODIFIED", "x", &tier),
        event("DELETED", "y", &tier),
        event("BOOKMARK", "db-1", &plain),
    ];
    let mut all = String::new();
    for index in 0..7 {
        all.push_str(&hidden[index]);
        all.push_str(&shown[index]);
    }
    assert_eq!(left(filter, &all).unwrap(), shown.concat());
    // An event is out when its last byte was in, and what is dropped leaves nothing.
    let (mut filter, mut out) = (filter(), Vec::new());
    filter.push(shown[0].trim_end().as_bytes(), &mut out).unwrap();
    assert_eq!(out, shown[0].as_bytes());
    filter.push(b"\n", &mut out).unwrap();
    filter.push(hidden[0].as_bytes(), &mut out).unwrap();
    assert_eq!(out, shown[0].as_bytes());
    assert_eq!(filter.finish(), Ok(()));
}

#[test]
fn what_is_no_event_ends_the_stream() {
    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"db-1"}}"#;
    for body in [
        format!(r#"{{"type":"ADDED","type":"BOOKMARK","object":{pod}}}"#),
        format!(r#"{{"type":"ADDED","object":{pod},"object":{STATUS}}}"#),
        format!(r#"{{"type":"ERROR","object":{pod}}}"#),
        format!(r#"{{"type":"OTHER","object":{pod}}}"#),
        format!(r#"{{"type":"ADDED","object":{STATUS}}}"#),
        format!(r#"{{"object":{pod}}}"#),
        r#"{"type":"ADDED"}"#.to_owned(),
        r#"{"type":"ADDED","object":null}"#.to_owned(),
        r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{}}}"#.to_owned(),
        r#"{"type":"ADDED","object":{"metadata":{"name":"x"}}}"#.to_owned(),
        format!("[{pod}]"),
        "null".to_owned(),
        r#"{"type":"ADDED","object":{"kind":"Pod""#.to_owned(),
    ] {
        assert!(left(filter, &body).is_err(), "{body}");
    }
    assert_eq!(left(filter, "").unwrap(), "");
}

/// The first event of a table describes its columns, and it may be dropped: the first that is shown has them then.
#[test]
fn columns_of_tables_are_not_lost() {
    let table = |kind: &str, columns: &Value, names: &[&str]| {
        let row = |name: &&str| json!({"cells": [name], "object": {"metadata": {"name": name, "namespace": "a"}}});
        let rows: Vec<Value> = names.iter().map(row).collect();
        let object = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"},
            "columnDefinitions": columns, "rows": rows});
        json!({"type": kind, "object": object})
    };
    let columns = json!([{"name": "Name", "type": "string"}]);
    let lines = |events: &[Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>();
    let came = lines(&[
        table("ADDED", &columns, &["db-1"]),
        table("BOOKMARK", &json!(null), &[""]),
        table("MODIFIED", &json!([]), &["db-2"]),
        table("ADDED", &json!(null), &["x"]),
        table("ADDED", &json!(null), &["y", "db-1", "z"]),
        table("MODIFIED", &json!(null), &["x"]),
        table("DELETED", &json!(null), &["db-1"]),
    ]);
    let out = left(filter, &came).unwrap();
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        events,
        [
            table("BOOKMARK", &columns, &[""]),
            table("ADDED", &json!(null), &["x"]),
            table("ADDED", &json!(null), &["y", "z"]),
            table("MODIFIED", &json!(null), &["x"]),
        ]
    );
    let dropped = lines(&[table("ADDED", &columns, &["db-1"]), table("ADDED", &json!(null), &["x"])]);
    assert_eq!(left(filter, &dropped).unwrap(), lines(&[table("ADDED", &columns, &["x"])]));
}

/// What is left of an event is what came, with its numbers and in its order.
#[test]
fn what_is_left_of_a_table_is_as_it_came() {
    let row = |name: &str| {
        format!(
            r#"{{"cells":["{name}",12345678901234567890123,1.10,1e2,2.2250738585072011e-308,-0],"object":{{"metadata":{{"name":"{name}","namespace":"a"}}}}}}"#
        )
    };
    let event = |columns: &str, rows: &[String]| {
        format!(
            r#"{{"type":"ADDED","object":{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{}]{columns},"metadata":{{"x":1.0}}}}}}"#,
            rows.join(",")
        )
    };
    let columns = r#","columnDefinitions":[{"name":"Name","priority":0.0}]"#;
    let came = event(columns, &[row("db-1"), row("y"), row("db-2"), row("z")]);
    assert_eq!(left(filter, &came).unwrap(), format!("{}\n", event(columns, &[row("y"), row("z")])));
    // Columns of before stand where there are none, or at the end.
    let came = format!("{}\n{}\n", event(columns, &[row("db-1")]), event(r#","columnDefinitions":[]"#, &[row("y")]));
    assert_eq!(left(filter, &came).unwrap(), format!("{}\n", event(columns, &[row("y")])));
    let came = format!("{}\n{}\n", event(columns, &[row("db-1")]), event("", &[row("y")]));
    let end = |text: String| text.replace("1.0}}}", &format!("1.0}}{columns}}}}}"));
    assert_eq!(left(filter, &came).unwrap(), format!("{}\n", end(event("", &[row("y")]))));
    let came = event("", &[]).replace(r#""rows":[]"#, r#""rows":null"#);
    let came = format!("{}\n{}\n", event(columns, &[row("db-1")]), came.replace("ADDED", "BOOKMARK"));
    assert!(left(filter, &came).unwrap().contains(r#""rows":null"#));
}
