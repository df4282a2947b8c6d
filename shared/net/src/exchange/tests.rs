mod over_tcp;
mod upgrades;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::body::{BoxBody, channel, collect_bounded, empty, full};
use crate::clock::Clock;
use crate::drain::{self, DrainTrigger};
use crate::endpoint::{Endpoint, Way};
use crate::pki::{Ca, Identity};
use crate::quic;
use crate::tcp;

const DAY: Duration = Duration::from_secs(24 * 3600);
const PATIENCE: Duration = Duration::from_secs(30);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

thread_local! {
    /// What carries the connections of this test's pairs.
    static WAY: Cell<Way> = const { Cell::new(Way::Udp) };
}

/// Two connected endpoints in one process.
struct Pair {
    client: Connection,
    server: Connection,
    tasks: TaskSet,
    trigger: DrainTrigger,
    drain: Drain,
    _endpoints: (Endpoint, Endpoint),
}

async fn pair() -> Pair {
    let now = Clock::system().now();
    let ca = Ca::generate("test", now).unwrap();
    let identity = ca.issue_server(&[shared::wire::SERVER_NAME], &[], now, DAY).unwrap();
    let listening = Endpoint::server(LOCAL, quic::server_config(&identity).unwrap()).unwrap();
    let dialling = Endpoint::client(LOCAL).unwrap();
    let tasks = TaskSet::new();
    let (trigger, drain) = drain::channel();
    let (taken, mut server) = mpsc::channel(1);
    let address = listening.local_addr().unwrap();
    let accepting = (listening.clone(), tasks.clone(), drain.clone());
    tasks.spawn("accept", async move {
        let (endpoint, tasks, drain) = accepting;
        endpoint
            .accept(4, &tasks, drain, move |connection| {
                let taken = taken.clone();
                async move { taken.send(connection).await.unwrap() }
            })
            .await;
    });
    let me = Identity::self_signed(now, DAY).unwrap();
    let config = quic::client_config(&me, ca.pin()).unwrap();
    let client = match WAY.get() {
        Way::Udp => dialling.connect(address, config).await,
        Way::Tcp => tcp::connect(address, config, &dialling.sockets, PATIENCE).await,
    };
    let client = client.unwrap();
    let server = server.recv().await.unwrap();
    assert_eq!(server.peer_key().0, *me.pin().bytes());
    assert_eq!((client.way(), server.way()), (WAY.get(), WAY.get()));
    Pair { client, server, tasks, trigger, drain, _endpoints: (listening, dialling) }
}

impl Pair {
    fn serve<F, R>(&self, handler: F)
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<BoxBody>> + Send + 'static,
    {
        let (server, tasks, drain) = (self.server.clone(), self.tasks.clone(), self.drain.clone());
        self.tasks.spawn("serve", async move {
            let service = service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            serve(&server, service, &tasks, drain).await;
        });
    }

    async fn get(&self, path: &str) -> Result<Response<ResponseBody>, ExchangeError> {
        send(&self.client, request(path, empty())).await
    }
}

fn request(path: &str, body: BoxBody) -> Request<BoxBody> {
    Request::post(path).header("host", "kubernetes").body(body).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens")
}

/// Says when it is dropped.
struct OnDrop(Option<oneshot::Sender<()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).unwrap_or_default();
    }
}

#[tokio::test]
async fn bodies_pass_both_ways() {
    let pair = pair().await;
    pair.serve(|request| async move {
        let body = collect_bounded(request.into_body(), 1 << 24, PATIENCE).await.unwrap();
        Response::new(full(body))
    });
    for size in [0, 1, 70_000, 3 << 20] {
        let sent = Bytes::from(vec![7; size]);
        let answer = soon(send(&pair.client, request("/echo", full(sent.clone())))).await.unwrap();
        assert!(answer.version() == http::Version::HTTP_11);
        assert_eq!(soon(collect_bounded(answer.into_body(), 1 << 24, PATIENCE)).await.unwrap(), sent);
    }
}

