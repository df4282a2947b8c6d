//! Rotation of a cluster's issuer keys. The cluster is one of which the test plays issuer and agent.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use shared::wire;
use shared_net::body::{BoxBody, full};
use shared_net::drain::{self, DrainTrigger};
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::exchange;
use shared_net::tasks::TaskSet;
use tests::issuer::{Issuer, now};
use tests::stack::{Setup, Stack};
use tests::web::Web;
use uuid::Uuid;

use crate::strangers::{agent_token, connect, greet, rejected};

/// An agent that answers every granted request with a key set.
struct Agent {
    connection: Connection,
    _endpoint: Endpoint,
    _serving: (TaskSet, DrainTrigger),
}

impl Agent {
    async fn start(stack: &Stack, token: &str, published: String) -> Self {
        let (endpoint, connection) = connect(stack).await;
        let (tasks, (trigger, drain)) = (TaskSet::new(), drain::channel());
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &published);
            async move { Ok::<_, Infallible>(answer) }
        });
        let (own, serving) = (connection.clone(), tasks.clone());
        tasks.spawn("agent", async move { exchange::serve(&own, service, &serving, drain).await });
        let (status, said) = greet(&connection, &Uuid::new_v4(), token).await;
        assert_eq!(status, 200, "{said}");
        Self { connection, _endpoint: endpoint, _serving: (tasks, trigger) }
    }
}

fn answer(request: &Request<Incoming>, published: &str) -> Response<BoxBody> {
    let asked = request.uri().path() == "/openid/v1/jwks" && request.headers().contains_key(wire::header::GRANT);
    let (status, body) = if asked { (200, published.to_owned()) } else { (404, String::new()) };
    Response::builder().status(status).header(wire::header::SENT, "yes").body(full(body)).unwrap()
}

/// The key sets of an issuer before and after, as it publishes them while it rotates.
fn both(old: &str, new: &str) -> String {
    let keys = |text: &str| serde_json::from_str::<Value>(text).unwrap()["keys"].as_array().unwrap().clone();
    let all = [keys(old), keys(new)].concat();
    json!({ "keys": all }).to_string()
}

fn cluster(issuer: &Issuer, keys: &Path, adopt: bool) -> Setup<'static> {
    let clusters = format!(
        "- {{name: other, uid: another, issuer: '{}', keys: '{}', agent: sallyport/sallyport-agent, adoptKeys: {adopt}}}\n",
        issuer.url(),
        keys.display()
    );
    Setup { clusters, ..Setup::default() }
}

/// Greets under a token until it counts.
async fn until_it_counts(stack: &Stack, token: &str) {
    let mut last = Value::Null;
    for _ in 0..300 {
        let (_endpoint, connection) = connect(stack).await;
        let (status, said) = greet(&connection, &Uuid::new_v4(), token).await;
        if status == 200 {
            return;
        }
        last = said;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not after a minute: {last}");
}

/// A new key counts once an agent under an old one says that the cluster publishes it; it is told, and the next start knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_adopted_from_an_agent_under_an_old_one() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let (keys, old) = (folder.path().join("keys.json"), issuer.jwks());
    std::fs::write(&keys, &old).unwrap();
    let mut stack = Stack::with("adopted", &cluster(&issuer, &keys, true));
    let web = Web::new(&stack, &[]).await;
    let under_old = agent_token(&issuer, now().as_secs() + 600);
    issuer.rotate();
    let under_new = agent_token(&issuer, now().as_secs() + 600);
    // Nobody under an old key has said so yet.
    let (_endpoint, stranger) = connect(&stack).await;
    assert_eq!(greet(&stranger, &Uuid::new_v4(), &under_new).await.0, 401);
    let agent = Agent::start(&stack, &under_old, both(&old, &issuer.jwks())).await;
    until_it_counts(&stack, &under_new).await;
    stack.log("control-plane").assert_contains("ALARM: a cluster publishes a new issuer key");
    let kept = rejected(&web, "issuer-keys").await;
    assert!(kept.contains("issuer-keys") && kept.contains("key-2"), "{kept}");
    assert_eq!(std::fs::read_to_string(&keys).unwrap(), old, "what was pinned is the administrator's");

    drop(agent);
    stack.stop_control_plane();
    stack.start_control_plane();
    let (_endpoint, connection) = connect(&stack).await;
    let (status, said) = greet(&connection, &Uuid::new_v4(), &under_new).await;
    assert_eq!(status, 200, "{said}");
}

/// Without adoptKeys an agent's word makes no key; an administrator's file does, while everything runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_that_nobody_pinned_is_told_and_does_not_count() {
    let issuer = Issuer::start();
    let folder = tempfile::tempdir().unwrap();
    let (keys, old) = (folder.path().join("keys.json"), issuer.jwks());
    std::fs::write(&keys, &old).unwrap();
    let stack = Stack::with("pinned", &cluster(&issuer, &keys, false));
    let web = Web::new(&stack, &[]).await;
    let under_old = agent_token(&issuer, now().as_secs() + 600);
    issuer.rotate();
    let under_new = agent_token(&issuer, now().as_secs() + 600);
    let published = both(&old, &issuer.jwks());
    let agent = Agent::start(&stack, &under_old, published.clone()).await;
    let kept = rejected(&web, "nobody pinned it").await;
    assert!(kept.contains("key-2"), "{kept}");
    let (_endpoint, connection) = connect(&stack).await;
    assert_eq!(greet(&connection, &Uuid::new_v4(), &under_new).await.0, 401);

    std::fs::write(&keys, "{}").unwrap();
    std::fs::write(&keys, published).unwrap();
    until_it_counts(&stack, &under_new).await;
    assert!(agent.connection.close_reason().is_none(), "whoever was there stays");
}
