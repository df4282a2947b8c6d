//! Pod specs, wherever they are: pods, templates of every workload kind, old revisions, custom resources.
//!
//! The checks of the Pod Security Standards' *baseline* (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>;
//! k8s.io/pod-security-admission policy/check_*.go) and what they leave out: secrets, other identities, chosen nodes.

use serde_json::Value;

use super::super::{Found, shown};
use super::{at, entries, is_set, items, text_at};
use crate::request_info::RequestInfo;
use shared::limits;

/// Added capabilities that baseline lets pass.
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

/// Kernel settings that are counted per namespace, so that baseline lets them pass.
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Sockets and folders of a node that are the node.
const NODE_PATHS: [&str; 12] = [
    "docker.sock",
    "containerd.sock",
    "crio.sock",
    "cri-dockerd.sock",
    "/var/run",
    "/run",
    "/etc",
    "/root",
    "/proc",
    "/sys",
    "/dev",
    "/var/lib/kubelet",
];

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Looks at every pod spec of the body.
pub(super) fn apply(found: &mut Found<'_, '_>, document: &Value) {
    let info = found.question.info;
    match place(info) {
        Place::Nowhere => {}
        Place::At(path) => {
            let (spec, parents) = match path.split_last() {
                Some((_, parents)) => (at(document, path), parents),
                None => (Some(document), path),
            };
            if let Some(spec) = spec {
                pod(found, spec);
            }
            if let Some(template) = at(document, parents) {
                annotations(found, template);
            }
        }
        Place::Anywhere => search(found, document, limits::BODY_DEPTH),
    }
}

enum Place {
    Nowhere,
    At(&'static [&'static str]),
    Anywhere,
}

/// Where a resource keeps its pod spec.
fn place(info: &RequestInfo) -> Place {
    match (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str()) {
        ("", "pods", "" | "ephemeralcontainers" | "resize") => Place::At(&["spec"]),
        ("", "podtemplates", "") => Place::At(&["template", "spec"]),
        ("", "replicationcontrollers", "")
        | ("apps", "deployments" | "daemonsets" | "replicasets" | "statefulsets", "")
        | ("batch", "jobs", "") => Place::At(&["spec", "template", "spec"]),
        ("batch", "cronjobs", "") => Place::At(&["spec", "jobTemplate", "spec", "template", "spec"]),
        // Free-form: a StatefulSet's whole template, for instance.
        ("apps", "controllerrevisions", _) => Place::Anywhere,
        (group, resource, _) if crate::risk::table::resource(group, resource).is_some() => Place::Nowhere,
        _ => Place::Anywhere,
    }
}

