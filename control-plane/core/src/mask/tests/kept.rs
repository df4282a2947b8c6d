//! What tools and containers leave of a value: in annotations, in how a container has ended (SECURITY.md M2, M7).

use super::super::LAST_WORDS;
use super::super::printed::PRINTED;
use super::*;

/// A pod's last words are those of its log, which shows them without its Secrets' values.
#[test]
fn m7_last_words_of_a_pod_with_secrets() {
    let ended = |reason: &str| {
        format!(
            r#"{{"containerStatuses":[{{"name":"c","state":{{"terminated":{{"exitCode":1,"reason":"{reason}","message":"Q0FOQVJZLXZhbHVl","startedAt":null}}}},"lastState":{{"terminated":{{"exitCode":1,"message":"Q0FOQVJZLXZhbHVl"}}}}}}]}}"#
        )
    };
    let pod = |spec: &str, reason: &str| {
        format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p","namespace":"default"}},"spec":{spec},"status":{}}}"#,
            ended(reason)
        )
    };
    let last_words = |pod: &Value, state: &str| {
        pod["status"]["containerStatuses"][0][state]["terminated"]["message"].as_str().unwrap().to_owned()
    };
    let plain = r#"{"containers":[{"name":"c","env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"m"}}}]}],"imagePullSecrets":[{"name":"pull"}]}"#;
    for spec in [
        r#"{"containers":[{"name":"c","env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}]}"#,
        r#"{"initContainers":[{"name":"i","envFrom":[{"secretRef":{"name":"s"}}]}],"containers":[]}"#,
        r#"{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}"#,
        r#"{"volumes":[{"name":"v","projected":{"sources":[{"secret":{"name":"s"}}]}}]}"#,
    ] {
        let one = masked("pods", &pod(spec, "Error"));
        assert_eq!(
            (last_words(&one, "state"), last_words(&one, "lastState")),
            (LAST_WORDS.to_owned(), LAST_WORDS.to_owned())
        );
        let mut value = serde_json::from_str(&pod(spec, "Error")).unwrap();
        assert_eq!(mask_value(&mut value, &context("pods", Verb::Get)), 2);
        assert_eq!(value, one);
        // The runtime's words are nobody's.
        for reason in ["StartError", "ContainerStatusUnknown"] {
            let text = pod(spec, reason);
            let shown: Value = serde_json::from_str(&mask(&context("pods", Verb::Get), &text).unwrap().0).unwrap();
            assert_eq!(
                (last_words(&shown, "state"), last_words(&shown, "lastState")),
                (CANARY.to_owned(), LAST_WORDS.to_owned())
            );
            let mut value = serde_json::from_str(&text).unwrap();
            mask_value(&mut value, &context("pods", Verb::Get));
            assert_eq!(value, shown);
        }
        // Who takes none is not taken for the one before it.
        let item = |spec| pod(spec, "Error").replace(r#""kind":"Pod","apiVersion":"v1","#, "");
        let list = format!(r#"{{"kind":"PodList","apiVersion":"v1","items":[{},{}]}}"#, item(spec), item(plain));
        let out = mask(&context("pods", Verb::List), &list).unwrap();
        assert_eq!((out.0.matches(CANARY).count(), out.0.matches(LAST_WORDS).count(), out.1.masked), (2, 2, 2));
        let event = format!(r#"{{"type":"MODIFIED","object":{}}}"#, pod(spec, "Error"));
        masked("pods", &event);
        let table = format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{{"cells":[],"object":{}}}]}}"#,
            pod(spec, "Error")
        );
        masked("pods", &table);
    }
    let text = pod(plain, "Error");
    assert_eq!(mask(&context("pods", Verb::Get), &text).unwrap().0, text);
    // Others may end as they like.
    let other = pod(r#"{"secretRef":{"name":"s"}}"#, "Error");
    assert_eq!(mask(&context("widgets", Verb::Get), &other).unwrap().0, other);
}

