//! The connection to the control plane: greeted, lost, silent, made again.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use shared::time::Timestamp;
use shared::wire;
use shared_net::clock::ManualClock;
use std::time::Duration;
use tokio::sync::mpsc;

use crate::api_server::{Step, chunk, chunked_head, json as answer};
use crate::control_plane::{Call, PATIENCE, text};
use crate::world::World;

const POD: &str = "/api/v1/namespaces/ns/pods/p";

/// SECURITY.md T9: a grant dies with its connection.
#[tokio::test]
async fn another_connection_is_another_epoch() {
    let (mut world, link) = World::start().await;
    let call = Call::new("DELETE", POD, "");
    let claims = world.control_plane.claims(&link, &call);
    let token = world.control_plane.sign(&claims);
    link.connection.close(0, "lost");
    let again = world.control_plane.agent().await;
    assert_ne!(again.epoch, link.epoch);
    let (head, _) = text(again.send(&call, &token).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "grant-epoch");
    // It was never spent, and the agent swears that it never will be.
    assert_eq!(again.ask(link.epoch, &claims["jti"]).await, json!({"answer": "neverSpent"}));
    assert_eq!(
        again.ask(control_plane_core::ledger::Epoch::new([0; 32]), &claims["jti"]).await,
        json!({"answer": "notKnown"})
    );
    assert!(world.api.seen().is_empty());
    // Asking about the connection that lives ends its grants as well.
    let claims = world.control_plane.claims(&again, &call);
    assert_eq!(again.ask(again.epoch, &claims["jti"]).await, json!({"answer": "neverSpent"}));
    let (head, _) = text(again.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "spend-epoch-sealed");
}

/// An old copy of the control plane is not served at all; and lives only rise.
#[tokio::test]
async fn an_earlier_life_is_refused() {
    let (mut world, link) = World::start().await;
    world.control_plane.greeting.lock().unwrap().life = 6;
    let greetings = || world.control_plane.hellos.lock().unwrap().len();
    let before = greetings();
    link.connection.close(0, "restart from a backup");
    while greetings() < before + 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.agent.ledger.life().0, 7);
    world.control_plane.greeting.lock().unwrap().life = 8;
    let call = Call::new("GET", POD, "");
    world.api.on("GET ", answer("200 OK", "{}"));
    loop {
        let again = world.control_plane.agent().await;
        let mut claims = world.control_plane.claims(&again, &call);
        claims["life"] = json!(8);
        // Greetings of the earlier life stand in the queue; their connections were closed by the agent.
        let request = call.with_grant(&world.control_plane.sign(&claims));
        let Ok(response) = shared_net::exchange::send(&again.connection, request).await else { continue };
        assert_eq!(response.status(), 200);
        let late = world.control_plane.claims(&again, &call);
        let (head, _) = text(again.send(&call, &world.control_plane.sign(&late)).await).await;
        assert_eq!(head.headers[wire::header::REFUSED], "grant-life", "life 7 is over now");
        break;
    }
}

/// What is remembered is remembered for good, so nobody may say that he comes from the future.
#[tokio::test]
async fn a_life_of_the_future_is_not_remembered() {
    let (world, link) = World::start().await;
    world.control_plane.greeting.lock().unwrap().life = u64::MAX;
    let before = world.control_plane.hellos.lock().unwrap().len();
    link.connection.close(0, "a restart");
    while world.control_plane.hellos.lock().unwrap().len() < before + 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.agent.ledger.life().0, 7);
    assert_eq!(world.api.lives.lock().unwrap().len(), 1);
}

/// What one agent has seen, the next one knows: from the cluster.
#[tokio::test]
async fn lives_outlast_the_agent() {
    let (mut world, link) = World::start().await;
    let lease = |life: u64| {
        let pin: String = world.control_plane.pin.bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("life-{pin}-{life}")
    };
    let (seventh, eighth, ninth) = (lease(7), lease(8), lease(9));
    assert_eq!(*world.api.lives.lock().unwrap(), [seventh]);
    world.control_plane.greeting.lock().unwrap().life = 8;
    link.connection.close(0, "a restart");
    let link = world.control_plane.agent().await;
    // The Lease is there before the epoch is open, so before any grant is spent.
    while world.agent.ledger.life().0 != 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*world.api.lives.lock().unwrap(), [eighth], "lower ones are forgotten");
    drop(link);

    // Another agent process starts, and the control plane is of a life before the one that the cluster remembers.
    world.api.lives.lock().unwrap().push(ninth);
    let again = world.control_plane.hellos.lock().unwrap().len();
    let other = world.second_agent().await;
    while world.control_plane.hellos.lock().unwrap().len() < again + 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.control_plane.hellos.lock().unwrap()[again]["life"], json!(9), "it says what it knows");
    assert_eq!(other.ledger.life().0, 0, "it was not believed");
}

