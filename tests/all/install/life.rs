//! Install, install again, upgrade, uninstall: in a real cluster, through the real kubectl.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::cluster::{Cluster, program, root};

use super::{Name, by_name, objects};

/// The test cluster listens on loopback, which no EndpointSlice can say.
const COMMON: [&str; 4] = ["--cluster", "production", "--set", "network.apiServerPorts=[6443]"];

pub(super) fn sallyport(cluster: &Cluster, arguments: &[&str]) -> Output {
    let facts = cluster.facts();
    let mut command = Command::new(program("sallyport"));
    command.args(arguments).arg("--kubectl").arg(&facts.kubectl).arg("--kubeconfig").arg(&facts.admin_kubeconfig);
    command
        .env_clear()
        .env("HOME", &facts.folder)
        .env("KUBECACHEDIR", facts.folder.join("kubectl-cache"))
        .output()
        .unwrap()
}

pub(super) fn printed(cluster: &Cluster, arguments: &[&str]) -> (String, String) {
    let output = sallyport(cluster, arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "sallyport {arguments:?}: {err}");
    (out, err)
}

pub(super) fn with<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command], COMMON.as_slice(), more].concat()
}

/// Everything of ours, with the versions that the API server gave.
fn ours(cluster: &Cluster) -> Vec<(Name, String)> {
    let kinds = "namespaces,serviceaccounts,configmaps,secrets,services,statefulsets,deployments,poddisruptionbudgets,networkpolicies,\
                 roles,rolebindings,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
                 validatingadmissionpolicies,validatingadmissionpolicybindings";
    let list = cluster.get_json(&[kinds, "--all-namespaces", "-l", "app.kubernetes.io/part-of=sallyport"]);
    let all = by_name(list["items"].as_array().unwrap().clone());
    let version = |object: &Value| {
        let generation = object.pointer("/metadata/generation").unwrap_or(&Value::Null);
        // The controllers write states of what they run; the wish has a generation of its own there.
        if generation.is_null() { object["metadata"]["resourceVersion"].to_string() } else { generation.to_string() }
    };
    all.into_iter().map(|(name, object)| (name, version(&object))).collect()
}

