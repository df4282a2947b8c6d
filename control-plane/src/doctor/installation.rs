//! What is installed: as this version would install it, running, and for this very cluster.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Check, Report};
use super::cluster::Seen;
use super::{last_line, list, text};
use crate::install::{Changes, ENROLMENT, GUARDED, NAMESPACE, changes};

pub(super) fn look(seen: &Seen, report: &mut Report) {
    report.push(pinned(seen));
    report.push(up_to_date(seen));
    report.push(running(seen));
}

/// What agents and control plane have pinned, and what the cluster says now.
fn pinned(seen: &Seen) -> Check {
    let mut check = Check::new("pinned");
    let uid = format!("clusterUid: {}", seen.cluster.uid);
    let agent = seen.cluster.installed.as_deref().unwrap_or_default();
    if !agent.contains(&uid) && !agent.contains(&format!("clusterUid: \"{}\"", seen.cluster.uid)) {
        check =
            check.fail(format!("the agents' configuration is of another cluster; this one is {}", seen.cluster.uid));
    }
    if !seen.settings.has_control_plane() {
        return elsewhere(check, seen);
    }
    let map = ["get", "configmap", "sallyport-control-plane", "-n", NAMESPACE, "--ignore-not-found", "-o", "json"];
    let data = match seen.kubectl.json(&map) {
        Ok(map) => map.get("data").cloned().unwrap_or_default(),
        Err(error) => return check.fail(last_line(&format!("{error:#}"))),
    };
    let part = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default();
    let config: Value = serde_saphyr::from_str(part("config.yaml")).unwrap_or_default();
    let entry = list(&config, "/clusters").find(|entry| text(entry, "/name") == seen.settings.cluster());
    match entry {
        None => check = check.fail("the control plane does not know this cluster by its name"),
        Some(entry) if text(entry, "/uid") != seen.cluster.uid => {
            check =
                check.fail(format!("the control plane has pinned another cluster; this one is {}", seen.cluster.uid));
        }
        Some(entry) if text(entry, "/issuer") != seen.cluster.issuer => {
            check = check
                .fail(format!("the cluster's tokens are of {}, and another issuer is pinned", seen.cluster.issuer));
        }
        Some(_) => {}
    }
    let unknown = unknown_keys(seen, part("keys.json"));
    if unknown > 0 {
        check = check.fail(format!(
            "the cluster signs tokens with {unknown} keys that are not pinned: its Pods are not believed"
        ));
    }
    check.remedy(AGAIN)
}

/// The same where the control plane is not in the cluster: what its agents showed, if it was enrolled with a token.
fn elsewhere(check: Check, seen: &Seen) -> Check {
    let shown = |key: &str| {
        let value = seen.cluster.secret(ENROLMENT, key)?;
        Some(String::from_utf8_lossy(value.expose()).into_owned())
    };
    let (Some(issuer), Some(keys)) = (shown("issuer"), shown("keys.json")) else {
        return check.note("the keys are in the configuration of the control plane, which is elsewhere").remedy(AGAIN);
    };
    let mut check =
        check.note("it is enrolled with a token: `sallyport clusters list`, where the control plane runs, says when");
    if issuer != seen.cluster.issuer {
        check =
            check.fail(format!("the cluster's tokens are of {}, and another issuer was enrolled", seen.cluster.issuer));
    }
    let unknown = unknown_keys(seen, &keys);
    if unknown > 0 {
        check = check.warn(format!(
            "the cluster signs tokens with {unknown} keys that were not enrolled: its Pods are not believed, unless --adopt-keys was said"
        ));
    }
    check.remedy("if it was you who changed the cluster's keys: sallyport clusters forget and enrol there, and install with the new token")
}

/// How many keys the cluster publishes that are not among these.
fn unknown_keys(seen: &Seen, pinned: &str) -> usize {
    let keys = |text: &str| -> BTreeSet<String> {
        let set: Value = serde_json::from_str(text).unwrap_or_default();
        list(&set, "/keys").map(Value::to_string).collect()
    };
    keys(&seen.cluster.keys).difference(&keys(pinned)).count()
}

const AGAIN: &str = "if it was you who changed the cluster's keys: sallyport upgrade --values FILE | kubectl apply -f -; if not, find out who signs its tokens";

/// All but what is compared to the letter elsewhere, and the keys, which have ages of their own.
fn up_to_date(seen: &Seen) -> Check {
    let check = Check::new("up-to-date");
    let elsewhere = |line: &&String| {
        let mut words = line.split_whitespace();
        let (change, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let guarded = GUARDED.contains(&kind) && change != "removed";
        guarded || kind == "Secret" && change == "changed"
    };
    match changes(&seen.kubectl, &seen.installation) {
        Err(error) => check.fail(last_line(&format!("{error:#}"))).remedy("sallyport upgrade --values FILE says more"),
        Ok(Changes { lines, left_out, .. }) => {
            let plain = |line: &String| match line.split_once(' ').map(|(change, what)| (change, what.trim())) {
                Some(("added", what)) => format!("{what} is missing"),
                Some(("changed", what)) => format!("{what} is not as this version has it"),
                Some((_, what)) => format!("{what} is of Sallyport and is no longer installed"),
                None => line.clone(),
            };
            let again = "sallyport upgrade --values FILE shows what changes and what to delete; pipe it into kubectl apply -f -";
            let by_hand = left_out.iter().map(|one| one.line.as_str());
            let changed = lines.iter().filter(|line| !elsewhere(line)).map(plain).collect::<Vec<_>>();
            let remedies = (!changed.is_empty()).then_some(again).into_iter().chain(by_hand).collect::<Vec<_>>();
            check
                .fail_each(changed)
                .fail_each(left_out.iter().map(|one| one.sentence.clone()))
                .remedy(remedies.join("; then "))
        }
    }
}

fn running(seen: &Seen) -> Check {
    let mut check = Check::new("running");
    let what =
        ["get", "deployments,statefulsets", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=sallyport", "-o", "json"];
    let found = match seen.kubectl.json(&what) {
        Ok(found) => found,
        Err(error) => return check.fail(last_line(&format!("{error:#}"))),
    };
    let mut names = vec!["sallyport-agent", "sallyport-injector"];
    if seen.settings.has_control_plane() {
        names.push("sallyport-control-plane");
    }
    for name in names {
        let Some(one) = list(&found, "/items").find(|one| text(one, "/metadata/name") == name) else {
            check = check.fail(format!("{name} is not there"));
            continue;
        };
        let count = |pointer: &str| one.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let (wanted, ready) = (count("/spec/replicas"), count("/status/readyReplicas"));
        let (updated, observed) = (count("/status/updatedReplicas"), count("/status/observedGeneration"));
        check = if ready == 0 {
            check.fail(format!("{name}: none of {wanted} is ready"))
        } else if ready < wanted || updated < wanted || observed < count("/metadata/generation") {
            check.warn(format!("{name}: {ready} of {wanted} are ready, {updated} of this version"))
        } else {
            check.note(format!("{name}: {ready} of {wanted}"))
        };
    }
    check.remedy(format!("kubectl -n {NAMESPACE} get pods, and describe and logs of what is not ready"))
}
