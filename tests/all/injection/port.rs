//! The webhook's port, asked by somebody else than the API server (SECURITY.md N4).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tests::injector::{Server, Setup};

use super::pod;
use crate::{golden, told};

fn review(object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE", "namespace": "ci", "object": object,
    }})
}

#[test]
fn what_is_no_review_is_refused_and_ends_nothing() {
    let server = Server::start(&Setup::default());
    let good = review(&pod("job")).to_string();
    let text = |(status, body): (u16, Vec<u8>)| (status, String::from_utf8_lossy(&body).into_owned());
    let other = |path: &str, value: &str| {
        let mut other = review(&pod("job"));
        *other.pointer_mut(path).unwrap() = json!(value);
        other.to_string()
    };
    let beta = other("/apiVersion", "admission.k8s.io/v1beta1");
    let (node, removed) = (other("/request/kind/kind", "Node"), other("/request/operation", "DELETE"));
    let large = vec![b' '; 5 << 20];
    let nested = "[".repeat(100_000);
    let tries: [(&str, &[u8], u16, &str); 10] = [
        ("/mutate", b"", 400, "this is no AdmissionReview"),
        ("/mutate", b"{}", 400, "expected apiVersion admission.k8s.io/v1"),
        ("/mutate", b"\xff\xfe\x00", 400, "this is no AdmissionReview"),
        ("/mutate", nested.as_bytes(), 400, "this is no AdmissionReview"),
        ("/mutate", beta.as_bytes(), 400, "got admission.k8s.io/v1beta1 AdmissionReview"),
        ("/mutate", node.as_bytes(), 400, "mutate does not answer for CREATE of /v1 Node"),
        ("/validate", removed.as_bytes(), 400, "validate does not answer for DELETE of /v1 Pod"),
        ("/", good.as_bytes(), 404, "/mutate, /validate or /warn"),
        ("/mutate/../metrics", good.as_bytes(), 404, "/mutate, /validate or /warn"),
        ("/mutate", &large, 413, "the review is over 4194304 bytes"),
    ];
    for (path, body, status, words) in tries {
        let (code, said) = text(server.connect().post(path, body));
        assert!(code == status && said.contains(words), "{path}: {code} {said}");
    }
    let (code, _) = server.connect().send(b"GET /mutate HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(code, 405);
    let form = format!(
        "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{good}",
        good.len()
    );
    assert_eq!(server.connect().send(form.as_bytes()).0, 415);
    // No TLS, no HTTP, and a client that says nothing.
    for junk in [&b"GET /mutate HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &[0; 4096]] {
        let mut stream = TcpStream::connect(server.webhook()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        stream.write_all(junk).unwrap();
        // It is hung up on, with an alert or without.
        drop(stream.read_to_end(&mut Vec::new()));
    }
    let (code, answer) = text(server.connect().post("/mutate", good.as_bytes()));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, &answer["response"]["allowed"], &answer["response"]["uid"]), (200, &json!(true), &json!("u")));
    let metrics = server.metrics();
    for line in [
        "sallyport_admissions_total{webhook=\"mutate\",result=\"invalid\"} 9",
        "sallyport_admissions_total{webhook=\"mutate\",result=\"patched\"} 1",
        "sallyport_admission_seconds_count 1",
        "sallyport_injector_certificate_end_timestamp_seconds ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (_, metrics) = metrics.split_once("\r\n\r\n").unwrap();
    golden::compare("tests/golden/metrics-injector.txt", &told::shape(metrics));
    server.log().assert_quiet(&["a review was not answered"]);
}

/// As many strangers as there are places: they are shown out, and the API server gets its turn.
#[test]
fn strangers_keep_no_place() {
    let server = Server::start(&Setup::default());
    let strangers: Vec<_> = (0..300).map(|_| TcpStream::connect(server.webhook()).unwrap()).collect();
    let (code, _) = server.connect().post("/mutate", review(&pod("job")).to_string().as_bytes());
    assert_eq!(code, 200);
    drop(strangers);
}

/// With an authority configured, only its clients are answered.
#[test]
fn only_the_api_server_where_it_has_a_certificate() {
    let server = Server::start(&Setup { client_ca: true, ..Setup::default() });
    let mut line = server.connect();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| line.post("/mutate", b"{}")));
    assert!(ended.is_err(), "answered without a certificate: {ended:?}");
}
