//! What a container printed, where the kubelet quotes it: in Events, and where a pod says why a container waits.

use std::time::Duration;

use tests::kubectl::{Kubectl, Output, Version};
use tests::stack::Stack;

use super::{PASSWORD, each, file, stack, waiting, without_password};

const PRINTED: &str = "(masked by sallyport: what a container prints may have values of secrets in it)";
const OWN: &str = "Liveness probe failed: dial tcp 10.89.0.7:80: connect: connection refused";

/// Events and a pod's status as a kubelet writes them. (A real one's are `node::printed`'s.)
fn written(namespace: &str) -> [String; 3] {
    let event = |name: &str, message: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace}, "type": "Warning", "reason": "Unhealthy",
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "quoted", "namespace": namespace}, "message": message,
            "source": {"component": "kubelet", "host": "node1"}, "firstTimestamp": "2026-11-28T10:00:00Z", "lastTimestamp": "2026-11-28T10:00:00Z",
        })
        .to_string()
    };
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "quoted", "namespace": namespace},
        "spec": {"containers": [{
            "name": "c", "image": "registry.example/c:1", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "own", "key": "k"}}}],
        }]},
    });
    let printed = format!("Readiness probe failed: FATAL: {PASSWORD} is wrong\n");
    [event("quoted.1", &printed), event("quoted.2", OWN), pod.to_string()]
}

fn left_out(got: Output, what: &str) -> String {
    without_password(&got);
    // YAML breaks long lines.
    let shown = got.ok().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(PRINTED), "{what}: {shown}");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_probe_or_a_hook_printed_is_left_out() {
    let stack = stack();
    let (stack, namespace) = (&stack, stack.namespace().to_string());
    for object in written(&namespace) {
        stack.namespace().cluster().admin_with(&["create", "-f", "-"], &object);
    }
    let status = serde_json::json!({"status": {"containerStatuses": [{
        "name": "c", "image": "x", "imageID": "x", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "PostStartHookError", "message": format!("Exec lifecycle hook failed, message: {PASSWORD:?}")}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": PASSWORD}},
    }]}});
    stack.namespace().admin(&["patch", "pod", "quoted", "--subresource=status", "-p", &status.to_string()]);
    each(stack, async |version, _, kubectl| {
        for words in [
            &["get", "events"][..],
            &["get", "events", "-o", "wide"],
            &["get", "events", "-o", "yaml"],
            &["get", "events", "--chunk-size=1", "-o", "jsonpath={.items[*].message}"],
            &["get", "events", "--sort-by=.metadata.name"],
            &["get", "events.v1.events.k8s.io", "-o", "json"],
            &["get", "events", "-w", "-o", "json", "--request-timeout=2s"],
            &["get", "events", "-w", "--request-timeout=2s"],
            &["events", "--for", "pod/quoted"],
        ] {
            let shown = left_out(kubectl.run(words).await, &format!("{version:?} {words:?}"));
            assert!(shown.contains(OWN), "{version:?} {words:?}: {shown}");
        }
        for words in [&["get", "pod", "quoted", "-o", "yaml"][..], &["get", "pods", "-o", "json"]] {
            left_out(kubectl.run(words).await, &format!("{version:?} {words:?}"));
        }
    })
    .await;
    // By one of them: an approval is for one request, and these would be the same.
    let kubectl = stack.kubectl(Version::Newest);
    nowhere_else(stack, &kubectl).await;
    written_back(stack, &kubectl).await;
}

/// A patch reaches what nobody sees, and an error quotes what a patch has made.
async fn nowhere_else(stack: &Stack, kubectl: &Kubectl) {
    let patched = async |object: [&str; 2], kind: &str, patch: &str| {
        let patch = file(kubectl, "patch.json", patch);
        let words = ["patch", object[0], object[1], &format!("--type={kind}"), "--patch-file", &patch];
        let mut running = kubectl.spawn(&words, "").await;
        while running.is_waiting() {
            if let Some(hold) = waiting(stack, object[1]) {
                stack.cli(&["approvals", "approve", hold["id"].as_str().unwrap()]).ok();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let got = running.end().await;
        without_password(&got);
        got.refused()
    };
    for (events, patch) in [
        ("events", r#"[{"op":"copy","from":"/message","path":"/metadata/labels"}]"#),
        ("events", r#"[{"op":"test","path":"/message","value":"Readiness probe failed: guess"}]"#),
        ("events.v1.events.k8s.io", r#"[{"op":"move","from":"/note","path":"/action"}]"#),
    ] {
        let said = patched([events, "quoted.1"], "json", patch).await;
        assert!(said.contains("may not copy, move or test what an Event says"), "{said}");
    }
    let said = patched(["events", "quoted.1"], "merge", r#"{"message":"Readiness probe failed: guess"}"#).await;
    assert!(said.contains("what an Event says of a probe is written by the kubelet alone"), "{said}");
    for (object, kind, patch, error) in [
        (["events", "quoted.1"], "merge", r#"{"count":"x"}"#, "Event.count of type int32"),
        (["pod", "quoted"], "merge", r#"{"spec":{"hostname":1}}"#, "spec.hostname of type string"),
        (
            ["pod", "quoted"],
            "json",
            r#"[{"op":"add","path":"/spec/hostname","value":1}]"#,
            "spec.hostname of type string",
        ),
    ] {
        let said = patched(object, kind, patch).await;
        assert!(said.contains("(not shown by sallyport") && said.contains(error), "{object:?} {patch}: {said}");
    }
}

/// What was read is not written in the place of what is there.
async fn written_back(stack: &Stack, kubectl: &Kubectl) {
    let event =
        || stack.namespace().cluster().get_json(&["-n", stack.namespace(), "event", "quoted.1"])["message"].clone();
    let before = event();
    let read = kubectl.run(&["get", "event", "quoted.1", "-o", "json"]).await.ok();
    let read = file(kubectl, "event.json", &read);
    let said = kubectl.run(&["replace", "-f", &read]).await.refused();
    assert!(said.contains("what an Event says of a probe is written by the kubelet alone"), "{said}");
    kubectl.run(&["label", "event", "quoted.1", "seen=yes", "--overwrite"]).await.ok();
    assert_eq!(event(), before);
}
