//! Masking a list of Secrets of 32 MB: the masker alone on one core, and the whole way. Looking for the values of a pod's Secrets in its log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use control_plane_core::mask::values::{SecretValues, TextMasker};
use control_plane_core::mask::{AnswerMasker, Format, MaskContext, Masker, PlaceholderKey, PlaceholderKeys};
use control_plane_core::request_info::{RequestInfo, Verb};
use shared_net::tasks::TaskSet;

use super::bodies::{self, LIST};
use super::contestants::{Contestants, Who};
use super::helper::Helper;
use super::machine::memory;
use super::report::{Better, Metric, Report};
use super::stats::{Dice, median, minus};
use super::{Extent, progress};

/// Bytes of a piece, as a connection delivers them.
const PIECE: usize = 16 * 1024;
const ROUNDS: usize = 15;
/// Lists that are masked between two looks at the clock, and looks: the kernel counts a thread's time in ticks of some milliseconds, of
/// which one list has few.
const LISTS: u32 = 8;
const LOOKS: usize = 5;
/// Values that are looked for in a text, each in all its forms, and bytes of that text.
const VALUES: usize = 100;
const TEXT: usize = 16 * 1024 * 1024;

/// The masker alone: a process of its own, so that its memory is nobody else's.
///
/// # Errors
/// It fails.
pub(super) fn alone(report: &mut Report) -> Result<()> {
    for (bytes, word) in [(1024_usize, "1KiB_values"), (32, "32B_values")] {
        progress(&format!("masking 32 MB in one core, {word}"));
        let helper = Helper::role("mask", &[bytes.to_string()])?;
        let speed: f64 = helper.word_from_end(1)?.parse()?;
        let extra: f64 = helper.word_from_end(0)?.parse()?;
        let metric = Metric::new(format!("mask_{word}"), speed, "GB/s", Better::Higher);
        // The target of 2 GB/s is for 32 MB. As many Secrets with values of 32 bytes are 5.7 MB, of which five in six are names, quotes and
        // commas: what takes time there is each value (a MAC) and each token, not each byte, so bytes per second say less, and the target
        // is lower: a DOM makes 0.06.
        report.add(if bytes == 1024 { metric.target(2.0).goal(4.0) } else { metric.target(0.7).goal(1.5) });
        let extra = Metric::new(format!("mask_extra_memory_{word}"), extra / 1024.0, "KiB", Better::Lower);
        report.add(extra.target(256.0).goal(256.0));
    }
    for (word, object) in [("secret", bodies::protobuf_secret()), ("pod", bodies::protobuf_pod())] {
        progress(&format!("masking one {word} in protobuf"));
        let took = one_object(&object)?;
        report.add(Metric::new(format!("mask_protobuf_{word}"), took, "us", Better::Lower));
    }
    progress(&format!("looking for {VALUES} values in a log of 16 MB"));
    report.add(
        Metric::new(format!("mask_log_{VALUES}_values"), log()?, "MB/s", Better::Higher).target(500.0).goal(1000.0),
    );
    Ok(())
}

/// Megabytes of a log per second on one core, the searcher made before.
fn log() -> Result<f64> {
    let values = bodies::values(VALUES);
    let text = bodies::log(&values, TEXT);
    let values = Arc::new(SecretValues::new(values.iter().map(String::as_bytes))?);
    let mut rates = Vec::new();
    let mut out = Vec::new();
    for _ in 0..LOOKS {
        let start = on_core();
        let mut masker = TextMasker::new(Arc::clone(&values));
        for piece in text.chunks(PIECE) {
            out.clear();
            masker.push(piece, &mut out);
        }
        let masked = masker.finish(&mut out);
        rates.push(text.len() as f64 * 1e3 / on_core().saturating_sub(start).as_nanos() as f64);
        if masked == 0 {
            bail!("nothing was masked");
        }
    }
    Ok(median(&rates))
}

