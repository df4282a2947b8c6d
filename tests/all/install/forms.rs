//! Manifests, kustomize and helm: one installation in three forms, compared object by object.

use std::path::Path;
use std::process::Command;

use control_plane::install::{Form, Installation, Settings};
use serde_json::{Value, json};
use shared_net::enrolment::EnrolmentToken;
use tests::cluster::{Cluster, root};

use super::{cluster, installation, names, objects, values};

#[test]
fn manifests_kustomize_and_helm_say_the_same() {
    let pin = "pin-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let outside = json!({"address": "sallyport.example.com:7443", "pin": pin});
    let issuers = json!([{"issuer": "https://login.example.com", "audience": "sallyport", "groups": "groups"}]);
    let variants = [
        (
            36,
            json!({"network": {"runnerNamespaces": ["ci", "more-ci"]}}),
            &["network/plain", "network/plain/control-plane"][..],
        ),
        (35, json!({"network": {"mode": "none"}, "images": {"pullSecrets": ["registry"], "tag": "1"}}), &[]),
        (
            37,
            json!({"network": {"mode": "cilium", "runnerNamespaces": ["ci", "more-ci"]}, "controlPlane": {"approverIssuers": issuers, "storage": {"size": "1Gi", "className": "fast"}}}),
            &["network/cilium", "network/cilium/control-plane"],
        ),
        (
            36,
            json!({"controlPlane": outside, "agent": {"resources": {"limits": {"memory": "1Gi"}}}}),
            &["network/plain"],
        ),
        (36, json!({"controlPlane": outside, "network": {"mode": "cilium"}}), &["network/cilium"]),
    ];
    for (minor, more, folders) in variants {
        let inside = more["controlPlane"].get("pin").is_none();
        let pulls = more["images"].get("pullSecrets").is_some();
        let mut bases = vec!["base"];
        bases.extend(inside.then_some("control-plane"));
        bases.extend(folders);
        say_the_same(&installation(values(more.clone()), &cluster(minor)), &bases, pulls, &more);
        if !inside {
            let settings = Settings::parse(values(more.clone())).unwrap();
            let token = EnrolmentToken::new("production", pin.parse().unwrap());
            let enrolling =
                Installation::new(&settings.enrolling(Some(token)), &cluster(minor), None, super::NOW).unwrap();
            say_the_same(&enrolling, &bases, pulls, &more);
        }
    }
}

fn say_the_same(installation: &Installation, bases: &[&str], pulls: bool, of: &Value) {
    let printed = objects(&installation.print(Form::Manifests));
    for (form, other) in [("kustomize", kustomize(installation, bases, pulls)), ("helm", helm(installation))] {
        let other = objects(&other);
        assert_eq!(names(&other), names(&printed), "{form}: {of}");
        for (name, object) in &printed {
            assert_eq!(other[name], *object, "{form}: {name:?} of {of}");
        }
    }
    // And what is printed is what was meant.
    assert_eq!(printed, super::by_name(installation.objects().to_vec()));
}

/// An overlay as README has it.
fn kustomize(installation: &Installation, bases: &[&str], pulls: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    // kustomize takes relative paths only.
    let up = "../".repeat(folder.path().canonicalize().unwrap().components().count() - 1);
    let manifests = root().canonicalize().unwrap().join("manifests");
    let path = |name: &str| format!("{up}{}", manifests.join(name).strip_prefix("/").unwrap().display());
    let resources: Vec<_> = bases.iter().map(|name| path(name)).chain(["values.yaml".to_owned()]).collect();
    let components: Vec<_> = ["values"].into_iter().chain(pulls.then_some("values/pull-secrets")).map(path).collect();
    let overlay = json!({"resources": resources, "components": components});
    std::fs::write(folder.path().join("kustomization.yaml"), overlay.to_string()).unwrap();
    std::fs::write(folder.path().join("values.yaml"), installation.print(Form::Kustomize)).unwrap();
    run(Command::new(&Cluster::get().facts().kubectl).arg("kustomize").arg(folder.path()))
}

