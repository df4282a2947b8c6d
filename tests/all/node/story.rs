//! The promise: annotate the Pod, change nothing else; and nothing but our agent reaches the API server.

use serde_json::Value;
use tests::cluster::Namespace;
use tests::kubectl::Output;
use tests::node::{RUNNER, eventually};

use super::installed::Installed;

const PASSWORD: &str = "canary-51f0 correct horse battery staple";

/// A CI job as anybody writes it, with one annotation.
pub(super) fn job(namespace: &Namespace, name: &str, annotations: &str) {
    namespace.cluster().apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, annotations: {{{annotations}}}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 2
  containers:
  - name: job
    image: {RUNNER}
    imagePullPolicy: Never
    command: [sleep, "900"]
"#,
        namespace = &**namespace,
    ));
}

fn installed() -> Option<&'static Installed> {
    Installed::get()
}

/// kubectl in the job's container, as its script would run it.
pub(super) fn kubectl(on: &Installed, namespace: &str, pod: &str, arguments: &[&str]) -> Output {
    on.node.exec(namespace, pod, "job", &[&["kubectl"], arguments].concat(), "")
}

/// Whether a port answers somebody in the Pod.
fn reaches(on: &Installed, namespace: &str, pod: &str, address: &str, port: &str) -> bool {
    let tried = on.node.exec(namespace, pod, "job", &["nc", "-w", "2", address, port], "");
    tried.code == Some(0)
}

