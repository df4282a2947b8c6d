//! What `sallyport doctor` says of an installation whose control plane is not in the cluster: of its pins it knows what the agents show.

use serde_json::json;
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::KeyPin;
use tests::cluster::Cluster;

use super::{doctor, sallyport, says};

const PLACE: [&str; 7] = [
    "--agent-only",
    "--control-plane",
    "sallyport.example.com:7443",
    "--set",
    "network.apiServerPorts=[6443]",
    "--network",
    "none",
];

fn install(cluster: &Cluster, more: &[&str]) {
    let manifests = sallyport(cluster, &[&["install"], PLACE.as_slice(), more].concat()).ok();
    cluster.apply(&manifests);
}

/// Somebody changes what agents show, or the cluster changes under it: both look the same from here.
fn shown(cluster: &Cluster, key: &str, value: &str) {
    let patch = json!({"stringData": {key: value}}).to_string();
    cluster.admin(&["patch", "secret", "-n", "sallyport", "sallyport-enrolment", "--type=merge", "-p", &patch]);
}

#[test]
fn the_pins_of_a_control_plane_elsewhere_are_compared_with_what_agents_show() {
    let alone = Cluster::for_installations();
    let cluster: &Cluster = &alone;
    let token = EnrolmentToken::new("production", KeyPin::of_spki(b"key"));
    let pin = token.pin().to_string();
    let look = || doctor(cluster).0;

    // Without a token the keys are where nobody can look from here.
    install(cluster, &["--cluster", "production", "--pin", &pin]);
    says(&look(), "installed", "ok", "its control plane is elsewhere");
    says(&look(), "pinned", "ok", "the keys are in the configuration of the control plane, which is elsewhere");

    install(cluster, &["--enrol", token.text().expose()]);
    says(&look(), "pinned", "ok", "it is enrolled with a token");
    shown(cluster, "keys.json", r#"{"keys":[]}"#);
    let report = look();
    says(&report, "pinned", "warning", "keys that were not enrolled: its Pods are not believed");
    shown(cluster, "issuer", "https://elsewhere.example.com");
    let report = look();
    says(&report, "pinned", "failed", "another issuer was enrolled");
    says(&report, "pinned", "failed", "keys that were not enrolled");
    let remedy = super::check(&report, "pinned")["remedy"].to_string();
    assert!(remedy.contains("sallyport clusters forget") && remedy.contains("install with the new token"), "{remedy}");

    // As the remedy says.
    let token = EnrolmentToken::new("production", token.pin());
    install(cluster, &["--enrol", token.text().expose()]);
    says(&look(), "pinned", "ok", "it is enrolled with a token");

    // The agents' configuration of another cluster, as a copied backup has it.
    let map = ["configmap", "-n", "sallyport", "sallyport-agent"];
    let config = cluster.get_json(&map)["data"]["agent.yaml"].as_str().unwrap().to_owned();
    let uid = config.lines().find(|line| line.starts_with("clusterUid:")).unwrap();
    let other =
        json!({"data": {"agent.yaml": config.replace(uid, "clusterUid: 00000000-0000-4000-8000-000000000000")}});
    cluster.admin(&[&["patch"], map.as_slice(), &["--type=merge", "-p", &other.to_string()]].concat());
    says(&look(), "pinned", "failed", "the agents' configuration is of another cluster");

    let gone = sallyport(cluster, &["uninstall", "--purge"]).ok();
    cluster.admin_with(&["delete", "--ignore-not-found", "-f", "-"], &gone);
}
