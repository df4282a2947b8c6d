//! What would go round us: a Pod whose containers reach the node, one another, or the API server with another credential.
//!
//! Where a list of what is allowed can be written, it is: what comes after it is refused until somebody has thought about it.

use control_plane_core::risk::shown;
use serde_json::Value;

use super::read::{CONTAINERS, entries, is_on, is_set, text};
use super::volumes::{self, CI, IDENTITY, SERVED, is_automatic};
use super::{CREDENTIALS, Objections, SIDECAR, paths};
use crate::injector::config::Config;

/// Switches of a Pod, and why they must be off.
const SWITCHES: [(&str, &str); 4] = [
    ("hostNetwork", "shares the node's network, where no network policy holds"),
    ("hostPID", "shows the node's processes, and with them every credential on it"),
    ("hostIPC", "shares memory with the node's processes"),
    ("shareProcessNamespace", "lets its containers read the sidecar's token in /proc"),
];

/// The capabilities of Pod Security's level `baseline`. What else there is reaches beyond the container (SYS_PTRACE, SYS_ADMIN, …) or
/// changes or forges what its network namespace sends (NET_ADMIN, NET_RAW), on which network policies rely. A runtime may give NET_RAW
/// unasked; that is its own choice, and not to be seen here.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Volumes that show nothing of the node. Network file systems are mounted from the node's network, but their servers are no API servers.
const VOLUMES: [&str; 10] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Parts of a projected volume without a credential of the Pod's; tokens and certificates are looked at by themselves.
const SOURCES: [&str; 4] = ["clusterTrustBundle", "configMap", "downwardAPI", "secret"];

/// Looks at everything but our own container, which is replaced anyway.
pub(super) fn check(pod: &Value, config: &Config, port: u16, objections: &mut Objections) {
    let Some(spec) = pod.get("spec") else { return };
    for (switch, why) in SWITCHES {
        if is_on(spec, switch) {
            objections.bypass(format!("spec.{switch} {why}: remove it"));
        }
    }
    if text(spec.get("os").unwrap_or(&Value::Null), "name") == "windows" || is_host_process(spec) {
        objections.bypass("it is for Windows, for which there is no sidecar");
    }
    if super::read::strings(pod, "annotations").any(|(name, _)| name == "kubernetes.io/config.mirror") {
        objections.bypass("it is a static Pod, which its node runs without asking: run it as an ordinary one");
    }
    if !entries(spec, "ephemeralContainers").is_empty() {
        objections.bypass("it has ephemeral containers");
    }
    for volume in entries(spec, "volumes") {
        check_volume(volume, spec, config, objections);
    }
    for kind in CONTAINERS {
        for container in entries(spec, kind) {
            check_container(container, kind, &Around { spec, config, port }, objections);
        }
    }
}

fn check_volume(volume: &Value, spec: &Value, config: &Config, objections: &mut Objections) {
    let name = text(volume, "name");
    // Ours are written anew, and the automatic one goes.
    if [SERVED, IDENTITY, CI].contains(&name) || is_automatic(volume, spec) {
        return;
    }
    let name = shown(name);
    let kinds = volume.as_object().into_iter().flatten().filter(|(key, value)| *key != "name" && !value.is_null());
    for (kind, _) in kinds {
        if kind == "hostPath" {
            objections.bypass(format!(
                "volume \"{name}\" is a hostPath: a node's files hold the credentials of all its Pods"
            ));
        } else if !VOLUMES.contains(&kind.as_str()) {
            objections.bypass(format!(
                "volume \"{name}\" is of the kind {}, which Sallyport can't judge: use a persistentVolumeClaim",
                shown(kind)
            ));
        }
    }
    for source in volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten() {
        for (kind, source) in source.as_object().into_iter().flatten().filter(|(_, source)| !source.is_null()) {
            let audience = text(source, "audience");
            if kind == "serviceAccountToken" {
                if !config.token_audiences.iter().any(|allowed| allowed == audience) {
                    let whose = if audience.is_empty() {
                        "the API server".to_owned()
                    } else {
                        format!("\"{}\"", shown(audience))
                    };
                    objections.bypass(format!(
                        "volume \"{name}\" holds a token of its own for {whose}: Sallyport's sidecar has the only one"
                    ));
                }
            } else if !SOURCES.contains(&kind.as_str()) {
                objections.bypass(format!(
                    "volume \"{name}\" holds a {}, with which it could call the API server by itself",
                    shown(kind)
                ));
            }
        }
    }
}

