//! Control plane, agent and sidecar as the processes that people run, in front of the real API server.
//!
//! Each test has its own three, in a folder of its own; they end with the value. A story asserts what the person sees,
//! what the record holds, and what the API server's audit log says happened.

mod addresses;
mod configs;
mod enrol;
mod files;
mod left;
pub(crate) mod process;
mod setup;
mod shared;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::cluster::{Cluster, Namespace, program, root};
use crate::detour::Detour;
use crate::kubectl::{Kubectl, Output, Version};
use crate::logs::LogFile;
use crate::lossy::Lossy;
use addresses::Addresses;
pub use files::{answer, get};
use files::{copy, write_file};
use process::Process;
pub use setup::{ApiServer, Setup};
pub use shared::Shared;

/// The three processes, the runner's namespace and the tokens.
#[derive(Debug)]
pub struct Stack {
    // The order is that of their ends: who asks first, then who answers.
    sidecar: Option<Process>,
    agent: Option<Process>,
    second_agent: Option<Process>,
    control_plane: Option<Process>,
    addresses: Addresses,
    pin: String,
    namespace: Namespace,
    api_server: ApiServer,
    lossy: Option<Lossy>,
    detour: Option<Detour>,
    revealed: Option<String>,
    folder: TempDir,
}

impl Stack {
    /// Starts all three with the built-in policy, and waits until a call gets through.
    pub fn start(prefix: &str) -> Self {
        Self::with_policy(prefix, None)
    }

    /// Starts all three with a policy of the test's own.
    pub fn with_policy(prefix: &str, policy: Option<&str>) -> Self {
        Self::with(prefix, &Setup { policy, ..Setup::default() })
    }

    /// Starts all three. Where the setup wants the sidecar's session refused, nobody waits for it.
    pub fn with(prefix: &str, setup: &Setup<'_>) -> Self {
        let cluster = Cluster::get();
        install(cluster);
        let namespace = cluster.namespace(prefix);
        let facts = cluster.facts();
        let own = || ApiServer { url: facts.server.clone(), ca: facts.ca.clone() };
        let api_server = setup.api_server.clone().unwrap_or_else(own);
        namespace.pod("runner");
        let folder = TempDir::new().expect("there is room for a folder");
        let addresses = Addresses::choose();
        let lossy = setup.lossy.then(|| Lossy::before(addresses.quic));
        let detour = setup.without_udp.then(|| Detour::before(addresses.quic));
        let mut stack = Self {
            sidecar: None,
            agent: None,
            second_agent: None,
            control_plane: None,
            addresses,
            pin: String::new(),
            namespace,
            api_server,
            lossy,
            detour,
            revealed: setup.revealed.map(str::to_owned),
            folder,
        };
        if let Some(token) = &setup.ci_token {
            stack.write_ci_token(token);
        }
        configs::write(&stack, cluster, setup);
        stack.start_control_plane();
        stack.pin = stack.read_pin();
        if setup.enrolled {
            stack.mount_enrolment(&stack.enrolment_token(&["test"]));
        }
        stack.start_agent();
        stack.launch_sidecar();
        if !setup.refused {
            stack.await_session();
        }
        stack
    }

    /// Puts a token into the file from which the sidecar takes the CI provider's.
    pub fn write_ci_token(&self, token: &str) {
        write_file(&self.path("runner/ci-token"), token);
    }

    /// Puts another text into the policy file.
    pub fn write_policy(&self, text: &str) {
        write_file(&self.path("control-plane/policy.yaml"), text);
    }

    /// The pin of the control plane's key.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Where the web API listens (HTTPS).
    pub fn web(&self) -> SocketAddr {
        self.addresses.web
    }

