//! The injector: what a Pod's creation waits for it, from the review's first byte to the answer's last, over a connection as an API server
//! keeps one.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::machine::{micros_since, now};
use super::report::{Better, Metric, Report};
use super::stats::{median, percentile};
use super::{Extent, progress};
use crate::injector::{Server, Setup};

/// A Pod as CI systems make them: some containers, each with its variables and mounts.
fn pod() -> Value {
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    let env: Vec<Value> =
        (0..40).map(|n| json!({"name": format!("CI_VARIABLE_{n}"), "value": "some text of a job"})).collect();
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.com/ci/build:1", "env": env, "command": ["sh", "-c", "make"], "volumeMounts": [
            {"name": "repo", "mountPath": "/builds"}, {"name": "kube-api-access-x2x4z", "mountPath": path, "readOnly": true},
        ]})
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "runner", "namespace": "ci", "annotations": {"sallyport.dev/inject": "true"}},
        "spec": {
            "initContainers": [container("init-permissions")],
            "containers": [container("build"), container("helper"), container("svc-0")],
            "volumes": [{"name": "repo", "emptyDir": {}}, {"name": "kube-api-access-x2x4z", "projected": {"sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            ]}}],
        },
    })
}

/// Asks one after the other.
///
/// # Errors
/// It refuses.
pub(super) fn measure(extent: &Extent, report: &mut Report) -> Result<()> {
    progress("admission");
    let server = Server::start(&Setup::default());
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "ci", "object": pod(),
    }});
    let review = review.to_string();
    let mut line = server.connect();
    let mut times = Vec::new();
    for _ in 0..extent.reads.max(1000) {
        let begun = now();
        let (status, answer) = line.post("/mutate", review.as_bytes());
        times.push(micros_since(begun) / 1e3);
        ensure!(status == 200 && answer.windows(9).any(|part| part == b"JSONPatch"), "the Pod is not injected");
    }
    report.add(Metric::new("admission_p50", median(&times), "ms", Better::Lower));
    report.add(Metric::new("admission_p99", percentile(&times, 0.99), "ms", Better::Lower).target(5.0).goal(5.0));
    Ok(())
}