/// Invariant 7: what is being passed on ends with the connection.
#[tokio::test]
async fn a_lost_connection_ends_the_streams_of_the_api_server() {
    let (world, link) = World::start().await;
    let (gone, mut left) = mpsc::channel(1);
    world.api.on("GET ", vec![chunked_head(), Step::Hang(gone)]);
    let watch = Call::new("GET", "/api/v1/namespaces/ns/pods?watch=1", "");
    let response = world.control_plane.granted(&link, &watch).await;
    assert_eq!(response.status(), 200);
    link.connection.close(0, "lost");
    tokio::time::timeout(PATIENCE, left.recv()).await.unwrap().unwrap();
}

/// Invariant 7: five seconds after the last sign of life what is being passed on ends, and the epoch with it. QUIC itself would wait for
/// fifteen.
#[tokio::test]
async fn silence_ends_the_streams_of_the_api_server() {
    let hand = ManualClock::new(Timestamp(1_900_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let (gone, mut left) = mpsc::channel(1);
    world.api.on("GET ", vec![chunked_head(), Step::Hang(gone)]);
    let watch = Call::new("GET", "/api/v1/namespaces/ns/pods?watch=1", "");
    let claims = world.control_plane.claims(&link, &watch);
    let response = link.send(&watch, &world.control_plane.sign(&claims)).await;
    assert_eq!(response.status(), 200);
    // While the control plane can be heard, time alone cuts nothing: each second of it is answered by a ping.
    let heard = || link.connection.stats().frame_rx.stream;
    for _ in 0..10 {
        let before = heard();
        while heard() == before {
            hand.advance(Duration::from_millis(500));
            for _ in 0..2000 {
                if heard() != before {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
    assert!(left.try_recv().is_err());

    world.relay.cut();
    let mut waited = 0;
    while left.try_recv().is_err() {
        hand.advance(Duration::from_millis(250));
        waited += 250;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(waited <= 60_000, "the stream is still open");
    }
    // Up to half a second had passed since the last sign of life.
    assert!(waited >= 4_250, "{waited} ms are less than silence");
}

/// `until` on the agent's own clock: a watch ends well between two events, anything else is broken off, or refused where nothing of it had left.
#[tokio::test]
async fn an_answer_ends_when_the_grant_says_so() {
    let hand = ManualClock::new(Timestamp(1_900_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let list = "/api/v1/namespaces/ns/pods";
    for (path, ends_well) in [(&*format!("{list}?watch=1"), true), (list, false)] {
        let (gone, mut left) = mpsc::channel(1);
        let begun = (!ends_well).then(|| chunk(r#"{"kind":"PodList","#));
        world.api.on("GET ", std::iter::once(chunked_head()).chain(begun).chain([Step::Hang(gone)]).collect());
        let call = Call::new("GET", path, "");
        let mut claims = world.control_plane.claims(&link, &call);
        claims["until"] = json!(50_000);
        let response = link.send(&call, &world.control_plane.sign(&claims)).await;
        assert_eq!(response.status(), 200);
        hand.advance(Duration::from_secs(50));
        let body = shared_net::body::collect_bounded(response.into_body(), 1024, PATIENCE).await;
        assert_eq!(body.is_ok(), ends_well, "{path}");
        tokio::time::timeout(PATIENCE, left.recv()).await.unwrap().unwrap();
    }
    let (gone, mut left) = mpsc::channel(1);
    world.api.on("GET ", vec![chunked_head(), Step::Hang(gone)]);
    let call = Call::new("GET", list, "");
    let mut claims = world.control_plane.claims(&link, &call);
    claims["until"] = json!(50_000);
    let token = world.control_plane.sign(&claims);
    let end = async {
        while !world.admin_get("/metrics").await.contains("agent_open_answers 1") {}
        hand.advance(Duration::from_secs(50));
    };
    let (response, ()) = tokio::join!(link.send(&call, &token), end);
    assert_eq!(
        (response.status().as_u16(), &response.headers()[wire::header::REFUSED]),
        (504, &"answer-until".parse().unwrap())
    );
    tokio::time::timeout(PATIENCE, left.recv()).await.unwrap().unwrap();
}

/// The ttl runs on the agent's monotonic clock from receipt: a body that dawdles lets it run out.
#[tokio::test]
async fn a_grant_expires_while_its_body_dawdles() {
    let hand = ManualClock::new(Timestamp(1_900_000_000_000));
    let (world, link) = World::start_with(hand.clock()).await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
    let call = Call::new("POST", "/api/v1/namespaces/ns/configmaps", body);
    let mut claims = world.control_plane.claims(&link, &call);
    claims["ttl"] = json!(2_000);
    let token = world.control_plane.sign(&claims);
    let (sender, slow) = shared_net::body::channel(1);
    let request = call.with_grant(&token).map(|_| slow);
    let asking = shared_net::exchange::send(&link.connection, request);
    let dawdling = async {
        sender.send(Bytes::from_static(b"{")).await.unwrap();
        world.wait_for_operations(1).await;
        hand.advance(Duration::from_secs(2));
        sender.send(Bytes::from_static(&body.as_bytes()[1..])).await.unwrap();
        sender.finish().await.unwrap();
    };
    let (response, ()) = tokio::join!(asking, dawdling);
    let response = response.unwrap();
    assert_eq!(response.headers()[wire::header::REFUSED], "grant-expired");
    assert!(world.api.seen().is_empty());
}

/// Nor does a wall clock that is set move it: what is good stays good, and what is over stays over.
#[tokio::test]
async fn a_grants_time_is_not_the_wall_clocks() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let start = Timestamp(1_900_000_000_000);
    let hand = ManualClock::new(start);
    let (world, link) = World::start_with(hand.clock()).await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
    let call = Call::new("POST", "/api/v1/namespaces/ns/configmaps", body);
    for _ in 0..2 {
        world.api.on("POST ", answer("201 Created", body));
    }
    let back = Timestamp(start.0 - u64::try_from(YEAR.as_millis()).unwrap());
    for (number, (to, waited, good)) in
        [(start.after(YEAR), 9, true), (back, 9, true), (back, 10, false), (start.after(YEAR), 10, false)]
            .into_iter()
            .enumerate()
    {
        let token = world.control_plane.sign(&world.control_plane.claims(&link, &call));
        let (sender, slow) = shared_net::body::channel(1);
        let request = call.with_grant(&token).map(|_| slow);
        let asking = shared_net::exchange::send(&link.connection, request);
        let dawdling = async {
            sender.send(Bytes::from_static(b"{")).await.unwrap();
            world.wait_for_operations(u64::try_from(number).unwrap() + 1).await;
            hand.jump(to);
            hand.advance(Duration::from_secs(waited));
            sender.send(Bytes::from_static(&body.as_bytes()[1..])).await.unwrap();
            sender.finish().await.unwrap();
        };
        let (response, ()) = tokio::join!(asking, dawdling);
        let response = response.unwrap();
        let refused = response.headers().get(wire::header::REFUSED).map(|word| word.to_str().unwrap());
        assert_eq!(refused, (!good).then_some("grant-expired"), "set to {to}, after {waited} s");
    }
    assert_eq!(world.api.seen().len(), 2);
}

/// The control plane is told before anything is given back, and what was on its way is still taken.
#[tokio::test]
async fn an_agent_that_ends_says_so_first() {
    let (mut world, link) = World::start().await;
    world.api.on("GET ", answer("200 OK", "{}"));
    let call = Call::new("GET", POD, "");
    world.stop();
    while !world.control_plane.hellos.lock().unwrap().contains(&json!("leaving")) {
        tokio::task::yield_now().await;
    }
    // Opened before the control plane's answer was there.
    assert_eq!(world.control_plane.granted(&link, &call).await.status(), 200);
    let gone = tokio::time::timeout(PATIENCE, async {
        loop {
            let alive = Request::get(wire::path::PING).header("host", wire::HOST_CONTROL);
            let alive = alive.body(Full::new(Bytes::new())).unwrap();
            if let Err(error) = shared_net::exchange::send(&link.connection, alive).await {
                return error;
            }
        }
    });
    let gone = gone.await.unwrap();
    assert!(gone.certainly_not_sent() || link.connection.close_reason().is_some(), "{gone:?}");
}

#[tokio::test]
async fn readiness_tells_the_truth() {
    let (world, link) = World::start().await;
    // Credential and API server are found by tasks of their own.
    while !world.admin_get("/readyz").await.starts_with("HTTP/1.1 200") {}
    assert!(world.admin_get("/metrics").await.contains("sallyport_agent_connections_total 1"));
    world.control_plane.close().await;
    drop(link);
    loop {
        let answer = world.admin_get("/readyz").await;
        if answer.starts_with("HTTP/1.1 503") {
            assert!(answer.contains("control plane"), "{answer}");
            break;
        }
    }
    assert!(world.admin_get("/livez").await.starts_with("HTTP/1.1 200"));
}

/// The control plane ends a connection with the token that was shown on it, so a fresh one is shown on the same connection before.
#[tokio::test]
async fn a_fresh_token_is_shown_before_the_last_one_runs_out() {
    let hand = ManualClock::new(Timestamp(1_900_000_000_000));
    let (mut world, link) =
        World::start_as(hand.clock(), |greeting| greeting.token_life = Duration::from_secs(4)).await;
    // From then on it sleeps until the token wants to be renewed.
    while !world.admin_get("/metrics").await.contains("sallyport_agent_connections_total 1") {}
    let greetings = || world.control_plane.hellos.lock().unwrap().len();
    for _ in 0..31 {
        hand.advance(Duration::from_millis(100));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(greetings(), 1, "three seconds of four are no hurry");
    hand.advance(Duration::from_millis(200));
    let again = world.control_plane.agent().await;
    assert!(again.connection.same(&link.connection), "no new connection, and no grant is void");
    let hellos = world.control_plane.hellos.lock().unwrap().clone();
    let [first, second] = hellos.as_slice() else { panic!("{hellos:?}") };
    assert_eq!((&first["agent"], &first["token"]), (&second["agent"], &second["token"]));
    assert_eq!(second["life"], json!(7));
}
