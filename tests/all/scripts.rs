//! The scripts that people start: `scripts/try` on a cluster that is given, its end by Ctrl-C, and programs that are given as
//! controller-runtime's envtest has them. On a cluster of its own, for the tree's folder `.try` and the namespace `sallyport` are one each.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::cluster::{Cluster, root};

/// A folder with links to the programs of the run's cluster.
fn assets(folder: &Path) -> PathBuf {
    let assets = folder.join("assets");
    std::fs::create_dir(&assets).unwrap();
    let kubectl = std::fs::canonicalize(&Cluster::get().facts().kubectl).unwrap();
    let kubernetes = kubectl.parent().unwrap();
    let mut programs: Vec<PathBuf> =
        ["kube-apiserver", "kube-controller-manager", "kubectl"].map(|name| kubernetes.join(name)).into();
    let beside = std::fs::read_dir(kubernetes.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    programs.extend(beside.map(|folder| folder.join("etcd")).filter(|etcd| etcd.is_file()));
    for program in programs {
        drop(symlink(&program, assets.join(program.file_name().unwrap())));
    }
    assets
}

/// A cluster that is nobody else's, made of programs that were given.
struct Given {
    folder: TempDir,
    state: PathBuf,
}

impl Given {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("cluster");
        let mut up = Command::new(root().join("scripts/cluster"));
        up.arg("up").arg(&state).env("KUBEBUILDER_ASSETS", assets(folder.path())).stdin(Stdio::null());
        let output = up.output().unwrap();
        let this = Self { folder, state };
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("Building"), "what is given is not compiled: {said}");
        this
    }

    fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.kubeconfig")
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let mut kubectl = Command::new(self.folder.path().join("assets/kubectl"));
        kubectl.arg("--kubeconfig").arg(self.kubeconfig()).args(arguments);
        let output = kubectl.env("KUBECACHEDIR", self.folder.path().join("cache")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Fails while anything of Sallyport's is in it; namespaces take a moment to go.
    fn assert_left(&self) {
        let mut left = String::new();
        for _ in 0..300 {
            left = self.kubectl(&["get", "namespaces,clusterroles,clusterrolebindings,pods", "-A", "-o", "name"]);
            if !left.contains("sallyport") && !left.contains("ci-demo") {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("still there after a minute: {left}");
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let mut down = Command::new(root().join("scripts/cluster"));
        drop(down.arg("down").arg(&self.state).stdin(Stdio::null()).output());
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn attempt(given: &Given) -> Command {
    let mut command = Command::new(root().join("scripts/try"));
    command.arg("--kubeconfig").arg(given.kubeconfig()).stdin(Stdio::null());
    command
}

/// Processes that have a file of this tree's `.try` on their command line.
fn processes() -> Vec<String> {
    let folder = root().join(".try").display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    let lines = all.filter_map(|path| Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).replace('\0', " ")));
    lines.filter(|line| line.contains(&folder)).collect()
}

fn assert_nothing_left(given: &Given) {
    assert!(!root().join(".try").exists(), "its folder is there");
    assert_eq!(processes(), [""; 0], "processes of it run");
    given.assert_left();
}

/// Ends the script with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // A script that is killed leaves its processes; one that is interrupted ends them.
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

#[test]
fn a_given_cluster_is_tried_and_left_as_it_was() {
    let given = Given::start();
    let checked = attempt(&given).arg("--check").output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
    assert_nothing_left(&given);

    let log = given.folder.path().join("try.log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = attempt(&given);
    // In a group of its own, as a shell starts it. Ctrl-C is a signal to the whole group.
    command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    let mut running = Running(command.spawn().unwrap());
    let said = || std::fs::read_to_string(&log).unwrap();
    while !said().contains("Sallyport is running") {
        assert_eq!(running.0.try_wait().unwrap(), None, "{}", said());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!processes().is_empty() && root().join(".try").exists());
    let group = format!("-{}", running.0.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    let ended = running.0.wait().unwrap();
    assert_eq!(ended.code(), Some(130), "{}", said());
    assert_nothing_left(&given);
}
