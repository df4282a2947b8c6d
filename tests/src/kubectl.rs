//! Unchanged kubectl of several versions, each call as a process with a home of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::canary;
use crate::cluster::root;

/// A kubectl that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.27: JSON only, SPDY.
    Old,
    /// 1.33: protobuf for some calls.
    Middle,
    /// 1.37: the newest to be had.
    Newest,
}

impl Version {
    /// All of them, for stories that run once per version.
    pub const ALL: [Self; 3] = [Self::Old, Self::Middle, Self::Newest];

    /// The program; fetched on first use.
    pub fn program(self) -> PathBuf {
        static KNOWN: Mutex<Vec<(Version, PathBuf)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().expect("no panic while it is held");
        if let Some((_, path)) = known.iter().find(|(version, _)| *version == self) {
            return path.clone();
        }
        let output = std::process::Command::new(root().join("scripts/cluster"))
            .args(["kubectl", self.word()])
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/cluster runs");
        assert!(output.status.success(), "scripts/cluster kubectl {} failed: see above", self.word());
        let path = PathBuf::from(String::from_utf8(output.stdout).expect("a path is UTF-8").trim());
        known.push((self, path.clone()));
        path
    }

    fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::Middle => "middle",
            Self::Newest => "newest",
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Output {
    /// Standard output of a call that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "kubectl failed: {}{}", self.stderr, self.stdout);
        self.stdout
    }

    /// Standard error of a call that must have failed by itself.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "kubectl did not fail: {self:?}");
        self.stderr
    }
}

/// A kubectl with its own home, cache and kubeconfig.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    home: TempDir,
    kubeconfig: Option<PathBuf>,
    namespace: Option<String>,
    env: Vec<(OsString, OsString)>,
    pod: Option<PathBuf>,
    within: Duration,
}

impl Kubectl {
    /// With no configuration at all: kubectl then looks for a pod's own, as in a runner.
    pub fn new(version: Version) -> Self {
        Self {
            program: version.program(),
            home: TempDir::new().expect("there is room for a folder"),
            kubeconfig: None,
            namespace: None,
            env: Vec::new(),
            pod: None,
            within: Duration::from_secs(60),
        }
    }

    /// With a kubeconfig file.
    #[must_use]
    pub fn kubeconfig(mut self, path: &Path) -> Self {
        self.kubeconfig = Some(path.to_owned());
        self
    }

    /// As in a pod: this folder stands where a pod has its ServiceAccount's files, and there is no kubeconfig.
    #[must_use]
    pub fn in_pod(mut self, service_account: &Path, address: SocketAddr) -> Self {
        self.pod = Some(service_account.to_owned());
        self.env("KUBERNETES_SERVICE_HOST", address.ip().to_string())
            .env("KUBERNETES_SERVICE_PORT", address.port().to_string())
    }

    /// Another program with the same home and environment, for clients that are not kubectl.
    #[must_use]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// In a namespace, as `-n` before every call.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// With a variable in its environment, which is otherwise empty but for `HOME`, `PATH`, `KUBECACHEDIR`.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// A call that takes longer than this is ended and fails the test. One minute unless said otherwise.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Its home folder, for files that a call reads.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs it to its end.
    pub async fn run<I: AsRef<str>>(&self, arguments: &[I]) -> Output {
        self.spawn(arguments, "").await.end().await
    }

    /// Runs it to its end with an editor of the caller's: a command that gets the file's name.
    pub async fn run_edit<I: AsRef<str>>(&self, arguments: &[I], editor: &str) -> Output {
        self.start(arguments, "", &[("KUBE_EDITOR".into(), editor.into())]).await.end().await
    }

    /// Runs it to its end with something to read on standard input.
    pub async fn run_with<I: AsRef<str>>(&self, arguments: &[I], input: &str) -> Output {
        self.spawn(arguments, input).await.end().await
    }

    /// Starts it, as for a call that will be held. It is killed when the value goes.
    pub async fn spawn<I: AsRef<str>>(&self, arguments: &[I], input: &str) -> Running {
        self.start(arguments, input, &[]).await
    }

