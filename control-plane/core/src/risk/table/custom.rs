//! Custom resources: what the built-in table does not know.
//!
//! A group that is known to *act* (a GitOps controller, an operator that creates cloud accounts, a policy engine) gets a row with the
//! reason; every other write scores over the threshold, because nobody has said what it does.

use super::Row;
use crate::request_info::Verb;
use crate::risk::verbs::{Verbs, sets};

const WRITES: Verbs = sets::put.or(sets::delete).or(sets::purge);

const fn writes(name: &'static str, group: &'static str, risk: u8, fact: &'static str) -> Row {
    Row { name, group, resource: "*", verbs: WRITES, risk, fact }
}

const fn reads(name: &'static str, group: &'static str, risk: u8, fact: &'static str) -> Row {
    Row { name, group, resource: "*", verbs: sets::read, risk, fact }
}

const FLUX: &str = "makes a GitOps controller apply manifests with its own rights";
const CLOUD: &str = "makes an operator change cloud accounts";
const CERTIFICATES: &str = "makes an operator issue certificates";
const SECRETS: &str = "makes an operator copy secrets from a vault";
const PIPELINES: &str = "makes an operator run pipelines as other ServiceAccounts";
const POLICIES: &str = "changes a policy engine's rules";
const NETWORK: &str = "changes what pods may reach";
const MESH: &str = "changes where requests go and who may send them";

/// Known groups; one that starts with a dot means every group that ends so.
pub(super) const ROWS: &[Row] = &[
    writes("table/argoproj.io/*:write", "argoproj.io", 85, FLUX),
    writes("table/kustomize.toolkit.fluxcd.io/*:write", "kustomize.toolkit.fluxcd.io", 85, FLUX),
    writes("table/helm.toolkit.fluxcd.io/*:write", "helm.toolkit.fluxcd.io", 85, FLUX),
    writes("table/source.toolkit.fluxcd.io/*:write", "source.toolkit.fluxcd.io", 85, FLUX),
    writes("table/helm.cattle.io/*:write", "helm.cattle.io", 85, FLUX),
    writes("table/crossplane.io/*:write", ".crossplane.io", 85, CLOUD),
    writes("table/upbound.io/*:write", ".upbound.io", 85, CLOUD),
    writes("table/services.k8s.aws/*:write", ".services.k8s.aws", 85, CLOUD),
    writes("table/cnrm.cloud.google.com/*:write", ".cnrm.cloud.google.com", 85, CLOUD),
    writes("table/azure.com/*:write", ".azure.com", 85, CLOUD),
    writes("table/cluster.x-k8s.io/*:write", ".cluster.x-k8s.io", 85, "makes an operator change whole clusters"),
    writes("table/cert-manager.io/*:write", "cert-manager.io", 65, CERTIFICATES),
    writes("table/acme.cert-manager.io/*:write", "acme.cert-manager.io", 65, CERTIFICATES),
    reads("table/external-secrets.io/*:read", "external-secrets.io", 45, "reads resources that point at secrets"),
    writes("table/external-secrets.io/*:write", "external-secrets.io", 80, SECRETS),
    writes("table/generators.external-secrets.io/*:write", "generators.external-secrets.io", 80, SECRETS),
    writes("table/secrets-store.csi.x-k8s.io/*:write", "secrets-store.csi.x-k8s.io", 80, SECRETS),
    writes("table/secrets.hashicorp.com/*:write", "secrets.hashicorp.com", 80, SECRETS),
    writes("table/bitnami.com/*:write", "bitnami.com", 60, "makes an operator write Secrets"),
    writes("table/tekton.dev/*:write", "tekton.dev", 80, PIPELINES),
    writes("table/triggers.tekton.dev/*:write", "triggers.tekton.dev", 80, PIPELINES),
    writes("table/actions.github.com/*:write", "actions.github.com", 80, PIPELINES),
    writes("table/kyverno.io/*:write", "kyverno.io", 85, POLICIES),
    writes("table/policies.kyverno.io/*:write", "policies.kyverno.io", 85, POLICIES),
    writes("table/templates.gatekeeper.sh/*:write", "templates.gatekeeper.sh", 85, POLICIES),
    writes("table/constraints.gatekeeper.sh/*:write", "constraints.gatekeeper.sh", 85, POLICIES),
    writes("table/cilium.io/*:write", "cilium.io", 85, NETWORK),
    writes("table/projectcalico.org/*:write", ".projectcalico.org", 85, NETWORK),
    writes("table/policy.networking.k8s.io/*:write", "policy.networking.k8s.io", 85, NETWORK),
    writes("table/istio.io/*:write", ".istio.io", 70, MESH),
    writes("table/linkerd.io/*:write", ".linkerd.io", 70, MESH),
    writes(
        "table/gateway.networking.k8s.io/*:write",
        "gateway.networking.k8s.io",
        50,
        "exposes a Service to the outside",
    ),
    writes("table/snapshot.storage.k8s.io/*:write", "snapshot.storage.k8s.io", 40, "copies or drops a volume's data"),
    writes(
        "table/operators.coreos.com/*:write",
        "operators.coreos.com",
        85,
        "installs operators with rights of their own",
    ),
    writes("table/kubevirt.io/*:write", "kubevirt.io", 70, "runs virtual machines"),
    writes("table/serving.knative.dev/*:write", "serving.knative.dev", 65, "runs code and exposes it"),
    reads("table/custom:read", "*", 40, "reads a custom resource, whose fields nobody described"),
    writes("table/custom:write", "*", 80, "writes a custom resource, and nobody has said what that does"),
    Row {
        name: "table/unknown",
        group: "*",
        resource: "*",
        verbs: sets::any,
        risk: 80,
        fact: "uses a verb that this resource is not known to have",
    },
];

/// The row for a resource that the built-in table does not name.
pub(super) fn row(group: &str, verb: Verb) -> &'static Row {
    let fits = |row: &Row| {
        row.verbs.has(verb)
            && match row.group {
                "*" => true,
                suffix if suffix.starts_with('.') => group.ends_with(suffix) || suffix.strip_prefix('.') == Some(group),
                exact => exact == group,
            }
    };
    // The last row fits everything; the fallback is the same row, so that there is nothing to unwrap.
    ROWS.iter().find(|row| fits(row)).unwrap_or(&UNKNOWN)
}

static UNKNOWN: Row = Row {
    name: "table/unknown",
    group: "*",
    resource: "*",
    verbs: sets::any,
    risk: 80,
    fact: "uses a verb that this resource is not known to have",
};
