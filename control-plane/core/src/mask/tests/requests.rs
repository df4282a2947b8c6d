//! What is kept of a request is never much larger than what was sent.

use shared::limits::{MASK_REQUEST_BYTES, MASK_REQUEST_PLACEHOLDERS, REQUEST_BODY_BYTES};

use super::*;

const FIELDS: [&str; 2] = ["data.*password*", "spec.tokens[*]"];

fn kept(resource: &str, body: &str) -> (Value, usize) {
    let mut value: Value = serde_json::from_str(body).unwrap();
    let context = MaskContext::request(keys(), "prod", &info(resource, Verb::Create))
        .with_fields(MaskedFields::parse(&FIELDS).unwrap());
    mask_value(&mut value, &context);
    let length = value.to_string().len();
    (value, length)
}

/// A body about as long as any may be, of such pieces.
fn full(before: &str, piece: impl Fn(usize) -> String, after: &str) -> String {
    let mut body = before.to_owned();
    let mut at = 0;
    while body.len() < REQUEST_BODY_BYTES - 100 {
        body.push_str(&piece(at));
        at += 1;
    }
    body.pop();
    body.push_str(after);
    body
}

#[test]
fn m8_very_many_values_in_one_place_are_masked_as_one() {
    let config =
        full(r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"x":"y","password":["#, |_| "0,".to_owned(), "]}}");
    let (value, length) = kept("configmaps", &config);
    assert!(is_placeholder(value["data"]["password"].as_str().unwrap()) && value["data"]["x"] == "y");
    assert!(length < 1000, "{length}");

    let before = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"p":"q"},"data":{"#;
    let (value, length) = kept("secrets", &full(before, |at| format!(r#""{at:x}":0,"#), "}}"));
    assert!(is_placeholder(value["data"].as_str().unwrap()) && value["metadata"]["name"] == "a");
    assert!(is_placeholder(value["stringData"]["p"].as_str().unwrap()) && length < 1000, "{length}");
    // As many as have room.
    let half: Vec<String> = (0..MASK_REQUEST_PLACEHOLDERS / 2).map(|at| format!(r#""{at:x}":0"#)).collect();
    let (value, _) =
        kept("secrets", &format!(r#"{{"apiVersion":"v1","kind":"Secret","data":{{{}}}}}"#, half.join(",")));
    assert_eq!(value["data"].as_object().unwrap().len(), half.len());
}

#[test]
fn m8_a_body_that_would_be_too_long_is_masked_whole() {
    let list = |piece: &str| full(r#"{"apiVersion":"v1","kind":"List","items":["#, |_| format!("{piece},"), "]}");
    let annotation = json!(r#"{"kind":"Secret","data":0}"#);
    let applied = |text: &str| {
        let applied = json!({"kind": "ConfigMap", "data": {"password": "x", "y": text}}).to_string();
        json!({"kind": "ConfigMap", "metadata": {"annotations": {LAST_APPLIED: applied}}}).to_string()
    };
    for (resource, body) in [
        ("secrets", list(r#"{"data":0}"#)),
        ("configmaps", list(r#"{"kind":"Secret","data":{"a":0}}"#)),
        ("configmaps", list(r#"{"data":{"password":0}}"#)),
        ("configmaps", list(&format!(r#"{{"metadata":{{"annotations":{{"a":{annotation}}}}}}}"#))),
        ("widgets", full(r#"{"kind":"Table","rows":[{"cells":["#, |_| r#""","#.to_owned(), "]}]}")),
        ("secrets", full(r#"{"kind":"Status","details":{"causes":["#, |_| r#"{"message":"="},"#.to_owned(), "]}}")),
        ("secrets", full("[", |_| r#"{"op":"add","path":"/data/a","value":0},"#.to_owned(), "]")),
        // Written as Go writes it, this takes six times its length.
        ("configmaps", applied(&"<".repeat(REQUEST_BODY_BYTES - 200))),
    ] {
        let (value, length) = kept(resource, &body);
        let start = body.get(..60).unwrap();
        assert!(
            value.as_str().is_some_and(is_placeholder),
            "{start} {}",
            value.to_string().get(..200).unwrap_or_default()
        );
        assert!(length <= MASK_REQUEST_BYTES, "{start} {length}");
    }
    // Long, and with a value in it.
    let long =
        format!(r#"{{"kind":"ConfigMap","data":{{"password":"x","y":"{}"}}}}"#, "z".repeat(REQUEST_BODY_BYTES - 100));
    assert!(kept("configmaps", &long).0.is_object());
}
