use std::error::Error as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::pattern::fits;
use super::*;
use crate::mask::frame::Presumed;
use crate::mask::tests::context;
use crate::mask::{AnswerMasker, Format, MaskError, is_placeholder, mask_value};
use crate::request_info::Verb;
use crate::restore::{ReadObject, Restorer, Why};

mod deep;
mod long;
mod owned;
mod places;
mod renames;

fn masking(resource: &str, verb: Verb, fields: &[&str]) -> MaskContext {
    context(resource, verb).with_fields(MaskedFields::parse(fields).unwrap())
}

fn run(context: &MaskContext, format: Format, pieces: &[&[u8]]) -> Result<Vec<u8>, crate::mask::AnswerMaskError> {
    let mut masker = AnswerMasker::new(context.clone(), format);
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out)?;
    }
    masker.finish(&mut out)?;
    Ok(out)
}

/// As the API server writes it: an object says first what it is (serde_json sorts).
fn text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| match name.as_str() {
                "kind" => 0,
                "apiVersion" => 1,
                _ => 2,
            });
            let member = |(name, value): (&String, &Value)| format!("{}:{}", json!(name), text(value));
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Whole, and cut at every place.
fn shown(context: &MaskContext, document: &Value) -> Value {
    let text = text(document);
    let whole = run(context, Format::Json, &[text.as_bytes()]).unwrap();
    for at in 0..text.len() {
        let (start, end) = text.as_bytes().split_at(at);
        assert_eq!(run(context, Format::Json, &[start, end]).unwrap(), whole, "cut at {at}");
    }
    serde_json::from_slice(&whole).unwrap()
}

fn config(data: &Value) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "default"}, "data": data})
}

/// Places whose text is a placeholder now, as JSON Pointers.
fn masked(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: String, found: &mut Vec<String>) {
        match value {
            Value::String(text) if is_placeholder(text) => found.push(path),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| walk(item, format!("{path}/{at}"), found));
            }
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| walk(member, format!("{path}/{name}"), found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(value, String::new(), &mut found);
    found
}

