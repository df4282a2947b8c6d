//! The control plane's own word (`GET /v1/status`), judged here.

use serde_json::Value;
use shared::time::Timestamp;

use super::check::{Check, Report};
use super::cluster::{Seen, judge};
use super::{Question, Status, certificates, last_line, list, text};
use crate::install::NAMESPACE;

/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Bytes below which there is no room: some hours of a busy control plane, and what SQLite needs to tidy up.
const NO_ROOM: u64 = 200 * 1024 * 1024;
/// Bytes below which somebody should know.
const LITTLE_ROOM: u64 = 1024 * 1024 * 1024;
/// Pods that are named one by one.
const NAMED: usize = 5;

pub(super) fn look(question: &Question, seen: Option<&Seen>, report: &mut Report) {
    let check = Check::new("answers");
    let asked = question.clock.now();
    let status = match &question.status {
        Status::Asked(answer) => answer.clone(),
        Status::InItsPod => match seen {
            Some(seen) if seen.settings.has_control_plane() => in_its_pod(seen),
            Some(_) | None => {
                let remedy = "say where it is: --server URL with --ca and --token-file, or --socket PATH";
                report.push(check.leave_out("nobody said where the control plane is").remedy(remedy));
                return;
            }
        },
    };
    let status = match status {
        Ok(status) => status,
        Err(why) => {
            let remedy = "does it run, and does your credential count? kubectl -n sallyport logs sallyport-control-plane-0, /readyz on its port 9090";
            report.push(check.fail(why).remedy(remedy));
            return;
        }
    };
    let version = text(&status, "/version");
    report.push(versions(check, "it", &[version.to_owned()]).remedy("bring both to one version: sallyport upgrade"));
    let now = Timestamp(status.get("now").and_then(Value::as_u64).unwrap_or_default());
    let off = asked.since(now).max(now.since(question.clock.now()));
    let remedy = "let both machines follow one time server";
    report.push(judge(Check::new("clock"), "its clock and this machine's", off).remedy(remedy));
    report.push(store(&status));
    report.push(space(&status));
    report.push(own_certificates(&status, question.clock.now()));
    report.push(policy(&status));
    report.push(approvals(&status));
    report.push(agents(&status, seen.map(|seen| seen.settings.cluster())));
    report.push(sidecars(&status));
    report.push(watched(&status));
}

/// Asks it where it runs: whoever may exec into its Pod has its database anyway.
fn in_its_pod(seen: &Seen) -> Result<Value, String> {
    let arguments =
        ["exec", "sallyport-control-plane-0", "-n", NAMESPACE, "-c", "control-plane", "--", "/sallyport", "status"];
    seen.kubectl.json(&arguments).map_err(|error| last_line(&format!("{error:#}")))
}

/// Whether these are of this program's version.
fn versions(check: Check, whose: &str, versions: &[String]) -> Check {
    let others: Vec<_> = versions.iter().filter(|version| *version != VERSION).map(String::as_str).collect();
    if others.is_empty() {
        check.note(format!("version {VERSION}"))
    } else {
        check.warn(format!("{whose}: version {}; this program is {VERSION}", others.join(", ")))
    }
}

fn store(status: &Value) -> Check {
    let check = Check::new("store");
    if status.pointer("/store/writable") == Some(&Value::Bool(true)) {
        return check.note("a durable write was made");
    }
    check
        .fail("it does not, so every operation is refused")
        .remedy("is the disk full or read-only, or the volume gone? The control plane's log says what SQLite said")
}

fn space(status: &Value) -> Check {
    let check = Check::new("space");
    let bytes = |key: &str| status.pointer(&format!("/store/space/{key}")).and_then(Value::as_u64);
    let (Some(free), Some(all)) = (bytes("free"), bytes("all")) else {
        return check.leave_out("its file system does not say how much is free");
    };
    let said = format!("{} of {} free", size(free), size(all));
    // A tenth, or what is enough anyway.
    let check = if free < NO_ROOM {
        check.fail(said)
    } else if free < LITTLE_ROOM && free < all / 10 * 3 || free < all / 10 {
        check.warn(said)
    } else {
        check.note(said)
    };
    check.remedy("make the volume larger (a PersistentVolumeClaim of a class with allowVolumeExpansion can be edited), or move old records away")
}

fn size(bytes: u64) -> String {
    match bytes / (1024 * 1024) {
        megabytes @ 0..=10_239 => format!("{megabytes} MiB"),
        megabytes => format!("{} GiB", megabytes / 1024),
    }
}

fn own_certificates(status: &Value, now: Timestamp) -> Check {
    let mut check = Check::new("certificates");
    for (key, what) in [("certificate", "what it shows"), ("authority", "its authority")] {
        let said = status.get(key).and_then(certificates::said);
        check = certificates::ages(check, what, said, now);
    }
    let Some(vouched) = status.get("authorityBefore").and_then(certificates::said) else {
        return check.remedy(
            "it renews its certificate every week by itself: its log says why it did not; the authority is for ten years",
        );
    };
    check
        .warn(format!("the authority before is trusted too, since {}: whoever has its key can play the control plane", vouched.from))
        .remedy(
            "when all agents and Pods from before have ended or pin the new one: sallyport upgrade --rotate control-plane-ca once more, or sallyport ca finish",
        )
}

