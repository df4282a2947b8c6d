use std::net::{Ipv4Addr, UdpSocket};

use shared::wire::SERVER_NAME;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::drain;
use crate::pki::{Ca, Identity};
use crate::quic;
use crate::tasks::TaskSet;

const DAY: Duration = Duration::from_secs(24 * 3600);
const PATIENCE: Duration = Duration::from_secs(30);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A control plane that greets everybody.
struct World {
    ca: Ca,
    endpoint: Endpoint,
    served: mpsc::Receiver<Connection>,
    tasks: TaskSet,
    trigger: Option<drain::DrainTrigger>,
}

impl World {
    fn new() -> Self {
        let now = Clock::system().now();
        let ca = Ca::generate("test", now).unwrap();
        let identity = ca.issue_server(&[SERVER_NAME], &[], now, DAY).unwrap();
        let endpoint = Endpoint::server(LOCAL, quic::server_config(&identity).unwrap()).unwrap();
        let (tasks, (trigger, drain), (taken, served)) = (TaskSet::new(), drain::channel(), mpsc::channel(8));
        let (accepting, family) = (endpoint.clone(), tasks.child());
        tasks.spawn("accept", async move {
            let serve = move |connection| {
                let taken = taken.clone();
                async move { taken.send(connection).await.unwrap() }
            };
            accepting.accept(8, &family, drain, serve).await;
        });
        Self { ca, endpoint, served, tasks, trigger: Some(trigger) }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    fn config(&self) -> ClientConfig {
        config(&self.ca)
    }
}

fn config(ca: &Ca) -> ClientConfig {
    quic::client_config(&Identity::self_signed(Clock::system().now(), DAY).unwrap(), ca.pin()).unwrap()
}

/// A port where nobody answers over UDP, and a listener for TCP at the same.
async fn black_hole() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind(LOCAL).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// Passes every TCP connection on.
fn forward(tasks: &TaskSet, listener: TcpListener, to: SocketAddr) {
    let family = tasks.clone();
    tasks.spawn("forward", async move {
        while let Ok((mut client, _)) = listener.accept().await {
            family.spawn("forwarded", async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
}

#[tokio::test]
async fn where_udp_answers_in_time_tcp_is_not_touched() {
    let now = Clock::system().now();
    let ca = Ca::generate("test", now).unwrap();
    let identity = ca.issue_server(&[SERVER_NAME], &[], now, DAY).unwrap();
    // One that listens over UDP alone, so that TCP at its port is ours to watch.
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind(LOCAL).await.unwrap();
        let config = quic::server_config(&identity).unwrap();
        if let Ok(udp) = quinn::Endpoint::server(config, tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let tasks = TaskSet::new();
    tasks.spawn("answer", async move {
        while let Some(incoming) = udp.accept().await {
            if let Ok(connection) = incoming.await {
                connection.closed().await;
            }
        }
    });
    let mut in_time = 0;
    for _ in 0..20 {
        let endpoint = Endpoint::client(LOCAL).unwrap();
        let started = tokio::time::Instant::now();
        let connection = endpoint.dial(tcp.local_addr().unwrap(), config(&ca), PATIENCE).await.unwrap();
        assert_eq!(connection.way(), Way::Udp);
        if started.elapsed() >= limits::UDP_HEAD_START {
            // A machine so slow has the right to try.
            continue;
        }
        in_time += 1;
        tokio::select! {
            biased;
            _ = tcp.accept() => panic!("TCP was tried although UDP answers"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(in_time > 0, "no handshake in {:?}", limits::UDP_HEAD_START);
    tasks.cancel();
}

#[tokio::test]
async fn where_udp_is_a_black_hole_it_is_tcp_and_udp_again_when_that_works() {
    let mut world = World::new();
    let (hole, listener) = black_hole().await;
    let address = listener.local_addr().unwrap();
    forward(&world.tasks, listener, world.address());
    let endpoint = Endpoint::client(LOCAL).unwrap();
    let connection = endpoint.dial(address, world.config(), PATIENCE).await.unwrap();
    let server = world.served.recv().await.unwrap();
    assert_eq!((connection.way(), server.way()), (Way::Tcp, Way::Tcp));
    assert_eq!(connection.export(b"same").unwrap(), server.export(b"same").unwrap());
    // UDP was tried first, and again beside TCP.
    hole.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(hole.recv(&mut [0; 2048]).unwrap() >= 1200);
    connection.close(7, "over");
    assert!(matches!(server.closed().await, quinn::ConnectionError::ApplicationClosed(_)));
    assert_eq!(server.peer_close_code(), Some(7));
    drop((connection, server));

    let connection = endpoint.dial(world.address(), world.config(), PATIENCE).await.unwrap();
    assert_eq!(connection.way(), Way::Udp);
    world.trigger.take();
    world.endpoint.close(0, "").await;
}

#[tokio::test]
async fn another_key_is_refused_over_either_and_over_udp_at_once() {
    let world = World::new();
    let other = Ca::generate("other", Clock::system().now()).unwrap();
    let endpoint = Endpoint::client(LOCAL).unwrap();
    let error = endpoint.dial(world.address(), config(&other), PATIENCE).await.unwrap_err();
    assert!(matches!(error, DialError::Answered(ConnectError::Handshake { .. })), "{error:?}");

    let (_hole, listener) = black_hole().await;
    let address = listener.local_addr().unwrap();
    forward(&world.tasks, listener, world.address());
    let wait = limits::UDP_HEAD_START * 4;
    let error = endpoint.dial(address, config(&other), wait).await.unwrap_err();
    let DialError::Neither { udp: ConnectError::Slow { .. }, tcp, .. } = &error else { panic!("{error:?}") };
    assert!(tcp.is_answer(), "the key was looked at: {tcp:?}");
}

#[tokio::test]
async fn who_is_not_reached_is_told_of_both_ways() {
    let (_hole, listener) = black_hole().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = config(&Ca::generate("test", Clock::system().now()).unwrap());
    let error = Endpoint::client(LOCAL).unwrap().dial(address, config, limits::UDP_HEAD_START * 2).await.unwrap_err();
    let told = Chain(&error).to_string();
    for word in [
        "over UDP (handshake with ",
        "longer than ",
        "over TCP (no TCP connection with ",
        "refused",
        &address.port().to_string(),
    ] {
        assert!(told.contains(word), "{word:?} is missing in {told:?}");
    }
}

/// What no peer of ours sends costs its own connection only, which is gone at once.
#[tokio::test]
async fn garbage_over_tcp_ends_its_own_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut world = World::new();
    let (_hole, listener) = black_hole().await;
    let address = listener.local_addr().unwrap();
    forward(&world.tasks, listener, world.address());
    let endpoint = Endpoint::client(LOCAL).unwrap();
    let good = endpoint.dial(address, world.config(), PATIENCE).await.unwrap();
    let served = world.served.recv().await.unwrap();

    for bytes in [&[0, 0][..], &[0xff; 100], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[0x16, 3, 1, 2, 0, 1, 0]] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        if bytes[0] == 0x16 {
            // A TLS hello reads as the begin of a packet; its sender is not waited for longer than he stays.
            stream.shutdown().await.unwrap();
        }
        let mut rest = Vec::new();
        // An end or a reset, and no word.
        drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is ended"));
        assert!(rest.is_empty(), "{rest:?}");
    }
    assert_eq!((good.close_reason(), served.close_reason()), (None, None));
    good.close(0, "");
    drop((good, served));
    tokio::time::timeout(PATIENCE, world.endpoint.sockets.gone()).await.expect("nothing stays open");
    assert_eq!(world.tasks.panics(), 0);
}
