//! Puts the process together: `build` binds every socket and reads every key, `run` serves until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use control_plane_core::four_eyes::Mode;
use shared::{limits, wire};
use shared_net::admin::Admin;
use shared_net::clock::Clock;
use shared_net::drain::{self, Drain, DrainTrigger};
use shared_net::endpoint::Endpoint;
use shared_net::metrics::Metrics;
use shared_net::pki::KeyPin;
use shared_net::quic;
use shared_net::ready::Readiness;
use shared_net::tasks::TaskSet;
use shared_net::tls::ServerKeys;

use crate::agents::Agents;
use crate::alarms::Alarms;
use crate::approvals::Approvals;
use crate::authn::Authn;
use crate::authority::Authority;
use crate::config::Config;
use crate::enrolments::{self, Enrolments};
use crate::events::Events;
use crate::gateway::Gateway;
use crate::grants::Grants;
use crate::guards::{self, Guards};
use crate::intruders::Intruders;
use crate::issuer_keys::IssuerKeys;
use crate::metrics::GatewayMetrics;
use crate::peers::Peers;
use crate::policies::Policies;
use crate::records::{Recorder, RequestMask, Runs};
use crate::sessions::{BodyRoom, Sessions};
use crate::store::{Start, Store};
use crate::web::{self, Web};

/// Time for what runs to end after the first signal.
const DRAIN: Duration = Duration::from_secs(25);
/// Between two looks at what is due.
const SWEEP: Duration = Duration::from_secs(1);
/// Between two looks for operations that nobody follows.
const SETTLE: Duration = Duration::from_secs(2);

/// A control plane whose sockets are bound.
pub struct App {
    endpoint: Endpoint,
    peers: Arc<Peers>,
    web: Web,
    admin: Admin,
    authority: Authority,
    keys: Arc<ServerKeys>,
    sessions: Arc<Sessions>,
    approvals: Arc<Approvals>,
    policies: Arc<Policies>,
    agents: Arc<Agents>,
    guards: Arc<Guards>,
    issuer_keys: IssuerKeys,
    store: Store,
    writer: std::thread::JoinHandle<()>,
    clock: Clock,
    readiness: Readiness,
    authn: Arc<Authn>,
    tasks: TaskSet,
    trigger: DrainTrigger,
    drain: Drain,
}

/// Where a control plane listens, and the key that its peers pin.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// For sidecars and agents.
    pub quic: SocketAddr,
    /// The web API.
    pub web: SocketAddr,
    /// /livez, /readyz, /metrics.
    pub admin: SocketAddr,
    /// Pin of the CA's key.
    pub pin: KeyPin,
}