fn policy(status: &Value) -> Check {
    let mut check = Check::new("policy");
    if status.pointer("/policy/closed") == Some(&Value::Bool(true)) {
        check = check.fail("no policy is in force, so everything is refused");
    }
    let mistakes = list(status, "/policy/refused").filter_map(Value::as_str);
    check
        .fail_each(mistakes.map(|mistake| format!("the newest file is refused: {mistake}")))
        .remedy("mend the file: sallyport policy check FILE")
}

fn approvals(status: &Value) -> Check {
    let check = Check::new("approvals");
    let check = if status.pointer("/approvals/singleLocalVote") == Some(&Value::Bool(true)) {
        check.warn("one vote over its local socket is enough (dangerSingleLocalVote): nobody proves to be another person than the asker")
    } else {
        check
    };
    check
        .warn("agents have no approvers.yaml: who holds the control plane could approve by itself")
        .remedy("keep the control plane's machine and volume as safe as the cluster's administrators' credentials")
}

fn agents(status: &Value, ours: Option<&str>) -> Check {
    let mut check = Check::new("agents");
    if let Some(ours) = ours.filter(|ours| !list(status, "/clusters").any(|cluster| text(cluster, "/name") == *ours)) {
        check = check.fail(format!(
            "{ours}: it does not know this cluster, so nobody of it is let in: `sallyport clusters list` there shows which it knows"
        ));
    }
    for cluster in list(status, "/clusters") {
        let name = text(cluster, "/name");
        let agents: Vec<_> = list(cluster, "/agents").collect();
        let heard = agents.iter().filter(|agent| agent.get("heard") == Some(&Value::Bool(true))).count();
        check = match heard {
            0 => check.fail(format!("{name}: none is connected, so every call to it is refused with 503")),
            1 => check.warn(format!("{name}: one is connected; while it restarts, calls wait")),
            count => check.note(format!("{name}: {count} are connected")),
        };
        let over_tcp = agents.iter().filter(|agent| agent.get("overTcp") == Some(&Value::Bool(true))).count();
        if over_tcp > 0 {
            check = check.warn(format!(
                "{name}: {over_tcp} came over TCP because UDP was not answered: that works, and is slower where packets are lost; let \
                 UDP 7443 through"
            ));
        }
        let mut known: Vec<_> = agents.iter().map(|agent| text(agent, "/version").to_owned()).collect();
        known.sort();
        known.dedup();
        if !known.is_empty() {
            check = versions(check, name, &known);
        }
    }
    check.remedy("kubectl -n sallyport get pods -l app.kubernetes.io/name=sallyport-agent, and their logs: an agent says why it is not let in")
}

fn sidecars(status: &Value) -> Check {
    let mut check = Check::new("sidecars");
    let count = |key: &str| status.pointer(&format!("/sidecars/{key}")).and_then(Value::as_u64).unwrap_or(0);
    check = check.note(format!("{} connected, {} of them find every way shut", count("connected"), count("shut")));
    for sidecar in list(status, "/sidecars/list").filter(|one| list(one, "/probe/open").next().is_some()).take(NAMED) {
        let open: Vec<_> = list(sidecar, "/probe/open")
            .map(|way| format!("{} {}", text(way, "/way"), text(way, "/address")))
            .collect();
        let place = format!("{} in {}", text(sidecar, "/pod"), text(sidecar, "/cluster"));
        check = check.fail(format!("{place} reaches {}", open.join(", ")));
    }
    if count("open") > NAMED as u64 {
        check =
            check.fail(format!("and {} more: sallyport sessions alarms", count("open").saturating_sub(NAMED as u64)));
    }
    if count("untried") > 0 {
        check = check.warn(format!("{} have not tried: they just came, or are no Pods", count("untried")));
    }
    let versions: Vec<_> =
        status.pointer("/sidecars/versions").and_then(Value::as_object).into_iter().flatten().collect();
    for (version, count) in versions.into_iter().filter(|(version, _)| *version != VERSION) {
        check = check.warn(format!("{count} are of version {version}: their Pods were started before an upgrade"));
    }
    check.remedy("sallyport sessions alarms names them; look at the network policies of their namespaces")
}

