//! Hiding for programs: an informer of client-go, which speaks protobuf where it may, and the client for Python.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::root;
use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

use super::{apply, with_config_maps};

/// Of Secrets, so that what is shown is masked, too.
const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 99, denyAt: 100}
rules:
- name: not-theirs
  match: {apiGroups: [''], resources: [secrets]}
  hide: [{names: ['kv-*']}, {labels: [tier=back]}]
";

fn client(name: &str) -> PathBuf {
    let output = Command::new(root().join("scripts/cluster")).arg(name).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn secret(name: &str, labels: &Value) -> Value {
    let metadata = json!({"name": name, "labels": labels});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": "canary-51f0-hidden"}})
}

/// Each answer came in JSON, as the client itself saw it.
#[track_caller]
fn in_json(output: &Output) {
    let mut answers = output.stderr.lines().filter(|line| line.starts_with("GET "));
    assert!(answers.clone().count() > 0 && answers.all(|line| line.ends_with(" application/json")), "{output:?}");
}

/// A controller sees objects enter and leave, whatever it would like its answers to be written in: where something is hidden they come in
/// JSON, which client-go reads.
#[tokio::test(flavor = "multi_thread")]
async fn an_informer_sees_what_enters_and_leaves() {
    let stack = &Stack::with_policy("informer", Some(POLICY));
    let own = stack.namespace();
    let objects = ["web-1", "web-2", "kv-1"].map(|name| secret(name, &json!({})));
    apply(stack, &objects);
    apply(stack, &[secret("a-back", &json!({"tier": "back"}))]);
    let protobuf = "application/vnd.kubernetes.protobuf";
    for (round, accept) in ["", protobuf, &format!("{protobuf},application/json")].into_iter().enumerate() {
        let client = stack.kubectl(Version::Newest).program(&client("client-go")).env("ACCEPT", accept);
        let last = format!("web-last-{round}");
        let mut running = client.spawn(&["follow", own, &last], "").await;
        let filled = running.printed(|text| text.contains("filled\n")).await;
        let mut shown: Vec<&str> = filled.lines().filter(|line| *line != "filled").collect();
        shown.sort_unstable();
        assert_eq!(shown, ["ADDED web-1", "ADDED web-2"], "{accept}");
        // Left, was changed meanwhile, came back, was changed; and what is hidden was changed, came and went.
        own.admin(&["label", "secret", "web-1", "tier=back"]);
        own.admin(&["label", "secret", "web-1", "more=x"]);
        own.admin(&["label", "secret", "web-1", "tier-", "more-"]);
        own.admin(&["label", "secret", "web-1", "tier=front"]);
        own.admin(&["label", "secret", "kv-1", &format!("r{round}=x")]);
        own.admin(&["label", "secret", "a-back", &format!("r{round}=x")]);
        own.admin(&["create", "secret", "generic", "kv-9"]);
        own.admin(&["delete", "secret", "kv-9"]);
        own.admin(&["create", "secret", "generic", &last]);
        let done = running.end().await;
        in_json(&done);
        let printed = done.ok();
        let came: Vec<&str> = printed.lines().skip_while(|line| *line != "filled").skip(1).collect();
        let expected = ["DELETED web-1", "ADDED web-1", "MODIFIED web-1", &format!("ADDED {last}")];
        assert_eq!(came, expected, "{accept}");
        own.admin(&["label", "secret", "web-1", "tier-"]);
        own.admin(&["delete", "secret", &last]);

        let got = client.run(&["get", own, "web-1"]).await;
        in_json(&got);
        assert!(got.ok().contains("c2FsbHlwb3J0"), "{accept}");
        let missing = client.run(&["get", own, "kv-1"]).await;
        in_json(&missing);
        assert_eq!(missing.refused().lines().last().unwrap(), r#"secrets "kv-1" not found"#, "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_pages_and_watches_what_is_shown() {
    let stack = &with_config_maps("python");
    let own = stack.namespace();
    let service = |name: &str, labels: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": {"ports": [{"port": 80}]}});
    let hidden = ["s-1-back", "s-2-back"].map(|name| service(name, json!({"tier": "back"})));
    apply(stack, &["s-1", "s-2", "s-3"].map(|name| service(name, json!({}))));
    apply(stack, &hidden);
    let client =
        Kubectl::new(Version::Old).program(&client("python")).in_pod(&stack.service_account(), stack.sidecar());
    let script = root().join("tests/all/hidden/story.py").display().to_string();
    let mut running = client.spawn(&[&script, &**own], "").await;
    running.printed(|text| text.contains("watches\n")).await;
    own.admin(&["label", "configmap", "web-1", "tier=back"]);
    own.admin(&["label", "configmap", "web-1", "more=x"]);
    own.admin(&["label", "configmap", "kv-1", "x=y"]);
    own.admin(&["label", "configmap", "web-1", "tier-"]);
    own.admin(&["label", "configmap", "web-2", "x=y"]);
    own.admin(&["delete", "configmap", "z-back", "kv-2", "web-3"]);
    own.admin(&["create", "configmap", "web-last"]);
    let done = running.end().await;
    // Where names are hidden there are no pages, where labels alone are they are of what is shown.
    let expected = "listed web-1 web-2 web-3 web-4 web-5 None None
page s-1 s-2 None
page s-3 None
gone 404 Not Found
watches
DELETED web-1 True
ADDED web-1 True
MODIFIED web-2 True
DELETED web-3 True
ADDED web-last True
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)), "{}", done.stderr);
}