    async fn start<I: AsRef<str>>(&self, arguments: &[I], input: &str, env: &[(OsString, OsString)]) -> Running {
        let words: Vec<String> = self
            .namespace
            .iter()
            .flat_map(|namespace| ["-n".to_owned(), namespace.clone()])
            .chain(arguments.iter().map(|argument| argument.as_ref().to_owned()))
            .collect();
        let mut command = match &self.pod {
            // Interrupted it ends, also where these tests run in the background of a shell, whose children ignore that.
            None => {
                let mut command = Command::new("env");
                command.arg("--default-signal=INT").arg(&self.program);
                command
            }
            Some(folder) => in_pod(folder, &self.program),
        };
        command.args(&words).env_clear().env("HOME", self.home()).env("PATH", "/usr/bin:/bin");
        command.env("KUBECACHEDIR", self.home().join("cache")).current_dir(self.home());
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        command.envs(self.env.iter().chain(env).map(|(key, value)| (key, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("kubectl starts");
        // A kubectl that does not want its input may be gone by now: how it ended says more than a broken pipe.
        drop(child.stdin.take().expect("piped").write_all(input.as_bytes()).await);
        let printed = Vec::new();
        Running { child, words: words.join(" "), within: self.within, in_pod: self.pod.is_some(), printed }
    }
}

/// A program that sees a folder at the path where each client library looks in a pod. It has a mount namespace of its own for that, in a
/// user namespace, so nobody needs to be root; where that is not to be had, `unshare` fails and says so.
fn in_pod(folder: &Path, program: &Path) -> Command {
    const SCRIPT: &str = r#"set -e
mount -t tmpfs none "$(realpath /var/run)"
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
mount --bind "$0" /var/run/secrets/kubernetes.io/serviceaccount
exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]).arg(folder).arg(program);
    command
}

/// A kubectl that has not ended yet.
#[derive(Debug)]
pub struct Running {
    child: Child,
    words: String,
    within: Duration,
    in_pod: bool,
    /// What it printed until now, as far as that was waited for.
    printed: Vec<u8>,
}

impl Running {
    /// Waits for its end; panics past the time limit, or where a runner's is told a secret.
    pub async fn end(self) -> Output {
        let Self { child, words, within, in_pod, printed } = self;
        let mut output = tokio::time::timeout(within, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {words} did not end within {within:?}"))
            .expect("kubectl can be waited for");
        output.stdout.splice(..0, printed);
        let told = [&output.stdout, &output.stderr].into_iter().find_map(|printed| canary::found(printed));
        assert!(!in_pod || told.is_none(), "kubectl {words} was told a secret: {told:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("kubectl prints UTF-8");
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Reads what it prints until that is enough, and interrupts it; panics past the time limit. For what has no end of its own.
    pub async fn until(mut self, enough: impl Fn(&str) -> bool) -> String {
        let printed = self.printed(enough).await;
        self.interrupt().await;
        printed
    }

    /// The same, and it goes on.
    pub async fn printed(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let Self { child, words, within, in_pod, printed } = self;
        let stdout = child.stdout.as_mut().expect("it is piped");
        let read = async {
            while !std::str::from_utf8(printed).is_ok_and(&enough) {
                let count = stdout.read_buf(printed).await.expect("a pipe can be read");
                assert!(count > 0, "kubectl {words} ended: {}", String::from_utf8_lossy(printed));
            }
        };
        let in_time = tokio::time::timeout(*within, read).await.is_ok();
        assert!(!*in_pod || canary::found(printed).is_none(), "kubectl {words} was told a secret");
        let printed = String::from_utf8_lossy(printed).into_owned();
        assert!(in_time, "kubectl {words} printed no more than {printed}");
        printed
    }

    /// Whether it is still waiting for its answer.
    pub fn is_waiting(&mut self) -> bool {
        self.child.try_wait().expect("kubectl can be waited for").is_none()
    }

    /// Interrupts it as a person would who loses patience: SIGINT, then gone.
    pub async fn interrupt(mut self) {
        let pid = self.child.id().expect("it has not ended").to_string();
        let status = Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs");
        assert!(status.success(), "kubectl {} is gone already", self.words);
        drop(self.child.wait().await);
    }
}
