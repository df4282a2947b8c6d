//! Raw heads on which two parsers could disagree. Whatever is sent, the control plane sees at most one request, it is the first one, and
//! it is well formed; nothing behind it is ever run.

use shared_net::body::full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::corpus::CORPUS;
use super::fake::{Fake, Sidecar, read, soon};

#[tokio::test]
async fn at_most_the_first_request_passes_and_it_is_well_formed() {
    assert!(CORPUS.len() >= 60, "{}", CORPUS.len());
    let fake = Fake::start(|request| async move {
        let declared: usize =
            request.headers().get("content-length").map_or(0, |l| l.to_str().unwrap().parse().unwrap());
        let body = read(request.into_body()).await;
        assert_eq!(body.len(), declared);
        http::Response::new(full("fine"))
    });
    let sidecar = Sidecar::start(&fake).await;
    let lines = format!("Host: {}\r\nAuthorization: Bearer {}\r\n", sidecar.address, sidecar.token);
    // Without a token, as a smuggled one would be; it also ends the connection, so that reading to the end ends.
    let second = format!("GET /second HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.address);
    for case in CORPUS {
        let (text, never) = case.strip_prefix('!').map_or((*case, false), |rest| (rest, true));
        let before = fake.seen().len();
        let mut io = sidecar.connect(&[b"http/1.1"]).await;
        let raw = text.replace("{h}", &lines).replace("{s}", &second);
        // The sidecar may hang up in the middle.
        drop(io.write_all(raw.as_bytes()).await);
        let mut answers = Vec::new();
        drop(soon(io.read_to_end(&mut answers)).await);
        let answers = String::from_utf8_lossy(&answers).into_owned();
        let seen = &fake.seen()[before..];
        assert!(seen.len() <= 1, "{case}: {seen:?}");
        if never {
            assert!(seen.is_empty(), "{case}: {seen:?}");
            assert!(
                answers.is_empty() || answers.starts_with("HTTP/1.1 4") || answers.starts_with("HTTP/1.0 4"),
                "{case}: {answers}"
            );
        } else {
            assert_eq!(seen.len(), 1, "{case}: {answers}");
        }
        for seen in seen {
            assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "/first"), "{case}");
            for name in ["transfer-encoding", "connection", "upgrade", "authorization", "te", "trailer"] {
                assert!(!seen.headers.contains_key(name), "{case}: {name}");
            }
            assert!(seen.headers.get_all("content-length").iter().count() <= 1, "{case}");
        }
    }
    assert_eq!(fake.panics(), 0);
}
