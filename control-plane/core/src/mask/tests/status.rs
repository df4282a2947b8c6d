//! A `Status` that doesn't say first that it is one: the API server's own does, but not all that its answers are put together from.

use shared::ids::OperationId;

use super::*;
use crate::mask::status::GENERIC;

const QUOTING: &str = r#"Secret \"db\" is invalid: data[p]: Invalid value: \"Q0FOQVJZLXZhbHVl\""#;

/// As Go writes what is no type of its own: sorted.
fn sorted(kind: &str, cause: &str, message: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","code":422,"details":{{"causes":[{{"field":"data[p]","message":"{cause}","reason":"FieldValueInvalid"}}],"kind":"{kind}","name":"db"}},"kind":"Status","message":"{message}","metadata":{{}},"reason":"Invalid","status":"Failure"}}"#
    )
}

/// What comes out of an answer about anything, and of a watch, is either masked or not there.
fn hidden(text: &str) {
    let event = format!(r#"{{"type":"ERROR","object":{text}}}"#);
    for (verb, text) in [(Verb::Get, text), (Verb::Watch, &event)] {
        match mask(&context("widgets", verb), text) {
            Ok((out, _)) => assert!(!out.contains(CANARY), "{out}"),
            Err(error) => assert!(matches!(error, MaskError::TooLate { .. }), "{error} {text}"),
        }
    }
}

#[test]
fn m3_a_status_with_sorted_members() {
    let out = masked("widgets", &sorted("Secret", QUOTING, QUOTING));
    assert_eq!((&out["message"], &out["details"]["causes"][0]["message"]), (&json!(GENERIC), &json!(GENERIC)));
    assert_eq!(out["details"]["name"], "db");
    // Nothing in the text says what it is about, and the details do so at their end.
    let odd = format!("odd text with {CANARY}");
    let late = mask(&context("widgets", Verb::Get), &sorted("secrets", &odd, &odd));
    assert!(matches!(late, Err(MaskError::TooLate { .. })));
    let harmless = r#"secrets \"db\" not found"#;
    passes("widgets", &sorted("secrets", harmless, harmless));
    passes("widgets", &sorted("widgets", "spec.x: Required value", "odd"));
    for text in [
        format!(r#"{{"message":"{QUOTING}","kind":"Status","apiVersion":"v1"}}"#),
        format!(r#"{{"details":{{"causes":[{{"message":"{QUOTING}"}}]}},"kind":"Status"}}"#),
        format!(r#"{{"details":{{"causes":[{{"message":"{QUOTING}"}}]}},"apiVersion":"v1","kind":"Status"}}"#),
        format!(r#"{{"kind":"List","apiVersion":"v1","items":[{}]}}"#, sorted("Secret", QUOTING, QUOTING)),
    ] {
        hidden(&text);
    }
}

/// Where nobody expects one it shows too late, or is replaced with the annotation that it stands in.
#[test]
fn m3_a_status_where_nobody_expects_one() {
    let status = sorted("Secret", QUOTING, QUOTING);
    hidden(&format!(r#"{{"kind":"WidgetList","apiVersion":"example.com/v1","items":[{status}]}}"#));
    hidden(&format!(r#"{{"kind":"Widget","apiVersion":"example.com/v1","status":{{"last":{status}}}}}"#));
    hidden(&format!(
        r#"{{"kind":"Widget","apiVersion":"example.com/v1","last":{{"details":{{"x":"{QUOTING}"}},"kind":"Status","apiVersion":"v1"}}}}"#
    ));
    // What it doesn't quote from a Secret stays, also in a text that is too long to be held.
    let harmless = sorted("widgets", "spec.x: Required value", "odd");
    passes("widgets", &format!(r#"{{"kind":"Widget","apiVersion":"example.com/v1","status":{{"last":{harmless}}}}}"#));
    for text in [harmless.clone(), format!("{}{harmless}", " ".repeat(shared::limits::MASK_LOOKAHEAD_BYTES))] {
        let annotations = json!({"a": text});
        let object =
            format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"w","annotations":{annotations}}}}}"#);
        let (out, _) = run(&context("pods", Verb::Get), &[object.as_bytes()]).unwrap();
        assert_eq!(out, object);
    }
    for kind in ["Widget", "Secret"] {
        hidden(&format!(
            r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"w","annotations":{{"a":{}}}}}}}"#,
            Value::from(status.clone())
        ));
    }
}

/// Details, messages and reasons are what many objects have.
#[test]
fn m3_what_only_looks_like_a_status_passes() {
    for text in [
        format!(
            r#"{{"apiVersion":"example.com/v1","details":{{"x":"{QUOTING}"}},"kind":"Widget","message":"{QUOTING}","reason":"x"}}"#
        ),
        format!(
            r#"{{"kind":"Event","apiVersion":"v1","involvedObject":{{"kind":"Secret"}},"message":"{QUOTING}","reason":"Failed"}}"#
        ),
        format!(
            r#"{{"kind":"EventList","apiVersion":"v1","items":[{{"metadata":{{}},"message":"{QUOTING}","reason":"Failed"}}]}}"#
        ),
        format!(
            r#"{{"kind":"Widget","apiVersion":"example.com/v1","status":{{"conditions":[{{"message":"{QUOTING}","reason":"x","status":"False"}}],"details":{{"a":"{QUOTING}"}}}}}}"#
        ),
        // A kind of its own, and a word in an object.
        r#"{"apiVersion":"example.com/v1","details":{"x":"y"},"kind":"Status","message":"z"}"#.to_owned(),
        format!(
            r#"{{"apiVersion":"example.com/v1","kind":"Board","spec":{{"parts":[{{"details":{{"x":"{QUOTING}"}},"kind":"Status"}}]}}}}"#
        ),
        format!(
            r#"{{"apiVersion":"example.com/v1","kind":"Board","spec":{{"parts":[{{"message":"{QUOTING}","kind":"Status"}}]}}}}"#
        ),
        r#"{"apiVersion":"v1","details":{"x":"An odd text"},"kind":"Pod","message":"An odd text","reason":"x y"}"#
            .to_owned(),
    ] {
        passes("widgets", &text);
    }
    // In an annotation.
    let text = json!(r#"{"details":{"x":"Y z"},"message":"An odd text","reason":"x y","status":"synced"}"#);
    let map =
        format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"a","annotations":{{"a":{text}}}}}}}"#);
    passes("configmaps", &map);
}

/// Nobody sees the words; whoever looks after the cluster finds them by the operation.
#[test]
fn m3_what_stands_in_for_words_names_the_operation() {
    let operation = OperationId::new(uuid::Uuid::now_v7());
    let said = sorted("secrets", QUOTING, QUOTING);
    let late = mask(&context("secrets", Verb::Get).of_operation(operation), &said);
    let out: Value = serde_json::from_str(&late.unwrap().0).unwrap();
    let expected = json!(format!("{GENERIC} [sallyport operation {operation}]"));
    assert_eq!((&out["message"], &out["details"]["causes"][0]["message"]), (&expected, &expected));
    // The API server's own words are its own.
    let harmless = sorted("secrets", r#"secrets \"db\" not found"#, r#"secrets \"db\" not found"#);
    let shown = mask(&context("secrets", Verb::Get).of_operation(operation), &harmless).unwrap().0;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), serde_json::from_str::<Value>(&harmless).unwrap());
}
