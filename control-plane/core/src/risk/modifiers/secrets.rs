//! Secrets: what they are for decides what one more or one less does.

use serde_json::Value;

use super::super::Found;
use super::{entries, text_at};
use crate::request_info::Verb;

/// Held at whatever risk, unless a rule accepts it by this name.
pub(crate) const SECRET_SEEN: &str = "modifier/secret-seen-masked";

/// Labels by which controllers know Secrets that they are configured with: clusters and repositories of Argo CD, keys of Sealed Secrets.
const CONTROLLERS: [&str; 2] = ["argocd.argoproj.io/secret-type", "sealedsecrets.bitnami.com/sealed-secrets-key"];

/// What the request names: a Secret that was seen, lists over all namespaces.
pub(super) fn requested(found: &mut Found<'_, '_>) {
    let question = found.question;
    let info = question.info;
    if !info.api_group.is_empty() || info.resource != "secrets" {
        return;
    }
    if info.verb == Verb::Delete && question.session.seen.has(&info.namespace, &info.name) {
        found.at_least(SECRET_SEEN, 70, "was shown to this job masked, so this job can't write its values back".into());
    }
    if info.name.is_empty() && info.namespace.is_empty() && info.is_read() {
        found.plus("modifier/secrets-everywhere", 5, "tells every Secret of the cluster by name".into());
    }
}

/// What the body is.
pub(super) fn written(found: &mut Found<'_, '_>, document: &Value) {
    let kind = text_at(document, &["type"]);
    let for_account =
        entries(document, &["metadata", "annotations"]).any(|(key, _)| key == "kubernetes.io/service-account.name");
    if kind == "kubernetes.io/service-account-token" || for_account {
        found.at_least(
            "modifier/token-secret",
            90,
            "makes the cluster write a token into it that never expires".into(),
        );
    }
    if kind == "bootstrap.kubernetes.io/token"
        || text_at(document, &["metadata", "name"]).starts_with("bootstrap-token-")
    {
        found.at_least("modifier/bootstrap-token", 95, "is a token with which a new node may join".into());
    }
    if entries(document, &["metadata", "labels"]).any(|(key, _)| CONTROLLERS.contains(&key)) {
        found.at_least("modifier/gitops-configuration", 85, "is configuration or a key of a GitOps controller".into());
    }
    if kind == "kubernetes.io/tls" {
        found.at_least("modifier/secret-of-ingress", 50, "is a certificate that an ingress shows to everybody".into());
    }
}
