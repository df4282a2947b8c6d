//! Answers that are held until they are whole: how much of them at once.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt as _;
use serde_json::json;
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::body::collect_bounded;
use shared_net::clock::ManualClock;
use shared_net::exchange::{self, ResponseBody};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api_server::{Step, chunk, chunked_head, json as answer};
use crate::control_plane::{AgentLink, Call, PATIENCE};
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/ns/configmaps";
const CANARY: &str = "canary-in-a-map";

/// A list with a field that policy masks, in pieces.
fn list(bytes: usize) -> Vec<Step> {
    let map = json!({"metadata": {"name": "m"}, "data": {"password": CANARY, "long": "x".repeat(bytes / 14)}});
    let maps = vec![map.to_string(); 14].join(",");
    let list = format!(r#"{{"kind":"ConfigMapList","apiVersion":"v1","items":[{maps}]}}"#);
    let pieces = list.as_bytes().chunks(64 * 1024).map(|piece| chunk(std::str::from_utf8(piece).unwrap()));
    std::iter::once(chunked_head()).chain(pieces).chain([Step::Write(b"0\r\n\r\n".to_vec())]).collect()
}

/// Asks for one as that session.
async fn asked(world: &World, link: &AgentLink, session: Uuid, bytes: usize) -> Response<ResponseBody> {
    world.api.on(&format!("GET {MAPS} "), list(bytes));
    let call = Call::new("GET", MAPS, "");
    let mut claims = world.control_plane.claims(link, &call);
    claims["mask"] = json!(["data.password"]);
    claims["session"] = json!(session);
    let token = world.control_plane.sign(&claims);
    exchange::send(&link.connection, call.with_grant(&token)).await.unwrap()
}

/// Whether it came; what has no room is refused in words.
async fn whole(response: Response<ResponseBody>) -> bool {
    let (head, body) = response.into_parts();
    let bytes = collect_bounded(body, 2 * limits::MASK_FIELDS_BYTES, PATIENCE).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.ends_with('}') && !text.contains(CANARY));
    if head.status != 200 {
        assert_eq!(
            (head.status.as_u16(), &head.headers[wire::header::REFUSED]),
            (502, &"answer-room".parse().unwrap())
        );
        assert!(
            text.contains("ask for fewer objects at once (limit); it only reads, so nothing was changed"),
            "{text}"
        );
    }
    head.status == 200
}

/// What becomes of something that waits for room as long as there is any hope. Nobody sees from here when it begins to wait.
async fn after_a_wait<T>(hand: &ManualClock, waiting: impl Future<Output = T>) -> T {
    let mut waiting = std::pin::pin!(waiting);
    for _ in 0..60 {
        tokio::select! {
            biased;
            done = &mut waiting => return done,
            () = tokio::time::sleep(Duration::from_millis(500)) => hand.advance(limits::HELD_ROOM_WAIT),
        }
    }
    waiting.await
}

/// SECURITY.md D7: who asks for long lists and reads none of them neither fills the agent's memory nor keeps others from theirs.
#[tokio::test]
async fn what_is_held_for_one_session_has_a_bound() {
    let hand = ManualClock::new(Timestamp(1_800_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let (slow, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut unread = asked(&world, &link, slow, 14 << 20).await.into_body();
    let first = tokio::time::timeout(PATIENCE, unread.frame()).await.unwrap().unwrap();
    assert!(first.is_ok(), "it is whole, and its reader stops here");

    let mut second = std::pin::pin!(async { whole(asked(&world, &link, slow, 14 << 20).await).await });
    tokio::select! {
        biased;
        _ = &mut second => panic!("nobody has given it room"),
        shown = async { whole(asked(&world, &link, other, 10 << 20).await).await } => {
            assert!(shown, "another session has room");
        }
    }
    assert!(!after_a_wait(&hand, second).await, "there was room for two of the longest of one session");

    drop(unread);
    assert!(whole(asked(&world, &link, slow, 14 << 20).await).await, "what was held is given back");
}

/// One object by its name, where some are hidden: it is looked at before any of it leaves, so it is held.
async fn looked_at(world: &World, link: &AgentLink, session: Uuid, name: &str) -> Response<ResponseBody> {
    let data = json!({"long": "x".repeat(6 << 20)});
    // In the API server's order.
    let map = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"ns"}},"data":{data}}}"#
    );
    world.api.on(&format!("GET {MAPS}/{name} "), answer("200 OK", &map));
    let call = Call::new("GET", &format!("{MAPS}/{name}"), "");
    let mut claims = world.control_plane.claims(link, &call);
    claims["hide"] = json!([{"names": ["db-*"]}]);
    claims["session"] = json!(session);
    link.send(&call, &world.control_plane.sign(&claims)).await
}

