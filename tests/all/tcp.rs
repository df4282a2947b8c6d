//! Where no UDP gets through, sidecar and agent are connected over TCP, and nothing else is different; and what strangers send to that port
//! harms nobody.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::kubectl::Version;
use tests::logs::OVER_TCP;
use tests::stack::{Setup, Stack, answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stories::{creations, held, hold};

fn without_udp(prefix: &str) -> Stack {
    Stack::with(prefix, &Setup { without_udp: true, ..Setup::default() })
}

/// The value of a metric.
fn metric(address: SocketAddr, name: &str) -> String {
    let metrics = answer(address, "/metrics").unwrap();
    let name = format!("{name} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    value.unwrap_or_else(|| panic!("no {name} in {metrics}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_udp_everything_works_and_people_are_told() {
    let stack = without_udp("no-udp");
    for version in Version::ALL {
        let kubectl = stack.kubectl(version);
        assert!(kubectl.run(&["get", "pods"]).await.ok().contains("runner"), "{version:?}");
        let name = format!("by-{version:?}").to_lowercase();
        let (running, id) = hold(&stack, version, &["create", "serviceaccount", &name]).await;
        stack.cli(&["approvals", "approve", &id]).ok();
        assert_eq!(running.end().await.ok(), format!("serviceaccount/{name} created\n"));

        let watching = kubectl.spawn(&["get", "configmaps", "--watch"], "").await;
        let words = ["create", "configmap", &name];
        let change = kubectl.run(&words);
        let (seen, change) = tokio::join!(watching.until(|printed| printed.contains(&name)), change);
        change.ok();
        assert!(seen.contains("NAME"), "{seen}");
    }
    assert_eq!(creations(&stack, "serviceaccounts").len(), 3);

    for process in ["sidecar", "agent"] {
        let log = stack.log(process);
        log.assert_quiet(&[]);
        let told = log.events().into_iter().filter(|event| event.to_string().contains(OVER_TCP)).count();
        assert_eq!(told, 1, "the {process} says it once: {}", log.text());
    }
    stack.log("control-plane").assert_quiet(&[]);
    for (role, way, links) in [("agent", "tcp", "1"), ("sidecar", "tcp", "1")] {
        let name = format!("sallyport_links{{role=\"{role}\",way=\"{way}\"}}");
        assert_eq!(metric(stack.admin_port(), &name), links, "{name}");
    }
    let agent = stack.ports().into_iter().find(|(process, _)| *process == "agent").unwrap().1;
    assert_eq!(metric(agent, "sallyport_agent_links{way=\"tcp\"}"), "1");
}

/// A body that is large for TCP's buffers, ours and the kernel's: whole both ways, and the API server's own limit is the one that is met.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_over_tcp() {
    let stack = without_udp("no-udp-large");
    let kubectl = stack.kubectl(Version::Newest);
    let map = |name: &str, length: usize| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x".repeat(length)}});
        object.to_string()
    };
    let made = kubectl.run_with(&["create", "-f", "-"], &map("large", 1_000_000)).await;
    assert_eq!(made.ok(), "configmap/large created\n");
    let got: Value =
        serde_json::from_str(&kubectl.run(&["get", "configmap", "large", "-o", "json"]).await.ok()).unwrap();
    assert_eq!(got["data"]["a"].as_str().unwrap().len(), 1_000_000);
    let said = kubectl.run_with(&["create", "-f", "-"], &map("larger", 2_900_000)).await.refused();
    assert!(said.contains("1048576"), "the API server has read it: {said}");
    stack.log("sidecar").assert_quiet(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_over_tcp_survives_the_control_planes_death_and_an_orderly_restart() {
    let mut stack = without_udp("no-udp-killed");
    let (mut running, id) = hold(&stack, Version::Middle, &["create", "serviceaccount", "bot"]).await;
    stack.kill_control_plane();
    stack.start_control_plane();
    assert_eq!(held(&stack).await, id);
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
    stack.stop_control_plane();
    stack.start_control_plane();
    assert_eq!(held(&stack).await, id);
    assert!(running.is_waiting(), "the client goes on waiting");
    stack.cli(&["approvals", "approve", &id]).ok();
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    let log = stack.log("sidecar");
    // The kernel says that the process is dead; nobody waited for silence.
    assert!(!log.text().contains("timed out"), "{}", log.text());
    let links = log.events().iter().filter(|event| event.to_string().contains(OVER_TCP)).count();
    assert!(links >= 3, "{}", log.text());
}

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let open = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).unwrap();
    let is_socket = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    open.filter_map(Result::ok).filter(|entry| is_socket(&entry.path())).count()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..300 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} after half a minute");
}

/// Rows D1, D5, D8: what strangers send over TCP costs their own connection, which is gone in time; nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_silence_over_tcp_harm_nobody_and_leave_nothing() {
    let stack = without_udp("no-udp-garbage");
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["get", "configmaps"]).await.ok();
    let [_, pid, _] = stack.pids();
    // The command line's own calls come and go.
    let before = sockets(pid);

    let framed = |packet: &[u8]| [&u16::try_from(packet.len()).unwrap().to_be_bytes()[..], packet].concat();
    // The head of a client's first packet, as a fuzzer would begin, and no more of it.
    let mut initial = vec![0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0xd0];
    initial.resize(1200, 0);
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let garbage = [
        noise.clone(),
        vec![0xff; 65_536],
        vec![0, 0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        framed(&initial),
        framed(&initial)[..700].to_vec(),
        framed(&noise).repeat(50),
        vec![5],
    ];
    let mut strangers = Vec::new();
    for bytes in garbage.iter().cycle().take(80) {
        let mut stream = TcpStream::connect(stack.quic()).await.unwrap();
        // The server may have ended it already.
        drop(stream.write_all(bytes).await);
        strangers.push(stream);
    }
    for _ in 0..200 {
        strangers.push(TcpStream::connect(stack.quic()).await.unwrap());
    }
    kubectl.run(&["get", "configmaps"]).await.ok();
    kubectl.run(&["create", "configmap", "meanwhile"]).await.ok();

    // They stay; it is the server that ends them, and says nothing that an innocent third could be flooded with.
    for (n, stream) in strangers.iter_mut().enumerate() {
        let mut said = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "stranger {n} is still there");
        assert!(said.len() < 4096, "stranger {n} was told {} bytes", said.len());
    }
    eventually("sockets of strangers are open", || sockets(pid) <= before).await;
    kubectl.run(&["get", "configmaps"]).await.ok();
    for process in ["sidecar", "agent"] {
        stack.log(process).assert_quiet(&[]);
    }
    stack.log("control-plane").assert_quiet(&[]);
}

/// A link that went over TCP is over UDP when it is made anew and UDP works.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_link_is_over_udp_again() {
    let mut stack = without_udp("no-udp-opened");
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
    stack.open_udp();
    let links = |stack: &Stack, role: &str, way: &str| {
        metric(stack.admin_port(), &format!("sallyport_links{{role=\"{role}\",way=\"{way}\"}}"))
    };
    // On a machine that is busy enough UDP loses its race now and then.
    for _ in 0..10 {
        stack.kill_agent();
        stack.start_agent();
        stack.restart_sidecar();
        stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
        if ["agent", "sidecar"].iter().all(|role| links(&stack, role, "udp") == "1") {
            break;
        }
    }
    for role in ["agent", "sidecar"] {
        assert_eq!(links(&stack, role, "udp"), "1", "{role}");
        eventually("the links over TCP are counted", || links(&stack, role, "tcp") == "0").await;
    }
}
