//! How fast, how big: everything that `scripts/bench` measures.
//!
//! Four contestants in front of the same upstream, in the same run, in random order per round: a direct client, `kubectl proxy`, a bare
//! chain of as many hops as ours, and Sallyport whole. What counts are ratios within a run; absolute numbers say more of the machine and
//! its neighbours than of any program. The upstream is once canned, which shows our own cost, and once the real API server.
//!
//! The other processes of a measurement are this program in another role: see [`role`].

mod admission;
mod bodies;
mod chain;
pub(crate) mod client;
mod contestants;
mod crowd;
mod helper;
mod holds;
pub(crate) mod listen;
pub mod machine;
mod masking;
mod masking_rivals;
mod pods;
mod policy;
mod reads;
pub mod report;
mod sidecar;
mod stats;
mod steady;
pub(crate) mod upstream;
mod watches;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use contestants::{Contestants, Who};
use machine::{Share, load, memory};
use report::{Better, Metric, Report};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rounds of reads, one at a time.
    pub rounds: usize,
    /// Reads of one contestant in a round; of the real API server a quarter.
    pub reads: usize,
    /// Rounds of reads, many at a time.
    pub throughput_rounds: usize,
    /// How long each contestant's turn is there.
    pub throughput: Duration,
    /// How long a thousand reads a second go on.
    pub steady: Duration,
    /// Events of each watch.
    pub events: usize,
    /// Operations held and approved.
    pub holds: usize,
    /// Rounds of the list of 32 MB.
    pub lists: usize,
    /// Starts of a sidecar.
    pub starts: usize,
    /// Sidecars at one control plane.
    pub crowd: usize,
    /// Rounds of Pods that start, with a sidecar and without.
    pub pods: usize,
}

impl Extent {
    /// Half a minute or so.
    pub const QUICK: Self = Self {
        rounds: 8,
        reads: 400,
        throughput_rounds: 3,
        throughput: Duration::from_millis(500),
        steady: Duration::from_secs(5),
        events: 500,
        holds: 40,
        lists: 4,
        starts: 10,
        crowd: 100,
        pods: 8,
    };
    /// About two minutes.
    pub const WHOLE: Self = Self {
        rounds: 20,
        reads: 800,
        throughput_rounds: 5,
        throughput: Duration::from_secs(1),
        steady: Duration::from_secs(15),
        events: 2000,
        holds: 200,
        lists: 40,
        starts: 50,
        crowd: 1000,
        pods: 20,
    };
}

/// Measures everything, or only the parts whose name contains a word; Pods where there is a node, whose folder it is.
///
/// # Errors
/// Something that is measured does not work.
pub async fn run(extent: &Extent, small_sidecar: PathBuf, only: &str, node: Option<&Path>) -> Result<Report> {
    let wanted = |part: &str| part.contains(only);
    let mut report = Report::default();
    let (stolen, busy) = (Share::read(), load());
    if let Some(node) = node
        && wanted("pods")
    {
        pods::measure(node, extent, &mut report).await?;
    }
    if wanted("policy") {
        policy::measure(&mut report)?;
    }
    if wanted("masking") {
        masking::alone(&mut report)?;
    }
    if wanted("admission") {
        admission::measure(extent, &mut report)?;
    }
    let parts = ["reads", "watches", "lists", "throughput", "steady", "sidecar", "crowd", "holds", "real"];
    if parts.into_iter().any(wanted) {
        progress("starting the API server and the contestants");
        contestants::prepare_cluster();
        let folder = tempfile::tempdir()?;
        let (_canned, canned, real) = contestants::upstreams(folder.path())?;
        let mut field = Contestants::start(canned, folder.path())?;
        let path = format!("/api/v1/namespaces/{}/pods/{}", &**field.stack.namespace(), bodies::POD);
        if wanted("reads") {
            reads::one_at_a_time(&field, &path, extent, &mut report).await?;
        }
        if wanted("throughput") {
            reads::many_at_once(&field, &path, extent, &mut report).await?;
        }
        if wanted("steady") {
            steady::measure(&field, &path, extent, &mut report).await?;
        }
        if wanted("watches") {
            watches::measure(&field, extent, &mut report).await?;
        }
        if wanted("lists") {
            masking::whole_way(&field, extent, &mut report).await?;
        }
        if wanted("sidecar") {
            sidecar::measure(&field, &small_sidecar, &path, folder.path(), extent, &mut report).await?;
        }
        sizes(&field, &mut report)?;
        if wanted("crowd") {
            crowd::measure(&mut field, &small_sidecar, folder.path(), extent, &mut report).await?;
        }
        drop(field);
        if wanted("real") || wanted("holds") {
            let field = Contestants::start(real, folder.path())?;
            let path = format!("/api/v1/namespaces/{}/pods/runner", &**field.stack.namespace());
            if wanted("real") {
                reads::one_at_a_time(&field, &path, extent, &mut report).await?;
            }
            if wanted("holds") {
                holds::measure(&field, extent, &mut report).await?;
            }
        }
    }
    report.add(Metric::new("machine_load_before", busy, "", Better::Lower));
    report.add(Metric::new("machine_load_after", load(), "", Better::Lower));
    report.add(Metric::new("machine_steal", Share::read().stolen_since(stolen), "%", Better::Lower));
    Ok(report)
}

