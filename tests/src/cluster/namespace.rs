//! A namespace for one test.

use std::ops::Deref;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Cluster;

/// A namespace that nobody else uses; it is deleted, without waiting, when the value goes.
#[derive(Debug)]
pub struct Namespace {
    cluster: &'static Cluster,
    name: String,
}

impl Namespace {
    pub(super) fn new(cluster: &'static Cluster, prefix: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{:x}-{count}", std::process::id());
        cluster.admin(&["create", "namespace", &name]);
        // A Pod needs it, and the controller manager makes it a moment later.
        cluster.admin(&["-n", &name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s"]);
        Self { cluster, name }
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// Runs kubectl in it as the administrator.
    pub fn admin<I: AsRef<str>>(&self, arguments: &[I]) -> String {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments.iter().map(AsRef::as_ref));
        self.cluster.admin(&all)
    }

    /// A Pod that no node ever runs, for tokens to be bound to.
    pub fn pod(&self, name: &str) {
        self.admin(&["run", name, "--image=registry.invalid/none", "--restart=Never"]);
    }

    /// Many of them at once.
    pub fn pods(&self, names: &[String]) {
        let pod = |name: &String| {
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {}}}, spec: {{restartPolicy: Never, \
                 containers: [{{name: none, image: registry.invalid/none}}]}}}}\n",
                self.name
            )
        };
        let manifest: String = names.iter().map(pod).collect();
        self.cluster.admin_with(&["create", "-f", "-"], &manifest);
    }
}

impl Deref for Namespace {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let mut command = self.cluster.admin_command();
        command.args(["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        // The cluster goes with the run, so a namespace that stays costs nothing.
        drop(command.status());
    }
}