/// And what is held has a place until its reader has taken it.
#[tokio::test]
async fn objects_that_may_be_hidden_have_a_bound() {
    let hand = ManualClock::new(Timestamp(1_800_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let (slow, other) = (Uuid::new_v4(), Uuid::new_v4());
    let unread = looked_at(&world, &link, slow, "m").await;
    assert_eq!(unread.status(), 200);
    let mut unread = unread.into_body();
    let first = tokio::time::timeout(PATIENCE, unread.frame()).await.unwrap().unwrap();
    assert!(first.is_ok(), "it is whole, and its reader stops here");

    assert!(whole(looked_at(&world, &link, other, "m").await).await, "another session has room");
    let hidden = looked_at(&world, &link, slow, "db-1").await;
    assert_eq!(hidden.status(), 404, "what is hidden is not there, whether or not there is room for it");
    let told = after_a_wait(&hand, looked_at(&world, &link, slow, "m")).await;
    let (status, body) = (told.status().as_u16(), told.into_body());
    let told = collect_bounded(body, limits::HEAD_BYTES, PATIENCE).await.unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(status == 502 && told.contains("have all the room there is"), "{status} {told}");

    drop(unread);
    // Its place comes back when the agent has heard of it.
    assert!(whole(looked_at(&world, &link, slow, "m").await).await, "what was held is given back");
}

/// There is room for two of the longest, and who waits has it when one of them goes.
#[tokio::test]
async fn what_is_held_for_all_has_a_bound() {
    let hand = ManualClock::new(Timestamp(1_800_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        let mut body = asked(&world, &link, Uuid::new_v4(), 14 << 20).await.into_body();
        let first = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap();
        assert!(first.is_ok());
        unread.push(body);
    }
    let mut third = std::pin::pin!(async { whole(asked(&world, &link, Uuid::new_v4(), 14 << 20).await).await });
    tokio::select! {
        biased;
        _ = &mut third => panic!("there was room for three of the longest"),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    unread.pop();
    assert!(third.await, "it waited for room, and has it");
}

/// Those whose readers read wait for one another, and for nothing that waits for them.
#[tokio::test]
async fn what_is_read_is_never_broken_off() {
    let (world, link) = World::start().await;
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let lists = [one, one, other, Uuid::new_v4(), one, other].map(|session| {
        let (world, link) = (&world, &link);
        async move { whole(asked(world, link, session, 14 << 20).await).await }
    });
    assert_eq!(futures_util::future::join_all(lists).await, [true; 6]);
}

/// What comes of an event can be a hundred times as long, and is all there at once.
#[tokio::test]
async fn what_comes_of_events_counts() {
    let hand = ManualClock::new(Timestamp(1_800_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let watcher = Uuid::new_v4();
    let zeros = json!(vec![0; 110_000]);
    // In the API server's order.
    let object =
        format!(r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"m"}},"data":{{"password":{zeros}}}}}"#);
    let event = format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n");
    let call = Call::new("GET", &format!("{MAPS}?watch=true"), "");
    let mut unread = Vec::new();
    for watch in 0..2 {
        let (gone, _left) = mpsc::channel(1);
        world.api.on(&format!("GET {MAPS}?watch"), vec![chunked_head(), chunk(&event), Step::Hang(gone)]);
        let mut claims = world.control_plane.claims(&link, &call);
        claims["mask"] = json!(["data.password"]);
        claims["session"] = json!(watcher);
        let mut body = link.send(&call, &world.control_plane.sign(&claims)).await.into_body();
        let first = async move { (body.frame().await.map(|frame| frame.is_ok()), body) };
        if watch == 0 {
            let (shown, body) = tokio::time::timeout(PATIENCE, first).await.unwrap();
            assert_eq!(shown, Some(true));
            unread.push(body);
        } else {
            assert_eq!(after_a_wait(&hand, first).await.0, Some(false), "there was room for both");
        }
    }
}
