//! Puts the parts together, starts them, and ends them in order.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::AgentId;
use shared::{limits, wire};
use shared_net::admin::Admin;
use shared_net::clock::Clock;
use shared_net::drain::{self, Drain, DrainTrigger};
use shared_net::endpoint::Endpoint;
use shared_net::memory::Memory;
use shared_net::metrics::Metrics;
use shared_net::pki::{self, Identity};
use shared_net::ready::{Pending, Readiness};
use shared_net::tasks::TaskSet;
use shared_net::{quic, telemetry};
use uuid::Uuid;

use crate::apart::Apart;
use crate::config::Config;
use crate::leases::Leases;
use crate::leaving::Current;
use crate::link::{self, Dialler};
use crate::lives::SeenLives;
use crate::metrics::AgentMetrics;
use crate::operation::Agent;
use crate::ration::{JudgedReleases, Ration};
use crate::report::SharedLedger;
use crate::room::Room;
use crate::rules::Ours;
use crate::spent::SpentLeases;
use crate::text::Searchers;
use crate::upstream::{REFRESH, Upstream};

/// How often Leases of approvals that expired are looked for.
const SWEEP: Duration = Duration::from_secs(600);
/// How often the API server's port is tried.
const PROBE: Duration = Duration::from_secs(10);
/// What is left for requests that run when the process is told to end.
const DRAIN: Duration = Duration::from_secs(25);

/// Everything bound, nothing started.
#[derive(Debug)]
pub struct Bound {
    agent: Arc<Agent>,
    dialler: Dialler,
    admin: Admin,
    readiness: Readiness,
    tasks: TaskSet,
    trigger: DrainTrigger,
    drain: Drain,
    current: Current,
}

/// Binds and builds. Must run inside the runtime.
///
/// # Errors
/// Something can't be bound or built; the text says what.
pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Bound> {
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let tasks = TaskSet::new();
    let (trigger, drain) = drain::channel();
    let id = AgentId::new(Uuid::new_v4());
    let upstream = Upstream::new(config.api_server)?;
    let admin = Admin::bind(config.listen, readiness.clone(), metrics.clone()).await?;
    let identity = Identity::self_signed(clock.now(), pki::CA_LIFE)?;
    let dialler = Dialler {
        endpoint: client_endpoint()?,
        config: quic::client_config(&identity, config.pin)?,
        address: config.address,
        token_file: config.token_file,
        id,
        cluster_uid: config.cluster_uid,
        enrolment: config.enrolment,
        current: Current::default(),
    };
    let current = dialler.current.clone();
    let leases = Leases::new(upstream.clone(), &config.namespace, id);
    let agent = Arc::new(Agent {
        cluster: config.cluster,
        placeholders: Arc::new(config.placeholders),
        ours: Ours::new(config.protected),
        disclosable: config.disclosable,
        guarded: config.guarded,
        ledger: SharedLedger::new(),
        reviews: Ration::of_reviews(),
        judged_releases: JudgedReleases::default(),
        lives: SeenLives::new(leases.clone(), &config.pin),
        spent: SpentLeases::new(leases),
        upstream,
        room: Room::new(&clock),
        bodies: Memory::new(limits::AGENT_BODY_BYTES, &clock),
        waiting: Memory::new(limits::WAITING_BYTES, &clock),
        looks: Room::new(&clock),
        clock,
        apart: Apart::default(),
        searchers: Searchers::default(),
        tasks: tasks.clone(),
        metrics: AgentMetrics::register(&metrics),
    });
    Ok(Bound { agent, dialler, admin, readiness, tasks, trigger, drain, current })
}

/// Both families where the system has IPv6, else IPv4.
fn client_endpoint() -> io::Result<Endpoint> {
    Endpoint::client(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
        .or_else(|_| Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))
}

impl Bound {
    /// Where /livez, /readyz and /metrics are.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// The agent itself, for tests that count.
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent)
    }

    /// Runs until `stop` resolves and what runs has ended, or a part without which nothing works has failed.
    ///
    /// # Errors
    /// Names the part that failed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { agent, dialler, admin, readiness, tasks, trigger, drain, current } = self;
        let endpoint = dialler.endpoint.clone();
        tasks.spawn_core("admin", admin.run(tasks.clone(), drain.clone()));
        // Before the link: without it the link could not ask which control plane is the newest, and would wait for its next try.
        let credential = readiness.wait_for("credential");
        let credential = read_credential(&agent, Some(credential)).await;
        tasks.spawn_core("credential", keep_credential(Arc::clone(&agent), credential));
        tasks.spawn_core("probe", probe(Arc::clone(&agent), readiness.clone()));
        tasks.spawn("sweep", sweep(Arc::clone(&agent)));
        tasks.spawn_core("link", link::run(dialler, agent, readiness, drain));
        let failed = tokio::select! {
            () = stop => None,
            name = tasks.fatal() => Some(name),
        };
        tracing::info!("draining");
        current.leave().await;
        let finished = trigger.drain(DRAIN).await;
        endpoint.close(wire::code::SHUTDOWN, "the agent ends").await;
        tasks.cancel();
        tracing::info!(finished, "ended");
        match failed {
            None => Ok(()),
            Some(name) => anyhow::bail!("the task {name} failed"),
        }
    }
}

/// The kubelet rotates the token; an old one is refused by the API server.
async fn keep_credential(agent: Arc<Agent>, mut waiting: Option<Pending>) {
    loop {
        agent.clock.sleep(REFRESH).await;
        waiting = read_credential(&agent, waiting).await;
    }
}

/// Gives back what waits for a credential, if none could be read yet.
async fn read_credential(agent: &Agent, waiting: Option<Pending>) -> Option<Pending> {
    match agent.upstream.refresh_credential().await {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, "the cluster credential can't be read");
            waiting
        }
    }
}

/// Ready means that the API server can be reached. A connection is all that is made: without a grant nothing may be asked.
async fn probe(agent: Arc<Agent>, readiness: Readiness) {
    let mut waiting = Some(readiness.wait_for("API server"));
    loop {
        match (agent.upstream.is_reachable().await, waiting.is_some()) {
            (true, true) => drop(waiting.take()),
            (false, false) => {
                tracing::warn!(api_server = %agent.upstream.authority(), "the API server can't be reached");
                waiting = Some(readiness.wait_for("API server"));
            }
            (true, false) | (false, true) => {}
        }
        agent.clock.sleep(PROBE).await;
    }
}

async fn sweep(agent: Arc<Agent>) {
    loop {
        // First after a while: at start there are better things to do.
        agent.clock.sleep(SWEEP).await;
        match agent.spent.sweep(agent.clock.now()).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "Leases of expired approvals deleted"),
            Err(error) => tracing::warn!(%error, "Leases of expired approvals can't be swept"),
        }
    }
}

/// Starts logging.
///
/// # Errors
/// It was started before.
pub fn start_logging(config: &Config) -> anyhow::Result<()> {
    telemetry::init(&config.log).map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))
}

const _: () = assert!(limits::AGENT_SILENCE.as_millis() < limits::IDLE.as_millis());
