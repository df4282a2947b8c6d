//! What the agent counts. Labels come from closed lists, never from a request.

use std::sync::atomic::AtomicI64;

use shared_net::endpoint::Way;
use shared_net::metrics::Metrics;
use shared_net::metrics::prometheus_client::encoding::EncodeLabelSet;
use shared_net::metrics::prometheus_client::metrics::counter::Counter;
use shared_net::metrics::prometheus_client::metrics::family::Family;
use shared_net::metrics::prometheus_client::metrics::gauge::Gauge;

use crate::refusal::{Refusal, Sent};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkLabels {
    way: &'static str,
}

/// The agent's counters. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct AgentMetrics {
    requests: Counter,
    answers: Family<AnswerLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    attacks: Counter,
    unknown: Counter,
    aborted: Counter,
    connections: Counter,
    links: Family<LinkLabels, Gauge>,
    bodies: Gauge<i64, AtomicI64>,
}

impl AgentMetrics {
    /// Registers them all.
    pub fn register(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register("agent_requests", "Requests with or without a grant that arrived", own.requests.clone());
        metrics.register("agent_answers", "Answers of the API server by class of status", own.answers.clone());
        metrics.register("agent_refusals", "Requests or answers that the agent refused", own.refusals.clone());
        metrics.register(
            "agent_attack_signals",
            "Refusals that an honest control plane never causes",
            own.attacks.clone(),
        );
        metrics.register(
            "agent_unknown_outcomes",
            "Requests of which nobody can say whether they were carried out",
            own.unknown.clone(),
        );
        metrics.register("agent_aborted_bodies", "Answers that were broken off", own.aborted.clone());
        metrics.register(
            "agent_connections",
            "Connections to the control plane that were greeted",
            own.connections.clone(),
        );
        metrics.register(
            "agent_links",
            "Connections to the control plane that stand, over UDP or, where that is blocked, over TCP",
            own.links.clone(),
        );
        metrics.register("agent_open_answers", "Answers that are being passed on", own.bodies.clone());
        own
    }

    pub(crate) fn arrived(&self) {
        self.requests.inc();
    }

    /// Requests that arrived so far.
    pub fn received(&self) -> u64 {
        self.requests.get()
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&RefusalLabels { reason: refusal.label() }).inc();
        if refusal.is_attack_signal() {
            self.attacks.inc();
        }
        if refusal.sent() == Sent::Unknown {
            self.unknown.inc();
        }
    }

    pub(crate) fn answered(&self, status: u16) {
        let class = match status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.answers.get_or_create(&AnswerLabels { class }).inc();
    }

    /// A connection was greeted; counts it while it stands.
    pub(crate) fn connected(&self, way: Way) -> OpenLink {
        self.connections.inc();
        let gauge = self.links.get_or_create_owned(&LinkLabels { way: way.label() });
        gauge.inc();
        OpenLink(gauge)
    }

    pub(crate) fn aborted(&self) {
        self.aborted.inc();
    }

    pub(crate) fn body(&self) -> OpenBody {
        self.bodies.inc();
        OpenBody(self.clone())
    }

    /// Refusals that an honest control plane never causes, so far.
    pub fn attack_signals(&self) -> u64 {
        self.attacks.get()
    }
}

/// Counts one connection while it stands.
#[derive(Debug)]
pub(crate) struct OpenLink(Gauge);

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts one body while it lives.
#[derive(Debug)]
pub(crate) struct OpenBody(AgentMetrics);

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.bodies.dec();
    }
}
