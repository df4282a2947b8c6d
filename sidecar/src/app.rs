//! The process: everything is bound first, then it runs, then it goes in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::chain::Chain;
use shared::limits;
use shared::secret::Secret;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::crypto;
use shared_net::drain::{self, Drain, DrainTrigger};
use shared_net::pki::{CA_LIFE, Ca, Identity};
use shared_net::tasks::TaskSet;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Network};
use crate::forward::Forwarder;
use crate::guard::Guard;
use crate::hosts::{CLUSTER_NAMES, Hosts};
use crate::link::{self, Link};
use crate::listener::{self, Gate};
use crate::prober;
use crate::serve_dir::{self, Served};
use crate::session::TokenFiles;

/// A sidecar whose sockets are bound and whose files are written, and which is on its way to a session.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptorDebug,
    gate: Arc<Gate>,
    link: Link,
    network: Option<Network>,
    trigger: DrainTrigger,
    drain: Drain,
    tasks: TaskSet,
    waits: Option<FirstSession>,
}

/// Clients wait for the first session: what is then written.
#[derive(Debug)]
struct FirstSession {
    folder: PathBuf,
    token: Secret<String>,
    in_pod: bool,
}

impl FirstSession {
    /// Writes the token when there is a session. A control plane that refuses one may think otherwise later, as when it learns of a cluster.
    async fn write(self, link: Link) {
        while link.ready(limits::SESSION_WAIT).await.is_err() {
            tokio::time::sleep(limits::RENEW_PAUSE).await;
        }
        if let Err(error) = serve_dir::write_token(&self.folder, self.token.expose(), self.in_pod) {
            tracing::error!(error = %Chain(&error), "clients can't be given their token");
        }
    }
}

struct TlsAcceptorDebug(TlsAcceptor);

impl std::fmt::Debug for TlsAcceptorDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

/// Binds the listener, begins to dial the control plane, draws the keys of this life, and writes the files for clients.
///
/// # Errors
/// An address that is taken, a folder that can't be written.
pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Bound> {
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("can't listen on {}", config.listen))?;
    let address = listener.local_addr().context("listener has no address")?;

    let now = clock.now();
    let me = Identity::self_signed(now, CA_LIFE)?;
    let tokens = TokenFiles { pod: config.pod_token.clone(), ci: config.ci_token.clone() };
    let (link, keeper) = link::new(config.control_plane.clone(), &me, config.pin, tokens.clone(), clock.clone())?;
    let (trigger, drain) = drain::channel();
    let tasks = TaskSet::new();
    // A session takes longest of all that a start needs. The way to it begins first, and what clients need is made meanwhile.
    tasks.spawn_core("link", keeper.run());
    let (network, rejoin_wait) = (config.network.clone(), config.rejoin_wait);
    let Local { token, tls, waits } =
        tokio::task::spawn_blocking(move || Local::make(&config, address, &tokens, now)).await??;
    let gate = Arc::new(Gate {
        guard: Guard::new(Hosts::new(address), token),
        forwarder: Forwarder::new(link.clone(), clock.clone(), rejoin_wait),
        clock,
        tasks: tasks.clone(),
        drain: drain.clone(),
    });
    Ok(Bound { listener, address, tls, gate, link, network, trigger, drain, tasks, waits })
}

/// What local clients need.
struct Local {
    token: Secret<String>,
    tls: TlsAcceptorDebug,
    waits: Option<FirstSession>,
}

impl Local {
    /// One authority, one token and one key per life of this process; none of them is ever stored by it.
    fn make(config: &Config, address: SocketAddr, tokens: &TokenFiles, now: Timestamp) -> anyhow::Result<Self> {
        let ca = Ca::generate("sallyport sidecar", now)?;
        let names: Vec<&str> = CLUSTER_NAMES.into_iter().chain(["localhost"]).collect();
        let identity = ca.issue_server(&names, &[address.ip()], now, CA_LIFE)?;
        let token = Secret::new(URL_SAFE_NO_PAD.encode(crypto::random::<32>()));
        let named = tokens.read().ok().and_then(|tokens| tokens.namespace());
        let namespace = named.or_else(|| config.namespace.clone()).unwrap_or_else(|| "default".to_owned());
        let served = Served {
            token: token.expose(),
            ca_pem: ca.pem(),
            namespace: &namespace,
            address,
            in_pod: config.pod_token.is_some(),
        };
        serve_dir::write_folder(&config.serve_dir, &served)?;
        let waits = if config.start_without {
            serve_dir::write_token(&config.serve_dir, token.expose(), served.in_pod)?;
            None
        } else {
            let token = Secret::new(token.expose().clone());
            Some(FirstSession { folder: config.serve_dir.clone(), token, in_pod: served.in_pod })
        };
        if let Some(path) = &config.kubeconfig {
            serve_dir::write_kubeconfig(path, &served)?;
        }
        Ok(Self { token, tls: TlsAcceptorDebug(acceptor(&identity)?), waits })
    }
}

fn acceptor(identity: &Identity) -> anyhow::Result<TlsAcceptor> {
    // TLS 1.2 stays possible: some clients of other languages still start there, and the wire is the loopback.
    let mut config = rustls::ServerConfig::builder_with_provider(crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key())?;
    config.alpn_protocols = listener::ALPN.map(<[u8]>::to_vec).to_vec();
    config.max_early_data_size = 0;
    // Clients are short-lived and the handshake is local: nothing to gain from remembering them.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Bound {
    /// Where local clients are served.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves; then takes nothing new, lets operations finish up to [`limits::DRAIN`], and says goodbye.
    ///
    /// # Errors
    /// A task without which nothing works has panicked.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        tracing::info!(address = %self.address, "serving");
        if let Some(first) = self.waits {
            self.tasks.spawn_core("first session", first.write(self.link.clone()));
        }
        self.tasks.spawn_core("listener", listener::run(self.listener, self.tls.0, Arc::clone(&self.gate)));
        if let Some(network) = self.network {
            self.tasks.spawn("prober", prober::run(network, self.link.clone()));
        }
        // The guards count what runs; these handles don't.
        drop((self.gate, self.drain));
        let result = tokio::select! {
            () = stop => Ok(()),
            task = self.tasks.fatal() => Err(anyhow::anyhow!("task {task} panicked")),
        };
        tracing::info!("draining");
        if !self.trigger.drain(limits::DRAIN).await {
            tracing::warn!("operations were cut off at the end of the drain");
        }
        self.link.close().await;
        self.tasks.cancel();
        result
    }
}
