//! Sallyport as `sallyport install` puts it on the node: our images, the policies, the webhooks.

use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tests::cluster::{Namespace, program};
use tests::kubectl::Output;
use tests::node::{Node, eventually};

/// What differs from the built-in policy: nobody stands behind these jobs, and while a way round is open people are asked about everything.
const VALUES: &str = "
cluster: test
images: {pullPolicy: Never}
controlPlane:
  localSocket: {groups: [sallyport-approvers], dangerSingleLocalVote: true}
  policy: |
    apiVersion: sallyport.dev/v1alpha1
    kind: Policy
    thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
    noPersonBehind: [{serviceAccount: 'test/*/default'}]
";

static POLICIES: RwLock<()> = RwLock::new(());

/// Sallyport on a node.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) node: &'static Node,
    /// A namespace of runners, as the installation was told.
    pub(super) runners: Namespace,
}

impl Installed {
    /// Installs it, once for all stories. `None` where there is no node.
    pub(super) fn get() -> Option<&'static Self> {
        static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();
        INSTALLED.get_or_init(|| Node::get().map(|node| Self::install(node, "cilium"))).as_ref()
    }

    /// Installs it on a node that has nothing of it, with this kind of network policies.
    pub(super) fn install(node: &'static Node, network: &str) -> Self {
        let runners = node.namespace("runners");
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let values = folder.path().join("values.yaml");
        let network = format!("network: {{mode: {network}, runnerNamespaces: [{}]}}\n", &*runners);
        std::fs::write(&values, format!("{VALUES}{network}")).expect("the folder takes files");
        node.apply(&sallyport(node, &["install", "--values", &values.display().to_string()]).ok());
        let this = Self { node, runners };
        this.rolled_out();
        this
    }

    /// For a story that needs every policy in place, as long as this lives.
    pub(super) fn unchanged(&self) -> RwLockReadGuard<'static, ()> {
        POLICIES.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a story that takes one away.
    pub(super) fn to_change(&self) -> RwLockWriteGuard<'static, ()> {
        POLICIES.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything of ours is ready.
    pub(super) fn rolled_out(&self) {
        for what in
            ["statefulset/sallyport-control-plane", "deployment/sallyport-agent", "deployment/sallyport-injector"]
        {
            let waited = self.node.try_admin(&["-n", "sallyport", "rollout", "status", what, "--timeout=50s"], "");
            if !waited.status.success() {
                let pods = self.node.admin(&["-n", "sallyport", "describe", "pods"]);
                let logs = self.node.try_admin(&["-n", "sallyport", "logs", what, "--tail=30"], "");
                panic!("{what} is not rolled out: {}\n{pods}", String::from_utf8_lossy(&logs.stdout));
            }
        }
    }

    /// The first Pod of a part of ours that is there to stay: after an update the last of those before it are there for a while.
    pub(super) fn pod(&self, part: &str) -> Value {
        let selector = format!("app.kubernetes.io/name=sallyport-{part}");
        let mut pods = self.node.get_json(&["-n", "sallyport", "pods", "-l", &selector]);
        let all = pods["items"].as_array_mut().expect("a list").iter_mut();
        let mut staying = all.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
        staying.next().expect("it runs").take()
    }

    /// Our command line in the control plane's own pod, over its local socket.
    pub(super) fn cli(&self, arguments: &[&str]) -> Output {
        let command = [&["/sallyport"], arguments].concat();
        self.node.exec("sallyport", "sallyport-control-plane-0", "control-plane", &command, "")
    }

    /// The same, as JSON.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.cli(&arguments).ok()).expect("JSON")
    }

    /// Waits for a hold of a pod of this namespace, and gives its id.
    pub(super) fn held(&self, namespace: &str) -> String {
        eventually(|| {
            let holds = self.json(&["approvals", "list"]);
            let waits = |hold: &&Value| hold.to_string().contains(namespace) && hold["phase"]["phase"] == "waiting";
            let hold = holds.as_array().and_then(|holds| holds.iter().find(waits));
            hold.and_then(|hold| hold["id"].as_str())
                .map(str::to_owned)
                .ok_or_else(|| format!("nothing waits: {holds}"))
        })
    }
}

/// Our command line with the administrator's rights in the cluster.
pub(super) fn sallyport(node: &Node, arguments: &[&str]) -> Output {
    let facts = node.facts();
    let output = Command::new(program("sallyport"))
        .args(arguments)
        .arg("--kubectl")
        .arg(&facts.kubectl)
        .arg("--kubeconfig")
        .arg(&facts.admin_kubeconfig)
        .env_clear()
        .env("HOME", &facts.folder)
        .output()
        .expect("sallyport starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
