//! Ways round the agent that sidecars find open (`shared::bypass`). An alarm lives as long as the connection that raised it, or until
//! its sidecar takes it back; what was found stays on record.
//!
//! A sidecar is no security boundary: one that lies can keep silent about its own pod, and raise an alarm that nobody else sees. So an
//! alarm only ever makes policy stricter (`session.bypass`), and it counts for the whole cluster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use shared::bypass::{Report, Route};
use shared::ids::SessionId;
use shared::limits;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::metrics::Metrics;
use shared_net::ready::{Pending, Readiness};

use crate::events::{Event, Events};
use crate::sessions::Session;
use crate::store::{Rejected, Store};

/// One runner that reaches what only the agent should.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Its session.
    pub session: SessionId,
    /// Its cluster.
    pub cluster: String,
    /// Its pod, as `namespace/name`.
    pub pod: String,
    /// Since when.
    pub since: Timestamp,
    /// The ways that are open.
    pub open: Vec<Route>,
}

/// All that are on.
pub struct Alarms {
    on: RwLock<BTreeMap<u64, Alarm>>,
    next: AtomicUsize,
    count: AtomicUsize,
    gauge: Gauge,
    protection: Readiness,
    events: Events,
    store: Store,
    clock: Clock,
}

/// An alarm that is on until this is dropped.
pub struct Raised {
    alarms: Arc<Alarms>,
    key: u64,
    _not_protected: Pending,
}

impl Alarms {
    /// None is on.
    pub fn new(metrics: &Metrics, protection: Readiness, events: Events, store: Store, clock: Clock) -> Self {
        let gauge = Gauge::default();
        metrics.register(
            "bypass_sessions",
            "Sessions whose network lets them reach the API server or their node without the agent",
            gauge.clone(),
        );
        Self {
            on: RwLock::default(),
            next: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            gauge,
            protection,
            events,
            store,
            clock,
        }
    }

    /// Whether some runner of the cluster finds a way open. Asked at every decision, so that it costs nothing while none is on.
    pub fn is_on(&self, cluster: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.runners(cluster) > 0
    }

    /// All that are on, oldest first.
    pub fn list(&self) -> Vec<Alarm> {
        self.on.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes what a sidecar reports: `None` if every way is shut.
    pub async fn report(self: &Arc<Self>, session: &Session, report: Report) -> Option<Raised> {
        let mut open = report.open;
        open.truncate(limits::BYPASS_ROUTES);
        if open.is_empty() {
            return None;
        }
        let pod = session.pod();
        let alarm =
            Alarm { session: session.id(), cluster: session.cluster().to_owned(), pod, since: self.clock.now(), open };
        let ways = alarm.open.iter().map(|route| format!("{} ({})", route.way.describe(), route.address));
        let ways = ways.collect::<Vec<_>>().join(", ");
        tracing::error!(session.id = %alarm.session, cluster = alarm.cluster, pod = alarm.pod, ways,
            "ALARM: a runner reaches the cluster without Sallyport; look at its namespace's network policies");
        let found = Rejected {
            at: alarm.since,
            session: Some(alarm.session),
            operation: None,
            stage: "bypass",
            status: 0,
            what: ways,
            why: "the network lets this runner's pod reach it without the agent".to_owned(),
        };
        if let Err(error) = self.store.reject(found).await {
            tracing::error!(error = %shared::chain::Chain(&error), "an alarm could not be recorded");
        }
        Some(self.raise(alarm))
    }

    fn raise(self: &Arc<Self>, alarm: Alarm) -> Raised {
        let pending = self.protection.wait_for("the network to keep runners from the API server");
        let key = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let cluster = alarm.cluster.clone();
        self.on.write().unwrap_or_else(PoisonError::into_inner).insert(key, alarm);
        self.count.fetch_add(1, Ordering::Release);
        self.gauge.inc();
        self.tell(cluster);
        Raised { alarms: Arc::clone(self), key, _not_protected: pending }
    }

    fn runners(&self, cluster: &str) -> usize {
        self.on.read().unwrap_or_else(PoisonError::into_inner).values().filter(|alarm| alarm.cluster == cluster).count()
    }

    fn tell(&self, cluster: String) {
        let runners = self.runners(&cluster);
        self.events.announce(Event::Bypass { cluster, runners });
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let gone = self.alarms.on.write().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.alarms.count.fetch_sub(1, Ordering::Release);
        self.alarms.gauge.dec();
        if let Some(alarm) = gone {
            tracing::warn!(session.id = %alarm.session, cluster = alarm.cluster, pod = alarm.pod, "an alarm is off: the runner left, or finds nothing open");
            self.alarms.tell(alarm.cluster);
        }
    }
}
