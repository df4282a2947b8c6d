//! Stories on a real node: kubelet, containerd, Cilium, and our images. They need root; where nobody is root, one line says
//! that they were left out.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failure of these helpers is the failure of the test that uses them"
)]

mod doctor;
mod images;
mod installed;
mod intruders;
mod leaves;
mod life;
mod memory;
mod network;
mod pods;
mod ports;
mod printed;
mod readme;
mod shapes;
mod story;

use tests::cluster::Namespace;
use tests::node::{Node, RUNNER};

/// A Pod with a shell that stays until it is deleted, as small as restricted Pod Security wants it.
fn shell(namespace: &Namespace, name: &str, labels: &str, command: &str) {
    namespace.cluster().apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: shell
    image: {RUNNER}
    imagePullPolicy: Never
    command: [sh, -c, "{command}"]
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"#,
        namespace = &**namespace,
    ));
}

#[test]
fn a_node_is_ready_and_the_audit_log_sees_its_kubelet() {
    let Some(node) = Node::get() else { return };
    let object = node.get_json(&["node", "node1"]);
    let info = &object["status"]["nodeInfo"];
    assert_eq!(info["kubeletVersion"], node.facts().version.as_str());
    // A build outside of its own repository says +unknown behind it.
    let runtime = info["containerRuntimeVersion"].as_str().expect("a Node says its runtime");
    assert!(["containerd://2.4.2", "containerd://2.4.2+unknown"].contains(&runtime), "{runtime}");
    let conditions = object["status"]["conditions"].as_array().expect("a Node has conditions");
    assert!(conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"));
    let audit = node.audit();
    let by_kubelet = audit.wait(1, |event| event.user.username == "system:node:node1" && event.is_complete());
    assert!(by_kubelet.iter().all(|event| !event.is_runner()));
}
