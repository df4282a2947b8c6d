//! The real API server that all tests of a run share, and what an administrator does in it.
//!
//! `scripts/test` starts one and names its folder in `SALLYPORT_TEST_CLUSTER`. Under a plain `cargo test` the first
//! test that asks starts one, which ends with the test process.

mod audit;
pub(crate) mod facts;
mod namespace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;

pub use audit::{AuditEvent, AuditLog, ImpersonatedUser, ObjectRef, ResponseStatus, User};
pub use facts::Facts;
pub(crate) use facts::Kind;
pub use namespace::Namespace;

/// Top of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the tree")
}

/// A real control plane: kube-apiserver, etcd, kube-controller-manager. [`crate::node::Node`] is one with a node.
#[derive(Debug)]
pub struct Cluster {
    facts: Facts,
}

impl Cluster {
    /// The cluster of this test run. Panics where there is none and none can be started.
    pub fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::at(&facts::folder(Kind::ControlPlane)))
    }

    /// The cluster that `scripts/cluster up` has started in a folder.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { facts: Facts::read(folder) }
    }

    /// A cluster of its own for tests that install into it and take everything away again: in the other one that would be under the feet of
    /// all tests beside them. One test has it at a time.
    pub fn for_installations() -> Alone {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = CLUSTER.get_or_init(|| Self { facts: Facts::read(&facts::folder(Kind::Installations)) });
        Alone { cluster, _turn: turn }
    }

    /// Where it is and what it was made with.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Runs kubectl as the administrator; panics with kubectl's words when it fails.
    pub fn admin<I: AsRef<str>>(&self, arguments: &[I]) -> String {
        self.admin_with(arguments, "")
    }

    /// Applies manifests as the administrator.
    pub fn apply(&self, manifest: &str) -> String {
        self.admin_with(&["apply", "-f", "-"], manifest)
    }

    /// What the administrator gets of an object, as JSON.
    pub fn get_json<I: AsRef<str>>(&self, arguments: &[I]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments.iter().map(AsRef::as_ref));
        serde_json::from_str(&self.admin(&all)).expect("kubectl prints JSON")
    }

    /// As [`Self::admin`], but a failure is a result: exit code, output and errors.
    pub fn try_admin<I: AsRef<str>>(&self, arguments: &[I], input: &str) -> Output {
        let mut child = self
            .admin_command()
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.as_bytes()).expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// A namespace of its own for one test, deleted with the value.
    pub fn namespace(&'static self, prefix: &str) -> Namespace {
        Namespace::new(self, prefix)
    }

    /// The audit log from here on.
    pub fn audit(&self) -> AuditLog {
        AuditLog::from_here(&self.facts.audit_log)
    }

    /// All finished requests that the agent sent for runners in a namespace, since the cluster was started.
    pub fn audit_of(&self, namespace: &str) -> Vec<AuditEvent> {
        AuditLog::from_start(&self.facts.audit_log).of_runner(namespace)
    }

    /// A token of a ServiceAccount, made by the administrator; bound to a Pod where one is named.
    pub fn token(&self, namespace: &str, service_account: &str, audience: Option<&str>, pod: Option<&str>) -> String {
        let mut arguments = vec!["-n", namespace, "create", "token", service_account, "--duration=1h"];
        let audience = audience.map(|audience| format!("--audience={audience}"));
        arguments.extend(audience.as_deref());
        if let Some(pod) = pod {
            arguments.extend(["--bound-object-kind=Pod", "--bound-object-name", pod]);
        }
        self.admin(&arguments).trim().to_owned()
    }

    /// As [`Self::admin`], with something to read.
    pub fn admin_with<I: AsRef<str>>(&self, arguments: &[I], input: &str) -> String {
        let output = self.try_admin(arguments, input);
        let words = arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
        assert!(output.status.success(), "admin: kubectl {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
    }

    fn admin_command(&self) -> Command {
        // With a time limit, for a hung API server must fail a test and not the run. Some commands wait for five minutes by themselves.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "420"]).arg(&self.facts.kubectl);
        command.env_clear().env("KUBECONFIG", &self.facts.admin_kubeconfig).env("HOME", &self.facts.folder);
        command.env("KUBECACHEDIR", self.facts.folder.join("kubectl-cache"));
        command
    }
}

/// A cluster that nobody else uses while this lives.
#[derive(Debug)]
pub struct Alone {
    cluster: &'static Cluster,
    _turn: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Alone {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster
    }
}

/// A program of the tree that `cargo build` has put beside the tests.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    // Tests are in target/<profile>/deps, programs above that.
    let folder = own.parent().expect("a program is in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().expect("target/<profile>") } else { folder };
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins` first", path.display());
    path
}
