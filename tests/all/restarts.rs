//! What happens to what people do while a process ends, dies, or comes back from a backup.

use serde_json::Value;
use tests::kubectl::Version;
use tests::stack::Stack;

use crate::stories::{creations, held, hold, operations};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_survives_the_control_planes_death_and_runs_once() {
    let mut stack = Stack::start("killed");
    let (mut running, id) = hold(&stack, Version::Old, &["create", "serviceaccount", "bot"]).await;
    stack.kill_control_plane();
    stack.start_control_plane();
    assert_eq!(held(&stack).await, id);
    assert!(running.is_waiting(), "the client goes on waiting");
    stack.cli(&["approvals", "approve", &id]).ok();
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    // The next life told the sidecar at once that the old one is gone; it did not have to wait for silence.
    stack.log("sidecar").assert_contains("reset by peer");
}

/// An update of the control plane: what waits for people goes on waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_survives_an_orderly_restart() {
    let mut stack = Stack::start("updated");
    let (mut running, id) = hold(&stack, Version::Newest, &["create", "serviceaccount", "bot"]).await;
    stack.stop_control_plane();
    stack.start_control_plane();
    assert_eq!(held(&stack).await, id);
    assert!(running.is_waiting(), "the client goes on waiting");
    stack.cli(&["approvals", "approve", &id]).ok();
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    stack.log("control-plane").assert_quiet(&["agent disconnected"]);
}

/// The dead agent's connection looks alive for a while yet; the approval is not spent on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_operation_outlives_its_agent() {
    let mut stack = Stack::start("agentkilled");
    let (running, id) = hold(&stack, Version::Middle, &["create", "serviceaccount", "bot"]).await;
    stack.kill_agent();
    stack.start_agent();
    stack.cli(&["approvals", "approve", &id]).ok();
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_agent_nothing_is_sent_and_after_its_restart_it_goes_on() {
    let mut stack = Stack::start("agentless");
    stack.kill_agent();
    let refused = stack.kubectl(Version::Old).run(&["get", "configmaps", "--request-timeout=5s"]).await;
    assert!(refused.code != Some(0), "{refused:?}");
    stack.start_agent();
    stack.kubectl(Version::Old).run(&["get", "configmaps"]).await.ok();
}

/// Invariant 2, row B4: an old copy of the database notices by itself, and issues nothing before somebody has said what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_issues_nothing_until_the_operator_says_so() {
    let mut stack = Stack::start("backup");
    let kubectl = stack.kubectl(Version::Middle);
    let (running, _) = hold(&stack, Version::Middle, &["create", "serviceaccount", "early"]).await;
    stack.stop_control_plane();
    stack.back_up();
    stack.start_control_plane();
    // Something that the backup does not know.
    kubectl.run(&["create", "configmap", "later"]).await.ok();
    stack.stop_control_plane();
    stack.put_back();

    stack.start_control_plane();
    let refused = kubectl.run(&["create", "configmap", "between", "--request-timeout=5s"]).await;
    assert!(refused.code != Some(0), "{refused:?}");
    for process in ["control-plane", "agent"] {
        stack.log(process).assert_contains("serve --restored");
    }
    stack.kill_control_plane();
    // Nor does it forget by restarting.
    stack.start_control_plane();
    assert!(kubectl.run(&["create", "configmap", "between", "--request-timeout=5s"]).await.code != Some(0));
    stack.stop_control_plane();

    stack.restore_control_plane();
    let said = running.end().await.refused();
    assert!(said.contains("restored from a backup"), "{said}");
    let holds: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
    assert_eq!(holds.as_array().unwrap().len(), 0, "nothing of the backup can be approved");
    // The job's session is over, the next job's is not.
    let over = kubectl.run(&["get", "configmaps"]).await.refused();
    assert!(over.contains("restored from a backup"), "{over}");
    stack.restart_sidecar();
    stack.kubectl(Version::Middle).run(&["create", "configmap", "after"]).await.ok();
    assert_eq!(creations(&stack, "serviceaccounts").len(), 0);
    let open: Vec<_> = operations(&stack).into_iter().filter(|row| row["outcome"].is_null()).collect();
    assert!(open.is_empty(), "every operation has one outcome: {open:?}");
}

/// What a session has done is part of how its next step is judged, also by a control plane that was not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_not_refilled_by_a_restart() {
    let policy = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
- {name: small, match: {identities: ['test/*/default']}, budget: 30}
";
    let mut stack = Stack::with_policy("budget", Some(policy));
    stack.kubectl(Version::Old).run(&["create", "configmap", "first"]).await.ok();
    stack.kill_control_plane();
    stack.start_control_plane();
    let (running, id) = hold(&stack, Version::Old, &["create", "configmap", "second"]).await;
    let shown = stack.cli(&["approvals", "show", &id]).ok();
    assert!(shown.contains("budget"), "{shown}");
    stack.cli(&["approvals", "approve", &id]).ok();
    running.end().await.ok();
}
