use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use http::{Response, StatusCode, header};
use shared_net::body::full;
use shared_net::clock::{Clock, ManualClock};
use shared_net::pki::Ca;

use super::fake::{Fake, Inner, Sidecar, read, soon};

/// A control plane that loses its connections while it handles the first `losses` requests.
fn losing(losses: u32, forgets: bool) -> Fake {
    let me: Arc<OnceLock<Arc<Inner>>> = Arc::default();
    let (inner, count) = (Arc::clone(&me), AtomicU32::new(0));
    let fake = Fake::start(move |request| {
        let inner = Arc::clone(inner.get().unwrap());
        let lose = count.fetch_add(1, Ordering::Relaxed) < losses;
        async move {
            let body = read(request.into_body()).await;
            if lose {
                if forgets {
                    inner.forget();
                }
                inner.cut();
                std::future::pending::<()>().await;
            }
            Response::new(full(body))
        }
    });
    assert!(me.set(Arc::clone(&fake.inner)).is_ok());
    fake
}

#[tokio::test]
async fn a_lost_operation_is_put_again_under_the_same_id() {
    for h2 in [false, true] {
        let fake = losing(3, false);
        let sidecar = Sidecar::start(&fake).await;
        let mut client = sidecar.client(h2).await;
        let answer = client.call("POST", "/api/v1/namespaces/a/pods", "the body").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(read(answer.into_body()).await, "the body");
        let seen = fake.seen();
        assert_eq!(seen.len(), 4);
        assert!(seen.iter().all(|other| other.operation() == seen[0].operation()));
        assert_eq!(fake.inner.sessions.borrow().len(), 4);
    }
}

/// A control plane that ends says so of what waits in it, as often as it is asked until it is gone.
#[tokio::test]
async fn an_operation_that_waits_is_asked_for_again() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let fake = Fake::start(move |_| {
        let ends = count.fetch_add(1, Ordering::Relaxed) < 4;
        async move {
            let mut answer = Response::new(full("made"));
            if ends {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                answer.headers_mut().insert(shared::wire::header::AGAIN, header::HeaderValue::from_static("1"));
            }
            answer
        }
    });
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(true).await;
    let answer = client.call("POST", "/api/v1/namespaces/a/pods", "the body").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(read(answer.into_body()).await, "made");
    let seen = fake.seen();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|other| other.operation() == seen[0].operation()), "under one id");
}

/// A control plane that goes away gives back what it has not looked at: it goes to the next one, and its client waits.
#[tokio::test]
async fn what_is_given_back_waits_for_the_next_control_plane() {
    let fake = Fake::echo();
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(true).await;
    assert_eq!(client.get("/api").await.status(), StatusCode::OK);
    fake.inner.go_away();
    let call = client.call("POST", "/api/v1/namespaces/a/pods", "the body");
    let restart = async {
        while fake.inner.resets() == 0 {
            tokio::task::yield_now().await;
        }
        fake.inner.cut();
    };
    let (answer, ()) = soon(async { tokio::join!(call, restart) }).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(read(answer.into_body()).await, "the body");
    assert_eq!(fake.seen().len(), 2, "it was seen once");
}

#[tokio::test]
async fn another_session_never_gets_the_operation() {
    let fake = losing(1, true);
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(true).await;
    let answer = client.call("POST", "/api/v1/namespaces/a/pods", "the body").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    let text = String::from_utf8(read(answer.into_body()).await.to_vec()).unwrap();
    assert!(text.contains("outcome unknown"), "{text}");
    assert!(text.contains(fake.seen()[0].operation()), "{text}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_reset_again_and_again_is_unknown() {
    let fake = Fake::start(|_| async { panic!("no answer") });
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(false).await;
    let answer = client.call("POST", "/api/v1/pods", "x").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
    let seen = fake.seen();
    assert_eq!((seen.len(), fake.panics()), (2, 2));
    assert_eq!(seen[0].operation(), seen[1].operation());
    // Of a read it doesn't matter.
    let mut client = sidecar.client(false).await;
    let answer = client.get("/api/v1/pods").await;
    let (status, text) = (answer.status(), String::from_utf8(read(answer.into_body()).await.to_vec()).unwrap());
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("it only reads, so nothing was changed: run it again"), "{text}");
    assert!(text.contains(fake.seen()[2].operation()), "{text}");
}

#[tokio::test]
async fn after_a_possible_send_the_wait_has_an_end() {
    let fake = losing(u32::MAX, false);
    let sidecar = Sidecar::with(fake.address, &fake.ca, &[("SALLYPORT_REJOIN_WAIT", "500ms")], Clock::system()).await;
    let mut client = sidecar.client(true).await;
    let answer = client.call("POST", "/api/v1/pods", "x").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(!answer.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn nobody_there_means_come_back() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let ca = Ca::generate("control plane", Clock::system().now()).unwrap();
    let sidecar = Sidecar::with(nobody.local_addr().unwrap(), &ca, &[], Clock::system()).await;
    let mut client = sidecar.client(true).await;
    let answer = client.call("POST", "/api/v1/pods", "x").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    let text = String::from_utf8(read(answer.into_body()).await.to_vec()).unwrap();
    assert!(text.contains("was not sent"), "{text}");
}

#[tokio::test]
async fn a_control_plane_under_another_key_gets_nothing() {
    let fake = Fake::echo();
    let other = Ca::generate("control plane", Clock::system().now()).unwrap();
    let sidecar = Sidecar::with(fake.address, &other, &[], Clock::system()).await;
    let mut client = sidecar.client(true).await;
    let answer = client.get("/api").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(fake.seen().is_empty() && fake.inner.sessions.borrow().is_empty());
}

#[tokio::test]
async fn a_refused_session_says_why_and_recovers() {
    let fake = Fake::echo();
    *fake.inner.refuse.lock().unwrap() = Some((StatusCode::UNAUTHORIZED, "token has expired".to_owned()));
    let sidecar = Sidecar::start(&fake).await;
    let mut client = sidecar.client(true).await;
    let answer = client.get("/api").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let text = String::from_utf8(read(answer.into_body()).await.to_vec()).unwrap();
    assert!(text.contains("token has expired"), "{text}");
    assert!(fake.seen().is_empty());
    *fake.inner.refuse.lock().unwrap() = None;
    soon(async { while client.get("/api").await.status() != StatusCode::OK {} }).await;
}

#[tokio::test]
async fn a_renewed_token_renews_the_session() {
    let fake = Fake::echo();
    let hand = ManualClock::new(Clock::system().now());
    let sidecar = Sidecar::with(fake.address, &fake.ca, &[], hand.clock()).await;
    let mut sessions = fake.inner.sessions.subscribe();
    soon(sessions.wait_for(|sessions| sessions.len() == 1)).await.unwrap();
    std::fs::write(sidecar.file("pod-token"), "pod-token-2\n").unwrap();
    let renewed = sessions.wait_for(|sessions| sessions.len() == 2);
    let moving = async {
        loop {
            hand.advance(shared::limits::TOKEN_POLL);
            tokio::task::yield_now().await;
            if fake.inner.sessions.borrow().len() == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (renewed, ()) = soon(async { tokio::join!(renewed, moving) }).await;
    assert_eq!(renewed.unwrap()[1]["podToken"], "pod-token-2");
}
