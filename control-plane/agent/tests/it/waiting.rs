//! What writes take of an agent's memory, and how long they wait for one another.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::clock::ManualClock;
use uuid::Uuid;

use crate::api_server::{Step, chunk, chunked_head, json as answer};
use crate::control_plane::{AgentLink, Call, PATIENCE, text};
use crate::world::World;

const WIDGET: &str = "/apis/e.com/v1/namespaces/ns/widgets/a";
const MAPS: &str = "/api/v1/namespaces/ns/configmaps";
const POD: &str = "/api/v1/namespaces/ns/pods/p";
const MIB: usize = 1024 * 1024;

/// An object with a masked field and so many bytes beside.
fn widget(bytes: usize) -> String {
    json!({"apiVersion": "e.com/v1", "kind": "Widget", "spec": {"long": "x".repeat(bytes), "password": "CANARY"},
        "metadata": {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "5"}})
    .to_string()
}

/// A patch with the placeholder that is shown of it.
async fn patch(world: &World, link: &AgentLink, more: &str) -> Call {
    world.api.on(&format!("GET {WIDGET} "), answer("200 OK", &widget(1)));
    let get = Call::new("GET", WIDGET, "");
    let mut claims = world.control_plane.claims(link, &get);
    claims["mask"] = json!(["spec.password"]);
    let (_, body) = text(link.send(&get, &world.control_plane.sign(&claims)).await).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    let body = json!({"spec": {"password": shown["spec"]["password"], "more": more}}).to_string();
    Call::new("PATCH", WIDGET, &body).typed("application/merge-patch+json")
}

/// Sends it as that session; gives status, why it was refused, and the body.
async fn send(world: &World, link: &AgentLink, call: &Call, session: Uuid) -> (u16, String, String) {
    let mut claims = world.control_plane.claims(link, call);
    (claims["session"], claims["mask"]) = (json!(session), json!(["spec.password"]));
    claims["reads"] =
        json!([{"apiGroup": "e.com", "apiVersion": "v1", "namespace": "ns", "resource": "widgets", "name": "a"}]);
    let (head, body) = text(link.send(call, &world.control_plane.sign(&claims)).await).await;
    let refused = head.headers.get(wire::header::REFUSED).map(|why| why.to_str().unwrap().to_owned());
    (head.status.as_u16(), refused.unwrap_or_default(), body)
}

/// How often the object was read.
fn reads(world: &World) -> usize {
    world.api.seen().iter().filter(|seen| seen.line.starts_with(&format!("GET {WIDGET} "))).count()
}

