//! `sallyport doctor` in front of a real API server, where nothing runs: each check is made to fail once, and says so.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared_net::clock::Clock;
use shared_net::pki::Ca;
use tests::cluster::{Cluster, program};
use tests::kubectl::Output;
use tests::stack::Stack;

mod elsewhere;

const INSTALL: [&str; 6] =
    ["--cluster", "production", "--set", "network.apiServerPorts=[6443]", "--runner-namespace", "jobs"];
/// What is red and what is left out where there is no node: nothing runs, so nobody answers for Pods.
const WITHOUT_A_NODE: [&str; 4] = ["answers", "injects", "refuses", "running"];

fn sallyport(cluster: &Cluster, arguments: &[&str]) -> Output {
    let facts = cluster.facts();
    let mut command = Command::new(program("sallyport"));
    command.args(arguments).arg("--kubectl").arg(&facts.kubectl).arg("--kubeconfig").arg(&facts.admin_kubeconfig);
    run(command.env("KUBECACHEDIR", facts.folder.join("kubectl-cache")).env("HOME", &facts.folder))
}

fn run(command: &mut Command) -> Output {
    let output = command.env_remove("SALLYPORT_SOCKET").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The report, and the exit code.
fn doctor(cluster: &Cluster) -> (Value, Option<i32>) {
    let output = sallyport(cluster, &["doctor", "--no-pod", "-o", "json"]);
    let report = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, output.code)
}

