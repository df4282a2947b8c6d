//! Whoever makes a key gets a connection to the control plane, and nothing else; and an agent is one as long as it can prove it.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::Full;
use serde_json::{Value, json};
use shared::{limits, wire};
use shared_net::body::collect_bounded;
use shared_net::clock::Clock;
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::exchange;
use shared_net::pki::Identity;
use shared_net::quic;
use tests::issuer::{self, Issuer};
use tests::kubectl::Version;
use tests::stack::{Setup, Stack};
use tests::web::{Door, Web};
use uuid::Uuid;

pub(crate) async fn connect(stack: &Stack) -> (Endpoint, Connection) {
    let identity = Identity::self_signed(Clock::system().now(), Duration::from_secs(3600)).unwrap();
    let config = quic::client_config(&identity, stack.pin().parse().unwrap()).unwrap();
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint.connect(stack.quic(), config).await.expect("any key gets a connection");
    (endpoint, connection)
}

async fn ask(connection: &Connection, host: &str, target: &str) -> (u16, String) {
    let request = http::Request::get(target)
        .header(HOST, host)
        .header(wire::header::OPERATION, Uuid::now_v7().to_string())
        .body(Full::new(Bytes::new()));
    answer(connection, request.unwrap()).await
}

async fn answer(connection: &Connection, request: http::Request<Full<Bytes>>) -> (u16, String) {
    let response = exchange::send(connection, request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = collect_bounded(response.into_body(), 1 << 20, Duration::from_secs(30)).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The rejected attempts, once one speaks of this: their rows reach the disk within a second.
pub(crate) async fn rejected(web: &Web, of: &str) -> String {
    for _ in 0..300 {
        let kept = web.call(Door::Socket, "GET", "/v1/rejected", &[], "").await.body;
        if kept.contains(of) {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no rejected attempt of {of} after half a minute");
}

/// Failure row D8: what has no session and is no agent is refused, is counted, is on record by the ration of its address, and keeps no place.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_alone_gets_nothing_and_little_is_written() {
    let stack = Stack::start("strangers");
    let web = Web::new(&stack, &[]).await;
    let (_endpoint, connection) = connect(&stack).await;
    for target in ["/api/v1/namespaces/default/secrets/a-word-of-mine", "/version", "/%2e%2e/a-word-of-mine"] {
        let (status, said) = ask(&connection, wire::HOST_KUBERNETES, target).await;
        assert!(status == 503 || status == 400, "{target}: {status} {said}");
    }
    for target in ["/v1/session", "/v1/rejected", "/metrics"] {
        let (status, said) = ask(&connection, wire::HOST_CONTROL, target).await;
        assert_eq!(status, 404, "{target}: {said}");
    }
    let metrics = web.raw(Door::Admin, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.body;
    let counted = metrics.lines().find(|line| line.starts_with("sallyport_refusals_total{kind=\"no_session\"}"));
    assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    // On record, by the ration of an address (`a_flood_writes_a_bounded_number_of_rows`).
    rejected(&web, "identify").await;

    let closed = tokio::time::timeout(Duration::from_secs(60), connection.closed()).await;
    assert!(closed.is_ok(), "who proves nothing does not stay");
    assert_eq!(connection.peer_close_code(), Some(u64::from(wire::code::PROTOCOL)));
    // Whoever has a role has stayed.
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
    stack.log("sidecar").assert_quiet(&[]);
    stack.log("agent").assert_quiet(&[]);
}

/// All sidecars of a cluster behind one NAT come back at once, and its agent from the same address: while nobody can review their tokens they
/// must not take up the places that it needs.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_signed_token_keeps_no_strangers_place() {
    let stack = Stack::start("signed");
    let token = stack.runner_tokens().remove(0);
    let shown = async || {
        let (endpoint, connection) = connect(&stack).await;
        let request = http::Request::post(wire::path::SESSION)
            .header(HOST, wire::HOST_CONTROL)
            .body(Full::new(Bytes::from(json!({"podToken": token}).to_string())));
        let (status, said) = answer(&connection, request.unwrap()).await;
        // Signed by the cluster, and yet no session: its pod has one.
        assert_eq!(status, 403, "{said}");
        (endpoint, connection)
    };
    let known = tokio::join!(shown(), shown());
    let identity = Identity::self_signed(Clock::system().now(), Duration::from_secs(3600)).unwrap();
    let config = quic::client_config(&identity, stack.pin().parse().unwrap()).unwrap();
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut strangers = Vec::new();
    for _ in 0..limits::STRANGERS_PER_ADDRESS {
        strangers.push(endpoint.connect(stack.quic(), config.clone()).await.expect("any key gets a connection"));
    }
    let (status, said) = ask(strangers.last().unwrap(), wire::HOST_CONTROL, "/v1/rejected").await;
    assert_eq!(status, 404, "it is refused as any stranger's call is, and not as one too many: {said}");
    drop((known, strangers));
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
}

/// A ServiceAccount token of the cluster whose keys the issuer plays.
pub(crate) fn agent_token(issuer: &Issuer, expires: u64) -> String {
    issuer.token(&json!({
        "aud": ["sallyport-agent"],
        "exp": expires,
        "iat": expires - 3600,
        "sub": "system:serviceaccount:sallyport:sallyport-agent",
        "kubernetes.io": {"namespace": "sallyport", "serviceaccount": {"name": "sallyport-agent", "uid": "some"}},
    }))
}

pub(crate) async fn greet(connection: &Connection, agent: &Uuid, token: &str) -> (u16, Value) {
    let hello = json!({"token": token, "agent": agent, "clusterUid": "another", "life": 0, "version": "test"});
    greet_with(connection, &hello).await
}

pub(crate) async fn greet_with(connection: &Connection, hello: &Value) -> (u16, Value) {
    let request = http::Request::post(wire::path::AGENT)
        .header(HOST, wire::HOST_CONTROL)
        .body(Full::new(Bytes::from(hello.to_string())))
        .unwrap();
    let (status, said) = answer(connection, request).await;
    (status, serde_json::from_str(&said).unwrap())
}

/// An agent is one as long as its token is good: a stolen one makes no connection for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_stays_as_long_as_its_token() {
    let issuer = Issuer::start();
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("keys.json");
    std::fs::write(&file, issuer.jwks()).unwrap();
    let clusters = format!(
        "- {{name: other, uid: another, issuer: '{}', keys: '{}', agent: sallyport/sallyport-agent}}\n",
        issuer.url(),
        file.display()
    );
    let stack = Stack::with("agenttoken", &Setup { clusters, ..Setup::default() });
    let (_first, silent) = connect(&stack).await;
    let (_second, renewing) = connect(&stack).await;
    // Half a minute after its end a token is taken for the clocks' sake; these two are near the end of that.
    let now = issuer::now().as_secs();
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let (status, said) = greet(&renewing, &one, &agent_token(&issuer, now - 24)).await;
    assert_eq!((status, &said["cluster"]), (200, &json!("other")), "{said}");
    assert_eq!(said["expires"], json!((now - 24) * 1000));
    let (status, said) = greet(&silent, &other, &agent_token(&issuer, now - 20)).await;
    assert_eq!(status, 200, "{said}");
    let (status, said) = greet(&renewing, &other, &agent_token(&issuer, now + 600)).await;
    assert_eq!(status, 401, "a connection does not become another agent's: {said}");
    let (status, said) = greet(&renewing, &one, &agent_token(&issuer, now + 600)).await;
    assert_eq!(status, 200, "{said}");

    let closed = tokio::time::timeout(Duration::from_secs(60), silent.closed()).await;
    assert!(closed.is_ok(), "its token is over");
    assert_eq!(silent.peer_close_code(), Some(u64::from(wire::code::UNAUTHENTICATED)));
    // Its first token ended before the other's did.
    assert!(renewing.close_reason().is_none());
    let (status, _) = greet(&renewing, &one, &agent_token(&issuer, now + 900)).await;
    assert_eq!(status, 200);
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
}
