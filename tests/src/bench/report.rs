//! What is told at the end: a table for a person, and the same as JSON for a machine.

use std::fmt;

use serde::Serialize;

use super::stats::Estimate;

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name, the same from run to run.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// Its unit; `x` is a ratio.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
    /// What has to be reached; none where a figure is only told.
    pub target: Option<f64>,
    /// What the product wants.
    pub goal: Option<f64>,
    /// Whether the target is reached; none without one.
    pub ok: Option<bool>,
    /// 95 % interval, for the table.
    #[serde(skip)]
    interval: Option<(f64, f64)>,
}

impl Metric {
    /// A figure that is only told.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str, better: Better) -> Self {
        Self { name: name.into(), value, unit, better, target: None, goal: None, ok: None, interval: None }
    }

    /// With what has to be reached.
    #[must_use]
    pub fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.ok = Some(match self.better {
            Better::Lower => self.value <= target,
            Better::Higher => self.value >= target,
        });
        self
    }

    /// With what the product wants.
    #[must_use]
    pub const fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// An estimate with its interval.
    pub(super) fn estimate(name: impl Into<String>, estimate: Estimate, unit: &'static str, better: Better) -> Self {
        let mut metric = Self::new(name, estimate.value, unit, better);
        metric.interval = Some((estimate.low, estimate.high));
        metric
    }
}

/// All figures of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    metrics: Vec<Metric>,
}

impl Report {
    /// Adds one.
    pub fn add(&mut self, metric: Metric) {
        self.metrics.push(metric);
    }

    /// As JSON.
    ///
    /// # Errors
    /// A figure that JSON has no number for.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Targets that were missed.
    pub fn missed(&self) -> usize {
        self.metrics.iter().filter(|metric| metric.ok == Some(false)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
        writeln!(
            f,
            "{:<width$} {:>10} {:<5} {:>17} {:>9} {:>9}  ok",
            "", "value", "unit", "95 % interval", "target", "goal"
        )?;
        for metric in &self.metrics {
            let sign = if metric.better == Better::Lower { "≤" } else { "≥" };
            let bound =
                |bound: Option<f64>| bound.map_or_else(String::new, |bound| format!("{sign} {}", number(bound)));
            let interval = metric.interval.map_or_else(String::new, |(a, b)| format!("{} … {}", number(a), number(b)));
            let ok = metric.ok.map_or("", |ok| if ok { "yes" } else { "NO" });
            let line = format!(
                "{:<width$} {:>10} {:<5} {interval:>17} {:>9} {:>9}  {ok}",
                metric.name,
                number(metric.value),
                metric.unit,
                bound(metric.target),
                bound(metric.goal),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || size.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_from_its_own_side() {
        let ok = |value, better| Metric::new("m", value, "x", better).target(2.0).ok;
        assert_eq!(
            (ok(1.9, Better::Lower), ok(2.0, Better::Lower), ok(2.1, Better::Lower)),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!((ok(1.9, Better::Higher), ok(2.0, Better::Higher)), (Some(false), Some(true)));
        // What noise made of nothing is no success.
        assert_eq!(ok(f64::NAN, Better::Lower), Some(false));
        assert_eq!(Metric::new("m", 1.0, "x", Better::Lower).goal(1.0).ok, None);
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let mut report = Report::default();
        report.add(Metric::new("fast", 1.25, "x", Better::Lower).target(1.6).goal(1.3));
        report.add(
            Metric::estimate("slow", Estimate { value: 1.0, low: 0.5, high: 1234.0 }, "GB/s", Better::Higher)
                .target(2.0),
        );
        report.add(Metric::new("told", 12.34, "MB", Better::Lower));
        let lines: Vec<_> =
            report.to_string().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines.get(1).unwrap(), "fast 1.25 x ≤ 1.60 ≤ 1.30 yes");
        assert_eq!(lines.get(2).unwrap(), "slow 1 GB/s 0.50 … 1234 ≥ 2 NO");
        assert_eq!(lines.get(3).unwrap(), "told 12.3 MB");
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        let expected = serde_json::json!({
            "name": "fast", "value": 1.25, "unit": "x", "better": "lower", "target": 1.6, "goal": 1.3, "ok": true
        });
        assert_eq!(json["metrics"][0], expected);
        assert_eq!(json["metrics"][2]["target"], serde_json::Value::Null);
        assert_eq!(report.missed(), 1);
    }
}
