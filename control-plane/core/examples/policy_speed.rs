//! Microseconds per decision under a policy of a thousand rules: `cargo run --release -p control-plane-core --example policy_speed`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement for a person, not part of any process"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use control_plane_core::identity::Identity;
use control_plane_core::policy::{Body, Live, Policy, Question, SessionFacts, decide};
use control_plane_core::request_info::RequestInfo;
use serde_json::{Value, json};

const ROUNDS: u32 = 20_000;

fn info(verb: &str, group: &str, resource: &str, name: &str) -> RequestInfo {
    serde_json::from_value(json!({
        "isResourceRequest": true, "nonResourcePath": "", "verb": verb, "apiGroup": group, "apiVersion": "v1",
        "namespace": "default", "resource": resource, "subresource": "", "name": name, "proxyPath": ""
    }))
    .unwrap()
}

fn main() {
    let identity: Identity = serde_json::from_value(json!({
        "pod": {"cluster": "prod", "namespace": "ci", "serviceAccount": "builder", "pod": "p", "podUid": "u"}, "expires": 0
    }))
    .unwrap();
    let mut text = "apiVersion: sallyport.dev/v1alpha1\nrules:\n".to_owned();
    for number in 0..990 {
        writeln!(text, "- {{name: r{number}, match: {{apiGroups: [g{number}.example], resources: [things{number}]}}, effect: hold}}").unwrap();
    }
    for number in 0..10 {
        writeln!(
            text,
            "- {{name: c{number}, match: {{resources: [configmaps], verbs: [create]}}, when: \"object.metadata.name == 'n{number}'\", \
             effect: deny}}"
        )
        .unwrap();
    }
    let started = Instant::now();
    let policy = Policy::parse(&text).unwrap();
    println!("load of 1000 rules                 {:>9.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example/web:1", "env": [{"name": "A", "value": "b"}]}]}}}});
    let cases: [(&str, RequestInfo, Option<&Value>); 4] = [
        ("get pods", info("get", "", "pods", "x"), None),
        ("get secrets", info("get", "", "secrets", "x"), None),
        ("create deployments", info("create", "apps", "deployments", ""), Some(&deployment)),
        ("create configmaps, 10 conditions", info("create", "", "configmaps", ""), Some(&deployment)),
    ];
    let session = SessionFacts::default();
    for (name, info, body) in &cases {
        let body = body.map_or(Body::Absent, |value| Body::Read { content_type: "application/json", value });
        let question = Question {
            info,
            identity: &identity,
            query: &[],
            body,
            live: Live::NotRead,
            session: &session,
            cluster: "prod",
        };
        let started = Instant::now();
        for _ in 0..ROUNDS {
            black_box(decide(&policy, black_box(&question), &|| false));
        }
        println!("{name:<34} {:>9.2} µs", started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
    }
}
