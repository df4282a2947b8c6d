//! Two agents, as an installation has them: one dies, one goes away in order, one takes nothing. What may have been sent is said to be
//! unknown; everything else goes through the other one, and nobody notices.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent::config::{self, InCluster};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use shared::wire;
use shared_net::clock::Clock;
use shared_net::drain::{self, Mode};
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::pki::{self, Identity};
use shared_net::tasks::{CancelOnDrop, TaskSet};
use shared_net::{exchange, quic};
use tests::cluster::Cluster;
use tests::kubectl::Version;
use tests::relay::Relay;
use tests::stack::{Setup, Stack};
use uuid::Uuid;

use crate::stories::{creations, hold, operations};

/// Waits until something is so; panics after half a minute.
async fn until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..300 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} is still to come after thirty seconds");
}

/// Operations of which the API server did not say what became of them.
fn not_carried_out(stack: &Stack) -> Vec<Value> {
    let carried_out =
        |row: &Value| matches!(row.pointer("/outcome/outcome").and_then(Value::as_str), Some("ok" | "error") | None);
    operations(stack).into_iter().filter(|row| !carried_out(row)).collect()
}

/// The write of which nobody will hear: the API server carries it out, and the agent dies before it has the answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_had_is_unknown_and_the_next_goes_through_the_other() {
    let relay = Relay::start(Cluster::get()).await;
    let mut stack = Stack::with("dies", &Setup { api_server: Some(relay.api_server()), ..Setup::default() });
    let kubectl = stack.kubectl(Version::Middle);
    relay.silence();
    let mut running = kubectl.spawn(&["create", "configmap", "asked-for"], "").await;
    until("the write", || creations(&stack, "configmaps").len() == 1).await;
    stack.start_second_agent();
    assert!(running.is_waiting(), "nobody has answered");
    stack.kill_agent();
    let said = running.end().await.refused();
    assert!(said.contains("nobody can say whether it was carried out"), "{said}");

    for number in 0..4 {
        kubectl.run(&["create", "configmap", &format!("next-{number}")]).await.ok();
        kubectl.run(&["get", "configmap", "asked-for"]).await.ok();
    }
    assert_eq!(creations(&stack, "configmaps").len(), 5, "nothing ran twice");
    let unknown = not_carried_out(&stack);
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!((unknown[0]["verb"].as_str(), unknown[0]["resource"].as_str()), (Some("create"), Some("configmaps")));
    assert_eq!(unknown[0]["outcome"]["outcome"], "unknown");
}

/// An update of the agents, as the Deployment does it: the new one is there, then the old one is asked to go.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_goes_away_and_no_call_fails() {
    let mut stack = Stack::start("goes");
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["create", "configmap", "first"]).await.ok();
    let watching = kubectl.spawn(&["get", "configmaps", "--watch"], "").await;
    let waiting =
        kubectl.spawn(&["wait", "configmap/first", "--for=jsonpath={.data.done}=yes", "--timeout=60s"], "").await;
    let watches = || operations(&stack).into_iter().filter(|row| row["verb"] == "watch");
    until("both watches", || watches().filter(|row| row["outcome"].is_null()).count() == 2).await;
    stack.start_second_agent();

    let mut has_ended = stack.end_agent();
    let mut calls = 0;
    while !has_ended() || calls < 10 {
        let name = format!("during-{calls}");
        let (write, read) = tokio::join!(async { kubectl.run(&["create", "configmap", &name]).await }, async {
            kubectl.run(&["get", "configmaps", "-o", "name"]).await
        },);
        write.ok();
        read.ok();
        calls += 1;
        assert!(calls < 200, "the agent does not end");
    }
    // A watch ends between two events, as an API server's own does that is updated; who waits for something asks again.
    let watched = watching.end().await;
    assert_eq!((watched.code, watched.stderr.as_str()), (Some(0), ""), "{watched:?}");
    assert!(watched.stdout.contains("first"), "{watched:?}");
    stack.namespace().admin(&["patch", "configmap", "first", "--type=merge", "-p", r#"{"data":{"done":"yes"}}"#]);
    waiting.end().await.ok();

    assert_eq!(creations(&stack, "configmaps").len(), calls + 1);
    assert_eq!(not_carried_out(&stack), [] as [Value; 0]);
    for process in ["control-plane", "agent", "second-agent", "sidecar"] {
        stack.log(process).assert_quiet(&[]);
    }
}

/// An update of the control plane while a watch runs: it need not wait for the watch, and who calls meanwhile waits for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_does_not_hold_a_restart_up() {
    let mut stack = Stack::start("watched");
    let kubectl = stack.kubectl(Version::Newest);
    let watching = kubectl.spawn(&["get", "configmaps", "--watch"], "").await;
    let watches = || operations(&stack).into_iter().any(|row| row["verb"] == "watch" && row["outcome"].is_null());
    until("the watch", watches).await;
    stack.stop_control_plane();
    let watched = watching.end().await;
    assert_eq!((watched.code, watched.stderr.as_str()), (Some(0), ""), "{watched:?}");
    let meanwhile = kubectl.spawn(&["create", "configmap", "meanwhile"], "").await;
    stack.start_control_plane();
    meanwhile.end().await.ok();
    assert_eq!(creations(&stack, "configmaps").len(), 1);
    stack.log("control-plane").assert_without("the drain took too long");
}

