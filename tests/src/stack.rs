//! Control plane, agent and sidecar as the processes that people run, in front of the real API server.
//!
//! Each test has its own three, in a folder of its own; they end with the value. A story asserts what the person sees,
//! what the record holds, and what the API server's audit log says happened.

mod configs;
mod process;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster::{Cluster, Namespace, program, root};
use crate::kubectl::{Kubectl, Output, Version};
use crate::logs::LogFile;
use process::Process;

/// The three processes, the runner's namespace and the tokens.
#[derive(Debug)]
pub struct Stack {
    // The order is that of their ends: who asks first, then who answers.
    sidecar: Option<Process>,
    agent: Option<Process>,
    control_plane: Option<Process>,
    addresses: Addresses,
    pin: String,
    namespace: Namespace,
    folder: TempDir,
}

/// Where each listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    quic: SocketAddr,
    web: SocketAddr,
    admin: SocketAddr,
    agent_admin: SocketAddr,
    sidecar: SocketAddr,
}

impl Stack {
    /// Starts all three with the built-in policy, and waits until a call gets through.
    pub fn start(prefix: &str) -> Self {
        Self::with_policy(prefix, None)
    }

    /// Starts all three with a policy of the test's own.
    pub fn with_policy(prefix: &str, policy: Option<&str>) -> Self {
        let cluster = Cluster::get();
        install(cluster);
        let namespace = cluster.namespace(prefix);
        namespace.pod("runner");
        let folder = TempDir::new().expect("there is room for a folder");
        let mut stack = Self {
            sidecar: None,
            agent: None,
            control_plane: None,
            addresses: Addresses::choose(),
            pin: String::new(),
            namespace,
            folder,
        };
        configs::write(&stack, cluster, policy);
        stack.start_control_plane();
        stack.pin = stack.read_pin();
        stack.start_agent();
        stack.start_sidecar();
        stack
    }

    /// The runner's namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// An unchanged kubectl, set up as a runner's.
    pub fn kubectl(&self, version: Version) -> Kubectl {
        Kubectl::new(version).kubeconfig(&self.path("runner/kubeconfig"))
    }

    /// The folder that a runner's pod has as its ServiceAccount's, as the sidecar writes it.
    pub fn service_account(&self) -> PathBuf {
        self.path("runner/serve")
    }

    /// Where the sidecar listens.
    pub fn sidecar(&self) -> SocketAddr {
        self.addresses.sidecar
    }

