//! A new authority for the control plane, under agents and sidecars that pin the old one.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::Value;
use tests::kubectl::Version;
use tests::stack::Stack;

/// Until a process has said this.
async fn until_said(stack: &Stack, process: &str, words: &str) {
    for _ in 0..300 {
        if stack.log(process).text().contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{process} does not say {words:?} within thirty seconds");
}

/// What the control plane says of an authority before, from which doctor makes a warning.
fn vouched(stack: &Stack) -> Value {
    let status: Value = serde_json::from_str(&stack.cli(&["status"]).ok()).expect("it is JSON");
    status.get("authorityBefore").expect("it is always said").clone()
}

/// Agents and sidecars from before go on across the change; those from after start under the new key; and when all of it is over, the old key
/// opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_authority_changes_under_agents_and_sidecars() {
    let mut stack = Stack::start("authority");
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["create", "configmap", "before"]).await.ok();
    assert!(vouched(&stack).is_null());
    let old = stack.pin().to_owned();
    let said = stack.change_authority("rotate");
    assert!(said.contains(stack.pin()) && stack.pin() != old, "{said}");
    kubectl.run(&["get", "configmap", "before"]).await.ok();
    stack.stop_control_plane();
    stack.start_control_plane();
    assert!(vouched(&stack).is_object(), "people are told that two are trusted");
    // Both come back by themselves, and pin what they pinned.
    kubectl.run(&["create", "configmap", "between"]).await.ok();
    // The next ones pin the new key.
    stack.start_second_agent();
    stack.restart_sidecar();
    kubectl.run(&["get", "configmap", "between"]).await.ok();

    let said = stack.change_authority("finish");
    assert!(said.contains("is refused"), "{said}");
    assert!(stack.change_authority("finish").contains("no authority before"));
    stack.stop_control_plane();
    stack.start_control_plane();
    kubectl.run(&["create", "configmap", "after"]).await.ok();
    assert!(vouched(&stack).is_null());
    until_said(&stack, "agent", "UnknownIssuer").await;
    assert!(!stack.log("second-agent").text().contains("UnknownIssuer"));
    // The agent from before is let in again once it is configured anew.
    stack.kill_agent();
    stack.start_agent();
    kubectl.run(&["get", "configmap", "after"]).await.ok();
}
