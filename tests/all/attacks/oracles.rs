//! Questions whose answers would tell a value bit by bit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{PASSWORD, Told, world};

/// What is the same whatever was asked: without the operation's id.
fn essence(told: &Told) -> (u16, String) {
    let mut status = told.json();
    status["details"]["uid"] = json!(null);
    status["details"]["causes"] = json!(null);
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    // An id stands in the sentence, too.
    let words = message.split_whitespace().filter(|word| !word.contains("-7"));
    (told.status, words.collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a29_a_test_before_a_change() {
    let world = world();
    let mut answers = Vec::new();
    for guess in [PASSWORD, "wrong"] {
        for (path, value) in
            [("/data/password", json!(STANDARD.encode(guess))), ("/data", json!({"password": STANDARD.encode(guess)}))]
        {
            let patch = json!([{"op": "test", "path": path, "value": value}, {"op": "add", "path": "/metadata/labels", "value": {}}]);
            for dry in ["", "?dryRun=All"] {
                let told = world.patch(&world.secrets(&format!("/target{dry}")), "json-patch+json", &patch).await;
                assert!(told.status >= 400, "{told:?}");
                answers.push(essence(&told));
            }
        }
    }
    let (right, wrong) = answers.split_at(4);
    assert_eq!(right, wrong);
    world.assert_unchanged();
}

#[tokio::test(flavor = "multi_thread")]
async fn a30_a_selector() {
    let world = world();
    let ask = async |guess: &str| {
        let mut answers = Vec::new();
        for selector in ["data.password", "stringData.password", "metadata.annotations"] {
            let path =
                world.secrets(&format!("?fieldSelector={selector}%3D{}", STANDARD.encode(guess).trim_end_matches('=')));
            let told = world.call("GET", &path, &[], "").await;
            assert_eq!(told.status, 400, "{told:?}");
            answers.push(told.status);
        }
        answers
    };
    // The guess stands in the question, and would in the answer: it is half of the value, which no form of the mark is in.
    assert_eq!(ask("y-51f0-target").await, ask("wrong").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a31_the_length_of_the_answer() {
    let world = world();
    let mut lengths = Vec::new();
    // Their names are of one length; one value is five hundred bytes longer, and stands in the annotation, too.
    for name in ["same", "long"] {
        let shown = world.get(&world.secrets(&format!("/{name}?pretty=false")), "application/json").await.ok().json();
        lengths
            .push([&shown["data"]["password"], &shown["metadata"]["annotations"]].map(|value| value.to_string().len()));
        let told = world.call("HEAD", &world.secrets(&format!("/{name}")), &[], "").await;
        assert!(!told.head.to_lowercase().contains("content-length: ") || told.status >= 400, "{told:?}");
    }
    assert_eq!(lengths[0], lengths[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a32_whether_two_values_are_the_same() {
    let world = world();
    let of = async |name: &str| {
        world.get(&world.secrets(&format!("/{name}")), "application/json").await.ok().json()["data"].clone()
    };
    let (target, same) = (of("target").await, of("same").await);
    assert_ne!(target["password"], target["again"]);
    assert_ne!(target["password"], same["password"]);
    // Asked again it is the same, so that a second apply finds nothing to do.
    assert_eq!(target, of("target").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a33_whether_a_value_has_changed() {
    let world = world();
    let own = world.0.namespace();
    let of =
        async || world.get(&world.secrets("/long"), "application/json").await.ok().json()["data"]["password"].clone();
    let before = of().await;
    let patch = |value: &str| json!({"data": {"password": STANDARD.encode(value)}}).to_string();
    own.admin(&["patch", "secret", "long", "-p", &patch("canary-51f0-new")]);
    assert_eq!(of().await, before);
    own.admin(&["patch", "secret", "long", "-p", &patch(&[PASSWORD, &"x".repeat(500)].concat())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a34_a_validator_of_the_answer() {
    let world = world();
    let told = world.get(&world.secrets("/target"), "application/json").await.ok();
    let head = told.head.to_lowercase();
    assert!(!head.contains("etag") && !head.contains("content-md5") && !head.contains("digest"), "{head}");
    let told = world.call("GET", &world.secrets("/target"), &["If-None-Match: \"x\"", "If-Match: \"x\""], "").await;
    assert!([200, 400, 403].contains(&told.status), "{told:?}");
}

/// The record keeps what was asked; of a Secret's values it keeps as little as of those that are answered (the stack's end looks).
#[tokio::test(flavor = "multi_thread")]
async fn a35_a_guess_in_the_record() {
    let world = world();
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "his"}, "stringData": {"password": PASSWORD}});
    world.post(&world.secrets("?dryRun=All"), &body).await.ok();
    world
        .patch(&world.secrets("/none"), "merge-patch+json", &json!({"data": {"password": STANDARD.encode(PASSWORD)}}))
        .await;
}
