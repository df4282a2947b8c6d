//! The sidecar's container: the first of the init containers, so that nothing of the Pod runs before it, and never ending before the rest.
//! <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>

use serde_json::{Map, Value, json};

use super::annotations::{CiToken, Options};
use super::environment::HOST;
use super::read::{entries, text};
use super::volumes::{CI, IDENTITY, SERVED};
use super::{SIDECAR, list};
use crate::injector::config::Config;

/// The program in its image.
const PROGRAM: &str = "/sallyport-sidecar";
/// User and group in its image.
const USER: u32 = 65532;
/// Its own mounts.
const SERVE_FOLDER: &str = "/var/run/sallyport/serve";
const IDENTITY_FOLDER: &str = "/var/run/sallyport/identity";
const CI_FOLDER: &str = "/var/run/sallyport/ci";
/// What other webhooks and the API server may set: none of it changes what runs, and with whose rights.
const LEFT_AS_FOUND: [&str; 3] = ["imagePullPolicy", "resources", "resizePolicy"];

/// Puts it into the first place, or mends what stands there.
pub(super) fn put_first(spec: &mut Map<String, Value>, config: &Config, options: &Options) {
    let Some(containers) = list(spec, "initContainers") else { return };
    let mut wanted = container(config, options);
    let place = containers.iter().position(|container| text(container, "name") == SIDECAR);
    if let Some(found) = place.and_then(|place| containers.get(place)) {
        keep(found, &mut wanted);
        let only = containers.iter().filter(|container| text(container, "name") == SIDECAR).count() == 1;
        if place == Some(0) && only && *found == wanted {
            return;
        }
    }
    containers.retain(|container| text(container, "name") != SIDECAR);
    containers.insert(0, wanted);
}

/// Takes over what others may have set.
fn keep(found: &Value, wanted: &mut Value) {
    let Some(wanted) = wanted.as_object_mut() else { return };
    for key in LEFT_AS_FOUND {
        if let Some(value) = found.get(key).filter(|value| !value.is_null()) {
            wanted.insert(key.to_owned(), value.clone());
        }
    }
    let Some(env) = list(wanted, "env") else { return };
    let (read, mut all): (Vec<Value>, Vec<Value>) =
        entries(found, "env").iter().cloned().partition(|entry| is_read(text(entry, "name")));
    if read == *env {
        // Wherever others put theirs.
        *env = entries(found, "env").to_vec();
    } else {
        all.append(env);
        *env = all;
    }
}

/// Whether the sidecar reads a variable.
fn is_read(name: &str) -> bool {
    name.starts_with("SALLYPORT_") || name == "POD_NAMESPACE"
}

/// The container, with every value that the API server would fill in, so that what comes back is what was sent.
fn container(config: &Config, options: &Options) -> Value {
    let mut env = vec![
        json!({"name": "SALLYPORT_CONTROL_PLANE", "value": config.control_plane}),
        json!({"name": "SALLYPORT_CONTROL_PLANE_PIN", "value": config.pin}),
        json!({"name": "SALLYPORT_LISTEN", "value": format!("{HOST}:{}", options.port)}),
        json!({"name": "SALLYPORT_POD_TOKEN_FILE", "value": format!("{IDENTITY_FOLDER}/token")}),
        json!({"name": "SALLYPORT_SERVE_DIR", "value": SERVE_FOLDER}),
        json!({"name": "POD_NAMESPACE", "valueFrom": {
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
        }}),
        // The doors that must be shut, which the sidecar tries.
        json!({"name": "SALLYPORT_NODE_ADDRESSES", "valueFrom": {
            "fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIPs"},
        }}),
    ];
    if !config.api_servers.is_empty() {
        let addresses: Vec<String> = config.api_servers.iter().map(ToString::to_string).collect();
        env.push(json!({"name": "SALLYPORT_API_SERVERS", "value": addresses.join(",")}));
    }
    let mut mounts = vec![
        json!({"name": SERVED, "mountPath": SERVE_FOLDER}),
        json!({"name": IDENTITY, "mountPath": IDENTITY_FOLDER, "readOnly": true}),
    ];
    match &options.ci {
        None => {}
        Some(CiToken::Secret { .. }) => {
            env.push(json!({"name": "SALLYPORT_CI_TOKEN_FILE", "value": format!("{CI_FOLDER}/token")}));
            mounts.push(json!({"name": CI, "mountPath": CI_FOLDER, "readOnly": true}));
        }
        Some(CiToken::File { volume, sub_path, inside }) => {
            env.push(json!({"name": "SALLYPORT_CI_TOKEN_FILE", "value": format!("{CI_FOLDER}/{inside}")}));
            let mut mount = json!({"name": volume, "mountPath": CI_FOLDER, "readOnly": true});
            if let (Some(path), Some(mount)) = (sub_path, mount.as_object_mut()) {
                mount.insert("subPath".to_owned(), json!(path));
            }
            mounts.push(mount);
        }
    }
    if options.wait {
        env.push(json!({"name": "SALLYPORT_START_WITHOUT_CONTROL_PLANE", "value": "false"}));
    }
    let mut container = json!({
        "name": SIDECAR,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "restartPolicy": "Always",
        "env": env,
        "volumeMounts": mounts,
        "resources": options.resources.to_json(),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            // Whatever the Pod says for its other containers: what it writes is readable by all of them and writable by none.
            "runAsUser": USER,
            "runAsGroup": USER,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    });
    if let Some(container) = container.as_object_mut() {
        let (key, check) = start(options.wait);
        container.insert(key.to_owned(), check);
    }
    container
}

/// What holds the next container back until the sidecar serves. A hook holds it for just as long as that takes, while the kubelet looks at a
/// startup probe once a second, so that each Pod would start a second later. But the kubelet does nothing else for a Pod in the meantime: one
/// that waits for a control plane, which may take minutes, must be deletable, and is probed.
fn start(waits: bool) -> (&'static str, Value) {
    if waits {
        let check = json!({
            "exec": {"command": [PROGRAM, "ready"]},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "successThreshold": 1,
            "failureThreshold": 600,
        });
        return ("startupProbe", check);
    }
    ("lifecycle", json!({"postStart": {"exec": {"command": [PROGRAM, "wait"]}}}))
}
