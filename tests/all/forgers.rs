//! Failure row D3: frames of QUIC that no honest peer sends, from a stranger who has only shaken hands. The list is that of other
//! implementations' holes (quic-go CVE-2024-22189, CVE-2023-49295; CoreDNS CVE-2025-47950; acknowledgements of what was never sent;
//! streams in crumbs). What must hold: the connection ends with the code that RFC 9000 names, or costs nothing that grows; others go on.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use quinn::TransportErrorCode;
use tests::bench::machine::memory;
use tests::forger::frames::{PATH_RESPONSE, frame, stream};
use tests::forger::{Fill, Forger};
use tests::kubectl::Version;
use tests::stack::Stack;

/// What a flood may add to the control plane's memory, in bytes: windows and buffers of a connection, and what the allocator keeps.
const GROWTH: f64 = 32e6;

async fn dial(stack: &Stack) -> Forger {
    Forger::dial(stack.quic(), stack.pin()).await.expect("the port answers")
}

fn resident(stack: &Stack) -> f64 {
    let [_, control_plane, _] = stack.pids();
    memory(control_plane, "VmRSS").expect("it runs")
}

/// As many as fit, each made from its number.
fn each(mut make: impl FnMut(u64) -> Vec<u8> + Send + 'static) -> Fill {
    let mut number = 0;
    Box::new(move |packet, room| {
        loop {
            let next = make(number + 1);
            if packet.len() + next.len() > room {
                return;
            }
            packet.extend(next);
            number += 1;
        }
    })
}

/// NEW_CONNECTION_ID that retires all before it.
fn new_id(number: u64, id: [u8; 8]) -> Vec<u8> {
    frame(0x18, &[number, number], &[&[8_u8][..], &id, &[7; 16]].concat())
}

async fn others_go_on(stack: &Stack, before: f64, what: &str) {
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();
    let grown = resident(stack) - before;
    assert!(grown < GROWTH, "{what}: the control plane has grown by {grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_a_forged_frame_ends_its_connection() {
    let stack = Stack::start("forged");
    let fin = 0x01;
    let cases: Vec<(&str, Vec<u8>, TransportErrorCode)> = vec![
        ("a stream beyond those allowed", stream(4 * 100_000, 0, b"x"), TransportErrorCode::STREAM_LIMIT_ERROR),
        ("a stream of one direction", stream(2, 0, b"x"), TransportErrorCode::STREAM_LIMIT_ERROR),
        ("a stream that only we may open", stream(1, 0, b"x"), TransportErrorCode::STREAM_STATE_ERROR),
        ("data beyond the window", stream(0, 1 << 40, b"x"), TransportErrorCode::FLOW_CONTROL_ERROR),
        (
            "a stream with two ends",
            [frame(0x0e | fin, &[0, 10, 0], b""), frame(0x0e | fin, &[0, 20, 0], b"")].concat(),
            TransportErrorCode::FINAL_SIZE_ERROR,
        ),
        (
            "an acknowledgement of what was never sent",
            frame(0x02, &[1 << 30, 0, 0, 0], b""),
            TransportErrorCode::PROTOCOL_VIOLATION,
        ),
        (
            "a handshake that goes on for ever",
            frame(0x06, &[1 << 30, 1], b"x"),
            TransportErrorCode::CRYPTO_BUFFER_EXCEEDED,
        ),
        ("the server's word that the handshake is done", frame(0x1e, &[], b""), TransportErrorCode::PROTOCOL_VIOLATION),
        ("a token for the server", frame(0x07, &[4], b"abcd"), TransportErrorCode::PROTOCOL_VIOLATION),
        (
            "an id given back that was never given out",
            frame(0x19, &[1 << 20], b""),
            TransportErrorCode::PROTOCOL_VIOLATION,
        ),
        (
            "an id that retires later ones",
            frame(0x18, &[1, 9], &[&[8_u8][..], &[1; 24]].concat()),
            TransportErrorCode::FRAME_ENCODING_ERROR,
        ),
        ("a datagram, which nobody offered", frame(0x31, &[1], b"x"), TransportErrorCode::PROTOCOL_VIOLATION),
        ("a frame that does not exist", vec![0x3f], TransportErrorCode::FRAME_ENCODING_ERROR),
        ("a frame longer than its packet", frame(0x06, &[0, 5000], b"x"), TransportErrorCode::FRAME_ENCODING_ERROR),
    ];
    let before = resident(&stack);
    for (what, forged, code) in cases {
        let told = dial(&stack).await.once(forged).await.expect("a stream may be opened");
        assert_eq!(told, Some(code), "{what}");
    }
    others_go_on(&stack, before, "forged frames").await;
}

/// CVE-2024-22189: ids that retire each other, and no word that their retirement has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn d3_connection_ids_without_end_end_their_connection() {
    let stack = Stack::start("forged");
    let before = resident(&stack);
    let forger = dial(&stack).await;
    let id = forger.id();
    let heard = forger.flood(2000, each(move |number| new_id(number, id))).await.expect("a stream may be opened");
    let told = forger.closed().await;
    assert_eq!(
        told,
        Some(TransportErrorCode::CONNECTION_ID_LIMIT_ERROR),
        "{heard:?} {:?}",
        forger.connection.close_reason()
    );
    others_go_on(&stack, before, "connection ids").await;
}

/// CVE-2023-49295: questions about the path, faster than answers can leave.
#[tokio::test(flavor = "multi_thread")]
async fn d3_path_challenges_queue_no_answers() {
    let stack = Stack::start("forged");
    let before = resident(&stack);
    let forger = dial(&stack).await;
    let heard = forger
        .flood(700, each(|number| frame(0x1a, &[], &number.to_be_bytes())))
        .await
        .expect("a stream may be opened");
    let (answers, packets) = (heard.count(PATH_RESPONSE), forger.sent());
    assert!(packets >= 500 && (1..=packets).contains(&answers), "{packets} packets, {heard:?}");
    others_go_on(&stack, before, "path challenges").await;
}

/// Streams in crumbs of one byte, with a gap after each: what holds a crumb must not cost a packet.
#[tokio::test(flavor = "multi_thread")]
async fn d3_crumbs_of_streams_cost_little() {
    let stack = Stack::start("forged");
    let before = resident(&stack);
    let forger = dial(&stack).await;
    let crumbs = each(|number| stream(4 * (number % 64), 2 * (number / 64), b"x"));
    forger.flood(700, crumbs).await.expect("a stream may be opened");
    assert!(forger.sent() >= 500, "{} packets", forger.sent());
    others_go_on(&stack, before, "crumbs").await;
}

/// CVE-2025-47950 and HTTP/2's rapid reset, over QUIC: streams that are opened and given up at once, faster than their requests are read.
#[tokio::test(flavor = "multi_thread")]
async fn d3_streams_that_are_given_up_at_once_leave_nothing() {
    let stack = Stack::start("forged");
    let before = resident(&stack);
    let forger = dial(&stack).await;
    for _ in 0..20_000 {
        let (mut send, mut receive) = forger.connection.open_bi().await.expect("a stream may be opened");
        send.write_all(b"GET /api/v1/pods HTTP/1.1\r\nHost: kub").await.expect("it takes bytes");
        send.reset(8_u32.into()).expect("it is open");
        receive.stop(8_u32.into()).expect("it is open");
    }
    assert!(forger.connection.close_reason().is_none(), "{:?}", forger.connection.close_reason());
    others_go_on(&stack, before, "streams given up").await;
}
