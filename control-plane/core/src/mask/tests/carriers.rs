//! Where values travel (SECURITY.md M1, M2, M3, M7): each carrier and its harmless twin.

use super::super::status::GENERIC;
use super::*;

fn is_masked(value: &Value) -> bool {
    value.as_str().is_some_and(is_placeholder)
}

#[test]
fn m1_secret_by_kind_whatever_was_asked_for() {
    for resource in ["secrets", "pods", "widgets"] {
        let out = masked(resource, SECRET);
        assert!(is_masked(&out["data"]["p"]));
        assert_eq!(out["metadata"]["name"], "db");
        assert_eq!(out["type"], "Opaque");
    }
}

#[test]
fn m1_values_that_are_no_strings() {
    let out = masked(
        "secrets",
        r#"{"kind":"Secret","apiVersion":"v1","data":{"a":1,"b":true,"c":null,"d":{"e":["Q0FOQVJZLXZhbHVl"]},"f":["Q0FOQVJZLXZhbHVl",{}],"g":"","h":-1.5e3},"stringData":{"x":"Q0FOQVJZLXZhbHVl"}}"#,
    );
    for key in ["a", "b", "d", "f", "g", "h"] {
        assert!(is_masked(&out["data"][key]), "{key}");
    }
    assert_eq!(out["data"]["c"], Value::Null);
    assert!(is_masked(&out["stringData"]["x"]));
    for data in [r#""Q0FOQVJZLXZhbHVl""#, r#"["Q0FOQVJZLXZhbHVl"]"#, "12"] {
        let out = masked("pods", &format!(r#"{{"kind":"Secret","apiVersion":"v1","data":{data}}}"#));
        assert!(is_masked(&out["data"]), "{data}");
    }
}

#[test]
fn m1_lists() {
    // Typed lists: the elements say neither kind nor apiVersion.
    let item = r#"{"metadata":{"name":"db"},"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#;
    for list in [
        format!(r#"{{"kind":"SecretList","apiVersion":"v1","metadata":{{}},"items":[{item},{item}]}}"#),
        format!(r#"{{"items":[{item}],"kind":"SecretList"}}"#),
        format!(r#"{{"kind":"List","apiVersion":"v1","items":[{item}]}}"#),
        format!(
            r#"{{"kind":"List","apiVersion":"v1","items":[{{"kind":"List","apiVersion":"v1","items":[{SECRET}]}}]}}"#
        ),
        format!(r#"{{"kind":"PodList","apiVersion":"v1","items":[{SECRET}]}}"#),
        format!(r#"{{"spec":{{"kind":"SecretList","apiVersion":"v1","items":[{item}]}}}}"#),
    ] {
        masked("pods", &list);
    }
    masked("secrets", &format!(r#"{{"kind":"Whatever","items":[{item}]}}"#));
}

#[test]
fn m1_order_of_members() {
    for object in [
        r#"{"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"ConfigMap"}"#,
        r#"{"apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"Secret","metadata":{"name":"db"}}"#,
        r#"{"spec":{"manifest":{"apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"Secret"}}}"#,
        r#"{"spec":[{"kind":"Secret","data":{"p":"Q0FOQVJZLXZhbHVl"}}]}"#,
        r#"{"kind":"Secret","kind":"ConfigMap","data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"kind":"ConfigMap","kind":"Secret","data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"apiVersion":"apps/v1","apiVersion":"v1","kind":"Secret","data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"kind":"Secret","data":{"p":"x"},"data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"k\u0069nd":"S\u0065cret","d\u0061ta":{"\u0070":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"{"kind":"secret","Data":{"p":"Q0FOQVJZLXZhbHVl"},"STRINGDATA":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        " { \"kind\" : \"Secret\" ,\n\t\"data\" : { \"p\" :\r\n \"Q0FOQVJZLXZhbHVl\" } } ",
    ] {
        masked("widgets", object);
    }
}

#[test]
fn m1_what_is_no_secret_passes() {
    for object in [
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"p":"v"}}"#,
        r#"{"kind":"ConfigMapList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"data":{"p":"v"}}]}"#,
        r#"{"apiVersion":"example.com/v1","data":{"p":"v"},"kind":"Widget"}"#,
        r#"{"apiVersion":"example.com/v1","items":[{"apiVersion":"example.com/v1","data":{"p":"v"},"kind":"Widget"}],"kind":"WidgetList"}"#,
        r#"{"kind":"Secret","apiVersion":"secretmanager.example.com/v1","spec":{"data":{"p":"v"}}}"#,
        r#"{"kind":"ExternalSecret","apiVersion":"external-secrets.io/v1","spec":{"data":[{"secretKey":"p"}],"target":{"template":{"data":{"a":"b"}}}}}"#,
        r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{"schema":{"properties":{"data":{"type":"object"},"kind":{"type":"string"}}}}}"#,
        r#"{"kind":"Pod","apiVersion":"v1","spec":{"volumes":[{"name":"s","secret":{"secretName":"db","items":[{"key":"p","path":"q"}]}}]}}"#,
        r#"{"kind":"Event","apiVersion":"v1","involvedObject":{"kind":"Secret","name":"db"},"message":"secrets \"db\" …"}"#,
        r#"{"kind":"Pod","apiVersion":"v1","spec":{"n":[1,-0.5,1e9,0,true,false,null,[],{},"é\u00e9\ud83d\ude00\ud83d"]}}"#,
        "[1, 2]",
        "17",
        "\"text\"",
    ] {
        passes("widgets", object);
    }
}

#[test]
fn m1_a_secret_that_shows_too_late_ends_the_stream() {
    for object in [
        r#"{"spec":{"data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"Secret"}}"#,
        r#"{"kind":"ConfigMap","data":{"p":"Q0FOQVJZLXZhbHVl"},"kind":"Secret"}"#,
        r#"{"spec":{"items":[{"data":{"p":"Q0FOQVJZLXZhbHVl"}}],"kind":"SecretList"}}"#,
    ] {
        let context = context("widgets", Verb::Get);
        assert!(matches!(mask(&context, object), Err(MaskError::TooLate { .. })), "{object}");
        // Nothing of the piece in which it shows is passed on, and the masker stays closed.
        let mut masker = Masker::new(context);
        let mut out = b"before".to_vec();
        let error = masker.push(object.as_bytes(), &mut out).unwrap_err();
        assert_eq!(out, b"before");
        assert_eq!(masker.push(b"{}", &mut out), Err(error));
        assert_eq!(masker.finish(), Err(error));
    }
}

#[test]
fn m1_watch_events_are_whole_at_their_last_byte() {
    let events = [
        format!(r#"{{"type":"ADDED","object":{SECRET}}}"#),
        format!(r#"{{"type":"MODIFIED","object":{SECRET}}}"#),
        format!(r#"{{"object":{{"metadata":{{}},"data":{{"p":"{CANARY}"}}}},"type":"DELETED"}}"#),
        r#"{"type":"BOOKMARK","object":{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"7"}}}"#.to_owned(),
        r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","message":"too old resource version: 1 (2)","code":410}}"#
            .to_owned(),
    ];
    for resource in ["secrets", "pods"] {
        let mut masker = Masker::new(context(resource, Verb::Watch));
        let mut all = String::new();
        for event in &events {
            let mut out = Vec::new();
            masker.push(event.as_bytes(), &mut out).unwrap();
            let value: Value = serde_json::from_slice(&out).unwrap();
            assert!(value["type"].is_string());
            all.push_str(&String::from_utf8(out).unwrap());
            masker.push(b"\n", &mut Vec::new()).unwrap();
        }
        assert!(!all.contains(CANARY));
        let summary = masker.finish().unwrap();
        assert_eq!((summary.documents, summary.masked), (5, 3));
        mask(&context(resource, Verb::Watch), &events.concat()).unwrap();
    }
}

#[test]
fn m1_tables_and_partial_objects() {
    let out = masked(
        "secrets",
        &format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[{{"name":"Name","type":"string"}}],"rows":[{{"cells":["db",1],"object":{SECRET}}},{{"cells":["x",2],"object":{{"data":{{"p":"{CANARY}"}}}}}}]}}"#
        ),
    );
    assert_eq!(out["rows"][0]["cells"], json!(["db", 1]));
    let applied = json!({"apiVersion": "v1", "data": {"p": CANARY}, "kind": "Secret"}).to_string();
    let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "db", "annotations": {LAST_APPLIED: applied}}});
    masked("secrets", &object.to_string());
    masked("pods", &json!({"kind": "Table", "rows": [{"object": object}]}).to_string());
    masked("pods", &json!({"kind": "PartialObjectMetadataList", "items": [object]}).to_string());
}

fn annotated(kind: &str, name: &str, text: &str) -> String {
    let text = Value::from(text);
    format!(
        r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"db","namespace":"default","annotations":{{"{name}":{text},"other":"kept"}}}}}}"#
    )
}

