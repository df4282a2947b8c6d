//! A thousand reads a second through everything, for a while: what the agent keeps in memory meanwhile.
//!
//! Open loop: each read has its moment, whether or not the ones before it are through. A machine that can't do so many falls behind, and
//! the rate that is told is the one that it did.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use shared_net::tasks::TaskSet;

use super::client::Client;
use super::contestants::{Contestants, Who};
use super::machine::{forget_peak, memory, now};
use super::report::{Better, Metric, Report};
use super::{Extent, progress};

/// Reads a second.
const RATE: u32 = 1000;
/// Connections that share them: so many reads can be late at once.
const CLIENTS: u32 = 64;

/// Reads, and looks at the agent.
///
/// # Errors
/// A read fails.
pub(super) async fn measure(field: &Contestants, path: &str, extent: &Extent, report: &mut Report) -> Result<()> {
    progress(&format!("{RATE} reads a second for {} s", extent.steady.as_secs()));
    let tasks = TaskSet::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(field.client(Who::Sallyport, &tasks).await?);
    }
    let agent = *field.pids(Who::Sallyport).get(2).context("the agent runs")?;
    let idle = memory(agent, "VmRSS")?;
    forget_peak(agent)?;
    let begun = now();
    let runs = clients.iter_mut().zip(0..).map(|(client, place)| in_turn(client, path, begun, place, extent.steady));
    let reads: u32 = futures_util::future::try_join_all(runs).await?.into_iter().sum();
    let rate = f64::from(reads) / now().saturating_duration_since(begun).as_secs_f64();
    let (peak, end) = (memory(agent, "VmHWM")?, memory(agent, "VmRSS")?);
    tasks.cancel();
    let metric = |name: &str, value| Metric::new(format!("steady_{name}"), value, "MB", Better::Lower);
    // A little less, for the last ones come in when the time is over.
    report.add(Metric::new("steady_reads", rate, "/s", Better::Higher).target(0.98 * f64::from(RATE)));
    report.add(metric("agent_memory_before", idle / 1e6));
    report.add(metric("agent_memory_peak", peak / 1e6).target(20.0));
    report.add(metric("agent_memory_after", end / 1e6));
    Ok(())
}

/// Every so manyth of the reads, each at its moment or, where that is past, at once; gives how many were done by the end.
async fn in_turn(client: &mut Client, path: &str, begun: Instant, place: u32, until: Duration) -> Result<u32> {
    let mut reads = 0;
    let mut next = place;
    loop {
        let due = Duration::from_secs(1) / RATE * next;
        if due >= until || now().saturating_duration_since(begun) >= until {
            return Ok(reads);
        }
        tokio::time::sleep_until((begun + due).into()).await;
        client.read(path).await?;
        reads += 1;
        next += CLIENTS;
    }
}