    /// Where /livez, /readyz and /metrics are.
    pub fn admin_port(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// The web API's local socket.
    pub fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// The certificate of the CA under which the web API's is.
    pub fn web_ca(&self) -> PathBuf {
        self.data().join("ca.crt")
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
        self.sallyport(arguments, &[("SALLYPORT_SOCKET", self.socket().into())])
    }

    /// Our command line over HTTPS, as somebody with an OIDC token uses it.
    pub fn cli_as(&self, token: &str, arguments: &[&str]) -> Output {
        let file = self.path("person/token");
        write_file(&file, token);
        let server = format!("https://{}", self.addresses.web);
        let places = [("SALLYPORT_SERVER", server.into()), ("SALLYPORT_CA", self.web_ca().into())];
        let [server, ca] = places;
        self.sallyport(arguments, &[server, ca, ("SALLYPORT_TOKEN_FILE", file.into())])
    }

    fn sallyport(&self, arguments: &[&str], environment: &[(&str, OsString)]) -> Output {
        let output = Command::new("timeout")
            .args(["--kill-after=5", "60"])
            .arg(program("sallyport"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
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
        let config = self.control_plane_config();
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
        self.agent = Some(self.launch_agent("agent", self.addresses.agent_admin));
    }

    /// Starts another agent beside it, as an installation has two.
    pub fn start_second_agent(&mut self) {
        self.second_agent = Some(self.launch_agent("second-agent", self.addresses.second_agent_admin));
    }

    fn launch_agent(&self, name: &str, admin: SocketAddr) -> Process {
        configs::write_agent(self, Cluster::get(), name, admin);
        let config = self.agent_config(name);
        let mut process =
            Process::start(&self.log_path(name), |command| command, "sallyport-agent", &[config.as_os_str()]);
        process.await_ready(name, || get(admin, "/readyz"));
        process
    }

    /// The configuration of an agent, once it was started.
    pub fn agent_config(&self, name: &str) -> PathBuf {
        self.path(&format!("agent/{name}.yaml"))
    }

    /// Asks the first agent to end, as an update would, and gives what tells whether it has.
    pub fn end_agent(&mut self) -> impl FnMut() -> bool + use<> {
        let mut process = self.agent.take().expect("it runs");
        process.ask_to_end();
        move || process.has_ended()
    }

    /// Starts the sidecar and waits until its session carries a call.
    pub fn start_sidecar(&mut self) {
        self.launch_sidecar();
        self.await_session();
    }

    /// Starts the sidecar, in place of the one before, and waits until it listens.
    pub fn launch_sidecar(&mut self) {
        drop(self.sidecar.take());
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
    }

    /// Waits until the sidecar's session carries a call.
    pub fn await_session(&mut self) {
        let kubeconfig = self.path("runner/kubeconfig");
        let first_call = || {
            let mut command = Command::new(&Cluster::get().facts().kubectl);
            command.env_clear().env("HOME", self.folder.path()).arg("--kubeconfig").arg(&kubeconfig);
            command.args(["--request-timeout=2s", "get", "--raw=/version"]);
            command.output().is_ok_and(|output| output.status.success())
        };
        self.sidecar.as_mut().expect("it runs").await_ready("the session", first_call);
    }

    /// Another sidecar in the same pod, as after the container's restart: with a key of its own.
    pub fn restart_sidecar(&mut self) {
        self.kill_sidecar();
        self.start_sidecar();
    }

    /// Ends the sidecar as a kill of its container would: it says no goodbye.
    pub fn kill_sidecar(&mut self) {
        self.sidecar.take().expect("it runs").kill();
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

    /// Whether grants, and all else that is large, are lost on their way to the agent from now on.
    pub fn lose_grants(&self, lost: bool) {
        self.lossy.as_ref().expect("the setup says that the way can lose some").lose(lost);
    }

    /// Where the agent finds the control plane.
    fn agent_dials(&self) -> SocketAddr {
        self.lossy.as_ref().map_or_else(|| self.sidecar_dials(), Lossy::address)
    }

    /// Where the sidecar finds the control plane.
    fn sidecar_dials(&self) -> SocketAddr {
        self.detour.as_ref().map_or(self.addresses.quic, Detour::address)
    }

    /// UDP works from now on: who dials finds the control plane itself. What runs keeps the address it has.
    pub fn open_udp(&mut self) {
        self.detour = None;
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
        let config = std::fs::read_to_string(self.control_plane_config()).expect("it was written");
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

    /// The control plane's configuration.
    pub fn control_plane_config(&self) -> PathBuf {
        self.path("control-plane/config.yaml")
    }

    /// Folder of the control plane's database.
    pub fn data(&self) -> PathBuf {
        self.path("control-plane/data")
    }

    /// Process ids of sidecar, control plane and agent.
    pub fn pids(&self) -> [u32; 3] {
        [&self.sidecar, &self.control_plane, &self.agent].map(|process| process.as_ref().expect("it runs").id())
    }

    /// The folder with the sidecar's certificate and token.
    pub fn sidecar_files(&self) -> PathBuf {
        self.path("runner/serve")
    }

    /// A sidecar more, not started, in a pod of its own that is made for it; its program may be another build. It listens where `listen`
    /// says and writes its files to `folder`.
    pub fn another_sidecar(&self, pod: &str, program: &Path, listen: SocketAddr, folder: &Path) -> Command {
        self.namespace.pod(pod);
        self.sidecar_of(pod, program, listen, folder)
    }

    /// The same for a pod that is there.
    pub fn sidecar_of(&self, pod: &str, program: &Path, listen: SocketAddr, folder: &Path) -> Command {
        let token = self.path(&format!("runner/{pod}-token"));
        write_file(&token, &configs::runner_token(self, pod));
        let mut command = Command::new(program);
        command.env_clear().envs(configs::sidecar(self));
        command.env("SALLYPORT_LISTEN", listen.to_string()).env("SALLYPORT_SERVE_DIR", folder);
        command.env("SALLYPORT_POD_TOKEN_FILE", token).env_remove("SALLYPORT_KUBECONFIG");
        command
    }

    /// The runner's pod gets a fresh token, as the kubelet fetches one when the old has little time left.
    pub fn renew_runner_token(&self) {
        write_file(&self.path("runner/token"), &configs::runner_token(self, "runner"));
    }

    /// The tokens that the runner's sidecar shows.
    pub fn runner_tokens(&self) -> Vec<String> {
        let files = ["runner/token", "runner/ci-token"].into_iter().map(|name| self.path(name));
        files.filter_map(|file| std::fs::read_to_string(file).ok()).map(|token| token.trim().to_owned()).collect()
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

/// Applies the agent's manifests, once a run.
pub fn install(cluster: &Cluster) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let manifest = |name: &str| root().join("manifests/agent").join(name).display().to_string();
        cluster.admin(&["apply", "-f", &manifest("namespace.yaml"), "-f", &manifest("rbac.yaml")]);
    });
}
