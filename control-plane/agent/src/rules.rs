//! What the agent refuses whatever the grant says (ARCHITECTURE.md, Grants): Sallyport's own parts can't be changed through Sallyport,
//! not even by a compromised control plane.
//!
//! Pure functions of the request. Users and groups need no rule here: a grant can't name one beside ours (`core::grant::Impersonation`).

use std::collections::BTreeSet;

use control_plane_core::body::{Encoding, ParsedBody};
use control_plane_core::mask::{FieldPath, MaskedFields, Oracle, writes_container_statuses, writes_of_probe};
use control_plane_core::request::Request;
use control_plane_core::request_info::{RequestInfo, Verb};
use control_plane_core::reserved::{
    CertificateRefusal, check_certificate_patch, check_certificate_request, gives_impersonation, is_certificate_request,
};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Names of cluster-scoped objects that are ours begin with this.
const OURS: &str = "sallyport";
/// Names of our groups, users and roles contain this.
const OUR_NAMES: &str = "sallyport:";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Cluster-scoped kinds of which some objects are ours.
const GUARDED: [(&str, &str); 10] = [
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    (RBAC, "clusterroles"),
    (RBAC, "clusterrolebindings"),
    (RBAC, "roles"),
    (RBAC, "rolebindings"),
];

/// Why. `Display` is the sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RuleRefusal {
    /// Anything but a read in a namespace of ours.
    #[error("Sallyport's own namespace can't be changed through Sallyport")]
    OwnNamespace,
    /// One of our webhooks, policies, roles or bindings.
    #[error("Sallyport's own webhooks, policies, roles and bindings can't be changed through Sallyport")]
    OwnObject,
    /// All objects of a kind of which some are ours.
    #[error("this deletes objects of Sallyport among others; delete by name")]
    Collection,
    /// A role or binding that names us.
    #[error(
        "roles and bindings that name Sallyport's users, groups or ServiceAccounts can't be written through Sallyport"
    )]
    RbacNamesUs,
    /// A JSON Patch that moves parts of a role or binding around, so that its text does not show what it makes.
    #[error("a JSON Patch of a role or binding may not copy or move")]
    RbacCopy,
    /// A role with the right to impersonate.
    #[error("the right to impersonate can't be given through Sallyport")]
    RbacImpersonates,
    /// A certificate for a name of the cluster's or ours.
    #[error(transparent)]
    Certificate(CertificateRefusal),
    /// A JSON Patch that reaches masked values.
    #[error(transparent)]
    Oracle(Oracle),
    /// A patch that changes by what policy tells masked elements of a list from others.
    #[error(
        "the patch changes {0}, by which policy tells what is masked there: a masked value would be shown. Write the whole element by \
         a JSON Patch, the whole list by a merge patch, or the whole object, with a value of your own"
    )]
    Renames(FieldPath),
    /// How containers of a pod have ended, by which is told whether their last words are shown.
    #[error(
        "the statuses of a pod's containers are written by the kubelet alone, since what is shown of their last words goes by them: write \
         conditions and what else is yours by a patch that leaves them out"
    )]
    ContainerStatuses,
    /// What an Event says of a probe.
    #[error(
        "what an Event says of a probe is written by the kubelet alone, and was shown without what a container printed: change what else is \
         yours by a patch that leaves it out"
    )]
    Probe,
    /// A role or binding whose body can't be read.
    #[error("a role or binding needs a body that can be read")]
    RbacUnreadable,
    /// Real values of a Secret that the agent's configuration does not name for that.
    #[error("the agent shows no real value of this Secret: `revealed` of its configuration does not name it")]
    Disclosure,
    /// Real values in an answer of another form.
    #[error("real values are shown of one object that is read by its name, and of nothing else")]
    DisclosureOfOne,
}

impl RuleRefusal {
    /// One word for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::OwnNamespace => "rule-own-namespace",
            Self::OwnObject => "rule-own-object",
            Self::Collection => "rule-collection",
            Self::RbacNamesUs => "rule-rbac-names-us",
            Self::RbacCopy => "rule-rbac-copy",
            Self::RbacImpersonates => "rule-rbac-impersonates",
            Self::Certificate(_) => "rule-certificate",
            Self::Oracle(_) => "rule-secret-oracle",
            Self::Renames(_) => "rule-renames-masked",
            Self::ContainerStatuses => "rule-container-statuses",
            Self::Probe => "rule-probe",
            Self::RbacUnreadable => "rule-rbac-unreadable",
            Self::Disclosure | Self::DisclosureOfOne => "rule-disclosure",
        }
    }
}

/// What is ours in this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    namespaces: BTreeSet<String>,
}

impl Ours {
    /// The namespaces that Sallyport's parts run in. Every ServiceAccount there is ours.
    pub const fn new(namespaces: BTreeSet<String>) -> Self {
        Self { namespaces }
    }

