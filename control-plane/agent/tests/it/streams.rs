//! Watches: passed on at once, cancelled at once, masked event by event, in constant memory.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use shared_net::exchange::ResponseBody;
use tokio::sync::mpsc;

use crate::api_server::{Step, chunk, chunked_head};
use crate::control_plane::{Call, PATIENCE};
use crate::world::World;

async fn next(body: &mut ResponseBody) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap()?;
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

fn event(value: &str) -> String {
    format!(
        r#"{{"type":"ADDED","object":{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"s"}},"data":{{"k":"{value}"}}}}}}"#
    ) + "\n"
}

const WATCH: &str = "/api/v1/namespaces/ns/secrets?watch=true";

/// Each event arrives before the server says anything more, and the watch ends well when the server ends it.
#[tokio::test]
async fn each_event_is_passed_on_at_once() {
    let (world, link) = World::start().await;
    let (go, wait) = mpsc::channel(1);
    let (go_on, wait_again) = mpsc::channel(1);
    world.api.on(
        "GET ",
        vec![
            chunked_head(),
            Step::Await(wait),
            chunk(&event("b25l")),
            Step::Await(wait_again),
            chunk(&event("dHdv")),
            Step::Write(b"0\r\n\r\n".to_vec()),
        ],
    );
    let response = world.control_plane.granted(&link, &Call::new("GET", WATCH, "")).await;
    assert_eq!(response.status(), 200, "the head comes before any event");
    let mut body = response.into_body();
    go.send(()).await.unwrap();
    let first = String::from_utf8(next(&mut body).await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("ADDED") && first.ends_with("}\n") && !first.contains("b25l"), "{first}");
    go_on.send(()).await.unwrap();
    let second = String::from_utf8(next(&mut body).await.unwrap().unwrap().to_vec()).unwrap();
    assert!(!second.contains("dHdv"), "{second}");
    assert!(next(&mut body).await.is_none());
}

/// A stream has a connection of its own: many of them leave room for calls.
#[tokio::test]
async fn leaving_closes_the_stream_at_the_api_server() {
    let (world, link) = World::start().await;
    let (gone, mut left) = mpsc::channel(1);
    world.api.on("GET ", vec![chunked_head(), chunk(&event("b25l")), Step::Hang(gone)]);
    let mut body = world.control_plane.granted(&link, &Call::new("GET", WATCH, "")).await.into_body();
    next(&mut body).await.unwrap().unwrap();
    drop(body);
    tokio::time::timeout(PATIENCE, left.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn leaving_before_the_head_closes_the_stream_at_the_api_server() {
    let (world, link) = World::start().await;
    let (gone, mut left) = mpsc::channel(1);
    world.api.on("GET ", vec![Step::Hang(gone)]);
    let call = Call::new("GET", WATCH, "");
    {
        let mut asking = std::pin::pin!(world.control_plane.granted(&link, &call));
        while world.api.seen().is_empty() {
            tokio::select! {
                _ = &mut asking => panic!("nothing was answered"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    tokio::time::timeout(PATIENCE, left.recv()).await.unwrap().unwrap();
}

/// The other way round: a write that was sent is followed to its answer though nobody waits, so that its outcome is known.
#[tokio::test]
async fn a_write_is_followed_to_its_answer() {
    let (mut world, link) = World::start().await;
    let (go, wait) = mpsc::channel(1);
    world.api.on(
        "DELETE ",
        vec![Step::Await(wait), crate::api_server::answer("200 OK", &[("Content-Type", "application/json")], "{}")],
    );
    let call = Call::new("DELETE", "/api/v1/namespaces/ns/pods/p", "");
    let claims = world.control_plane.claims(&link, &call);
    let token = world.control_plane.sign(&claims);
    {
        let mut asking = std::pin::pin!(link.send(&call, &token));
        while world.api.seen().is_empty() {
            tokio::select! {
                _ = &mut asking => panic!("nothing was answered"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    link.connection.close(0, "the control plane died");
    let again = world.control_plane.agent().await;
    assert_eq!(again.ask(link.epoch, &claims["jti"]).await, serde_json::json!({"answer": "spent", "outcome": null}));
    go.send(()).await.unwrap();
    loop {
        let answer = again.ask(link.epoch, &claims["jti"]).await;
        if !answer["outcome"].is_null() {
            assert_eq!(answer["outcome"], serde_json::json!({"outcome": "ok", "status": 200}));
            break;
        }
    }
}

/// SECURITY.md D7: a list of many Secrets passes in pieces; no piece is much larger than what came in.
#[tokio::test]
async fn a_large_list_is_never_held() {
    let (world, link) = World::start().await;
    let value = "QQ".repeat(5000);
    let item = format!(r#"{{"metadata":{{"name":"s"}},"data":{{"k":"{value}=="}}}}"#);
    let mut steps = vec![chunked_head(), chunk(r#"{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":["#)];
    for index in 0..500 {
        let comma = if index == 0 { "" } else { "," };
        steps.push(chunk(&format!("{comma}{item}")));
    }
    steps.push(chunk("]}"));
    steps.push(Step::Write(b"0\r\n\r\n".to_vec()));
    world.api.on("GET ", steps);
    let call = Call::new("GET", "/api/v1/namespaces/ns/secrets", "");
    let mut body = world.control_plane.granted(&link, &call).await.into_body();
    let mut whole = Vec::new();
    while let Some(data) = next(&mut body).await {
        whole.extend_from_slice(&data.unwrap());
    }
    let list: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 500);
    assert!(!whole.windows(100).any(|window| window == &value.as_bytes()[..100]));
}
