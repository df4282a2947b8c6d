//! What the network lets through to a Pod that the injector has never seen.

use tests::node::{Node, eventually};

use super::installed::Installed;
use super::story::job;

/// The node's address, and the port of its API server.
fn doors(node: &Node) -> (String, String) {
    let object = node.get_json(&["node", "node1"]);
    let address = object["status"]["addresses"][0]["address"].as_str().expect("a node has an address").to_owned();
    (address, node.facts().server.rsplit(':').next().expect("a port").to_owned())
}

/// The injector has never seen it, and it has a token and no sidecar: Cilium's policy is of the namespace's label.
#[test]
fn a_pod_from_before_its_namespace_was_mandatory_is_held() {
    let Some(on) = Installed::get() else { return };
    let namespace = on.node.namespace("before");
    job(&namespace, "old", "");
    on.node.ready(&namespace, "old");
    let (address, port) = doors(on.node);
    let is_open = || on.node.exec(&namespace, "old", "job", &["nc", "-w", "2", &address, &port], "").code == Some(0);
    let becomes = |open: bool| {
        eventually(
            || if is_open() == open { Ok(()) } else { Err(format!("the API server's port is not open={open}")) },
        );
    };
    becomes(true);
    on.node.admin(&["label", "namespace", &namespace, "sallyport.dev/inject=required"]);
    becomes(false);
}
