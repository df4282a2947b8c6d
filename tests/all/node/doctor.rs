//! `sallyport doctor` on a real node: green after an installation, red after a policy is deleted, green when it is back.

use serde_json::Value;
use tests::cluster::Namespace;
use tests::node::eventually;

use super::installed::{Installed, sallyport};

/// The report, with the Pod that tries the network in this namespace.
fn doctor(on: &Installed, namespace: &str) -> (Value, Option<i32>) {
    let output = sallyport(on.node, &["doctor", "--namespace", namespace, "-o", "json"]);
    let report = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, output.code)
}

/// What is red or was left out. Whether others' sidecars find ways open is these others' story, which runs beside this one.
fn wrong(report: &Value) -> Vec<Value> {
    let checks = report["checks"].as_array().expect("checks").iter();
    let bad = |check: &&Value| check["outcome"] == "failed" || check["outcome"] == "left-out";
    checks.filter(bad).filter(|check| check["id"] != "sidecars").cloned().collect()
}

fn ids(checks: &[Value]) -> Vec<&str> {
    checks.iter().filter_map(|check| check["id"].as_str()).collect()
}

fn nothing_is_left(on: &Installed, namespace: &Namespace) {
    eventually(|| {
        let pods = on.node.get_json(&["-n", namespace, "pods"]);
        let left = pods["items"].as_array().is_some_and(|pods| !pods.is_empty());
        if left { Err(pods.to_string()) } else { Ok(()) }
    });
}

#[test]
fn doctor_is_green_after_an_installation_and_red_after_a_policy_is_gone() {
    let Some(on) = Installed::get() else { return };
    let _alone = on.to_change();
    let namespace = on.node.namespace("doctor");
    let green = |what: &str| {
        let (report, code) = eventually(|| {
            let (report, code) = doctor(on, &namespace);
            let wrong = wrong(&report);
            if wrong.is_empty() { Ok((report, code)) } else { Err(format!("{what}: {wrong:#?}")) }
        });
        let check = |id: &str| {
            let found = report["checks"].as_array().and_then(|all| all.iter().find(|check| check["id"] == id)).cloned();
            found.unwrap_or_else(|| panic!("no {id}"))
        };
        assert!(check("enforced")["found"].to_string().contains("ways tried from a Pod in"), "{report}");
        assert!(check("whole-path")["found"].to_string().contains("GET /version was answered"), "{report}");
        assert!(code == Some(0) || check("sidecars")["outcome"] == "failed", "{report}");
    };
    green("after the installation");

    // The agents may be reached by anybody: nothing of that shows in a Pod that tries its way out.
    let policy = on.node.get_json(&["-n", "sallyport", "ciliumnetworkpolicy", "sallyport-nothing"]);
    on.node.admin(&["-n", "sallyport", "delete", "ciliumnetworkpolicy", "sallyport-nothing"]);
    let gone = "CiliumNetworkPolicy sallyport-nothing in sallyport is missing";
    let (report, code) = doctor(on, &namespace);
    assert_eq!(code, Some(1));
    assert!(ids(&wrong(&report)).contains(&"policies") && report.to_string().contains(gone), "{report}");
    // And without doctor, on a cluster where nobody does anything: within a minute.
    let alarms = eventually(|| {
        let alarms = on.json(&["sessions", "alarms"]).to_string();
        if alarms.contains(gone) { Ok(alarms) } else { Err(alarms) }
    });
    assert!(alarms.contains("\"changed\""), "{alarms}");
    let mut back = policy;
    back["metadata"] = serde_json::json!({
        "name": "sallyport-nothing", "namespace": "sallyport", "labels": {"app.kubernetes.io/part-of": "sallyport"},
    });
    on.node.apply(&back.to_string());
    green("when it is back");

    // A policy that is there and does not hold: somebody else's opens everything, for this namespace alone.
    on.node.apply(&format!(
        "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: careless, namespace: {namespace}}}
spec:
  endpointSelector: {{}}
  egress: [{{toEntities: [all]}}]
",
        namespace = &*namespace
    ));
    let (report, _) = doctor(on, &namespace);
    let wrong = wrong(&report);
    assert_eq!(ids(&wrong), ["enforced"], "{wrong:#?}");
    assert!(report.to_string().contains("reaches the API server's Service at 10.96.0.1:443"), "{report}");
    nothing_is_left(on, &namespace);
}
