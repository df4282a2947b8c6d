//! The mission's words: the CI Pod's image, its kubectl and its scripts are unchanged, whatever shape it has.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::node::eventually;

use super::installed::Installed;
use super::story::the_record_and_the_api_servers_log_agree;

const SHAPES: &str = include_str!("shapes.yaml");

const GITLAB: &str = "runner-x-project-1-concurrent-0";

/// The Pods of a namespace by their name, without what a controller added to it.
fn pods(on: &Installed, namespace: &str) -> BTreeMap<String, Value> {
    let pods = on.node.get_json(&["-n", namespace, "pods"]);
    let named = |pod: &Value| {
        let controller = pod.pointer("/metadata/ownerReferences/0/name").unwrap_or_else(|| &pod["metadata"]["name"]);
        (controller.as_str().expect("a name").to_owned(), pod.clone())
    };
    pods["items"].as_array().expect("a list").iter().map(named).collect()
}

#[test]
fn runners_of_every_shape_work_unchanged() {
    let Some(on) = Installed::get() else { return };
    let _unchanged = on.unchanged();
    let (node, namespace) = (on.node, on.node.namespace("shapes"));
    let applied = node.try_admin(&["-n", &namespace, "apply", "-f", "-"], SHAPES);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    node.admin(&["-n", &namespace, "create", "job", "by-hand", "--from=cronjob/cron"]);

    // What the executor of GitLab does: its script comes through an exec of its own, past us.
    node.ready(&namespace, GITLAB);
    let script = "cd /builds && kubectl get configmaps -o name >said && mv said over";
    node.exec(&namespace, GITLAB, "main", &["sh", "-c", script], "").ok();

    let expected = ["arc", "by-hand", "distroless", "job", "prepared", GITLAB, "several", "strict"];
    let ended = eventually(|| {
        let pods = pods(on, &namespace);
        let open = pods.iter().find(|(_, pod)| pod["status"]["phase"] != "Succeeded");
        match open {
            None => Ok(pods),
            Some((name, pod)) => Err(format!("{name}: {}", pod["status"])),
        }
    });
    assert_eq!(ended.keys().collect::<Vec<_>>(), expected);
    for (shape, pod) in &ended {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        assert_eq!(node.logs(&namespace, name, "main"), "configmap/kube-root-ca.crt\n", "{shape}");
        // Ours ended by itself, after the others.
        let sidecar = &pod["status"]["initContainerStatuses"][0];
        assert_eq!(sidecar["name"], "sallyport", "{shape}");
        assert_eq!(sidecar["state"]["terminated"]["exitCode"], 0, "{shape}: {sidecar}");
        assert_eq!(sidecar["restartCount"], 0, "{shape}: {sidecar}");
    }
    // Each is on record as what it is.
    let sessions = on.json(&["sessions", "list"]);
    let of = |session: &Value| session["identity"]["pod"]["namespace"] == *namespace;
    let sessions = sessions.as_array().expect("a list").iter().filter(|session| of(session)).count();
    assert_eq!(sessions, expected.len());
    let freed = ["patch", "pod", "arc", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    node.admin(&[&["-n", &*namespace][..], &freed].concat());
    the_record_and_the_api_servers_log_agree(on);
}
