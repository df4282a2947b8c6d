//! What the API server asks before it lets a Pod in: ours as installed, and others that stand in the way.
//!
//! The order needs no rule of ours: mutating webhooks run by name, ours is asked again after whatever another one changed
//! (`reinvocationPolicy: IfNeeded`), and the validating one sees the Pod that would be stored. What is left to look at are webhooks that
//! keep Sallyport's own Pods from starting.

use serde_json::Value;

use super::check::{Check, Report};
use super::cluster::{PUT_BACK, Seen};
use super::{last_line, list, text};
use crate::install::NAMESPACE;

pub(super) fn look(seen: &Seen, report: &mut Report) {
    let kinds = [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    report.push(seen.exact(Check::new("webhooks"), &kinds).remedy(PUT_BACK));
    report.push(others(seen));
}

fn others(seen: &Seen) -> Check {
    let mut check = Check::new("webhook-order");
    let what = ["get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "json"];
    let (found, own) =
        match (seen.kubectl.json(&what), seen.kubectl.json(&["get", "namespace", NAMESPACE, "-o", "json"])) {
            (Ok(found), Ok(own)) => (found, own),
            (Err(error), _) | (_, Err(error)) => return check.fail(last_line(&format!("{error:#}"))),
        };
    let mut changing = Vec::new();
    for configuration in list(&found, "/items") {
        let (kind, name) = (text(configuration, "/kind"), text(configuration, "/metadata/name"));
        if name == "sallyport-injector" {
            continue;
        }
        for webhook in list(configuration, "/webhooks").filter(|webhook| list(webhook, "/rules").any(is_of_pods)) {
            if kind.starts_with("Mutating") && !changing.contains(&name) {
                changing.push(name);
            }
            let selector = webhook.get("namespaceSelector").unwrap_or(&Value::Null);
            if text(webhook, "/failurePolicy") != "Ignore" && selects(selector, &own) {
                check = check.warn(format!(
                    "{kind} {name} is asked about Sallyport's own Pods too: while {} does not answer, none of them starts",
                    text(webhook, "/name")
                ));
            }
        }
    }
    if !changing.is_empty() {
        check =
            check.note(format!("these change Pods too, and ours is asked again after them: {}", changing.join(", ")));
    }
    check.remedy(format!("leave the namespace {NAMESPACE} out of their namespaceSelector"))
}

/// Whether a rule is about creating Pods.
fn is_of_pods(rule: &Value) -> bool {
    let has = |pointer: &str, words: &[&str]| {
        list(rule, pointer).any(|word| word.as_str().is_some_and(|word| words.contains(&word)))
    };
    has("/apiGroups", &["", "*"]) && has("/resources", &["pods", "*", "*/*"]) && has("/operations", &["CREATE", "*"])
}

/// Whether a label selector takes a namespace (apimachinery `LabelSelectorAsSelector`): an empty one takes all.
fn selects(selector: &Value, namespace: &Value) -> bool {
    let labels = namespace.pointer("/metadata/labels").and_then(Value::as_object);
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let equal = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut equal = equal.map(|(key, value)| label(key) == value.as_str());
    let fits = |expression: &Value| {
        let found = label(text(expression, "/key"));
        let listed = || list(expression, "/values").any(|value| found.is_some() && value.as_str() == found);
        match text(expression, "/operator") {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            // An operator that we don't know may well take it.
            _ => true,
        }
    };
    equal.all(|equal| equal) && list(selector, "/matchExpressions").all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors() {
        let namespace = json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "sallyport", "a": "b"}}});
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for takes in [
            json!(null),
            json!({}),
            json!({"matchLabels": {"a": "b"}}),
            expression("a", "In", &["c", "b"]),
            expression("a", "NotIn", &["c"]),
            expression("none", "NotIn", &["c"]),
            expression("a", "Exists", &[]),
            expression("none", "DoesNotExist", &[]),
        ] {
            assert!(selects(&takes, &namespace), "{takes}");
        }
        for leaves in [
            json!({"matchLabels": {"a": "c"}}),
            json!({"matchLabels": {"a": "b", "none": "x"}}),
            expression("kubernetes.io/metadata.name", "NotIn", &["kube-system", "sallyport"]),
            expression("none", "In", &["c"]),
            expression("none", "Exists", &[]),
            expression("a", "DoesNotExist", &[]),
        ] {
            assert!(!selects(&leaves, &namespace), "{leaves}");
        }
    }
}