#[tokio::test]
async fn pieces_arrive_as_they_are_sent() {
    let pair = pair().await;
    let (source, body) = channel(1);
    let body = std::sync::Mutex::new(Some(body));
    let body = Arc::new(body);
    pair.serve(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body.boxed_unsync()) }
    });
    let mut answer = soon(pair.get("/watch")).await.unwrap().into_body();
    for piece in ["one", "two"] {
        source.send(Bytes::from(piece)).await.unwrap();
        let frame = soon(answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    source.finish().await.unwrap();
    assert!(soon(answer.frame()).await.is_none());
}

#[tokio::test]
async fn a_source_that_dies_is_never_a_clean_end() {
    let pair = pair().await;
    pair.serve(|_| async move {
        let (source, body) = channel(1);
        source.send(Bytes::from("half")).await.unwrap();
        drop(source);
        Response::new(body.boxed_unsync())
    });
    let answer = soon(pair.get("/watch")).await;
    // The head may or may not leave before the failure; the end is never clean.
    if let Ok(answer) = answer {
        assert!(soon(collect_bounded(answer.into_body(), 100, PATIENCE)).await.is_err());
    }
}

#[tokio::test]
async fn leaving_before_the_head_frees_the_handler() {
    let pair = pair().await;
    let (started, mut starts) = mpsc::channel(1);
    pair.serve(move |_| {
        let started = started.clone();
        async move {
            let (gone, freed) = oneshot::channel();
            let _guard = OnDrop(Some(gone));
            started.send(freed).await.unwrap();
            std::future::pending().await
        }
    });
    let mut call = Box::pin(pair.get("/hold"));
    let freed = tokio::select! {
        _ = &mut call => unreachable!("the handler never answers"),
        freed = soon(starts.recv()) => freed.unwrap(),
    };
    drop(call);
    soon(freed).await.unwrap();
}

#[tokio::test]
async fn a_request_without_a_body_ends_with_its_head_and_its_client_is_still_there() {
    let pair = pair().await;
    let mut call = Box::pin(pair.get("/"));
    let (mut io, _guard) = tokio::select! {
        _ = &mut call => unreachable!("nobody answers"),
        taken = soon(pair.server.take()) => taken.unwrap(),
    };
    let mut head = Vec::new();
    tokio::select! {
        _ = &mut call => unreachable!("nobody answers"),
        read = soon(io.read_to_end(&mut head)) => drop(read.unwrap()),
    }
    assert!(head.ends_with(b"\r\n\r\n"));
    // The answering side of `serve` waits past that end until the client leaves.
    drop(io);
    let mut other = Box::pin(pair.get("/"));
    let (io, _guard) = tokio::select! {
        _ = &mut other => unreachable!("nobody answers"),
        taken = soon(pair.server.take()) => taken.unwrap(),
    };
    let mut io = io.answers(Arc::new(AtomicBool::new(true)));
    let mut read = Box::pin(io.read_to_end(&mut head));
    let waits = tokio::select! {
        biased;
        _ = &mut read => false,
        () = tokio::time::sleep(Duration::from_millis(1)) => true,
        _ = &mut other => unreachable!("nobody answers"),
    };
    assert!(waits);
    drop(other);
    assert_eq!(soon(read).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn leaving_in_mid_body_frees_the_source() {
    let pair = pair().await;
    let (sources, mut source) = mpsc::channel(1);
    pair.serve(move |_| {
        let sources = sources.clone();
        async move {
            let (sender, body) = channel(1);
            sender.send(Bytes::from("x")).await.unwrap();
            sources.send(sender).await.unwrap();
            Response::new(body.boxed_unsync())
        }
    });
    let mut answer = soon(pair.get("/watch")).await.unwrap().into_body();
    soon(answer.frame()).await.unwrap().unwrap();
    let source = source.recv().await.unwrap();
    drop(answer);
    soon(source.closed()).await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_body_arrives() {
    let pair = pair().await;
    pair.serve(|_| async move {
        let mut response = Response::new(full("too much"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response
    });
    // More than the stream's window, so the client is still writing when the answer comes.
    let answer = soon(send(&pair.client, request("/", full(vec![0; 8 << 20])))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(soon(collect_bounded(answer.into_body(), 100, PATIENCE)).await.unwrap(), "too much");
}

#[tokio::test]
async fn a_lost_connection_tells_what_may_have_been_sent() {
    let pair = pair().await;
    let (started, mut starts) = mpsc::channel(1);
    pair.serve(move |_| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let call = pair.get("/hold");
    let cut = async {
        starts.recv().await.unwrap();
        pair.server.close(shared::wire::code::SHUTDOWN, "test");
    };
    let (result, ()) = soon(async { tokio::join!(call, cut) }).await;
    assert!(matches!(result, Err(ExchangeError::MaybeSent(_))), "{result:?}");
    soon(pair.client.closed()).await;
    assert_eq!(pair.client.peer_close_code(), Some(u64::from(shared::wire::code::SHUTDOWN)));
    let result = soon(pair.get("/hold")).await;
    assert!(result.unwrap_err().certainly_not_sent());
}

#[tokio::test]
async fn more_streams_are_allowed_when_a_peer_is_busy() {
    let pair = pair().await;
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&release);
    let (started, mut starts) = mpsc::channel(1024);
    pair.serve(move |_| {
        let (gate, started) = (Arc::clone(&gate), started.clone());
        async move {
            started.send(()).await.unwrap();
            drop(gate.acquire().await.unwrap());
            Response::new(empty())
        }
    });
    let count = limits::STREAMS_INITIAL as usize * 6;
    for _ in 0..count {
        let client = pair.client.clone();
        pair.tasks.spawn("caller", async move {
            let answer = send(&client, request("/", empty())).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        });
    }
    for _ in 0..count {
        soon(starts.recv()).await.unwrap();
    }
    assert_eq!(pair.server.streams() as usize, count);
    release.add_permits(count);
    soon(async {
        while pair.server.streams() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(pair.tasks.panics(), 0);
}

#[tokio::test]
async fn a_panicking_handler_costs_its_own_stream_only() {
    let pair = pair().await;
    pair.serve(|request| async move {
        assert!(request.uri().path() != "/bad", "as asked");
        Response::new(full("fine"))
    });
    assert!(matches!(soon(pair.get("/bad")).await, Err(ExchangeError::MaybeSent(_))));
    assert_eq!(soon(pair.get("/good")).await.unwrap().status(), StatusCode::OK);
    assert_eq!(pair.tasks.panics(), 1);
}

#[tokio::test]
async fn draining_finishes_what_runs_and_takes_nothing_new() {
    let pair = pair().await;
    let (started, mut starts) = mpsc::channel(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&release);
    pair.serve(move |_| {
        let (gate, started) = (Arc::clone(&gate), started.clone());
        async move {
            started.send(()).await.unwrap();
            gate.notified().await;
            Response::new(full("done"))
        }
    });
    let Pair { client, trigger, drain, .. } = &pair;
    let call = async { send(client, request("/", empty())).await.unwrap() };
    let end = async {
        starts.recv().await.unwrap();
        trigger.start(drain::Mode::Graceful);
        assert!(drain.is_draining());
        release.notify_one();
    };
    let (answer, ()) = soon(async { tokio::join!(call, end) }).await;
    assert_eq!(soon(collect_bounded(answer.into_body(), 10, PATIENCE)).await.unwrap(), "done");
}

/// What a peer that goes away does not take is given back, so that it may go to another; nothing hangs until the connection ends.
#[tokio::test]
async fn a_draining_peer_gives_back_what_it_does_not_take() {
    let pair = pair().await;
    let (started, mut starts) = mpsc::channel(4);
    pair.serve(move |_| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let watch = pair.get("/watch");
    let end = async {
        starts.recv().await.unwrap();
        pair.trigger.start(drain::Mode::Graceful);
        for body in [empty(), full("body"), full(vec![7; 3 << 20])] {
            let error = soon(send(&pair.client, request("/", body))).await.unwrap_err();
            assert!(matches!(error, ExchangeError::Refused(_)), "{error:?}");
            assert!(error.certainly_not_sent());
        }
        pair.trigger.start(drain::Mode::Immediate);
    };
    let (watch, ()) = soon(async { tokio::join!(watch, end) }).await;
    assert!(!watch.unwrap_err().certainly_not_sent(), "what was taken may have run");
    assert!(starts.try_recv().is_err(), "no handler saw the others");
}

/// Nothing runs, and still the peer is told at once.
#[tokio::test]
async fn an_idle_peer_that_drains_gives_back_too() {
    let pair = pair().await;
    pair.serve(|_| async { Response::new(empty()) });
    soon(pair.get("/")).await.unwrap();
    pair.trigger.start(drain::Mode::Graceful);
    assert!(soon(pair.get("/")).await.unwrap_err().certainly_not_sent());
}

/// A connection that is closed takes along what lies in its buffers: the drain lasts until the answers are where they belong.
#[tokio::test]
async fn a_drain_ends_when_the_answers_have_arrived() {
    let pair = pair().await;
    let large = Bytes::from(vec![7; 3 << 20]);
    let sent = large.clone();
    pair.serve(move |_| {
        let sent = sent.clone();
        async move { Response::new(full(sent)) }
    });
    let answer = soon(pair.get("/list")).await.unwrap();
    let Pair { server, trigger, .. } = pair;
    let drained = async {
        assert!(trigger.drain(PATIENCE).await);
        server.close(0, "the process ends");
    };
    let read = collect_bounded(answer.into_body(), 1 << 24, PATIENCE);
    let ((), read) = soon(async { tokio::join!(drained, read) }).await;
    assert_eq!(read.unwrap(), large);
}

#[tokio::test]
async fn dropping_an_unfinished_stream_is_a_reset() {
    let pair = pair().await;
    for finish in [true, false] {
        let mut io = pair.client.open().await.unwrap();
        io.write_all(b"bytes").await.unwrap();
        let (mut other, _guard) = soon(pair.server.take()).await.unwrap();
        let mut first = [0; 5];
        soon(other.read_exact(&mut first)).await.unwrap();
        if finish {
            io.shutdown().await.unwrap();
        }
        drop(io);
        let mut rest = Vec::new();
        let end = soon(other.read_to_end(&mut rest)).await;
        assert_eq!(end.is_ok(), finish, "{end:?}");
    }
}

#[tokio::test]
async fn both_ends_export_the_same_and_connections_differ() {
    let (one, two) = (pair().await, pair().await);
    let label = shared::wire::EXPORTER_EPOCH;
    let mine = one.client.export(label).unwrap();
    assert_eq!(mine, one.server.export(label).unwrap());
    assert_ne!(mine, two.client.export(label).unwrap());
    assert_ne!(mine, one.client.export(shared::wire::EXPORTER_READ_GRANTS).unwrap());
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let pair = pair().await;
    pair.serve(|_| async { Response::new(empty()) });
    let huge = "x".repeat(limits::HEAD_BYTES + 1);
    let mut ask = request("/", empty());
    ask.headers_mut().insert("large", huge.parse().unwrap());
    let answer = soon(send(&pair.client, ask)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut ask = request("/", empty());
    for number in 0..=limits::HEADERS {
        ask.headers_mut().append("many", number.into());
    }
    let answer = soon(send(&pair.client, ask)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
