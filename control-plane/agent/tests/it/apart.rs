//! Work that takes long holds up nobody: releases of helm's are opened beside the thread that serves everybody.

use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::limits;

use crate::api_server::{Step, chunk, chunked_head, json as answer};
use crate::control_plane::{AgentLink, Call, text};
use crate::world::World;

const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
const NAME: &str = "sh.helm.release.v1.web.v1";
const POD: &str = "/api/v1/namespaces/ns/pods/p";
const CANARY: &str = "canary-in-a-release";

/// A runtime as the agent's own, with one thread more for long work.
fn run(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(story);
}

/// Keeps the thread for long work until the value goes.
fn occupied() -> mpsc::Sender<()> {
    let (open, opened) = mpsc::channel();
    drop(tokio::task::spawn_blocking(move || opened.recv().ok()));
    open
}

/// A Secret with a release that comes in many pieces.
fn revision() -> String {
    let manifest =
        format!("kind: Secret\napiVersion: v1\nmetadata: {{name: s}}\ndata: {{k: {}}}\n", STANDARD.encode(CANARY));
    let values = json!({"long": "x".repeat(100_000)});
    let release = json!({"name": "web", "version": 1, "manifest": manifest, "chart": {"values": values}}).to_string();
    let payload = STANDARD.encode(STANDARD.encode(release));
    let metadata = json!({"name": NAME, "namespace": "ns", "uid": "u", "resourceVersion": "3"});
    // As the API server writes it: what it is comes first.
    format!(r#"{{"kind":"Secret","apiVersion":"v1","metadata":{metadata},"data":{{"release":"{payload}"}}}}"#)
}

fn in_pieces(body: &str) -> Vec<Step> {
    let pieces = body.as_bytes().chunks(8192).map(|piece| chunk(std::str::from_utf8(piece).unwrap()));
    std::iter::once(chunked_head()).chain(pieces).chain([Step::Write(b"0\r\n\r\n".to_vec())]).collect()
}

/// So many calls that whatever could end on the serving thread has ended.
async fn others(world: &World, link: &AgentLink) {
    for _ in 0..20 {
        world.api.on(&format!("GET {POD} "), answer("200 OK", r#"{"kind":"Pod","apiVersion":"v1"}"#));
        let (head, _) = text(world.control_plane.granted(link, &Call::new("GET", POD, "")).await).await;
        assert_eq!(head.status, 200);
    }
}

/// What this gives; until the others are answered it gives nothing.
async fn after_others<T>(world: &World, link: &AgentLink, work: impl Future<Output = T>) -> T {
    let open = occupied();
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        _ = &mut work => panic!("it was done on the thread that serves everybody"),
        () = others(world, link) => drop(open),
    }
    work.await
}

#[test]
fn others_are_answered_while_releases_are_opened() {
    run(async {
        let (world, link) = World::start().await;
        others(&world, &link).await;
        // helm list.
        let list = format!(r#"{{"kind":"SecretList","apiVersion":"v1","items":[{0},{0}]}}"#, revision());
        world.api.on(&format!("GET {SECRETS} "), in_pieces(&list));
        let call = Call::new("GET", SECRETS, "");
        let listed = async { text(world.control_plane.granted(&link, &call).await).await };
        let (head, body) = after_others(&world, &link, listed).await;
        assert_eq!(head.status, 200);
        let mut list: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(list["items"][0]["data"], list["items"][1]["data"]);
        let shown = list["items"][0].take();
        let payload = STANDARD.decode(STANDARD.decode(shown["data"]["release"].as_str().unwrap()).unwrap()).unwrap();
        let release: Value = serde_json::from_slice(&payload).unwrap();
        let manifest = release["manifest"].as_str().unwrap();
        assert!(manifest.contains("k: c2FsbHlwb3J0") && !manifest.contains(&STANDARD.encode(CANARY)), "{manifest}");

        // And helm writes it back.
        let call = Call::new("PUT", &format!("{SECRETS}/{NAME}"), &shown.to_string());
        let mut claims = world.control_plane.claims(&link, &call);
        let read =
            |name| json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": name});
        claims["reads"] = json!([read(NAME), read("")]);
        world.api.on(&format!("GET {SECRETS}/"), answer("200 OK", &revision()));
        world.api.on("PUT ", answer("200 OK", r#"{"kind":"Secret","apiVersion":"v1"}"#));
        let written = async { text(link.send(&call, &world.control_plane.sign(&claims)).await).await };
        let (head, body) = after_others(&world, &link, written).await;
        assert_eq!(head.status, 200, "{body}");
        let sent = world.api.seen().into_iter().find(|seen| seen.line.starts_with("PUT ")).unwrap();
        let (sent, real): (Value, Value) =
            (serde_json::from_str(&sent.body).unwrap(), serde_json::from_str(&revision()).unwrap());
        assert_eq!(sent["data"], real["data"]);
    });
}

/// Fields that policy masks can stand anywhere, so such a list is held whole.
#[test]
fn others_are_answered_while_a_long_list_is_read() {
    run(async {
        let (world, link) = World::start().await;
        others(&world, &link).await;
        let map = json!({"metadata": {"name": "m"}, "data": {"password": CANARY, "long": "x".repeat(300_000)}});
        let list = format!(r#"{{"kind":"ConfigMapList","apiVersion":"v1","items":[{map}]}}"#);
        world.api.on("GET /api/v1/namespaces/ns/configmaps ", in_pieces(&list));
        let call = Call::new("GET", "/api/v1/namespaces/ns/configmaps", "");
        let token = || {
            let mut claims = world.control_plane.claims(&link, &call);
            claims["mask"] = json!(["data.password"]);
            world.control_plane.sign(&claims)
        };
        let listed = async { text(link.send(&call, &token()).await).await };
        let (head, body) = after_others(&world, &link, listed).await;
        assert!(head.status == 200 && !body.contains(CANARY) && body.len() > 300_000, "{head:?}");
        // One that isn't whole is refused also there.
        world.api.on("GET /api/v1/namespaces/ns/configmaps ", in_pieces(list.trim_end_matches('}')));
        let (head, body) = text(link.send(&call, &token()).await).await;
        assert!(head.status == 502 && body.contains("can't be masked") && !body.contains(CANARY), "{body}");
    });
}

/// What is written is as long as its writer likes, however short the object is.
#[test]
fn others_are_answered_while_values_are_put_back_into_a_long_body() {
    run(async {
        let (world, link) = World::start().await;
        others(&world, &link).await;
        let path = "/api/v1/namespaces/ns/configmaps/m";
        let metadata = json!({"name": "m", "namespace": "ns", "uid": "u", "resourceVersion": "3"});
        let live = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"password": CANARY}});
        let send = async |call: &Call, reads: Value| {
            let mut claims = world.control_plane.claims(&link, call);
            (claims["mask"], claims["reads"]) = (json!(["data.password"]), reads);
            text(link.send(call, &world.control_plane.sign(&claims)).await).await
        };
        world.api.on(&format!("GET {path} "), answer("200 OK", &live.to_string()));
        let (_, body) = send(&Call::new("GET", path, ""), json!([])).await;
        let mut shown: Value = serde_json::from_str(&body).unwrap();
        assert!(!body.contains(CANARY), "{body}");
        shown["data"]["long"] = json!("x".repeat(300_000));
        world.api.on(&format!("GET {path} "), answer("200 OK", &live.to_string()));
        world.api.on("PUT ", answer("200 OK", &live.to_string()));
        let read =
            json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "configmaps", "name": "m"}]);
        let put = Call::new("PUT", path, &shown.to_string());
        let (head, body) = after_others(&world, &link, send(&put, read)).await;
        assert_eq!(head.status, 200, "{body}");
        let sent = world.api.seen().into_iter().find(|seen| seen.line.starts_with("PUT ")).unwrap();
        assert!(sent.body.contains(CANARY));
    });
}

