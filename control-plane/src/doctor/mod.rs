//! `sallyport doctor`: whether everything is as it is meant to be, a sentence per check, and what to do where it is not.
//!
//! Two sources are asked: the cluster, through the administrator's own kubectl, and the control plane's web API (`GET /v1/status`). Where
//! one is missing its checks are left out, which the report says. Nothing is changed, but for one short-lived Pod that tries the
//! network, which goes whatever happens.

mod certificates;
mod check;
mod cluster;
mod control_plane;
mod injection;
mod installation;
mod network;
mod pod;
mod rights;
mod webhooks;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;
use shared::limits;
use shared_net::clock::Clock;

pub use check::{ALL, Check, Group, Outcome, Report};

use crate::install::Kubectl;

/// Where the control plane is asked.
#[derive(Debug)]
pub enum Status {
    /// It was, over the web API: its answer, or why there is none.
    Asked(Result<Value, String>),
    /// With kubectl, in its own Pod, where it runs in the cluster.
    InItsPod,
}

/// What doctor looks at, and how.
#[derive(Debug)]
pub struct Question {
    /// The administrator's kubectl.
    pub kubectl: Kubectl,
    /// The cluster is not looked at.
    pub without_cluster: bool,
    /// The control plane.
    pub status: Status,
    /// Where the Pod runs that tries the network; the first namespace of runners where none is named.
    pub namespace: Option<String>,
    /// No Pod is started.
    pub without_pod: bool,
    /// This machine's clock.
    pub clock: Clock,
}

/// A word from outside to stop: the Pod is taken away, and no further one started.
#[derive(Debug)]
pub struct Stop(Receiver<()>);

impl Stop {
    /// Stops when something comes, or when the sender is gone.
    pub const fn new(receiver: Receiver<()>) -> Self {
        Self(receiver)
    }

    /// Waits; `true`: it is to stop.
    fn within(&self, wait: Duration) -> bool {
        !matches!(self.0.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// Looks at everything. It blocks: kubectl is waited for.
pub fn run(question: &Question, stop: &Stop) -> Report {
    let mut report = Report::default();
    let cluster = [Group::Cluster, Group::Installation, Group::Injection, Group::Network];
    let seen = if question.without_cluster {
        report.leave_out_rest(&cluster, "--no-cluster says so");
        None
    } else {
        cluster::look(question, &mut report)
    };
    if let Some(seen) = &seen {
        installation::look(seen, &mut report);
        rights::look(seen, &mut report);
        certificates::look(seen, &mut report);
        webhooks::look(seen, &mut report);
        injection::look(seen, &mut report);
        network::look(seen, stop, &mut report);
    }
    control_plane::look(question, seen.as_ref(), &mut report);
    // What an earlier failure kept from being looked at.
    report.leave_out_rest(&cluster, "an earlier check says why");
    report.leave_out_rest(&[Group::ControlPlane], "the control plane was not asked");
    report.sort();
    report
}

/// A text in JSON; empty where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list in JSON; empty where there is none.
fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The last line of what kubectl complained of, from where it says the cause; what makes it longer than a person reads is cut.
fn last_line(text: &str) -> String {
    let line = text.trim().lines().last().unwrap_or_default().trim();
    let cause = ["error when creating \"STDIN\": ", "Internal error occurred: "];
    let line = cause.iter().fold(line, |line, prefix| line.split_once(prefix).map_or(line, |(_, cause)| cause));
    let mut short: String = line.chars().take(limits::REASON_BYTES / 3).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// A time span for people.
fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