/// Ids of the checks with this outcome, sorted.
fn ids<'a>(report: &'a Value, outcome: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == outcome);
    let mut ids: Vec<_> = checks.map(|check| check["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

#[track_caller]
fn says(report: &Value, id: &str, outcome: &str, words: &str) {
    let check = check(report, id);
    assert!(check["outcome"] == outcome && check["found"].to_string().contains(words), "{id}: {words:?} in {check}");
    assert!(outcome == "ok" || check["remedy"].is_string(), "it says what to do: {check}");
}

/// Everything that can be broken in a cluster without a node, at once: what doctor says of it, as check and words.
fn break_everything(cluster: &Cluster) -> Vec<(&'static str, &'static str, &'static str)> {
    let admin = |arguments: &[&str]| cluster.admin(arguments);
    let patch = |what: &[&str], kind: &str, patch: &Value| {
        cluster.admin(&[&["patch"], what, &["--type", kind, "-p", &patch.to_string()]].concat())
    };
    let own = ["-n", "sallyport"];
    // Policies: one gone, one that lets more in, and that in a way that `kubectl apply` does not see.
    admin(&["delete", "networkpolicy", "-n", "jobs", "sallyport-runners"]);
    let open = json!({"spec": {"ingress": [{}]}});
    patch(&[&["networkpolicy", "sallyport-agent"], own.as_slice()].concat(), "merge", &open);
    // Roles.
    let more = json!([{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}}]);
    patch(&["clusterrole", "sallyport:write"], "json", &more);
    admin(&["delete", "rolebinding", "-n", "sallyport", "sallyport:agent"]);
    admin(&["create", "clusterrolebinding", "more", "--clusterrole=cluster-admin", "--group=sallyport:write"]);
    admin(&[
        "create",
        "rolebinding",
        "-n",
        "jobs",
        "also",
        "--clusterrole=view",
        "--serviceaccount=sallyport:sallyport-agent",
    ]);
    admin(&["create", "clusterrolebinding", "all", "--clusterrole=edit", "--group=system:authenticated"]);
    admin(&["create", "clusterrole", "things", "--verb=get,list", "--resource=configmaps"]);
    admin(&["create", "clusterrolebinding", "things", "--clusterrole=things", "--group=sallyport:read"]);
    // Webhooks: one that asks about fewer Pods, one without its policy, one that another authority is to vouch for.
    let fewer =
        json!([{"op": "add", "path": "/webhooks/0/objectSelector", "value": {"matchLabels": {"never": "there"}}}]);
    patch(&["mutatingwebhookconfiguration", "sallyport-injector"], "json", &fewer);
    admin(&["delete", "validatingadmissionpolicybinding", "sallyport-required"]);
    let other = STANDARD.encode(Ca::generate("other", Clock::system().now()).unwrap().pem());
    let bundle = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other}]);
    patch(&["validatingwebhookconfiguration", "sallyport-injector"], "json", &bundle);
    cluster.apply(FOREIGN_WEBHOOK);
    // What it was installed for, and with.
    let keys = json!({"data": {"keys.json": r#"{"keys":[]}"#}});
    patch(&[&["configmap", "sallyport-control-plane"], own.as_slice()].concat(), "merge", &keys);
    patch(&[&["deployment", "sallyport-agent"], own.as_slice()].concat(), "merge", &json!({"spec": {"replicas": 0}}));
    admin(&["label", "namespace", "jobs", "sallyport.dev/inject=required"]);
    vec![
        ("policies", "failed", "NetworkPolicy sallyport-runners in jobs is missing"),
        ("policies", "failed", "NetworkPolicy sallyport-agent in sallyport is not as it was installed: spec.ingress"),
        ("rights", "failed", "ClusterRole sallyport:write is not as it was installed: rules"),
        ("rights", "failed", "RoleBinding sallyport:agent in sallyport is missing"),
        ("no-more-rights", "failed", "ClusterRoleBinding more gives group sallyport:write the role cluster-admin"),
        ("no-more-rights", "failed", "RoleBinding also in jobs gives ServiceAccount sallyport-agent the role view"),
        (
            "no-more-rights",
            "failed",
            "ClusterRoleBinding all gives system:authenticated, and so Sallyport's too, the role edit",
        ),
        ("no-more-rights", "failed", "ClusterRoleBinding things lets sallyport:read read what things names"),
        (
            "webhooks",
            "failed",
            "MutatingWebhookConfiguration sallyport-injector is not as it was installed: webhooks[0].objectSelector",
        ),
        ("webhooks", "failed", "ValidatingAdmissionPolicyBinding sallyport-required is missing"),
        (
            "webhook-certificate",
            "failed",
            "the API server would not trust it by the caBundle of the validatingwebhookconfiguration",
        ),
        ("webhook-order", "warning", "MutatingWebhookConfiguration theirs is asked about Sallyport's own Pods too"),
        ("pinned", "failed", "keys that are not pinned"),
        ("up-to-date", "failed", "ConfigMap sallyport-control-plane in sallyport is not as this version has it"),
        ("up-to-date", "failed", "Deployment sallyport-agent in sallyport is not as this version has it"),
        ("mandatory", "failed", "in jobs: "),
        ("running", "failed", "sallyport-control-plane: none of 1 is ready"),
        ("injects", "failed", "sallyport-injector"),
        ("refuses", "failed", "sallyport-injector"),
    ]
}

/// Somebody else's webhook, which leaves out no namespace. Nobody ever creates a Pod of that label.
const FOREIGN_WEBHOOK: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: theirs}
webhooks:
- name: pods.theirs.example
  clientConfig: {url: 'https://127.0.0.1:1/'}
  admissionReviewVersions: [v1]
  sideEffects: None
  objectSelector: {matchLabels: {never: there}}
  rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
";

#[test]
fn every_check_says_what_is_wrong_and_the_remedy_helps() {
    let alone = Cluster::for_installations();
    let cluster: &Cluster = &alone;
    // Whatever another test left.
    drop(cluster.try_admin(&["create", "namespace", "jobs"], ""));
    let (report, code) = doctor(cluster);
    says(&report, "installed", "failed", "there is nothing of Sallyport");
    assert_eq!((code, check(&report, "policies")["outcome"].as_str()), (Some(1), Some("left-out")));

    let manifests = sallyport(cluster, &[&["install"], INSTALL.as_slice()].concat()).ok();
    cluster.apply(&manifests);
    let (report, code) = doctor(cluster);
    assert_eq!((ids(&report, "failed"), code), (WITHOUT_A_NODE.to_vec(), Some(1)), "{report:#}");
    assert_eq!(ids(&report, "warning"), [""; 0], "{report:#}");
    says(&report, "enforced", "left-out", "--no-pod says so");
    says(&report, "installed", "ok", "cluster production, network policies: plain");
    shape(&report);

    for (id, outcome, words) in break_everything(cluster) {
        says(&doctor_once(cluster), id, outcome, words);
    }

    // As the remedies say.
    cluster.admin(&["label", "namespace", "jobs", "sallyport.dev/inject-"]);
    cluster.admin(&["delete", "clusterrolebinding", "more", "all", "things"]);
    cluster.admin(&["delete", "rolebinding", "-n", "jobs", "also"]);
    cluster.admin(&["delete", "mutatingwebhookconfiguration", "theirs"]);
    cluster.admin(&["delete", "clusterrole", "things"]);
    let upgraded = sallyport(cluster, &[&["upgrade"], INSTALL.as_slice()].concat()).ok();
    cluster.apply(&upgraded);
    cluster.admin_with(&["replace", "--save-config", "-f", "-"], &upgraded);
    let (report, _) = doctor(cluster);
    assert_eq!((ids(&report, "failed"), ids(&report, "warning")), (WITHOUT_A_NODE.to_vec(), vec![]), "{report:#}");

    // Its values are gone: nothing can be compared, and nothing is green that was not looked at.
    cluster.admin(&["delete", "configmap", "-n", "sallyport", "sallyport-installation"]);
    let (report, _) = doctor(cluster);
    says(&report, "installed", "failed", "its values are not in the cluster");
    assert_eq!(ids(&report, "ok"), ["cluster-clock", "kubectl", "kubernetes-version"]);

    let gone = sallyport(cluster, &["uninstall", "--purge"]).ok();
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
    cluster.admin(&["delete", "namespace", "jobs", "--wait=false"]);
}

/// One look for all the sentences: breaking comes first, and nothing mends it meanwhile.
fn doctor_once(cluster: &Cluster) -> Value {
    static REPORT: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    REPORT.get_or_init(|| doctor(cluster).0).clone()
}

/// What programs rely on.
fn shape(report: &Value) {
    let all = control_plane::doctor::ALL;
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), all.len());
    for (check, (_, id, sentence)) in checks.iter().zip(all) {
        assert_eq!((check["id"].as_str(), check["sentence"].as_str()), (Some(id), Some(sentence)));
        let keys: Vec<_> = check.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["found", "group", "id", "outcome", "remedy", "sentence"]);
    }
    let counts = report["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), all.len() as u64);
    assert_eq!((&report["outcome"], &report["version"]), (&json!("failed"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(report["at"].is_u64());
}

/// Where a source is missing its checks are left out, and the exit code says so.
#[test]
fn what_can_not_be_asked_is_left_out() {
    let without = |arguments: &[&str]| {
        run(Command::new(program("sallyport")).arg("doctor").args(arguments).env_clear().env("HOME", "/nonexistent"))
    };
    let nothing = without(&["--kubectl", "/nonexistent/kubectl", "-o", "json"]);
    let report: Value = serde_json::from_str(&nothing.stdout).unwrap();
    assert_eq!(
        (nothing.code, report["counts"]["leftOut"].as_u64()),
        (Some(3), Some(control_plane::doctor::ALL.len() as u64))
    );
    let printed = without(&["--kubectl", "/nonexistent/kubectl"]).stdout;
    assert!(
        printed.contains("/nonexistent/kubectl can't be started") && printed.contains("were left out"),
        "{printed}"
    );
    // A cluster that is there and can't be reached is not left out.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let server = r#"{"apiVersion":"v1","kind":"Config","current-context":"a","contexts":[{"name":"a","context":{"cluster":"a"}}],
        "clusters":[{"name":"a","cluster":{"server":"https://127.0.0.1:1"}}]}"#;
    std::fs::write(&config, server).unwrap();
    let kubectl = Cluster::get().facts().kubectl.display().to_string();
    let unreachable = without(&["--kubectl", &kubectl, "--kubeconfig", &config.display().to_string()]);
    assert!(unreachable.code == Some(1) && unreachable.stdout.contains("refused"), "{unreachable:?}");
    // Arguments are another matter.
    assert_eq!(without(&["--no-such-flag"]).code, Some(2));
}

/// The control plane alone, over its socket, and over HTTPS without a credential that counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_says_how_it_is() {
    let mut stack = Stack::start("doctor");
    let look = |stack: &Stack| {
        let output = stack.cli(&["doctor", "--no-cluster", "-o", "json"]);
        (serde_json::from_str::<Value>(&output.stdout).unwrap(), output.code)
    };
    let (report, code) = look(&stack);
    // The cluster is left out, so it is not all well.
    assert_eq!((ids(&report, "failed"), code), (vec![], Some(3)), "{report:#}");
    // How much room there is, is the machine's affair.
    for id in ["answers", "certificates", "clock", "policy", "store"] {
        says(&report, id, "ok", "");
    }
    says(&report, "agents", "warning", "test: one is connected");
    says(&report, "approvals", "warning", "one vote over its local socket is enough");
    says(&report, "approvals", "warning", "agents have no approvers.yaml");
    // This sidecar is no Pod's and knows no doors to try: not tried is not shut.
    says(&report, "sidecars", "warning", "1 have not tried");
    says(&report, "watched", "warning", "its agents were not told what was installed");
    let printed = stack.cli(&["doctor", "--no-cluster"]).stdout;
    assert!(printed.contains("\n  ok    its store takes writes (a durable write was made)\n"), "{printed}");
    assert!(printed.contains("\n  WARN  approvals don't rest on the control plane alone\n          "), "{printed}");

    stack.kill_agent();
    // A killed process says no goodbye: it is not heard, and then it is gone.
    let (report, code) = eventually(|| {
        let (report, code) = look(&stack);
        (check(&report, "agents")["outcome"] == "failed").then_some((report, code))
    })
    .await;
    says(&report, "agents", "failed", "test: none is connected");
    assert_eq!(code, Some(1));
    stack.stop_control_plane();
    let (report, _) = look(&stack);
    says(&report, "answers", "failed", "does not listen");
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..150 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("it did not happen within half a minute");
}
