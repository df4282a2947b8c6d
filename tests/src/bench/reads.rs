//! One read after the other, and thirty-two at once: what each contestant adds to the time, takes of the processors, and lets through.

use std::time::{Duration, Instant};

use anyhow::Result;
use shared_net::tasks::TaskSet;

use super::contestants::{Contestants, Who};
use super::machine::{cpu, now};
use super::report::{Better, Metric, Report};
use super::stats::{Dice, median, minus, over_rounds, percentile, ratio};
use super::{Extent, progress};

/// Clients at once, where many are.
const CLIENTS: usize = 32;

/// What the rounds gave for one contestant, in microseconds.
#[derive(Debug, Default)]
struct Column {
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Microseconds of each process.
    cpu: Vec<f64>,
    reads: f64,
}

/// Which of its figures.
type Part = fn(&Column) -> &Vec<f64>;

/// Reads of one small object, one at a time.
///
/// # Errors
/// A contestant fails.
pub(super) async fn one_at_a_time(field: &Contestants, path: &str, extent: &Extent, report: &mut Report) -> Result<()> {
    let upstream = field.upstream.word;
    let real = upstream == "real";
    let (rounds, reads) = if real { (extent.rounds, extent.reads / 4) } else { (extent.rounds, extent.reads) };
    let tasks = TaskSet::new();
    let mut columns: Vec<(Who, Column)> = Who::ALL.into_iter().map(|who| (who, Column::default())).collect();
    let mut clients = Vec::new();
    for who in Who::ALL {
        let mut client = field.client(who, &tasks).await?;
        for _ in 0..reads / 4 {
            client.read(path).await?;
        }
        clients.push(client);
    }
    let mut order: Vec<usize> = (0..columns.len()).collect();
    let mut dice = Dice::new(u64::from(std::process::id()));
    for round in 0..rounds {
        progress(&format!("reads, {upstream} upstream: round {} of {rounds}", round + 1));
        dice.shuffle(&mut order);
        for index in &order {
            let (Some(client), Some((who, column))) = (clients.get_mut(*index), columns.get_mut(*index)) else {
                continue;
            };
            let pids = field.pids(*who);
            let before = used(&pids)?;
            let mut times = Vec::with_capacity(reads);
            for _ in 0..reads {
                times.push(client.read(path).await?.0);
            }
            let took = used(&pids)?.into_iter().zip(before).map(|(after, before)| after.saturating_sub(before));
            column.cpu.resize(pids.len(), 0.0);
            for (sum, took) in column.cpu.iter_mut().zip(took) {
                *sum += took.as_secs_f64() * 1e6;
            }
            column.reads += reads as f64;
            column.p50.push(percentile(&times, 0.5));
            column.p99.push(percentile(&times, 0.99));
        }
    }
    tasks.cancel();
    tell(upstream, &columns, report);
    Ok(())
}

fn tell(upstream: &str, columns: &[(Who, Column)], report: &mut Report) {
    let [(_, direct), (_, proxy), (_, chain), (_, ours)] = columns else { return };
    let gate = upstream == "canned";
    let added = |of: Part, who: &Column| minus(of(who), of(direct));
    let (p50, p99): (Part, Part) = (|column| &column.p50, |column| &column.p99);
    let mut gated = |name: &str, estimate, target: f64, goal: Option<f64>| {
        let mut metric = Metric::estimate(format!("read_{name}_{upstream}"), estimate, "x", Better::Lower);
        if gate {
            metric = metric.target(target);
            if let Some(goal) = goal {
                metric = metric.goal(goal);
            }
        }
        report.add(metric);
    };
    gated("added_p50_vs_bare_chain", ratio(&added(p50, ours), &added(p50, chain)), 1.6, Some(1.3));
    gated("added_p99_vs_kubectl_proxy", ratio(&added(p99, ours), &added(p99, proxy)), 1.0, Some(0.5));
    let per_read = |column: &Column| column.cpu.iter().sum::<f64>() / column.reads;
    let cpu = Metric::new(
        format!("read_cpu_vs_kubectl_proxy_{upstream}"),
        per_read(ours) / per_read(proxy),
        "x",
        Better::Lower,
    );
    report.add(if gate { cpu.target(1.5) } else { cpu });
    for (who, column) in columns {
        let name = |what: &str| format!("read_{what}_{upstream}_{}", who.word());
        if *who == Who::Direct {
            report.add(Metric::estimate(name("p50"), over_rounds(&column.p50), "µs", Better::Lower));
            report.add(Metric::estimate(name("p99"), over_rounds(&column.p99), "µs", Better::Lower));
        } else {
            report.add(Metric::estimate(name("added_p50"), over_rounds(&added(p50, column)), "µs", Better::Lower));
            report.add(Metric::estimate(name("added_p99"), over_rounds(&added(p99, column)), "µs", Better::Lower));
            report.add(Metric::new(name("cpu"), per_read(column), "µs", Better::Lower));
            // Of one process this would be the same figure again.
            for (part, sum) in who.processes().iter().zip(&column.cpu) {
                let name = format!("{}_{part}", name("cpu"));
                report.add(Metric::new(name, sum / column.reads, "µs", Better::Lower));
            }
        }
    }
}

/// Of each process.
fn used(pids: &[u32]) -> Result<Vec<Duration>> {
    pids.iter().map(|pid| cpu(*pid)).collect()
}

/// Thirty-two clients at once, each with the next read as soon as it has the last.
///
/// # Errors
/// A contestant fails.
pub(super) async fn many_at_once(field: &Contestants, path: &str, extent: &Extent, report: &mut Report) -> Result<()> {
    let tasks = TaskSet::new();
    let mut rates: Vec<(Who, Vec<f64>)> = Who::ALL.into_iter().map(|who| (who, Vec::new())).collect();
    let mut dice = Dice::new(u64::from(std::process::id()) + 1);
    for round in 0..extent.throughput_rounds {
        progress(&format!("{CLIENTS} reads at once: round {} of {}", round + 1, extent.throughput_rounds));
        dice.shuffle(&mut rates);
        for (who, rates) in &mut rates {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(field.client(*who, &tasks).await?);
            }
            let start = now();
            let until = start + extent.throughput;
            let runs = clients.iter_mut().map(|client| repeat(client, path, until));
            let reads: usize = futures_util::future::try_join_all(runs).await?.into_iter().sum();
            rates.push(reads as f64 / now().saturating_duration_since(start).as_secs_f64());
        }
    }
    tasks.cancel();
    let of = |wanted: Who| rates.iter().find(|(who, _)| *who == wanted).map_or(&[][..], |(_, rates)| rates.as_slice());
    for who in Who::ALL {
        if who == Who::Direct {
            report.add(Metric::new("rate_32_direct", median(of(who)), "/s", Better::Higher));
        } else {
            let name = format!("rate_32_vs_direct_{}", who.word());
            report.add(Metric::estimate(name, ratio(of(who), of(Who::Direct)), "x", Better::Higher));
        }
    }
    Ok(())
}

async fn repeat(client: &mut super::client::Client, path: &str, until: Instant) -> Result<usize> {
    let mut reads = 0;
    while now() < until {
        client.read(path).await?;
        reads += 1;
    }
    Ok(reads)
}