/// A large write waits for its turn only once all that it needs is there: whoever has a read that takes long holds up nobody.
#[tokio::test]
async fn a_slow_read_holds_up_no_other_write() {
    let (world, link) = World::start().await;
    let path = |name: &str| format!("/api/v1/namespaces/ns/configmaps/{name}");
    let live = |name: &str| {
        let metadata = json!({"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "3"});
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"password": CANARY}}).to_string()
    };
    let send = async |call: &Call, name: &str| {
        let mut claims = world.control_plane.claims(&link, call);
        let read =
            json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "configmaps", "name": name});
        (claims["mask"], claims["reads"]) = (json!(["data.password"]), json!([read]));
        text(link.send(call, &world.control_plane.sign(&claims)).await).await
    };
    let write = async |name: &str| {
        world.api.on(&format!("GET {} ", path(name)), answer("200 OK", &live(name)));
        let (_, body) = send(&Call::new("GET", &path(name), ""), name).await;
        let mut large: Value = serde_json::from_str(&body).unwrap();
        large["data"]["long"] = json!("x".repeat(limits::WRITE_TURN_BYTES));
        Call::new("PUT", &path(name), &large.to_string())
    };
    let (slow, other) = (write("slow").await, write("other").await);
    let (open, opened) = tokio::sync::mpsc::channel(1);
    let steps = std::iter::once(Step::Await(opened)).chain(answer("200 OK", &live("slow"))).collect();
    world.api.on(&format!("GET {} ", path("slow")), steps);
    world.api.on(&format!("GET {} ", path("other")), answer("200 OK", &live("other")));
    for name in ["slow", "other"] {
        world.api.on(&format!("PUT {} ", path(name)), answer("200 OK", &live(name)));
    }
    let mut slow = std::pin::pin!(send(&slow, "slow"));
    tokio::select! {
        biased;
        _ = &mut slow => panic!("its object was not read"),
        (head, _) = send(&other, "other") => assert_eq!(head.status, 200),
    }
    drop(open);
    assert_eq!(slow.await.0.status, 200);
}
