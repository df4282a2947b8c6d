//! Placeholders that come back: the agent reads the object inside the operation and puts its values in, or sends nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::{limits, wire};

use crate::api_server::json as answer;
use crate::control_plane::{AgentLink, Call, text};
use crate::world::World;

const SECRET: &str = "/api/v1/namespaces/ns/secrets/s";
const CANARY: &str = "Y2FuYXJ5";

fn live(version: &str) -> String {
    format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"s","namespace":"ns","uid":"u","resourceVersion":"{version}"}},"data":{{"k":"{CANARY}"}}}}"#
    )
}

/// The Secret as a client gets it, without its version.
async fn got(world: &World, link: &AgentLink) -> Value {
    world.api.on("GET ", answer("200 OK", &live("5")));
    let (head, body) = text(world.control_plane.granted(link, &Call::new("GET", SECRET, "")).await).await;
    assert_eq!(head.status, 200);
    assert!(!body.contains(CANARY), "{body}");
    let mut shown: Value = serde_json::from_str(&body).unwrap();
    shown["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    shown
}

fn reads() -> Value {
    json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": "s"}])
}

fn put(shown: &Value) -> Call {
    Call::new("PUT", SECRET, &shown.to_string())
}

/// Sends it under a grant that lists these reads; gives status, why it was refused, and the body.
async fn send(world: &World, link: &AgentLink, call: &Call, reads: Value) -> (u16, String, String) {
    let mut claims = world.control_plane.claims(link, call);
    claims["reads"] = reads;
    let (head, body) = text(link.send(call, &world.control_plane.sign(&claims)).await).await;
    let refused = head.headers.get(wire::header::REFUSED).map(|why| why.to_str().unwrap().to_owned());
    (head.status.as_u16(), refused.unwrap_or_default(), body)
}

#[tokio::test]
async fn a_placeholder_is_put_back_under_the_version_that_was_read() {
    let (world, link) = World::start().await;
    let shown = got(&world, &link).await;
    let conflict = r#"{"kind":"Status","apiVersion":"v1","code":409}"#;
    world.api.on("GET ", answer("200 OK", &live("6")));
    world.api.on("PUT ", answer("409 Conflict", conflict));
    world.api.on("GET ", answer("200 OK", &live("7")));
    world.api.on("PUT ", answer("200 OK", &live("7")));
    let (status, refused, body) = send(&world, &link, &put(&shown), reads()).await;
    assert_eq!((status, refused.as_str()), (200, ""), "{body}");
    assert!(!body.contains(CANARY), "{body}");
    let seen = world.api.seen();
    let groups: Vec<_> = seen.iter().map(|seen| seen.header("impersonate-group").concat()).collect();
    // Who writes reads nothing: the object is read as readers read.
    assert_eq!(groups, ["sallyport:read", "sallyport:read", "sallyport:write", "sallyport:read", "sallyport:write"]);
    for (index, version) in [(2, "6"), (4, "7")] {
        let sent: Value = serde_json::from_str(&seen[index].body).unwrap();
        assert_eq!((&sent["data"]["k"], &sent["metadata"]["resourceVersion"]), (&json!(CANARY), &json!(version)));
    }

    // The client's own version counts, and a conflict over it is its own.
    let mut old = shown.clone();
    old["metadata"]["resourceVersion"] = json!("5");
    world.api.on("GET ", answer("200 OK", &live("7")));
    world.api.on("PUT ", answer("409 Conflict", conflict));
    assert_eq!(send(&world, &link, &put(&old), reads()).await.0, 409);
    assert_eq!(world.api.seen().len(), seen.len() + 2);
}

#[tokio::test]
async fn what_can_not_be_put_back_is_not_sent() {
    let (world, link) = World::start().await;
    let shown = got(&world, &link).await;
    let mut moved = shown.clone();
    moved["data"] = json!({"other": shown["data"]["k"]});
    let other = json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": "t"}]);
    let absent = r#"{"kind":"Status","apiVersion":"v1","code":404}"#;
    let deep = live("5").replace(r#""data""#, &format!(r#""a":{}{},"data""#, "[".repeat(200), "]".repeat(200)));
    let long = format!("{}{}", live("5"), " ".repeat(limits::LIVE_OBJECT_BYTES));
    for (call, reads, read, expected) in [
        (put(&moved), reads(), Some(answer("200 OK", &live("5"))), (403, "placeholder", "/data/other")),
        (put(&shown), reads(), Some(answer("404 Not Found", absent)), (403, "placeholder", "/data/k")),
        (put(&shown), reads(), Some(answer("403 Forbidden", absent)), (503, "pin-read", "")),
        (put(&shown), reads(), Some(answer("200 OK", "{")), (503, "pin-read", "")),
        // Who tries these again is refused again.
        (put(&shown), reads(), Some(answer("200 OK", &deep)), (403, "pin-read", "nested 128 levels")),
        (put(&shown), reads(), Some(answer("200 OK", &long)), (403, "pin-read", "more than 3145728 bytes")),
        // Only what the grant lists may be read.
        (put(&shown), json!([]), None, (503, "pin-read", "")),
        (put(&shown), other, None, (503, "pin-read", "")),
    ] {
        if let Some(read) = read {
            world.api.on("GET ", read);
        }
        let (status, refused, body) = send(&world, &link, &call, reads).await;
        assert_eq!((status, refused.as_str()), (expected.0, expected.1), "{body}");
        assert!(body.contains(expected.2) && !body.contains(CANARY), "{body}");
    }
    // Where nothing could help, nothing is read.
    let config_map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": shown["data"]});
    let call = Call::new("POST", "/api/v1/namespaces/ns/configmaps", &config_map.to_string());
    let (status, refused, body) = send(&world, &link, &call, reads()).await;
    assert_eq!((status, refused.as_str()), (403, "placeholder"), "{body}");
    assert!(body.contains("/data/k"), "{body}");
    assert!(world.api.seen().iter().all(|seen| seen.line.starts_with("GET ")));
    assert_eq!(world.api.seen().len(), 7);
}

/// A revision of a release of helm's, with an older value of the Secret.
fn revision() -> String {
    let manifest = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\ndata: {k: b2xkLWNhbmFyeQ==}\n";
    let release = json!({"name": "web", "version": 1, "namespace": "ns", "manifest": manifest}).to_string();
    let payload = STANDARD.encode(STANDARD.encode(release));
    format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"sh.helm.release.v1.web.v1","namespace":"ns","uid":"u","resourceVersion":"3"}},"data":{{"release":"{payload}"}}}}"#
    )
}

