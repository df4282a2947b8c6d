//! Many sidecars at one control plane: what each costs it, and how soon all of them are back after it was killed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, StatusCode};
use shared_net::tasks::TaskSet;
use tokio::net::UnixStream;

use super::client::{Client, open};
use super::contestants::{Contestants, Who};
use super::holds::{call, wait_for_hold};
use super::machine::{memory, micros_since, now};
use super::report::{Better, Metric, Report};
use super::sidecar::Started;
use super::{Extent, progress};

/// Between two questions how many are there.
const LOOK: Duration = Duration::from_millis(50);

/// Starts them, counts, kills the control plane, starts it again, and counts until all are back. An operation that waits for people
/// meanwhile is approved at the end.
///
/// # Errors
/// They don't come, or don't come back, or the operation that was held does not go through.
pub(super) async fn measure(
    field: &mut Contestants,
    program: &Path,
    folder: &Path,
    extent: &Extent,
    report: &mut Report,
) -> Result<()> {
    let tasks = TaskSet::new();
    let held = hold(field, &tasks).await?;
    let before = memory(control_plane(field)?, "VmRSS")?;
    let pods: Vec<String> = (0..extent.crowd).map(|number| format!("crowd-{number}")).collect();
    field.stack.namespace().pods(&pods);
    let mut children = Vec::new();
    for (number, (pod, address)) in pods.iter().zip(addresses(pods.len())?).enumerate() {
        if number % 50 == 0 {
            progress(&format!("sidecars: {number} of {}", pods.len()));
        }
        let command = field.stack.sidecar_of(pod, program, address, &folder.join(pod));
        children.push(Started::new(command, address)?);
    }
    // With the stack's own.
    let all = children.len() + 1;
    wait_for(field, all, &tasks).await?;
    let each = (memory(control_plane(field)?, "VmRSS")? - before) / 1024.0 / children.len() as f64;

    progress(&format!("{all} sidecars come back"));
    field.stack.kill_control_plane();
    let begun = now();
    field.stack.start_control_plane();
    wait_for(field, all, &tasks).await?;
    let back = micros_since(begun) / 1e6;
    approve(field, &tasks, held).await?;
    tasks.cancel();
    report.add(Metric::new("crowd_sidecars", all as f64, "", Better::Higher));
    report.add(Metric::new("crowd_memory_each", each, "KiB", Better::Lower).target(60.0).goal(40.0));
    report.add(Metric::new("crowd_all_back_after_a_kill", back, "s", Better::Lower).target(10.0).goal(10.0));
    Ok(())
}

/// So many addresses that nobody listens on. All are chosen before the first is used: of a thousand ports drawn one by one some would be
/// drawn twice before their sidecars have them.
fn addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    Ok(held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}

fn control_plane(field: &Contestants) -> Result<u32> {
    field.pids(Who::Sallyport).get(1).copied().context("the control plane runs")
}

/// An operation that waits for people.
type Held = tokio::sync::oneshot::Receiver<Result<StatusCode>>;

async fn hold(field: &Contestants, tasks: &TaskSet) -> Result<Held> {
    let mut runner: Client = field.client(Who::Sallyport, tasks).await?;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts", &**field.stack.namespace());
    let body = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"crowd"}}"#;
    let (answer, answered) = tokio::sync::oneshot::channel();
    tasks.spawn("held", async move {
        let created = runner.send(Method::POST, &path, body.into()).await;
        drop(answer.send(created.map(|response| response.status())));
    });
    let mut approver = open(UnixStream::connect(field.stack.socket()).await?, tasks).await?;
    wait_for_hold(&mut approver).await?;
    Ok(answered)
}

async fn approve(field: &Contestants, tasks: &TaskSet, held: Held) -> Result<()> {
    let mut approver = open(UnixStream::connect(field.stack.socket()).await?, tasks).await?;
    let hold = wait_for_hold(&mut approver).await?;
    let (status, answer) = call(&mut approver, Method::POST, &format!("/v1/approvals/{hold}/approve")).await?;
    if status != StatusCode::OK {
        bail!("the vote was refused: {answer}");
    }
    match held.await.context("the job is gone")?? {
        // The canned upstream makes nothing.
        StatusCode::CREATED | StatusCode::OK => Ok(()),
        status => bail!("what was held ended with {status}"),
    }
}

/// Waits until so many sidecars have a session.
async fn wait_for(field: &Contestants, all: usize, tasks: &TaskSet) -> Result<()> {
    let mut approver = open(UnixStream::connect(field.stack.socket()).await?, tasks).await?;
    let mut connected = 0;
    for _ in 0..4000 {
        let (_, status) = call(&mut approver, Method::GET, "/v1/status").await?;
        connected = status.pointer("/sidecars/connected").and_then(serde_json::Value::as_u64).context("a count")?;
        if usize::try_from(connected)? >= all {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("{connected} of {all} sidecars are there")
}
