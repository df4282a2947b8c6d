//! A real cluster to ask: the one that `SALLYPORT_TEST_CLUSTER` names (the folder given to `scripts/cluster up`), or one of our own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Where a cluster is, and what it wrote.
#[derive(Debug)]
pub struct Cluster {
    /// `127.0.0.1:port`.
    pub server: String,
    /// PEM file of the CA.
    pub ca: PathBuf,
    /// Its audit log.
    pub audit_log: PathBuf,
    kubectl: PathBuf,
    admin_kubeconfig: PathBuf,
    /// To end when dropped.
    own: Option<PathBuf>,
}

impl Cluster {
    /// The cluster that the environment names; else one is started in `folder`, and ended on drop.
    ///
    /// # Errors
    /// If it can't be started or its facts not be read.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the harness has no configuration but where the cluster is")]
        let named = std::env::var("SALLYPORT_TEST_CLUSTER").ok();
        if let Some(dir) = named {
            return Self::read(Path::new(&dir), None);
        }
        let status = Command::new(script()).arg("up").arg(folder).status()?;
        if !status.success() {
            bail!("scripts/cluster up: {status}");
        }
        Self::read(folder, Some(folder.to_owned()))
    }

    fn read(dir: &Path, own: Option<PathBuf>) -> anyhow::Result<Self> {
        let file = dir.join("facts");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let facts: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let fact = |key: &str| facts.get(key).copied().with_context(|| format!("{} has no {key}", file.display()));
        Ok(Self {
            server: fact("SERVER")?.trim_start_matches("https://").to_owned(),
            ca: fact("CA")?.into(),
            audit_log: fact("AUDIT_LOG")?.into(),
            kubectl: fact("KUBECTL")?.into(),
            admin_kubeconfig: fact("ADMIN_KUBECONFIG")?.into(),
            own,
        })
    }

    /// A token of a ServiceAccount without any rights.
    pub(super) fn powerless_token(&self) -> anyhow::Result<String> {
        const NAME: &str = "differential";
        let exists = self.kubectl(&["-n", "default", "get", "serviceaccount", NAME]).is_ok();
        if !exists {
            self.kubectl(&["-n", "default", "create", "serviceaccount", NAME])?;
        }
        let token = self.kubectl(&["-n", "default", "create", "token", NAME, "--duration=6h"])?;
        Ok(token.trim().to_owned())
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output =
            Command::new(&self.kubectl).arg("--kubeconfig").arg(&self.admin_kubeconfig).args(arguments).output()?;
        if !output.status.success() {
            bail!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(folder) = &self.own {
            // Nothing can be done about a failure here; the script says on stderr what it could not end.
            drop(Command::new(script()).arg("down").arg(folder).status());
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cluster")
}
