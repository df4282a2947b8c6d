//! `sallyport policy check` and `policy explain`, as a person at a terminal uses them. No cluster is asked.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use tests::cluster::{Cluster, program, root};

use crate::golden;

fn sallyport(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program("sallyport")).args(arguments).env_clear().current_dir(folder).output().unwrap();
    let mut text = format!("$ sallyport {}\n", arguments.join(" "));
    text.push_str(&String::from_utf8(output.stdout).unwrap());
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    match output.status.code().unwrap() {
        0 => writeln!(text).unwrap(),
        code => writeln!(text, "exit code {code}\n").unwrap(),
    }
    text
}

/// What a person may type for a request, and what is said to it.
const ASKED: [&str; 34] = [
    "create serviceaccount bot",
    "kubectl delete po x",
    "delete pods x",
    "delete pod/x",
    "get secret database",
    "get secrets",
    "watch cm",
    "create secret generic database",
    "create secret tls web",
    "create svc clusterip web",
    "create ns team",
    "create Namespace team",
    "delete node worker",
    "delete no worker",
    "delete crd widgets.example.com",
    "create clusterrolebinding all",
    "create rolebinding some",
    "create mutatingwebhookconfigurations x",
    "create pods/exec x",
    "exec x",
    "exec pod/x",
    "logs x",
    "port-forward svc/x",
    "scale deploy web",
    "patch deployment web",
    "patch deploy web --type json",
    "patch deploy web --type merge",
    "apply deploy web",
    "create widgets.example.com x",
    "patch widgets.example.com x",
    "deletecollection configmaps",
    "create widget x",
    "conjure pods x",
    "patch pods",
];

const MANIFESTS: [(&str, &str); 4] = [
    (
        "pod.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}, spec: {hostNetwork: true, containers: [{name: c, image: i, securityContext: {privileged: true}}]}}",
    ),
    (
        "binding.yaml",
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}",
    ),
    ("widget.yaml", "{apiVersion: example.com/v1beta1, kind: Widget, metadata: {name: w}}"),
    (
        "privileged.json",
        "[{\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/securityContext\", \"value\": {\"privileged\": true}}]",
    ),
];

const RIGHT: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
rules:
- {name: no-bots, match: {apiGroups: [''], resources: [serviceaccounts], verbs: [create]}, effect: deny}
";

const WRONG: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 400, twoPeopleAt: 100, denyAt: 100}
rules:
- {name: no-bots, match: {apiGroups: [''], resources: [serviceaccounts], verbs: [create]}, effect: maybe}
- {name: no-bots, match: {resources: [pods]}, when: 'object.', effect: deny}
unknown: 1
";

#[test]
fn policy_is_explained_in_kubectls_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    MANIFESTS.iter().for_each(|(name, text)| write(name, text));
    write("right.yaml", RIGHT);
    write("wrong.yaml", WRONG);
    let mut text = String::new();
    for words in ASKED {
        let arguments: Vec<_> = ["policy", "explain"].into_iter().chain(words.split(' ')).collect();
        text.push_str(&sallyport(folder.path(), &arguments));
    }
    for words in [
        "explain -f pod.yaml",
        "explain -f binding.yaml",
        "explain -f widget.yaml",
        "explain -f widget.yaml create widgets.example.com",
        "explain -f privileged.json patch deploy web --type json",
        "explain -f privileged.json patch deploy web --type merge",
        "explain -f none.yaml",
        "explain --policy right.yaml create sa bot",
        "explain --policy right.yaml --as nobody create sa bot",
        "explain --policy wrong.yaml create sa bot",
        "check right.yaml",
        "check wrong.yaml",
        "check none.yaml",
    ] {
        let arguments: Vec<_> = ["policy"].into_iter().chain(words.split(' ')).collect();
        text.push_str(&sallyport(folder.path(), &arguments));
    }
    golden::compare("tests/golden/policy-explain.txt", &text);
}

/// The names that `policy explain` knows are those of the API server.
#[test]
fn every_built_in_name_is_known() {
    let listed = Cluster::get().admin(&["api-resources", "--no-headers", "--sort-by=name"]);
    let mut lines: Vec<(String, String)> = Vec::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, short, rest) = match words.as_slice() {
            [name, api_version, namespaced, kind] => (*name, "-", [*api_version, *namespaced, *kind]),
            [name, short, api_version, namespaced, kind] => (*name, *short, [*api_version, *namespaced, *kind]),
            other => panic!("{other:?}"),
        };
        let [api_version, ..] = rest;
        // Without the definitions of other tests. The core group is first, as it is for kubectl.
        if !api_version.contains('.') || api_version.contains(".k8s.io/") {
            let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
            lines.push((group, format!("{name} {short} {}\n", rest.join(" "))));
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    golden::compare("control-plane/src/cli/policy/api-resources.txt", &text);
}

/// Every policy that the README shows is one, so that what a person copies from there is taken.
#[test]
fn policies_of_the_readme_are_taken() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for block in readme.split("\n```\n").skip(1).step_by(2) {
        let policy = block.starts_with("rules:") || block.contains("kind: Policy");
        let Some(text) = policy.then(|| block.split("\n$ ").next().unwrap()) else { continue };
        let head =
            if text.contains("kind: Policy") { "" } else { "apiVersion: sallyport.dev/v1alpha1\nkind: Policy\n" };
        std::fs::write(folder.path().join("policy.yaml"), format!("{head}{text}\n")).unwrap();
        let said = sallyport(folder.path(), &["policy", "check", "policy.yaml"]);
        assert!(!said.contains("exit code"), "{text}\n{said}");
        checked += 1;
    }
    assert!(checked >= 2, "{checked} policies");
}
