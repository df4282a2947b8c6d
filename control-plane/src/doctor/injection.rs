//! Whether injection works: the API server is asked what would become of Pods, and stores none.

use serde_json::{Value, json};

use super::check::{Check, Report};
use super::cluster::Seen;
use super::{last_line, list, pod, text};
use crate::injector::pod::{INJECT, INJECTED, SIDECAR};

/// Mandatory namespaces that are tried.
const TRIED: usize = 5;

const LOOK: &str =
    "kubectl -n sallyport get pods,endpointslices -l app.kubernetes.io/name=sallyport-injector, and the injector's log";

pub(super) fn look(seen: &Seen, report: &mut Report) {
    let namespace = seen.namespace.clone().or_else(|| seen.settings.runner_namespaces().first().cloned());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    report.push(injects(seen, &namespace));
    report.push(refuses(seen, &namespace));
    report.push(mandatory(seen));
}

/// What the API server would store, or what it says.
pub(super) fn would_be(seen: &Seen, pod: &Value) -> Result<Value, String> {
    let said = seen.kubectl.documents(&["create", "--dry-run=server", "-f", "-", "-o", "json"], &pod.to_string());
    match said {
        Ok((mut all, None)) => all.pop().ok_or_else(|| "kubectl printed nothing".to_owned()),
        Ok((_, Some(complaint))) => Err(last_line(&complaint)),
        Err(error) => Err(last_line(&format!("{error:#}"))),
    }
}

/// Whether it has what injection gives.
fn is_injected(pod: &Value) -> bool {
    let label = pod.pointer("/metadata/labels").and_then(|labels| labels.get(INJECTED)).and_then(Value::as_str);
    label == Some("true")
        && text(pod, "/spec/initContainers/0/name") == SIDECAR
        && text(pod, "/spec/initContainers/0/restartPolicy") == "Always"
        && pod.pointer("/spec/automountServiceAccountToken") == Some(&Value::Bool(false))
}

fn injects(seen: &Seen, namespace: &str) -> Check {
    let check = Check::new("injects");
    match would_be(seen, &pod::annotated(seen, namespace, &pod::name())) {
        Ok(pod) if is_injected(&pod) => check.note(format!("in {namespace}")),
        Ok(_) => {
            check.fail(format!("in {namespace} it comes back without the sidecar: the API server does not ask ours"))
        }
        Err(why) => check.fail(format!("in {namespace}: {why}")),
    }
    .remedy(LOOK)
}

fn refuses(seen: &Seen, namespace: &str) -> Check {
    let check = Check::new("refuses");
    let mut pod = pod::annotated(seen, namespace, &pod::name());
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("hostNetwork".to_owned(), json!(true));
    }
    match would_be(seen, &pod) {
        Ok(_) => check
            .fail(format!("in {namespace} a Pod in the node's network would be let in, where no network policy holds")),
        Err(why) if why.contains("hostNetwork") => check.note(format!("in {namespace}")),
        Err(why) => check.fail(format!("in {namespace}: {why}")),
    }
    .remedy(LOOK)
}

fn mandatory(seen: &Seen) -> Check {
    let mut check = Check::new("mandatory");
    let selector = format!("{INJECT}=required");
    let found = match seen.kubectl.json(&["get", "namespaces", "-l", &selector, "-o", "json"]) {
        Ok(found) => found,
        Err(error) => return check.fail(last_line(&format!("{error:#}"))),
    };
    let names: Vec<_> = list(&found, "/items").map(|one| text(one, "/metadata/name")).collect();
    if names.is_empty() {
        return check.note(format!("no namespace is labelled {selector}"));
    }
    for name in names.iter().take(TRIED) {
        check = match would_be(seen, &pod::plain(seen, name, &pod::name())) {
            Ok(pod) if is_injected(&pod) => check.note(format!("in {name}")),
            Ok(_) => check.fail(format!("in {name} a Pod comes back without the sidecar")),
            Err(why) => check.fail(format!("in {name}: {why}")),
        };
    }
    if names.len() > TRIED {
        check = check.note(format!("and {} more that were not tried", names.len().saturating_sub(TRIED)));
    }
    check.remedy(LOOK)
}
