//! What the machine says: time, processor time and memory of processes, load.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

/// Length of a tick of `/proc/PID/stat`; 100 a second on every Linux that we build for.
const TICK: Duration = Duration::from_millis(10);

/// Now, for durations.
#[expect(clippy::disallowed_methods, reason = "a measurement needs the machine's own clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, to compare between processes.
#[expect(clippy::disallowed_methods, reason = "a measurement needs the machine's own clock")]
pub(super) fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds since `start`.
pub(super) fn micros_since(start: Instant) -> f64 {
    now().saturating_duration_since(start).as_secs_f64() * 1e6
}

/// Processor time that a process has had, in user and kernel mode, with its ended threads.
///
/// # Errors
/// There is no such process.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&text).and_then(|ticks| TICK.checked_mul(ticks)).with_context(|| format!("{path} can't be read"))
}

/// Time that the threads of a process that are there have been on a core. Finer than [`cpu`], which counts in ticks of the kernel.
///
/// # Errors
/// There is no such process.
pub(super) fn on_cores(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanos = text.split_whitespace().next().and_then(|number| number.parse().ok());
        sum += Duration::from_nanos(nanos.context("a thread's time on a core")?);
    }
    Ok(sum)
}

/// Fields 14 and 15. The second field is the program's name, in which anything may stand.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// A line of `/proc/PID/status` that is in kB (`VmRSS`, `VmHWM`), in bytes.
///
/// # Errors
/// There is no such process or line.
pub fn memory(pid: u32, key: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kb.with_context(|| format!("{path} has no {key}"))? * 1024.0)
}

/// From now on `VmHWM` of a process is of what comes.
///
/// # Errors
/// It is not ours.
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| path)
}

/// Load of the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// Time of all processors since boot, and how much of it other machines on the same iron took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    all: f64,
    stolen: f64,
}

impl Share {
    /// Until now.
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        // user nice system idle iowait irq softirq steal; guest times are in user already.
        let fields: Vec<f64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        Self { all: fields.iter().sum(), stolen: fields.get(7).copied().unwrap_or(0.0) }
    }

    /// Per cent stolen since an earlier reading.
    pub(super) fn stolen_since(self, earlier: Self) -> f64 {
        100.0 * (self.stolen - earlier.stolen) / (self.all - earlier.all).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_hostile_name() {
        let stat = "7 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 250 30 0 0 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(280));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn steal_is_a_share_of_all_time() {
        let at = |text| Share::parse(text);
        let (before, after) = (at("cpu 10 0 10 70 0 0 0 10 5 5\ncpu0 1"), at("cpu 20 0 20 130 0 0 0 30 9 9\ncpu0 1"));
        assert_eq!(after.stolen_since(before), 20.0);
        assert_eq!(after.stolen_since(after), 0.0);
    }

    #[test]
    fn this_process_has_a_size() {
        assert!(memory(std::process::id(), "VmRSS").unwrap() > 100_000.0);
        assert!(cpu(std::process::id()).is_ok());
        assert!(memory(std::process::id(), "VmNone").is_err());
    }
}
