//! Network policy is enforced: what the stories about going round us stand on.

use tests::node::{Node, eventually};

use super::shell;

/// What came of opening a port from a Pod.
#[derive(Debug, PartialEq, Eq)]
enum Open {
    Answered,
    Refused,
    TimedOut,
}

fn open(node: &Node, namespace: &str, pod: &str, address: &str, port: u16) -> Open {
    let script = format!("nc -w 2 {address} {port} </dev/null; echo code $?");
    let output = node.exec(namespace, pod, "shell", &["sh", "-c", &script], "");
    match (output.stdout.as_str(), output.stderr.as_str()) {
        ("hello\ncode 0\n", _) => Open::Answered,
        (_, errors) if errors.contains("refused") => Open::Refused,
        (_, errors) if errors.contains("timed out") => Open::TimedOut,
        _ => panic!("neither open nor shut: {output:?}"),
    }
}

#[test]
fn what_policy_denies_times_out_and_what_it_allows_goes_on() {
    let Some(node) = Node::get() else { return };
    let namespace = node.namespace("policy");
    shell(&namespace, "server", "app: server", "nc -ll -p 8080 -e echo hello & exec nc -ll -p 8081 -e echo hello");
    shell(&namespace, "friend", "app: friend", "exec sleep 3600");
    shell(&namespace, "stranger", "app: stranger", "exec sleep 3600");
    let server = node.ready(&namespace, "server");
    let _ = (node.ready(&namespace, "friend"), node.ready(&namespace, "stranger"));
    let at = |pod: &str, port| open(node, &namespace, pod, &server, port);
    for pod in ["friend", "stranger"] {
        eventually(|| if at(pod, 8080) == Open::Answered { Ok(()) } else { Err("the server does not answer".into()) });
        assert_eq!(at(pod, 8082), Open::Refused, "nobody listens there, and nothing is dropped");
    }
    node.apply(&format!(
        r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: friends-only, namespace: {namespace}}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  policyTypes: [Ingress]
  ingress:
  - from: [{{podSelector: {{matchLabels: {{app: friend}}}}}}]
    ports: [{{port: 8080}}]
"#,
        namespace = &*namespace
    ));
    eventually(|| if at("stranger", 8080) == Open::TimedOut { Ok(()) } else { Err("it is not shut".into()) });
    assert_eq!(at("stranger", 8082), Open::TimedOut, "also where nobody listens");
    assert_eq!(at("friend", 8080), Open::Answered);
    assert_eq!(at("friend", 8081), Open::TimedOut);
    // A Pod that comes later is under it from its first packet.
    shell(&namespace, "late", "app: late", &format!("nc -w 2 {server} 8080 </dev/null; echo code $?; exec sleep 3600"));
    node.ready(&namespace, "late");
    let said = eventually(|| {
        let said = node.logs(&namespace, "late", "shell");
        if said.contains("code") { Ok(said) } else { Err(said) }
    });
    assert!(said.contains("timed out") && !said.contains("hello"), "{said}");
    node.admin(&["-n", &namespace, "delete", "networkpolicy", "friends-only"]);
    eventually(|| if at("stranger", 8080) == Open::Answered { Ok(()) } else { Err("it is not open again".into()) });
}

#[test]
fn names_of_services_are_resolved_and_no_others() {
    let Some(node) = Node::get() else { return };
    let namespace = node.namespace("names");
    shell(&namespace, "shell", "app: shell", "exec sleep 3600");
    node.ready(&namespace, "shell");
    // With the search list that the kubelet writes, by the C library of busybox.
    let ping = |name: &str| node.exec(&namespace, "shell", "shell", &["nc", "-w", "2", name, "443"], "");
    let api = ping("kubernetes.default.svc");
    assert_eq!((api.code, api.stderr.as_str()), (Some(0), ""), "{api:?}");
    let outside = ping("example.com");
    assert!(outside.stderr.contains("bad address"), "{outside:?}");
}

/// Cilium translates Service addresses where sockets are opened, too. That is for the node's Pods, not for this machine.
#[test]
fn the_machine_itself_is_not_in_the_cluster() {
    let Some(node) = Node::get() else { return };
    let version =
        |server: &str| node.try_admin(&["get", "--raw", "/version", "--request-timeout=3s", "--server", server], "");
    assert!(version(&node.facts().server).status.success());
    // Something else may answer there, but not with this cluster's certificate.
    assert!(!version("https://10.96.0.1").status.success(), "a Service of {} answers this machine", node.space());
}

/// Neither another network nor the machine's own way out can be reached: a story that tries an address really only tries.
#[test]
fn nothing_leaves_the_machine() {
    let Some(node) = Node::get() else { return };
    let namespace = node.namespace("outside");
    shell(&namespace, "shell", "app: shell", "exec sleep 3600");
    node.ready(&namespace, "shell");
    for address in ["169.254.169.254", "192.0.2.1", "8.8.8.8"] {
        assert_eq!(open(node, &namespace, "shell", address, 80), Open::TimedOut, "{address}");
    }
}
