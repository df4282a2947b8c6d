//! Who goes round us beside an honest job: what each is told, what stays on record, and that the API server has not heard of any of them.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;
use tests::cluster::Namespace;
use tests::kubectl::Output;
use tests::node::{RUNNER, eventually};

use super::installed::Installed;
use super::ports::{doors, intruder, pin};
use super::story::{job, kubectl, the_record_and_the_api_servers_log_agree};

/// One attempt and its outcome.
struct Tried {
    who: &'static str,
    what: &'static str,
    told: String,
    record: String,
}

/// What a Pod has on record as rejected, newest first.
fn rejected(on: &Installed, address: &str, stage: &str) -> Vec<Value> {
    let from = format!(" from {address}");
    let rows = on.json(&["sessions", "rejected"]);
    let rows = rows.as_array().expect("a list").iter();
    rows.filter(|row| row["stage"] == stage && row["what"].as_str().is_some_and(|what| what.ends_with(&from)))
        .cloned()
        .collect()
}

/// Waits until such an attempt is on record; gives what the row says.
fn on_record(on: &Installed, address: &str, stage: &str, why: &str) -> String {
    eventually(|| {
        let rows = rejected(on, address, stage);
        let found = rows.iter().find(|row| row["why"].as_str().is_some_and(|told| told.contains(why)));
        let found = found.map(|row| format!("{stage} {}: {}", row["status"], row["why"].as_str().unwrap_or_default()));
        found.ok_or_else(|| format!("{rows:?}"))
    })
}

/// A credential of the cluster that would be good, as the Pods' author has it from somewhere: a ServiceAccount's token, in a kubeconfig
/// with the API server's own address.
fn own_credential(namespace: &Namespace) -> String {
    let cluster = namespace.cluster();
    let (facts, token) = (cluster.facts(), cluster.token(namespace, "own", None, None));
    let ca = std::fs::read_to_string(&facts.ca).expect("the CA's certificate");
    let server = facts.server.clone();
    let user = serde_json::json!({"name": "own", "user": {"token": token}});
    let server = serde_json::json!({
        "name": "own",
        "cluster": {"server": server, "certificate-authority-data": base64(&ca)},
    });
    let context =
        serde_json::json!({"name": "own", "context": {"cluster": "own", "user": "own", "namespace": &**namespace}});
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "own",
        "clusters": [server], "users": [user], "contexts": [context],
    })
    .to_string()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn secret(namespace: &Namespace, name: &str, key: &str, value: &str) {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": &**namespace}, "stringData": {key: value},
    });
    namespace.cluster().apply(&manifest.to_string());
}

/// An injected job that brings a kubeconfig of its own.
fn job_with_own_kubeconfig(namespace: &Namespace) {
    namespace.cluster().apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: hardcoded, namespace: {namespace}, annotations: {{sallyport.dev/inject: "true"}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: job
    image: {RUNNER}
    imagePullPolicy: Never
    command: [sleep, "900"]
    volumeMounts: [{{name: own, mountPath: /own}}]
  volumes: [{{name: own, secret: {{secretName: own}}}}]
"#,
        namespace = &**namespace,
    ));
}

