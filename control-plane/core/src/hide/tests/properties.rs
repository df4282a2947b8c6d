//! Over arbitrary lists and watches, in arbitrary pieces, against a plain filter of parsed documents.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Entries, as they could stand in a policy.
fn entries() -> impl Strategy<Value = Vec<HideRule>> {
    let texts = |texts: &'static [&'static str]| {
        proptest::collection::vec(select(texts), 0..3).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
    };
    let namespaces = || texts(&["a", "a*", "*-system", "b", "*"]);
    let names = || texts(&["x", "db-*", "*:*", "*a*", "z"]);
    let labels = texts(&["tier", "!tier", "tier=x", "tier!=x", "tier in (x, y)", "a.b/c notin (x)"]);
    let place =
        (namespaces(), names()).prop_map(|(namespaces, names)| HideRule { namespaces, names, labels: Vec::new() });
    let label = labels.prop_map(|labels| HideRule { labels, ..HideRule::default() });
    let entry = prop_oneof![place, label].prop_filter("hides something", |entry| *entry != HideRule::default());
    proptest::collection::vec(entry, 1..4)
}

fn object() -> impl Strategy<Value = Value> {
    let label = || proptest::option::of(select(&["x", "y", ""][..]));
    let namespace = proptest::option::of(select(&["a", "ab", "kube-system", "b"][..]));
    let name = select(&["x", "y", "db-1", "system:a", "cab", "\u{e9}\"}"][..]);
    (namespace, name, label(), label(), anything()).prop_map(|(namespace, name, tier, other, rest)| {
        let mut metadata = json!({"name": name, "uid": "1"});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        for (key, value) in [("tier", tier), ("a.b/c", other)] {
            if let Some(value) = value {
                metadata["labels"][key] = json!(value);
            }
        }
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": rest})
    })
}

/// What looks like a list, an object and the end of one, in places where it is none.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<i32>().prop_map(|number| json!(number)),
        "[\\[\\]{}\",:\\\\ax\u{e9}\n]{0,6}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = select(&["items", "rows", "metadata", "name", "object", "]", "\""][..]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            proptest::collection::vec((name, inner), 0..3)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// The slow and obvious way.
fn is_hidden(entries: &[HideRule], object: &Value) -> bool {
    let metadata = &object["metadata"];
    let (namespace, name) = (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap());
    let tier = |key: &str| metadata["labels"][key].as_str();
    entries.iter().any(|entry| {
        let place = !entry.namespaces.is_empty() || !entry.names.is_empty();
        let namespaces = |pattern: &String| namespace.is_some_and(|namespace| fits(pattern, namespace));
        let inside = entry.namespaces.is_empty() || entry.namespaces.iter().any(namespaces);
        let called = entry.names.is_empty() || entry.names.iter().any(|pattern| fits(pattern, name));
        let labelled = entry.labels.iter().any(|label| match label.as_str() {
            "tier" => tier("tier").is_some(),
            "!tier" => tier("tier").is_none(),
            "tier=x" => tier("tier") == Some("x"),
            "tier!=x" => tier("tier") != Some("x"),
            "tier in (x, y)" => matches!(tier("tier"), Some("x" | "y")),
            "a.b/c notin (x)" => tier("a.b/c") != Some("x"),
            other => panic!("{other}"),
        });
        place && inside && called || labelled
    })
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| fits(rest, &text[at..]))
        }),
    }
}

/// Members in this order, with spaces or without.
fn printed(members: &[(&str, &Value)], spaces: bool) -> String {
    let text = |value: &Value| if spaces { format!("{value:#}") } else { value.to_string() };
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{}", text(value))).collect();
    if spaces { format!("{{\n {}\n}}\n", members.join(" ,\n ")) } else { format!("{{{}}}", members.join(",")) }
}

proptest! {
    #[test]
    fn lists_are_what_is_left_of_their_documents(
        entries in entries(),
        objects in proptest::collection::vec(object(), 0..6),
        rest in anything(),
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
        (table, spaces, counted) in any::<(bool, bool, bool)>(),
        piece in 1_usize..40,
    ) {
        let mut metadata = json!({"resourceVersion": "1", "continue": "c"});
        let shown_metadata = metadata.clone();
        if counted {
            metadata["remainingItemCount"] = json!(3);
        }
        let list = if table { "rows" } else { "items" };
        let element = |object: &Value| if table { json!({"cells": [1], "object": object}) } else { object.clone() };
        let all: Value = objects.iter().map(element).collect();
        let kind = json!("List");
        let members = [("kind", &kind), ("metadata", &metadata), ("rest", &rest), (list, &all)];
        let members: Vec<_> = order.iter().map(|index| members[*index]).collect();
        let body = printed(&members, spaces);
        let hidden = Hidden::parse(&entries, &info("/api/v1/pods")).unwrap();
        let left = filtered(Filter::list(hidden), &body, piece).unwrap();
        let left: Value = serde_json::from_str(&left).unwrap();
        let shown: Value = objects.iter().filter(|object| !is_hidden(&entries, object)).map(element).collect();
        prop_assert_eq!(left, json!({"kind": kind, "metadata": shown_metadata, "rest": rest, list: shown}));
    }

    #[test]
    fn watches_are_what_is_left_of_their_events(
        entries in entries(),
        events in proptest::collection::vec((select(&["ADDED", "MODIFIED", "DELETED"][..]), object()), 0..6),
        piece in 1_usize..60,
    ) {
        let line = |(kind, object): &(&str, Value)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        let body: String = events.iter().map(line).collect();
        let hidden = Hidden::parse(&entries, &info("/api/v1/pods?watch=1")).unwrap();
        let left = filtered(Filter::watch(hidden), &body, piece).unwrap();
        let shown: String = events.iter().filter(|(_, object)| !is_hidden(&entries, object)).map(line).collect();
        prop_assert_eq!(left, shown);
    }

    /// Whatever comes: no panic, and the same whatever the pieces.
    #[test]
    fn pieces_make_no_difference(
        text in "[{}\\[\\],:\"\\\\ \ntanulirows0-]{0,60}",
        (inside, watch) in any::<(bool, bool)>(),
        piece in 1_usize..9,
    ) {
        let body = if inside { format!(r#"{{"items":[{{"metadata":{{"name":"x"}}}}{text}"#) } else { text };
        let hidden = hidden(&json!([{"names": ["y"]}]), "/api/v1/pods");
        let filter = || if watch { Filter::watch(hidden.clone()) } else { Filter::list(hidden.clone()) };
        let (whole, pieces) = (filtered(filter(), &body, usize::MAX), filtered(filter(), &body, piece));
        prop_assert_eq!(whole, pieces);
    }
}

/// Each cut of one list, at any byte.
#[test]
fn every_split() {
    let body = r#"{"kind":"PodList","metadata":{"remainingItemCount":1,"resourceVersion":"1"},"items":[{"metadata":{"name":"db-1"}},{"metadata":{"name":"x","labels":{"a":"\"]"}}},{"metadata":{"n\u0061me":"db-\u0032"}},{"metadata":{"name":"y"}}]}"#;
    let expected = r#"{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"x","labels":{"a":"\"]"}}},{"metadata":{"name":"y"}}]}"#;
    for first in 0..=body.len() {
        for second in (first..=body.len()).step_by(5) {
            let mut filter = Filter::list(hidden(&json!([{"names": ["db-*"]}]), "/api/v1/pods"));
            let mut out = Vec::new();
            for piece in [&body[..first], &body[first..second], &body[second..]] {
                filter.push(piece.as_bytes(), &mut out).unwrap();
            }
            filter.finish().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{first} {second}");
        }
    }
}
