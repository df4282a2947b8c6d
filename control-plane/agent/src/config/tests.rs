use std::fs;

use super::*;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = shared_net::pki::Ca::generate("test", shared::time::Timestamp(1_800_000_000_000)).unwrap();
        fs::write(folder.path().join("ca"), ca.pem()).unwrap();
        fs::write(folder.path().join("token"), "t").unwrap();
        fs::write(folder.path().join("key"), [7; 32]).unwrap();
        fs::write(folder.path().join("key64"), format!("{}\n", STANDARD.encode([8; 32]))).unwrap();
        fs::write(folder.path().join("short"), "short").unwrap();
        Self { folder }
    }

    fn text(&self) -> String {
        let dir = self.folder.path().display();
        format!(
            "cluster: a\nclusterUid: u\ncontrolPlane:\n  address: cp.example:7443\n  pin: pin-sha256:{}\ntokenFile: {dir}/token\n\
             placeholderKeys:\n  current: {dir}/key\n  previous: {dir}/key64\n\
             apiServer:\n  url: https://127.0.0.1:6443\n  caFile: {dir}/ca\n  tokenFile: {dir}/token\n",
            "A".repeat(43)
        )
    }
}

fn problems(text: &str) -> Vec<String> {
    match parse(text, &InCluster::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.key.clone()).collect(),
    }
}

#[test]
fn a_whole_file() {
    let files = Files::new();
    let config = parse(&files.text(), &InCluster::default()).unwrap();
    assert_eq!(config.cluster, "a");
    assert_eq!(config.namespace, "sallyport");
    assert!(config.protected.contains("sallyport"), "our own namespace is always protected");
    assert_eq!(config.api_server.authority, "127.0.0.1:6443");
    assert_eq!(config.listen.port(), 9090);
}

#[test]
fn all_mistakes_at_once() {
    let found = problems(
        "cluster: A_b\nlisten: nine\ncontrolPlane:\n  address: x\n  pin: y\nlog:\n  filter: loud\n  format: xml\n",
    );
    for key in [
        "cluster",
        "clusterUid",
        "controlPlane.address",
        "controlPlane.pin",
        "tokenFile",
        "placeholderKeys.current",
        "apiServer",
        "listen",
        "log.format",
        "log.filter",
    ] {
        assert!(found.iter().any(|other| other == key), "{key} in {found:?}");
    }
}

#[test]
fn each_mistake() {
    let files = Files::new();
    for (from, to, key) in [
        ("https://", "http://", "apiServer.url"),
        ("https://127", "https://user@127", "apiServer.url"),
        ("6443", "6443/api", "apiServer.url"),
        ("/ca\n", "/token\n", "apiServer.caFile"),
        ("/key\n", "/short\n", "placeholderKeys.current"),
        ("/key64", "/nothing", "placeholderKeys.previous"),
        ("cluster: a", "clusters: a", "file"),
        ("cluster: a", "cluster: a\ncluster: b", "file"),
        ("cluster: a", "protectedNamespaces: [Kube]\ncluster: a", "protectedNamespaces[0]"),
        ("cluster: a", "namespace: ../x\ncluster: a", "namespace"),
    ] {
        let text = files.text().replacen(from, to, 1);
        assert_ne!(text, files.text(), "{from}");
        assert_eq!(problems(&text), [key], "{from} -> {to}");
    }
}

#[test]
fn the_pods_own_environment() {
    let files = Files::new();
    let text = files.text();
    let (text, _) = text.split_once("apiServer").unwrap();
    let pod = InCluster { host: Some("fd00::1".to_owned()), port: Some("6443".to_owned()) };
    let problems = parse(text, &pod).unwrap_err();
    // The files of a pod are not here; the address is read all the same.
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["apiServer.caFile", "apiServer.tokenFile"]);
}
