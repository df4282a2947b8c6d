use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use shared::ids::SessionId;

use shared::wire;
use shared_net::clock::Clock;
use shared_net::endpoint::Endpoint;
use shared_net::pki::{Ca, Identity};
use shared_net::tasks::TaskSet;
use shared_net::{drain, exchange, quic};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::streams::{Answers, NoStream};
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
        streams: Streams::new(),
        bodies: Memory::new(limits::AGENT_BODY_BYTES, &Clock::system()),
        unread: Unread::new(),
    })
}

/// A session has half of what bodies may take at an agent, and waits here for more.
#[tokio::test]
async fn bodies_wait_for_room_at_the_agent() {
    let (connections, _open) = connections(1).await;
    let link = link("a", AgentId::new(Uuid::new_v4()), &connections[0]);
    let (one, other) = (SessionId::new(Uuid::new_v4()), SessionId::new(Uuid::new_v4()));
    let large = limits::REQUEST_BODY_BYTES;
    assert!(link.body_room(one, 0).await.unwrap().is_none(), "a read needs none");
    let first = link.body_room(one, large).await.unwrap();
    let mut second = std::pin::pin!(link.body_room(one, large));
    tokio::select! {
        biased;
        _ = &mut second => panic!("a session has half"),
        () = std::future::ready(()) => {}
    }
    assert!(link.body_room(other, large).await.is_ok());
    drop(first);
    assert!(second.await.is_ok());
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

/// An answer of so many pieces.
struct Pieces(usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 32 * 1024])))))
    }
}

/// An agent that answers every question with four stream windows of text; the control plane's end.
async fn answering_agent() -> (Arc<AgentLink>, impl Sized) {
    let now = Clock::system().now();
    let ca = Ca::generate("test", now).unwrap();
    let server = ca.issue_server(&[wire::SERVER_NAME], &[], now, DAY).unwrap();
    let server = Endpoint::server((Ipv4Addr::LOCALHOST, 0).into(), quic::server_config(&server).unwrap()).unwrap();
    let (tasks, (trigger, drain)) = (TaskSet::new(), drain::channel());
    let (come, mut came) = mpsc::channel(1);
    let (accepting, taken, draining) = (server.clone(), tasks.clone(), drain.clone());
    tasks.spawn("accept", async move {
        let serve = move |connection: Connection| {
            let come = come.clone();
            async move {
                come.send(connection.clone()).await.unwrap();
                drop(connection.closed().await);
            }
        };
        accepting.accept(1, &taken, draining, serve).await;
    });
    let client = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let config = quic::client_config(&Identity::self_signed(now, DAY).unwrap(), ca.pin()).unwrap();
    let agent = client.connect(server.local_addr().unwrap(), config).await.unwrap();
    let serving = tasks.clone();
    tasks.spawn("agent", async move {
        let length = 4 * usize::try_from(limits::STREAM_WINDOW).unwrap() / (32 * 1024);
        let answer = move |_: Request<Incoming>| std::future::ready(Ok::<_, Infallible>(Response::new(Pieces(length))));
        let service = service_fn(answer);
        exchange::serve(&agent, service, &serving, drain).await;
    });
    let connection = came.recv().await.unwrap();
    connection.allow_unread(limits::AGENT_WINDOW);
    (link("a", AgentId::new(Uuid::new_v4()), &connection), (client, server, tasks, trigger))
}

async fn asked(link: &AgentLink, session: SessionId) -> answer::AgentBody {
    let request = Request::get("/").header("host", wire::HOST_KUBERNETES).body(Empty::<Bytes>::new()).unwrap();
    let response = exchange::send(&link.connection, request).await.unwrap();
    link.unread.body(session, link.streams.in_any_case(session), response.into_body())
}

/// SECURITY.md D9: however many answers a session, or ten of them, leave unread, others get theirs.
#[tokio::test]
async fn answers_that_nobody_reads_stop_nobody() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let (link, _open) = answering_agent().await;
    let session = || SessionId::new(Uuid::new_v4());
    let greedy: Vec<_> = (0..10).map(|_| session()).collect();
    let mut unread = Vec::new();
    let flood = async {
        for number in 0..2 * limits::ANSWERS_UNREAD {
            let mut body = asked(&link, greedy[number % greedy.len()]).await;
            assert!(body.frame().await.unwrap().is_ok(), "answer {number}");
            unread.push(body);
        }
    };
    tokio::time::timeout(PATIENCE, flood).await.unwrap();
    let mut body = asked(&link, session()).await;
    let whole = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.unwrap().into_data().unwrap().len();
        }
        length
    };
    let length = tokio::time::timeout(PATIENCE, whole).await.unwrap();
    assert_eq!(length, 4 * usize::try_from(limits::STREAM_WINDOW).unwrap());
    // What there is room for was left alone.
    let mut kept = 0;
    for mut body in unread {
        kept += usize::from(body.frame().await.unwrap().is_ok());
    }
    assert_eq!(kept, limits::ANSWERS_UNREAD - 1);
}

/// SECURITY.md D9: who leaves his share unread asks for nothing long, so that nothing that is read has to go for it. What is short he gets, and
/// others get all.
#[tokio::test]
async fn who_leaves_his_share_unread_asks_for_little() {
    let (link, _open) = answering_agent().await;
    let (greedy, other) = (SessionId::new(Uuid::new_v4()), SessionId::new(Uuid::new_v4()));
    let mut unread = Vec::new();
    for _ in 0..limits::ANSWERS_UNREAD {
        assert!(link.operation(greedy, Answers::AtLength).is_ok());
        let mut body = asked(&link, greedy).await;
        assert!(body.frame().await.unwrap().is_ok());
        unread.push(body);
    }
    for answers in [Answers::AtLength, Answers::On] {
        assert_eq!(link.operation(greedy, answers).err(), Some(NoStream::Unread));
        assert!(link.operation(other, answers).is_ok());
    }
    assert!(link.operation(greedy, Answers::Briefly).is_ok());
    unread.pop();
    assert!(link.operation(greedy, Answers::AtLength).is_ok(), "one was given up");
}