    /// Our command line, as an approver on this machine uses it.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let output = Command::new("timeout")
            .args(["--kill-after=5", "60"])
            .arg(program("sallyport"))
            .args(arguments)
            .env_clear()
            .env("SALLYPORT_SOCKET", self.path("socket"))
            .output()
            .expect("sallyport starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("sallyport prints UTF-8");
        Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts the control plane and waits until it answers.
    pub fn start_control_plane(&mut self) {
        self.serve(&[]);
    }

    /// Starts the control plane on a database that its operator says to be a backup.
    pub fn restore_control_plane(&mut self) {
        self.serve(&["--restored"]);
    }

    fn serve(&mut self, options: &[&str]) {
        let config = self.path("control-plane/config.yaml");
        let arguments: Vec<_> = ["serve".as_ref(), "--config".as_ref(), config.as_os_str()]
            .into_iter()
            .chain(options.iter().map(OsStr::new))
            .collect();
        let process = Process::start(&self.log_path("control-plane"), |command| command, "sallyport", &arguments);
        let admin = self.addresses.admin;
        self.control_plane.insert(process).await_ready("the control plane", || get(admin, "/livez"));
    }

    /// Starts the agent and waits until it is connected.
    pub fn start_agent(&mut self) {
        configs::write_agent(self, Cluster::get());
        let config = self.path("agent/config.yaml");
        let process =
            Process::start(&self.log_path("agent"), |command| command, "sallyport-agent", &[config.as_os_str()]);
        let admin = self.addresses.agent_admin;
        self.agent.insert(process).await_ready("the agent", || get(admin, "/readyz"));
    }

    /// Starts the sidecar and waits until its session carries a call.
    pub fn start_sidecar(&mut self) {
        let environment = configs::sidecar(self);
        let set = |command: &mut Command| {
            command.envs(environment.iter().map(|(key, value)| (key, value)));
        };
        let process = Process::start(
            &self.log_path("sidecar"),
            |mut command| {
                set(&mut command);
                command
            },
            "sallyport-sidecar",
            &[],
        );
        let ready = || {
            let mut command = Command::new(program("sallyport-sidecar"));
            command.env_clear().arg("ready");
            set(&mut command);
            command.output().is_ok_and(|output| output.status.success())
        };
        self.sidecar.insert(process).await_ready("the sidecar", ready);
        let kubeconfig = self.path("runner/kubeconfig");
        let first_call = || {
            let mut command = Command::new(&Cluster::get().facts().kubectl);
            command.env_clear().env("HOME", self.folder.path()).arg("--kubeconfig").arg(&kubeconfig);
            command.args(["--request-timeout=2s", "get", "--raw=/version"]);
            command.output().is_ok_and(|output| output.status.success())
        };
        self.sidecar.as_mut().expect("just started").await_ready("the session", first_call);
    }

    /// Another sidecar in the same pod, as after the container's restart: with a key of its own.
    pub fn restart_sidecar(&mut self) {
        self.sidecar.take().expect("it runs").kill();
        self.start_sidecar();
    }

    /// Copies the control plane's data folder. It must not run.
    pub fn back_up(&self) {
        assert!(self.control_plane.is_none(), "a copy of a living database is none");
        copy(&self.data(), &self.path("backup"));
    }

    /// Puts the copy back in the place of the data folder.
    pub fn put_back(&self) {
        assert!(self.control_plane.is_none(), "the control plane has the database open");
        std::fs::remove_dir_all(self.data()).expect("our own folder");
        copy(&self.path("backup"), &self.data());
    }

    /// Ends the control plane as an update would.
    pub fn stop_control_plane(&mut self) {
        self.control_plane.take().expect("it runs").stop();
    }

    /// Ends the control plane as a power cut would.
    pub fn kill_control_plane(&mut self) {
        self.control_plane.take().expect("it runs").kill();
    }

    /// Ends the agent as a power cut would.
    pub fn kill_agent(&mut self) {
        self.agent.take().expect("it runs").kill();
    }

    /// What a process logs.
    pub fn log(&self, process: &str) -> LogFile {
        LogFile::new(&self.log_path(process))
    }

    /// Whether the control plane says that it is ready.
    pub fn is_ready(&self) -> bool {
        get(self.addresses.admin, "/readyz")
    }

    /// Every TCP port that is open, with the process it belongs to.
    pub fn ports(&self) -> [(&'static str, SocketAddr); 4] {
        let at = self.addresses;
        [("sidecar", at.sidecar), ("web API", at.web), ("control plane", at.admin), ("agent", at.agent_admin)]
    }

    /// The control plane's QUIC port.
    pub fn quic(&self) -> SocketAddr {
        self.addresses.quic
    }

    /// Starts a second control plane on the same data folder, with ports of its own, and gives what it says at its end.
    pub fn second_control_plane(&self) -> String {
        let config = std::fs::read_to_string(self.path("control-plane/config.yaml")).expect("it was written");
        let mut config = config.replace("../socket", "../second");
        let at = self.addresses;
        for address in [at.quic, at.web, at.admin] {
            config = config.replace(&address.to_string(), "127.0.0.1:0");
        }
        let path = self.path("control-plane/second.yaml");
        write_file(&path, &config);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "30"]).arg(program("sallyport")).args(["serve", "--config"]).arg(path);
        let output = command.env_clear().output().expect("sallyport starts");
        assert_eq!(output.status.code(), Some(1), "it does not serve");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Folder of the control plane's database.
    pub fn data(&self) -> PathBuf {
        self.path("control-plane/data")
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn log_path(&self, process: &str) -> PathBuf {
        self.path(&format!("{process}.log"))
    }

    fn read_pin(&self) -> String {
        let output = Command::new(program("sallyport")).arg("pin").arg(self.data()).output().expect("sallyport starts");
        assert!(output.status.success(), "sallyport pin: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a pin is text").trim().to_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in ["control-plane", "agent", "sidecar"] {
            let text = std::fs::read_to_string(self.log_path(process)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let end = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
            // Through the standard handle, which the test harness shows for a failed test.
            drop(writeln!(std::io::stderr(), "--- the end of {process}.log\n{end}"));
        }
    }
}

impl Addresses {
    /// Free ports, told by the kernel. Another process could take one before ours does; then the start fails loudly.
    fn choose() -> Self {
        let tcp = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
            listener.local_addr().expect("it has an address")
        };
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        Self {
            quic: udp.local_addr().expect("it has an address"),
            web: tcp(),
            admin: tcp(),
            agent_admin: tcp(),
            sidecar: tcp(),
        }
    }
}

/// Applies the agent's manifests, once a run.
pub fn install(cluster: &Cluster) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let manifest = |name: &str| root().join("manifests/agent").join(name).display().to_string();
        cluster.admin(&["apply", "-f", &manifest("namespace.yaml"), "-f", &manifest("rbac.yaml")]);
    });
}

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp starts");
    assert!(copied.success(), "cp -a {} {}", from.display(), to.display());
}

/// Whether a GET is answered with 200.
fn get(address: SocketAddr, path: &str) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text.starts_with("HTTP/1.1 200 "))
}

/// Writes a file and the folders above it.
fn write_file(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
