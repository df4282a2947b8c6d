//! What reaches a person's terminal from people and programs who are not to be trusted.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::kubectl::Version;
use tests::stack::Stack;

/// Title, clipboard, link, cursor, sixel, an 8-bit control, a carriage return, direction and zero width.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}]52;c;aGk=\u{7}\u{1b}]8;;http://x\u{1b}\\\u{1b}[2J\u{1b}Pq#0\u{1b}\\\u{9b}31m\rapproved\u{202e}dne\u{200b}";

#[track_caller]
fn harmless(what: &str, text: &str) {
    let bad = |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{200b}' | '\u{202e}');
    let found: Vec<_> = text.chars().filter(bad).collect();
    assert!(found.is_empty(), "{what} prints {found:?}: {text:?}");
}

async fn held(stack: &Stack) -> String {
    for _ in 0..100 {
        let holds: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
        if let Some(id) = holds[0]["id"].as_str() {
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is held after ten seconds");
}

/// Failure row P5: objects, clients and approvers may write what they like; no terminal obeys it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_to_another_persons_terminal() {
    let stack = Stack::start("printed");
    let object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "bot", "annotations": {"note": HOSTILE}},
    });
    let kubectl = stack.kubectl(Version::Newest);
    let running = kubectl.spawn(&["create", "-f", "-"], &object.to_string()).await;
    let id = held(&stack).await;
    for arguments in [&["approvals", "list"][..], &["approvals", "show", &id], &["sessions", "list"]] {
        let printed = stack.cli(arguments).ok();
        harmless(&arguments.join(" "), &printed);
    }
    let shown = stack.cli(&["approvals", "show", &id]).ok();
    assert!(shown.contains("owned"), "what was written is shown as what it is: {shown}");
    // The approver's words to the asker, and to whoever reads the story.
    stack.cli(&["approvals", "deny", &id, "--reason", HOSTILE]).ok();
    let said = running.end().await.refused();
    assert!(said.contains("owned"), "{said}");
    harmless("kubectl", &said);
    let sessions: Value = serde_json::from_str(&stack.cli(&["sessions", "list", "--json"]).ok()).unwrap();
    let session = sessions[0]["id"].as_str().unwrap();
    for view in ["show", "replay"] {
        harmless(view, &stack.cli(&["sessions", view, session]).ok());
    }
    for process in ["control-plane", "agent", "sidecar"] {
        harmless(process, &stack.log(process).text());
    }
}

/// Failure row T8, invariant 7: a revoked session's stream is cut at once, and nothing new begins.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_a_watch() {
    let stack = Stack::start("revoked");
    let kubectl = stack.kubectl(Version::Newest);
    let mut watching = kubectl.spawn(&["get", "pods", "--watch"], "").await;
    let sessions: Value = serde_json::from_str(&stack.cli(&["sessions", "list", "--json"]).ok()).unwrap();
    let session = sessions[0]["id"].as_str().unwrap().to_owned();
    let watch = || {
        let shown = stack.cli(&["sessions", "show", &session, "--json"]).ok();
        let operations = serde_json::from_str::<Value>(&shown).unwrap()["operations"].take();
        operations.as_array().unwrap().iter().find(|row| row["verb"] == "watch").cloned()
    };
    for attempt in 0.. {
        if watch().is_some_and(|row| row["outcome"].is_null()) {
            break;
        }
        assert!(attempt < 100, "no watch is under way after ten seconds");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(watching.is_waiting());
    stack.cli(&["sessions", "revoke", &session]).ok();
    // The promise is a second; kubectl needs some of its own to notice and go.
    let ended = tokio::time::timeout(Duration::from_secs(5), watching.end()).await;
    let output = ended.expect("the watch was cut");
    assert!(output.stdout.contains("runner"), "{output:?}");
    let said = kubectl.run(&["get", "pods"]).await.refused();
    assert!(said.contains("revoked by uid"), "{said}");
    for attempt in 0.. {
        if watch().is_some_and(|row| !row["outcome"].is_null()) {
            break;
        }
        assert!(attempt < 50, "the cut watch has no outcome after five seconds");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
