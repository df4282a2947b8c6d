//! What becomes of a stream whose request asked for another protocol.

use super::*;

#[tokio::test]
pub(super) async fn an_upgraded_stream_tells_end_from_abort() {
    let pair = pair().await;
    let (seen, mut ends) = mpsc::channel(4);
    let tasks = pair.tasks.clone();
    pair.serve(move |mut request| {
        let (seen, tasks) = (seen.clone(), tasks.clone());
        async move {
            let upgrade = hyper::upgrade::on(&mut request);
            tasks.spawn("tunnel", async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut first = [0; 4];
                io.read_exact(&mut first).await.unwrap();
                io.write_all(&first).await.unwrap();
                let mut rest = Vec::new();
                seen.send(io.read_to_end(&mut rest).await.map_err(drop)).await.unwrap();
            });
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "test".parse().unwrap());
            response
        }
    });
    for orderly in [true, false] {
        let mut ask = Request::get("/exec").header("host", "kubernetes").body(empty()).unwrap();
        ask.headers_mut().insert("connection", "upgrade".parse().unwrap());
        ask.headers_mut().insert("upgrade", "test".parse().unwrap());
        let mut answer = soon(send(&pair.client, ask)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut io = TokioIo::new(soon(hyper::upgrade::on(&mut answer)).await.unwrap());
        io.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        soon(io.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, b"ping");
        if orderly {
            io.shutdown().await.unwrap();
            assert_eq!(soon(ends.recv()).await, Some(Ok(0)));
        } else {
            drop(io);
            assert_eq!(soon(ends.recv()).await, Some(Err(())));
        }
    }
}

#[tokio::test]
pub(super) async fn the_refusal_of_an_upgrade_arrives_whole() {
    let pair = pair().await;
    pair.serve(|_| async move {
        let mut response = Response::new(full("not allowed"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    });
    for _ in 0..20 {
        let mut ask = request("/exec", empty());
        ask.headers_mut().insert("connection", "upgrade".parse().unwrap());
        ask.headers_mut().insert("upgrade", "test".parse().unwrap());
        let answer = soon(send(&pair.client, ask)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let body = soon(collect_bounded(answer.into_body(), 100, PATIENCE)).await.unwrap();
        assert_eq!(body, "not allowed");
    }
}
