//! What happens to a job and to us while time goes on: updates, processes that are killed, jobs that end before their time.

use serde_json::Value;
use tests::node::eventually;

use super::installed::{Installed, sallyport};
use super::story::{job, kubectl, the_record_and_the_api_servers_log_agree};

const INJECT: &str = r#"sallyport.dev/inject: "true""#;

/// Has a job read until it is told to stop, whoever else looks in meanwhile. What failed is in a file beside.
const READS: &str = "cd /tmp; touch reads failed;
(while [ ! -e stop ]; do kubectl get configmaps >out 2>err || cat err >>failed; echo >>reads; done) </dev/null >/dev/null 2>&1 &";

/// What a shell in the job says.
fn shell(on: &Installed, namespace: &str, script: &str) -> String {
    on.node.exec(namespace, "job", "job", &["sh", "-c", script], "").ok()
}

fn reads(on: &Installed, namespace: &str) -> usize {
    shell(on, namespace, "wc -l </tmp/reads").trim().parse().expect("a number of lines")
}

/// What the reads that failed since the last time were told.
fn failed(on: &Installed, namespace: &str) -> String {
    shell(on, namespace, "cat /tmp/failed; : >/tmp/failed")
}

/// Waits for more reads than there were.
fn it_goes_on(on: &Installed, namespace: &str) {
    let before = reads(on, namespace);
    eventually(|| match reads(on, namespace) {
        now if now >= before + 3 => Ok(()),
        now => Err(format!("{now} reads after {before}")),
    });
}

/// Updates of agents and control plane: no read of a job fails. An agent that is killed: the one read that it had is told that nothing
/// was changed. What waits for people goes on waiting all the while, and is done once.
#[test]
fn neither_updates_nor_a_killed_agent_lose_a_call_or_a_hold() {
    let Some(on) = Installed::get() else { return };
    let _alone = on.to_change();
    let node = on.node;
    let namespace = node.namespace("life");
    job(&namespace, "job", INJECT);
    node.ready(&namespace, "job");
    shell(on, &namespace, READS);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| kubectl(on, &namespace, "job", &["create", "serviceaccount", "bot"]));
        let hold = on.held(&namespace);
        it_goes_on(on, &namespace);

        node.admin(&["-n", "sallyport", "rollout", "restart", "deployment/sallyport-agent"]);
        on.rolled_out();
        it_goes_on(on, &namespace);
        assert_eq!(failed(on, &namespace), "", "while the agents were updated");

        let agent = on.pod("agent");
        let name = agent["metadata"]["name"].as_str().expect("a pod has a name");
        node.kill("sallyport", name, "agent");
        it_goes_on(on, &namespace);
        on.rolled_out();
        let told = failed(on, &namespace);
        let lost = told.lines().filter(|line| line.contains("it only reads, so nothing was changed")).count();
        assert!(lost == told.lines().count() && lost <= 1, "while an agent was killed: {told}");

        node.admin(&["-n", "sallyport", "rollout", "restart", "statefulset/sallyport-control-plane"]);
        on.rolled_out();
        it_goes_on(on, &namespace);
        assert_eq!(failed(on, &namespace), "", "while the control plane was updated");

        assert_eq!(on.held(&namespace), hold, "it waits for people still");
        on.cli(&["approvals", "approve", &hold]).ok();
        assert_eq!(asked.join().expect("kubectl ends").ok(), "serviceaccount/bot created\n");
        shell(on, &namespace, "touch /tmp/stop");
    });
    the_record_and_the_api_servers_log_agree(on);
}

/// The sessions of a pod's sidecar, with their operations.
pub(super) fn sessions(on: &Installed, namespace: &str, pod: &str) -> Vec<Value> {
    let all = on.json(&["sessions", "list"]);
    let of = |session: &&Value| {
        let identity = &session["identity"]["pod"];
        identity["pod"] == pod && identity["namespace"] == namespace
    };
    let ids = all.as_array().expect("a list").iter().filter(of).filter_map(|session| session["id"].as_str());
    ids.map(|id| on.json(&["sessions", "show", id])).collect()
}

/// A job that is deleted, evicted, drained from its node or killed in the middle leaves nothing open but what waits for people: what ran has its outcome, and
/// what it waited for is not done, though somebody says yes to it later.
#[test]
fn a_job_that_ends_before_its_time_leaves_nothing_open() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    let node = on.node;
    for how in ["deleted", "evicted", "drained", "killed"] {
        let namespace = node.namespace(how);
        job(&namespace, "job", INJECT);
        node.ready(&namespace, "job");
        let name: &str = &namespace;
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| kubectl(on, name, "job", &["get", "configmaps", "--watch"]));
            let asked = scope.spawn(|| kubectl(on, name, "job", &["create", "serviceaccount", "bot"]));
            let hold = on.held(name);
            match how {
                "deleted" => {
                    node.admin(&["-n", name, "delete", "pod", "job", "--force", "--grace-period=0"]);
                }
                "evicted" => {
                    let eviction = serde_json::json!({
                        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "job", "namespace": name},
                    });
                    let path = format!("/api/v1/namespaces/{name}/pods/job/eviction");
                    let output = node.try_admin(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
                    assert!(output.status.success(), "{output:?}");
                }
                "drained" => {
                    let chosen = format!("drained={name}");
                    node.admin(&["-n", name, "label", "pod", "job", &chosen]);
                    // The volume for our three files is one that a drain has to be told of, as any job's scratch space.
                    let words = ["drain", "node1", "--force", "--delete-emptydir-data", "--pod-selector", &chosen];
                    let drained = node.try_admin(&words, "");
                    node.admin(&["uncordon", "node1"]);
                    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
                }
                // What ends the sidecar then is the kubelet, when the job is over.
                _ => node.kill(name, "job", "job"),
            }
            for ended in [watching, asked] {
                let ended = ended.join().expect("kubectl ends");
                assert_ne!(ended.code, Some(0), "{how}: {ended:?}");
            }
            eventually(|| {
                let sessions = sessions(on, name, "job");
                let operations = sessions.iter().filter_map(|session| session["operations"].as_array()).flatten();
                let open: Vec<&Value> = operations.filter(|operation| operation["outcome"].is_null()).collect();
                match open.as_slice() {
                    // What waits for people is its hold's to end.
                    [one] if one["verb"] == "create" => Ok(()),
                    open => Err(format!("{how}: open are {open:?} of {sessions:?}")),
                }
            });
            on.cli(&["approvals", "approve", &hold]).ok();
        });
        assert!(!node.try_admin(&["-n", name, "get", "serviceaccount", "bot"], "").status.success(), "{how}");
    }
    the_record_and_the_api_servers_log_agree(on);
}

