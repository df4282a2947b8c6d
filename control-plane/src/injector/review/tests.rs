use proptest::prelude::*;

use super::*;
use crate::injector::pod::tests::pod;

fn review(operation: &str, kind: &str, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "operation": operation,
            "namespace": "ci",
            "object": object,
            "oldObject": old,
        },
    })
}

#[expect(clippy::unwrap_in_result, reason = "only what the webhook says is a result")]
fn ask(path: &str, review: &Value) -> Result<Value, ReviewError> {
    let (webhook, scope) = Webhook::from_path(path).unwrap();
    let answer = answer(&Config::example(), webhook, scope, review.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

fn patch(answer: &Value) -> Vec<Value> {
    let patch = answer["response"]["patch"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap()
}

#[test]
fn a_pod_goes_through_both_webhooks() {
    let mutated = ask("/mutate", &review("CREATE", "Pod", &pod(), &Value::Null)).unwrap();
    assert_eq!(mutated["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!(
        (&mutated["response"]["allowed"], &mutated["response"]["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let finished = patch::apply(pod(), &patch(&mutated)).unwrap();
    let create = review("CREATE", "Pod", &finished, &Value::Null);
    for path in ["/mutate", "/validate", "/mutate/required", "/validate/required"] {
        let answer = ask(path, &create).unwrap();
        assert_eq!((&answer["response"]["allowed"], answer["response"].get("patch")), (&json!(true), None), "{path}");
    }
    // Straight to validation, as if the mutating webhook were not there.
    let unprotected = ask("/validate", &review("CREATE", "Pod", &pod(), &Value::Null)).unwrap();
    assert_eq!(unprotected["response"]["allowed"], false);
    assert!(unprotected["response"]["status"]["message"].as_str().unwrap().contains("it was not given its sidecar"));
    let mut meddled = finished;
    meddled["spec"]["initContainers"][0]["env"][0]["value"] = json!("evil.example:7443");
    let meddled = ask("/validate", &review("CREATE", "Pod", &meddled, &Value::Null)).unwrap();
    let message = meddled["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("changed what the sidecar needs (/spec/initContainers/0/env/0/value)"), "{message}");
}

#[test]
fn refusals_have_a_reason_that_kubectl_prints() {
    let mut wrong = pod();
    wrong["metadata"]["annotations"]["sallyport.dev/port"] = json!("0");
    let answer = ask("/mutate", &review("CREATE", "Pod", &wrong, &Value::Null)).unwrap();
    assert_eq!(
        (&answer["response"]["status"]["code"], &answer["response"]["status"]["reason"]),
        (&json!(400), &json!("BadRequest"))
    );
    wrong["spec"]["hostNetwork"] = json!(true);
    let answer = ask("/mutate", &review("CREATE", "Pod", &wrong, &Value::Null)).unwrap();
    assert_eq!(
        (&answer["response"]["status"]["code"], &answer["response"]["status"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert!(answer["response"].get("patch").is_none());
    let text = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(text.is_ascii() && text.lines().count() == 1, "{text}");
}

#[test]
fn our_own_namespace_is_left_alone() {
    let mut own = review("CREATE", "Pod", &pod(), &Value::Null);
    own["request"]["namespace"] = json!("sallyport");
    for path in ["/mutate/required", "/validate/required"] {
        assert_eq!(ask(path, &own).unwrap()["response"]["allowed"], true);
    }
}

#[test]
fn templates_are_warned_of() {
    let mut wrong = pod();
    wrong["spec"]["hostPID"] = json!(true);
    let template = json!({"spec": {"template": {"metadata": wrong["metadata"], "spec": wrong["spec"]}}});
    let jobs = json!({"spec": {"jobTemplate": template}});
    for object in [&template, &jobs] {
        let answer = ask("/warn", &review("CREATE", "Job", object, &Value::Null)).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        let warning = answer["response"]["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("no Pod will come of this: Sallyport refuses this Pod: spec.hostPID"), "{warning}");
    }
    let bare = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}});
    assert!(
        ask("/warn/required", &review("UPDATE", "Job", &bare, &Value::Null)).unwrap()["response"]
            .get("warnings")
            .is_none()
    );
}

#[test]
fn only_what_is_registered_is_answered() {
    for (path, operation, kind) in [
        ("/mutate", "UPDATE", "Pod"),
        ("/mutate", "CREATE", "Node"),
        ("/validate", "DELETE", "Pod"),
        ("/validate", "CONNECT", "Pod"),
        ("/warn", "CREATE", "Pod"),
    ] {
        let error = ask(path, &review(operation, kind, &json!({"metadata": {}}), &Value::Null)).unwrap_err();
        assert!(matches!(error, ReviewError::Foreign { .. }), "{path} {operation} {kind}: {error}");
    }
    let mut elsewhere = review("CREATE", "Pod", &pod(), &Value::Null);
    elsewhere["request"]["kind"]["group"] = json!("example.com");
    assert!(ask("/mutate", &elsewhere).is_err());
    for path in ["/", "", "/mutate/", "/mutate/required/required", "/Mutate", "/validate/annotated"] {
        assert_eq!(Webhook::from_path(path), None, "{path}");
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/admission");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Files named `ok-…` must be answered by the mutating webhook, or the corpus has rotted and covers nothing.
#[test]
fn the_corpus_of_the_fuzzer_passes() {
    let files = corpus();
    assert!(files.len() >= 10, "{} files", files.len());
    for (name, data) in files {
        fuzz_admission(&data);
        let answered = answer(&Config::example(), Webhook::Mutate, Scope::Annotated, &data);
        assert_eq!(answered.is_ok(), name.contains("/ok-"), "{name}: {answered:?}");
    }
}

proptest! {
    /// A corpus file with a few bytes changed: a small fuzzer in every test run.
    #[test]
    fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let files = corpus();
        let mut data = choice.get(&files).1.clone();
        for (place, byte) in changes {
            if !data.is_empty() {
                *place.get_mut(&mut data) = byte;
            }
        }
        fuzz_admission(&data);
    }
}