/// An agent that is going away, though nobody has heard of it: it lives, and takes no operation.
struct Refusing {
    _endpoint: Endpoint,
    _tasks: CancelOnDrop,
}

impl Refusing {
    /// Joins beside the stack's own agents. It takes nothing at all, or nothing once it was asked whether it lives.
    async fn join(stack: &Stack, what: Refuses) -> Self {
        let (endpoint, connection) = as_agent(stack).await;
        let tasks = TaskSet::new();
        let (trigger, drain) = drain::channel();
        if what == Refuses::All {
            trigger.start(Mode::Graceful);
        }
        let (taking, beating) = (connection.clone(), connection);
        let (serving, trigger) = (tasks.clone(), Arc::new(trigger));
        tasks.spawn("refuse", async move {
            let service = service_fn(move |_: Request<Incoming>| {
                // The question whether it lives, which comes before an approval is spent.
                trigger.start(Mode::Graceful);
                std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
            });
            exchange::serve(&taking, service, &serving, drain).await;
        });
        tasks.spawn("beat", async move {
            // Who is heard is not asked whether he lives.
            while call(&beating, wire::path::PING, "").await == StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { _endpoint: endpoint, _tasks: CancelOnDrop(tasks) }
    }
}

/// A connection that is an agent's, by the token of the stack's own.
pub(crate) async fn as_agent(stack: &Stack) -> (Endpoint, Connection) {
    let text = std::fs::read_to_string(stack.agent_config("agent")).unwrap();
    let config = config::parse(&text, &InCluster::default()).unwrap();
    let identity = Identity::self_signed(Clock::system().now(), pki::CA_LIFE).unwrap();
    let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let dialled = quic::client_config(&identity, config.pin).unwrap();
    let connection = endpoint.connect(stack.quic(), dialled).await.unwrap();
    let token = std::fs::read_to_string(&config.token_file).unwrap();
    let hello = json!({"token": token.trim(), "agent": Uuid::new_v4(), "clusterUid": config.cluster_uid, "life": 0});
    assert_eq!(call(&connection, wire::path::AGENT, &hello.to_string()).await, StatusCode::OK);
    (endpoint, connection)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refuses {
    All,
    /// Once it has said that it lives.
    AfterOneAnswer,
}

async fn call(connection: &Connection, path: &str, body: &str) -> StatusCode {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    let request = Request::post(path).header(header::HOST, wire::HOST_CONTROL).body(body).unwrap();
    exchange::send(connection, request).await.map_or(StatusCode::BAD_GATEWAY, |answer| answer.status())
}

/// What is certain not to have been sent is sent again, by the other agent, and kubectl knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_does_not_take_goes_through_the_other() {
    let stack = Stack::start("refusing");
    let kubectl = stack.kubectl(Version::Old);
    let (mut wrote, mut held_back) = (0, 0);
    // Agents take turns, and which turn it is nobody knows: each is tried until it was that of the one that takes nothing.
    for kind in ["read", "write", "approved"] {
        for attempt in 0.. {
            assert!(attempt < 20, "no {kind} met the agent that takes nothing");
            let what = if kind == "approved" { Refuses::AfterOneAnswer } else { Refuses::All };
            let refusing = Refusing::join(&stack, what).await;
            let before = stack.log("control-plane").text().matches("a grant was not taken").count();
            let name = format!("{kind}-{attempt}");
            match kind {
                "read" => drop(kubectl.run(&["get", "configmaps"]).await.ok()),
                "write" => {
                    kubectl.run(&["create", "configmap", &name]).await.ok();
                    wrote += 1;
                }
                _ => {
                    let (running, id) = hold(&stack, Version::Old, &["create", "serviceaccount", &name]).await;
                    stack.cli(&["approvals", "approve", &id]).ok();
                    assert_eq!(running.end().await.ok(), format!("serviceaccount/{name} created\n"));
                    held_back += 1;
                }
            }
            drop(refusing);
            if stack.log("control-plane").text().matches("a grant was not taken").count() > before {
                break;
            }
        }
    }
    assert_eq!(creations(&stack, "configmaps").len(), wrote);
    assert_eq!(creations(&stack, "serviceaccounts").len(), held_back);
    assert_eq!(not_carried_out(&stack), [] as [Value; 0]);
}