#[test]
fn patterns_reach_what_they_say() {
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "a", "env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "PORT", "value": "1"}]},
        {"name": "b", "env": [{"name": "password", "value": "y"}], "args": ["-p", "z"]},
    ], "limits": {"pin": 1234, "on": true, "none": null}}});
    for (field, expected) in [
        (
            "spec.containers[*].env[name=*PASSWORD*].value",
            &["/spec/containers/0/env/0/value", "/spec/containers/1/env/0/value"][..],
        ),
        ("$.spec.containers[name=b].args", &["/spec/containers/1/args/0", "/spec/containers/1/args/1"]),
        ("spec['containers'][*].args[*]", &["/spec/containers/1/args/0", "/spec/containers/1/args/1"]),
        (".spec.limits", &["/spec/limits/on", "/spec/limits/pin"]),
        ("spec.*.p*n", &["/spec/limits/pin"]),
        ("spec.containers.env", &[]),
        ("data.password", &[]),
    ] {
        assert_eq!(masked(&shown(&masking("pods", Verb::Get, &[field]), &pod)), expected, "{field}");
    }
    for wrong in ["", "$", "a..b", "a[", "a[]", "a[0]", "a[*", "a['b]", "a[=x]", "a[*]b", ".", "a['']"] {
        assert!(MaskedFields::parse(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn stars_stand_for_anything_and_case_for_nothing() {
    for (pattern, text, expected) in [
        ("*password*", "DB_Password_2", true),
        ("*password*", "passwor", false),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "acb", false),
        ("*", "", true),
        ("ab*ab", "ab", false),
        ("**x", "x", true),
        ("token", "TOKEN", true),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn m7_every_carrier_of_an_object() {
    let context = masking("configmaps", Verb::List, &["data.*password*"]);
    let object = config(&json!({"db.password": "CANARY-1", "plain": "x"}));
    let mut annotated = object.clone();
    annotated["metadata"]["annotations"] = json!({LAST_APPLIED: format!("{}\n", text(&object))});
    let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "items": [object, annotated]});
    let table =
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": ["c", 1, "5d"], "object": object}]});
    for document in [&object, &annotated, &list, &table] {
        let shown = shown(&context, document);
        assert!(!shown.to_string().contains("CANARY") && shown.to_string().contains("plain"), "{shown}");
    }
    let watch = masking("configmaps", Verb::Watch, &["data.*password*"]);
    let events = format!(
        "{}\n{}\n",
        text(&json!({"type": "ADDED", "object": object})),
        text(&json!({"type": "MODIFIED", "object": table}))
    );
    let pieces: Vec<&[u8]> = events.as_bytes().chunks(7).collect();
    let out = String::from_utf8(run(&watch, Format::Json, &pieces).unwrap()).unwrap();
    assert!(!out.contains("CANARY") && out.lines().count() == 2 && out.ends_with('\n'), "{out}");
    // An event is out when its last byte was in.
    let mut masker = AnswerMasker::new(watch, Format::Json);
    let mut out = Vec::new();
    masker.push(events.as_bytes().split_inclusive(|byte| *byte == b'\n').next().unwrap(), &mut out).unwrap();
    assert!(out.ends_with(b"\n"));
    // The same place has the same placeholder in last-applied.
    let shown = shown(&context, &annotated);
    let applied: Value =
        serde_json::from_str(shown["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap()).unwrap();
    assert_eq!(applied["data"], shown["data"]);
}

#[test]
fn m7_cells_of_tables_and_errors() {
    let context = masking("widgets", Verb::List, &["spec.token"]);
    let table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "rows": [{"cells": ["w", "CANARY", 3, "12d"], "object": {"metadata": {"name": "w"}}}]});
    assert_eq!(shown(&context, &table)["rows"][0]["cells"], json!(["w", "(masked)", 3, "12d"]));
    let status = |message: &str| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": 422});
    let quoting = status(r#"Widget "w" is invalid: spec.token: Invalid value: "CANARY""#);
    assert!(!shown(&context, &quoting).to_string().contains("CANARY"));
    let harmless = status(r#"widgets.example.com "w" not found"#);
    assert_eq!(shown(&context, &harmless), harmless);
}

#[test]
fn what_can_not_be_held_is_refused() {
    let context = masking("configmaps", Verb::List, &["data.password"]);
    let long = text(&config(&json!({"a": "x".repeat(shared::limits::MASK_FIELDS_BYTES)})));
    let error = run(&context, Format::Json, &[long.as_bytes()]).unwrap_err();
    assert!(matches!(error, crate::mask::AnswerMaskError::Json(MaskError::FieldsTooLong { .. })));
    // Short, and much in memory.
    let maps = r#"{"":0},"#.repeat(shared::limits::ANSWER_TREE_BYTES / 600);
    let much = format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","x":[{maps}0]}}"#);
    let error = run(&context, Format::Json, &[much.as_bytes()]).unwrap_err();
    assert!(matches!(error, crate::mask::AnswerMaskError::Json(MaskError::FieldsTooMany { .. })));
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("ask for fewer objects at once")));
    assert!(ReadObject::new(much.as_bytes(), &context).is_err());
    // A member that stands twice: only what was looked at passes.
    let twice = br#"{"kind":"ConfigMap","data":{"password":"CANARY"},"data":{"x":"y"}}"#;
    let out = run(&context, Format::Json, &[twice]).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("CANARY"));
}

#[test]
fn m6_a_field_goes_back_to_its_own_place_only() {
    let context = masking("configmaps", Verb::Get, &["data.*password*"]);
    let live = config(&json!({"password": "CANARY", "other-password": "o", "plain": "x"}));
    let read = ReadObject::new(text(&live).as_bytes(), &context).unwrap();
    let restorer =
        Restorer { secret: false, release: None, dry_run: false, live: Some(&read), more: &[], mask: &context };
    let shown = read.masked().clone();
    assert!(!shown.to_string().contains("CANARY"));
    let restored = |body: &Value| restorer.restore(crate::body::Encoding::Json, body);
    assert_eq!(restored(&shown).unwrap(), Some(live));
    // kubectl's file, applied: in last-applied too.
    let mut applied = shown.clone();
    applied["metadata"]["annotations"] = json!({LAST_APPLIED: shown.to_string()});
    let applied = restored(&applied).unwrap().unwrap();
    assert!(applied["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().contains("CANARY"));
    for moved in [
        config(&json!({"plain": shown["data"]["password"]})),
        config(&json!({"other-password": shown["data"]["password"]})),
        json!({"metadata": {"labels": {"x": shown["data"]["password"]}}}),
    ] {
        assert_eq!(restored(&moved).unwrap_err().why, Why::Elsewhere, "{moved}");
    }
    let nobody = Restorer { live: None, ..restorer };
    assert_eq!(nobody.restore(crate::body::Encoding::Json, &shown).unwrap_err().why, Why::Elsewhere);
}

#[test]
fn m4_protobuf_too() {
    use crate::body::tests::protobuf::{envelope as whole, field};
    let entry =
        |number: u8, key: &str, value: &[u8]| field(number, &[field(1, key.as_bytes()), field(2, value)].concat());
    let metadata = field(1, &[field(1, b"c"), field(3, b"default")].concat());
    let object = whole(
        "v1",
        "ConfigMap",
        &[metadata, entry(2, "password", b"CANARY-1"), entry(2, "plain", b"x"), entry(3, "password", b"CANARY-2")]
            .concat(),
    );
    let context = masking("configmaps", Verb::Get, &["data.password", "binaryData.password"]);
    let out = run(&context, Format::Protobuf, &[&object]).unwrap();
    assert!(memchr::memmem::find(&out, b"CANARY").is_none() && memchr::memmem::find(&out, b"plain").is_some());
    let read = crate::body::parse(Some("application/vnd.kubernetes.protobuf"), crate::body::BodyKind::Object, &out);
    let json = shown(&context, &config(&json!({"password": "CANARY-1", "plain": "x"})));
    assert_eq!(read.unwrap().value["data"], json["data"], "the same placeholder");
}

#[test]
fn requests_are_masked_for_the_record() {
    let context = MaskContext { root: Presumed::NotSecret, ..masking("configmaps", Verb::Patch, &["data.password"]) };
    let mut body = json!({"data": {"password": "CANARY", "x": "y"}});
    assert_eq!(mask_value(&mut body, &context), 1);
    assert_eq!(body["data"]["x"], "y");
    let mut patch = json!([{"op": "add", "path": "/data/password", "value": "CANARY"}]);
    mask_value(&mut patch, &context);
    assert!(!patch.to_string().contains("CANARY") && !body.to_string().contains("CANARY"));
}

/// With `spec.password` masked.
fn widget(verb: Verb, text: &str) -> String {
    String::from_utf8(run(&masking("widgets", verb, &["spec.password"]), Format::Json, &[text.as_bytes()]).unwrap())
        .unwrap()
}

#[test]
fn m7_a_kind_that_is_called_status_is_none() {
    let object = r#"{"apiVersion":"e.com/v1","kind":"Status","metadata":{"name":"a"},"spec":{"password":"CANARY"}}"#;
    for (verb, text) in
        [(Verb::Get, object.to_owned()), (Verb::Watch, format!(r#"{{"type":"ADDED","object":{object}}}"#))]
    {
        let out = widget(verb, &text);
        assert!(!out.contains("CANARY") && out.contains("spec"), "{out}");
    }
    // An error of the API server's, also in the middle of a watch, is left as it is.
    let error = r#"{"type":"ERROR","object":{"apiVersion":"v1","kind":"Status","spec":{"password":"plain"}}}"#;
    assert_eq!(
        widget(Verb::Watch, error),
        error.replace(r#""type":"ERROR","object""#, r#""object""#).replace("}}}", r#"}},"type":"ERROR"}"#)
    );
}

#[test]
fn m7_an_applied_document_is_read_in_one_way_or_not_shown() {
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    let maps = r#"{"":0},"#.repeat(shared::limits::ANNOTATION_TREE_BYTES / 600);
    for (what, spec) in [
        ("deep", format!(r#""spec":{{"a":{deep},"password":"CANARY"}}"#)),
        ("half a pair", r#""spec":{"a":"\ud800","password":"CANARY"}"#.to_owned()),
        ("a number", r#""spec":{"a":1e999,"password":"CANARY"}"#.to_owned()),
        ("twice", r#""spec":{"password":"CANARY"},"spec":{}"#.to_owned()),
        ("much", format!(r#""spec":{{"password":"CANARY"}},"x":[{maps}0]"#)),
    ] {
        let applied = format!(r#"{{"apiVersion":"e.com/v1","kind":"Widget",{spec}}}"#);
        let annotations = json!({LAST_APPLIED: applied, "plain": "x"});
        let text = format!(
            r#"{{"kind":"Widget","apiVersion":"e.com/v1","metadata":{{"name":"a","annotations":{annotations}}}}}"#
        );
        let out: Value = serde_json::from_str(&widget(Verb::Get, &text)).unwrap();
        assert!(is_placeholder(out["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap()), "{what}");
        assert_eq!(out["metadata"]["annotations"]["plain"], "x");
        // It is put back when it is written as it was shown.
        let context = masking("widgets", Verb::Get, &["spec.password"]);
        let read = ReadObject::new(text.as_bytes(), &context).unwrap();
        let restorer =
            Restorer { secret: false, release: None, dry_run: false, live: Some(&read), more: &[], mask: &context };
        let back = restorer.restore(crate::body::Encoding::Json, &out).unwrap().unwrap();
        assert_eq!(back["metadata"]["annotations"][LAST_APPLIED], applied.as_str(), "{what}");
    }
}

#[test]
fn m7_lists_of_lists_and_lists_that_were_applied() {
    let item = r#"{"apiVersion":"e.com/v1","kind":"Widget","metadata":{"name":"b"},"spec":{"password":"CANARY"}}"#;
    let applied = |text: &str| {
        format!(
            r#"{{"apiVersion":"e.com/v1","kind":"Widget","metadata":{{"name":"a","annotations":{}}}}}"#,
            json!({LAST_APPLIED: text})
        )
    };
    let list = format!(r#"{{"kind":"List","apiVersion":"v1","items":[{item}]}}"#);
    for text in [
        format!(r#"{{"kind":"WidgetList","apiVersion":"e.com/v1","items":[[{item}]]}}"#),
        format!(r#"{{"kind":"List","apiVersion":"v1","items":[{list}]}}"#),
        format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{{"cells":["a"],"object":{list}}}]}}"#),
        applied(&format!("[{item}]")),
        applied(&list),
        applied(&format!(r#"[[{list}]]"#)),
    ] {
        let out = widget(Verb::List, &text);
        assert!(!out.contains("CANARY") && out.contains("password"), "{out}");
    }
    // Each has the placeholder of its own object, as it stands alone.
    let alone: Value = serde_json::from_str(&widget(Verb::Get, item)).unwrap();
    let out = widget(Verb::Get, &applied(&list));
    assert!(out.contains(alone["spec"]["password"].as_str().unwrap()), "{out}");
}

#[test]
fn m7_cells_that_are_no_texts() {
    let table = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{"cells":["a",["CANARY"],{"x":"CANARY"},"CANARY",3,true],"object":{"metadata":{"name":"a"}}}]}"#;
    let out: Value = serde_json::from_str(&widget(Verb::List, table)).unwrap();
    assert_eq!(out["rows"][0]["cells"], json!(["a", CELL, CELL, CELL, 3, true]));
}

#[test]
fn numbers_and_order_are_left_as_they_are() {
    let numbers = [
        "31.245270191439438",
        "121.48791951161945",
        "18446744073709551616",
        "100000000000000000000000",
        "1e5",
        "-0",
        "1.0",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "-9223372036854775808",
        "18446744073709551615",
    ];
    let spec = |password: &str| {
        format!(r#"{{"z":[{}],"password":{password},"a":{{"\"1.5":1.50,"n":null,"t":true}}}}"#, numbers.join(","))
    };
    let object = |password: &str| format!(r#"{{"kind":"Widget","apiVersion":"e.com/v1","spec":{}}}"#, spec(password));
    let hidden = |out: &str, password: &str| {
        let value: Value = serde_json::from_str(out).unwrap();
        object(password).replace("CANARY", value["spec"]["password"].as_str().unwrap())
    };
    let out = widget(Verb::Get, &object(r#""CANARY""#));
    assert_eq!(out, hidden(&out, r#""CANARY""#));
    // One that is masked, whatever it is, leaves the others in their places.
    let out = widget(Verb::Get, &object("1e9"));
    assert_eq!(out, hidden(&out, r#""CANARY""#));
    let out = widget(Verb::Get, &object(r#"[0.25,{"x":2e2}]"#));
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out, object(&value["spec"]["password"].to_string()));
    assert_eq!(masked(&value), ["/spec/password/0", "/spec/password/1/x"]);
    // Of a member that stands twice one is shown, also beside such numbers.
    let twice = r#"{"kind":"Widget","spec":{"password":"CANARY","x":1e5},"spec":{"x":2e5}}"#;
    let out = widget(Verb::Get, twice);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({"kind": "Widget", "spec": {"x": 200_000.0}}));
    assert_eq!(out.matches("spec").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is masked comes back, and nothing else changes.
    #[test]
    fn m6_restored_is_what_was(data in prop::collection::btree_map("[a-d.]{1,3}", "[ -~é]{0,9}", 0..5), size in 1_usize..30) {
        let context = masking("configmaps", Verb::Get, &["data.a*", "data['b.c']"]);
        let live = config(&json!(data));
        let text = text(&live);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let shown: Value = serde_json::from_slice(&run(&context, Format::Json, &pieces).unwrap()).unwrap();
        for (key, value) in &data {
            let hidden = key.starts_with('a') || key == "b.c";
            prop_assert_eq!(shown["data"][key].as_str().is_some_and(is_placeholder), hidden, "{} {}", key, value);
            prop_assert!(hidden || shown["data"][key] == *value.as_str());
        }
        let read = ReadObject::new(text.as_bytes(), &context).unwrap();
        prop_assert_eq!(read.masked(), &shown);
        let restorer = Restorer { secret: false, release: None, dry_run: false, live: Some(&read), more: &[], mask: &context };
        let back = restorer.restore(crate::body::Encoding::Json, &shown).unwrap().unwrap_or(shown);
        prop_assert_eq!(back, live);
    }
}
