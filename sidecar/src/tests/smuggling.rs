//! Raw heads on which two parsers could disagree. Whatever is sent, the control plane sees at most one request, it is the first one, and
//! it is well formed; nothing behind it is ever run.

use shared_net::body::full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake::{Fake, Sidecar, read, soon};

/// `{h}` stands for the lines Host and Authorization, `{s}` for a whole second request. A case that may not pass at all begins with `!`.
const CORPUS: &[&str] = &[
    // Two lengths.
    "POST /first HTTP/1.1\r\n{h}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nContent-Length: 300\r\n\r\n1\r\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5\r\nContent-Length: 6\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 0\r\nContent-Length: 5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5, 6\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5, 5\r\n\r\naaaaa{s}",
    "POST /first HTTP/1.1\r\n{h}Content-Length: 5\r\nContent-Length: 5\r\n\r\naaaaa{s}",
    // Odd lengths.
    "!POST /first HTTP/1.1\r\n{h}Content-Length: +5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: -5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5 5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 0x5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5a\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 5.0\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length:\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 99999999999999999999999\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: 18446744073709551617\r\n\r\na{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length: ٥\r\n\r\naaaaa{s}",
    "POST /first HTTP/1.1\r\n{h}Content-Length: 05\r\n\r\naaaaa{s}",
    "POST /first HTTP/1.1\r\n{h}Content-Length:  5 \r\n\r\naaaaa{s}",
    // Odd transfer encodings.
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: identity\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: gzip\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding:\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\u{b}\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.0\r\n{h}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.0\r\n{h}Content-Length: 5\r\nConnection: keep-alive\r\n\r\naaaaa{s}",
    // Odd chunks.
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n1\r\naa\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n{s}",
    "POST /first HTTP/1.1\r\n{h}Transfer-Encoding: chunked\r\n\r\n1;ext=\"x\"\r\na\r\n0\r\n\r\n{s}",
    // Lines.
    "!POST /first HTTP/1.1\r\n{h}X: a\r\n Content-Length: 5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h} X: a\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}X: a\rContent-Length: 5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}X: a\0b\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}X\0: a\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}: a\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}no colon\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Content Length: 5\r\n\r\naaaaa{s}",
    "!POST /first HTTP/1.1\r\n{h}Content-Length : 5\r\n\r\naaaaa{s}",
    "POST /first HTTP/1.1\n{h}X: a\n\n{s}",
    // Request lines and targets.
    "!POST  /first HTTP/1.1\r\n{h}\r\n{s}",
    "!POST /first  HTTP/1.1\r\n{h}\r\n{s}",
    "!POST\t/first\tHTTP/1.1\r\n{h}\r\n{s}",
    "!POST /fir st HTTP/1.1\r\n{h}\r\n{s}",
    "!POST /first HTTP/1.2\r\n{h}\r\n{s}",
    "!POST /first HTTP/2.0\r\n{h}\r\n{s}",
    "!POST /first\r\n{h}\r\n{s}",
    "!POST first HTTP/1.1\r\n{h}\r\n{s}",
    "!POST /first HTTP/1.1 HTTP/1.1\r\n{h}\r\n{s}",
    "!PO\0ST /first HTTP/1.1\r\n{h}\r\n{s}",
    "!CONNECT /first HTTP/1.1\r\n{h}\r\n{s}",
    "!CONNECT 127.0.0.1:443 HTTP/1.1\r\n{h}\r\n{s}",
    "!OPTIONS * HTTP/1.1\r\n{h}\r\n{s}",
    "!POST http://evil.example/first HTTP/1.1\r\n{h}\r\n{s}",
    "!PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{s}",
    // Hosts, credentials, hop-by-hop.
    "!POST /first HTTP/1.1\r\n{h}Host: evil.example\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\nHost: evil.example\r\n{h}\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Authorization: Bearer x\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Connection: Authorization\r\n\r\n{s}",
    "!POST /first HTTP/1.1\r\n{h}Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n{s}",
];

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
