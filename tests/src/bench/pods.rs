//! What a sidecar adds to the start of a Pod, on a real node: the same Pod with the annotation and without, in turn, from its creation to the
//! first act of its own container. The kubelet looks after its containers once a second, so that any native sidecar costs a good part of
//! one; what of it is ours is seen beside a bare sidecar, which does nothing and is ready at once.
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
/// Name of our sidecar's container.
const SIDECAR: &str = "sallyport";
/// Between two looks whether a Pod has ended; nothing that counts is measured by it.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);
/// Looks at one Pod.
const LOOKS: usize = 1200;

/// What stands beside the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    BareSidecar,
    Ours,
}

impl Beside {
    const ALL: [Self; 3] = [Self::Nothing, Self::BareSidecar, Self::Ours];

    const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "plain",
            Self::BareSidecar => "bare-sidecar",
            Self::Ours => "injected",
        }
    }

    /// The Pod as it is asked for.
    fn pod(self, name: &str) -> Value {
        let bare = json!([{
            "name": "bare", "image": RUNNER, "imagePullPolicy": "Never", "restartPolicy": "Always",
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 900 & wait"],
            "startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        }]);
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": {"sallyport.dev/inject": (self == Self::Ours).to_string()}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 2,
                "initContainers": if self == Self::BareSidecar { bare } else { json!([]) },
                "containers": [{
                    "name": "job", "image": RUNNER, "imagePullPolicy": "Never", "command": ["cat", "/proc/uptime"],
                }],
            },
        })
    }
}

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
    let mut columns = Beside::ALL.map(|beside| (beside, Vec::new()));
    let mut dice = Dice::new(u64::from(std::process::id()));
    // The first round finds everything cold and does not count.
    for round in 0..=extent.pods {
        progress(&format!("Pods: round {round} of {}", extent.pods));
        dice.shuffle(&mut columns);
        for (beside, column) in &mut columns {
            let name = format!("pod-{round}-{}", beside.word());
            let took = start(&mut client, &name, *beside).await.with_context(|| name.clone())?;
            if round > 0 {
                column.push(took);
            }
        }
    }
    tasks.cancel();
    node.admin(&["delete", "namespace", NAMESPACE, "--wait=false"]);
    let of = |wanted: Beside| columns.iter().find(|(beside, _)| *beside == wanted).map_or(&[][..], |(_, all)| all);
    let (plain, bare, ours) = (of(Beside::Nothing), of(Beside::BareSidecar), of(Beside::Ours));
    let told = |name: &str, rounds: &[f64]| {
        Metric::estimate(format!("pod_start_{name}"), over_rounds(rounds), "ms", Better::Lower)
    };
    report.add(told("added", &minus(ours, plain)).target(300.0));
    report.add(told("added_by_a_bare_sidecar", &minus(bare, plain)));
    report.add(told("added_to_a_bare_sidecar", &minus(ours, bare)));
    report.add(told("injected", ours));
    report.add(told("plain", plain));
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
async fn start(client: &mut Client, name: &str, beside: Beside) -> Result<f64> {
    let all = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let path = format!("{all}/{name}");
    let begun = since_boot(&std::fs::read_to_string("/proc/uptime")?)?;
    let created = call(client, Method::POST, &all, beside.pod(name).to_string().into()).await?;
    let created: Value = serde_json::from_slice(&created)?;
    let sidecar = created.pointer("/spec/initContainers/0/name").and_then(Value::as_str);
    if (sidecar == Some(SIDECAR)) != (beside == Beside::Ours) {
        bail!("its sidecar is {sidecar:?}: is Sallyport installed there?");
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