/// Microseconds for one object in protobuf, as a watch or a read of one has it.
fn one_object(object: &[u8]) -> Result<f64> {
    const OBJECTS: u32 = 2000;
    let mut times = Vec::new();
    let mut out = Vec::new();
    for _ in 0..ROUNDS {
        let start = on_core();
        for _ in 0..OBJECTS {
            out.clear();
            let mut masker = AnswerMasker::new(context_of("pods", Verb::Get), Format::Protobuf);
            masker.push(object, &mut out)?;
            masker.finish(&mut out)?;
        }
        times.push(on_core().saturating_sub(start).as_secs_f64() * 1e6 / f64::from(OBJECTS));
    }
    Ok(median(&times))
}

/// The role: says bytes per nanosecond of the median round, and by how many bytes the most memory that the process ever held has grown.
///
/// # Errors
/// The masker refuses the body.
pub(super) fn role(value_bytes: usize) -> Result<()> {
    let body = bodies::secrets(value_bytes);
    // The output buffer is the caller's, who empties it after each piece. A huge page of it must not count as the masker's.
    let mut out = vec![0; 8 * PIECE];
    let mut rates = Vec::new();
    let mut round = |body: &[u8]| {
        let mut masked = 0;
        let start = on_core();
        for _ in 0..LISTS {
            let mut masker = Masker::new(context());
            for piece in body.chunks(PIECE) {
                out.clear();
                masker.push(piece, &mut out)?;
            }
            masked += masker.finish()?.masked;
        }
        let took = on_core().saturating_sub(start);
        anyhow::Ok((f64::from(LISTS) * body.len() as f64 / took.as_nanos() as f64, masked))
    };
    // Code counts as memory once it has run: it is read in by a list that is small and whole.
    round(br#"{"kind":"SecretList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"data":{"a":"YQ=="}}]}"#)?;
    let before = memory(std::process::id(), "VmHWM")?;
    for _ in 0..LOOKS {
        let (rate, masked) = round(&body)?;
        if masked == 0 {
            bail!("nothing was masked");
        }
        rates.push(rate);
    }
    let extra = memory(std::process::id(), "VmHWM")? - before;
    super::say_ready(&[median(&rates).to_string(), extra.to_string()]);
    Ok(())
}

/// Time that this thread has been on a core, so that a busy machine doesn't count.
fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn context() -> MaskContext {
    context_of("secrets", Verb::List)
}

fn context_of(resource: &str, verb: Verb) -> MaskContext {
    let info = RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: String::new(),
        resource: resource.to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    };
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "bench", &info)
}

/// The whole way of the same list.
///
/// # Errors
/// A contestant fails.
pub(super) async fn whole_way(field: &Contestants, extent: &Extent, report: &mut Report) -> Result<()> {
    let tasks = TaskSet::new();
    let path = format!("/api/v1/namespaces/{}/secrets", &**field.stack.namespace());
    let mut columns = Vec::new();
    for who in Who::ALL {
        columns.push((who, field.client(who, &tasks).await?, Vec::new()));
    }
    let mut dice = Dice::new(7);
    let agent = *field.pids(Who::Sallyport).last().context("the agent runs")?;
    let before = memory(agent, "VmHWM")?;
    for round in 0..extent.lists {
        progress(&format!("list of Secrets, 32 MB: round {} of {}", round + 1, extent.lists));
        dice.shuffle(&mut columns);
        for (_, client, times) in &mut columns {
            let (took, bytes) = client.read(&path).await?;
            if bytes < LIST / 50 {
                bail!("the list has only {bytes} bytes");
            }
            times.push(took / 1e3);
        }
    }
    tasks.cancel();
    let of =
        |wanted: Who| columns.iter().find(|(who, ..)| *who == wanted).map_or(&[][..], |(.., times)| times.as_slice());
    let direct = of(Who::Direct);
    let metric = |name: &str, value| Metric::new(format!("list_32MB_{name}"), value, "ms", Better::Lower);
    report.add(metric("direct", median(direct)));
    for who in [Who::Sallyport, Who::BareChain, Who::KubectlProxy] {
        report.add(metric(&format!("added_{}", who.word()), median(&minus(of(who), direct))));
    }
    let grown = (memory(agent, "VmHWM")? - before) / 1024.0;
    report.add(Metric::new("list_32MB_agent_memory_grown", grown, "KiB", Better::Lower));
    Ok(())
}