fn annotation(out: &Value, name: &str) -> Value {
    assert_eq!(out["metadata"]["annotations"]["other"], "kept");
    serde_json::from_str(out["metadata"]["annotations"][name].as_str().unwrap()).unwrap()
}

#[test]
fn m2_last_applied_of_every_kind() {
    let sorted = secret().to_string();
    let list = json!({"apiVersion": "v1", "items": [secret(), {"kind": "Pod"}], "kind": "List"}).to_string();
    for kind in ["Secret", "ConfigMap", "Deployment", "Widget", ""] {
        let out = annotation(&masked("widgets", &annotated(kind, LAST_APPLIED, &format!("{sorted}\n"))), LAST_APPLIED);
        assert!(is_masked(&out["data"]["p"]));
        assert_eq!(out["metadata"]["name"], "db");
        let out = annotation(&masked("widgets", &annotated(kind, LAST_APPLIED, &list)), LAST_APPLIED);
        assert!(is_masked(&out["items"][0]["data"]["p"]), "{out}");
        // Escapes in the text, and in its escapes.
        let escaped = SECRET.replace("data", "d\\u0061ta");
        masked("widgets", &annotated(kind, LAST_APPLIED, &escaped));
    }
    // In a pod template, and of a list element.
    let template = format!(r#"{{"kind":"Deployment","spec":{{"template":{}}}}}"#, annotated("", LAST_APPLIED, &sorted));
    masked("deployments", &template);
    masked("pods", &format!(r#"{{"kind":"PodList","items":[{}]}}"#, annotated("Pod", LAST_APPLIED, &sorted)));
}

#[test]
fn m2_last_applied_of_a_config_map_is_left_alone() {
    let applied =
        r#"{"apiVersion":"v1","data":{"a":"b\n\"c\""},"kind":"ConfigMap","metadata":{"annotations":{},"name":"a"}}"#;
    passes("configmaps", &annotated("ConfigMap", LAST_APPLIED, applied));
    // Of a Secret everything is.
    masked("secrets", &annotated("Secret", LAST_APPLIED, &applied.replace("\"b", &format!("\"{CANARY}"))));
}

#[test]
fn m2_last_applied_that_does_not_parse_is_replaced() {
    for text in [
        CANARY.to_owned(),
        format!("{{\"kind\":\"Secret\",\"data\":{{\"p\":\"{CANARY}\"}}"),
        format!("kind: Secret\ndata: {{p: {CANARY}}}"),
        format!("{{}} {CANARY}"),
        format!("\"{CANARY}\""),
        format!("{{\"data\":\"{CANARY}\n\"}}"),
    ] {
        for kind in ["Secret", "ConfigMap"] {
            let out = masked("widgets", &annotated(kind, LAST_APPLIED, &text));
            assert!(is_masked(&out["metadata"]["annotations"][LAST_APPLIED]), "{text}");
        }
    }
}

#[test]
fn m2_other_annotations() {
    for text in [secret().to_string(), format!(" \n {SECRET}"), format!("[{SECRET}]"), format!("{{}}{SECRET}")] {
        masked("pods", &annotated("Pod", "example.com/x", &text));
    }
    // Not JSON, but a Secret's manifest all the same.
    masked("pods", &annotated("Pod", "example.com/x", &format!("{{kind: Secret, data: {{p: {CANARY}}}}}")));
    for text in
        ["{}", "{a} {b}", r#"[{"name":"net","ips":["10.0.0.1"]}]"#, "text", "", "{\"data\":{\"a\":1}}", "{\"a\":"]
    {
        passes("pods", &annotated("Pod", "example.com/x", text));
    }
}

/// Of documents that are parsed whole. Those that come in pieces are masked wherever they can be read.
#[test]
fn m2_other_annotations_that_can_not_be_read_in_one_way() {
    let masked = |kind: &str, text: &str| {
        let mut object: Value = serde_json::from_str(&annotated(kind, "example.com/x", text)).unwrap();
        mask_value(&mut object, &context("widgets", Verb::Get));
        object["metadata"]["annotations"]["example.com/x"].clone()
    };
    let inner = format!(r#""kind":"\u0053ecret","data":{{"p":"{CANARY}"}}"#);
    let deep = format!(r#"{{"a":{}{},{inner}}}"#, "[".repeat(130), "]".repeat(130));
    for text in [
        deep.clone(),
        format!("{{{inner},\"data\":{{}}}}"),
        format!(r#"{{"a":1e999,{inner}}}"#),
        format!(r#"{{"a":"\ud800",{inner}}}"#),
        format!(r#"[1,{{{inner},"kind":"x"}}]"#),
        format!(r#"{{"a":1}} {deep}"#),
    ] {
        assert!(is_masked(&masked("ConfigMap", &text)), "{text}");
    }
    let broken = format!(r#"{{"data":{{"p":"{CANARY}"}},}}"#);
    assert!(is_masked(&masked("Secret", &broken)));
    for text in ["{{ .Values.name }}", "[see above]", r#"{"a":1} {"b":2}"#, "{"] {
        assert_eq!(masked("ConfigMap", text), text);
    }
}

#[test]
fn m2_documents_in_documents() {
    let mut object = secret();
    for level in 0..6 {
        object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "annotations": {
            if level % 2 == 0 { LAST_APPLIED } else { "x" }: object.to_string()
        }}});
        // The scanner's output is one of a sorted document, so it may mask more, never less.
        masked("configmaps", &object.to_string());
    }
}

#[test]
fn m2_annotations_longer_than_the_look_ahead() {
    let filler = "x".repeat(shared::limits::MASK_LOOKAHEAD_BYTES);
    let text = format!(r#"{{"apiVersion":"v1","data":{{"a":"{filler}","p":"{CANARY}"}},"kind":"Secret"}}"#);
    for kind in ["Secret", "ConfigMap"] {
        for name in [LAST_APPLIED, "example.com/x"] {
            let document = annotated(kind, name, &text);
            let pieces: Vec<&[u8]> = document.as_bytes().chunks(777).collect();
            let (out, _) = run(&context("widgets", Verb::Get), &pieces).unwrap();
            assert_eq!(run(&context("widgets", Verb::Get), &[document.as_bytes()]).unwrap().0, out);
            assert!(!out.contains(CANARY) && !out.contains("xxxx"));
            let shown: Value = serde_json::from_str(&out).unwrap();
            if (kind, name) == ("Secret", "example.com/x") {
                assert!(
                    is_placeholder(shown["metadata"]["annotations"][name].as_str().unwrap()),
                    "it is a Secret's own"
                );
            } else {
                assert!(is_masked(&annotation(&shown, name)["data"]["p"]));
            }
            // What stops being JSON is cut there.
            let document = annotated(kind, name, &format!("{{\"a\":\"{filler}\"}}}}{CANARY}"));
            let (out, summary) = run(&context("widgets", Verb::Get), &[document.as_bytes()]).unwrap();
            assert!(!out.contains(CANARY) && summary.masked == 1);
            assert!(serde_json::from_str::<Value>(&out).is_ok());
        }
    }
}

/// A `fieldsV1` that was read before is known again, but only where it means the same.
#[test]
fn m2_managed_fields_that_were_read_before() {
    let object = |kind: &str, fields: &str| {
        let entry = format!(r#"{{"manager":"kubectl","fieldsV1":{fields}}}"#);
        format!(
            r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"db","managedFields":[{entry},{entry}]}},"data":{{"p":"{CANARY}"}}}}"#
        )
    };
    let list = |items: &[String]| format!(r#"{{"kind":"List","apiVersion":"v1","items":[{}]}}"#, items.join(","));
    let usual = r#"{"f:data":{".":{},"f:p":{}},"f:type":{}}"#;
    let (out, summary) = mask(&context("secrets", Verb::Get), &list(&vec![object("Secret", usual); 12])).unwrap();
    assert_eq!((out.matches(usual).count(), summary.masked, out.contains(CANARY)), (24, 12, false));

    // What passes for a ConfigMap is emptied for a Secret, whichever comes first.
    let value = format!(r#"{{"f:data":{{"f:p":"{CANARY}"}}}}"#);
    let kinds = |kinds: &[&str], fields: &str| list(&kinds.iter().map(|kind| object(kind, fields)).collect::<Vec<_>>());
    for order in [["ConfigMap", "ConfigMap", "Secret"], ["Secret", "ConfigMap", "Secret"]] {
        let (out, _) = mask(&context("pods", Verb::Get), &kinds(&order, &value)).unwrap();
        let secrets = order.iter().filter(|kind| **kind == "Secret").count();
        // A ConfigMap has it in `data` and twice in `managedFields`.
        assert_eq!(out.matches(CANARY).count(), 3 * (3 - secrets), "{out}");
        assert_eq!(out.matches(r#""fieldsV1":{"f:data":{"f:p":{}}}"#).count(), 2 * secrets, "{out}");
    }
    let label = format!(r#"{{"f:data":{{"v:\"{CANARY}\"":{{}}}}}}"#);
    assert!(mask(&context("pods", Verb::Get), &kinds(&["ConfigMap", "ConfigMap"], &label)).is_ok());
    let refused = mask(&context("pods", Verb::Get), &kinds(&["ConfigMap", "ConfigMap", "Secret"], &label));
    assert!(matches!(refused, Err(MaskError::ManagedFields { .. })));

    // Known or not, what comes behind one is read.
    let broken = list(&[object("Secret", usual), object("Secret", &format!("{usual}}}"))]);
    assert!(matches!(mask(&context("secrets", Verb::Get), &broken), Err(MaskError::Syntax { .. })));
    // One that is longer than what is remembered, and more of them than are.
    let fields = |index: usize, names: usize| {
        let names: Vec<_> = (0..names).map(|name| format!(r#""f:{index}-{name}":{{}}"#)).collect();
        format!(r#"{{"f:metadata":{{{}}}}}"#, names.join(","))
    };
    let many: Vec<_> =
        (0..30).map(|index| object("ConfigMap", &fields(index % 10, if index == 5 { 500 } else { 3 }))).collect();
    passes("configmaps", &list(&many));
}

#[test]
fn m2_managed_fields() {
    let fields = |fields: &str| {
        format!(
            r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"db","managedFields":[{{"manager":"kubectl","apiVersion":"v1","fieldsV1":{fields}}}]}},"data":{{"p":"{CANARY}"}}}}"#
        )
    };
    let usual = r#"{"f:data":{".":{},"f:p":{}},"f:metadata":{"f:finalizers":{".":{},"v:\"a/b\"":{}}},"f:type":{}}"#;
    let out = masked("secrets", &fields(usual));
    assert_eq!(out["metadata"]["managedFields"][0]["fieldsV1"].to_string(), usual);
    let odd = format!(r#"{{"f:data":{{"f:p":{{"v:\"{CANARY}\"":{{}}}},"f:q":"{CANARY}"}}}}"#);
    let out = masked("secrets", &fields(&odd));
    assert_eq!(out["metadata"]["managedFields"][0]["fieldsV1"]["f:data"], json!({"f:p": {}, "f:q": {}}));
    let value = fields(&format!(r#"{{"f:data":{{"v:\"{CANARY}\"":{{}}}}}}"#));
    assert!(matches!(mask(&context("secrets", Verb::Get), &value), Err(MaskError::ManagedFields { .. })));
}

fn failure(message: &str, kind: &str) -> String {
    let message = Value::from(message);
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{message},"reason":"Invalid","details":{{"name":"db","kind":"{kind}","causes":[{{"reason":"FieldValueInvalid","message":{message},"field":"data[p]"}}]}},"code":422}}"#
    )
}

#[test]
fn m3_status_about_secrets() {
    let quoting = format!(r#"Secret "db" is invalid: data[p]: Invalid value: "{CANARY}": illegal base64"#);
    for resource in ["secrets", "configmaps"] {
        let out = masked(resource, &failure(&quoting, "secrets"));
        assert_eq!((&out["message"], &out["details"]["causes"][0]["message"]), (&json!(GENERIC), &json!(GENERIC)));
        assert_eq!((&out["reason"], &out["code"]), (&json!("Invalid"), &json!(422)));
        assert_eq!(out["details"]["causes"][0]["field"], "data[p]");
    }
    masked("secrets", &failure(&format!("json: cannot unmarshal {CANARY}"), ""));
    masked("secrets", &format!(r#"{{"message":"{CANARY}"}}"#));
    masked("secrets", &failure(&CANARY.repeat(2000), "secrets"));
    passes("secrets", &failure(r#"secrets "db" not found"#, "secrets"));
    passes(
        "secrets",
        &failure(
            r#"Operation cannot be fulfilled on secrets "db": the object has been modified; please apply your changes to the latest version and try again"#,
            "secrets",
        ),
    );
    passes("pods", &failure(r#"Pod "x" is invalid: spec.volumes[0].secret: Required value"#, "pods"));
}

/// A webhook writes all of it.
#[test]
fn m3_words_of_a_webhook_about_a_secret() {
    let quoting = format!("password {CANARY} is too weak");
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": quoting, "message": quoting, "reason": quoting,
        "details": {"name": CANARY, "group": quoting, "kind": quoting, "uid": CANARY,
            "causes": [{"reason": quoting, "message": quoting, "field": format!("data[p]={CANARY}"), "x": quoting}]}, "code": 403});
    let expected = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": GENERIC, "reason": "NotShown",
        "details": {"name": "not-shown", "group": "not-shown", "kind": "not-shown", "uid": "not-shown",
            "causes": [{"reason": "NotShown", "message": GENERIC, "field": "not-shown", "x": "not-shown"}]}, "code": 403});
    assert_eq!(masked("secrets", &status.to_string()), expected);
    // Whatever was asked for, where the details say it.
    let mut named = status.clone();
    named["details"]["kind"] = json!("secrets");
    for (mut status, resource) in [(status.clone(), "secrets"), (named, "pods")] {
        mask_value(&mut status, &context(resource, Verb::Get));
        assert!(!status.to_string().contains(CANARY), "{status}");
    }
    // Of something else they are nobody's secret.
    passes("pods", &format!(r#"{{"kind":"Status",{}"#, status.to_string().trim_start_matches('{')));
}

#[test]
fn m3_status_that_turns_out_to_be_about_secrets() {
    let late = failure(&format!("odd text with {CANARY}"), "secrets");
    assert!(matches!(mask(&context("configmaps", Verb::Create), &late), Err(MaskError::TooLate { .. })));
}

#[test]
fn m7_tokens() {
    let token = |kind: &str| {
        format!(
            r#"{{"kind":"{kind}","apiVersion":"authentication.k8s.io/v1","spec":{{"audiences":["a"],"token":"{CANARY}"}},"status":{{"token":"{CANARY}","expirationTimestamp":"2026-01-01T00:00:00Z"}}}}"#
        )
    };
    for kind in ["TokenRequest", "TokenReview"] {
        let out = masked("serviceaccounts", &token(kind));
        assert!(is_masked(&out["status"]["token"]) && is_masked(&out["spec"]["token"]));
        assert_eq!(out["spec"]["audiences"], json!(["a"]));
    }
    let mut info = info("serviceaccounts", Verb::Create);
    info.subresource = "token".to_owned();
    let context = MaskContext::response(keys(), "prod", &info);
    assert!(!mask(&context, &token("Other")).unwrap().0.contains(CANARY));
    let plain = token("Other");
    passes("widgets", &plain);
}

#[test]
fn m7_helm_releases_are_secrets() {
    masked("secrets", &SECRET.replace("Opaque", "helm.sh/release.v1"));
}
