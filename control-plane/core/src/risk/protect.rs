//! What the gateway refuses whatever policy says: changing itself, and streams as long as it can't record them.
//!
//! The agent refuses the same again (design: grants), so a mistake here is no hole; a refusal here is a better answer.

use serde_json::Value;

use super::Found;
use crate::request_info::{RequestInfo, Verb};
use crate::reserved;

const PROTECT: &str = "default/protect-sallyport";
const PROTECT_NOTE: &str = "Sallyport doesn't change itself: use an administrator's own credentials";
const IDENTITY_NOTE: &str = "a certificate with a name of system: or sallyport:, or the right to impersonate, can't be had through Sallyport: \
    use an administrator's own credentials";
const STREAMS: &str = "default/streams";
const STREAMS_NOTE: &str = "streams are not supported yet: exec, attach, port-forward and proxy are refused; logs, and a Job that runs the command, work";

/// Whose objects are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protect {
    /// Namespaces that Sallyport runs in.
    pub namespaces: Vec<String>,
}

impl Default for Protect {
    fn default() -> Self {
        Self { namespaces: vec!["sallyport".to_owned()] }
    }
}

impl Protect {
    /// Adds its findings. Called after the modifiers.
    pub(super) fn apply(&self, found: &mut Found<'_, '_>, document: Option<&Value>) {
        let info = found.question.info;
        if info.is_connect() {
            found.forbid(STREAMS, STREAMS_NOTE);
        }
        if gives_identity(info, document) {
            found.at_least(
                "modifier/reserved-identity",
                100,
                "gives an identity of the cluster or of Sallyport".into(),
            );
            found.forbid(PROTECT, IDENTITY_NOTE);
        }
        if self.touches(info, document) {
            found.at_least("modifier/sallyport", 100, "touches Sallyport's own objects".into());
            found.forbid(PROTECT, PROTECT_NOTE);
        }
    }

    fn touches(&self, info: &RequestInfo, document: Option<&Value>) -> bool {
        let ours = |namespace: &str| self.namespaces.iter().any(|known| known == namespace);
        if info.is_read() {
            // The masking key lives there; nobody needs it, masked or not.
            return ours(&info.namespace) && info.api_group.is_empty() && info.resource == "secrets";
        }
        if ours(&info.namespace) {
            return true;
        }
        let named = document.and_then(|body| body.get("metadata")).and_then(|metadata| metadata.get("name"));
        let name = if info.name.is_empty() { named.and_then(Value::as_str).unwrap_or_default() } else { &info.name };
        match (info.api_group.as_str(), info.resource.as_str()) {
            ("", "namespaces") => ours(name) || document.is_some_and(labels_ours),
            ("rbac.authorization.k8s.io", _) => ours_by_name(name) || document.is_some_and(|body| self.names_us(body)),
            // A purge of these takes ours as well.
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io" | "apiextensions.k8s.io", _) => {
                info.verb == Verb::DeleteCollection || ours_by_name(name) || name.ends_with(".sallyport.dev")
            }
            (group, _) => group == "sallyport.dev" || group.ends_with(".sallyport.dev"),
        }
    }

    /// RBAC that speaks of our users, groups, roles or ServiceAccounts.
    fn names_us(&self, body: &Value) -> bool {
        match body {
            Value::String(text) => {
                ours_by_name(text)
                    || self.namespaces.iter().any(|namespace| {
                        text.strip_prefix("system:serviceaccount:")
                            .is_some_and(|rest| rest.split(':').next() == Some(namespace))
                            || text.strip_prefix("system:serviceaccounts:") == Some(namespace)
                    })
            }
            Value::Array(list) => list.iter().any(|item| self.names_us(item)),
            Value::Object(map) => {
                let account = map.get("kind").and_then(Value::as_str) == Some("ServiceAccount");
                let namespace = map.get("namespace").and_then(Value::as_str).unwrap_or_default();
                account && self.namespaces.iter().any(|known| known == namespace)
                    || map.values().any(|item| self.names_us(item))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// A certificate or a role by which somebody could become one whom nobody may become. `document` shows a JSON Patch as the object that it
/// would build.
fn gives_identity(info: &RequestInfo, document: Option<&Value>) -> bool {
    let Some(document) = document.filter(|_| !info.is_read() && info.verb != Verb::Delete) else {
        return false;
    };
    reserved::is_certificate_request(info) && reserved::check_certificate_request(document).is_err()
        || info.api_group == "rbac.authorization.k8s.io" && reserved::gives_impersonation(document)
}

fn ours_by_name(name: &str) -> bool {
    name == "sallyport"
        || name.starts_with("sallyport:")
        || name.starts_with("sallyport-")
        || name.starts_with("sallyport.")
}

/// Labels that choose where runners get their sidecar.
fn labels_ours(body: &Value) -> bool {
    body.get("metadata").and_then(|metadata| metadata.get("labels")).and_then(Value::as_object).is_some_and(|labels| {
        labels.keys().any(|key| key.starts_with("sallyport.dev/") || key.contains(".sallyport.dev/"))
    })
}
