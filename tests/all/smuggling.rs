//! Heads on which two parsers could disagree, on the whole way: said by a job to its sidecar, and by a sidecar to the control plane. The
//! API server's audit log says what became of them. The second request is written for the next hop, which would carry it out if a single
//! byte behind the first one reached it.

#[path = "../../sidecar/src/tests/corpus.rs"]
mod corpus;

use std::time::Duration;

use corpus::CORPUS;
use shared::wire;
use tests::cluster::AuditEvent;
use tests::kubectl::Version;
use tests::rogue::{Key, Rogue, new_id, tell_sidecar};
use tests::stack::Stack;

/// How often the API server was asked for the ConfigMap of this name.
fn asked(stack: &Stack, name: &str) -> usize {
    let of = |event: &AuditEvent| event.object_ref.as_ref().is_some_and(|object| object.name == name);
    stack
        .namespace()
        .cluster()
        .audit_of(stack.namespace())
        .iter()
        .filter(|event| event.is_complete() && of(event))
        .count()
}

/// A case with these lines in the first head, and the second request as the control plane takes them.
fn bytes(stack: &Stack, case: &str, lines: &str) -> Vec<u8> {
    let path = format!("/api/v1/namespaces/{}/configmaps", &**stack.namespace());
    let second = format!("GET {path}/second HTTP/1.1\r\n{}\r\n", operation_lines());
    let text = case.trim_start_matches('!').replace("POST", "GET").replace("/first", &format!("{path}/first"));
    text.replace("{h}", lines).replace("{s}", &second).into_bytes()
}

fn operation_lines() -> String {
    format!("Host: {}\r\n{}: {}\r\n", wire::HOST_KUBERNETES, wire::header::OPERATION, new_id())
}

fn answers(said: &[u8]) -> usize {
    String::from_utf8_lossy(said).matches("HTTP/1.1 ").count()
}

/// SECURITY.md U5: at most the first request of a connection with an odd head is carried out, whichever hop it is said to.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_behind_an_odd_head_reaches_the_api_server() {
    let stack = Stack::start("smuggling");
    let token = std::fs::read_to_string(stack.sidecar_files().join("token")).expect("the sidecar wrote a token");
    let lines = format!("Host: {}\r\nAuthorization: Bearer {token}\r\n", stack.sidecar());
    let mut passed = 0;
    for case in CORPUS {
        let before = asked(&stack, "first");
        tell_sidecar(&stack, b"http/1.1", &bytes(&stack, case, &lines), Duration::from_secs(5)).await;
        let first = asked(&stack, "first") - before;
        assert!(first <= usize::from(!case.starts_with('!')), "{case:?} was carried out {first} times");
        passed += first;
    }
    assert!(passed >= 5, "of the odd heads with one reading, {passed} were carried out");

    let (rogue, _) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    passed = 0;
    for case in CORPUS {
        let before = asked(&stack, "first");
        let mut exchange = rogue.begin(&bytes(&stack, case, &operation_lines())).await;
        exchange.finish();
        let said = exchange.said().await;
        assert!(answers(&said) <= 1, "{case:?} was answered more than once: {}", String::from_utf8_lossy(&said));
        let first = asked(&stack, "first") - before;
        assert!(first <= 1, "{case:?} was carried out {first} times");
        passed += first;
    }
    assert!(passed >= 5, "of the odd heads with one reading, {passed} were carried out");
    assert_eq!(asked(&stack, "second"), 0, "a smuggled request was carried out");
    stack.kubectl(Version::Middle).run(&["get", "configmaps"]).await.ok();
}