fn watched(status: &Value) -> Check {
    let mut check = Check::new("watched");
    for cluster in list(status, "/clusters") {
        let name = text(cluster, "/name");
        let number = |key: &str| cluster.pointer(&format!("/guard/{key}")).and_then(Value::as_u64);
        let complaints = list(cluster, "/guard/complaints").filter_map(Value::as_str);
        check = check.fail_each(complaints.map(|complaint| format!("{name}: {complaint}")));
        let error = text(cluster, "/guard/error");
        check = match (number("at"), number("objects")) {
            (_, _) if !error.is_empty() => check.fail(format!("{name}: it can't be looked at: {error}")),
            (None, _) => check.warn(format!("{name}: nobody has looked yet")),
            (Some(_), Some(0) | None) => check.warn(format!("{name}: its agents were not told what was installed")),
            (Some(at), Some(objects)) => check.note(format!("{name}: {objects} objects, last at {}", Timestamp(at))),
        };
    }
    check.remedy("put back what was changed (it is an alarm meanwhile: sallyport sessions alarms); sallyport upgrade --values FILE tells agents what to watch")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn room() {
        let outcome =
            |free: u64, all: u64| space(&json!({"store": {"space": {"free": free << 20, "all": all << 20}}})).outcome();
        assert_eq!(outcome(8000, 10_000), Outcome::Ok);
        assert_eq!(outcome(900, 1000), Outcome::Ok);
        assert_eq!(outcome(900, 10_000), Outcome::Warning);
        assert_eq!(outcome(9000, 100_000), Outcome::Warning);
        assert_eq!(outcome(100, 10_000), Outcome::Failed);
        assert_eq!(space(&json!({"store": {"space": null}})).outcome(), Outcome::LeftOut);
    }

    #[test]
    fn two_trusted_authorities_are_a_warning() {
        let life = json!({"from": 0, "until": 4_000_000_000_000_u64});
        let status = |before: Value| json!({"certificate": life, "authority": life, "authorityBefore": before});
        let outcome = |before: Value| own_certificates(&status(before), Timestamp(1_700_000_000_000)).outcome();
        assert_eq!(outcome(Value::Null), Outcome::Ok);
        assert_eq!(outcome(life.clone()), Outcome::Warning);
    }

    /// Each thing that can be wrong, and the sentence for it.
    #[test]
    fn what_is_wrong_is_said() {
        let way = json!({"way": "kubelet", "address": "192.0.2.1:10250"});
        let sidecar = |probe: Value| json!({"pod": "ci/job", "cluster": "test", "version": VERSION, "probe": probe});
        let open = json!({"sidecars": {"connected": 2, "shut": 1, "open": 1, "versions": {"0.0.1": 1},
            "list": [sidecar(json!({"open": [way]})), sidecar(json!({"open": []}))]}});
        let agent = |version: &str, heard: bool| json!({"version": version, "heard": heard});
        let agents_of = |all: Value| agents(&json!({"clusters": [{"name": "test", "agents": all}]}), Some("test"));
        let guard = |guard: Value| watched(&json!({"clusters": [{"name": "test", "guard": guard}]}));
        let said = |check: &Check| serde_json::to_string(check).unwrap();
        for (check, outcome, words) in [
            (store(&json!({"store": {"writable": false}})), Outcome::Failed, "every operation is refused"),
            (policy(&json!({"policy": {"closed": true, "refused": []}})), Outcome::Failed, "everything is refused"),
            (
                policy(&json!({"policy": {"closed": false, "refused": ["rules[0]: no"]}})),
                Outcome::Failed,
                "rules[0]: no",
            ),
            (approvals(&json!({})), Outcome::Warning, "no approvers.yaml"),
            (
                approvals(&json!({"approvals": {"singleLocalVote": true}})),
                Outcome::Warning,
                "one vote over its local socket",
            ),
            (agents_of(json!([])), Outcome::Failed, "test: none is connected"),
            (agents_of(json!([agent(VERSION, false)])), Outcome::Failed, "test: none is connected"),
            (agents_of(json!([agent(VERSION, true)])), Outcome::Warning, "test: one is connected"),
            (agents_of(json!([agent(VERSION, true), agent("0.0.1", true)])), Outcome::Warning, "version 0.0.1"),
            (
                agents_of(json!([agent(VERSION, true), {"version": VERSION, "heard": true, "overTcp": true}])),
                Outcome::Warning,
                "test: 1 came over TCP",
            ),
            (agents_of(json!([agent(VERSION, true), agent(VERSION, true)])), Outcome::Ok, "test: 2 are connected"),
            (agents(&json!({"clusters": []}), Some("test")), Outcome::Failed, "does not know this cluster"),
            (sidecars(&open), Outcome::Failed, "ci/job in test reaches kubelet 192.0.2.1:10250"),
            (sidecars(&open), Outcome::Failed, "1 are of version 0.0.1"),
            (sidecars(&json!({"sidecars": {"connected": 1, "untried": 1}})), Outcome::Warning, "1 have not tried"),
            (sidecars(&json!({"sidecars": {"connected": 0}})), Outcome::Ok, "0 connected"),
            (guard(json!({"at": null, "objects": 0})), Outcome::Warning, "nobody has looked yet"),
            (guard(json!({"at": 1, "objects": 0})), Outcome::Warning, "were not told"),
            (guard(json!({"at": 1, "objects": 9, "error": "no agent"})), Outcome::Failed, "no agent"),
            (
                guard(json!({"at": 1, "objects": 9, "complaints": ["Role x is missing"]})),
                Outcome::Failed,
                "test: Role x is missing",
            ),
            (guard(json!({"at": 1, "objects": 9})), Outcome::Ok, "9 objects"),
        ] {
            assert!(check.outcome() == outcome && said(&check).contains(words), "{words}: {}", said(&check));
        }
    }
}
