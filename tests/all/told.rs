//! What is told to those who watch: the metrics of each process, and the one access event of each operation. Names and labels are a
//! promise, so both are golden files.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use shared_net::telemetry::{ACCESS, field};
use tests::kubectl::Version;
use tests::stack::{Setup, Stack};

use crate::golden;
use crate::people::{POLICY, World, hold};

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Each metric with its type, its help and the labels that its samples have; no value of anything.
pub(crate) fn shape(metrics: &str) -> String {
    let mut help: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let [what, name, text] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let entry = help.entry(name.to_owned()).or_default();
            match what {
                "HELP" => text.clone_into(&mut entry.1),
                "TYPE" => text.clone_into(&mut entry.0),
                other => panic!("{other}"),
            }
            continue;
        }
        let sample = line.split_once(['{', ' ']).unwrap().0;
        let name = help.keys().filter(|name| sample.starts_with(name.as_str())).max_by_key(|name| name.len());
        let of = labels.entry(name.unwrap_or_else(|| panic!("{line} has no help")).clone()).or_default();
        let inside = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
        // No value of a label has a comma: they are words of closed lists.
        of.extend(inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned()));
    }
    let mut text = String::new();
    for (name, (kind, help)) in help {
        let of = labels.remove(&name).unwrap_or_default().into_iter().collect::<Vec<_>>().join(", ");
        writeln!(text, "{name} {kind} {{{of}}}: {help}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_the_access_event_are_as_promised() {
    let world = World::new();
    let setup = Setup {
        policy: Some(POLICY),
        issuers: world.github(),
        require_ci: true,
        earnest: true,
        ci_token: Some(world.job(&json!({}))),
        ..Setup::default()
    };
    let stack = Stack::with("told", &setup);
    let bob = world.person("bob", Some("1002"), &["sre"]);
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["get", "configmaps"]).await.ok();
    kubectl.run(&["create", "configmap", "mine"]).await.ok();
    kubectl.run(&["get", "configmap", "none"]).await.refused();
    kubectl.run(&["exec", "runner", "--", "true"]).await.refused();
    let (running, id) = hold(&stack, &bob, &["create", "serviceaccount", "bot"]).await;
    stack.cli_as(&bob, &["approvals", "approve", &id]).ok();
    running.end().await.ok();

    let mut text = String::new();
    for (process, address) in stack.ports() {
        if process == "control plane" || process == "agent" {
            write!(text, "# {process}\n{}", shape(&scrape(address))).unwrap();
        }
    }
    golden::compare("tests/golden/metrics.txt", &text);

    let events = stack.log("control-plane").of_target(ACCESS);
    let keys = |event: &Value| event.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let all: BTreeSet<String> = events.iter().flat_map(keys).collect();
    let unknown: Vec<_> = field::ALL.into_iter().filter(|name| !all.contains(*name)).collect();
    assert!(unknown.is_empty(), "promised and never written: {unknown:?}; {all:?}");
    golden::compare("tests/golden/access-event.txt", &all.into_iter().map(|key| key + "\n").collect::<String>());
    let approved = events.iter().find(|event| event.get(field::APPROVER).is_some()).unwrap();
    for (name, value) in [
        (field::APPROVER, json!("bob")),
        (field::IDENTITY_ISSUER, json!(world.ci_url())),
        (field::DECISION, json!("hold")),
        (field::VERB, json!("create")),
        (field::RESOURCE, json!("serviceaccounts")),
        (field::OUTCOME, json!("ok")),
    ] {
        assert_eq!(approved.get(name), Some(&value), "{name}: {approved}");
    }
}
