//! How the wait for people ends, other than by a yes to a client that waits for it.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use serde_json::Value;
use shared::limits;
use tests::cluster::Cluster;
use tests::gate::Gate;
use tests::kubectl::Version;
use tests::stack::{Setup, Stack};

use crate::another::Another;
use crate::stories::{creations, hold, operations};

const BOT: [&str; 3] = ["create", "serviceaccount", "bot"];

/// The built-in rules, and further ones.
fn policy(rules: &str) -> String {
    format!(
        "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {{holdAt: 40, twoPeopleAt: 100, denyAt: 100}}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
{rules}
"
    )
}

fn live(stack: &Stack) -> Vec<Value> {
    serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap()
}

/// Waits until every creation of a ServiceAccount on record has an outcome, and gives them.
async fn outcomes(stack: &Stack) -> Vec<Value> {
    for _ in 0..100 {
        let about = |row: &Value| row["verb"] == "create" && row["resource"] == "serviceaccounts";
        let rows: Vec<_> = operations(stack).into_iter().filter(about).collect();
        if rows.iter().all(|row| !row["outcome"].is_null()) {
            return rows.into_iter().map(|row| row["outcome"].clone()).collect();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("without an outcome: {:?}", operations(stack));
}

fn not_sent(why: &str) -> Value {
    serde_json::json!({"outcome": "notSent", "why": why})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_sees_in_time_is_refused() {
    let rule = "- {name: soon, match: {apiGroups: [''], resources: [serviceaccounts], verbs: [create]}, effect: hold, wait: 5s}";
    let stack = Stack::with_policy("expires", Some(&policy(rule)));
    let (running, id) = hold(&stack, Version::Newest, &BOT).await;
    let said = running.end().await.refused();
    assert!(said.contains("nobody approved it in time") && said.contains(&id), "{said}");
    assert!(live(&stack).is_empty());
    let late = stack.cli(&["approvals", "approve", &id]).refused();
    assert!(late.contains("expired"), "{late}");
    assert_eq!(outcomes(&stack).await, [not_sent("holdExpired")]);
    assert!(creations(&stack, "serviceaccounts").is_empty());
}

/// The client hears why before its own patience ends; the hold goes on, and whoever asks again finds the yes.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_limit_ends_its_wait_and_not_the_hold() {
    let stack = Stack::start("patience");
    for (version, account) in [(Version::Old, "old"), (Version::Newest, "newest")] {
        let words = ["create", "serviceaccount", account, "--request-timeout=6s"];
        let (running, id) = hold(&stack, version, &words).await;
        let said = running.end().await.refused();
        assert!(said.contains("before the client's own time limit; it still waits"), "{version:?}: {said}");
        assert_eq!(live(&stack)[0]["id"], id.as_str());
        stack.cli(&["approvals", "approve", &id]).ok();
        let again = stack.kubectl(version).run(&["create", "serviceaccount", account]).await;
        assert_eq!(again.ok(), format!("serviceaccount/{account} created\n"), "{version:?}");
        assert!(live(&stack).is_empty(), "no other hold was opened");
    }
    assert_eq!(creations(&stack, "serviceaccounts").len(), 2);
}

/// Whoever votes and is gone before the answer has voted: the operation is told, and does not wait until its approval is too old.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_whose_caller_has_left_counts() {
    let stack = Stack::start("leaves");
    let (running, id) = hold(&stack, Version::Newest, &BOT).await;
    let told = |phase: &str| stack.cli(&["approvals", "show", &id, "--json"]).ok().contains(phase);
    while told("\"waiting\"") {
        // The vote can't be written before its caller has left.
        let database = Connection::open(stack.data().join("sallyport.db")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut approver = UnixStream::connect(stack.socket()).unwrap();
        let head = "HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
        write!(approver, "POST /v1/approvals/{id}/approve {head}").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(approver);
        tokio::time::sleep(Duration::from_millis(300)).await;
        database.execute_batch("COMMIT").unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    let log = stack.log("control-plane").text();
    assert!(log.lines().any(|line| line.contains("\"vote\"") && line.contains(&id)), "the call ended with its caller");
}

/// A job that is run again is the same asker, though its sidecar has another key.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_session_of_the_same_asker_claims_the_approval_once() {
    let mut stack = Stack::start("claims");
    let (running, id) = hold(&stack, Version::Middle, &BOT).await;
    running.interrupt().await;
    stack.restart_sidecar();
    stack.cli(&["approvals", "approve", &id]).ok();
    assert_eq!(stack.kubectl(Version::Middle).run(&BOT).await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    let mut ends = outcomes(&stack).await;
    ends.sort_by_key(|outcome| outcome["outcome"].to_string());
    assert_eq!(ends, [not_sent("approvalUsed"), serde_json::json!({"outcome": "ok", "status": 201})]);
    let sessions: std::collections::BTreeSet<String> =
        operations(&stack).iter().map(|row| row["session"].to_string()).collect();
    assert_eq!(sessions.len(), 2);
    // The approval was for one.
    let (running, other) = hold(&stack, Version::Middle, &BOT).await;
    assert_ne!(other, id);
    running.interrupt().await;
}

/// Two jobs of one ServiceAccount ask for the same and share the approval, which is for one: the other is told what happened.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_jobs_that_wait_one_goes_on_and_the_other_reads_why() {
    let stack = Stack::start("shares");
    let another = Another::start(&stack, "another").await;
    let (first, id) = hold(&stack, Version::Newest, &BOT).await;
    let second = another.kubectl().spawn(&BOT, "").await;
    let asked = || operations(&stack).into_iter().filter(|row| row["hold"] == id.as_str()).count();
    while asked() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(live(&stack).len(), 1);
    stack.cli(&["approvals", "approve", &id]).ok();
    let (done, over): (Vec<_>, Vec<_>) =
        [first.end().await, second.end().await].into_iter().partition(|output| output.code == Some(0));
    assert_eq!((done.len(), over.len()), (1, 1), "{done:?} {over:?}");
    let said = &over[0].stderr;
    let why = format!("another run of the same identity used the approval (hold {id}); it was not sent; run it again");
    assert!(said.contains(" is forbidden: ") && said.contains(&why), "{said}");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    let mut ends = outcomes(&stack).await;
    ends.sort_by_key(|outcome| outcome["outcome"].to_string());
    assert_eq!(ends, [not_sent("approvalUsed"), serde_json::json!({"outcome": "ok", "status": 201})]);
}

/// Waits until so many wait or are approved and unused.
async fn live_are(stack: &Stack, count: usize) -> Vec<Value> {
    for _ in 0..100 {
        let holds = live(stack);
        if holds.len() == count {
            return holds;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not {count} holds after ten seconds: {:?}", live(stack));
}

/// One job asks and asks, and never waits for an answer. Other jobs of its ServiceAccount may ask all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_asks_without_end_leaves_places_to_others() {
    let stack = Stack::start("fills");
    let another = Another::start(&stack, "another").await;
    let own = stack.kubectl(Version::Newest);
    let account = |n: usize| format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: a{n}}}}}\n");
    let all: Vec<String> = (0..limits::SESSION_HOLDS).map(account).collect();
    let create = ["create", "--validate=false", "-f", "-"];
    let leave = [&create[..], &["--request-timeout=2s"]].concat();
    let said = own.run_with(&leave, &all.join("---\n")).await.refused();
    assert_eq!(said.matches("it still waits").count(), limits::SESSION_HOLDS, "{said}");
    // After a while in which client-go tries again by itself.
    let said = own.run_with(&create, &account(99)).await.refused();
    assert!(said.contains("(TooManyRequests)"), "{said}");
    assert!(said.contains("16 operations of this session wait for people already; a place comes free when"), "{said}");
    assert_eq!(live(&stack).len(), limits::SESSION_HOLDS);
    let other = another.kubectl().spawn(&BOT, "").await;
    let holds = live_are(&stack, limits::SESSION_HOLDS + 1).await;
    let of = |pod: &str| holds.iter().find(|hold| hold["show"]["pod"]["pod"] == pod).unwrap()["id"].as_str().unwrap();
    stack.cli(&["approvals", "approve", of("another")]).ok();
    assert_eq!(other.end().await.ok(), "serviceaccount/bot created\n");
    // One of its own is decided: it has a place again.
    stack.cli(&["approvals", "deny", of("runner"), "--reason", "enough"]).ok();
    live_are(&stack, limits::SESSION_HOLDS - 1).await;
    let last = own.spawn(&["create", "serviceaccount", "last"], "").await;
    live_are(&stack, limits::SESSION_HOLDS).await;
    last.interrupt().await;
}

