//! What `kubectl apply` loses of a Service, and who says so.

use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::Cluster;

use super::life::{printed, sallyport, with};
use super::objects;

const SERVICE: [&str; 4] = ["-n", "sallyport", "service", "sallyport"];

/// An installation from before sidecars and agents could come over TCP.
fn install_before(cluster: &Cluster) {
    let (manifests, _) = printed(cluster, &with("install", &["--network", "none"]));
    cluster.apply(&manifests);
    let name = ("Service".to_owned(), "sallyport".to_owned(), "sallyport".to_owned());
    let mut service = objects(&manifests).remove(&name).unwrap();
    let ports = service["spec"]["ports"].as_array_mut().unwrap();
    ports.retain(|port| port["port"] != 7443 || port["protocol"] == "UDP");
    cluster.admin(&["delete", "-n", "sallyport", "service", "sallyport"]);
    cluster.apply(&service.to_string());
}

fn has_tcp(cluster: &Cluster) -> bool {
    let service = cluster.get_json(&SERVICE);
    let ports = service["spec"]["ports"].as_array().unwrap();
    let has = |protocol: &str| ports.iter().any(|port| port["port"] == 7443 && port["protocol"] == protocol);
    assert!(has("UDP"), "{service}");
    has("TCP")
}

fn up_to_date(cluster: &Cluster) -> Value {
    let output = sallyport(cluster, &["doctor", "--no-pod", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "up-to-date").unwrap().clone()
}

/// As a person's shell has it.
fn typed(cluster: &Cluster, line: &str) {
    let facts = cluster.facts();
    let path = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&facts.kubectl, path.path().join("kubectl")).unwrap();
    let mut bash = Command::new("bash");
    let path_variable = format!("{}:/usr/bin:/bin", path.path().display());
    bash.args(["-c", line]).env_clear().env("PATH", path_variable).env("KUBECONFIG", &facts.admin_kubeconfig);
    let output = bash.env("HOME", path.path()).output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

#[test]
fn a_port_that_apply_leaves_out_is_told_with_the_line_that_adds_it() {
    let alone = Cluster::for_installations();
    let cluster: &Cluster = &alone;
    install_before(cluster);
    let upgrade = || printed(cluster, &with("upgrade", &["--network", "none"]));
    let (manifests, notes) = upgrade();
    let line = notes.lines().find(|line| line.starts_with("kubectl ")).unwrap_or_else(|| panic!("{notes}"));
    assert!(
        notes.contains("Service sallyport in sallyport has no TCP 7443, and kubectl apply does not add it"),
        "{notes}"
    );
    cluster.apply(&manifests);
    assert!(!has_tcp(cluster), "kubectl adds it by itself: nobody need be told");
    let check = up_to_date(cluster);
    assert_eq!((check["outcome"].as_str(), check["remedy"].as_str()), (Some("failed"), Some(line)), "{check}");

    typed(cluster, line);
    assert!(has_tcp(cluster));
    let (manifests, notes) = upgrade();
    assert!(notes.contains("Nothing changes.") && !notes.contains("kubectl"), "{notes}");
    assert_eq!(up_to_date(cluster)["outcome"], json!("ok"));
    cluster.apply(&manifests);
    assert!(has_tcp(cluster));

    let (gone, _) = printed(cluster, &["uninstall", "--purge"]);
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
}