/// The seed's story, its other side.
#[test]
fn nobody_goes_round_the_agent() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    let (node, runners) = (on.node, &on.runners);
    node.load_intruder();
    // RBAC would let both of them read: what stops them is the network.
    runners.admin(&["create", "serviceaccount", "own"]);
    for account in ["own", "default"] {
        let subject = format!("--serviceaccount={}:{account}", &**runners);
        runners.admin(&["create", "rolebinding", account, "--clusterrole=view", &subject]);
        let who = format!("--as=system:serviceaccount:{}:{account}", &**runners);
        assert_eq!(runners.admin(&["auth", "can-i", "list", "pods", &who]), "yes\n");
    }
    let audit = node.audit();
    job(runners, "job", r#"sallyport.dev/inject: "true""#);
    job(runners, "unannotated", "");
    secret(runners, "own", "kubeconfig", &own_credential(runners));
    job_with_own_kubeconfig(runners);
    let honest = node.ready(runners, "job");
    kubectl(on, runners, "job", &["get", "pods"]).ok();
    // Whoever has the node's disk has it, or a backup of it, or a log that somebody was careless with.
    let uid = node.pod(runners, "job")["metadata"]["uid"].as_str().expect("a Pod has a uid").to_owned();
    let path = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/sallyport-identity/token");
    secret(runners, "loot", "token", &node.enter(&["cat", &path]).ok());
    for name in ["agentlike", "caller", "thief"] {
        intruder(runners, name);
    }
    let mut tried = Vec::new();
    around_the_control_plane(on, &mut tried);
    at_the_control_planes_port(on, &mut tried);
    the_thief_waits(on, &honest, &mut tried);

    let own = ["own", "default"].map(|account| format!("system:serviceaccount:{}:{account}", &**runners));
    let heard = audit.events(|event| own.contains(&event.user.username));
    assert!(heard.is_empty(), "the API server was asked by them: {heard:?}");
    the_record_and_the_api_servers_log_agree(on);
    print(&tried);
}

/// The line in which kubectl says that nobody answered; behind it stands how its own process ended.
fn is_cut_off(output: &Output) -> String {
    let cut = ["i/o timeout", "deadline exceeded", "Client.Timeout", "request canceled"];
    let said = output.stderr.lines().rfind(|line| cut.iter().any(|text| line.contains(text)));
    assert!(output.code != Some(0) && said.is_some(), "{output:?}");
    said.unwrap_or_default().to_owned()
}

/// Two that have a credential and try the API server.
fn around_the_control_plane(on: &Installed, tried: &mut Vec<Tried>) {
    let (node, runners) = (on.node, &on.runners);
    let (address, port) = doors(node);
    node.ready(runners, "unannotated");
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    assert!(node.exec(runners, "unannotated", "job", &["cat", token], "").ok().contains('.'), "it has its token");
    let wait = "--request-timeout=3s";
    // A limit of kubectl's own would keep it from the configuration that each Pod finds in itself.
    let said = node.exec(runners, "unannotated", "job", &["timeout", "8", "kubectl", "get", "pods"], "");
    assert!(said.code != Some(0) && said.stdout.is_empty() && !said.stderr.contains("localhost"), "{said:?}");
    let record = "nothing: its packets reach nobody of ours".to_owned();
    tried.push(Tried {
        who: "a Pod without the annotation",
        what: "kubectl get pods",
        told: "no answer within eight seconds".to_owned(),
        record: record.clone(),
    });
    node.ready(runners, "hardcoded");
    let said = kubectl(on, runners, "hardcoded", &["--kubeconfig=/own/kubeconfig", "get", "pods", wait]);
    tried.push(Tried {
        who: "a job with a kubeconfig of its own",
        what: "kubectl --kubeconfig own get pods",
        told: is_cut_off(&said),
        record,
    });
    for pod in ["unannotated", "hardcoded"] {
        for (address, port) in [("10.96.0.1", "443"), (address.as_str(), port.as_str()), (&address, "10250")] {
            let open = node.exec(runners, pod, "job", &["nc", "-w", "2", address, port], "");
            assert_ne!(open.code, Some(0), "{pod} reaches {address}:{port}");
        }
    }
}

