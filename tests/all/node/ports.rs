//! Who reaches whom: what the policies of an installation open, and nothing beside it; of both engines' words.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::cluster::{Namespace, root};
use tests::node::{INTRUDER, Node, eventually};

use super::installed::Installed;
use super::shell;
use super::story::job;

/// The address of the first Pod of a part of ours, with its name.
fn part(on: &Installed, name: &str) -> (String, String) {
    let pod = on.pod(name);
    let at = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).expect("it runs").to_owned();
    (at("/status/podIP"), at("/metadata/name"))
}

/// The node's address, and the port of its API server.
pub(super) fn doors(node: &Node) -> (String, String) {
    let object = node.get_json(&["node", "node1"]);
    let address = object["status"]["addresses"][0]["address"].as_str().expect("a node has an address").to_owned();
    (address, node.facts().server.rsplit(':').next().expect("a port").to_owned())
}

/// A Pod that calls the control plane by itself, with what it has stolen under /loot. It has no annotation.
pub(super) fn intruder(namespace: &Namespace, name: &str) {
    namespace.cluster().apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: job
    image: {INTRUDER}
    imagePullPolicy: Never
    command: [sleep, "900"]
    volumeMounts: [{{name: loot, mountPath: /loot}}]
  volumes:
  - name: loot
    projected:
      sources:
      - serviceAccountToken: {{audience: sallyport-agent, path: agent-like}}
      - secret: {{name: loot, optional: true}}
"#,
        namespace = &**namespace,
    ));
}

/// The pin that sidecars are given.
pub(super) fn pin(on: &Installed, namespace: &str, injected: &str) -> String {
    let pod = on.node.pod(namespace, injected);
    let env = pod["spec"]["initContainers"][0]["env"].as_array().expect("the sidecar has one").clone();
    let found = env.iter().find(|variable| variable["name"] == "SALLYPORT_CONTROL_PLANE_PIN");
    found.and_then(|variable| variable["value"].as_str()).expect("a pin").to_owned()
}

/// A port that is tried from somewhere.
type Try<'a> = (&'a str, &'a str, &'a str, bool);

/// Tries them; the mistakes are told together.
fn check(who: &str, tries: &[Try<'_>], reaches: impl Fn(&str, &str) -> bool) {
    let wrong = tries.iter().filter(|(_, address, port, open)| reaches(address, port) != *open);
    let wrong: Vec<_> =
        wrong.map(|(what, address, port, open)| format!("{what} ({address}:{port}) must be open: {open}")).collect();
    assert_eq!(wrong, [""; 0], "{who}");
}

/// Policies (a) to (d): runners, agent, control plane, and a stranger.
fn each_reaches_what_it_must_and_nothing_more(on: &Installed, injector_is_open: bool) {
    let node = on.node;
    let (runners, elsewhere) = (&on.runners, node.namespace("stranger"));
    node.load_intruder();
    job(runners, "injected", r#"sallyport.dev/inject: "true""#);
    intruder(runners, "plain");
    shell(&elsewhere, "stranger", "app: stranger", "exec sleep 3600");
    for pod in ["injected", "plain"] {
        node.ready(runners, pod);
    }
    node.ready(&elsewhere, "stranger");
    let (address, port) = doors(node);
    let ((control_plane, _), (agent, agent_pod), (injector, _)) =
        (part(on, "control-plane"), part(on, "agent"), part(on, "injector"));

    // (a) Runners: the control plane's 7443 and DNS.
    let of_runners = [
        ("the API server's Service", "10.96.0.1", "443", false),
        ("the API server by name", "kubernetes.default.svc", "443", false),
        ("the API server", address.as_str(), port.as_str(), false),
        ("the kubelet", &address, "10250", false),
        ("the metadata service", "169.254.169.254", "80", false),
        ("the web API", &control_plane, "8443", false),
        ("the control plane's metrics", &control_plane, "9090", false),
        ("the agent's metrics", &agent, "9090", false),
        ("the injector", &injector, "9443", false),
    ];
    for pod in ["injected", "plain"] {
        let busybox = |words: &[&str]| node.exec(runners, pod, "job", words, "");
        check(pod, &of_runners, |address, port| busybox(&["nc", "-w", "2", address, port]).code == Some(0));
        let name = busybox(&["nslookup", "sallyport.sallyport.svc.cluster.local"]);
        assert_eq!(name.code, Some(0), "{pod} asks DNS: {name:?}");
    }
    // Over UDP, where nothing tells an open port but an answer.
    let pin = pin(on, runners, "injected");
    let ping = ["intruder", "sallyport.sallyport.svc:7443", &pin, "call", "/v1/ping"];
    let answered = node.exec(runners, "plain", "job", &ping, "");
    assert_eq!(answered.stdout, "200 {}\n", "{answered:?}");

    // (b), (c) The agent: the API server and the control plane.
    let from_agent = |address: &str, port: &str| {
        let dial = ["timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/$0/$1", address, port];
        node.in_network_of("sallyport", &agent_pod, "agent", &dial).code == Some(0)
    };
    // Itself and not its Service: that is the address which `sallyport install` writes into the agent's configuration.
    let of_agent = [
        ("the API server", address.as_str(), port.as_str(), true),
        ("the kubelet", &address, "10250", false),
        ("the metadata service", "169.254.169.254", "80", false),
        ("the web API", &control_plane, "8443", false),
        ("the control plane's metrics", &control_plane, "9090", false),
        ("the injector", &injector, "9443", false),
    ];
    check("the agent", &of_agent, from_agent);

    // (d) Anybody else: people's port is for whoever comes, for it asks who he is; no other TCP port is.
    let from_stranger = |address: &str, port: &str| {
        node.exec(&elsewhere, "stranger", "shell", &["nc", "-w", "2", address, port], "").code == Some(0)
    };
    let of_stranger = [
        ("the web API", control_plane.as_str(), "8443", true),
        ("the control plane's metrics", &control_plane, "9090", false),
        ("the agent's metrics", &agent, "9090", false),
        ("the injector", &injector, "9443", injector_is_open),
        ("the injector's metrics", &injector, "9090", false),
        ("the API server, for no policy is of this namespace", &address, &port, true),
    ];
    check("a stranger", &of_stranger, from_stranger);
    for pod in ["injected", "plain"] {
        node.admin(&["-n", runners, "delete", "pod", pod, "--wait=false"]);
    }
}

#[test]
fn ciliums_policies_open_what_must_be_open() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    each_reaches_what_it_must_and_nothing_more(on, false);
}

/// The injector has never seen it, and it has a token and no sidecar: Cilium's policy is of the namespace's label.
#[test]
fn a_pod_from_before_its_namespace_was_mandatory_is_held() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
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

/// The form that every engine understands, on a node of its own. It can't say who the API server is, so the injector's port is everybody's.
#[test]
fn plain_policies_open_what_must_be_open() {
    // The images are made, and whoever is not root is told, by the node that all share.
    if Node::get().is_none() {
        return;
    }
    let folder = tempfile::TempDir::new().expect("there is room for a folder");
    let folder = folder.path().join("cluster");
    let scripts_cluster = |words: &[&str]| {
        let mut command = Command::new(root().join("scripts/cluster"));
        let output = command.args(words).arg(Path::new(&folder)).output().expect("scripts/cluster starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    scripts_cluster(&["up", "--node"]);
    let node = Node::beside(&folder);
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
        node.load_ours();
        let on = Installed::install(node, "plain");
        each_reaches_what_it_must_and_nothing_more(&on, true);
    }));
    scripts_cluster(&["down"]);
    if let Err(panic) = told {
        std::panic::resume_unwind(panic);
    }
}
