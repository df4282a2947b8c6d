//! Ways round the agent that sidecars find open (`shared::bypass`), and what protects a cluster and is not as it was installed
//! (`crate::guards`). A sidecar's alarm lives as long as the connection that raised it, or until the sidecar takes it back, the other kind
//! until a look finds everything in place; what was found stays on record.
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

/// One runner that reaches what only the agent should, or a cluster whose protection was changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The runner's session.
    pub session: Option<SessionId>,
    /// Its cluster.
    pub cluster: String,
    /// The runner's pod, as `namespace/name`.
    pub pod: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// The ways that are open to it.
    pub open: Vec<Route>,
    /// What is not as it was installed, or that nobody can tell, a sentence each.
    pub changed: Vec<String>,
}

/// All that are on.
pub struct Alarms {
    on: RwLock<BTreeMap<u64, Alarm>>,
    next: AtomicUsize,
    count: AtomicUsize,
    gauge: Gauge,
    changed: Gauge,
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
        let (gauge, changed) = (Gauge::default(), Gauge::default());
        metrics.register(
            "bypass_sessions",
            "Sessions whose network lets them reach the API server or their node without the agent",
            gauge.clone(),
        );
        metrics.register(
            "changed_protections",
            "Policies, webhooks and roles of ours that are not as they were installed, and clusters in which nobody can tell",
            changed.clone(),
        );
        Self {
            on: RwLock::default(),
            next: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            gauge,
            changed,
            protection,
            events,
            store,
            clock,
        }
    }

    /// Whether some runner of the cluster finds a way open, or what protects it was changed. Asked at every decision, so that it costs nothing while none is on.
    pub fn is_on(&self, cluster: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.any(cluster)
    }

    /// All that are on, oldest first.
    pub fn list(&self) -> Vec<Alarm> {
        self.on.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes what a sidecar reports: `None` if every way is shut.
    pub async fn report(self: &Arc<Self>, session: &Session, report: Report) -> Option<Raised> {
        session.presence().probed(&report, self.clock.now());
        let mut open = report.open;
        open.truncate(limits::BYPASS_ROUTES);
        if open.is_empty() {
            return None;
        }
        let pod = session.pod();
        let alarm = Alarm {
            session: Some(session.id()),
            cluster: session.cluster().to_owned(),
            pod: Some(pod.clone()),
            since: self.clock.now(),
            open,
            changed: Vec::new(),
        };
        let ways = alarm.open.iter().map(|route| format!("{} ({})", route.way.describe(), route.address));
        let ways = ways.collect::<Vec<_>>().join(", ");
        tracing::error!(session.id = %session.id(), cluster = alarm.cluster, pod, ways,
            "ALARM: a runner reaches the cluster without Sallyport; look at its namespace's network policies");
        let found = Rejected {
            at: alarm.since,
            session: alarm.session,
            operation: None,
            stage: "bypass",
            status: 0,
            what: ways,
            why: "the network lets this runner's pod reach it without the agent".to_owned(),
        };
        self.record(found).await;
        Some(self.raise(alarm))
    }

    /// What protects a cluster is not as it was installed, or nobody can tell.
    pub async fn changed(self: &Arc<Self>, cluster: &str, changed: Vec<String>) -> Raised {
        let what = changed.join("; ");
        tracing::error!(
            cluster,
            what,
            "ALARM: what protects the cluster is not as it was installed, or nobody can tell"
        );
        let since = self.clock.now();
        let found = Rejected {
            at: since,
            session: None,
            operation: None,
            stage: "guard",
            status: 0,
            what: what.chars().take(limits::CLIENT_TEXT_CHARS).collect(),
            why: "what protects the cluster was changed by somebody else, or nobody can tell".to_owned(),
        };
        self.record(found).await;
        let open = Vec::new();
        self.raise(Alarm { session: None, cluster: cluster.to_owned(), pod: None, since, open, changed })
    }

    async fn record(&self, found: Rejected) {
        if let Err(error) = self.store.reject(found).await {
            tracing::error!(error = %shared::chain::Chain(&error), "an alarm could not be recorded");
        }
    }

    fn raise(self: &Arc<Self>, alarm: Alarm) -> Raised {
        let pending = self.protection.wait_for(if alarm.session.is_some() {
            "the network to keep runners from the API server"
        } else {
            "what protects the cluster to be as it was installed"
        });
        let key = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let told = alarm.clone();
        self.on.write().unwrap_or_else(PoisonError::into_inner).insert(key, alarm);
        self.count.fetch_add(1, Ordering::Release);
        self.tell(&told);
        Raised { alarms: Arc::clone(self), key, _not_protected: pending }
    }

    fn any(&self, cluster: &str) -> bool {
        self.on.read().unwrap_or_else(PoisonError::into_inner).values().any(|alarm| alarm.cluster == cluster)
    }

    /// Tells people and monitoring how things are since an alarm of this kind came or went.
    fn tell(&self, alarm: &Alarm) {
        let on = self.on.read().unwrap_or_else(PoisonError::into_inner);
        let (mut runners, mut changed) = ((0, 0), (0, 0));
        for other in on.values() {
            let here = usize::from(other.cluster == alarm.cluster);
            let (runner, objects) = (usize::from(other.session.is_some()), other.changed.len());
            runners = (runners.0 + runner, runners.1 + here * runner);
            changed = (changed.0 + objects, changed.1 + here * objects);
        }
        drop(on);
        self.gauge.set(i64::try_from(runners.0).unwrap_or(i64::MAX));
        self.changed.set(i64::try_from(changed.0).unwrap_or(i64::MAX));
        let cluster = alarm.cluster.clone();
        self.events.announce(if alarm.session.is_some() {
            Event::Bypass { cluster, runners: runners.1 }
        } else {
            Event::Guard { cluster, objects: changed.1 }
        });
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let gone = self.alarms.on.write().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.alarms.count.fetch_sub(1, Ordering::Release);
        if let Some(alarm) = gone {
            let session = alarm.session.map(|session| session.to_string());
            tracing::warn!(
                session.id = session,
                cluster = alarm.cluster,
                pod = alarm.pod,
                "an alarm is off: its runner left or finds nothing open, or what was changed is back"
            );
            self.alarms.tell(&alarm);
        }
    }
}