/// Binds, opens, reads.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
#[expect(clippy::too_many_lines, reason = "one line per part, in the order in which they need each other")]
pub async fn build(config: Config, how: Start, clock: Clock) -> anyhow::Result<App> {
    use anyhow::Context as _;
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let (trigger, drain) = drain::channel();
    let tasks = TaskSet::new();
    let authority = Authority::load(&config, clock.now())?;
    let keys = authority.keys(clock.now())?;
    let server = quic::server_config_of(Arc::clone(&keys)).context("the TLS configuration is refused")?;
    let endpoint = Endpoint::lasting_server(config.quic, server, &authority.reset_key())
        .with_context(|| format!("UDP and TCP {} can't be bound", config.quic))?;
    let (store, writer) = Store::open(&config.data, how, clock.now()).context("the store can't be opened")?;
    let policies = Arc::new(Policies::load(config.policy.clone()));
    let grants = Grants::load_or_create(&config.data, store.life(), Arc::clone(&policies));
    let grants = Arc::new(grants.context("the grant key can't be read or made")?);
    let authn = Arc::new(Authn::new(&config)?);
    enrolments::restore(&authn, &store).await?;
    let gateway_metrics = Arc::new(GatewayMetrics::new(&metrics));
    let mode = mode(&config);
    let (events, protection) = (Events::new(), Readiness::new());
    let alarms = Alarms::new(&metrics, protection.clone(), events.clone(), store.clone(), clock.clone());
    let alarms = Arc::new(alarms);
    let approvals = Approvals::new(store.clone(), clock.clone(), mode, Arc::clone(&gateway_metrics), events.clone());
    let approvals = Arc::new(approvals);
    let recorder = Recorder {
        store: store.clone(),
        clock: clock.clone(),
        tasks: tasks.child(),
        metrics: Arc::clone(&gateway_metrics),
        mask: RequestMask::new(Arc::clone(&policies)),
        runs: Runs::default(),
    };
    let agents = Arc::new(Agents::new(Arc::clone(&grants), recorder.clone()));
    let sessions = Arc::new(Sessions::new(Arc::clone(&authn), Arc::clone(&agents), store.clone(), clock.clone()));
    let intruders = Arc::new(Intruders::new(store.clone(), clock.clone(), gateway_metrics));
    let gateway = Arc::new(Gateway {
        agents: Arc::clone(&agents),
        grants,
        policies: Arc::clone(&policies),
        approvals: Arc::clone(&approvals),
        alarms: Arc::clone(&alarms),
        intruders,
        recorder,
        drain: drain.clone(),
        bodies: BodyRoom::new(limits::BODY_BYTES_AT_ONCE),
    });
    let issuer_keys = IssuerKeys {
        authn: Arc::clone(&authn),
        agents: Arc::clone(&agents),
        store: store.clone(),
        clock: clock.clone(),
    };
    let enrolments = Arc::new(Enrolments::new(enrolments::Parts {
        authn: Arc::clone(&authn),
        agents: Arc::clone(&agents),
        sessions: Arc::clone(&sessions),
        approvals: Arc::clone(&approvals),
        store: store.clone(),
        clock: clock.clone(),
        pin: authority.pin(),
    }));
    let peers = Peers::new(
        gateway,
        Arc::clone(&sessions),
        Arc::clone(&authn),
        Arc::clone(&alarms),
        Arc::clone(&enrolments),
        tasks.child(),
        drain.clone(),
    );
    let guards = Arc::new(Guards::new(Arc::clone(&agents), Arc::clone(&alarms), clock.clone()));
    let web = web::build(
        &config,
        Arc::clone(&keys),
        web::Parts {
            authn: Arc::clone(&authn),
            enrolments,
            approvals: Arc::clone(&approvals),
            alarms,
            events,
            sessions: Arc::clone(&sessions),
            policies: Arc::clone(&policies),
            agents: Arc::clone(&agents),
            guards: Arc::clone(&guards),
            keys: Arc::clone(&keys),
            address: config.address(),
            store: store.clone(),
            auditors: config.auditor_groups.iter().cloned().collect(),
            clock: clock.clone(),
        },
    )
    .await?;
    let admin = Admin::bind(config.admin, readiness.clone(), metrics)
        .await
        .with_context(|| format!("TCP {} can't be bound", config.admin))?
        .also("/readyz/protection", protection);
    Ok(App {
        endpoint,
        peers: Arc::new(peers),
        web,
        admin,
        authority,
        keys,
        sessions,
        approvals,
        policies,
        agents,
        guards,
        issuer_keys,
        store,
        writer,
        clock,
        readiness,
        authn,
        tasks,
        trigger,
        drain,
    })
}

/// Whether one vote over the local socket is enough.
fn mode(config: &Config) -> Mode {
    let single = config.local_socket.as_ref().is_some_and(|socket| socket.danger_single_local_vote);
    if single { Mode::Try } else { Mode::Serve }
}

