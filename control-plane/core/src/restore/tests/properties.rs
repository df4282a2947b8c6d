//! `restore(mask(x)) == x`, whatever the Secret.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[-._a-zA-Z0-9]{1,12}", 1 => "[é/~\"\\\\ <&\u{2028}]{1,4}"]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        2 => "[ -~é\n\"<&]{0,40}".prop_map(String::into_bytes),
    ]
}

fn fields() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    prop::collection::btree_map(key(), bytes(), 0..6)
}

fn encoded(fields: &BTreeMap<String, Vec<u8>>) -> Value {
    fields
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(STANDARD.encode(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m6_what_was_masked_is_put_back(
        data in fields(),
        applied in prop::option::of((fields(), "[ -~]{0,12}")),
        kind in 0..5_usize,
    ) {
        let mut live = secret(&encoded(&data));
        if let Some((fields, text)) = applied {
            let document = json!({"kind": "Secret", "metadata": {"name": "db"}, "data": encoded(&fields), "stringData": {"t": text}});
            live = annotated(live, LAST_APPLIED, &document.to_string());
        }
        let shown = shown(&live);
        let values = data.values().map(|value| STANDARD.encode(value)).filter(|text| text.len() > 8);
        for value in values {
            prop_assert!(!shown.to_string().contains(&value));
        }
        let (method, content_type, body) = match kind {
            0 => ("PUT", "application/json", shown),
            1 => ("PUT", "application/yaml", shown),
            2 => ("PATCH", "application/merge-patch+json", shown),
            3 => ("PATCH", "application/apply-patch+yaml", shown),
            _ => ("PATCH", "application/json-patch+json", json!([{"op": "replace", "path": "", "value": shown}])),
        };
        let sent = sent(&request(method, SECRET, content_type, crate::body::wire(&body)), &live);
        // Where nothing was masked, nothing is read and no precondition written.
        let sent = match sent.as_array() {
            Some(operations) => operations[operations.len() - 1]["value"].clone(),
            None => sent,
        };
        prop_assert_eq!(sent, live);
    }

    /// A value of the live object goes to its own field or nowhere, wherever its placeholder is put.
    #[test]
    fn m6_no_value_goes_anywhere_else(
        path in prop::collection::vec(prop::sample::select(vec![
            "data", "stringData", "password", "user", "metadata", "annotations", "labels", "x", LAST_APPLIED, "0", "type",
        ]), 0..4),
        inside in prop::collection::vec(prop::sample::select(vec!["data", "stringData", "password", "metadata", "x"]), 0..3),
        form in 0..4_usize,
    ) {
        let live = annotated(live(), LAST_APPLIED, "{}");
        let text = shown(&live)["data"]["password"].clone();
        let text = if form % 2 == 0 { text } else { Value::from(decoded(&text)) };
        let nest = |path: &[&str], value: Value| path.iter().rev().fold(value, |value, name| json!({*name: value}));
        let value = nest(&inside, text);
        let value = if inside.is_empty() { value } else if form < 2 { Value::from(value.to_string()) } else { value };
        let body = nest(&path, value);
        prop_assume!(body.is_object());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/merge-patch+json".parse().unwrap());
        let parsed = Request::parse(&"PATCH".parse().unwrap(), &SECRET.parse().unwrap(), &headers, body.to_string().into());
        let Ok(request) = parsed else { return Ok(()) };
        if let Ok(finished) = finished(&request, Some(&live)) {
            let sent: Value = serde_json::from_slice(finished.request.body()).unwrap();
            let real = STANDARD.encode(PASSWORD);
            let applied = sent["metadata"]["annotations"][LAST_APPLIED].as_str().map(|text| serde_json::from_str::<Value>(text).unwrap());
            let of = |object: &Value| object["data"]["password"] == *real || object["stringData"]["password"] == PASSWORD;
            prop_assert!(of(&sent) || applied.as_ref().is_some_and(of), "{sent}");
        }
    }
}