/// The most memory that each process had.
fn sizes(field: &Contestants, report: &mut Report) -> Result<()> {
    let names = ["sidecar", "control_plane", "agent"];
    for (name, pid) in names.into_iter().zip(field.pids(Who::Sallyport)) {
        report.add(Metric::new(format!("memory_{name}"), memory(pid, "VmRSS")? / 1e6, "MB", Better::Lower));
    }
    for (who, names) in [(Who::BareChain, &["front", "middle", "end"][..]), (Who::KubectlProxy, &["proxy"])] {
        for (name, pid) in names.iter().zip(field.pids(who)) {
            let name = format!("memory_{}_{name}", who.word());
            report.add(Metric::new(name, memory(pid, "VmRSS")? / 1e6, "MB", Better::Lower));
        }
    }
    Ok(())
}

/// What another process of a measurement does, if `arguments` name a role. Such a process ends with its standard input.
///
/// # Errors
/// The role fails.
pub fn role(arguments: &[String]) -> Option<Result<()>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (role, rest) = words.split_first()?;
    Some(match (*role, rest) {
        ("mask", [body]) => masking::role(body),
        ("upstream", [real, real_ca, ca]) => one_thread(upstream::run(real, real_ca.as_ref(), ca.as_ref())),
        ("middle", []) => many_threads(chain::middle()),
        ("front", [middle, pin, ca]) => match (middle.parse(), pin.parse()) {
            (Ok(middle), Ok(pin)) => one_thread(chain::front(middle, pin, ca.as_ref())),
            _ => Err(anyhow::anyhow!("front ADDRESS PIN FILE")),
        },
        ("end", [middle, pin, upstream, ca]) => match (middle.parse(), pin.parse()) {
            (Ok(middle), Ok(pin)) => one_thread(chain::end(middle, pin, upstream, ca.as_ref())),
            _ => Err(anyhow::anyhow!("end ADDRESS PIN URL FILE")),
        },
        _ => return None,
    })
}

/// With the runtime that sidecar and agent have.
fn one_thread(role: impl Future<Output = Result<()>>) -> Result<()> {
    play(&tokio::runtime::Builder::new_current_thread().enable_all().build()?, role)
}

/// With the runtime that the control plane has: half of the cores.
fn many_threads(role: impl Future<Output = Result<()>>) -> Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    play(&tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?, role)
}

fn play(runtime: &tokio::runtime::Runtime, role: impl Future<Output = Result<()>>) -> Result<()> {
    runtime.block_on(async {
        let ended = tokio::task::spawn_blocking(|| {
            let mut nothing = Vec::new();
            std::io::stdin().read_to_end(&mut nothing)
        });
        tokio::select! {
            result = role => result,
            _ = ended => bail!("the measurement has ended"),
        }
    })
}

/// Says to the process that started this one that it is ready, and where.
fn say_ready(words: &[String]) {
    let mut out = std::io::stdout().lock();
    // If nobody listens, nobody waits for it either.
    drop(writeln!(out, "ready {}", words.join(" ")));
    drop(out.flush());
}

/// Says on standard error what is going on; on a terminal always in the same line.
fn progress(what: &str) {
    use std::io::IsTerminal;
    let mut err = std::io::stderr().lock();
    let line = if err.is_terminal() { format!("\r\x1b[K{what}") } else { format!("{what}\n") };
    // Progress that nobody can read is no loss.
    drop(err.write_all(line.as_bytes()));
    drop(err.flush());
}
