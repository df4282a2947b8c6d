//! Control plane, agent and API server, connected.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use agent::app;
use agent::config::{self, InCluster};
use agent::operation::Agent;
use shared_net::clock::Clock;
use shared_net::tasks::TaskSet;
use tokio::sync::oneshot;

use crate::api_server::ApiServer;
use crate::control_plane::{AgentLink, ControlPlane, Greeting};
use crate::relay::Relay;

pub(crate) const TOKEN: &str = "the-agents-own-token";

pub(crate) struct World {
    pub(crate) control_plane: ControlPlane,
    pub(crate) api: ApiServer,
    pub(crate) relay: Relay,
    pub(crate) agent: Arc<Agent>,
    pub(crate) admin: SocketAddr,
    pub(crate) tasks: TaskSet,
    config: String,
    stops: Vec<oneshot::Sender<()>>,
    _files: tempfile::TempDir,
}

impl World {
    /// Starts all three and waits until the agent was greeted.
    pub(crate) async fn start() -> (Self, AgentLink) {
        Self::start_with(Clock::system()).await
    }

    pub(crate) async fn start_with(clock: Clock) -> (Self, AgentLink) {
        Self::start_as(clock, |_| ()).await
    }

    /// The same with another greeting.
    pub(crate) async fn start_as(clock: Clock, greeting: impl FnOnce(&mut Greeting)) -> (Self, AgentLink) {
        let tasks = TaskSet::new();
        let mut control_plane = ControlPlane::start(&tasks);
        greeting(&mut control_plane.greeting.lock().unwrap());
        let api = ApiServer::start(&tasks).await;
        let relay = Relay::start(&tasks, control_plane.address).await;
        let files = tempfile::tempdir().unwrap();
        let dir = files.path();
        fs::write(dir.join("ca"), &api.ca_pem).unwrap();
        fs::write(dir.join("token"), format!("{TOKEN}\n")).unwrap();
        fs::write(dir.join("key"), [9; 32]).unwrap();
        fs::write(dir.join("guarded"), crate::guards::guarded().to_string()).unwrap();
        let text = format!(
            "cluster: a\nclusterUid: uid-of-a\ncontrolPlane: {{address: '{}', pin: '{}'}}\ntokenFile: {dir}/token\n\
             placeholderKeys: {{current: {dir}/key}}\nguarded: {dir}/guarded\nlisten: 127.0.0.1:0\n\
             apiServer: {{url: 'https://{}', caFile: {dir}/ca, tokenFile: {dir}/token}}\n",
            relay.address,
            control_plane.pin,
            api.address,
            dir = dir.display(),
        );
        let (agent, admin, stop) = run_agent(&text, clock, &tasks).await;
        let link = control_plane.agent().await;
        // It was greeted; it is connected once it has remembered the life.
        while agent.ledger.life().0 == 0 {
            tokio::task::yield_now().await;
        }
        let stops = vec![stop];
        let world = Self { control_plane, api, relay, agent, admin, tasks, config: text, stops, _files: files };
        (world, link)
    }
}

/// One agent process: itself, its admin port, and what ends it.
async fn run_agent(text: &str, clock: Clock, tasks: &TaskSet) -> (Arc<Agent>, SocketAddr, oneshot::Sender<()>) {
    let config = config::parse(text, &InCluster::default()).unwrap();
    let bound = app::build(config, clock).await.unwrap();
    let agent = bound.agent();
    // The credential is read by a task of its own; requests that come before it would be refused.
    agent.upstream.refresh_credential().await.unwrap();
    let admin = bound.admin_address().unwrap();
    let (stop, stopped) = oneshot::channel();
    tasks.spawn_core("agent", async move {
        let stop = async {
            // Dropped or sent, both mean to stop.
            drop(stopped.await);
        };
        bound.run(stop).await.unwrap();
    });
    (agent, admin, stop)
}

impl World {
    /// Another process with the same configuration.
    pub(crate) async fn second_agent(&mut self) -> Arc<Agent> {
        let (agent, _, stop) = run_agent(&self.config, Clock::system(), &self.tasks).await;
        self.stops.push(stop);
        agent
    }

    /// Asks all agents to end.
    pub(crate) fn stop(&mut self) {
        self.stops.clear();
    }

    /// Waits until the agent has received so many heads.
    pub(crate) async fn wait_for_operations(&self, count: u64) {
        while self.agent.metrics.received() < count {
            tokio::task::yield_now().await;
        }
    }

    /// One GET on the admin port; the whole answer as text.
    pub(crate) async fn admin_get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut tcp = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.cancel();
        assert_eq!(self.tasks.panics(), 0, "no task may panic");
        assert_eq!(self.agent.tasks.panics(), 0, "no task of the agent may panic");
    }
}