/// The kubelet says with what words a hook has failed, where a container waits to be started again.
#[test]
fn m7_what_a_hook_printed() {
    let pod = |env: &str, waiting: &str| {
        format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"p","namespace":"default"}},"spec":{{"containers":[{{"name":"c","env":[{env}]}}]}},"status":{{"containerStatuses":[{{"name":"c","state":{{"waiting":{{{waiting}}}}}}}]}}}}"#
        )
    };
    let secret = r#"{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}"#;
    let said = r#""message":"Exec lifecycle hook failed - message: Q0FOQVJZLXZhbHVl""#;
    for waiting in [
        &format!(r#""reason":"PostStartHookError",{said}"#),
        // Who says no reason, or says it too late, may be a hook.
        &format!(r#"{said},"reason":"CrashLoopBackOff""#),
        said,
    ] {
        let text = pod(secret, waiting);
        let shown = masked("pods", &text);
        assert_eq!(shown["status"]["containerStatuses"][0]["state"]["waiting"]["message"], PRINTED);
        let mut value = serde_json::from_str(&text).unwrap();
        mask_value(&mut value, &context("pods", Verb::Get));
        // The reference knows the reason before.
        assert!(value == shown || waiting.ends_with(r#"BackOff""#), "{value}");
        passes("pods", &pod("", waiting));
    }
    passes("pods", &pod(secret, r#""reason":"CrashLoopBackOff","message":"back-off 10s restarting failed container""#));
    passes("pods", &pod(secret, r#""reason":"ContainerCreating""#));
}

/// An Event says with what words a probe has failed.
#[test]
fn m7_what_a_probe_printed() {
    const SAID: &str = "Readiness probe failed: ";
    let (printed, shown) = (format!("{SAID}{CANARY}"), format!("{SAID}{PRINTED}"));
    let event = |member: &str, said: &str| json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "e", "namespace": "default"}, member: said, "reason": "Unhealthy"});
    let list = |items: &[Value]| json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": items});
    let table = |cells: Value, object: Value| json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": [{"cells": cells, "object": object}]});
    let refused = "Readiness probe failed: dial tcp 10.0.0.1:80: connect: connection refused";
    for member in ["message", "note"] {
        let [own, out, other] = [&printed, &shown, refused].map(|said| event(member, said));
        for (text, expected) in [
            (own.clone(), out.clone()),
            (list(&[other.clone(), own.clone(), own.clone()]), list(&[other, out.clone(), out.clone()])),
            (json!({"type": "ADDED", "object": own}), json!({"type": "ADDED", "object": out})),
            (table(json!(["5s", 3, null, printed]), own), table(json!(["5s", 3, null, shown]), out)),
        ] {
            assert_eq!(masked("events", &text.to_string()), expected);
            let mut value = text.clone();
            mask_value(&mut value, &context("events", Verb::Get));
            assert_eq!(value, expected);
            // In other objects it is what somebody wrote.
            passes("widgets", &text.to_string());
        }
    }
    let table = table(json!(["5s", {"kind": "x", "data": {"message": printed}}]), json!(null));
    passes("events", &table.to_string());
    // Written escaped, and longer than any Event's.
    let escaped =
        event("message", "WORDS").to_string().replace("WORDS", r"Readiness probe fail\u0065d: Q0FOQVJZLXZhbHVl\n");
    assert_eq!(masked("events", &escaped.replace(r"\\", r"\"))["message"], shown);
    let long = event("message", &format!("{}{printed}", "x".repeat(20_000))).to_string();
    let (out, _) = run(&context("events", Verb::Get), &[long.as_bytes()]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["message"], PRINTED);
    let mut value = serde_json::from_str(&long).unwrap();
    mask_value(&mut value, &context("events", Verb::Get));
    assert_eq!(value["message"], PRINTED);
    for said in [refused, "Started container web", "Pulling image \"web\""] {
        passes("events", &event("message", said).to_string());
    }
}

/// What other tools than kubectl keep of a Secret that they applied.
#[test]
fn m2_what_tools_keep_of_a_secret() {
    let of = |kind: &str, text: &str| {
        let text = json!(text);
        format!(
            r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"name":"db","namespace":"default","annotations":{{"tool":{text}}}}}}}"#
        )
    };
    let word = "e".repeat(129);
    for text in [
        "H4sIAAAAAAAA/6tWSkksSVSyUipQ0lFKSixOVbJSyi9KSVWyMq4FAAAA",
        "UEsDBBQACAAIAAAAAAAAAAAAAAAAAAAA",
        " \nH4sIAAAA",
        "apiVersion: v1\nkind: Secret\ndata:\n  p: Q0FOQVJZLXZhbHVl\n",
        "- path: /data/p\n  type: replace\n  value: Q0FOQVJZLXZhbHVl\n",
        "\"{\\\"data\\\":{\\\"p\\\":\\\"Q0FOQVJZLXZhbHVl\\\"}}\"",
        "a: 1\nstringData: {p: Q0FOQVJZLXZhbHVl}",
        &format!("eyJhbGciOiJSUzI1NiJ9.{word}.x"),
        &"long text of no meaning, ".repeat(4000),
        r#"[{"op":"replace","path":"/metadata/x","value":"Q0FOQVJZLXZhbHVl"}]"#,
        r#"{"old":{"password":"Q0FOQVJZLXZhbHVl"}}"#,
        r#"["Q0FOQVJZLXZhbHVl"]"#,
        r#" {"kind":"Secret","apiVersion":"v1","data":{"p":"Q0FOQVJZLXZhbHVl"}}"#,
        &format!(r#"{{"long":"{}","p":"Q0FOQVJZLXZhbHVl"}}"#, "long text, ".repeat(9000)),
    ] {
        let out = masked("secrets", &of("Secret", text));
        // Blanks in front stay.
        let shown = out["metadata"]["annotations"]["tool"].as_str().unwrap();
        assert!(is_placeholder(shown.trim_start()), "{text}");
        let mut value = serde_json::from_str(&of("Secret", text)).unwrap();
        mask_value(&mut value, &context("secrets", Verb::Get));
        if text.len() < 1000 && !text.starts_with(' ') {
            assert_eq!(value, out, "{text}");
        }
        // In other objects that is theirs.
        if !text.contains("Secret") {
            passes("deployments", &of("Deployment", text));
        }
    }
    for text in [
        "",
        "shop",
        "the password of the database, rotated daily",
        "cert-manager.io/v1",
        &"f".repeat(128),
        "shop:apps/Deployment:default/web",
    ] {
        passes("secrets", &of("Secret", text));
    }
}

/// kubectl reads that one as JSON, and takes an empty one for none.
#[test]
fn an_empty_last_applied_stays() {
    for kind in ["Secret", "ConfigMap"] {
        let text = json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": "db", "namespace": "default", "annotations": {LAST_APPLIED: ""}}});
        passes(if kind == "Secret" { "secrets" } else { "configmaps" }, &text.to_string());
    }
}
