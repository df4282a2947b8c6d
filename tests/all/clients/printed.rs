//! What a container printed, where the kubelet quotes it: in Events, and where a pod says why a container waits.

use tests::kubectl::{Kubectl, Output};

use super::{PASSWORD, each, file, stack, without_password};

const PRINTED: &str = "(masked by sallyport: what a container prints may have values of secrets in it)";
const OWN: &str = "Liveness probe failed: dial tcp 10.89.0.7:80: connect: connection refused";

/// Events and a pod's status as a kubelet writes them. (A real one's are `node::printed`'s.)
fn written(namespace: &str) -> [String; 3] {
    let event = |name: &str, message: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace}, "type": "Warning", "reason": "Unhealthy",
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "prints", "namespace": namespace}, "message": message,
            "source": {"component": "kubelet", "host": "node1"}, "firstTimestamp": "2026-11-28T10:00:00Z", "lastTimestamp": "2026-11-28T10:00:00Z",
        })
        .to_string()
    };
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prints", "namespace": namespace},
        "spec": {"containers": [{
            "name": "c", "image": "registry.example/c:1", "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "own", "key": "k"}}}],
        }]},
    });
    let printed = format!("Readiness probe failed: FATAL: {PASSWORD} is wrong\n");
    [event("prints.1", &printed), event("prints.2", OWN), pod.to_string()]
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
    stack.namespace().admin(&["patch", "pod", "prints", "--subresource=status", "-p", &status.to_string()]);
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
            &["events", "--for", "pod/prints"],
        ] {
            let shown = left_out(kubectl.run(words).await, &format!("{version:?} {words:?}"));
            assert!(shown.contains(OWN), "{version:?} {words:?}: {shown}");
        }
        for words in [&["get", "pod", "prints", "-o", "yaml"][..], &["get", "pods", "-o", "json"]] {
            left_out(kubectl.run(words).await, &format!("{version:?} {words:?}"));
        }
        nowhere_else(&kubectl).await;
    })
    .await;
}

/// A JSON Patch reaches what nobody sees.
async fn nowhere_else(kubectl: &Kubectl) {
    for (event, patch) in [
        ("events", r#"[{"op":"copy","from":"/message","path":"/metadata/labels"}]"#),
        ("events", r#"[{"op":"test","path":"/message","value":"Readiness probe failed: guess"}]"#),
        ("events.v1.events.k8s.io", r#"[{"op":"move","from":"/note","path":"/action"}]"#),
    ] {
        let patch = file(kubectl, "patch.json", patch);
        let got = kubectl.run(&["patch", event, "prints.1", "--type=json", "--patch-file", &patch]).await;
        without_password(&got);
        let said = got.refused();
        assert!(said.contains("may not copy, move or test what an Event says"), "{said}");
    }
}
