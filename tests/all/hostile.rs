//! What goes wrong around us, and who means harm: nothing is sent that is not on record, and no byte that anybody sends ends a process.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rusqlite::Connection;
use tests::kubectl::Version;
use tests::rogue::tell_sidecar;
use tests::stack::Stack;

use crate::stories::creations;

/// SECURITY.md L2: no durable record, nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_write_sends_nothing() {
    let stack = Stack::start("store");
    let kubectl = stack.kubectl(Version::Old);
    kubectl.run(&["get", "configmaps"]).await.ok();
    // Somebody else has the only right to write, as a disk that is full would have.
    let database = Connection::open(stack.data().join("sallyport.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    // kubectl tries again by itself as long as it is told that nothing was sent.
    let refused = kubectl.run(&["create", "configmap", "unrecorded", "--request-timeout=12s"]).await;
    assert!(refused.code != Some(0), "{refused:?}");
    let refused = kubectl.run(&["get", "configmap", "unrecorded"]).await.refused();
    assert!(refused.contains("can't be recorded"), "reads are not sent either: {refused}");
    assert!(!stack.is_ready(), "and it says so");
    assert!(creations(&stack, "configmaps").is_empty());
    database.execute_batch("ROLLBACK").unwrap();
    drop(database);
    for _ in 0..100 {
        if stack.is_ready() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kubectl.run(&["create", "configmap", "recorded"]).await.ok();
    assert_eq!(creations(&stack, "configmaps").len(), 1);
}

/// One database has one control plane.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_control_plane_does_not_start() {
    let stack = Stack::start("second");
    let refused = stack.second_control_plane();
    assert!(refused.contains("another control plane works on"), "{refused}");
    stack.kubectl(Version::Old).run(&["get", "configmaps"]).await.ok();
}

const JUNK: [&[u8]; 12] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x99\xff\xff\xff\xff",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /api/v1/pods HTTP/9.9\r\n\r\n",
    b"POST /api/v1/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
    b"POST /api/v1/pods HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
    b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n",
    b"GET /\x00\x01\xff HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\r\n\x00\x00\x00\x00",
];

/// SECURITY.md U5, U9: whatever comes in, the processes go on, and nothing that was no request is sent.
#[tokio::test(flavor = "multi_thread")]
async fn junk_on_every_port_ends_nothing() {
    let stack = Stack::start("junk");
    let before = stack.namespace().cluster().audit_of(stack.namespace()).len();
    for (name, address) in stack.ports() {
        for junk in JUNK {
            let said = tokio::task::spawn_blocking(move || speak(address, junk)).await.unwrap();
            let head = String::from_utf8_lossy(&said);
            let refused = head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 5");
            let web = head.is_empty() || said.first().is_some_and(|byte| *byte < b' ');
            assert!(refused || web, "{name} answered {junk:?} with {head:?}");
        }
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 21, 43, 600, 1200, 1472] {
        for first in [0x00, 0x40, 0xc0, 0xff] {
            let mut packet = vec![first; length];
            for (at, byte) in packet.iter_mut().enumerate().skip(1) {
                *byte = u8::try_from((at * 31) % 251).unwrap();
            }
            socket.send_to(&packet, stack.quic()).unwrap();
        }
    }
    stack.kubectl(Version::Middle).run(&["get", "configmaps"]).await.ok();
    assert_eq!(stack.namespace().cluster().audit_of(stack.namespace()).len(), before + 1, "only kubectl's own call");
    for process in ["control-plane", "agent", "sidecar"] {
        let panics = stack.log(process).text().matches("panic").count();
        assert_eq!(panics, 0, "{process} panicked");
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    /// Below `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        // Knuth's multiplier (MMIX); the upper half is the good one.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn byte(&mut self) -> u8 {
        self.roll(256).to_le_bytes()[0]
    }
}

/// A client's preface, and frames (RFC 9113 §4.1) that fit each other by accident only.
fn frames(dice: &mut Dice, token: &str) -> Vec<u8> {
    // :method GET, :scheme https, :path /, :authority and authorization as literals (RFC 7541 §6).
    let mut head = vec![0x82, 0x87, 0x84, 0x41, 9];
    head.extend_from_slice(b"localhost");
    let bearer = format!("Bearer {token}");
    head.extend_from_slice(&[0x0f, 0x08, u8::try_from(bearer.len()).unwrap()]);
    head.extend_from_slice(bearer.as_bytes());
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for _ in 0..40 {
        let kind = dice.roll(12).to_le_bytes()[0];
        let payload = match kind {
            1 if dice.roll(4) > 0 => head.clone(),
            _ => {
                let sizes = [0, 4, 5, 6, 8, dice.roll(100)];
                let size = sizes[usize::try_from(dice.roll(6)).unwrap()];
                (0..size).map(|_| dice.byte()).collect()
            }
        };
        let stream: u32 = [0, 1, 1, 3, 5, 2, 0x7fff_ffff][usize::try_from(dice.roll(7)).unwrap()];
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind, dice.byte()]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend(payload);
    }
    bytes
}

/// SECURITY.md U9: frames of HTTP/2 in any order, to who speaks it, end a connection and never more.
#[tokio::test(flavor = "multi_thread")]
async fn frames_in_any_order_end_their_own_connection_only() {
    let stack = Stack::start("frames");
    let token = std::fs::read_to_string(stack.sidecar_files().join("token")).unwrap();
    let mut dice = Dice(20);
    for _ in 0..200 {
        let frames = frames(&mut dice, &token);
        let said = tell_sidecar(&stack, b"h2", &frames, Duration::from_millis(200)).await;
        assert!(said.starts_with(&[0, 0]), "it speaks HTTP/2: {said:?}");
    }
    stack.kubectl(Version::Middle).run(&["get", "configmaps"]).await.ok();
    for process in ["control-plane", "agent", "sidecar"] {
        let panics = stack.log(process).text().matches("panic").count();
        assert_eq!(panics, 0, "{process} panicked");
    }
}

/// Says something and listens until the other side closes, at most ten seconds.
fn speak(address: SocketAddr, junk: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the port is open");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("ten seconds are a timeout");
    // The other side may close before it has read all of it.
    drop(stream.write_all(junk));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut said = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(length) = stream.read(&mut piece) {
        if length == 0 || said.len() > 1 << 16 {
            break;
        }
        said.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    said
}