impl App {
    /// Where it listens.
    ///
    /// # Errors
    /// A socket is gone.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            quic: self.endpoint.local_addr()?,
            web: self.web.local_addr()?,
            admin: self.admin.local_addr()?,
            pin: self.authority.pin(),
        })
    }

    /// Serves until `stop` resolves, then drains: no new work, what runs is finished, records are flushed, peers are told.
    ///
    /// # Errors
    /// A task without which the process is of no use died.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self {
            endpoint,
            peers,
            web,
            admin,
            authority,
            keys,
            sessions,
            approvals,
            policies,
            agents,
            guards,
            issuer_keys,
            store,
            writer,
            clock,
            readiness,
            authn,
            ..
        } = self;
        let (tasks, drain) = (self.tasks, self.drain);
        let background = TaskSet::new();
        background.spawn("admin", admin.run(background.clone(), drain.clone()));
        background.spawn_core("policy", Arc::clone(&policies).follow());
        let each = guards::watch_all(Arc::clone(&guards), Arc::clone(&authn), background.child());
        background.spawn_core("guards", each);
        let truth = Truth { readiness, store: store.clone(), agents: Arc::clone(&agents), policies, authn };
        background.spawn_core("readiness", truth.keep());
        background.spawn_core("certificate", authority.renew(keys, clock.clone()));
        let sweeper = Arc::clone(&approvals);
        background.spawn_core("sweep", sweep(sweeper, sessions, clock.clone()));
        background.spawn_core("settle", settle(agents, store.clone(), clock));
        background.spawn_core("issuer keys", issuer_keys.follow());
        tasks.spawn_core("web", web.run(tasks.clone(), drain.clone()));
        let accepting = endpoint.clone();
        let (accept_tasks, accept_drain) = (tasks.clone(), drain.clone());
        tasks.spawn_core("accept", async move {
            let serve = move |connection| Arc::clone(&peers).serve(connection);
            accepting.accept(limits::PEER_CONNECTIONS, &accept_tasks, accept_drain, serve).await;
        });
        drop(drain);
        let died = tokio::select! {
            () = stop => None,
            name = tasks.fatal() => Some(name),
            name = background.fatal() => Some(name),
        };
        tracing::info!("draining");
        // Whoever waits for people is told at once that the sidecar will ask again; the holds themselves stay.
        approvals.pause();
        if !self.trigger.drain(DRAIN).await {
            tracing::warn!("the drain took too long; what still runs is cut");
        }
        tasks.cancel();
        tasks.wait().await;
        endpoint.close(wire::code::SHUTDOWN, "going away").await;
        background.cancel();
        background.wait().await;
        drop((approvals, guards, store));
        // The writer ends when its last handle is gone, after everything queued is on disk.
        let flushed = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(limits::RECORD_WAIT, flushed).await.is_err() {
            tracing::error!("the store's writer did not end in time");
        }
        match died {
            None => Ok(()),
            Some(name) => anyhow::bail!("the task {name:?} died"),
        }
    }
}

/// Keeps `/readyz` true to what the process depends on: a store that writes, an agent for every cluster, and a policy: with none in force
/// everything is refused, and an update that brought a wrong file must not go on to the next replica.
struct Truth {
    readiness: Readiness,
    store: Store,
    agents: Arc<Agents>,
    policies: Arc<Policies>,
    authn: Arc<Authn>,
}

impl Truth {
    async fn keep(self) {
        let mut pending = ["the store writes", "every cluster has an agent", "a policy is in force"]
            .map(|what| (what, Some(self.readiness.wait_for(what))));
        loop {
            let holds = [
                self.store.probe().await.is_ok(),
                self.authn.names().iter().all(|cluster| self.agents.serves(cluster)),
                !self.policies.is_closed(),
            ];
            for ((what, guard), holds) in pending.iter_mut().zip(holds) {
                if holds {
                    drop(guard.take());
                } else {
                    guard.get_or_insert_with(|| self.readiness.wait_for(what));
                }
            }
            tokio::time::sleep(SWEEP).await;
        }
    }
}

/// Ends what is due.
async fn sweep(approvals: Arc<Approvals>, sessions: Arc<Sessions>, clock: Clock) {
    loop {
        if let Err(error) = approvals.sweep().await {
            tracing::error!(error = %shared::chain::Chain(&error), "holds could not be swept");
        }
        sessions.sweep(clock.now());
        tokio::time::sleep(SWEEP).await;
    }
}

/// Settles what earlier lives left open, and what this one loses. Apart from the sweep, for it waits for agents.
async fn settle(agents: Arc<Agents>, store: Store, clock: Clock) {
    let started = clock.now();
    loop {
        if let Err(error) = agents.settle(&store, started).await {
            tracing::error!(error = %shared::chain::Chain(&error), "operations without an outcome could not be settled");
        }
        tokio::time::sleep(SETTLE).await;
    }
}
