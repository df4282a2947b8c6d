//! What people live through: unchanged kubectl of three versions against all three processes and a real API server.
//! The API server's audit log is the referee of what was sent.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tests::cluster::AuditEvent;
use tests::kubectl::{Output, Running, Version};
use tests::stack::Stack;
use uuid::Uuid;

const PASSWORD: &str = "canary-51f0 correct horse battery staple";

/// Waits until one operation is held and gives the hold's id.
pub(crate) async fn held(stack: &Stack) -> String {
    for _ in 0..100 {
        let holds: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
        if let Some(id) = holds[0]["id"].as_str() {
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is held after ten seconds");
}

/// Starts a command that must be held.
pub(crate) async fn hold(stack: &Stack, version: Version, arguments: &[&str]) -> (Running, String) {
    let mut running = stack.kubectl(version).spawn(arguments, "").await;
    let id = held(stack).await;
    assert!(running.is_waiting(), "kubectl {arguments:?} did not wait");
    (running, id)
}

/// All operations of all sessions, as the web API tells them.
pub(crate) fn operations(stack: &Stack) -> Vec<Value> {
    let sessions: Value = serde_json::from_str(&stack.cli(&["sessions", "list", "--json"]).ok()).unwrap();
    let ids = sessions.as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap().to_owned());
    let shown = ids.map(|id| stack.cli(&["sessions", "show", &id, "--json"]).ok());
    shown
        .flat_map(|text| serde_json::from_str::<Value>(&text).unwrap()["operations"].as_array().unwrap().clone())
        .collect()
}

pub(crate) fn creations(stack: &Stack, resource: &'static str) -> Vec<AuditEvent> {
    let sent = stack.namespace().cluster().audit_of(stack.namespace());
    sent.into_iter()
        .filter(|event| event.verb == "create" && event.object_ref.as_ref().unwrap().resource == resource)
        .collect()
}

fn without_password(output: &Output) {
    for secret in [PASSWORD.to_owned(), STANDARD.encode(PASSWORD)] {
        assert!(!output.stdout.contains(&secret) && !output.stderr.contains(&secret), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_pass_and_no_secret_value_is_seen() {
    let stack = Stack::start("reads");
    let literal = format!("--from-literal=password={PASSWORD}");
    stack.namespace().admin(&["create", "secret", "generic", "database", &literal]);
    let annotated = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: applied, namespace: {}}}, stringData: {{password: {PASSWORD}}}}}",
        &**stack.namespace()
    );
    stack.namespace().cluster().apply(&annotated);
    for version in Version::ALL {
        let kubectl = stack.kubectl(version);
        assert!(kubectl.run(&["get", "pods"]).await.ok().contains("runner"), "{version:?}");
        for output in ["yaml", "json", "wide", "name", "jsonpath={.data.password}", "custom-columns=D:.data"] {
            for what in [&["get", "secret", "database", "-o", output][..], &["get", "secrets", "-o", output]] {
                let got = kubectl.run(what).await;
                without_password(&got);
                assert_eq!(got.code, Some(0), "{version:?} {what:?}: {}", got.stderr);
            }
        }
        for what in [
            &["describe", "secret", "database"][..],
            &["get", "secrets", "-v=9"],
            &["get", "--raw", &format!("/api/v1/namespaces/{}/secrets", &**stack.namespace())],
            &["api-resources"],
            &["version"],
            &["explain", "pod.spec"],
        ] {
            let got = kubectl.run(what).await;
            without_password(&got);
            assert_eq!(got.code, Some(0), "{version:?} {what:?}: {}", got.stderr);
        }
    }
    for process in ["control-plane", "agent", "sidecar"] {
        stack.log(process).assert_without(PASSWORD);
        stack.log(process).assert_without(&STANDARD.encode(PASSWORD));
        stack.log(process).assert_quiet(&[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_change_goes_through_once() {
    let stack = Stack::start("writes");
    for version in Version::ALL {
        let name = format!("by-{version:?}").to_lowercase();
        let made = stack.kubectl(version).run(&["create", "configmap", &name, "--from-literal=a=b"]).await;
        assert_eq!(made.ok(), format!("configmap/{name} created\n"));
    }
    let sent = creations(&stack, "configmaps");
    assert_eq!(sent.len(), 3);
    for event in &sent {
        assert_eq!(event.impersonated_user.as_ref().unwrap().groups, ["sallyport:write", "system:authenticated"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_operation_goes_through_once_when_it_is_approved() {
    let stack = Stack::start("approved");
    for version in Version::ALL {
        let name = format!("by-{version:?}").to_lowercase();
        let (running, id) = hold(&stack, version, &["create", "serviceaccount", &name]).await;
        assert!(
            creations(&stack, "serviceaccounts").iter().all(|event| event.object_ref.as_ref().unwrap().name != name)
        );
        let shown = stack.cli(&["approvals", "show", &id]).ok();
        assert!(shown.contains(&name), "{shown}");
        stack.cli(&["approvals", "approve", &id]).ok();
        assert_eq!(running.end().await.ok(), format!("serviceaccount/{name} created\n"));
        // A second vote on what is done changes nothing.
        assert!(stack.cli(&["approvals", "approve", &id]).code != Some(0));
    }
    let sent = creations(&stack, "serviceaccounts");
    assert_eq!(sent.len(), 3, "each was sent once: {sent:?}");
    for event in &sent {
        assert_eq!(event.impersonated_user.as_ref().unwrap().groups, ["sallyport:approved", "system:authenticated"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_operation_is_never_sent_and_kubectl_says_why() {
    let stack = Stack::start("denied");
    let subject = format!("--serviceaccount={}:default", &**stack.namespace());
    for version in Version::ALL {
        // A name of its own: what was denied is not asked again in the same session.
        let name = format!("by-{version:?}").to_lowercase();
        let (running, id) =
            hold(&stack, version, &["create", "rolebinding", &name, "--clusterrole=admin", &subject]).await;
        stack.cli(&["approvals", "deny", &id, "--reason", "not without a ticket"]).ok();
        let said = running.end().await.refused();
        assert!(said.contains("not without a ticket") && said.contains("forbidden"), "{version:?}: {said}");
    }
    assert_eq!(creations(&stack, "rolebindings").len(), 0);
}

/// Failure row L3: both logs tell the same story.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_at_the_api_server_has_its_record() {
    let stack = Stack::start("joined");
    let kubectl = stack.kubectl(Version::Old);
    kubectl.run(&["get", "pods"]).await.ok();
    kubectl.run(&["create", "configmap", "note"]).await.ok();
    kubectl.run(&["get", "configmap", "none"]).await.refused();
    let sent = stack.namespace().cluster().audit_of(stack.namespace());
    let sent: BTreeSet<_> =
        sent.iter().map(|event| event.operation().expect("the agent names it").to_owned()).collect();
    assert!(sent.len() >= 3);
    let told = told_of(&stack, &sent).await;
    // What Sallyport asks for itself is among them, and does not keep what it was about.
    let own: Vec<_> = told.iter().filter(|row| row["kind"] == "internal/token-review").collect();
    assert!(!own.is_empty() && own.iter().all(|row| row["body"].is_null() && row["jti"].is_string()), "{own:?}");
    let open: Vec<_> = told.into_iter().filter(|row| row["outcome"].is_null()).collect();
    assert!(open.is_empty(), "every operation has one outcome: {open:?}");
    assert_reconciled(&stack);
}

/// All operations on record, those of no session too, and all sessions.
fn ids(stack: &Stack) -> BTreeSet<String> {
    let database = stack.data().join("sallyport.db");
    let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT id FROM operations UNION SELECT id FROM sessions";
    let id = |row: &rusqlite::Row<'_>| Ok(Uuid::from_bytes(row.get(0)?).to_string());
    database.prepare(sql).unwrap().query_map([], id).unwrap().map(Result::unwrap).collect()
}

/// The API server's log, in which other tests' stacks are cut out.
fn audit_lines(stack: &Stack) -> Vec<String> {
    let whole = std::fs::read_to_string(stack.namespace().cluster().facts().audit_log.clone()).unwrap();
    let ids = ids(stack);
    let of_this_stack = |line: &&str| ids.iter().any(|id| line.contains(id.as_str()));
    whole.lines().filter(of_this_stack).map(str::to_owned).collect()
}

/// What an auditor runs on it.
fn reconcile(stack: &Stack, lines: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    std::fs::write(&file, lines.join("\n")).unwrap();
    stack.cli(&["audit", "reconcile", "--kube-audit", file.to_str().unwrap()])
}

/// Our record and the API server's log say the same.
pub(crate) fn assert_agreed(stack: &Stack) {
    let lines = audit_lines(stack);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let agreed = reconcile(stack, &lines).ok();
    assert!(agreed.contains(" 0 disagreements"), "{agreed}");
}

/// The same, and that they would not if one of them were changed.
pub(crate) fn assert_reconciled(stack: &Stack) {
    assert_agreed(stack);
    let lines = audit_lines(stack);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let reconcile = |lines: &[&str]| reconcile(stack, lines);
    // The log of somebody who removed a request, and of one who sent a request that we know nothing of.
    let created = |line: &&str| line.contains("\"verb\":\"create\"") && line.contains("/configmaps");
    let removed: Vec<&str> = lines.iter().copied().filter(|line| !created(line)).collect();
    assert!(removed.len() < lines.len());
    let told = reconcile(&removed);
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("on record as carried out, and not in the API server's log"), "{told:?}");
    let forged = lines.iter().find(|line| line.contains("sallyport.dev/operation")).unwrap();
    let event: Value = serde_json::from_str(forged).unwrap();
    let id = event["impersonatedUser"]["extra"]["sallyport.dev/operation"][0].as_str().unwrap();
    let other = "01900000-0000-7000-8000-000000000000";
    let forged = forged.replace(id, other).replace(event["auditID"].as_str().unwrap(), other);
    let told = reconcile(&[&lines[..], &[&forged]].concat());
    assert!(told.stdout.contains(&format!("sent, and not on record: operation {other}")), "{told:?}");
}

/// The operations on record, once all of these are. The record of a plain read is on disk within a second.
pub(crate) async fn told_of(stack: &Stack, ids: &BTreeSet<String>) -> Vec<Value> {
    for _ in 0..50 {
        let told = operations(stack);
        let done =
            told.iter().filter(|row| !row["outcome"].is_null()).map(|row| row["id"].as_str().unwrap().to_owned());
        if ids.is_subset(&done.collect()) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not all of {ids:?} are on record with an outcome after five seconds");
}
