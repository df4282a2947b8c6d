//! Sallyport as `sallyport install` puts it on the node: our images, the policies, the webhooks.

use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tempfile::TempDir;
use tests::cluster::{Namespace, program, root};
use tests::issuer::Issuer;
use tests::kubectl::Output;
use tests::node::{Node, eventually};

/// Beside the node: an issuer of approvers' tokens. What differs from the built-in policy: nobody stands behind these jobs, and while a
/// way round is open people are asked about everything.
const VALUES: &str = "
cluster: test
images: {pullPolicy: Never}
controlPlane:
  approverIssuers:
  - {issuer: 'ISSUER', audience: sallyport, groups: groups, ca: people.crt, dangerAllowPrivateAddress: true}
  files:
    people.crt: |
      AUTHORITY
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
    /// Whose tokens approvers have.
    pub(super) people: Issuer,
    values: String,
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
        let people = Issuer::start_at(node.host_address().parse().expect("it is an address"));
        let authority = std::fs::read_to_string(people.ca()).expect("it has a certificate").replace('\n', "\n      ");
        let values = VALUES.replace("ISSUER", people.url()).replace("AUTHORITY", &authority);
        let values = format!("{values}network: {{mode: {network}, runnerNamespaces: [{}]}}\n", &*runners);
        let this = Self { node, runners, people, values };
        this.as_the_readme_says();
        this
    }

    /// Types what README.md gives for one's own cluster up to where it is installed, in a folder with values of ours. The rest is
    /// `super::readme`'s.
    fn as_the_readme_says(&self) {
        let (typed, _) = readme();
        let folder = self.folder();
        std::fs::write(folder.path().join("values.yaml"), &self.values).expect("the folder takes files");
        let (facts, path) = (self.node.facts(), folder.path().join("bin"));
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", &typed.join("\n")])
            .current_dir(&folder)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
            .env("HOME", folder.path())
            .env("KUBECONFIG", &facts.admin_kubeconfig)
            .output()
            .expect("bash starts");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let authority = std::fs::read_to_string(folder.path().join("sallyport-ca.crt")).expect("it was written");
        assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
        self.rolled_out();
    }

    /// A folder with our programs in `bin`, for who types.
    pub(super) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("bin");
        std::fs::create_dir(&path).expect("there is room for a folder");
        for (name, target) in [("kubectl", self.node.facts().kubectl.clone()), ("sallyport", program("sallyport"))] {
            std::os::unix::fs::symlink(target, path.join(name)).expect("the folder takes links");
        }
        folder
    }

    /// Has `sallyport install` or `upgrade` print manifests of the same values, applies them, and waits until all is ready; gives what was
    /// said beside.
    pub(super) fn apply(&self, command: &str, more: &[&str]) -> String {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let values = folder.path().join("values.yaml");
        std::fs::write(&values, &self.values).expect("the folder takes files");
        let file = values.display().to_string();
        let printed = sallyport(self.node, &[&[command, "--values", &file][..], more].concat());
        let said = printed.stderr.clone();
        self.node.apply(&printed.ok());
        self.rolled_out();
        said
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
            let waited = self.node.try_admin(&["-n", "sallyport", "rollout", "status", what, "--timeout=300s"], "");
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

    /// Names of the Pods of a part of ours that are there to stay.
    pub(super) fn names(&self, part: &str) -> Vec<String> {
        let selector = format!("app.kubernetes.io/name=sallyport-{part}");
        let pods = self.node.get_json(&["-n", "sallyport", "pods", "-l", &selector]);
        let all = pods["items"].as_array().expect("a list").iter().map(|pod| &pod["metadata"]);
        let staying = all.filter(|metadata| metadata.get("deletionTimestamp").is_none());
        staying.filter_map(|metadata| metadata["name"].as_str()).map(str::to_owned).collect()
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

/// What README.md has people type for a cluster of their own: to install, and afterwards.
pub(super) fn readme() -> (Vec<String>, Vec<String>) {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let (_, section) = readme.split_once("\n## On your own cluster\n").expect("it has the section");
    let (_, lines) = section.split_once("\n$ sallyport install --values values.yaml").expect("and its first line");
    let (lines, _) = lines.split_once("\n```").expect("and their end");
    let lines = format!("$ sallyport install --values values.yaml{lines}");
    let typed = lines.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned);
    let (before, after): (Vec<_>, Vec<_>) = typed.enumerate().partition(|(place, _)| *place < 4);
    let text = |lines: Vec<(usize, String)>| lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>();
    let (before, after) = (text(before), text(after));
    assert!(after.len() == 6 && after[0].contains("port-forward"), "{before:?} {after:?}");
    (before, after)
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
        .env("KUBECACHEDIR", facts.folder.join("kubectl-cache"))
        .output()
        .expect("sallyport starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
