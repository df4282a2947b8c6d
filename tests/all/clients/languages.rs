//! The official client for JavaScript and fabric8's for Java, set up as a pod's container is. Each script is what its client's own
//! documentation shows; every line that it prints is checked here. Where node or a JDK is not to be had its story is left out, and one
//! line says so.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::cluster::root;
use tests::kubectl::{Kubectl, Output, Running, Version};
use tests::stack::Stack;

use super::{PASSWORD, assert_sent, stack, waiting, without_password};

/// What `scripts/cluster` says of a client; `None` where it has left it out.
fn fetched(client: &str) -> Option<String> {
    let output = Command::new(root().join("scripts/cluster")).arg(client).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if said.is_empty() {
        // Past the test's own output.
        std::io::stderr().write_all(&output.stderr).unwrap();
        return None;
    }
    Some(said)
}

/// Where a program is: clients run without the variables that could say it.
fn path_of(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap()
}

/// In a pod, with time for a slow machine to start it.
fn client(stack: &Stack, program: &str) -> Kubectl {
    let client = Kubectl::new(Version::Old).program(&path_of(program)).within(Duration::from_secs(180));
    client.in_pod(&stack.service_account(), stack.sidecar())
}

/// A Secret to read and write back, as it is in etcd.
fn secret(stack: &Stack, name: &str) -> Value {
    let literal = format!("--from-literal=password={PASSWORD}");
    stack.namespace().admin(&["create", "secret", "generic", name, &literal]);
    real(stack, name)
}

fn real(stack: &Stack, name: &str) -> Value {
    stack.namespace().cluster().get_json(&["-n", stack.namespace(), "secret", name])
}

/// Approves what is held about any of these words until the client ends.
async fn approving(stack: &Stack, mut running: Running, words: &[&str]) -> Output {
    for _ in 0..900 {
        if !running.is_waiting() {
            let done = running.end().await;
            without_password(&done);
            return done;
        }
        if let Some(hold) = words.iter().find_map(|word| waiting(stack, word)) {
            stack.cli(&["approvals", "approve", hold["id"].as_str().unwrap()]).ok();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it goes on and on; what is held: {}", stack.cli(&["approvals", "list"]).ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_works_unchanged() {
    let Some(installed) = fetched("client-js") else { return };
    let stack = stack();
    let before = secret(&stack, "of-js");
    // Somebody else's, before its own by name.
    stack.namespace().admin(&["create", "configmap", "another"]);
    let client = client(&stack, "node");
    // A module looks for others beside itself.
    std::os::unix::fs::symlink(Path::new(&installed).join("node_modules"), client.home().join("node_modules")).unwrap();
    std::fs::copy(root().join("tests/all/clients/story.mjs"), client.home().join("story.mjs")).unwrap();
    let running = client.spawn(&["story.mjs"], "").await;
    let done = approving(&stack, running, &["of-js", "by-js"]).await;
    let expected = "created by-js
listed by-js
got a=1
watched ADDED by-js
informed by-js
strategic {\"a\":\"2\"}
merge {\"a\":\"3\"}
json {\"a\":\"4\"}
applied {\"a\":\"4\",\"b\":\"5\"}
forced {\"a\":\"5\",\"b\":\"5\"}
replaced a=6
secret is masked
written back true
refused 403 Forbidden
held and made by-js-bot
deleted by-js
gone 404
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)), "{}", done.stderr);
    let after = real(&stack, "of-js");
    assert_eq!((&after["data"], &after["metadata"]["labels"]["by"]), (&before["data"], &Value::from("js")));
    for (name, what, times) in [
        ("by-js", "patch configmaps as sallyport:write", 4),
        ("by-js", "patch configmaps as sallyport:approved", 1),
        ("by-js", "update configmaps as sallyport:write", 1),
        ("by-js", "delete configmaps as sallyport:write", 1),
        ("of-js", "update secrets as sallyport:approved", 1),
        ("by-js-bot", "create serviceaccounts as sallyport:approved", 1),
    ] {
        assert_sent(&stack, name, what, times);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_works_unchanged() {
    let Some(class_path) = fetched("client-java") else { return };
    let stack = stack();
    let before = secret(&stack, "of-java");
    let client = client(&stack, "java");
    // Quick to start, and small.
    let arguments = ["-XX:TieredStopAtLevel=1", "-Xmx256m", "-cp", &class_path, "Story"];
    let running = client.spawn(&arguments, "").await;
    let done = approving(&stack, running, &["of-java", "by-java-bot"]).await;
    let expected = "created by-java
informed by-java
listed by-java
got a=1
watched ADDED by-java
edited a=2
patched a=JSON_MERGE
patched a=STRATEGIC_MERGE
applied {a=STRATEGIC_MERGE, b=3}
replaced a=4
secret is masked
edited true
written back true
refused 403 Forbidden
held and made by-java-bot
deleted by-java
gone null
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)), "{}", done.stderr);
    let mut after = real(&stack, "of-java");
    assert_eq!(after["data"]["own"], "bmV3");
    after["data"].as_object_mut().unwrap().remove("own");
    assert_eq!((&after["data"], &after["metadata"]["labels"]["by"]), (&before["data"], &Value::from("java")));
    for (name, what, times) in [
        ("by-java", "patch configmaps as sallyport:write", 4),
        ("by-java", "update configmaps as sallyport:write", 1),
        ("by-java", "delete configmaps as sallyport:write", 1),
        ("of-java", "patch secrets as sallyport:approved", 1),
        ("of-java", "update secrets as sallyport:approved", 1),
        ("by-java-bot", "create serviceaccounts as sallyport:approved", 1),
    ] {
        assert_sent(&stack, name, what, times);
    }
}
