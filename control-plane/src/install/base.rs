//! The manifests that are installed, as they stand in `manifests/`: the kustomize bases, which the chart takes too. One text, three forms.

use super::settings::{Mode, Settings};

/// Every file, by its path below `manifests/`.
const FILES: [(&str, &str); 13] = [
    ("agent/namespace.yaml", include_str!("../../../manifests/agent/namespace.yaml")),
    ("agent/rbac.yaml", include_str!("../../../manifests/agent/rbac.yaml")),
    ("agent/rbac-legacy-impersonation.yaml", include_str!("../../../manifests/agent/rbac-legacy-impersonation.yaml")),
    ("base/agent.yaml", include_str!("../../../manifests/base/agent.yaml")),
    ("base/injector.yaml", include_str!("../../../manifests/base/injector.yaml")),
    ("control-plane/control-plane.yaml", include_str!("../../../manifests/control-plane/control-plane.yaml")),
    ("injector/webhooks.yaml", include_str!("../../../manifests/injector/webhooks.yaml")),
    ("network/plain/policies.yaml", include_str!("../../../manifests/network/plain/policies.yaml")),
    (
        "network/plain/control-plane/policies.yaml",
        include_str!("../../../manifests/network/plain/control-plane/policies.yaml"),
    ),
    ("network/plain/runners/policy.yaml", include_str!("../../../manifests/network/plain/runners/policy.yaml")),
    ("network/cilium/runners/policy.yaml", include_str!("../../../manifests/network/cilium/runners/policy.yaml")),
    ("network/cilium/policies.yaml", include_str!("../../../manifests/network/cilium/policies.yaml")),
    (
        "network/cilium/control-plane/policies.yaml",
        include_str!("../../../manifests/network/cilium/control-plane/policies.yaml"),
    ),
];

/// Which value goes where.
pub(super) const REPLACEMENTS: &str = include_str!("../../../manifests/values/replacements.yaml");
/// The same, where images are pulled with credentials.
pub(super) const PULL_SECRETS: &str = include_str!("../../../manifests/values/pull-secrets/replacements.yaml");
/// Where the rules of the agent's impersonation are for an API server that knows constrained impersonation.
pub(super) const IMPERSONATION: &str = "agent/rbac.yaml";
/// The same for an older one.
pub(super) const LEGACY_IMPERSONATION: &str = "agent/rbac-legacy-impersonation.yaml";

/// One runner namespace's policy.
pub(super) const fn runners(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::None => None,
        Mode::Plain => Some("network/plain/runners/policy.yaml"),
        Mode::Cilium => Some("network/cilium/runners/policy.yaml"),
    }
}

/// The text of a file.
pub(super) fn file(path: &str) -> anyhow::Result<&'static str> {
    let found = FILES.iter().find(|(name, _)| *name == path);
    found.map(|(_, text)| *text).ok_or_else(|| anyhow::anyhow!("there is no manifest {path}"))
}

/// The files of an installation, in the order in which they are applied: what others need comes first, policies before the pods that they
/// are for, and the webhooks last, so that nobody's pods wait for an injector that is not there yet.
pub(super) fn files(settings: &Settings) -> Vec<&'static str> {
    let inside = settings.inside().is_some();
    let mut files = vec!["agent/namespace.yaml", "agent/rbac.yaml"];
    match settings.network.mode {
        Mode::None => {}
        Mode::Plain => files.push("network/plain/policies.yaml"),
        Mode::Cilium => files.push("network/cilium/policies.yaml"),
    }
    match settings.network.mode {
        Mode::Plain if inside => files.push("network/plain/control-plane/policies.yaml"),
        Mode::Cilium if inside => files.push("network/cilium/control-plane/policies.yaml"),
        Mode::None | Mode::Plain | Mode::Cilium => {}
    }
    if inside {
        files.push("control-plane/control-plane.yaml");
    }
    files.extend(["base/agent.yaml", "base/injector.yaml", "injector/webhooks.yaml"]);
    files
}
