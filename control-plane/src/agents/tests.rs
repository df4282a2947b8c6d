use std::net::Ipv4Addr;
use std::time::Duration;

use shared::wire;
use shared_net::clock::Clock;
use shared_net::endpoint::Endpoint;
use shared_net::pki::{Ca, Identity};
use shared_net::tasks::TaskSet;
use shared_net::{drain, quic};
use uuid::Uuid;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Connections of a peer, and what keeps them open.
async fn connections(count: usize) -> (Vec<Connection>, impl Sized) {
    let now = Clock::system().now();
    let ca = Ca::generate("test", now).unwrap();
    let server = ca.issue_server(&[wire::SERVER_NAME], &[], now, DAY).unwrap();
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Endpoint::server(local, quic::server_config(&server).unwrap()).unwrap();
    let (tasks, (trigger, drain)) = (TaskSet::new(), drain::channel());
    let accepting = (server.clone(), tasks.clone());
    tasks.spawn("accept", async move {
        let (server, tasks) = accepting;
        server
            .accept(count, &tasks, drain, |connection: Connection| async move { drop(connection.closed().await) })
            .await;
    });
    let client = Endpoint::client(local).unwrap();
    let identity = Identity::self_signed(now, DAY).unwrap();
    let mut all = Vec::new();
    for _ in 0..count {
        let config = quic::client_config(&identity, ca.pin()).unwrap();
        all.push(client.connect(server.local_addr().unwrap(), config).await.unwrap());
    }
    (all, (client, server, tasks, trigger))
}

fn link(cluster: &str, id: AgentId, connection: &Connection) -> Arc<AgentLink> {
    Arc::new(AgentLink {
        id,
        cluster: cluster.to_owned(),
        version: String::new(),
        since: Timestamp(0),
        connection: connection.clone(),
        epoch: Epoch::new(connection.export(wire::EXPORTER_EPOCH).unwrap()),
        read_key: ReadKey::new(&[0; 32]),
        until: AtomicU64::new(0),
        silent: AtomicBool::new(false),
        leaving: watch::Sender::new(false),
    })
}

/// An agent says itself which process it is. Another cluster's that says the same answers for nothing of this one.
#[tokio::test]
async fn an_agent_answers_for_its_own_cluster_only() {
    let (connections, _open) = connections(3).await;
    let [first, second, foreign] = connections.as_slice() else { panic!("three were asked for") };
    let id = AgentId::new(Uuid::new_v4());
    let links = [link("a", id, first), link("a", id, second)];
    let by_cluster = HashMap::from([("a".to_owned(), links.to_vec()), ("b".to_owned(), vec![link("b", id, foreign)])]);
    let of = |cluster: &str| newest(&by_cluster, cluster, |link| link.id == id);
    assert!(of("a").unwrap().connection.same(second), "the newest of its own");
    assert!(of("b").unwrap().connection.same(foreign));
    assert!(of("c").is_none());
    second.close(wire::code::SHUTDOWN, "gone");
    assert!(of("a").unwrap().connection.same(first));
    first.close(wire::code::SHUTDOWN, "gone");
    assert!(of("a").is_none(), "and never another cluster's");
}