/// Nobody waits any more when the no comes; the record says it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_ends_what_its_client_has_left() {
    let stack = Stack::start("left");
    let (running, id) = hold(&stack, Version::Newest, &BOT).await;
    running.interrupt().await;
    stack.cli(&["approvals", "deny", &id, "--reason", "not without a ticket"]).ok();
    assert_eq!(outcomes(&stack).await, [not_sent("holdDenied")]);
    let session = operations(&stack)[0]["session"].as_str().unwrap().to_owned();
    let told = stack.cli(&["sessions", "show", &session]).ok();
    assert!(told.contains("not sent (403)") && told.contains("not without a ticket"), "{told}");
    assert!(creations(&stack, "serviceaccounts").is_empty());
}

/// What was approved is done to the state that people saw, or not at all. A write of its status in between is none of their business.
#[tokio::test(flavor = "multi_thread")]
async fn what_moves_between_approval_and_send() {
    let rule = "- {name: ways, match: {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [delete]}, effect: hold}";
    let gate = Gate::new(Cluster::get()).await;
    let text = policy(rule);
    let setup = Setup { policy: Some(&text), api_server: Some(gate.api_server()), ..Setup::default() };
    let stack = Stack::with("moves", &setup);
    let own = stack.namespace();
    let delete = |name: &'static str| ["delete", "ingress", name, "--wait=false"];
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}"#;
    for name in ["seen", "written", "labelled"] {
        own.admin(&["create", "ingress", name, "--rule=example.org/=web:80"]);
    }

    // While it waits.
    let (running, id) = hold(&stack, Version::Newest, &delete("seen")).await;
    own.admin(&["label", "ingress", "seen", "changed=since"]);
    stack.cli(&["approvals", "approve", &id]).ok();
    let said = running.end().await.refused();
    assert!(said.contains("has changed since it was approved") && said.contains("ask again"), "{said}");

    // After the agent has read it for the last time: the API server's 409 is looked into.
    let (running, id) = hold(&stack, Version::Newest, &delete("written")).await;
    gate.stop(Method::DELETE, "/ingresses/written");
    stack.cli(&["approvals", "approve", &id]).ok();
    gate.stopped().await;
    own.admin(&["patch", "ingress", "written", "--subresource=status", "--type=merge", "-p", status]);
    gate.let_go();
    assert!(running.end().await.ok().contains("deleted"));

    let (running, id) = hold(&stack, Version::Newest, &delete("labelled")).await;
    gate.stop(Method::DELETE, "/ingresses/labelled");
    stack.cli(&["approvals", "approve", &id]).ok();
    gate.stopped().await;
    own.admin(&["label", "ingress", "labelled", "changed=since"]);
    gate.let_go();
    let said = running.end().await.refused();
    assert!(said.contains("has changed since it was approved"), "{said}");

    let left = own.admin(&["get", "ingress", "-o", "name"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    assert!(!left.contains("written"), "{left}");
    let codes = |name: &str| -> Vec<u16> {
        let sent = own.cluster().audit_of(own).into_iter().filter(|event| event.verb == "delete");
        let about = sent.filter(|event| event.object_ref.as_ref().is_some_and(|object| object.name == name));
        about.filter_map(|event| event.response_status.map(|status| status.code)).collect()
    };
    assert!(codes("seen").is_empty());
    assert_eq!(codes("written"), [409, 200]);
    assert_eq!(codes("labelled"), [409]);
}