/// A rollback: the value is in a stored revision, which the agent finds by the placeholder and reads if the grant lets it.
#[tokio::test]
async fn a_value_goes_back_from_a_stored_revision() {
    let (world, link) = World::start().await;
    world.api.on("GET ", answer("200 OK", &revision()));
    let shown = Call::new("GET", "/api/v1/namespaces/ns/secrets/sh.helm.release.v1.web.v1", "");
    let (_, body) = text(world.control_plane.granted(&link, &shown).await).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    let payload = STANDARD.decode(STANDARD.decode(shown["data"]["release"].as_str().unwrap()).unwrap()).unwrap();
    let release = String::from_utf8(payload).unwrap();
    assert!(!release.contains("b2xkLWNhbmFyeQ"), "{release}");
    let code = release.split("k: ").nth(1).unwrap().split('\\').next().unwrap();
    let patch = json!({"data": {"k": code}, "metadata": {"annotations": {"meta.helm.sh/release-name": "web"}}});
    let call = Call::new("PATCH", SECRET, &patch.to_string()).typed("application/merge-patch+json");

    world.api.on("GET ", answer("200 OK", &live("5")));
    let (status, refused, body) = send(&world, &link, &call, reads()).await;
    assert_eq!((status, refused.as_str()), (503, "pin-read"), "the grant names one Secret only: {body}");

    let mut beside = reads();
    beside
        .as_array_mut()
        .unwrap()
        .push(json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": ""}));
    world.api.on("GET ", answer("200 OK", &live("5")));
    world.api.on("GET ", answer("200 OK", &revision()));
    world.api.on("PATCH ", answer("200 OK", &live("6")));
    let (status, refused, body) = send(&world, &link, &call, beside).await;
    assert_eq!((status, refused.as_str()), (200, ""), "{body}");
    let seen = world.api.seen();
    assert!(seen[seen.len() - 2].line.contains("/secrets/sh.helm.release.v1.web.v1"), "{}", seen[seen.len() - 2].line);
    let sent: Value = serde_json::from_str(&seen.last().unwrap().body).unwrap();
    assert_eq!((&sent["data"]["k"], &sent["metadata"]["resourceVersion"]), (&json!("b2xkLWNhbmFyeQ=="), &json!("5")));
}

/// Whether a release is refused tells whether a guess in it is right, so few are: none is looked at after them, whatever is in it.
#[tokio::test]
async fn releases_that_are_refused_are_rationed() {
    let (world, link) = World::start().await;
    let code = got(&world, &link).await["data"]["k"].as_str().unwrap().to_owned();
    let write = |namespace: &str, guess: &str| {
        let manifest = format!("kind: Secret\napiVersion: v1\nmetadata: {{name: s}}\ndata: {{k: {code}}}\n");
        let release = json!({"name": "web", "version": 1, "namespace": namespace, "manifest": manifest, "config": {"guess": guess}});
        let payload = STANDARD.encode(STANDARD.encode(release.to_string()));
        let metadata = json!({"name": "sh.helm.release.v1.web.v1", "namespace": namespace});
        let body = json!({"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": {"release": payload}});
        Call::new("POST", &format!("/api/v1/namespaces/{namespace}/secrets"), &body.to_string())
    };
    let reads = |namespace: &str| {
        let read = |name: &str| json!({"apiGroup": "", "apiVersion": "v1", "namespace": namespace, "resource": "secrets", "name": name});
        json!([read("sh.helm.release.v1.web.v1"), read("")])
    };
    let absent = r#"{"kind":"Status","apiVersion":"v1","code":404}"#;
    let one_read = || {
        world.api.on("GET ", answer("404 Not Found", absent));
        world.api.on("GET ", answer("200 OK", &live("5")));
    };
    one_read();
    world.api.on("POST ", answer("201 Created", &live("6")));
    let (status, refused, body) = send(&world, &link, &write("ns", "wrong-one"), reads("ns")).await;
    assert_eq!((status, refused.as_str()), (201, ""), "{body}");
    for _ in 0..limits::RELEASE_REFUSALS {
        one_read();
        let (status, refused, body) = send(&world, &link, &write("ns", "canary"), reads("ns")).await;
        assert_eq!((status, refused.as_str()), (403, "placeholder"), "{body}");
    }
    for guess in ["canary", "wrong-one"] {
        one_read();
        let (status, refused, body) = send(&world, &link, &write("ns", guess), reads("ns")).await;
        assert_eq!((status, refused.as_str()), (403, "releases-refused"), "{body}");
        assert!(body.contains("let people approve it"), "{body}");
    }
    // Where nothing is read there is nothing to guess, and nothing counts.
    for _ in 0..2 * limits::RELEASE_REFUSALS {
        world.api.on("GET ", answer("404 Not Found", absent));
        world.api.on("GET ", answer("404 Not Found", absent));
        let (_, refused, body) = send(&world, &link, &write("other", "wrong-one"), reads("other")).await;
        assert_eq!(refused, "placeholder", "{body}");
    }
}

/// Guesses that stand in a release, tried with creates of a Secret that is nowhere else: by what the release shows in place of a value. None
/// in a dry run, and of those that are stored no more than of releases.
#[tokio::test]
async fn guesses_by_creates_are_rationed() {
    let (world, link) = World::start().await;
    let absent = r#"{"kind":"Status","apiVersion":"v1","code":404}"#;
    let manifest = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\nstringData: {k: a-canary-of-some-length}\n---\nkind: Secret\napiVersion: v1\nmetadata: {name: nowhere}\nstringData: {wrong: a-wrong-guess, right: a-canary-of-some-length}\n";
    let release = |notes: &str| {
        let release =
            json!({"name": "web", "version": 1, "namespace": "ns", "manifest": manifest, "info": {"notes": notes}});
        let payload = STANDARD.encode(STANDARD.encode(release.to_string()));
        format!(
            r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"sh.helm.release.v1.web.v1","namespace":"ns","uid":"u","resourceVersion":"3"}},"data":{{"release":"{payload}"}}}}"#
        )
    };
    let release = release("a-canary-of-some-length");
    world.api.on("GET ", answer("200 OK", &release));
    let get = Call::new("GET", "/api/v1/namespaces/ns/secrets/sh.helm.release.v1.web.v1", "");
    let (_, shown) = text(world.control_plane.granted(&link, &get).await).await;
    assert!(!shown.contains("a-canary"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let payload = STANDARD.decode(STANDARD.decode(shown["data"]["release"].as_str().unwrap()).unwrap()).unwrap();
    let shown: Value = serde_json::from_slice(&payload).unwrap();
    let code = shown["info"]["notes"].as_str().unwrap().to_owned();

    let read = |name: &str| json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": name});
    let guess = async |key: &str, query: &str| {
        let metadata = json!({"name": "nowhere", "namespace": "ns", "labels": {"app.kubernetes.io/instance": "web"}});
        let body = json!({"kind": "Secret", "apiVersion": "v1", "stringData": {key: code}, "metadata": metadata});
        let call = Call::new("POST", &format!("/api/v1/namespaces/ns/secrets{query}"), &body.to_string());
        world.api.on("GET ", answer("404 Not Found", absent));
        world.api.on("GET ", answer("200 OK", &release));
        let (status, refused, body) = send(&world, &link, &call, json!([read("nowhere"), read("")])).await;
        assert!(!body.contains("a-canary"), "{body}");
        (status, refused)
    };
    // An honest upgrade: ten Secrets with what a release shows, none of which is a wrong guess.
    for _ in 0..10 {
        world.api.on("POST ", answer("201 Created", &live("6")));
        assert_eq!(guess("right", "").await, (201, String::new()));
    }
    // Dry runs say the same of each, and are judged as often as a release.
    for _ in 10..limits::RELEASES_JUDGED / 2 {
        assert_eq!(guess("wrong", "?dryRun=All").await, (403, "placeholder".to_owned()));
        assert_eq!(guess("right", "?dryRun=All").await, (403, "placeholder".to_owned()));
    }
    let refusals = async || {
        let mut refused = 0;
        while guess("wrong", "").await.1 == "placeholder" {
            refused += 1;
        }
        refused
    };
    assert_eq!(refusals().await, limits::RELEASE_REFUSALS);
    for key in ["wrong", "right"] {
        assert_eq!(guess(key, "").await, (403, "releases-refused".to_owned()));
    }
}

/// A hostile control plane signs it, and it is refused all the same.
#[tokio::test]
async fn a_json_patch_reaches_no_masked_value() {
    let (world, link) = World::start().await;
    for (path, patch) in [
        (SECRET, json!([{"op": "copy", "from": "/data/k", "path": "/metadata/annotations/x"}])),
        (SECRET, json!([{"op": "move", "from": "/data/k", "path": "/metadata/labels/x"}])),
        (SECRET, json!([{"op": "test", "path": "/data/k", "value": CANARY}])),
        (
            "/api/v1/namespaces/ns/configmaps/c",
            json!([{"op": "copy", "from": "/metadata/annotations/a", "path": "/data/x"}]),
        ),
    ] {
        let call = Call::new("PATCH", path, &patch.to_string()).typed("application/json-patch+json");
        let (status, refused, body) = send(&world, &link, &call, json!([])).await;
        assert_eq!((status, refused.as_str()), (403, "rule-secret-oracle"), "{body}");
    }
    assert!(world.api.seen().is_empty());
}