/// What a container is looked at with.
struct Around<'a> {
    spec: &'a Value,
    config: &'a Config,
    port: u16,
}

fn check_container(container: &Value, kind: &str, around: &Around<'_>, objections: &mut Objections) {
    let Around { config, port, .. } = *around;
    let name = text(container, "name");
    if name == SIDECAR {
        if kind != "initContainers" || text(container, "image") != config.image {
            objections.bypass(format!(
                "container \"{SIDECAR}\" is not the sidecar of this installation, whose image is {}: name yours otherwise, and let no other webhook change ours",
                config.image
            ));
        }
        return;
    }
    let name = shown(name);
    let context = container.get("securityContext").unwrap_or(&Value::Null);
    if is_on(context, "privileged") {
        objections.bypass(format!("container \"{name}\" is privileged, and so has the whole node"));
    }
    if is_host_process(container) {
        objections.bypass(format!("container \"{name}\" is a process of the node"));
    }
    let added =
        context.pointer("/capabilities/add").map_or(&[][..], |add| add.as_array().map_or(&[][..], Vec::as_slice));
    for capability in added.iter().filter_map(Value::as_str) {
        let known = capability.to_ascii_uppercase();
        if !CAPABILITIES.contains(&known.strip_prefix("CAP_").unwrap_or(&known)) {
            objections.bypass(format!(
                "container \"{name}\" adds the capability {}, which reaches beyond it",
                shown(capability)
            ));
        }
    }
    let proc_mount = text(context, "procMount");
    if !proc_mount.is_empty() && proc_mount != "Default" {
        objections.bypass(format!("container \"{name}\" has securityContext.procMount {}", shown(proc_mount)));
    }
    for mount in entries(container, "volumeMounts") {
        check_mount(mount, &name, around.spec, objections);
    }
    for taken in entries(container, "ports") {
        let tcp = matches!(text(taken, "protocol"), "" | "TCP");
        if tcp && taken.get("containerPort").and_then(Value::as_u64) == Some(u64::from(port)) {
            objections.mistake(format!(
                "container \"{name}\" listens on port {port}, which is the sidecar's: move the sidecar with the annotation sallyport.dev/port"
            ));
        }
    }
    if let Some(place) = foreign_host(container) {
        objections.bypass(format!(
            "container \"{name}\" has a host in {place}: the kubelet would call it from the node's network"
        ));
    }
}

fn check_mount(mount: &Value, container: &str, spec: &Value, objections: &mut Objections) {
    let (volume, path) = (text(mount, "name"), text(mount, "mountPath"));
    let named = |entry: &&Value| text(entry, "name") == volume;
    let goes = entries(spec, "volumes").iter().find(named).is_some_and(|volume| is_automatic(volume, spec));
    if volume == IDENTITY || volume == CI {
        objections.bypass(format!("container \"{container}\" mounts {volume}, whose token is the sidecar's alone"));
    } else if volume == SERVED {
        if *mount != volumes::served_mount() {
            objections.bypass(format!("container \"{container}\" mounts {SERVED} otherwise than Sallyport does"));
        }
    } else if paths::hides_credentials(path) && !goes {
        objections.bypass(format!(
            "container \"{container}\" mounts \"{}\" at {}, where clients find what Sallyport gives them ({CREDENTIALS})",
            shown(volume),
            shown(path)
        ));
    }
}

fn is_host_process(parent: &Value) -> bool {
    parent.pointer("/securityContext/windowsOptions").is_some_and(|options| is_on(options, "hostProcess"))
}

/// Probes and hooks that the kubelet carries out, from the node's network, against any host that they name.
fn foreign_host(container: &Value) -> Option<String> {
    let lifecycle = container.get("lifecycle").unwrap_or(&Value::Null);
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|key| (key, container.get(key)));
    let hooks = ["postStart", "preStop"].map(|key| (key, lifecycle.get(key)));
    probes.into_iter().chain(hooks).filter_map(|(key, handler)| Some((key, handler?))).find_map(|(key, handler)| {
        let place = ["httpGet", "tcpSocket"]
            .into_iter()
            .find(|how| handler.get(how).is_some_and(|how| is_set(how, "host") && !text(how, "host").is_empty()))?;
        Some(format!("{key}.{place}"))
    })
}
