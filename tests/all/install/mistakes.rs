//! What is wrong with values is told at once, before anything is asked of the cluster.

use std::process::Command;

use control_plane::install::{self, Settings};
use tests::cluster::{program, root};

#[test]
fn all_mistakes_of_values_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    let text = "cluster: Production
clutser: twice
images: {tag: 1, pullPolicy: Sometimes, pullSecrets: registry}
controlPlane:
  approverIssuers: [{issuer: 'http://login', audience: a}]
  ciIssuers: [{issuer: 'https://x', audience: a, kind: github}]
  policy: 'kind: Nothing'
  files: {config.yaml: x}
  names: ['a b']
  requireCi: maybe
  storage: {sizes: 1Gi}
agent: {replicas: 3, protectedNamespaces: [payments], revealed: [db, sallyport/sallyport-ca, payments/db, shop/db]}
network: {mode: calico, runnerNamespaces: [sallyport], dns: {port: 70000}}
";
    std::fs::write(&file, text).unwrap();
    // A kubectl that is not there shows that nothing was asked.
    let output = Command::new(program("sallyport"))
        .args(["install", "--kubectl", "/nonexistent", "--set", "network.mode", "--values"])
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{said}");
    for key in [
        "--set:",
        "cluster:",
        "clutser: there is no such key",
        "images.tag:",
        "images.pullPolicy:",
        "images.pullSecrets:",
        "controlPlane.approverIssuers[0].issuer:",
        "controlPlane.approverIssuers[0].groups:",
        "controlPlane.ciIssuers[0].require:",
        "controlPlane.policy:",
        "controlPlane.files.config.yaml:",
        "controlPlane.listen.names[4]:",
        "controlPlane.requireCi:",
        "controlPlane.storage.sizes: there is no such key",
        "agent.replicas: there is no such key",
        "agent.revealed[0]:",
        "agent.revealed[1]:",
        "agent.revealed[2]:",
        "network.mode:",
        "network.runnerNamespaces:",
        "network.dns.port:",
    ] {
        assert!(said.contains(&format!("\n  {key}")), "{key} is missing:\n{said}");
    }
}

/// The file that administrators start from is taken as it is, and names every key.
#[test]
fn the_example_of_values_is_taken() {
    let path = root().join("manifests/values/example.yaml");
    let values = install::read(&path).unwrap();
    Settings::parse(values).unwrap();
    let source = std::fs::read_to_string(root().join("control-plane/src/install/settings.rs")).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let calls =
        [".text(\"", ".texts(\"", ".value(\"", ".fields(\"", ".mapping(\"", ".port(\"", ".ports(\"", ".named_texts(\""];
    let keys: Vec<_> = calls
        .iter()
        .flat_map(|call| source.split(call).skip(1).filter_map(|rest| rest.split('"').next()))
        .filter(|key| !["address", "pin", "dangerSingleLocalVote"].contains(key))
        .collect();
    let missing: Vec<_> = keys.iter().filter(|key| !text.contains(&format!("{key}:"))).collect();
    assert!(keys.len() > 20 && missing.is_empty(), "not explained: {missing:?} of {keys:?}");
}

#[test]
fn a_control_plane_elsewhere_has_no_configuration_here() {
    let arguments = ["install", "--kubectl", "/nonexistent", "--cluster", "c", "--agent-only"];
    let more = ["--control-plane", "example.com", "--pin", "pin", "--web-name", "x"];
    let output = Command::new(program("sallyport")).args(arguments).args(more).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    for key in ["controlPlane.address:", "controlPlane.pin:", "controlPlane.names: there is no such key"] {
        assert!(said.contains(key), "{said}");
    }
}