/// Any map that looks like a pod spec, at any depth.
fn search(found: &mut Found<'_, '_>, value: &Value, depth: usize) {
    if depth == 0 {
        found.at_least("modifier/body-unreadable", 80, "the body is deeper than anybody reads".into());
        return;
    }
    match value {
        Value::Object(map) => {
            let is_pod = CONTAINER_LISTS.iter().any(|list| map.get(*list).is_some_and(Value::is_array))
                || ["hostNetwork", "hostPID", "hostIPC"].iter().any(|key| map.contains_key(*key));
            if is_pod {
                pod(found, value);
            }
            for child in map.values() {
                search(found, child, depth - 1);
            }
        }
        Value::Array(list) => {
            for child in list {
                search(found, child, depth - 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn pod(found: &mut Found<'_, '_>, spec: &Value) {
    for (key, fact) in [
        ("hostNetwork", "shares the node's network"),
        ("hostPID", "sees the node's processes"),
        ("hostIPC", "shares the node's memory segments"),
    ] {
        if is_set(spec.get(key)) {
            found.at_least("modifier/pod-host-namespaces", 90, fact.into());
        }
    }
    for volume in items(spec, "volumes") {
        self::volume(found, volume);
    }
    for list in CONTAINER_LISTS {
        for container in items(spec, list) {
            self::container(found, container, list == "ephemeralContainers");
        }
    }
    security(found, spec, "the pod");
    for sysctl in spec.get("securityContext").into_iter().flat_map(|context| items(context, "sysctls")) {
        let name = text_at(sysctl, &["name"]);
        if !SYSCTLS.contains(&name) {
            found.at_least("modifier/pod-sysctls", 90, format!("sets the kernel's \"{}\"", shown(name)).into());
        }
    }
    identity(found, spec);
    placement(found, spec);
}

fn identity(found: &mut Found<'_, '_>, spec: &Value) {
    for key in ["serviceAccountName", "serviceAccount"] {
        let name = text_at(spec, &[key]);
        if !name.is_empty() && name != "default" {
            found.at_least(
                "modifier/pod-service-account",
                60,
                format!("runs with the rights of ServiceAccount \"{}\"", shown(name)).into(),
            );
        }
    }
}

fn placement(found: &mut Found<'_, '_>, spec: &Value) {
    let node = text_at(spec, &["nodeName"]);
    if !node.is_empty() {
        found.plus("modifier/pod-node", 20, format!("chooses the node \"{}\" itself", shown(node)).into());
    }
    let is_control_plane =
        |key: &str| matches!(key, "node-role.kubernetes.io/control-plane" | "node-role.kubernetes.io/master");
    let selects = entries(spec, &["nodeSelector"]).any(|(key, _)| is_control_plane(key));
    let tolerates = items(spec, "tolerations").any(|toleration| {
        let key = text_at(toleration, &["key"]);
        is_control_plane(key) || (key.is_empty() && text_at(toleration, &["operator"]) == "Exists")
    });
    if selects || tolerates {
        found.plus("modifier/pod-node", 20, "may run on a node of the control plane".into());
    }
    let priority = text_at(spec, &["priorityClassName"]);
    if priority.starts_with("system-") {
        found.plus("modifier/pod-priority", 20, format!("pushes others out as \"{}\"", shown(priority)).into());
    }
    let runtime = text_at(spec, &["runtimeClassName"]);
    if !runtime.is_empty() {
        found.plus("modifier/pod-runtime-class", 20, format!("is run by runtime class \"{}\"", shown(runtime)).into());
    }
}

fn volume(found: &mut Found<'_, '_>, volume: &Value) {
    if let Some(host) = volume.get("hostPath").filter(|host| !host.is_null()) {
        let path = text_at(host, &["path"]);
        let trimmed = path.trim_end_matches('/');
        let is_node = trimmed.is_empty()
            || path.contains("..")
            || NODE_PATHS.iter().any(|known| {
                trimmed.ends_with(known) && !known.starts_with('/')
                    || trimmed == *known
                    || trimmed.strip_prefix(known).is_some_and(|rest| rest.starts_with('/')) && known.starts_with('/')
            });
        let risk = if is_node { 97 } else { 90 };
        found.at_least("modifier/pod-host-path", risk, format!("mounts \"{}\" of the node", shown(path)).into());
    }
    let secret = text_at(volume, &["secret", "secretName"]);
    if is_set(volume.get("secret")) {
        found.at_least("modifier/pod-secret", 60, format!("mounts Secret \"{}\"", shown(secret)).into());
    }
    for source in volume.get("projected").into_iter().flat_map(|projected| items(projected, "sources")) {
        if is_set(source.get("secret")) {
            let name = text_at(source, &["secret", "name"]);
            found.at_least("modifier/pod-secret", 60, format!("mounts Secret \"{}\"", shown(name)).into());
        }
        for key in ["serviceAccountToken", "podCertificate"] {
            if is_set(source.get(key)) {
                found.at_least("modifier/pod-token", 60, "gets a credential of its ServiceAccount in a file".into());
            }
        }
    }
    // What a driver gives a pod by itself may be whatever a vault keeps (secrets-store.csi.k8s.io).
    let driver = text_at(volume, &["csi", "driver"]);
    if !driver.is_empty() {
        found.at_least(
            "modifier/pod-secret",
            60,
            format!("mounts what \"{}\" gives it, as a Secret's values", shown(driver)).into(),
        );
    }
    // Every other source names the Secret with the storage's password in one of these fields.
    for (kind, source) in volume.as_object().into_iter().flatten() {
        for key in ["secretRef", "nodePublishSecretRef", "secretName"] {
            if kind != "secret" && is_set(source.get(key)) {
                found.at_least("modifier/pod-secret", 60, "mounts storage with a Secret's password".into());
            }
        }
    }
}

fn container(found: &mut Found<'_, '_>, container: &Value, ephemeral: bool) {
    let name = text_at(container, &["name"]);
    let who = format!("container \"{}\"", shown(name));
    if ephemeral {
        found.at_least("modifier/pod-ephemeral-container", 75, format!("{who} runs inside a running pod").into());
    }
    let context = container.get("securityContext");
    if is_set(context.and_then(|context| context.get("privileged"))) {
        found.at_least(
            "modifier/pod-privileged",
            if ephemeral { 92 } else { 90 },
            format!("{who} is privileged").into(),
        );
    }
    let added = context.and_then(|context| at(context, &["capabilities", "add"])).and_then(Value::as_array);
    for capability in added.into_iter().flatten() {
        let word = capability.as_str().unwrap_or_default();
        if !CAPABILITIES.contains(&word) {
            found.at_least(
                "modifier/pod-capabilities",
                if ephemeral { 92 } else { 90 },
                format!("{who} adds the capability {}", shown(word)).into(),
            );
        }
    }
    security(found, container, &who);
    for port in items(container, "ports") {
        if is_set(port.get("hostPort")) {
            found.at_least("modifier/pod-host-port", 90, format!("{who} listens on a port of the node").into());
        }
    }
    environment(found, container, &who);
    probes(found, container, &who);
}

fn environment(found: &mut Found<'_, '_>, container: &Value, who: &str) {
    for source in items(container, "envFrom") {
        if is_set(source.get("secretRef")) {
            let name = text_at(source, &["secretRef", "name"]);
            found.at_least(
                "modifier/pod-secret",
                60,
                format!("{who} gets all of Secret \"{}\" as environment", shown(name)).into(),
            );
        }
    }
    for variable in items(container, "env") {
        if let Some(reference) = at(variable, &["valueFrom", "secretKeyRef"]).filter(|reference| !reference.is_null()) {
            let name = text_at(reference, &["name"]);
            found.at_least(
                "modifier/pod-secret",
                60,
                format!("{who} gets a value of Secret \"{}\" as environment", shown(name)).into(),
            );
        }
    }
}

/// A probe or hook with a host makes the node's kubelet connect there.
fn probes(found: &mut Found<'_, '_>, container: &Value, who: &str) {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().filter_map(|key| container.get(key));
    let hooks = ["postStart", "preStop"].into_iter().filter_map(|key| at(container, &["lifecycle", key]));
    for handler in probes.chain(hooks) {
        for action in ["httpGet", "tcpSocket"] {
            let host = text_at(handler, &[action, "host"]);
            if !host.is_empty() && host != "127.0.0.1" && host != "::1" {
                found.at_least(
                    "modifier/pod-host-probe",
                    90,
                    format!("{who} makes the node connect to \"{}\"", shown(host)).into(),
                );
            }
        }
    }
}

/// The fields that a pod's and a container's security context share.
fn security(found: &mut Found<'_, '_>, owner: &Value, who: &str) {
    let Some(context) = owner.get("securityContext") else { return };
    let directive = context.get("$patch").is_some();
    if (context.is_null() || directive) && found.question.info.verb != crate::request_info::Verb::Create {
        found.at_least("modifier/pod-security-removed", 60, format!("takes {who}'s security settings away").into());
    }
    for key in ["seccompProfile", "appArmorProfile"] {
        if text_at(context, &[key, "type"]) == "Unconfined" {
            found.at_least("modifier/pod-unconfined", 90, format!("{who} turns its {key} off").into());
        }
    }
    let mount = text_at(context, &["procMount"]);
    if !mount.is_empty() && mount != "Default" {
        found.at_least("modifier/pod-unconfined", 90, format!("{who} sees all of /proc").into());
    }
    let linux = |key| text_at(context, &["seLinuxOptions", key]);
    let kinds = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    if !linux("user").is_empty() || !linux("role").is_empty() || !kinds.contains(&linux("type")) {
        found.at_least("modifier/pod-selinux", 90, format!("{who} chooses its SELinux label").into());
    }
    if is_set(at(context, &["windowsOptions", "hostProcess"])) {
        found.at_least("modifier/pod-windows-host", 90, format!("{who} runs as a process of the node").into());
    }
}

/// Settings that used to be, and still are, annotations of the pod.
fn annotations(found: &mut Found<'_, '_>, template: &Value) {
    for (key, value) in entries(template, &["metadata", "annotations"]) {
        let value = value.as_str().unwrap_or_default();
        let app_armor = key.starts_with("container.apparmor.security.beta.kubernetes.io/");
        let seccomp = key.contains("seccomp.security.alpha.kubernetes.io/");
        if (app_armor || seccomp) && value == "unconfined" {
            found.at_least("modifier/pod-unconfined", 90, "an annotation turns confinement off".into());
        }
        if matches!(key, "kubernetes.io/config.mirror" | "kubernetes.io/config.source") {
            found.at_least("modifier/pod-mirror", 90, "poses as a pod that a node made".into());
        }
    }
}
