//! The differential test: our reading of a method and URL against the real API server's own, which its audit log tells.
//!
//! Pairs of method and request target are generated from a seed. Each one that we accept is sent twice: as it is, and as we would
//! forward it. In both audit events verb and objectRef must be ours, and in the second the requestURI must be what we wrote, to the
//! byte. What we refuse is counted by reason, and not sent: nothing of it would reach a server.
//!
//! The requests carry the token of a ServiceAccount without rights: everything is read, audited and then forbidden.

mod audit;
mod generate;
mod send;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use control_plane_core::query::Query;
use control_plane_core::request_info::RequestInfo;

pub use audit::{Event, ObjectRef};
pub use generate::{Generator, Pair};

use crate::cluster::Cluster;
use audit::AuditLog;
use send::Sender;

/// Pairs that are generated, sent and compared at a time: bounds memory, and finds a disagreement early.
const BATCH: usize = 10_000;
/// Disagreements that a report keeps in full.
const KEPT: usize = 50;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Pairs that were generated.
    pub pairs: usize,
    /// Of these, accepted by us.
    pub accepted: usize,
    /// Requests that the API server answered and audited as expected.
    pub agreed: usize,
    /// Requests where it read something else than we.
    pub disagreed: usize,
    /// The first of these.
    pub disagreements: Vec<Disagreement>,
    /// Accepted pairs by verb.
    pub verbs: BTreeMap<String, usize>,
    /// Accepted pairs by shape: `non-resource`, `collection`, `object`, `subresource`, `named list`.
    pub shapes: BTreeMap<&'static str, usize>,
    /// Refused pairs by reason.
    pub refused: BTreeMap<String, usize>,
}

/// One request that the API server reads differently.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// As sent.
    pub sent: Pair,
    /// Our reading.
    pub ours: Event,
    /// The API server's; `None`: it wrote no event.
    pub theirs: Option<Event>,
}

/// A request under way: what was sent, and what we expect to find in the log.
struct Sent {
    pair: Pair,
    expected: Event,
}

/// Runs `pairs` generated pairs against a cluster.
///
/// # Errors
/// If the cluster can't be reached, or its audit log not be read. Disagreements are no errors; they are in the report.
pub fn run(
    cluster: &'static Cluster,
    seed: u64,
    pairs: usize,
    mut progress: impl FnMut(&Report),
) -> anyhow::Result<Report> {
    let sender = Sender::new(cluster)?;
    let mut log = AuditLog::open(&cluster.facts().audit_log, &sender.tag)?;
    let mut generator = Generator::new(seed);
    let mut report = Report::default();
    while report.pairs < pairs {
        let mut batch = Vec::new();
        for _ in 0..BATCH.min(pairs - report.pairs) {
            plan(generator.pair(), &mut report, &mut batch);
        }
        let first = sender.send(&batch).context("sending a batch")?;
        let mut events = log.events(first, batch.len())?;
        for (index, sent) in batch.into_iter().enumerate() {
            compare(sent, events.remove(&(first + index)), &mut report);
        }
        progress(&report);
    }
    Ok(report)
}

/// Our own reading, in words of the audit log.
///
/// # Errors
/// Why we refuse it.
pub fn read(pair: &Pair) -> Result<(RequestInfo, Query), String> {
    let (path, query) = pair.target.split_once('?').unwrap_or((&pair.target, ""));
    let method = pair.method.parse().map_err(|_| "method".to_owned())?;
    let query = Query::parse(query).map_err(|error| name_of(&error))?;
    let info = RequestInfo::parse(&method, path, &query).map_err(|error| name_of(&error))?;
    Ok((info, query))
}