fn helm(installation: &Installation) -> String {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    std::fs::write(&values, installation.print(Form::Values)).unwrap();
    let program = run(Command::new(root().join("scripts/cluster")).args(["helm", "3"]));
    let chart = root().join("manifests/chart");
    let mut command = Command::new(program.trim());
    command.args(["template", "sallyport"]).arg(chart).args(["--namespace", "sallyport", "--kube-version", "1.36.0"]);
    run(command.args(["--set", "namespace.create=true", "--values"]).arg(values))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What the binary holds is all that is in the folders, so that no manifest is forgotten in one form.
/// Where UDP is blocked, sidecars and agents come over TCP 7443: the Service has it, and every policy that lets one through lets the other.
#[test]
fn what_is_open_for_udp_7443_is_open_for_tcp() {
    for mode in ["plain", "cilium"] {
        let network = json!({"network": {"mode": mode, "runnerNamespaces": ["ci"]}});
        let installation = installation(values(network), &cluster(36));
        let (mut udp, mut tcp) = (Vec::new(), Vec::new());
        for object in installation.objects() {
            if !["Service", "NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]
                .contains(&object["kind"].as_str().unwrap())
            {
                continue;
            }
            let text = object["spec"].to_string().replace("\"7443\"", "7443");
            let pieces = text.split(['{', '}']).filter(|piece| piece.contains("\"port\":7443"));
            for piece in pieces {
                let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
                if piece.contains("\"UDP\"") {
                    udp.push(name)
                } else if piece.contains("\"TCP\"") {
                    tcp.push(name)
                }
            }
        }
        assert_eq!(udp, tcp, "{mode}");
        for of in ["sallyport", "sallyport-agent", "sallyport-control-plane", "sallyport-runners"] {
            assert!(udp.iter().any(|name| name.ends_with(&format!("\"{of}\""))), "{mode}: {of} is not in {udp:?}");
        }
    }
}

#[test]
fn every_manifest_is_installed_in_some_form() {
    let mut found = Vec::new();
    let mut folders = vec![root().join("manifests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
            if entry.is_dir() && !["chart", "values"].contains(&name.as_str()) {
                folders.push(entry);
            } else if name.ends_with(".yaml") && name != "kustomization.yaml" && name != "config.yaml" {
                found.push(entry);
            }
        }
    }
    let source = std::fs::read_to_string(root().join("control-plane/src/install/base.rs")).unwrap();
    let relative = |path: &Path| path.strip_prefix(root().join("manifests")).unwrap().display().to_string();
    let missing: Vec<_> =
        found.iter().map(|path| relative(path)).filter(|path| !source.contains(&format!("\"{path}\""))).collect();
    assert!(found.len() > 10 && missing.is_empty(), "not in the binary: {missing:?}");
}

/// Who may open what, in both engines' words: the agent alone has the API server's port. In a namespace of runners every pod has their network
/// and no more, for the annotation is its author's choice; Cilium holds injected pods, and mandatory namespaces, wherever they are.
#[test]
fn only_the_agent_is_let_through_to_the_api_server() {
    let injected = json!({"matchLabels": {"sallyport.dev/injected": "true"}});
    let mandatory = json!({"matchLabels": {"k8s:io.cilium.k8s.namespace.labels.sallyport.dev/inject": "required"}});
    let everybody = |namespace: &str| (json!(namespace), json!({}));
    for (mode, everywhere) in [("plain", vec![]), ("cilium", vec![(json!(null), injected), (json!(null), mandatory)])] {
        let network = json!({"network": {"mode": mode, "runnerNamespaces": ["ci", "more-ci"]}});
        let installation = installation(values(network), &cluster(36));
        let policies = installation.objects().iter().filter(|one| one["kind"].as_str().unwrap().ends_with("Policy"));
        let (mut with_port, mut runners) = (Vec::new(), Vec::new());
        for policy in policies {
            let (name, egress) = (&policy["metadata"]["name"], &policy["spec"]["egress"]);
            let text = egress.to_string();
            if text.contains("6443") || text.contains("kube-apiserver") {
                with_port.push(name.clone());
            }
            // Never the people's port.
            assert!(!text.contains("8443"), "{policy}");
            if name == "sallyport-runners" || name == "sallyport-mandatory" {
                let selector = if mode == "plain" { "podSelector" } else { "endpointSelector" };
                runners.push((policy["metadata"]["namespace"].clone(), policy["spec"][selector].clone()));
                assert_eq!(ports(egress), [53, 53, 7443, 7443]);
            }
        }
        let expected = [everywhere, vec![everybody("ci"), everybody("more-ci")]].concat();
        assert_eq!((with_port, runners), (vec![json!("sallyport-agent")], expected), "{mode}");
    }
}

fn ports(value: &Value) -> Vec<u64> {
    if let Some(map) = value.as_object() {
        let port = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let each = |(key, value): (&String, &Value)| {
            if key == "port" { vec![port(value).unwrap()] } else { ports(value) }
        };
        return map.iter().flat_map(each).collect();
    }
    value.as_array().into_iter().flatten().flat_map(ports).collect()
}
