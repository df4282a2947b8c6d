//! A cluster with a node that runs Pods and enforces network policy, shared by all tests of a run that need one.
//!
//! `scripts/test` starts one where it is root and names its folder in `SALLYPORT_TEST_NODE`. Under a plain `cargo test` the
//! first test that asks starts one, which ends with the test process. Where nobody is root there is none, and one line says
//! that these tests were left out: see [`Node::get`].

use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use shared_net::clock::Clock;

use crate::cluster::{Cluster, Kind, facts, program, root};
use crate::kubectl::Output;

mod memory;

/// An image with a shell, the usual tools and kubectl, as a job has them.
pub const RUNNER: &str = "localhost/runner:1";
/// The same with `intruder`, which calls the control plane's port by itself ([`crate::intruder`]); see [`Node::load_intruder`].
pub const INTRUDER: &str = "localhost/intruder:1";

/// The cluster with a node. It is a [`Cluster`] too: kubectl, audit log and namespaces are used from outside.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
}

impl Deref for Node {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Node {
    /// The node of this test run, with our images on it. `None` where nobody is root, or `SALLYPORT_TEST_NODE` is `none`: the
    /// caller then returns, and the first one has said so on standard error. Panics where it can't be started or takes no images, which it says
    /// there too: every test on the node fails for that one reason.
    pub fn get() -> Option<&'static Self> {
        static NODE: OnceLock<Option<Node>> = OnceLock::new();
        NODE.get_or_init(|| {
            if let Some(why) = left_out() {
                say(&format!("Left out: all tests on a real node ({why})."));
                return None;
            }
            let node = Self::at(&facts::folder(Kind::Node));
            node.load_ours();
            Some(node)
        })
        .as_ref()
    }

    /// A further node of a test's own, which `scripts/cluster up --node` has started in a folder. It stays known until the run ends.
    pub fn beside(folder: &Path) -> &'static Self {
        Box::leak(Box::new(Self::at(folder)))
    }

    fn at(folder: &Path) -> Self {
        Self { cluster: Cluster::at(folder) }
    }

    /// Name of one of our images on the node: `sidecar`, `agent` or `control-plane`.
    pub fn image(&self, name: &str) -> String {
        format!("localhost/sallyport/{name}:{}", env!("CARGO_PKG_VERSION"))
    }

    /// Gives the node the images of our processes.
    pub fn load_ours(&self) {
        let images = images();
        self.load(&["sidecar", "agent", "control-plane"].map(|name| images.join(format!("{name}.tar"))));
    }

    /// Gives the node the image [`INTRUDER`]: the program as the tests have it, with the libraries that it is linked with, and a shell.
    pub fn load_intruder(&self) {
        const SCRIPT: &str = r#"
set -euo pipefail
program=$1 archive=$2 root=$3 files=() links=()
strip --strip-debug -o "$archive.program" "$program"
while read -r library; do files+=("$library:$library"); done < <(ldd "$program" | grep -o '/[^ ]*')
for applet in $(busybox --list); do links+=(--link "/bin/busybox:/bin/$applet"); done
python3 "$root/scripts/image/archive.py" --name localhost/intruder:1 --output "$archive" --folder 1777:/tmp \
    "$archive.program:/usr/bin/intruder" "$(command -v busybox):/bin/busybox" "${files[@]}" "${links[@]}"
"#;
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let archive = folder.path().join("intruder.tar");
        let output = Command::new("bash")
            .args(["-c", SCRIPT, "intruder"])
            .args([&program("intruder"), &archive, root()])
            .output()
            .expect("bash starts");
        assert!(output.status.success(), "no image: {}", String::from_utf8_lossy(&output.stderr));
        self.load(&[archive]);
    }

    /// What containerd calls a container of a Pod.
    pub fn container(&self, namespace: &str, pod: &str, container: &str) -> String {
        let pod = self.pod(namespace, pod);
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let all = lists.into_iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
        let found = all.into_iter().find(|status| status.get("name").is_some_and(|name| name == container));
        let id = found.and_then(|status| status.get("containerID")?.as_str()?.strip_prefix("containerd://"));
        id.unwrap_or_else(|| panic!("{container} does not run: {pod}")).to_owned()
    }

    /// Runs a command of this machine in the network of a Pod's container, whose image has none.
    pub fn in_network_of(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Output {
        let pid = self.process(namespace, pod, container);
        self.enter(&[&["nsenter", "--target", &pid, "--net", "--"], command].concat())
    }

    /// Kills the first process of a Pod's container.
    pub fn kill(&self, namespace: &str, pod: &str, container: &str) {
        self.signal("KILL", namespace, pod, container);
    }

    /// Sends a signal to the first process of a Pod's container.
    pub fn signal(&self, signal: &str, namespace: &str, pod: &str, container: &str) {
        self.enter(&["kill", "-s", signal, &self.process(namespace, pod, container)]).ok();
    }

    /// The first process of a Pod's container, as the machine numbers it.
    fn process(&self, namespace: &str, pod: &str, container: &str) -> String {
        let id = self.container(namespace, pod, container);
        let tasks = self.ctr(&["tasks", "ls"]).ok();
        let line = tasks.lines().find(|line| line.starts_with(&id)).expect("it runs");
        line.split_whitespace().nth(1).expect("a task has a process").to_owned()
    }

    /// Gives the node images, from archives.
    pub fn load(&self, archives: &[PathBuf]) {
        done(self.script("load").args(archives), "scripts/cluster load");
    }

    /// Runs a command in the node's own namespaces, as root.
    pub fn enter(&self, arguments: &[&str]) -> Output {
        finished(self.script("enter").args(arguments).output().expect("scripts/cluster runs"))
    }

    /// Asks containerd.
    pub fn ctr(&self, arguments: &[&str]) -> Output {
        let (ctr, socket) = (self.facts().get("CTR"), self.facts().get("CONTAINERD"));
        let mut words = vec![ctr.as_str(), "-a", &socket, "-n", "k8s.io"];
        words.extend(arguments);
        self.enter(&words)
    }

    /// Runs a command in a Pod's container as its administrator would, with something to read.
    pub fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str], input: &str) -> Output {
        let mut arguments = vec!["-n", namespace, "exec", "-i", pod, "-c", container, "--"];
        arguments.extend(command);
        finished(self.try_admin(&arguments, input))
    }

    /// What a Pod's container has logged so far.
    pub fn logs(&self, namespace: &str, pod: &str, container: &str) -> String {
        self.admin(&["-n", namespace, "logs", pod, "-c", container])
    }

    /// A Pod as it is now.
    pub fn pod(&self, namespace: &str, name: &str) -> Value {
        self.get_json(&["-n", namespace, "pod", name])
    }

    /// Waits until a Pod is ready; gives its address. Panics after five minutes, with what the cluster says of it.
    pub fn ready(&self, namespace: &str, pod: &str) -> String {
        let name = format!("pod/{pod}");
        let waited = self.try_admin(&["-n", namespace, "wait", "--for=condition=Ready", &name, "--timeout=300s"], "");
        if !waited.status.success() {
            panic!("{name} is not ready: {}", self.admin(&["-n", namespace, "describe", &name]));
        }
        let pod = self.pod(namespace, pod);
        pod.pointer("/status/podIP").and_then(Value::as_str).expect("a ready Pod has an address").to_owned()
    }

    /// Where processes of this machine can listen for Pods: the machine's end of the node's link.
    pub fn host_address(&self) -> String {
        self.facts().get("HOST_ADDRESS")
    }

    /// What its namespaces, its cgroup and (without the dash) its link are called.
    pub fn space(&self) -> String {
        self.facts().get("SPACE")
    }

    /// Name of the Pod that answers for DNS.
    pub fn dns_pod(&self) -> String {
        let arguments =
            ["-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[0].metadata.name}"];
        self.admin(&arguments)
    }

    fn script(&self, command: &str) -> Command {
        let mut script = Command::new(root().join("scripts/cluster"));
        script.arg(command).arg(&self.facts().folder).stdin(Stdio::null());
        script
    }
}

