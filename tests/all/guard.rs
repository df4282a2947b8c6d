//! What protects a cluster is watched: a policy that is weakened or deleted is an alarm, also where there is no runner.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use shared::wire;
use shared_net::endpoint::Endpoint;
use shared_net::tasks::{CancelOnDrop, TaskSet};
use shared_net::{drain, exchange};
use tests::cluster::Cluster;
use tests::stack::{Setup, Stack, get};

use crate::agents::as_agent;

/// A policy as `sallyport install` writes one for a namespace of runners.
fn policy(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "sallyport-runners", "namespace": namespace},
        "spec": {
            "podSelector": {"matchLabels": {"sallyport.dev/injected": "true"}},
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}],
        },
    })
}

fn guard(stack: &Stack) -> Value {
    let status: Value = serde_json::from_str(&stack.cli(&["status"]).ok()).unwrap();
    status["clusters"][0]["guard"].clone()
}

/// Waits until it says what it should; a look every half minute is promised.
async fn until(stack: &Stack, says: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..450 {
        let guard = guard(stack);
        if says(&guard) {
            return guard;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within a minute and a half: {}; {}", guard(stack), stack.log("control-plane").text());
}

/// Failure row N2, and its other side: nobody has to be there for it to be noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_weakened_or_deleted_is_an_alarm() {
    // The stack makes its namespace by itself, so the policy is of another one.
    let place = Cluster::get().namespace("guarded");
    let wanted = policy(&place);
    place.cluster().apply(&wanted.to_string());
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "sallyport:none-of-ours"}});
    let guarded = json!([wanted, role]).to_string();
    let stack = Stack::with("guard", &Setup { guarded: Some(guarded), ..Setup::default() });
    // The agent may read ours by name, and nothing else: what is not ours it can't, and says so.
    let first = until(&stack, |guard| guard["objects"] == 2).await;
    assert_eq!(
        first["complaints"],
        json!(["ClusterRole sallyport:none-of-ours can't be read: the API server answered 403"])
    );

    let weaker = json!({"spec": {"egress": [{}]}}).to_string();
    place.admin(&["patch", "networkpolicy", "sallyport-runners", "--type=merge", "-p", &weaker]);
    let changed = format!("NetworkPolicy sallyport-runners in {} is not as it was installed: spec.egress", &*place);
    until(&stack, |guard| guard.to_string().contains(&changed)).await;
    let printed = stack.cli(&["sessions", "list"]).ok();
    let alarm = printed.lines().find(|line| line.starts_with("ALARM")).unwrap_or_default();
    assert!(alarm.contains("what protects test is not as it was installed") && alarm.contains(&changed), "{printed}");
    assert!(!get(stack.admin_port(), "/readyz/protection"), "monitoring sees it");
    assert!(stack.is_ready(), "and the control plane serves all the same");

    place.admin(&["delete", "networkpolicy", "sallyport-runners"]);
    until(&stack, |guard| {
        guard.to_string().contains("NetworkPolicy sallyport-runners in ") && guard.to_string().contains("is missing")
    })
    .await;
    place.cluster().apply(&wanted.to_string());
    until(&stack, |guard| !guard.to_string().contains("NetworkPolicy")).await;

    // What was found stays on record, and every read of ours is on record and in the API server's own log.
    let log = stack.log("control-plane").text();
    assert!(log.contains("ALARM: what protects the cluster is not as it was installed"), "{log}");
    let audit = stack.namespace().cluster().facts().audit_log.display().to_string();
    let mut said = String::new();
    for _ in 0..20 {
        let output = stack.cli(&["audit", "reconcile", "--kube-audit", &audit]);
        said = format!("{}{}", output.stdout, output.stderr);
        if !said.contains("internal/guard-read") && !said.contains("networkpolicies") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{said}");
}

/// An agent that answers the question what it guards so, and whatever else it is asked with nothing.
struct Unknowing {
    _endpoint: Endpoint,
    _tasks: CancelOnDrop,
}

impl Unknowing {
    async fn join(stack: &Stack, answer: StatusCode) -> Self {
        let (endpoint, connection) = as_agent(stack).await;
        let tasks = TaskSet::new();
        let serving = tasks.clone();
        tasks.spawn("answer", async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let mut response = Response::new(Full::<Bytes>::default());
                if request.uri().path() == wire::path::GUARDED {
                    *response.status_mut() = answer;
                }
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let (_trigger, drain) = drain::channel();
            exchange::serve(&connection, service, &serving, drain).await;
        });
        Self { _endpoint: endpoint, _tasks: CancelOnDrop(tasks) }
    }
}

/// Nobody who could say that all is well is not the same as all being well: agents of a version that knows nothing of it, or whose answer
/// makes no sense.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_tell_is_an_alarm_too() {
    let place = Cluster::get().namespace("untold");
    let wanted = policy(&place);
    place.cluster().apply(&wanted.to_string());
    let guarded = json!([wanted]).to_string();
    let mut stack = Stack::with("untold", &Setup { guarded: Some(guarded), ..Setup::default() });
    for (answer, told) in [
        (StatusCode::NOT_FOUND, "no agent of the cluster is of a version that can tell"),
        (StatusCode::INTERNAL_SERVER_ERROR, "the cluster answered 500"),
    ] {
        stack.kill_agent();
        stack.kill_control_plane();
        stack.start_control_plane();
        let unknowing = Unknowing::join(&stack, answer).await;
        let alarm = until_alarm(&stack, true).await;
        let sentence = format!("nobody can tell whether what protects it is as it was installed: {told}");
        assert!(alarm.contains(&sentence), "{alarm}");
        assert!(!get(stack.admin_port(), "/readyz/protection"), "monitoring sees it");
        let log = stack.log("control-plane").text();
        assert!(log.contains("ALARM: what protects the cluster") && log.contains(&sentence), "{log}");

        // Beside one that can tell, it is asked nothing.
        stack.start_agent();
        until_alarm(&stack, false).await;
        assert_eq!(until(&stack, |guard| guard["error"].is_null()).await["objects"], 1);
        drop(unknowing);
    }
}

/// Waits until there is an alarm, or none; gives what people are told.
async fn until_alarm(stack: &Stack, on: bool) -> String {
    let mut printed = String::new();
    for _ in 0..450 {
        printed = stack.cli(&["sessions", "alarms"]).ok();
        if printed.contains("ALARM") == on {
            return printed;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("not within a minute and a half: {printed}; {}", stack.log("control-plane").text());
}
