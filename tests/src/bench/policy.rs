//! One decision under a policy of a thousand rules.

use std::fmt::Write as _;
use std::hint::black_box;

use anyhow::{Result, bail};
use control_plane_core::identity::Identity;
use control_plane_core::policy::{Body, Live, Policy, Question, SessionFacts, decide};
use control_plane_core::request_info::RequestInfo;
use serde_json::{Value, json};

use super::machine::{micros_since, now};
use super::progress;
use super::report::{Better, Metric, Report};
use super::stats::median;

const ROUNDS: usize = 20;
const DECISIONS: u32 = 1000;

/// Of each kind of request, microseconds per decision; what counts is the slowest.
///
/// # Errors
/// The policy is refused.
pub(super) fn measure(report: &mut Report) -> Result<()> {
    progress("policy of a thousand rules");
    let Ok(policy) = Policy::parse(&thousand_rules()?) else { bail!("the policy of the measurement is refused") };
    let identity: Identity = serde_json::from_value(json!({
        "pod": {"cluster": "bench", "namespace": "ci", "serviceAccount": "builder", "pod": "p", "podUid": "u"}, "expires": 0
    }))?;
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example/web:1", "env": [{"name": "A", "value": "b"}]}]}}}});
    let cases: [(RequestInfo, Option<&Value>); 4] = [
        (info("get", "", "pods")?, None),
        (info("get", "", "secrets")?, None),
        (info("create", "apps", "deployments")?, Some(&deployment)),
        // Ten rules with a condition fit this one.
        (info("create", "", "configmaps")?, Some(&deployment)),
    ];
    let session = SessionFacts::default();
    let mut slowest: f64 = 0.0;
    for (info, body) in &cases {
        let body = body.map_or(Body::Absent, |value| Body::Read { content_type: "application/json", value });
        let question = Question {
            info,
            identity: &identity,
            query: &[],
            body,
            live: Live::NotRead,
            session: &session,
            cluster: "bench",
        };
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = now();
            for _ in 0..DECISIONS {
                black_box(decide(&policy, black_box(&question), &|| false));
            }
            times.push(micros_since(start) / f64::from(DECISIONS));
        }
        let name = format!("policy_decision_{}_{}", info.verb.as_str(), info.resource);
        report.add(Metric::new(name, median(&times), "µs", Better::Lower));
        slowest = slowest.max(median(&times));
    }
    report.add(Metric::new("policy_decision_slowest", slowest, "µs", Better::Lower).target(20.0).goal(2.0));
    Ok(())
}

fn thousand_rules() -> Result<String> {
    let mut text = "apiVersion: sallyport.dev/v1alpha1\nrules:\n".to_owned();
    for number in 0..990 {
        writeln!(
            text,
            "- {{name: r{number}, match: {{apiGroups: [g{number}.example], resources: [things{number}]}}, effect: hold}}"
        )?;
    }
    for number in 0..10 {
        writeln!(
            text,
            "- {{name: c{number}, match: {{resources: [configmaps], verbs: [create]}}, when: \"object.metadata.name == 'n{number}'\", \
             effect: deny}}"
        )?;
    }
    Ok(text)
}

fn info(verb: &str, group: &str, resource: &str) -> Result<RequestInfo> {
    Ok(serde_json::from_value(json!({
        "isResourceRequest": true, "nonResourcePath": "", "verb": verb, "apiGroup": group, "apiVersion": "v1",
        "namespace": "default", "resource": resource, "subresource": "", "name": "x", "proxyPath": ""
    }))?)
}