#[test]
fn an_annotated_job_reads_and_asks_and_goes_nowhere_else() {
    let Some(on) = installed() else { return };
    let _unchanged = on.unchanged();
    let node = on.node;
    let namespace = node.namespace("job");
    node.admin(&[
        "-n",
        &namespace,
        "create",
        "secret",
        "generic",
        "database",
        &format!("--from-literal=password={PASSWORD}"),
    ]);
    node.admin(&["-n", &namespace, "create", "rolebinding", "team", "--clusterrole=view", "--user=ann"]);
    job(&namespace, "job", r#"sallyport.dev/inject: "true""#);
    node.ready(&namespace, "job");

    // It reads, and is on record.
    assert!(kubectl(on, &namespace, "job", &["get", "pods"]).ok().contains("job"), "it sees itself");
    // A Secret's value is not there.
    let secret = kubectl(on, &namespace, "job", &["get", "secret", "database", "-o", "yaml"]).ok();
    assert!(secret.contains("password:") && !secret.contains(PASSWORD), "{secret}");
    assert!(!secret.contains("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ"), "{secret}");

    // A ServiceAccount: held, approved, there.
    let created = std::thread::scope(|scope| {
        let asked = scope.spawn(|| kubectl(on, &namespace, "job", &["create", "serviceaccount", "bot"]));
        let hold = on.held(&namespace);
        assert!(!node.try_admin(&["-n", &namespace, "get", "serviceaccount", "bot"], "").status.success(), "not yet");
        on.cli(&["approvals", "approve", &hold]).ok();
        asked.join().expect("kubectl ends")
    });
    assert_eq!(created.ok(), "serviceaccount/bot created\n");
    node.admin(&["-n", &namespace, "get", "serviceaccount", "bot"]);

    // A RoleBinding: held, denied, unchanged.
    let denied = std::thread::scope(|scope| {
        let patch = r#"{"subjects":[{"kind":"ServiceAccount","name":"bot","namespace":"default"}]}"#;
        let asked = scope.spawn(|| kubectl(on, &namespace, "job", &["patch", "rolebinding", "team", "-p", patch]));
        let hold = on.held(&namespace);
        on.cli(&["approvals", "deny", &hold, "--reason", "ask the platform team"]).ok();
        asked.join().expect("kubectl ends")
    });
    assert!(denied.stderr.contains("ask the platform team"), "{denied:?}");
    let binding = node.get_json(&["-n", &namespace, "rolebinding", "team"]);
    assert_eq!(binding["subjects"][0]["name"], "ann");

    // The approval was for that one operation.
    let again = kubectl(on, &namespace, "job", &["create", "serviceaccount", "another", "--request-timeout=3s"]);
    assert_ne!(again.code, Some(0), "{again:?}");
    assert!(!node.try_admin(&["-n", &namespace, "get", "serviceaccount", "another"], "").status.success());

    nothing_else_is_reached(on, &namespace);
    the_record_and_the_api_servers_log_agree(on);
}

/// From inside the job: the API server by every name, the kubelet, what people use, and the agents.
fn nothing_else_is_reached(on: &Installed, namespace: &str) {
    let node = on.node;
    let nodes = node.get_json(&["node", "node1"]);
    let address = nodes["status"]["addresses"][0]["address"].as_str().expect("a node has an address").to_owned();
    let port = node.facts().server.rsplit(':').next().expect("a port").to_owned();
    let agent = on.pod("agent")["status"]["podIP"].as_str().expect("it runs").to_owned();
    for (address, port) in [
        (address.as_str(), port.as_str()),
        ("10.96.0.1", "443"),
        ("kubernetes.default.svc", "443"),
        (&address, "10250"),
        ("169.254.169.254", "80"),
        ("sallyport.sallyport.svc", "8443"),
        ("sallyport-injector.sallyport.svc", "443"),
        (&agent, "9090"),
    ] {
        assert!(!reaches(on, namespace, "job", address, port), "a runner reaches {address}:{port}");
    }
    // What its sidecar finds from there, again and again. (Another story's pod may have one on purpose.)
    let alarms = on.json(&["sessions", "alarms"]).to_string();
    assert!(!alarms.contains(&format!("{namespace}/")), "{alarms}");
}

pub(super) fn the_record_and_the_api_servers_log_agree(on: &Installed) {
    // A read's record is on disk within a second.
    let said = eventually(|| {
        let log = std::fs::read(&on.node.facts().audit_log).expect("the audit log is there");
        let arguments = ["/sallyport", "audit", "reconcile", "--kube-audit", "/dev/stdin"];
        let log = String::from_utf8(log).expect("UTF-8");
        let output = on.node.exec("sallyport", "sallyport-control-plane-0", "control-plane", &arguments, &log);
        if output.code == Some(0) { Ok(output.stdout) } else { Err(format!("{output:?}")) }
    });
    assert!(said.contains(" 0 disagreements"), "{said}");
}

/// In a namespace where it is mandatory nobody leaves it out; and what would go round it is not admitted.
#[test]
fn a_mandatory_namespace_has_no_pod_without() {
    let Some(on) = installed() else { return };
    let _unchanged = on.unchanged();
    let namespace = on.node.namespace("mandatory");
    on.node.admin(&["label", "namespace", &namespace, "sallyport.dev/inject=required"]);
    job(&namespace, "plain", "");
    on.node.ready(&namespace, "plain");
    let pod = on.node.pod(&namespace, "plain");
    assert_eq!(pod["metadata"]["labels"]["sallyport.dev/injected"], "true");
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "sallyport");
    assert!(!reaches(on, &namespace, "plain", "10.96.0.1", "443"));
    // No token of the API server's is anywhere in the job's container.
    let token =
        on.node.exec(&namespace, "plain", "job", &["cat", "/var/run/secrets/kubernetes.io/serviceaccount/token"], "");
    assert!(!token.ok().contains('.'), "what is there is the sidecar's own, and no JWT");
    let host = on.node.try_admin(
        &["-n", &namespace, "run", "host", "--image", RUNNER, "--overrides", r#"{"spec":{"hostNetwork":true}}"#],
        "",
    );
    let said = String::from_utf8_lossy(&host.stderr).into_owned();
    assert!(!host.status.success() && said.contains("hostNetwork"), "{said}");
}

/// The network policies are taken away: each sidecar notices within a minute, and says so until they are back.
#[test]
#[expect(clippy::disallowed_methods, reason = "an alarm is promised within a minute")]
fn a_policy_that_is_taken_away_is_an_alarm_within_a_minute() {
    let Some(on) = installed() else { return };
    let _unchanged = on.unchanged();
    let namespace = on.node.namespace("alarm");
    job(&namespace, "job", r#"sallyport.dev/inject: "true""#);
    on.node.ready(&namespace, "job");
    kubectl(on, &namespace, "job", &["get", "pods"]).ok();
    // A policy that allows everything is as bad as none, and is of this Pod alone: other stories go on.
    on.node.apply(&format!(
        "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: careless, namespace: {namespace}}}
spec:
  endpointSelector: {{}}
  egress: [{{toEntities: [all]}}]
",
        namespace = &*namespace
    ));
    let alarms = |open: bool| {
        eventually(|| {
            let alarms = on.json(&["sessions", "alarms"]);
            let ours = |alarm: &&Value| alarm["pod"].as_str().is_some_and(|pod| pod.starts_with(&*namespace));
            let found = alarms.as_array().and_then(|alarms| alarms.iter().find(ours)).cloned();
            if found.is_some() == open { Ok(found) } else { Err(alarms.to_string()) }
        })
    };
    let begun = std::time::Instant::now();
    let alarm = alarms(true).expect("it is on").to_string();
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "within a minute");
    for way in ["service", "api-server", "kubelet"] {
        assert!(alarm.contains(&format!("\"{way}\"")), "{alarm}");
    }
    on.node.admin(&["-n", &namespace, "delete", "ciliumnetworkpolicy", "careless"]);
    alarms(false);
}
