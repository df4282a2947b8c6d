use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use shared::limits;
use shared_net::body::{BodySender, channel, empty, full};
use shared_net::clock::{Clock, ManualClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::fake::{Fake, Sidecar, read, soon};
use crate::ready;

const BOTH: [bool; 2] = [false, true];

#[tokio::test]
async fn requests_and_answers_pass_unchanged() {
    let fake = Fake::start(|request| async move {
        let body = read(request.into_body()).await;
        Response::builder()
            .status(StatusCode::CREATED)
            .header("content-type", "application/json")
            .header("audit-id", "a1")
            .header("warning", "299 - \"one\"")
            .header("warning", "299 - \"two\"")
            .body(full(body))
            .unwrap()
    });
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        let mut client = sidecar.client(h2).await;
        for size in [0, 5, 100_000, limits::REQUEST_BODY_BYTES] {
            let sent = Bytes::from(vec![b'x'; size]);
            let path = "/api/v1/namespaces/a/pods?watch=true&labelSelector=a%3Db%2Cc&x=+";
            let mut request = client.request("POST", path, sent.clone());
            request.headers_mut().insert("accept", "application/json".parse().unwrap());
            request.headers_mut().insert("sallyport-operation", "forged".parse().unwrap());
            let answer = soon(client.send(request)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::CREATED);
            assert_eq!(answer.headers()["audit-id"], "a1");
            assert_eq!(answer.headers().get_all("warning").iter().count(), 2);
            assert!(!answer.headers().contains_key(header::CONNECTION));
            assert!(!answer.headers().contains_key(header::DATE));
            assert_eq!(read(answer.into_body()).await, sent);
            let seen = fake.seen().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", path));
            assert_eq!(seen.headers["host"], "kubernetes");
            assert_eq!(seen.headers["accept"], "application/json");
            let length = seen.headers.get("content-length").map_or("0", |length| length.to_str().unwrap());
            assert_eq!(length, size.to_string());
            assert!(!seen.headers.contains_key("authorization"));
            assert!(!seen.headers.contains_key("transfer-encoding"));
            assert_eq!(seen.headers.get_all("sallyport-operation").iter().count(), 1);
            let id: uuid::Uuid = seen.operation().parse().unwrap();
            assert_eq!(id.get_version_num(), 7);
        }
    }
    let mut ids: Vec<_> = fake.seen().iter().map(|seen| seen.operation().to_owned()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    assert_eq!(fake.inner.sessions.borrow().len(), 1);
    assert_eq!(fake.inner.sessions.borrow()[0]["podToken"], "pod-token-1");
}

type Sources = mpsc::Receiver<BodySender>;

/// A control plane whose every answer is pushed by the test.
fn pushed() -> (Fake, Sources) {
    let (sources, source) = mpsc::channel(4);
    let fake = Fake::start(move |_| {
        let sources = sources.clone();
        async move {
            let (sender, body) = channel(1);
            sources.send(sender).await.unwrap();
            Response::new(body.boxed_unsync())
        }
    });
    (fake, source)
}

#[tokio::test]
async fn watch_events_arrive_one_by_one() {
    let (fake, mut sources) = pushed();
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        let mut client = sidecar.client(h2).await;
        let mut answer = client.get("/api/v1/pods?watch=1").await.into_body();
        let source = sources.recv().await.unwrap();
        for event in ["{\"type\":\"ADDED\"}\n", "{\"type\":\"DELETED\"}\n"] {
            source.send(Bytes::from(event)).await.unwrap();
            assert_eq!(soon(answer.frame()).await.unwrap().unwrap().into_data().unwrap(), event);
        }
        source.finish().await.unwrap();
        // Over HTTP/2 the end may come as an empty frame of its own.
        while let Some(end) = soon(answer.frame()).await {
            assert!(end.unwrap().into_data().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_control_plane() {
    let (fake, mut sources) = pushed();
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        // In mid body, by dropping the answer (h2: a reset) or the connection (h1).
        let mut client = sidecar.client(h2).await;
        let answer = client.get("/api/v1/pods?watch=1").await;
        let source = sources.recv().await.unwrap();
        drop((answer, client));
        soon(source.closed()).await;
    }
}

struct OnDrop(Option<oneshot::Sender<()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).unwrap_or_default();
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_handler() {
    let (started, mut starts) = mpsc::channel(1);
    let fake = Fake::start(move |_| {
        let started = started.clone();
        async move {
            let (gone, freed) = oneshot::channel();
            let _guard = OnDrop(Some(gone));
            started.send(freed).await.unwrap();
            std::future::pending().await
        }
    });
    let sidecar = Sidecar::start(&fake).await;
    for (h2, hang_up) in [(false, true), (true, true), (true, false)] {
        let mut client = sidecar.client(h2).await;
        let request = client.request("DELETE", "/api/v1/namespaces/a/pods/p", "");
        let mut call = Box::pin(client.send(request));
        let freed = tokio::select! {
            _ = &mut call => unreachable!("it is held"),
            freed = soon(starts.recv()) => freed.unwrap(),
        };
        drop(call);
        if hang_up {
            drop(client);
            soon(freed).await.unwrap();
        } else {
            soon(freed).await.unwrap();
            drop(client);
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_a_clean_end() {
    let (fake, mut sources) = pushed();
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        for cut in [false, true] {
            let mut client = sidecar.client(h2).await;
            let mut answer = client.get("/api/v1/pods?watch=1").await.into_body();
            let source = sources.recv().await.unwrap();
            source.send(Bytes::from("half")).await.unwrap();
            assert!(soon(answer.frame()).await.unwrap().is_ok());
            if cut {
                fake.inner.cut();
            } else {
                drop(source);
            }
            assert!(soon(answer.frame()).await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn oversized_heads_and_bodies_are_refused_here() {
    let fake = Fake::echo();
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        let mut client = sidecar.client(h2).await;
        let answer = client.call("POST", "/api/v1/pods", vec![0; limits::REQUEST_BODY_BYTES + 1]).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let status: serde_json::Value = serde_json::from_slice(&read(answer.into_body()).await).unwrap();
        assert_eq!((&status["kind"], &status["code"]), (&"Status".into(), &413.into()));

        let mut client = sidecar.client(h2).await;
        let long = format!("/api/{}", "a".repeat(limits::URI_BYTES));
        assert_eq!(client.get(&long).await.status(), StatusCode::BAD_REQUEST);

        for many in [false, true] {
            let mut client = sidecar.client(h2).await;
            let mut request = client.request("GET", "/api", "");
            if many {
                for number in 0..limits::HEADERS {
                    request.headers_mut().append("many", number.into());
                }
            } else {
                let huge = "x".repeat(limits::HEAD_BYTES);
                request.headers_mut().insert("huge", huge.parse().unwrap());
            }
            // A client that checks the server's setting may refuse to send it at all.
            if let Ok(answer) = soon(client.send(request)).await {
                assert!(answer.status().is_client_error(), "{}", answer.status());
            }
        }
    }
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let (mut near, far) = tokio::io::duplex(1024);
    let hand = ManualClock::new(Clock::system().now());
    let gate = super::gate(&hand.clock());
    let serving = crate::listener::connection(far, false, "127.0.0.1:1".parse().unwrap(), Arc::new(gate));
    let client = async {
        near.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        rest
    };
    let begun = tokio::time::Instant::now();
    let (rest, ()) = tokio::join!(client, serving);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"));
    assert!(begun.elapsed() >= limits::HEAD_WAIT && begun.elapsed() < limits::HEAD_WAIT * 2);
}

#[tokio::test]
async fn strangers_are_refused_before_anything_leaves() {
    let fake = Fake::echo();
    let sidecar = Sidecar::start(&fake).await;
    for h2 in BOTH {
        for (name, value, expected) in [
            ("origin", "https://evil.example", StatusCode::FORBIDDEN),
            ("sec-fetch-site", "cross-site", StatusCode::FORBIDDEN),
            ("authorization", "Bearer ", StatusCode::UNAUTHORIZED),
            ("authorization", "Bearer wrong", StatusCode::UNAUTHORIZED),
            ("host", "evil.example", StatusCode::FORBIDDEN),
        ] {
            let mut client = sidecar.client(h2).await;
            let mut request = client.request("GET", "/api/v1/secrets", "");
            request.headers_mut().insert(name, value.parse().unwrap());
            let answer = soon(client.send(request)).await.unwrap();
            assert_eq!(answer.status(), expected, "{name}: {value}");
            let body = read(answer.into_body()).await;
            assert!(body.starts_with(b"{\"kind\":\"Status\""), "{body:?}");
        }
    }
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn stopping_finishes_what_runs() {
    let (release, gate) = oneshot::channel::<()>();
    let gate = Mutex::new(Some(gate));
    let (started, mut starts) = mpsc::channel(1);
    let fake = Fake::start(move |_| {
        let (gate, started) = (gate.lock().unwrap().take().unwrap(), started.clone());
        async move {
            started.send(()).await.unwrap();
            gate.await.unwrap();
            Response::new(empty())
        }
    });
    let mut sidecar = Sidecar::start(&fake).await;
    ready::check(&sidecar.config).await.unwrap();
    let mut client = sidecar.client(true).await;
    let request = client.request("GET", "/api", "");
    let call = client.send(request);
    let stop = async {
        starts.recv().await.unwrap();
        sidecar.ask_to_stop();
        release.send(()).unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(call, stop) }).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    sidecar.ended().await;
    assert!(matches!(ready::check(&sidecar.config).await, Err(ready::NotReady::NoListener(_))));
}

/// Also one that gives it no session: it would take the sidecar for alive, and its own end would wait for it.
#[tokio::test]
async fn a_control_plane_is_told_that_it_stops() {
    for refused in [false, true] {
        let fake = Fake::echo();
        if refused {
            *fake.inner.refuse.lock().unwrap() = Some((StatusCode::UNAUTHORIZED, "nobody knows you".to_owned()));
        }
        let mut sidecar = Sidecar::start(&fake).await;
        let mut sessions = fake.inner.sessions.subscribe();
        soon(sessions.wait_for(|sessions| !sessions.is_empty())).await.unwrap();
        sidecar.ask_to_stop();
        sidecar.ended().await;
        let connections = fake.inner.connections();
        assert_eq!(connections.len(), 1, "it goes, and makes no other one");
        for connection in connections {
            soon(connection.closed()).await;
            assert_eq!(connection.peer_close_code(), Some(shared::wire::code::SHUTDOWN.into()), "refused: {refused}");
        }
    }
}

/// What the kubelet runs right after the sidecar's start, and whose end the next container waits for.
#[tokio::test]
async fn the_hook_after_the_start_ends_when_it_serves() {
    let fake = Fake::echo();
    let there = Sidecar::start(&fake).await;
    soon(ready::wait(&there.config)).await.unwrap();
    let ca = there.config.serve_dir.join("ca.crt");
    let text = std::fs::read(&ca).unwrap();
    std::fs::remove_file(&ca).unwrap();
    let (seen, look) = oneshot::channel();
    let mut waiting = pin!(ready::wait(&there.config));
    let written = async {
        look.await.unwrap();
        std::fs::write(&ca, &text).unwrap();
    };
    // It has looked in vain before the file is there.
    tokio::select! {
        biased;
        waited = &mut waiting => panic!("{waited:?}"),
        () = tokio::task::yield_now() => {}
    }
    seen.send(()).unwrap();
    let (waited, ()) = soon(async { tokio::join!(waiting, written) }).await;
    waited.unwrap();
}

#[tokio::test]
async fn files_of_another_life_are_not_ready() {
    let fake = Fake::echo();
    let (one, two) = (Sidecar::start(&fake).await, Sidecar::start(&fake).await);
    std::fs::copy(two.config.serve_dir.join("ca.crt"), one.config.serve_dir.join("ca.crt")).unwrap();
    assert!(matches!(ready::check(&one.config).await, Err(ready::NotReady::Other(_))));
    std::fs::remove_file(one.config.serve_dir.join("ca.crt")).unwrap();
    assert!(matches!(ready::check(&one.config).await, Err(ready::NotReady::NoCertificate(_))));
}

#[tokio::test]
async fn clients_wait_for_a_session_where_they_are_told_to() {
    let fake = Fake::echo();
    *fake.inner.refuse.lock().unwrap() = Some((StatusCode::UNAUTHORIZED, "not yet".to_owned()));
    let wait = [("SALLYPORT_START_WITHOUT_CONTROL_PLANE", "false")];
    let sidecar = Sidecar::with(fake.address, &fake.ca, &wait, Clock::system()).await;
    assert!(matches!(ready::check(&sidecar.config).await, Err(ready::NotReady::NoSession)));
    assert!(sidecar.config.serve_dir.join("ca.crt").exists());
    *fake.inner.refuse.lock().unwrap() = None;
    let opened = async {
        while ready::check(&sidecar.config).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon(opened).await;
    let token = std::fs::read_to_string(sidecar.config.serve_dir.join("token")).unwrap();
    assert!(!token.is_empty() && sidecar.token.is_empty());
}
