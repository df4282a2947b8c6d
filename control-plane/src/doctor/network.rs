//! Network policies: as installed, and in force. Of the second no object in a cluster tells; so a Pod tries, from where a runner would.

use serde_json::Value;
use shared::bypass::{Call, Probed};
use shared::limits;

use super::check::{Check, Report};
use super::cluster::{PUT_BACK, Seen};
use super::{Stop, injection, last_line, list, pod, text};

/// Between two looks at the Pod.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) fn look(seen: &Seen, stop: &Stop, report: &mut Report) {
    report.push(policies(seen));
    let (enforced, whole_path) = tried(seen, stop);
    report.push(enforced);
    report.push(whole_path);
}

fn policies(seen: &Seen) -> Check {
    let kinds = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"];
    let check = Check::new("policies");
    match seen.settings.network() {
        "none" => check
            .warn("none is installed (network.mode: none): what Pods may reach is up to you")
            .remedy("let Sallyport install them (network.mode: plain or cilium), or trust what `enforced` says below"),
        "plain" if seen.settings.runner_namespaces().is_empty() => seen
            .exact(check, &kinds)
            .warn("no namespace of runners is named, so none of them keeps runners from the API server")
            .remedy("name them: network.runnerNamespaces"),
        _ => seen.exact(check, &kinds).remedy(PUT_BACK),
    }
}

/// A namespace in which runners are: the one that was named, or the first that is known to have some.
fn namespace(seen: &Seen) -> Option<String> {
    let named = seen.namespace.clone().or_else(|| seen.settings.runner_namespaces().first().cloned());
    named.or_else(|| {
        let labelled = ["get", "namespaces", "-l", "sallyport.dev/inject=required", "-o", "json"];
        let found = seen.kubectl.json(&labelled).ok()?;
        list(&found, "/items").next().map(|one| text(one, "/metadata/name").to_owned())
    })
}

fn tried(seen: &Seen, stop: &Stop) -> (Check, Check) {
    let (enforced, path) = (Check::new("enforced"), Check::new("whole-path"));
    let left_out = |why: &str, remedy: &str| {
        let out = |id| Check::new(id).leave_out(why).remedy(remedy);
        (out("enforced"), out("whole-path"))
    };
    if seen.without_pod {
        return left_out(
            "--no-pod says so",
            "run it without --no-pod: nothing else shows whether policies are in force",
        );
    }
    let Some(namespace) = namespace(seen) else {
        return left_out("no namespace of runners is known", "name one: --namespace NAMESPACE");
    };
    let may = seen.kubectl.run(&["auth", "can-i", "create", "pods", "-n", &namespace], "");
    if may.is_err() {
        let why = format!("you may not create Pods in {namespace}");
        return left_out(&why, "run it as somebody who may, or name another namespace: --namespace NAMESPACE");
    }
    let name = pod::name();
    match probe(seen, stop, &namespace, &name) {
        Ok(probed) => judge(enforced, path, &namespace, &probed),
        Err(why) => {
            let remedy = "the Pod could not try: see why it did not run, and look again";
            (enforced.fail(why).remedy(remedy), path.leave_out("the Pod did not run"))
        }
    }
}

fn judge(mut enforced: Check, path: Check, namespace: &str, probed: &Probed) -> (Check, Check) {
    for route in &probed.report.open {
        enforced = enforced.fail(format!("a Pod in {namespace} reaches {} at {}", route.way.describe(), route.address));
    }
    let tried = format!("{} ways tried from a Pod in {namespace}", probed.report.tried);
    let remedy = "is there a network policy engine that enforces policies, and does none of yours open more? Policies add up: kubectl get networkpolicies -A";
    let path = match &probed.call {
        Call::Answered { status: 200, .. } => path.note("GET /version was answered"),
        Call::Answered { status, message } => path.fail(format!("GET /version was answered with {status}: {message}")),
        Call::Failed { why } => path.fail(format!("GET /version was not answered: {why}")),
    };
    let look =
        "the sidecar's own sentence says which part is missing; its log: kubectl logs POD -c sallyport of any runner";
    (enforced.note(tried).remedy(remedy), path.remedy(look))
}

