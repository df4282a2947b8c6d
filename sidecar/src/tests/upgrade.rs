use bytes::Bytes;
use http::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use shared_net::body::{empty, full};
use shared_net::tasks::TaskSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::fake::{Fake, Sidecar, read, soon};

/// A control plane that switches, echoes four bytes, and then tells how the tunnel ended.
fn switching(protocol: &'static str) -> (Fake, mpsc::Receiver<Result<usize, ()>>) {
    let (ends, end) = mpsc::channel(4);
    let fake = Fake::start(move |mut request| {
        let ends = ends.clone();
        async move {
            let upgrade = hyper::upgrade::on(&mut request);
            TaskSet::new().spawn("tunnel", async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut first = [0; 4];
                io.read_exact(&mut first).await.unwrap();
                io.write_all(&first).await.unwrap();
                let mut rest = Vec::new();
                ends.send(io.read_to_end(&mut rest).await.map_err(drop)).await.unwrap();
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "Upgrade")
                .header("upgrade", protocol)
                .header("x-stream-protocol-version", "v5.channel.k8s.io")
                .body(empty())
                .unwrap()
        }
    });
    (fake, end)
}

async fn ask(sidecar: &Sidecar, protocol: &str) -> Response<hyper::body::Incoming> {
    let mut client = sidecar.client(false).await;
    let mut request = client.request("POST", "/api/v1/namespaces/a/pods/p/exec?command=sh", "");
    request.headers_mut().insert("connection", "Upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", protocol.parse().unwrap());
    let answer = soon(client.send(request)).await.unwrap();
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // The connection lives on in the tunnel.
        std::mem::forget(client);
    }
    answer
}

#[tokio::test]
async fn a_tunnel_tells_end_from_abort() {
    for protocol in ["SPDY/3.1", "websocket"] {
        let (fake, mut ends) = switching(protocol);
        let sidecar = Sidecar::start(&fake).await;
        let mut answer = ask(&sidecar, protocol).await;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(answer.headers()["upgrade"], protocol);
        assert_eq!(answer.headers()["x-stream-protocol-version"], "v5.channel.k8s.io");
        let mut io = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
        io.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        soon(io.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, b"ping");
        io.shutdown().await.unwrap();
        assert_eq!(soon(ends.recv()).await, Some(Ok(0)));

        let mut answer = ask(&sidecar, protocol).await;
        let mut io = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
        io.write_all(b"ping").await.unwrap();
        soon(io.read_exact(&mut back)).await.unwrap();
        // The control plane goes away in mid stream: the client must not see an orderly end.
        fake.inner.cut();
        assert!(soon(ends.recv()).await.unwrap().is_err());
        let mut rest = Vec::new();
        assert!(soon(io.read_to_end(&mut rest)).await.is_err());
    }
}

#[tokio::test]
async fn only_what_was_asked_is_switched_to() {
    let (fake, _ends) = switching("websocket");
    let sidecar = Sidecar::start(&fake).await;
    assert_eq!(ask(&sidecar, "SPDY/3.1").await.status(), StatusCode::BAD_GATEWAY);
    for unknown in ["h2c", "foo", "websocket, SPDY/3.1", "TLS/1.0"] {
        assert_eq!(ask(&sidecar, unknown).await.status(), StatusCode::BAD_REQUEST, "{unknown}");
    }
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn after_a_refused_or_ignored_upgrade_the_connection_is_over() {
    for (status, expected) in [(403, 403), (404, 404), (500, 500), (200, 200), (302, 502), (304, 502)] {
        let fake = Fake::start(move |_| async move { Response::builder().status(status).body(full("no")).unwrap() });
        let sidecar = Sidecar::start(&fake).await;
        for pipelined in [false, true] {
            let mut io = sidecar.connect(&[b"http/1.1"]).await;
            let second = format!(
                "DELETE /api/v1/nodes/n HTTP/1.1\r\nHost: {0}\r\nAuthorization: Bearer {1}\r\n\r\n",
                sidecar.address, sidecar.token
            );
            let mut first = format!(
                "POST /api/v1/namespaces/a/pods/p/exec HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
                sidecar.address, sidecar.token
            );
            if pipelined {
                first.push_str(&second);
            }
            io.write_all(first.as_bytes()).await.unwrap();
            let mut answer = vec![0; 12];
            soon(io.read_exact(&mut answer)).await.unwrap();
            if !pipelined {
                // May fail: the connection may be gone already.
                drop(io.write_all(second.as_bytes()).await);
            }
            drop(soon(io.read_to_end(&mut answer)).await);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
            assert!(fake.seen().iter().all(|seen| seen.method == "POST"));
        }
        assert_eq!(fake.seen().len(), 2);
    }
}

#[tokio::test]
async fn an_unasked_switch_is_refused() {
    let (fake, _ends) = switching("websocket");
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(false).await;
    let answer = client.get("/version").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let body: Bytes = read(answer.into_body()).await;
    assert!(body.starts_with(b"{\"kind\":\"Status\""));
}