/// Tries until it works; panics after five minutes with what the last try said. A busy machine needs some of them.
#[track_caller]
pub fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let (clock, mut last) = (Clock::system(), String::new());
    while clock.monotonic() < Duration::from_secs(300) {
        match attempt() {
            Ok(value) => return value,
            Err(why) => last = why,
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("still after five minutes: {last}")
}

#[expect(clippy::disallowed_methods, reason = "the harness is configured by scripts/test, through the environment")]
fn left_out() -> Option<&'static str> {
    if std::env::var("SALLYPORT_TEST_NODE").is_ok_and(|value| value == "none") {
        return Some("SALLYPORT_TEST_NODE says so");
    }
    let user = Command::new("id").arg("-u").output().expect("id runs").stdout;
    (user.trim_ascii() != b"0").then_some("they need root")
}

/// The folder of our images: the one that `SALLYPORT_TEST_IMAGES` names, as `scripts/images` writes it, or one that is made here of
/// the programs beside the tests.
#[expect(clippy::disallowed_methods, reason = "the harness is configured by scripts/test, through the environment")]
fn images() -> PathBuf {
    if let Ok(folder) = std::env::var("SALLYPORT_TEST_IMAGES") {
        return folder.into();
    }
    let sallyport = program("sallyport");
    let target = sallyport.ancestors().nth(2).expect("target/<profile>/sallyport");
    let mut script = Command::new(root().join("scripts/images"));
    done(script.args(["--debug", "--no-build"]).env("CARGO_TARGET_DIR", target), "scripts/images --debug");
    target.join(Path::new("images-debug"))
}

/// Runs one of our scripts; panics where it fails.
fn done(script: &mut Command, name: &str) {
    let output = script.output().expect("bash is there");
    if !output.status.success() {
        let why = format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        say(&why);
        panic!("{why}");
    }
}

/// At once, past a test's own output, which is shown at the end of the run.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("somebody reads");
}

fn finished(output: std::process::Output) -> Output {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
