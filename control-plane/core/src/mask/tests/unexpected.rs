//! Secrets where nobody expects any, and texts that are almost documents.

use super::*;

/// As typed objects are written.
const TYPED: &str =
    r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db"},"data":{"p":"Q0FOQVJZLXZhbHVl"},"type":"Opaque"}"#;

/// As unstructured ones are, their members sorted: so much is in it that its kind comes in another frame.
fn sorted(length: usize) -> String {
    let long = "x".repeat(length);
    format!(
        r#"{{"apiVersion":"v1","data":{{"p":"{CANARY}","q":"{long}"}},"kind":"Secret","metadata":{{"name":"db"}}}}"#
    )
}

/// In a custom resource.
fn custom(members: &str) -> String {
    format!(r#"{{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"w"}},{members}}}"#)
}

/// What a client has in the end, also of an answer that ends with an error.
fn seen(text: &str) -> (String, bool) {
    let mut masker = Masker::new(context("widgets", Verb::Get));
    let mut out = Vec::new();
    let frames = text.as_bytes().chunks(16 * 1024).all(|frame| masker.push(frame, &mut out).is_ok());
    (String::from_utf8(out).unwrap(), frames && masker.finish().is_ok())
}

#[track_caller]
fn hidden(text: &str) {
    let (out, whole) = seen(text);
    assert!(whole && !out.contains(CANARY), "{whole}: {}", out.get(..400).unwrap_or(&out));
}

#[test]
fn m1_in_lists_of_custom_resources() {
    for length in [1, 20_000] {
        let list = format!(r#"{{"apiVersion":"v1","items":[{}],"kind":"List"}}"#, sorted(length));
        hidden(&custom(&format!(r#""spec":{{"manifest":{list}}}"#)));
        let list = format!(r#"{{"kind":"List","apiVersion":"v1","items":[{}]}}"#, sorted(length));
        hidden(&custom(&format!(r#""spec":{{"manifest":{list}}}"#)));
        let items = format!(r#"{{"apiVersion":"example.com/v1","items":[{}],"kind":"Bundle"}}"#, sorted(length));
        hidden(&items);
    }
}

#[test]
fn m1_where_a_map_has_no_data_of_its_own() {
    let annotations = json!({LAST_APPLIED: TYPED, "x": TYPED});
    for members in [
        format!(r#""rows":[{TYPED}]"#),
        format!(r#""spec":{{"annotations":{TYPED}}}"#),
        format!(r#""spec":{{"kind":"y","metadata":{TYPED}}}"#),
        format!(r#""spec":{{"kind":"y","metadata":{{"data":"{CANARY}","stringData":["{CANARY}"]}}}}"#),
        format!(r#""spec":{{"kind":"y","metadata":{{"managedFields":[{{"x":{TYPED}}}]}}}}"#),
        format!(r#""spec":{{"kind":"y","metadata":{{"managedFields":[{TYPED},[{TYPED}]]}}}}"#),
        format!(r#""spec":{{"kind":"y","metadata":{{"managedFields":[{{"fieldsV1":{TYPED}}}]}}}}"#),
        format!(r#""rows":[[{TYPED}]]"#),
        format!(r#""rows":[{{"annotations":{annotations}}}]"#),
        format!(r#""spec":{{"kind":"y","metadata":{{"managedFields":[{{"annotations":{annotations}}}]}}}}"#),
        format!(r#""spec":{{"annotations":{{"annotations":{annotations}}}}}"#),
        format!(r#""spec":{{"kind":"TokenRequest","spec":{{"annotations":{annotations}}}}}"#),
        format!(
            r#""spec":{{"kind":"Status","details":{{"annotations":{annotations},"causes":[[{TYPED}],{{"annotations":{annotations}}}]}}}}"#
        ),
        format!(r#""spec":{{"kind":"TokenRequest","spec":{TYPED}}}"#),
        format!(r#""spec":{{"kind":"TokenReview","status":{TYPED}}}"#),
        format!(r#""spec":{{"kind":"Status","details":{TYPED}}}"#),
        format!(r#""spec":{{"kind":"Status","details":{{"causes":[{TYPED}]}}}}"#),
        format!(r#""spec":{{"kind":"Status","details":{{"data":"{CANARY}","causes":[{{"stringData":"{CANARY}"}}]}}}}"#),
    ] {
        let text = custom(&members);
        let (out, _) = mask(&context("widgets", Verb::Get), &text).unwrap();
        assert!(!out.contains(CANARY), "{out}");
        let mut plain: Value = serde_json::from_str(&text).unwrap();
        mask_value(&mut plain, &context("widgets", Verb::Get));
        assert!(!plain.to_string().contains(CANARY), "{plain}");
    }
    // A section with nothing in it counts as often as it stands there, also where it was read before.
    let entry = r#"{"fieldsV1":{"data":{}}}"#;
    let members = format!(
        r#""spec":{{"kind":"y","metadata":{{"managedFields":[{entry},{entry},{entry}]}},"list":[{{"kind":"Secret","apiVersion":"v1","data":{{"p":"x"}}}}]}}"#
    );
    mask(&context("widgets", Verb::Get), &custom(&members)).unwrap();
    // With nothing in it, it is the same in one piece and in many.
    for nothing in ["[]", "{}", "null", r#""""#] {
        let members = format!(
            r#""spec":{{"annotations":{{"data":{nothing},"stringData":{nothing}}},"list":[{{"kind":"Secret","apiVersion":"v1","data":{{"p":"x"}}}}]}}"#
        );
        mask(&context("widgets", Verb::Get), &custom(&members)).unwrap();
    }
    // Annotations that are called so are texts.
    passes(
        "pods",
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","annotations":{"data":"x","kind":"Secret"}}}"#,
    );
}

#[test]
fn m1_the_core_group_with_a_slash() {
    hidden(&custom(&format!(r#""spec":{}"#, TYPED.replace(r#""v1""#, r#""/v1""#))));
    // Any other group has its own kinds.
    passes("widgets", &custom(&format!(r#""spec":{}"#, TYPED.replace(r#""v1""#, r#""a/v1""#))));
}

/// What was passed on before it showed what it is ends the answer, also in an annotation that is too long to be held.
#[test]
fn m2_a_long_annotation_never_ends_well_with_a_value_in_it() {
    let long = "p".repeat(shared::limits::MASK_LOOKAHEAD_BYTES);
    let annotated = |name: &str, inner: &str| {
        let applied = custom(&format!(r#""spec":{{"a":"{long}","manifest":{inner}}}"#));
        let annotations = json!({name: applied});
        format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{{"cells":["w"],"object":{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{"name":"w","annotations":{annotations}}}}}}}]}}"#
        )
    };
    let list = format!(r#"{{"apiVersion":"v1","items":[{}],"kind":"List"}}"#, sorted(3000));
    let silent = format!(r#"{{"data":{{"p":"{CANARY}","q":"{}"}},"kind":"Secret"}}"#, "x".repeat(3000));
    for name in [LAST_APPLIED, "example.com/x"] {
        hidden(&annotated(name, &list));
        let (_, whole) = seen(&annotated(name, &silent));
        assert!(!whole, "{name}");
    }
}

#[test]
fn m2_annotations_that_are_almost_documents() {
    let annotated = |kind: &str, text: &str| {
        let annotations = json!({"x": text});
        format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"a","annotations":{annotations}}}}}"#)
    };
    for (kind, text) in [
        ("Pod", format!(r#"{{"apiVersion":"v1","kind":"\u0053ecret","data":{{"p":"{CANARY}"}}}};"#)),
        ("Pod", format!(r#"{{"apiVersion":"v1","kind":"secret","data":{{"p":"{CANARY}"}},}}"#)),
        ("Secret", format!(r#"{{"data":{{"p":"{CANARY}"}},}}"#)),
        ("Secret", format!(r#"{{"data":{{"p":"{CANARY}""#)),
    ] {
        hidden(&annotated(kind, &text));
    }
    // A template is none.
    for text in ["{{ $labels.namespace }}: the Secret expires soon", "{kept", "[kept]: a text"] {
        passes("pods", &annotated("Pod", text));
    }
}

/// Names that are too long mean the same in one piece and in many.
#[test]
fn m4_names_that_are_too_long() {
    let long = "n".repeat(shared::limits::MASK_KEY_BYTES + 1);
    for text in [
        format!(
            r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"a","managedFields":[{{"fieldsV1":{{"f:data":{{"f:{long}":{{}}}}}}}}]}}}}"#
        ),
        format!(r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"{long}"}},"data":{{"p":"{CANARY}"}}}}"#),
        format!(r#"{{"kind":"Secret","apiVersion":"{long}/v1","data":{{"p":"{CANARY}"}}}}"#),
    ] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(7).collect();
        let context = context("widgets", Verb::Get);
        assert_eq!(run(&context, &[text.as_bytes()]), run(&context, &pieces), "{text}");
    }
}

/// Below `f:data` of a Secret stand names only.
#[test]
fn m2_managed_fields_that_are_no_maps() {
    for fields in [r#"{"f:data":"Q0FOQVJZLXZhbHVl"}"#, r#"{"f:data":["Q0FOQVJZLXZhbHVl"],"f:stringData":1}"#] {
        let text = format!(
            r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"a","managedFields":[{{"fieldsV1":{fields}}}]}}}}"#
        );
        let (out, _) = mask(&context("secrets", Verb::Get), &text).unwrap();
        assert!(!out.contains(CANARY), "{out}");
        let mut plain: Value = serde_json::from_str(&text).unwrap();
        mask_value(&mut plain, &context("secrets", Verb::Get));
        assert_eq!(plain, serde_json::from_str::<Value>(&out).unwrap(), "{text}");
    }
}

/// Documents that don't say what they are, as patches don't, where nothing else says it either.
#[test]
fn m2_documents_without_a_kind() {
    let annotated = |kind: &str, name: &str, text: &str| {
        let annotations = json!({name: text});
        format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"a","annotations":{annotations}}}}}"#)
    };
    let long = " ".repeat(shared::limits::MASK_LOOKAHEAD_BYTES);
    for text in [
        format!(r#"{{"stringData":{{"p":"{CANARY}"}}}}"#),
        format!(r#"{{"metadata":{{"name":"db"}},"stringdata":{{"p":"{CANARY}"}},"type":"Opaque"}}"#),
        format!(r#"{{"apiVersion":"v1","data":{{"p":"{CANARY}"}}}}"#),
        format!(r#"{{"data":{{"p":"{CANARY}"}},"apiVersion":"v1"}}"#),
        format!(r#"{{}}[{{"apiVersion":"v1","data":{{"p":"{CANARY}"}}}}]"#),
        format!(r#"[{{"metadata":{{"name":"db"}},"stringData":{{"p":"{CANARY}"}}}}]"#),
    ] {
        for (kind, name) in [("ConfigMap", "x"), ("Pod", "x"), ("Pod", LAST_APPLIED)] {
            // That is one document.
            if name == LAST_APPLIED && text.starts_with("{}") {
                continue;
            }
            let object = annotated(kind, name, &text);
            hidden(&object);
            hidden(&annotated(kind, name, &format!("{long}{text}")));
            // As the reference has it.
            let mut plain: Value = serde_json::from_str(&object).unwrap();
            mask_value(&mut plain, &context("pods", Verb::Get));
            assert!(!plain.to_string().contains(CANARY), "{plain}");
        }
    }
    for text in [
        r#"{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap"}"#,
        r#"{"data":{"a":"b"},"kind":"ConfigMap","stringData":{}}"#,
        r#"{"apiVersion":"example.com/v1","data":{"a":"b"}}"#,
        r#"{"apiVersion":"example.com/v1","stringData":{"a":"b"}}"#,
        r#"{"data":{"a":"b"}}"#,
        r#"{"spec":{"template":{"stringData":{"a":"b"}}}}"#,
        r#"{"apiVersion":"v1","fieldPath":"data.x","data":null}"#,
    ] {
        for (kind, name) in [("ConfigMap", "x"), ("Pod", LAST_APPLIED)] {
            passes("pods", &annotated(kind, name, text));
        }
    }
}

/// What JSON can't read, YAML may: a word without quotes behind it says what the `data` was.
#[test]
fn m2_long_braces_of_which_json_reads_a_part() {
    let long = "x".repeat(shared::limits::MASK_LOOKAHEAD_BYTES);
    for (text, whole) in [
        (format!(r#"{{"spec": {{"data": {{"p": "{CANARY}"}}, "a": "{long}", kind: Secret, apiVersion: v1}}}}"#), false),
        (format!(r#"{{"a": "{long}", "spec": {{"data": {{"p": "{CANARY}"}}, kind: Secret, apiVersion: v1}}}}"#), false),
        (format!(r#"{{"a": "{long}", "spec": {{"data": {{"p": "{CANARY}"}}, "x": {{y}}, "kind": "Secret"}}}}"#), false),
        (format!(r#"{{"a": "{long}", "data": {{"p": "{CANARY}"}}, kind: Secret}}"#), true),
        (format!(r#"{{"a": "{long}", kind: Secret, "data": {{"p": "{CANARY}"}}}}"#), true),
    ] {
        let object = format!(
            r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"a","annotations":{}}}}}"#,
            json!({"x": text})
        );
        let (out, is_whole) = seen(&object);
        assert_eq!(is_whole, whole, "{}", text.replace(&long, "…"));
        assert!(!is_whole || !out.contains(CANARY), "{}", text.replace(&long, "…"));
    }
    // Nothing of a Secret was in what came before.
    let text = format!(r#"{{"a": "{long}", "spec": {{"data": {{"p": "q"}}, "kind": "Widget", odd}}}}"#);
    let object =
        format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"a","annotations":{}}}}}"#, json!({"x": text}));
    assert!(seen(&object).1);
}
