//! Unchanged clients in depth: what people and jobs do all day with kubectl of three versions and with the clients for Python, Go,
//! JavaScript and Java, through all three processes, against the real API server. Each story asserts what the person sees and what the API server's audit log says.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod everything;
mod languages;
mod logs;
mod masking;
mod pods;
mod printed;
mod reads;
mod refused;
mod typed;
mod write_back;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::cluster::AuditEvent;
use tests::kubectl::{Kubectl, Output, Running, Version};
use tests::stack::{Shared, Stack};

/// In every Secret of these stories.
const PASSWORD: &str = "canary-51f0-correct-horse";

/// One stack for all of these stories that run at the same time.
fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.get(|| Stack::start("clients"))
}

/// Each version of kubectl, with a word for names.
fn clients(stack: &Stack) -> Vec<(Version, String, Kubectl)> {
    let one = |version: Version| (version, format!("{version:?}").to_lowercase(), stack.kubectl(version));
    Version::ALL.into_iter().map(one).collect()
}

/// Tells the same story with every version at once. Names of objects have the version in them.
async fn each(stack: &Stack, story: impl AsyncFn(Version, String, Kubectl)) {
    let mut stories = clients(stack).into_iter().map(|(version, word, kubectl)| story(version, word, kubectl));
    let (Some(old), Some(middle), Some(newest), None) =
        (stories.next(), stories.next(), stories.next(), stories.next())
    else {
        panic!("three versions");
    };
    tokio::join!(old, middle, newest);
}

/// Approves the hold that has this word in its path or body, and gives how the command that waits for it ended.
async fn approved(stack: &Stack, mut running: Running, word: &str) -> Output {
    for _ in 0..100 {
        if let Some(hold) = waiting(stack, word) {
            assert!(running.is_waiting(), "it did not wait");
            stack.cli(&["approvals", "approve", hold["id"].as_str().unwrap()]).ok();
            return running.end().await;
        }
        assert!(running.is_waiting(), "it was not held: {:?}", running.end().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing about {word} is held after ten seconds");
}

/// Approves the next hold about this word, and gives its verb: for a command that makes several calls.
async fn approve(stack: &Stack, word: &str) -> String {
    for _ in 0..100 {
        if let Some(hold) = waiting(stack, word) {
            stack.cli(&["approvals", "approve", hold["id"].as_str().unwrap()]).ok();
            return hold["request"]["verb"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing about {word} is held after ten seconds");
}

fn waiting(stack: &Stack, word: &str) -> Option<Value> {
    let listed = stack.cli(&["approvals", "list", "--json"]).ok();
    let holds: Value = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{listed}: {error}"));
    let about = |hold: &&Value| {
        let parts = [&hold["show"]["path"], &hold["show"]["request"]];
        hold["phase"]["phase"] == "waiting" && parts.iter().any(|part| part.to_string().contains(word))
    };
    holds.as_array().into_iter().flatten().find(about).cloned()
}

/// What the API server was asked for runners in the stack's namespace about objects of that name.
fn sent(stack: &Stack, name: &str) -> Vec<AuditEvent> {
    let all = stack.namespace().cluster().audit_of(stack.namespace());
    all.into_iter().filter(|event| event.object_ref.as_ref().is_some_and(|object| object.name == name)).collect()
}

/// The same as words: `patch deployments/scale as sallyport:write`. The group tells how it was let through.
fn told(stack: &Stack, name: &str) -> Vec<String> {
    let word = |event: &AuditEvent| {
        let object = event.object_ref.clone().unwrap();
        let resource = [object.resource.as_str(), object.subresource.as_str()].join("/");
        let group = event.impersonated_user.as_ref().unwrap().groups[0].clone();
        format!("{} {} as {group}", event.verb, resource.trim_end_matches('/'))
    };
    sent(stack, name).iter().map(word).collect()
}

/// The audit log has it so often. Its last stage can come a moment after the client's answer.
#[track_caller]
fn assert_sent(stack: &Stack, name: &str, what: &str, times: usize) {
    for _ in 0..40 {
        if told(stack, name).iter().filter(|told| *told == what).count() == times {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what:?} of {name} was not sent {times} times: {:?}", told(stack, name));
}

/// No secret value is in what a person sees, in whatever form.
#[track_caller]
fn without_password(output: &Output) {
    for form in [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), STANDARD.encode(STANDARD.encode(PASSWORD))] {
        let form = form.trim_end_matches('=');
        assert!(!output.stdout.contains(form) && !output.stderr.contains(form), "{output:?}");
    }
}

/// A Deployment that no node will ever run.
fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, image: '{image}'}}]}}
"
    )
}

/// Writes a file into a kubectl's home and gives its path.
fn file(kubectl: &Kubectl, name: &str, text: &str) -> String {
    let path = kubectl.home().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
