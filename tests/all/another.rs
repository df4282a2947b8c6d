//! A second job of the same ServiceAccount: another pod, with a sidecar and a session of its own.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::cluster::program;
use tests::kubectl::{Kubectl, Version};
use tests::stack::Stack;

/// Ends with the test, however that ends.
pub(crate) struct Another {
    sidecar: Child,
    folder: TempDir,
}

impl Another {
    /// In a pod of this name; it has a session when this answers.
    pub(crate) async fn start(stack: &Stack, pod: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut command = stack.another_sidecar(pod, &program("sallyport-sidecar"), free, &folder.path().join("serve"));
        command.env("SALLYPORT_KUBECONFIG", folder.path().join("kubeconfig"));
        let another = Self { sidecar: command.stderr(Stdio::null()).spawn().unwrap(), folder };
        for _ in 0..100 {
            if another.kubectl().run(&["get", "pods"]).await.code == Some(0) {
                return another;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the sidecar of pod {pod} has no session after a hundred attempts");
    }

    /// The job's own kubectl.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(Version::Newest).kubeconfig(&self.folder.path().join("kubeconfig"))
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        self.sidecar.kill().ok();
        self.sidecar.wait().ok();
    }
}