#[test]
fn an_installation_is_applied_repeated_changed_and_removed() {
    let alone = Cluster::for_installations();
    let cluster: &Cluster = &alone;
    cluster.admin(&["create", "namespace", "ci"]);
    let early = sallyport(cluster, &with("upgrade", &[]));
    assert!(!early.status.success() && early.stdout.is_empty(), "there is nothing to upgrade");
    let (first, notes) = printed(cluster, &with("install", &["--runner-namespace", "ci"]));
    assert!(notes.contains("authority is made"), "{notes}");
    cluster.apply(&first);
    let wanted = objects(&first);
    let there = ours(cluster);
    assert_eq!(there.iter().map(|(name, _)| name).collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    pods_are_restricted(cluster, &wanted);
    the_agent_has_the_rights_that_are_tested(cluster);

    // Once more: the same keys, and nothing that the API server would take for a change.
    let (second, notes) = printed(cluster, &with("install", &["--runner-namespace", "ci"]));
    assert!(second == first && !notes.contains("made"), "{notes}");
    cluster.apply(&second);
    assert_eq!(ours(cluster), there);
    let (_, notes) = printed(cluster, &with("upgrade", &["--runner-namespace", "ci"]));
    assert!(notes.contains("Nothing changes."), "{notes}");

    // Under another name it would be another cluster.
    let other = sallyport(cluster, &["install", "--cluster", "staging", "--network", "none"]);
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(other.status.code() == Some(1) && said.contains("\"production\""), "{said}");

    an_upgrade_says_what_it_changes(cluster);
    it_goes_in_an_order_that_locks_nobody_out(cluster);
}

/// As the admission of the API server sees it: our own namespace enforces `restricted`.
fn pods_are_restricted(cluster: &Cluster, wanted: &std::collections::BTreeMap<Name, Value>) {
    let namespace = cluster.get_json(&["namespace", "sallyport"]);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let mut tried = 0;
    for ((kind, _, name), object) in
        wanted.iter().filter(|((kind, ..), _)| kind == "Deployment" || kind == "StatefulSet")
    {
        let template = &object["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        metadata["name"] = json!(format!("try-{name}"));
        metadata["namespace"] = json!("sallyport");
        let mut spec = template["spec"].clone();
        for claim in object["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let volume = json!({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "data"}});
            spec["volumes"].as_array_mut().unwrap().push(volume);
        }
        let container = &spec["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
        assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        let tokens = spec["volumes"].to_string().matches("\"serviceAccountToken\"").count();
        assert_eq!(tokens, if name == "sallyport-agent" { 2 } else { 0 }, "{name}");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string();
        cluster.admin_with(&["create", "--dry-run=server", "-f", "-"], &pod);
        // The dry run can say no.
        spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string();
        let refused = cluster.try_admin(&["create", "--dry-run=server", "-f", "-"], &pod);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("violates PodSecurity"), "{kind} {name}: {said}");
        tried += 1;
    }
    assert_eq!(tried, 3);
}

/// Those of manifests/agent, which tests/all/rbac.rs takes apart.
fn the_agent_has_the_rights_that_are_tested(cluster: &Cluster) {
    let file = root().join("manifests/agent/rbac.yaml");
    let said = cluster.admin(&["apply", "--dry-run=server", "-f", &file.display().to_string()]);
    assert!(said.lines().count() > 10 && said.lines().all(|line| line.contains(" unchanged")), "{said}");
}

fn an_upgrade_says_what_it_changes(cluster: &Cluster) {
    let arguments = with(
        "upgrade",
        &["--tag", "9", "--web-name", "sallyport.example.com", "--set", "agent.protectedNamespaces=[prod]"],
    );
    let (upgrade, notes) = printed(cluster, &arguments);
    let mut lines: Vec<_> = notes.lines().filter(|line| line.starts_with(char::is_alphabetic)).collect();
    lines.retain(|line| ["added ", "changed ", "removed "].iter().any(|word| line.starts_with(word)));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "changed  ConfigMap sallyport-agent in sallyport",
            "changed  ConfigMap sallyport-control-plane in sallyport",
            "changed  ConfigMap sallyport-injector in sallyport",
            "changed  ConfigMap sallyport-installation in sallyport",
            "changed  Deployment sallyport-agent in sallyport",
            "changed  Deployment sallyport-injector in sallyport",
            "changed  StatefulSet sallyport-control-plane in sallyport",
            "removed  NetworkPolicy sallyport-runners in ci",
        ]
    );
    cluster.apply(&upgrade);
    // What is no longer installed is told in a form that kubectl takes.
    let (_, gone) = notes.split_once("<<'YAML'\n").unwrap();
    let gone = gone.split_once("YAML\n").unwrap().0;
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], gone);
    let (_, notes) = printed(cluster, &arguments);
    assert!(notes.contains("Nothing changes."), "{notes}");
}

fn it_goes_in_an_order_that_locks_nobody_out(cluster: &Cluster) {
    let (gone, notes) = printed(cluster, &["uninstall"]);
    let kinds: Vec<_> = gone.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    let admission = |kind: &&&str| kind.contains("Webhook") || kind.contains("AdmissionPolicy");
    let first = kinds.iter().take_while(admission).count();
    assert!(first >= 2 && first == kinds.iter().filter(admission).count(), "{kinds:?}");
    for stays in ["Secret sallyport-ca", "Secret sallyport-placeholder", "Namespace sallyport", "PersistentVolumeClaim"]
    {
        assert!(notes.contains(stays), "{stays}: {notes}");
    }
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
    let left: Vec<_> = ours(cluster).into_iter().map(|((kind, _, name), _)| format!("{kind} {name}")).collect();
    assert_eq!(left, ["Namespace sallyport", "Secret sallyport-ca", "Secret sallyport-placeholder"]);

    // Installed again it has the old keys, for records and pins go on.
    let (again, notes) = printed(cluster, &with("install", &[]));
    assert!(!notes.contains("authority is made"), "{notes}");
    cluster.apply(&again);
    let (gone, notes) = printed(cluster, &["uninstall", "--purge"]);
    assert!(!notes.contains("stay"), "{notes}");
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
    assert_eq!(ours(cluster), []);
    let claims = cluster.try_admin(&["get", "persistentvolumeclaims", "-A", "-o", "name"], "");
    assert_eq!(String::from_utf8_lossy(&claims.stdout), "");
}