/// The variant's name: `Semicolon { got: … }` → `Semicolon`.
fn name_of(error: &impl fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn plan(pair: Pair, report: &mut Report, batch: &mut Vec<Sent>) {
    report.pairs += 1;
    let (info, query) = match read(&pair) {
        Ok(read) => read,
        Err(reason) => {
            *report.refused.entry(reason).or_default() += 1;
            return;
        }
    };
    report.accepted += 1;
    *report.verbs.entry(info.verb.to_string()).or_default() += 1;
    *report.shapes.entry(shape(&info)).or_default() += 1;
    let mut target = info.path();
    if !query.is_empty() {
        target.push('?');
        target.push_str(&query.canonical());
    }
    let mut expected = Event::of(&info);
    // The gateway gets its path from hyper: it must be the one that was judged here.
    if let Ok(uri) = pair.target.parse::<http::Uri>() {
        let same = pair.target.split_once('?').unwrap_or((&pair.target, ""));
        if (uri.path(), uri.query().unwrap_or_default()) != same {
            expected.verb = format!("{} by a URI that hyper reads as {uri}", expected.verb);
        }
    }
    let canonical = Pair { method: pair.method.clone(), target: target.clone() };
    batch.push(Sent { pair, expected: expected.clone() });
    expected.request_uri = Some(target);
    batch.push(Sent { pair: canonical, expected });
}

fn shape(info: &RequestInfo) -> &'static str {
    match (info.is_resource_request, info.name.as_str(), info.subresource.as_str()) {
        (false, _, _) => "non-resource",
        (true, "", _) => "collection",
        (true, _, "") if info.live_object().is_none() => "named list",
        (true, _, "") => "object",
        (true, _, _) => "subresource",
    }
}

fn compare(sent: Sent, theirs: Option<Event>, report: &mut Report) {
    let agreed = theirs.as_ref().is_some_and(|theirs| {
        let mut theirs = theirs.clone();
        if sent.expected.request_uri.is_none() {
            theirs.request_uri = None;
        }
        theirs == sent.expected
    });
    if agreed {
        report.agreed += 1;
        return;
    }
    report.disagreed += 1;
    if report.disagreements.len() < KEPT {
        report.disagreements.push(Disagreement { sent: sent.pair, ours: sent.expected, theirs });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pairs        {:>8}", self.pairs)?;
        writeln!(f, "accepted     {:>8}", self.accepted)?;
        writeln!(f, "agreed       {:>8}  (each accepted pair as it came, and as forwarded)", self.agreed)?;
        writeln!(f, "disagreed    {:>8}", self.disagreed)?;
        for (what, count) in &self.verbs {
            writeln!(f, "  verb       {count:>8}  {what}")?;
        }
        for (what, count) in &self.shapes {
            writeln!(f, "  shape      {count:>8}  {what}")?;
        }
        for (what, count) in &self.refused {
            writeln!(f, "  refused    {count:>8}  {what}")?;
        }
        for Disagreement { sent, ours, theirs } in &self.disagreements {
            writeln!(f, "{} {}\n  ours   {ours:?}\n  theirs {theirs:?}", sent.method, sent.target)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(change: impl FnOnce(&mut Event)) -> Report {
        let pair = Pair { method: "GET".to_owned(), target: "/api/v1/namespaces/d/pods/p/log?a=b".to_owned() };
        let (info, _) = read(&pair).unwrap();
        let mut expected = Event::of(&info);
        expected.request_uri = Some(pair.target.clone());
        let mut theirs = expected.clone();
        change(&mut theirs);
        let mut report = Report::default();
        compare(Sent { pair, expected }, Some(theirs), &mut report);
        report
    }

    #[test]
    fn every_field_is_compared() {
        assert_eq!(compared(|_| {}).agreed, 1);
        let changes: [fn(&mut Event); 9] = [
            |event| event.verb = "list".to_owned(),
            |event| event.request_uri = Some("/api/v1/namespaces/d/pods/p/log".to_owned()),
            |event| event.object_ref = None,
            |event| event.object_ref.as_mut().unwrap().resource.push('x'),
            |event| event.object_ref.as_mut().unwrap().namespace.clear(),
            |event| event.object_ref.as_mut().unwrap().name.clear(),
            |event| event.object_ref.as_mut().unwrap().api_group.push('x'),
            |event| event.object_ref.as_mut().unwrap().api_version.clear(),
            |event| event.object_ref.as_mut().unwrap().subresource.clear(),
        ];
        for change in changes {
            assert_eq!(compared(change).disagreed, 1);
        }
    }

    #[test]
    fn a_request_without_an_event_is_a_disagreement() {
        let pair = Pair { method: "GET".to_owned(), target: "/version".to_owned() };
        let expected = Event::of(&read(&pair).unwrap().0);
        let mut report = Report::default();
        compare(Sent { pair, expected }, None, &mut report);
        assert_eq!((report.agreed, report.disagreed), (0, 1));
    }

    #[test]
    fn a_seed_always_gives_the_same_pairs() {
        let pairs = |seed| {
            let mut generator = Generator::new(seed);
            (0..200).map(|_| generator.pair()).collect::<Vec<_>>()
        };
        assert_eq!(pairs(1), pairs(1));
        assert_ne!(pairs(1), pairs(2));
    }
}