/// Three that try the control plane.
fn at_the_control_planes_port(on: &Installed, tried: &mut Vec<Tried>) {
    let (node, runners) = (on.node, &on.runners);
    let pin = pin(on, runners, "job");
    let uid = node.admin(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let asked = |pod: &str, words: &[&str]| {
        let command = [&["intruder", "sallyport.sallyport.svc:7443", pin.as_str()], words].concat();
        node.exec(runners, pod, "job", &command, "").ok().trim().to_owned()
    };
    let agentlike = node.ready(runners, "agentlike");
    let told = asked("agentlike", &["agent", "/loot/agent-like", &uid]);
    assert!(told.starts_with("401 the token's claim \"sub\""), "{told}");
    let record = on_record(on, &agentlike, "agent", "\"sub\"");
    tried.push(Tried { who: "a Pod with a token like an agent's", what: "POST /v1/agent", told, record });

    let caller = node.ready(runners, "caller");
    let told = asked("caller", &["get", "/api/v1/namespaces/kube-system/secrets"]);
    assert!(told.starts_with("503 ") && told.contains("no session"), "{told}");
    let record = on_record(on, &caller, "identify", "");
    tried.push(Tried { who: "a Pod that calls 7443 by itself", what: "GET …/secrets, over raw QUIC", told, record });
    let told = asked("caller", &["call", "/v1/ledger"]);
    assert!(told.starts_with("404 "), "{told}");
    let record = on_record(on, &caller, "control", "");
    tried.push(Tried { who: "the same", what: "POST /v1/ledger", told, record });

    let thief = node.ready(runners, "thief");
    let told = asked("thief", &["session", "/loot/token"]);
    assert!(told.starts_with("403 ") && told.contains("whose sidecar is alive"), "{told}");
    let record = on_record(on, &thief, "session", "whose sidecar is alive");
    tried.push(Tried { who: "a Pod with the token of another one's sidecar", what: "POST /v1/session", told, record });
}

/// The sidecar whose token was stolen dies; its thief asks all the time, and the kubelet's next sidecar gets the session.
fn the_thief_waits(on: &Installed, honest: &str, tried: &mut Vec<Tried>) {
    let (node, runners) = (on.node, &on.runners);
    let pin = pin(on, runners, "job");
    let ask = format!("intruder sallyport.sallyport.svc:7443 {pin} session /loot/token");
    let script =
        format!("(while ! [ -e /tmp/enough ]; do {ask} >>/tmp/told 2>&1; done; touch /tmp/done) >/dev/null 2>&1 &");
    node.exec(runners, "thief", "job", &["sh", "-c", &script], "").ok();
    let before = node.container(runners, "job", "sallyport");
    node.ctr(&["tasks", "kill", "--signal", "SIGKILL", &before]).ok();
    // The next container, the next key, the same address.
    eventually(|| {
        let pod = node.pod(runners, "job");
        let status = &pod["status"]["initContainerStatuses"][0];
        if status["restartCount"] == 1 && status["state"]["running"].is_object() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    eventually(|| {
        // Not with a limit of kubectl's own, as above.
        let read = node.exec(runners, "job", "job", &["timeout", "8", "kubectl", "get", "pods"], "");
        if read.code == Some(0) { Ok(()) } else { Err(format!("{read:?}")) }
    });
    let sessions = on.cli(&["sessions", "list"]).ok();
    assert!(sessions.contains("its pod's sidecar was started anew"), "{sessions}");
    node.exec(runners, "thief", "job", &["touch", "/tmp/enough"], "").ok();
    let told = eventually(|| {
        let told = node.exec(runners, "thief", "job", &["cat", "/tmp/done", "/tmp/told"], "");
        if told.code == Some(0) { Ok(told.stdout) } else { Err(format!("{told:?}")) }
    });
    assert!(told.contains("403 ") && !told.lines().any(|line| line.starts_with("200 ")), "{told}");
    let last = told.lines().find(|line| line.contains("no newer token")).or_else(|| told.lines().last());
    let thief = node.pod(runners, "thief")["status"]["podIP"].as_str().expect("it runs").to_owned();
    assert_ne!(thief, honest);
    tried.push(Tried {
        who: "the same, while that sidecar is killed and restarted",
        what: "POST /v1/session, again and again",
        told: last.unwrap_or_default().to_owned(),
        record: on_record(on, &thief, "session", "sidecar"),
    });
}

/// For whoever reads the run: past the test's own output, which is shown of failures only.
fn print(tried: &[Tried]) {
    let mut table = "\nWays round Sallyport that were tried on the node:\n".to_owned();
    for Tried { who, what, told, record } in tried {
        writeln!(table, "| {who} | {what} | was told: {told} | on record: {record} | API server's log: no request |")
            .expect("a String");
    }
    std::io::stderr().write_all(table.as_bytes()).expect("somebody reads");
}