/// So many calls that whatever could end meanwhile has ended.
async fn others(world: &World, link: &AgentLink) {
    for _ in 0..20 {
        world.api.on(&format!("GET {POD} "), answer("200 OK", r#"{"kind":"Pod","apiVersion":"v1"}"#));
        let (head, _) = text(world.control_plane.granted(link, &Call::new("GET", POD, "")).await).await;
        assert_eq!(head.status, 200);
    }
}

/// What comes when nobody has any time left. Nobody sees from here when it begins to wait.
async fn out_of_time<T>(hand: &ManualClock, waiting: impl Future<Output = T>) -> T {
    let mut waiting = std::pin::pin!(waiting);
    loop {
        tokio::select! {
            biased;
            done = &mut waiting => return done,
            () = tokio::time::sleep(Duration::from_millis(100)) => hand.advance(limits::GRANT_TTL),
        }
    }
}

/// SECURITY.md P12: of writes that wait for their turn only so many have read their objects.
#[tokio::test]
async fn p12_what_writes_wait_with_has_a_bound() {
    let hand = ManualClock::new(Timestamp(1_800_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let call = patch(&world, &link, "").await;
    let turn = world.agent.apart.turn().await.unwrap();
    let session = Uuid::new_v4();
    // Each has a MiB and some, and needs three until it is there: of the six that a session has, three are taken then.
    let (all, most) = (12, 3);
    for _ in 0..all {
        world.api.on(&format!("GET {WIDGET} "), answer("200 OK", &widget(MIB)));
    }
    let before = reads(&world);
    let writes = (0..all).map(|_| send(&world, &link, &call, session));
    let mut writes = std::pin::pin!(futures_util::future::join_all(writes));
    tokio::select! {
        biased;
        _ = &mut writes => panic!("nobody waited"),
        () = async {
            while reads(&world) < before + most {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    let mut busy = 0;
    for (status, refused, body) in out_of_time(&hand, writes).await {
        match (status, refused.as_str()) {
            (503, "busy") => busy += usize::from(body.contains("try again")),
            // Its object was still on its way.
            (403, "late") => {}
            other => panic!("{other:?}: {body}"),
        }
    }
    assert!(busy >= all - most, "{busy}");
    assert_eq!(reads(&world), before + most);
    assert!(world.api.seen().iter().all(|seen| seen.line.starts_with("GET ")), "nothing was sent");

    // What they had is given back, and so is the turn.
    drop(turn);
    world.api.on("PATCH ", answer("200 OK", &widget(1)));
    let (status, _, body) = send(&world, &link, &call, session).await;
    assert_eq!(status, 200, "{body}");
}

/// SECURITY.md P12: what is written has room from before it is read until the API server has answered, and what finds none is not read.
#[tokio::test]
async fn p12_bodies_have_room_until_they_are_answered() {
    let (world, link) = World::start().await;
    let text_of =
        |bytes| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"long": "x".repeat(bytes)}}).to_string();
    let create = |bytes| Call::new("POST", MAPS, &text_of(bytes)).typed("application/json");
    let (large, small) = (create(limits::REQUEST_BODY_BYTES - 1024), create(1));
    let mut gates = Vec::new();
    let sent = || world.api.seen().iter().filter(|seen| seen.line.starts_with("POST ")).count();
    let mut thinking = Vec::new();
    for number in 1..=limits::AGENT_BODY_BYTES / (2 * limits::REQUEST_BODY_BYTES) {
        let (open, opened) = tokio::sync::mpsc::channel::<()>(1);
        gates.push(open);
        let map = answer("201 Created", r#"{"kind":"ConfigMap","apiVersion":"v1"}"#);
        world.api.on("POST ", std::iter::once(Step::Await(opened)).chain(map).collect());
        let mut write = Box::pin(async { text(world.control_plane.granted(&link, &large).await).await.0.status });
        tokio::select! {
            biased;
            _ = &mut write => panic!("it was answered"),
            () = async {
                while sent() < number {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        thinking.push(write);
    }
    let (head, body) = text(world.control_plane.granted(&link, &large).await).await;
    assert_eq!((head.status.as_u16(), head.headers[wire::header::REFUSED].to_str().unwrap()), (503, "busy"), "{body}");
    assert_eq!(head.headers[wire::header::SENT], "no");
    world.api.on("POST ", answer("201 Created", r#"{"kind":"ConfigMap","apiVersion":"v1"}"#));
    assert_eq!(world.control_plane.granted(&link, &small).await.status(), 201, "there is room for what is small");
    drop(gates);
    for write in thinking {
        assert_eq!(write.await, 201);
    }
    world.api.on("POST ", answer("201 Created", r#"{"kind":"ConfigMap","apiVersion":"v1"}"#));
    assert_eq!(world.control_plane.granted(&link, &large).await.status(), 201, "it is given back");
}

/// A request that is large waits for the turn before any of it is read, and so does a large object of a small one.
#[tokio::test]
async fn p12_what_is_large_is_not_read_before_its_turn() {
    let (world, link) = World::start().await;
    let (small, large) = (patch(&world, &link, "").await, patch(&world, &link, &"x".repeat(40_000)).await);
    for (call, object, waits) in [(&small, 1, false), (&small, limits::WRITE_TURN_BYTES, true), (&large, 1, true)] {
        let turn = world.agent.apart.turn().await.unwrap();
        world.api.on(&format!("GET {WIDGET} "), answer("200 OK", &widget(object)));
        world.api.on("PATCH ", answer("200 OK", &widget(1)));
        let mut sent = std::pin::pin!(send(&world, &link, call, Uuid::new_v4()));
        let early = tokio::select! {
            biased;
            done = &mut sent => Some(done),
            () = others(&world, &link), if waits => None,
        };
        assert_eq!(early.is_none(), waits, "{early:?}");
        drop(turn);
        let (status, _, body) = match early {
            Some(done) => done,
            None => sent.await,
        };
        assert_eq!(status, 200, "{body}");
    }
}

/// A list with a masked field.
fn list(bytes: usize) -> Vec<Step> {
    let map = json!({"metadata": {"name": "m"}, "data": {"password": "CANARY", "long": "x".repeat(bytes / 14)}});
    let maps = vec![map.to_string(); 14].join(",");
    let list = format!(r#"{{"kind":"ConfigMapList","apiVersion":"v1","items":[{maps}]}}"#);
    let pieces = list.as_bytes().chunks(64 * 1024).map(|piece| chunk(std::str::from_utf8(piece).unwrap()));
    std::iter::once(chunked_head()).chain(pieces).chain([Step::Write(b"0\r\n\r\n".to_vec())]).collect()
}

/// The right to read one.
fn right(world: &World, link: &AgentLink, get: &Call) -> String {
    let mut claims = world.control_plane.claims(link, get);
    claims["mask"] = json!(["data.password"]);
    world.control_plane.sign(&claims)
}

/// SECURITY.md D7: lists that nobody reads have all the places for lists, and nobody waits for those who writes.
#[tokio::test]
async fn lists_that_nobody_reads_keep_nobody_from_writing() {
    let (world, link) = World::start().await;
    let call = patch(&world, &link, "").await;
    let get = Call::new("GET", MAPS, "");
    let mut unread = Vec::new();
    for _ in 0..2 {
        world.api.on(&format!("GET {MAPS} "), list(1_900_000));
        let mut body = link.send(&get, &right(&world, &link, &get)).await.into_body();
        assert!(tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().is_ok());
        unread.push(body);
    }
    world.api.on(&format!("GET {WIDGET} "), answer("200 OK", &widget(300_000)));
    world.api.on("PATCH ", answer("200 OK", &widget(1)));
    let (status, _, body) = send(&world, &link, &call, Uuid::new_v4()).await;
    assert_eq!(status, 200, "{body}");
}

/// One turn for both: while a write has it no answer is read as a whole.
#[tokio::test]
async fn a_large_write_and_a_long_answer_are_never_there_at_once() {
    let (world, link) = World::start().await;
    let secret = "/api/v1/namespaces/ns/secrets/s";
    let metadata = json!({"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "5"});
    // In the API server's order.
    let live = format!(r#"{{"kind":"Secret","apiVersion":"v1","metadata":{metadata},"data":{{"k":"Y2FuYXJ5"}}}}"#);
    world.api.on("GET ", answer("200 OK", &live));
    let (_, body) = text(world.control_plane.granted(&link, &Call::new("GET", secret, "")).await).await;
    let shown: Value = serde_json::from_str(&body).unwrap();
    let body = json!({"data": {"k": shown["data"]["k"]}}).to_string();
    let call = Call::new("PATCH", secret, &body).typed("application/merge-patch+json");
    let read =
        |name| json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": name});
    let mut claims = world.control_plane.claims(&link, &call);
    claims["reads"] = json!([read("s"), read("")]);
    let token = world.control_plane.sign(&claims);
    // It may need other Secrets, so it has its turn while its object is read.
    let (open, opened) = tokio::sync::mpsc::channel(1);
    let gate = format!("GET {secret} ");
    world.api.on(&gate, std::iter::once(Step::Await(opened)).chain(answer("200 OK", &live)).collect());
    world.api.on("PATCH ", answer("200 OK", &live));
    let seen = || world.api.seen().iter().filter(|seen| seen.line.starts_with(&gate)).count();
    let mut write = std::pin::pin!(async { text(link.send(&call, &token).await).await });
    tokio::select! {
        biased;
        _ = &mut write => panic!("its object was not read"),
        () = async {
            while seen() < 2 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    world.api.on(&format!("GET {MAPS} "), list(1_000_000));
    let get = Call::new("GET", MAPS, "");
    let get_token = right(&world, &link, &get);
    let mut listed = std::pin::pin!(async { text(link.send(&get, &get_token).await).await.1 });
    tokio::select! {
        biased;
        _ = &mut write => panic!("its object was not read"),
        _ = &mut listed => panic!("it was read while a write has its turn"),
        () = others(&world, &link) => {}
    }
    drop(open);
    let ((written, body), listed) = futures_util::future::join(write, listed).await;
    assert_eq!(written.status, 200, "{body}");
    assert!(listed.ends_with('}'));
}
