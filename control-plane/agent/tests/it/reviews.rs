//! Words for approvers: values are compared here, a question goes with nothing but our own read of a Secret, and guesses are rationed.

use bytes::Bytes;
use control_plane_core::mask::changes::SecretWrite;
use http::HeaderValue;
use http_body_util::Full;
use serde_json::{Value, json};
use shared::{limits, wire};

use crate::api_server::json;
use crate::control_plane::{AgentLink, Call, text};
use crate::world::World;

const SECRET: &str = "/api/v1/namespaces/ns/secrets/s";
/// `hunter2` and `swordfish`.
const LIVE: &str = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"ns"},"data":{"a":"aHVudGVyMg==","b":"c3dvcmRmaXNo"}}"#;

fn question() -> String {
    let body = json!({"stringData": {"a": "hunter2", "b": "canary", "c": "x"}}).to_string();
    let call = Call::new("PATCH", SECRET, &body).typed("application/merge-patch+json");
    serde_json::to_string(&SecretWrite::of(&call.parsed()).unwrap()).unwrap()
}

/// Asks beside a read that is granted for a purpose; gives status, why it was refused, and the body.
async fn asked(world: &World, link: &AgentLink, purpose: &str, path: &str, question: &str) -> (u16, String, String) {
    let call = Call::new("GET", path, "");
    let mut claims = world.control_plane.claims(link, &call);
    claims["purpose"] = json!(purpose);
    let mut request = call.with_grant(&world.control_plane.sign(&claims));
    request.headers_mut().insert(wire::header::REVIEW, HeaderValue::from_static("1"));
    *request.body_mut() = Full::new(Bytes::copy_from_slice(question.as_bytes()));
    let (head, body) = text(link.send_raw(request).await).await;
    let refused = head.headers.get(wire::header::REFUSED).map(|why| why.to_str().unwrap().to_owned());
    (head.status.as_u16(), refused.unwrap_or_default(), body)
}

#[tokio::test]
async fn only_words_leave_the_cluster() {
    let (world, link) = World::start().await;
    world.api.on("GET ", json("200 OK", LIVE));
    let (status, refused, body) = asked(&world, &link, "live-read", SECRET, &question()).await;
    assert_eq!((status, refused.as_str()), (200, ""), "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let words = json!([
        {"field": "data/a", "change": "unchanged"},
        {"field": "data/b", "change": "changed"},
        {"field": "data/c", "change": "added"},
    ]);
    assert_eq!((&answer["maskedFields"], &answer["live"]["metadata"]["name"]), (&words, &json!("s")));
    for value in ["aHVudGVyMg", "c3dvcmRmaXNo", "hunter2", "swordfish", "canary"] {
        assert!(!body.contains(value), "{value}: {body}");
    }
    // The question stays here: what the API server got is a plain GET.
    let seen = world.api.seen();
    assert!(seen.iter().all(|request| {
        let all = format!("{request:?}");
        !all.contains("canary") && !all.contains("sallyport-review")
    }));
    world.api.on("GET ", json("404 Not Found", r#"{"kind":"Status","apiVersion":"v1","code":404}"#));
    let (_, _, body) = asked(&world, &link, "live-read", SECRET, &question()).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&answer["live"], answer["maskedFields"].as_array().unwrap().len()), (&Value::Null, 3));
}

/// A placeholder of the field itself changes nothing.
#[tokio::test]
async fn a_fields_own_placeholder_is_unchanged() {
    let (world, link) = World::start().await;
    world.api.on("GET ", json("200 OK", LIVE));
    let (_, shown) = text(world.control_plane.granted(&link, &Call::new("GET", SECRET, "")).await).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    for (a, b, words) in [("a", "b", ["unchanged", "unchanged"]), ("a", "a", ["changed", "changed"])] {
        let body = json!({"data": {"a": shown["data"][a], "b": shown["data"][b]}}).to_string();
        let call = Call::new("PATCH", SECRET, &body).typed("application/merge-patch+json");
        let question = serde_json::to_string(&SecretWrite::of(&call.parsed()).unwrap()).unwrap();
        world.api.on("GET ", json("200 OK", LIVE));
        let (_, _, body) = asked(&world, &link, "live-read", SECRET, &question).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let told: Vec<_> = answer["maskedFields"].as_array().unwrap().iter().map(|field| &field["change"]).collect();
        assert_eq!(told, words);
    }
}

#[tokio::test]
async fn a_question_goes_with_our_own_read_of_a_secret_only() {
    let (world, link) = World::start().await;
    world.api.on("GET ", json("200 OK", LIVE));
    let question = question();
    for (purpose, path, question, label) in [
        ("operation", SECRET, question.as_str(), "grant-purpose"),
        // It is the agent's own, so nobody may be impersonated for it.
        ("guard-read", SECRET, &question, "grant-impersonation"),
        ("live-read", "/api/v1/namespaces/ns/configmaps/s", &question, "grant-purpose"),
        ("live-read", "/apis/x.example/v1/namespaces/ns/secrets/s", &question, "grant-purpose"),
    ] {
        let (status, refused, body) = asked(&world, &link, purpose, path, question).await;
        assert_eq!((status, refused.as_str()), (403, label), "{purpose} {path}: {body}");
    }
    assert!(world.api.seen().is_empty());
    // What it says is read when the object is there.
    for question in ["{}", ""] {
        world.api.on("GET ", json("200 OK", LIVE));
        let (status, refused, body) = asked(&world, &link, "live-read", SECRET, question).await;
        assert_eq!((status, refused.as_str()), (403, "request-unreadable"), "{body}");
    }
}

#[tokio::test]
async fn words_run_out_and_the_object_does_not() {
    let (world, link) = World::start().await;
    let mut answered = 0;
    for _ in 0..3 * limits::REVIEWS {
        world.api.on("GET ", json("200 OK", LIVE));
        let (status, _, body) = asked(&world, &link, "live-read", SECRET, &question()).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["live"]["metadata"]["name"], "s");
        answered += u32::from(answer["maskedFields"].is_array());
    }
    // A few came back while this ran, on a slow machine; never twice as many.
    assert!((limits::REVIEWS..2 * limits::REVIEWS).contains(&answered), "{answered}");
}