/// Starts the Pod, waits for its end, and reads what it printed. Whatever happens, it is taken away.
fn probe(seen: &Seen, stop: &Stop, namespace: &str, name: &str) -> Result<Probed, String> {
    let wanted = pod::annotated(seen, namespace, name);
    // Without the sidecar's label no policy of ours would be meant for it.
    let would_be = injection::would_be(seen, &wanted)?;
    if text(&would_be, "/spec/initContainers/0/name") != crate::injector::pod::SIDECAR {
        return Err("the Pod would not be injected, so the policies for runners would not be tried".to_owned());
    }
    let said = |error: anyhow::Error| last_line(&format!("{error:#}"));
    // From here on, for the create may have been done though it seems to have failed.
    let _goes = Goes { seen, namespace, name };
    seen.kubectl.run(&["create", "-f", "-"], &wanted.to_string()).map_err(said)?;
    let get = ["get", "pod", name, "-n", namespace, "-o", "json"];
    let looks = limits::DOCTOR_POD_WAIT.as_secs() / LOOK.as_secs().max(1);
    let mut last = String::new();
    for _ in 0..looks {
        if stop.within(LOOK) {
            return Err("interrupted".to_owned());
        }
        let found = seen.kubectl.json(&get).map_err(said)?;
        let status = list(&found, "/status/containerStatuses").next().cloned().unwrap_or_default();
        if status.pointer("/state/terminated").is_some_and(|ended| !ended.is_null()) {
            let log = seen.kubectl.run(&["logs", name, "-n", namespace, "-c", "probe"], "").map_err(said)?;
            let line = log.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
            return serde_json::from_str(line).map_err(|_| format!("the Pod said: {}", last_line(&log)));
        }
        last = state(&found);
    }
    Err(format!("the Pod in {namespace} did not end in time: {last}"))
}

/// What keeps a Pod from running, in the kubelet's words.
fn state(pod: &Value) -> String {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let all = statuses.into_iter().flat_map(|pointer| list(pod, pointer));
    let waiting = all
        .filter_map(|status| status.pointer("/state/waiting"))
        .find(|state| text(state, "/reason") != "PodInitializing");
    match waiting {
        Some(state) => format!("{} {}", text(state, "/reason"), text(state, "/message")).trim().to_owned(),
        None => {
            let unmet = list(pod, "/status/conditions").find(|condition| text(condition, "/status") == "False");
            let why = unmet.map(|condition| text(condition, "/message")).unwrap_or_default();
            format!("{} {why}", text(pod, "/status/phase")).trim().to_owned()
        }
    }
}

/// Takes the Pod away.
struct Goes<'a> {
    seen: &'a Seen,
    namespace: &'a str,
    name: &'a str,
}

impl Drop for Goes<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "pod", self.name, "-n", self.namespace, "--ignore-not-found", "--wait=false"];
        if let Err(error) = self.seen.kubectl.run(&delete, "") {
            tracing::warn!(error = %format!("{error:#}"), pod = self.name, namespace = self.namespace, "the Pod is still there");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::bypass::{Report as Tried, Route, Way};

    use super::*;
    use crate::doctor::Outcome;

    fn outcomes(open: Vec<Route>, call: Call) -> (Outcome, Outcome) {
        let probed = Probed { report: Tried { tried: 7, open }, call };
        let (enforced, path) = judge(Check::new("enforced"), Check::new("whole-path"), "ci", &probed);
        (enforced.outcome(), path.outcome())
    }

    #[test]
    fn one_open_way_is_one_too_many() {
        let open = Route { way: Way::Kubelet, address: "192.0.2.1:10250".to_owned() };
        let answered = |status| Call::Answered { status, message: String::new() };
        assert_eq!(outcomes(Vec::new(), answered(200)), (Outcome::Ok, Outcome::Ok));
        assert_eq!(outcomes(vec![open], answered(503)), (Outcome::Failed, Outcome::Failed));
        assert_eq!(outcomes(Vec::new(), Call::Failed { why: "x".to_owned() }), (Outcome::Ok, Outcome::Failed));
    }

    #[test]
    fn what_a_pod_waits_for() {
        let waiting = json!({"status": {"initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}});
        assert_eq!(state(&waiting), "ErrImagePull no such image");
        let pending = json!({"status": {"phase": "Pending", "conditions": [{"status": "False", "message": "0/1 nodes are available"}],
            "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}});
        assert_eq!(state(&pending), "Pending 0/1 nodes are available");
    }
}
