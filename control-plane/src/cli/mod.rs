//! The command line: `serve` is the control plane itself, `inject` the injector; everything else speaks to the web API.

mod approvals;
mod audit;
mod ca;
mod client;
mod clusters;
mod doctor;
mod inject;
mod install;
mod policy;
mod serve;
mod sessions;
mod status;
mod text;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use shared::config::{EXIT_CONFIG, Problems};

use crate::store::Start;

/// What the control plane's authority is called in its certificates.
const CA_NAME: &str = "sallyport";

/// Just-in-time access to Kubernetes for AI agents and CI jobs.
#[derive(Parser)]
#[command(name = "sallyport", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane.
    Serve {
        /// Its configuration, a YAML file.
        #[arg(long)]
        config: PathBuf,
        /// The database is a backup: void what was open in it, and forgive clusters that have seen newer ones. For one start.
        #[arg(long)]
        restored: bool,
    },
    /// Run the injector: the admission webhook that puts the sidecar into Pods.
    Inject {
        /// Its configuration, a YAML file.
        #[arg(long)]
        config: PathBuf,
        /// Only say what is wrong with it.
        #[arg(long)]
        check: bool,
    },
    /// Check a configuration file, with the keys and the policy that it names, and say everything that is wrong.
    CheckConfig {
        /// The file.
        config: PathBuf,
    },
    /// Print the pin of a data folder's CA key, which sidecars and agents are configured with.
    Pin {
        /// The control plane's data folder.
        data: PathBuf,
    },
    /// Change the authority whose key sidecars and agents pin, without a gap.
    Ca {
        #[command(subcommand)]
        command: ca::Command,
    },
    /// Operations that wait for people.
    Approvals {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: approvals::Command,
    },
    /// What runners did.
    Sessions {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: sessions::Command,
    },
    /// Clusters that are known here: enrol one with a one-time token, list them, forget one.
    Clusters {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: clusters::Command,
    },
    /// Our record beside the API server's audit log.
    Audit {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Print the manifests for a cluster: `sallyport install | kubectl apply -f -`. What is installed there keeps its keys.
    Install(#[command(flatten)] Box<install::Wanted>),
    /// The same, and say what it changes in what is installed.
    Upgrade(#[command(flatten)] Box<install::Wanted>),
    /// Print what to delete: `sallyport uninstall | kubectl delete --ignore-not-found -f -`. Records stay.
    Uninstall {
        #[command(flatten)]
        access: install::Access,
        /// The records too, with their keys and the namespace.
        #[arg(long)]
        purge: bool,
    },
    /// Whether everything is as it is meant to be: cluster, installation, injection, network, control plane.
    Doctor(#[command(flatten)] Box<doctor::Wanted>),
    /// Print how the control plane is, and what is connected to it, as JSON.
    Status {
        #[command(flatten)]
        server: Server,
    },
    /// Check a policy file, or ask what it would say.
    Policy {
        #[command(subcommand)]
        command: policy::Command,
    },
}

/// Where the control plane is.
#[derive(Args, Clone)]
pub(crate) struct Server {
    /// Its local Unix socket.
    #[arg(long, env = "SALLYPORT_SOCKET", global = true)]
    socket: Option<PathBuf>,
    /// Its web API, for example `https://sallyport.example:8443`.
    #[arg(long, env = "SALLYPORT_SERVER", global = true)]
    server: Option<String>,
    /// CA certificate of the web API.
    #[arg(long, env = "SALLYPORT_CA", global = true)]
    ca: Option<PathBuf>,
    /// File with your OIDC token.
    #[arg(long, env = "SALLYPORT_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Server {
    /// Whether it was said where the control plane is.
    const fn is_named(&self) -> bool {
        self.socket.is_some() || self.server.is_some()
    }
}

/// Parses the arguments and does what they say.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve { config, restored } => {
            return serve::serve(&config, if restored { Start::Restored } else { Start::Ordinary });
        }
        Command::Inject { config, check } => inject::run(&config, check),
        Command::CheckConfig { config } => serve::check(&config),
        Command::Pin { data } => serve::pin(&data),
        Command::Ca { command } => ca::run(command),
        Command::Approvals { server, command } => wait(approvals::run(server, command)),
        Command::Sessions { server, command } => wait(sessions::run(server, command)),
        Command::Clusters { server, command } => wait(clusters::run(server, command)),
        Command::Audit { server, command } => wait(audit::run(server, command)),
        Command::Install(wanted) => install::install(*wanted),
        Command::Upgrade(wanted) => install::upgrade(*wanted),
        Command::Uninstall { access, purge } => install::uninstall(access, purge),
        Command::Doctor(wanted) => return wait(doctor::run(*wanted)).unwrap_or_else(|error| fail(&error)),
        Command::Status { server } => wait(status::run(server)),
        Command::Policy { command } => policy::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn wait<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Says what is wrong, once, and gives the exit code.
fn fail(error: &anyhow::Error) -> ExitCode {
    let code = if error.is::<Problems>() { EXIT_CONFIG } else { 1 };
    drop(writeln!(std::io::stderr(), "error: {error:#}"));
    ExitCode::from(code)
}

/// Prints to standard output; a reader that left (`| head`) is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()));
}
