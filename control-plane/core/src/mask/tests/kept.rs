//! What tools and containers leave of a value: in annotations, in how a container has ended (SECURITY.md M2, M7).

use super::super::LAST_WORDS;
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
