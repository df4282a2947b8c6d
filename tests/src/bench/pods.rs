//! What a sidecar adds to the start of a Pod, on a real node: the same Pod with the annotation and without, in turn, from its creation to the
//! first act of its own container.
//!
//! That act is to print the machine's time since boot, a hundredth of a second fine, which is the same in every container and never set.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::limits;
use shared_net::body::collect_bounded;
use shared_net::tasks::TaskSet;

use super::client::{Client, Place, trusting};
use super::report::{Better, Metric, Report};
use super::stats::{Dice, minus, over_rounds};
use super::{Extent, progress};
use crate::cluster::Cluster;
use crate::node::{Node, RUNNER};

const NAMESPACE: &str = "bench-pods";
/// Between two looks whether a Pod has ended; nothing that counts is measured by it.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);
/// Looks at one Pod.
const LOOKS: usize = 1200;

/// Starts Pods, on a node on which Sallyport is installed.
///
/// # Errors
/// A Pod does not end well, or the annotation brings no sidecar.
pub(super) async fn measure(folder: &Path, extent: &Extent, report: &mut Report) -> Result<()> {
    let node = Node::beside(folder);
    prepare(node);
    let tasks = TaskSet::new();
    let facts = node.facts();
    let place = Place {
        address: facts.server.trim_start_matches("https://").parse().context("where the API server is")?,
        tls: Some(trusting(&facts.ca)?),
        token: Some(node.token(NAMESPACE, "bench", None, None)),
    };
    let mut client = Client::connect(&place, &tasks).await?;
    let (mut plain, mut injected) = (Vec::new(), Vec::new());
    let mut dice = Dice::new(u64::from(std::process::id()));
    // The first round finds everything cold and does not count.
    for round in 0..=extent.pods {
        progress(&format!("Pods: round {round} of {}", extent.pods));
        let mut order = [false, true];
        dice.shuffle(&mut order);
        for with in order {
            let name = format!("pod-{round}-{}", if with { "injected" } else { "plain" });
            let took = start(&mut client, &name, with).await.with_context(|| name.clone())?;
            if round > 0 {
                if with { &mut injected } else { &mut plain }.push(took);
            }
        }
    }
    tasks.cancel();
    node.admin(&["delete", "namespace", NAMESPACE, "--wait=false"]);
    let told = |name: &str, rounds: &[f64]| {
        Metric::estimate(format!("pod_start_{name}"), over_rounds(rounds), "ms", Better::Lower)
    };
    report.add(told("added", &minus(&injected, &plain)).target(300.0));
    report.add(told("injected", &injected));
    report.add(told("plain", &plain));
    Ok(())
}

fn prepare(cluster: &Cluster) {
    cluster.apply(&format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: bench, namespace: {NAMESPACE}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: bench, namespace: {NAMESPACE}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}
subjects: [{{kind: ServiceAccount, name: bench, namespace: {NAMESPACE}}}]
"
    ));
    let wait = ["-n", NAMESPACE, "wait", "--for=create", "serviceaccount/default", "--timeout=30s"];
    cluster.admin(&wait);
}

/// Milliseconds from the request that creates it to what its container prints.
async fn start(client: &mut Client, name: &str, with: bool) -> Result<f64> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"sallyport.dev/inject": with.to_string()}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "job", "image": RUNNER, "imagePullPolicy": "Never", "command": ["cat", "/proc/uptime"],
            }],
        },
    });
    let all = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let path = format!("{all}/{name}");
    let begun = since_boot(&std::fs::read_to_string("/proc/uptime")?)?;
    let created = call(client, Method::POST, &all, pod.to_string().into()).await?;
    let has = serde_json::from_slice::<Value>(&created)?.pointer("/spec/initContainers/0").is_some();
    if has != with {
        bail!("annotated: {with}, and with a sidecar: {has}: is Sallyport installed there?");
    }
    let mut looks = 0;
    loop {
        let pod: Value = serde_json::from_slice(&call(client, Method::GET, &path, Bytes::new()).await?)?;
        match pod.pointer("/status/phase").and_then(Value::as_str) {
            Some("Succeeded") => break,
            Some("Failed") => bail!("it failed: {}", pod.pointer("/status").unwrap_or(&Value::Null)),
            _ if looks == LOOKS => bail!("it has not ended: {}", pod.pointer("/status").unwrap_or(&Value::Null)),
            _ => looks += 1,
        }
        tokio::time::sleep(LOOK).await;
    }
    let said = call(client, Method::GET, &format!("{path}/log?container=job"), Bytes::new()).await?;
    let acted = since_boot(std::str::from_utf8(&said)?)?;
    call(client, Method::DELETE, &path, Bytes::new()).await?;
    Ok((acted - begun) * 1e3)
}

async fn call(client: &mut Client, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
    let what = format!("{method} {path}");
    let response = client.send(method, path, body).await?;
    let status = response.status();
    let body = collect_bounded(response.into_body(), limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT).await?;
    if status != StatusCode::OK && status != StatusCode::CREATED {
        bail!("{what}: {status} {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// Seconds, as `/proc/uptime` begins.
fn since_boot(text: &str) -> Result<f64> {
    let first = text.split_whitespace().next().context("it says nothing")?;
    first.parse().with_context(|| format!("{first:?} is no time"))
}
