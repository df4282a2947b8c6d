//! What the control plane counts. Labels come from closed enums only: never a namespace, a name or a subject.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use shared_net::endpoint::Way;
use shared_net::metrics::Metrics;

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabels {
    /// read | write | connect | internal.
    pub class: &'static str,
    /// allow | hold | deny | none.
    pub decision: &'static str,
    /// ok | error | unknown | not_sent.
    pub outcome: &'static str,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Kind of refusal, from the closed list in `gateway::refusal`.
    pub kind: &'static str,
}

/// Who is connected, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LinkLabels {
    /// agent | sidecar.
    pub role: &'static str,
    /// udp | tcp.
    pub way: &'static str,
}

/// All of them.
#[derive(Debug)]
pub struct GatewayMetrics {
    /// Operations that closed.
    pub operations: Family<OperationLabels, Counter>,
    /// Refusals of any stage.
    pub refusals: Family<RefusalLabels, Counter>,
    /// What looks like an attack: same id with other content, replayed grants, foreign identities.
    pub attack_signals: Family<RefusalLabels, Counter>,
    /// Seconds from arrival to close, without the time a hold waited.
    pub seconds: Histogram,
    /// Seconds that holds waited.
    pub hold_seconds: Histogram,
    /// Holds that were opened or changed.
    pub hold_changes: Counter,
    /// Operations under way.
    pub running: Gauge,
    /// Connections of those who have a role.
    pub links: Family<LinkLabels, Gauge>,
}

/// Counts one connection while it lives.
#[derive(Debug)]
pub struct LinkCount(Gauge);

impl Drop for LinkCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl GatewayMetrics {
    /// Makes and registers them.
    pub fn new(registry: &Metrics) -> Self {
        let fast = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        let slow = [1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
        let this = Self {
            operations: Family::default(),
            refusals: Family::default(),
            attack_signals: Family::default(),
            seconds: Histogram::new(fast),
            hold_seconds: Histogram::new(slow),
            hold_changes: Counter::default(),
            running: Gauge::default(),
            links: Family::default(),
        };
        registry.register(
            "operations",
            "Operations that ended, by class, decision and outcome",
            this.operations.clone(),
        );
        registry.register(
            "refusals",
            "Requests that a stage of the control plane refused, by kind",
            this.refusals.clone(),
        );
        registry.register("attack_signals", "Requests that no honest peer sends, by kind", this.attack_signals.clone());
        registry.register(
            "operation_seconds",
            "Time from arrival to end, without waiting for people",
            this.seconds.clone(),
        );
        registry.register("hold_seconds", "Time that held operations waited for people", this.hold_seconds.clone());
        registry.register("hold_changes", "Holds that were opened, voted on or ended", this.hold_changes.clone());
        registry.register("operations_running", "Operations under way now", this.running.clone());
        registry.register(
            "links",
            "Agents and sidecars that are connected, over UDP or, where that is blocked, over TCP",
            this.links.clone(),
        );
        this
    }

    /// Counts a connection.
    pub fn link(&self, role: &'static str, way: Way) -> LinkCount {
        let gauge = self.links.get_or_create_owned(&LinkLabels { role, way: way.label() });
        gauge.inc();
        LinkCount(gauge)
    }
}
