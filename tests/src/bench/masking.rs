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
use super::masking_rivals::Rivals;
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
/// Small reads before a list.
const WARMING: usize = 20;
/// Values that are looked for in a text, each in all its forms, and bytes of that text.
const VALUES: usize = 100;
const TEXT: usize = 16 * 1024 * 1024;

/// The masker alone: a process of its own, so that its memory is nobody else's.
///
/// # Errors
/// It fails.
pub(super) fn alone(report: &mut Report) -> Result<()> {
    LISTS_MASKED.iter().try_for_each(|list| list.measure(report))?;
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

/// A list, and what has to be reached with it: gigabytes per second, and how many times as fast as two rivals. First the target, then the
/// goal.
struct Masked {
    word: &'static str,
    speed: (f64, f64),
    /// Gigabytes per second of the rivals on the machine on which `speed` was set: the parsed way, and the scanner.
    rivals: Option<(f64, f64)>,
}

/// The targets of 2 and 0.7 GB/s, and the goals of 4 and 1.5, were set on a machine whose memory and cores others may not have. What its
/// rivals made there is known, so quotients say the same on every machine.
///
/// Of a list with values of 32 bytes five bytes in six are names, quotes and commas: what takes time there is each value (a MAC) and each
/// token, not each byte, so bytes per second say less, and the target is lower.
///
/// Objects of those lists are alike, as most are, and what is alike is compared instead of read. What the masker makes of a list of which
/// that is not true stands beside them.
const LISTS_MASKED: [Masked; 4] = [
    Masked { word: "1KiB_values", speed: (2.0, 4.0), rivals: Some((0.30, 8.9)) },
    Masked { word: "32B_values", speed: (0.7, 1.5), rivals: Some((0.063, 1.8)) },
    Masked { word: "32B_values_unlike", speed: (0.5, 0.7), rivals: None },
    Masked { word: "pod_list", speed: (1.0, 1.0), rivals: None },
];

impl Masked {
    fn measure(&self, report: &mut Report) -> Result<()> {
        let word = self.word;
        progress(&format!("masking 32 MB in one core, {word}"));
        let helper = Helper::role("mask", &[word])?;
        let said = |index| helper.word_from_end(index)?.parse::<f64>().map_err(anyhow::Error::from);
        let (target, goal) = self.speed;
        let of = |metric: Metric, made: Option<f64>| match made {
            Some(made) => metric.target(target / made).goal(goal / made),
            None => metric,
        };
        report.add(of(Metric::new(format!("mask_{word}"), said(4)?, "GB/s", Better::Higher), Some(1.0)));
        let mut against = |rival: &str, times, made: Option<f64>| {
            report.add(of(Metric::new(format!("mask_{word}_vs_{rival}"), times, "x", Better::Higher), made));
        };
        against("serde_value", said(2)?, self.rivals.map(|(value, _)| value));
        against("bare_scanner", said(1)?, self.rivals.map(|(_, scanner)| scanner));
        against("memcpy", said(0)?, None);
        // With pages of code and of the caller's buffer in it. What the masker itself takes is counted in a test of `core`.
        let grown = Metric::new(format!("mask_resident_grown_{word}"), said(3)? / 1024.0, "KiB", Better::Lower);
        report.add(grown);
        Ok(())
    }
}

/// The list of that name, and the resource it is of.
fn list(word: &str) -> Result<(Vec<u8>, &'static str)> {
    match word {
        "1KiB_values" => Ok((bodies::secrets(1024), "secrets")),
        "32B_values" => Ok((bodies::secrets(32), "secrets")),
        "32B_values_unlike" => Ok((bodies::unlike_secrets(), "secrets")),
        "pod_list" => Ok((bodies::pods(), "pods")),
        _ => bail!("no list is called {word}"),
    }
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

/// The role: says bytes per nanosecond of the median round, by how many bytes the most memory that the process ever held has grown, and how
/// many times as fast as its rivals the masker is.
///
/// # Errors
/// The masker refuses the body.
pub(super) fn role(word: &str) -> Result<()> {
    let (body, resource) = list(word)?;
    // The output buffer is the caller's, who empties it after each piece. A huge page of it must not count as the masker's.
    let mut out = vec![0; 8 * PIECE];
    let mut rates = Vec::new();
    let mut round = |body: &[u8], lists: u32| {
        let mut masked = 0;
        let start = on_core();
        for _ in 0..lists {
            let mut masker = Masker::new(context_of(resource, Verb::List));
            for piece in body.chunks(PIECE) {
                out.clear();
                masker.push(piece, &mut out)?;
            }
            masked += masker.finish()?.masked;
        }
        let took = on_core().saturating_sub(start);
        anyhow::Ok((f64::from(lists) * body.len() as f64 / took.as_nanos() as f64, masked))
    };
    // Code counts as memory once it has run: it is read in by a list that is small and whole.
    let small = br#"{"kind":"SecretList","apiVersion":"v1","items":[{"metadata":{"name":"a"},"data":{"a":"YQ=="}}]}"#;
    round(small, LISTS)?;
    let before = memory(std::process::id(), "VmHWM")?;
    for _ in 0..LOOKS {
        let (rate, masked) = round(&body, LISTS)?;
        if (masked == 0) != (resource == "pods") {
            bail!("{masked} values were masked");
        }
        rates.push(rate);
    }
    let extra = memory(std::process::id(), "VmHWM")? - before;
    let (mut to_value, mut to_scanner, mut to_copy) = (Vec::new(), Vec::new(), Vec::new());
    let mut rivals = Rivals::new(&body)?;
    for _ in 0..LOOKS {
        let (rate, _) = round(&body, LISTS)?;
        to_value.push(rate / rivals.value()?);
        to_scanner.push(rate / rivals.scan(LISTS));
        to_copy.push(rate / rivals.copy(LISTS));
    }
    let said = [median(&rates), extra, median(&to_value), median(&to_scanner), median(&to_copy)];
    super::say_ready(&said.map(|figure| figure.to_string()));
    Ok(())
}

/// Time that this thread has been on a core, so that a busy machine doesn't count.
pub(super) fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
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

/// The whole way of the same list, and when the first byte of it comes: once behind everybody else's lists, which have left nothing of a process's own in
/// the processor's caches, and once behind its own small reads, as `reads` measures those.
///
/// # Errors
/// A contestant fails.
pub(super) async fn whole_way(field: &Contestants, extent: &Extent, report: &mut Report) -> Result<()> {
    let tasks = TaskSet::new();
    let path = format!("/api/v1/namespaces/{}/secrets", &**field.stack.namespace());
    let small = format!("/api/v1/namespaces/{}/pods/{}", &**field.stack.namespace(), bodies::POD);
    let mut columns = Vec::new();
    for who in Who::ALL {
        columns.push((who, field.client(who, &tasks).await?, [Vec::new(), Vec::new(), Vec::new()]));
    }
    let mut dice = Dice::new(7);
    let agent = *field.pids(Who::Sallyport).last().context("the agent runs")?;
    let before = memory(agent, "VmHWM")?;
    for round in 0..extent.lists {
        progress(&format!("list of Secrets, 32 MB: round {} of {}", round + 1, extent.lists));
        dice.shuffle(&mut columns);
        for (_, client, [colds, warms, times]) in &mut columns {
            for (firsts, smalls) in [(colds, 0), (warms, WARMING)] {
                for _ in 0..smalls {
                    client.read(&small).await?;
                }
                let (first, took, bytes) = client.read_timed(&path).await?;
                if bytes < LIST / 50 {
                    bail!("the list has only {bytes} bytes");
                }
                firsts.push(first / 1e3);
                if smalls == 0 {
                    times.push(took / 1e3);
                }
            }
        }
    }
    tasks.cancel();
    let nothing = [Vec::new(), Vec::new(), Vec::new()];
    let of = |wanted: Who| columns.iter().find(|(who, ..)| *who == wanted).map_or(&nothing, |(.., times)| times);
    let [direct_cold, direct_warm, direct] = of(Who::Direct);
    let metric = |name: &str, value| Metric::new(format!("list_32MB_{name}"), value, "ms", Better::Lower);
    report.add(metric("direct", median(direct)));
    report.add(metric("first_byte_direct", median(direct_cold)));
    report.add(metric("first_byte_direct_warm", median(direct_warm)));
    for who in [Who::Sallyport, Who::BareChain, Who::KubectlProxy] {
        let [colds, warms, times] = of(who);
        report.add(metric(&format!("added_{}", who.word()), median(&minus(times, direct))));
        for (word, firsts, direct) in [("", colds, direct_cold), ("_warm", warms, direct_warm)] {
            let first = metric(&format!("first_byte_added{word}_{}", who.word()), median(&minus(firsts, direct)));
            report.add(if who == Who::Sallyport { first.target(1.0).goal(1.0) } else { first });
        }
    }
    let grown = (memory(agent, "VmHWM")? - before) / 1024.0;
    report.add(Metric::new("list_32MB_agent_memory_grown", grown, "KiB", Better::Lower));
    Ok(())
}
