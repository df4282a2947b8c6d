//! Real values of a Secret, shown to a job because people said so: these keys, this once, in the state that they saw, and nothing of it
//! kept anywhere.
#![expect(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::kubectl::{Kubectl, Running, Version};
use tests::stack::{Setup, Stack};

/// Shown to the job, so it has not the mark that no job is ever shown.
const OPEN: &str = "open-sesame-4711";
const CLOSED: &str = "canary-51f0-user";

const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
- name: database
  match: {apiGroups: [''], resources: [secrets], verbs: [get], names: [db, other]}
  effect: hold
  reveal: [password]
";

fn stack() -> Stack {
    let stack = Stack::with("discloses", &Setup { policy: Some(POLICY), revealed: Some("db"), ..Setup::default() });
    for name in ["db", "other", "plain"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": &**stack.namespace()},
            "stringData": {"password": if name == "db" { OPEN } else { "canary-51f0-password" }, "user": CLOSED}});
        // Applied, so that the values stand in an annotation, too.
        stack.namespace().cluster().apply(&secret.to_string());
    }
    stack
}

/// The one hold that waits, as `approvals list` has it.
async fn waiting(stack: &Stack, running: &mut Running) -> Value {
    for _ in 0..100 {
        let listed: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
        let hold = listed.as_array().unwrap().iter().find(|hold| hold["phase"]["phase"] == "waiting").cloned();
        if let Some(hold) = hold {
            return hold;
        }
        assert!(running.is_waiting(), "it was not held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is held after ten seconds");
}

fn id(hold: &Value) -> &str {
    hold["id"].as_str().unwrap()
}

async fn read(kubectl: &Kubectl, name: &str) -> Running {
    kubectl.spawn(&["get", "secret", name, "-o", "json"], "").await
}

/// Neither the database nor a log has it, in any form.
fn nothing_is_kept(stack: &Stack) {
    let forms = [OPEN.to_owned(), STANDARD.encode(OPEN), STANDARD.encode(STANDARD.encode(OPEN))];
    stack.assert_data_without(&forms);
    for process in ["control-plane", "agent", "sidecar"] {
        forms.iter().for_each(|form| stack.log(process).assert_without(form));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_disclosure_shows_its_value_once_and_keeps_nothing() {
    let stack = &stack();
    let kubectl = &stack.kubectl(Version::Newest);
    let mut first = read(kubectl, "db").await;
    let hold = waiting(stack, &mut first).await;
    // What it is, before anything else.
    let shown = stack.cli(&["approvals", "show", id(&hold)]).ok();
    assert!(shown.contains("risk      70"), "{shown}");
    assert!(shown.contains("\n  ! shows this job the REAL VALUES of data[\"password\"]"), "{shown}");
    assert!(!shown.contains(&STANDARD.encode(OPEN)), "{shown}");
    assert_eq!(hold["pin"]["keys"], json!(["password"]), "{hold}");
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let got: Value = serde_json::from_str(&first.end().await.ok()).unwrap();
    assert_eq!(got["data"]["password"], STANDARD.encode(OPEN));
    let plain = |text: &Value| String::from_utf8(STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
    assert!(plain(&got["data"]["user"]).contains("masked"), "{got}");
    assert!(!got["metadata"]["annotations"].to_string().contains(OPEN), "{got}");
    // What is shown may be written back, and is what it was.
    nothing_is_kept(stack);
    let sessions = stack.cli(&["sessions", "list", "--json"]).ok();
    let sessions: Value = serde_json::from_str(&sessions).unwrap();
    let told = stack.cli(&["sessions", "replay", sessions[0]["id"].as_str().unwrap()]).ok();
    assert!(told.contains("shown     the real value of data[\"password\"]"), "{told}");
    stack.log("control-plane").assert_contains("real values of a Secret are shown");
    // Lists, watches and other Secrets are as ever; the next read is another question.
    let listed = kubectl.run(&["get", "secrets", "-o", "yaml"]).await.ok();
    assert!(listed.contains("password: c2FsbHlwb3J0O") && !listed.contains(&STANDARD.encode(OPEN)), "{listed}");
    let mut again = read(kubectl, "db").await;
    let second = waiting(stack, &mut again).await;
    assert_ne!(id(&second), id(&hold));
    stack.cli(&["approvals", "deny", id(&second), "--reason", "once is enough"]).ok();
    assert!(again.end().await.refused().contains("once is enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_state_or_another_secret_is_not_shown() {
    let stack = &stack();
    let kubectl = &stack.kubectl(Version::Newest);
    // Changed after people saw it.
    let mut first = read(kubectl, "db").await;
    let hold = waiting(stack, &mut first).await;
    stack.namespace().admin(&["patch", "secret", "db", "-p", r#"{"stringData":{"password":"canary-51f0-newer"}}"#]);
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let said = first.end().await.refused();
    assert!(said.contains("changed") || said.contains("no longer"), "{said}");
    // The agent's configuration does not name it, whatever policy and people say.
    let mut other = read(kubectl, "other").await;
    let hold = waiting(stack, &mut other).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let said = other.end().await.refused();
    assert!(said.contains("the agent shows no real value of this Secret"), "{said}");
    // As a table there is nothing to see, and in protobuf it stays masked.
    stack.namespace().admin(&["patch", "secret", "db", "-p", &json!({"stringData": {"password": OPEN}}).to_string()]);
    let mut table = kubectl.spawn(&["get", "secret", "db"], "").await;
    let hold = waiting(stack, &mut table).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    assert!(!table.end().await.ok().contains(OPEN));
    // What is not there is not there.
    stack.namespace().admin(&["delete", "secret", "other"]);
    let mut gone = read(kubectl, "other").await;
    let hold = waiting(stack, &mut gone).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    assert!(gone.end().await.refused().contains("NotFound"));
    nothing_is_kept(stack);
}