    /// Checks one request.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, request: &Request) -> Result<(), RuleRefusal> {
        let info = request.info();
        if !info.is_resource_request || info.is_read() {
            return Ok(());
        }
        if self.namespaces.contains(request.object_namespace()) || self.namespaces.contains(&info.namespace) {
            return Err(RuleRefusal::OwnNamespace);
        }
        if is_guarded(info) {
            if info.verb == Verb::DeleteCollection {
                return Err(RuleRefusal::Collection);
            }
            let names = [request.object_name(), request.generate_name(), &info.name];
            if names.iter().any(|name| name.starts_with(OURS)) {
                return Err(RuleRefusal::OwnObject);
            }
        }
        check_patch(request, &MaskedFields::default())?;
        if request.body().is_some_and(|body| writes_container_statuses(info, body)) {
            return Err(RuleRefusal::ContainerStatuses);
        }
        if request.body().is_some_and(|body| writes_of_probe(info, body)) {
            return Err(RuleRefusal::Probe);
        }
        if info.api_group == RBAC {
            self.check_rbac(info, request.body())?;
        }
        if is_certificate_request(info) && info.verb != Verb::Delete && info.verb != Verb::DeleteCollection {
            check_certificate(request.body())?;
        }
        Ok(())
    }

    /// Checks the object that a request is about, as it was read last, where that says what the request does: an approval of a certificate
    /// request says nothing of the names that it gives away.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_live(&self, info: &RequestInfo, live: Option<&Value>) -> Result<(), RuleRefusal> {
        match live {
            Some(live) if Self::needs_live(info) => check_certificate_request(live).map_err(RuleRefusal::Certificate),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether [`Self::check_live`] has something to say of such a request, which then may not go without that read.
    pub fn needs_live(info: &RequestInfo) -> bool {
        is_certificate_request(info) && !info.subresource.is_empty() && !info.is_read()
    }

    fn check_rbac(&self, info: &RequestInfo, body: Option<&ParsedBody>) -> Result<(), RuleRefusal> {
        let Some(body) = body else {
            return if info.verb == Verb::Delete { Ok(()) } else { Err(RuleRefusal::RbacUnreadable) };
        };
        if body.encoding == Encoding::JsonPatch {
            let operations = body.value.as_array().ok_or(RuleRefusal::RbacUnreadable)?;
            for operation in operations {
                match operation.get("op").and_then(Value::as_str) {
                    Some("add" | "remove" | "replace" | "test") => {}
                    Some("copy" | "move") => return Err(RuleRefusal::RbacCopy),
                    Some(_) | None => return Err(RuleRefusal::RbacUnreadable),
                }
            }
        }
        if self.names_us(&body.value) {
            return Err(RuleRefusal::RbacNamesUs);
        }
        if info.verb != Verb::Delete && gives_impersonation(&body.value) {
            return Err(RuleRefusal::RbacImpersonates);
        }
        Ok(())
    }

    /// Any text, as value or as member name, that is one of our names, one of our namespaces, or means the ServiceAccounts there. A patch
    /// may hold a piece of a subject only, so the bare namespace counts: too much rather than too little.
    fn names_us(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_our_name(text),
            Value::Array(items) => items.iter().any(|item| self.names_us(item)),
            Value::Object(members) => {
                members.iter().any(|(name, member)| self.is_our_name(name) || self.names_us(member))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn is_our_name(&self, text: &str) -> bool {
        if text.contains(OUR_NAMES) || self.namespaces.contains(text) {
            return true;
        }
        let user = text.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let namespace =
            user.map_or_else(|| text.strip_prefix("system:serviceaccounts:"), |(namespace, _)| Some(namespace));
        namespace.is_some_and(|namespace| self.namespaces.contains(namespace))
    }
}

/// What a patch may not do; `masked`: what policy masks of the resource.
///
/// # Errors
/// The first operation that it may not make, or the first member that it may not change.
pub fn check_patch(request: &Request, masked: &MaskedFields) -> Result<(), RuleRefusal> {
    let Some(patch) = request.body() else { return Ok(()) };
    let json = Some(&patch.value).filter(|_| patch.encoding == Encoding::JsonPatch);
    if let Some(oracle) = json.and_then(|patch| Oracle::find(request.info(), masked, patch)) {
        return Err(RuleRefusal::Oracle(oracle));
    }
    masked.renamed(request.info(), patch.encoding, &patch.value).map_or(Ok(()), |path| Err(RuleRefusal::Renames(path)))
}

fn check_certificate(body: Option<&ParsedBody>) -> Result<(), RuleRefusal> {
    let checked = match body {
        None => Ok(()),
        Some(body) if body.encoding == Encoding::JsonPatch => {
            check_certificate_patch(body.value.as_array().map(Vec::as_slice).unwrap_or_default())
        }
        Some(body) => check_certificate_request(&body.value),
    };
    checked.map_err(RuleRefusal::Certificate)
}

fn is_guarded(info: &RequestInfo) -> bool {
    GUARDED.iter().any(|(group, resource)| info.api_group == *group && info.resource == *resource)
}
