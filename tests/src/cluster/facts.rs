//! Where the cluster is: the folder of `scripts/cluster up`, and the file `facts` in it.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::root;

/// What `scripts/cluster up` tells of a cluster.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its folder.
    pub folder: PathBuf,
    /// `https://address:port` of the API server.
    pub server: String,
    /// Certificate of its CA, PEM.
    pub ca: PathBuf,
    /// Kubeconfig of the administrator.
    pub admin_kubeconfig: PathBuf,
    /// The API server's audit log, one JSON object a line.
    pub audit_log: PathBuf,
    /// `iss` of its ServiceAccount tokens.
    pub issuer: String,
    /// The API server's version, such as `v1.36.3`.
    pub version: String,
    /// A kubectl of the same version.
    pub kubectl: PathBuf,
    all: BTreeMap<String, String>,
}

impl Facts {
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join("facts");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("there is no cluster in {}: {error}", folder.display()));
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let all: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let get = |key: &str| all.get(key).unwrap_or_else(|| panic!("{} has no {key}", path.display())).clone();
        Self {
            folder: folder.to_owned(),
            server: get("SERVER"),
            ca: get("CA").into(),
            admin_kubeconfig: get("ADMIN_KUBECONFIG").into(),
            audit_log: get("AUDIT_LOG").into(),
            issuer: get("SA_ISSUER"),
            version: get("VERSION"),
            kubectl: get("KUBECTL").into(),
            all,
        }
    }

    /// A line of the file.
    pub(crate) fn get(&self, key: &str) -> String {
        self.all.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.folder.display())).clone()
    }
}

/// Which cluster is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A control plane alone.
    ControlPlane,
    /// With a node that runs Pods.
    Node,
}

/// The folder of the cluster of this run; starts one where the environment names none.
#[expect(clippy::disallowed_methods, reason = "the harness is configured by scripts/test, through the environment")]
pub(crate) fn folder(kind: Kind) -> PathBuf {
    let variable = match kind {
        Kind::ControlPlane => "SALLYPORT_TEST_CLUSTER",
        Kind::Node => "SALLYPORT_TEST_NODE",
    };
    match std::env::var(variable) {
        Ok(folder) => folder.into(),
        Err(_) => start(kind),
    }
}

/// Starts a cluster that lives as long as this process: its shell waits for the end of a pipe, whose other end is
/// closed by the kernel however the process ends.
fn start(kind: Kind) -> PathBuf {
    static SHELLS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let (name, up) = match kind {
        Kind::ControlPlane => ("test", "up"),
        Kind::Node => ("node", "up --node"),
    };
    let folder = std::env::temp_dir().join(format!("sallyport-{name}-{}", std::process::id()));
    let script = r#"set -e; "$0" $2 "$1" >/dev/null; echo up; exec 1>&-; read -r _ || :; "$0" down "$1""#;
    let mut shell = Command::new("bash")
        .args(["-c", script])
        .arg(root().join("scripts/cluster"))
        .arg(&folder)
        .arg(up)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // In a process group of its own, for an interrupt at the terminal must not reach it before it has tidied up.
        .process_group(0)
        .spawn()
        .expect("bash starts");
    let mut said = String::new();
    shell.stdout.take().expect("piped").read_to_string(&mut said).expect("bash speaks");
    assert_eq!(said, "up\n", "scripts/cluster {up} {} failed: see above", folder.display());
    SHELLS.lock().expect("no panic while it is held").push(shell);
    folder
}
