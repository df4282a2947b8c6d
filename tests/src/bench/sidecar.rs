//! The sidecar as it ships (profile `small`): its size, its memory, and the time from its start to the first byte that it carried.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared_net::tasks::TaskSet;

use super::client::{Client, Place};
use super::contestants::{Contestants, sidecar_place};
use super::machine::{memory, micros_since, now, on_cores};
use super::report::{Better, Metric, Report};
use super::stats::{median, percentile};
use super::{Extent, progress};
use crate::kubectl::Version;

/// Milliseconds that kubectl takes to say its version on the machine on which the target of a start was set.
const KUBECTL_MS: f64 = 35.0;
/// What a start may take there.
const START_MS: f64 = 10.0;
/// Between two looks at whether it listens.
const LOOK: Duration = Duration::from_micros(200);

/// Starts it again and again.
///
/// # Errors
/// It does not come up.
pub(super) async fn measure(
    field: &Contestants,
    program: &Path,
    path: &str,
    folder: &Path,
    extent: &Extent,
    report: &mut Report,
) -> Result<()> {
    let bytes = std::fs::metadata(program).with_context(|| format!("{} is not built", program.display()))?.len();
    report.add(Metric::new("sidecar_binary", bytes as f64 / 1e6, "MB", Better::Lower).target(7.0).goal(6.0));
    let tasks = TaskSet::new();
    let (mut serving, mut times, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut kubectl) = (Vec::new(), Vec::new());
    for start in 0..extent.starts {
        progress(&format!("start of a sidecar: {} of {}", start + 1, extent.starts));
        let files = folder.join(format!("sidecar-{start}"));
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // A pod has one sidecar, so each start is of another pod.
        let command = field.stack.another_sidecar(&format!("start-{start}"), program, address, &files);
        let begun = now();
        let child = Started::new(command, address)?;
        let place = listens(&child, &files).await?;
        serving.push(micros_since(begun) / 1e3);
        let mut client = Client::connect(&place, &tasks).await?;
        client.read(path).await?;
        times.push(micros_since(begun) / 1e3);
        busy.push(on_cores(child.child.id())?.as_secs_f64() * 1e3);
        drop(client);
        kubectl.push(start_of_kubectl()?);
        // Idle: one client came and went.
        tokio::time::sleep(Duration::from_millis(100)).await;
        idle.push(memory(child.child.id(), "VmRSS")? / 1e6);
    }
    let metric = |name: &str, value, unit| Metric::new(name, value, unit, Better::Lower);
    report.add(metric("sidecar_start_to_first_byte_p50", median(&times), "ms").target(START_MS).goal(START_MS));
    // The same target on every machine.
    let share = metric("sidecar_start_vs_kubectl_version", median(&times) / median(&kubectl), "x");
    report.add(share.target(START_MS / KUBECTL_MS).goal(START_MS / KUBECTL_MS));
    report.add(metric("sidecar_start_to_first_byte_p99", percentile(&times, 0.99), "ms"));
    // Its own part of it. The rest is a handshake, a session (whose token the cluster reviews) and a read.
    report.add(metric("sidecar_start_to_serving_p50", median(&serving), "ms"));
    report.add(metric("sidecar_start_cpu", median(&busy), "ms").target(10.0).goal(10.0));
    report.add(metric("sidecar_memory_idle", median(&idle), "MB").target(8.0).goal(6.0));
    Ok(())
}

/// How long a kubectl that asks nobody anything takes from its start to its end, in milliseconds.
fn start_of_kubectl() -> Result<f64> {
    let begun = now();
    let mut command = Command::new(Version::Newest.program());
    command.args(["version", "--client"]).env_clear().env("HOME", "/nonexistent");
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        bail!("kubectl version --client: {status}");
    }
    Ok(micros_since(begun) / 1e3)
}

/// A sidecar that runs as long as the value lives.
pub(super) struct Started {
    child: Child,
    address: SocketAddr,
}

impl Started {
    pub(super) fn new(mut command: Command, address: SocketAddr) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, address })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for the token, which a sidecar writes last of its files, when its socket is bound already.
async fn listens(started: &Started, files: &Path) -> Result<Place> {
    for _ in 0..50_000 {
        if files.join("token").exists() {
            return sidecar_place(started.address, files);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the sidecar wrote no token within ten seconds")
}
