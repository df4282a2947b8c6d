//! RBAC: which roles are powers of their own, and who gets them.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>

use serde_json::Value;

use super::super::{Found, shown};
use super::{entries, is_set, items, text_at};

/// Looks at a role's rules and a binding's role and subjects.
pub(super) fn apply(found: &mut Found<'_, '_>, document: &Value) {
    role(found, document);
    binding(found, document);
}

fn role(found: &mut Found<'_, '_>, document: &Value) {
    for rule in items(document, "rules") {
        for (key, word) in ["verbs", "resources", "apiGroups", "nonResourceURLs"]
            .into_iter()
            .flat_map(|key| items(rule, key).map(move |word| (key, word.as_str().unwrap_or_default())))
        {
            if let Some(fact) = power(key, word) {
                found.at_least("modifier/powerful-role", 98, fact.into());
            }
        }
    }
    if is_set(document.get("aggregationRule")) {
        found.at_least("modifier/aggregated-role", 95, "takes in the rules of every role with a label".into());
    }
    for (key, _) in entries(document, &["metadata", "labels"]) {
        if key.starts_with("rbac.authorization.k8s.io/aggregate-to-") {
            found.at_least("modifier/aggregated-role", 95, format!("adds itself to a role by {}", shown(key)).into());
        }
    }
}

/// What a single word of a rule gives away, if it is a power of its own.
fn power(key: &str, word: &str) -> Option<&'static str> {
    Some(match (key, word) {
        ("verbs", "*") => "gives every verb",
        ("verbs", "escalate") => "lets its holder give itself any right",
        ("verbs", "bind") => "lets its holder give any role to anybody",
        ("verbs", verb) if verb.starts_with("impersonate") => "lets its holder become somebody else",
        ("verbs", "approve" | "sign" | "attest") => "lets its holder issue certificates",
        ("resources", "*") => "reaches every resource of its groups",
        ("resources", resource) if resource.starts_with("*/") => "reaches a subresource of everything",
        ("resources", "secrets") => "reaches Secrets",
        ("resources", "pods/exec" | "pods/attach") => "runs commands in pods",
        ("resources", "pods/ephemeralcontainers") => "runs code inside running pods",
        ("resources", "nodes/proxy") => "speaks to kubelets",
        ("resources", "serviceaccounts/token") => "makes tokens",
        ("resources", "certificatesigningrequests/approval") => "approves client certificates",
        ("apiGroups", "*") => "reaches every API group",
        ("nonResourceURLs", url) if url == "*" || url == "/*" => "reaches every path",
        _ => return None,
    })
}

fn binding(found: &mut Found<'_, '_>, document: &Value) {
    let role = text_at(document, &["roleRef", "name"]);
    let cluster_wide = found.question.info.resource == "clusterrolebindings";
    if matches!(role, "cluster-admin" | "admin" | "edit") || role.starts_with("system:") {
        found.at_least(
            "modifier/admin-role",
            if cluster_wide { 98 } else { 95 },
            format!("gives the role \"{}\"", shown(role)).into(),
        );
    }
    for subject in items(document, "subjects") {
        let name = text_at(subject, &["name"]);
        if text_at(subject, &["kind"]) == "Group" && name.starts_with("system:") || name == "system:anonymous" {
            found.at_least("modifier/everybody", 95, format!("gives it to \"{}\"", shown(name)).into());
        }
    }
}
