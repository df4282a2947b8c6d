//! RBAC, exactly as meant: ours to the letter, and nobody else's that gives more to our accounts and groups.

use serde_json::Value;

use super::check::{Check, Report};
use super::cluster::{PUT_BACK, Seen};
use super::{last_line, list, text};
use crate::install::NAMESPACE;

/// Groups that everybody is in, runners' impersonated user and our ServiceAccounts too.
const EVERYBODY: [&str; 3] = ["system:authenticated", "system:unauthenticated", "system:serviceaccounts"];
/// Roles that Kubernetes itself gives to everybody (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
const USUAL: [&str; 4] =
    ["system:basic-user", "system:discovery", "system:public-info-viewer", "system:service-account-issuer-discovery"];
/// What a further role for `sallyport:read` may have: manifests/agent/rbac.yaml says so.
const READS: [&str; 3] = ["get", "list", "watch"];

pub(super) fn look(seen: &Seen, report: &mut Report) {
    let kinds = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    report.push(seen.exact(Check::new("rights"), &kinds).remedy(PUT_BACK));
    report.push(no_more(seen));
}

fn no_more(seen: &Seen) -> Check {
    let mut check = Check::new("no-more-rights");
    let bindings =
        match seen.kubectl.json(&["get", "clusterrolebindings,rolebindings", "--all-namespaces", "-o", "json"]) {
            Ok(bindings) => bindings,
            Err(error) => return check.fail(last_line(&format!("{error:#}"))),
        };
    for binding in list(&bindings, "/items").filter(|binding| !is_ours(seen, binding)) {
        let (kind, name) = (text(binding, "/kind"), text(binding, "/metadata/name"));
        let place = match text(binding, "/metadata/namespace") {
            "" => String::new(),
            namespace => format!(" in {namespace}"),
        };
        let role = text(binding, "/roleRef/name");
        let subjects: Vec<_> = list(binding, "/subjects").filter_map(whose).collect();
        for subject in subjects {
            check = match subject {
                Whose::Read if only_reads(seen, binding) => {
                    check.note(format!("{kind} {name}{place} lets sallyport:read read what {role} names"))
                }
                Whose::Read => {
                    check.fail(format!("{kind} {name}{place} gives sallyport:read more than to read: {role}"))
                }
                Whose::Ours(who) => check.fail(format!("{kind} {name}{place} gives {who} the role {role}")),
                Whose::Everybody(_) if USUAL.contains(&role) => check,
                Whose::Everybody(who) => {
                    check.warn(format!("{kind} {name}{place} gives {who}, and so Sallyport's too, the role {role}"))
                }
            };
        }
    }
    check.remedy("delete these bindings, or narrow whom they are for: what runners may do is said by policy, and by the roles of manifests/agent")
}

/// A subject that concerns us.
enum Whose {
    /// The group that reads, which administrators may give further roles.
    Read,
    /// Any other of ours.
    Ours(String),
    /// A group that everybody is in.
    Everybody(String),
}

fn whose(subject: &Value) -> Option<Whose> {
    let (kind, name) = (text(subject, "/kind"), text(subject, "/name"));
    match kind {
        "ServiceAccount" => {
            (text(subject, "/namespace") == NAMESPACE).then(|| Whose::Ours(format!("ServiceAccount {name}")))
        }
        "Group" if name == "sallyport:read" => Some(Whose::Read),
        "Group" if EVERYBODY.contains(&name) => Some(Whose::Everybody(name.to_owned())),
        "Group" | "User" => {
            let accounts =
                [format!("system:serviceaccount:{NAMESPACE}:"), format!("system:serviceaccounts:{NAMESPACE}")];
            let ours =
                name.starts_with("sallyport:") || accounts.iter().any(|prefix| name.starts_with(prefix.as_str()));
            ours.then(|| Whose::Ours(format!("{} {name}", kind.to_lowercase())))
        }
        _ => None,
    }
}

fn is_ours(seen: &Seen, binding: &Value) -> bool {
    let same = |one: &&Value| {
        ["/kind", "/metadata/name", "/metadata/namespace"].iter().all(|at| one.pointer(at) == binding.pointer(at))
    };
    seen.installation.objects().iter().any(|one| same(&one))
}

/// Whether all that a binding's role says is to read.
fn only_reads(seen: &Seen, binding: &Value) -> bool {
    let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let mut arguments = vec!["get", kind, name, "-o", "json"];
    if kind == "Role" {
        arguments.extend(["-n", text(binding, "/metadata/namespace")]);
    }
    let Ok(role) = seen.kubectl.json(&arguments) else { return false };
    let reads = |rule: &Value| list(rule, "/verbs").all(|verb| verb.as_str().is_some_and(|verb| READS.contains(&verb)));
    // An aggregated role is as wide as others make it.
    role.get("aggregationRule").is_none_or(Value::is_null) && list(&role, "/rules").all(reads)
}