/// Pods that are made while there is no control plane get their sidecar all the same, for the injector needs none. A job waits for it, or
/// starts and is told, as an annotation says; once it is there, both go on.
#[test]
fn pods_that_are_made_without_a_control_plane_are_protected_and_go_on_when_it_is_there() {
    let Some(on) = Installed::get() else { return };
    let _alone = on.to_change();
    let (node, namespace) = (on.node, on.node.namespace("without"));
    let scale = |replicas: &str| {
        node.admin(&["-n", "sallyport", "scale", "statefulset/sallyport-control-plane", "--replicas", replicas]);
    };
    scale("0");
    node.admin(&["-n", "sallyport", "wait", "--for=delete", "pod/sallyport-control-plane-0", "--timeout=120s"]);
    job(&namespace, "starts", INJECT);
    job(&namespace, "waits", &format!(r#"{INJECT}, sallyport.dev/start-without-control-plane: "false""#));
    node.ready(&namespace, "starts");
    let told = kubectl(on, &namespace, "starts", &["get", "--raw", "/version"]);
    assert!(told.code == Some(1) && told.stderr.contains("control plane can't be reached"), "{told:?}");
    assert!(told.stderr.contains("the request was not sent"), "{told:?}");
    let waits = node.pod(&namespace, "waits");
    assert_eq!(waits["status"]["initContainerStatuses"][0]["started"], false, "{}", waits["status"]);
    assert!(waits["status"]["containerStatuses"][0]["state"]["waiting"].is_object(), "{}", waits["status"]);

    scale("1");
    on.rolled_out();
    node.ready(&namespace, "waits");
    for name in ["waits", "starts"] {
        eventually(|| {
            let read = kubectl(on, &namespace, name, &["get", "pods", "-o", "name"]);
            if read.code == Some(0) { Ok(()) } else { Err(format!("{name}: {read:?}")) }
        });
    }
    the_record_and_the_api_servers_log_agree(on);
}

/// An upgrade of everything under a job that reads: no call fails. Then Sallyport is removed and comes back: its records and keys were kept.
#[test]
fn an_upgrade_fails_no_call_and_what_is_removed_comes_back_with_its_records() {
    let Some(on) = Installed::get() else { return };
    let _alone = on.to_change();
    let (node, namespace) = (on.node, on.node.namespace("upgrade"));
    job(&namespace, "job", INJECT);
    node.ready(&namespace, "job");
    shell(on, &namespace, READS);
    it_goes_on(on, &namespace);
    let more = ["--set", "agent.protectedNamespaces=[prod]", "--set", "injector.resources={limits: {memory: 96Mi}}"];
    let said = on.apply("upgrade", &more);
    for part in ["ConfigMap sallyport-agent", "Deployment sallyport-agent", "Deployment sallyport-injector"] {
        assert!(said.contains(&format!("changed  {part}")), "{said}");
    }
    it_goes_on(on, &namespace);
    assert_eq!(failed(on, &namespace), "", "while it was upgraded");
    shell(on, &namespace, "touch /tmp/stop");
    let before = sessions(on, &namespace, "job");
    assert_eq!(before.len(), 1, "{before:?}");

    let gone = sallyport(node, &["uninstall"]).ok();
    node.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
    // What still runs has a while to finish what it has.
    eventually(|| {
        let kinds = "pods,services,deployments,statefulsets,networkpolicies";
        let left = node.admin(&["-n", "sallyport", "get", kinds, "-o", "name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    job(&namespace, "plain", INJECT);
    assert!(node.pod(&namespace, "plain")["spec"]["initContainers"].is_null(), "nobody looks after it now");
    on.apply("install", &[]);
    job(&namespace, "later", INJECT);
    node.ready(&namespace, "later");
    assert!(kubectl(on, &namespace, "later", &["get", "pods"]).ok().contains("later"));
    // The job from before goes on too: the keys that its sidecar pins are there again.
    eventually(|| {
        let read = kubectl(on, &namespace, "job", &["get", "pods"]);
        if read.code == Some(0) { Ok(()) } else { Err(format!("{read:?}")) }
    });
    let told = sessions(on, &namespace, "job");
    assert!(told.iter().any(|session| session["id"] == before[0]["id"]), "{told:?}");
    the_record_and_the_api_servers_log_agree(on);
}
