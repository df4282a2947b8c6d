//! The Pod that doctor tries things with: shaped as a job's, restricted, and with nothing of ours in it but the annotation. Its image is
//! the sidecar's, so that nothing has to be pulled that runners don't pull anyway.

use serde_json::{Value, json};

use super::cluster::Seen;

/// In seconds; the kubelet ends it then, whatever became of doctor.
const LIFE: u32 = 180;

/// A Pod of this name that tries the network once.
pub(super) fn annotated(seen: &Seen, namespace: &str, name: &str) -> Value {
    let mut pod = plain(seen, namespace, name);
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), json!({"sallyport.dev/inject": "true"}));
    }
    pod
}

/// The same without the annotation.
pub(super) fn plain(seen: &Seen, namespace: &str, name: &str) -> Value {
    let (image, pull_policy) = seen.settings.sidecar_image();
    let server = &seen.cluster.api_server;
    let join = |ip: &std::net::IpAddr, port: u16| std::net::SocketAddr::from((*ip, port)).to_string();
    let each = |ip| server.ports.iter().map(move |port| join(ip, *port));
    let servers = server.addresses.iter().flat_map(each).collect::<Vec<_>>().join(",");
    let service = server.services.first().map(|ip| join(ip, 443)).unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "sallyport-doctor"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 2,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": pull_policy,
                "command": ["/sallyport-sidecar", "probe"],
                "env": [
                    {"name": "SALLYPORT_NODE_ADDRESSES", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs"}}},
                    {"name": "SALLYPORT_API_SERVERS", "value": servers},
                    {"name": "SALLYPORT_API_SERVICE", "value": service},
                ],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

/// A name that no other Pod has.
pub(super) fn name() -> String {
    let random: [u8; 4] = shared_net::crypto::random();
    format!("sallyport-doctor-{}", random.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
