//! Ways round the agent: what a sidecar finds open from inside its runner's network.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::cluster::program;
use tests::kubectl::Version;
use tests::stack::{Stack, get};
use tests::web::{Door, Web};

use crate::stories::hold;

/// While a way is open, people are asked about everything.
const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
- {name: nothing-while-a-way-is-open, match: {apiGroups: ['*'], resources: ['*'], verbs: ['*']}, when: session.bypass, effect: hold}
";

fn alarms(stack: &Stack) -> Vec<String> {
    let printed = stack.cli(&["sessions", "list"]).ok();
    printed.lines().filter(|line| line.starts_with("ALARM")).map(str::to_owned).collect()
}

async fn alarms_become(stack: &Stack, count: usize) -> Vec<String> {
    for _ in 0..150 {
        let alarms = alarms(stack);
        if alarms.len() == count {
            return alarms;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not {count} alarms after 15 s: {:?}; {}", alarms(stack), stack.log("control-plane").text());
}

/// The sidecar of a pod whose network does not keep it from the API server.
fn sidecar_of_an_open_pod(stack: &Stack, folder: &std::path::Path) -> Sidecar {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut command = stack.another_sidecar("open", &program("sallyport-sidecar"), free, folder);
    let server = stack.namespace().cluster().facts().server.clone();
    let address: SocketAddr = server.trim_start_matches("https://").parse().unwrap();
    command.env("SALLYPORT_NODE_ADDRESSES", "192.0.2.7").env("SALLYPORT_API_SERVERS", address.to_string());
    Sidecar(command.stderr(Stdio::null()).spawn().unwrap())
}

/// Ends with the test, however that ends.
struct Sidecar(Child);

impl Sidecar {
    /// As the kubelet ends it: it says goodbye.
    fn terminate(&mut self) {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Failure rows N1 and N2: a policy that does not hold is an alarm for people, monitoring and policy, as long as it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_round_the_agent_is_an_alarm() {
    let stack = Stack::with_policy("bypass", Some(POLICY));
    let kubectl = stack.kubectl(Version::Newest);
    kubectl.run(&["get", "pods"]).await.ok();
    assert_eq!(alarms(&stack), [""; 0]);
    assert!(get(stack.admin_port(), "/readyz/protection"));

    let folder = tempfile::tempdir().unwrap();
    let mut open = sidecar_of_an_open_pod(&stack, folder.path());
    let alarm = alarms_become(&stack, 1).await.concat();
    assert!(alarm.contains("reaches the cluster without Sallyport: api-server "), "{alarm}");
    assert!(alarm.contains(&format!("pod {}/open in test", &**stack.namespace())), "{alarm}");
    let web = Web::new(&stack, &[]).await;
    let listed = web.call(Door::Socket, "GET", "/v1/bypass", &[], "").await.json();
    assert_eq!(listed[0]["open"][0]["way"], "api-server", "{listed}");
    assert!(!get(stack.admin_port(), "/readyz/protection"), "monitoring sees it");
    assert!(stack.is_ready(), "and the control plane serves all the same");

    // Another runner of the same cluster is affected: what one pod's network lets through, its own may as well.
    let (waiting, id) = hold(&stack, Version::Newest, &["get", "pods"]).await;
    stack.cli(&["approvals", "approve", &id]).ok();
    waiting.end().await.ok();

    open.terminate();
    alarms_become(&stack, 0).await;
    assert!(get(stack.admin_port(), "/readyz/protection"));
    kubectl.run(&["get", "pods"]).await.ok();
    let log = stack.log("control-plane").text();
    assert!(log.contains("ALARM: a runner reaches the cluster without Sallyport"), "{log}");
    // What was found stays on record.
    let found = web.call(Door::Socket, "GET", "/v1/rejected", &[], "").await.json();
    assert!(found.as_array().unwrap().iter().any(|row| row["stage"] == "bypass"), "{found}");
}
