//! Watches what protects each cluster: network policies, webhooks, admission policies and our roles, compared by the agent with what was
//! installed. What is deleted or otherwise is an alarm until it is back; and so is a cluster in which nobody can tell, though agents carry
//! out what jobs ask for. (Without an agent nothing is carried out, and it is not known how things are.)
//!
//! It asks whether or not there are runners: on an idle cluster nobody else would notice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use shared::chain::Chain;
use shared::guard::Watched;
use shared::limits;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::tasks::TaskSet;

use crate::agents::{Agents, InternalError};
use crate::alarms::{Alarms, Raised};
use crate::authn::Authn;

/// What is known of one cluster.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// When it was last looked at with success.
    pub at: Option<Timestamp>,
    /// How many objects were looked at; 0: the agents were not told of any.
    pub objects: usize,
    /// What is not as it was installed, a sentence each.
    pub complaints: Vec<String>,
    /// Why the last look failed.
    pub error: Option<String>,
}

/// All clusters.
pub struct Guards {
    agents: Arc<Agents>,
    alarms: Arc<Alarms>,
    clock: Clock,
    known: Mutex<BTreeMap<String, Guard>>,
}

impl Guards {
    /// Nothing is known yet.
    pub fn new(agents: Arc<Agents>, alarms: Arc<Alarms>, clock: Clock) -> Self {
        Self { agents, alarms, clock, known: Mutex::default() }
    }

    /// What is known of a cluster.
    pub fn of(&self, cluster: &str) -> Guard {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(cluster).cloned().unwrap_or_default()
    }

    /// Nothing is known of it any more.
    fn forget(&self, cluster: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
    }

    /// Watches one cluster for ever.
    pub async fn watch(self: Arc<Self>, cluster: String) {
        let mut raised: Option<(Vec<String>, Raised)> = None;
        let mut failing: Option<Duration> = None;
        let mut changes = self.agents.changes();
        loop {
            match self.agents.guard_read(&cluster).await {
                Ok(watched) => {
                    failing = None;
                    self.judge(&cluster, &watched, &mut raised).await;
                }
                Err(error) => self.unseen(&cluster, &error, &mut failing, &mut raised).await,
            }
            tokio::select! {
                () = tokio::time::sleep(limits::GUARD_EVERY) => {}
                // An agent came: the first look is at once, and nobody has looked in its absence.
                _ = changes.changed(), if self.of(&cluster).error.is_some() => {}
            }
        }
    }

    async fn judge(&self, cluster: &str, watched: &[Watched], raised: &mut Option<(Vec<String>, Raised)>) {
        let complaints: Vec<_> = watched.iter().filter_map(Watched::complaint).collect();
        let guard =
            Guard { at: Some(self.clock.now()), objects: watched.len(), complaints: complaints.clone(), error: None };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(cluster.to_owned(), guard);
        self.alarm(cluster, complaints, raised).await;
    }

    /// Nobody could look. What was wrong stays wrong until somebody has seen that it is not.
    async fn unseen(
        &self,
        cluster: &str,
        error: &InternalError,
        failing: &mut Option<Duration>,
        raised: &mut Option<(Vec<String>, Raised)>,
    ) {
        let why = Chain(error).to_string();
        tracing::debug!(cluster, error = why, "what protects the cluster could not be looked at");
        let mut complaints = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let guard = known.entry(cluster.to_owned()).or_default();
            guard.error = Some(why.clone());
            guard.complaints.clone()
        };
        let now = self.clock.monotonic();
        let for_long = now.saturating_sub(*failing.get_or_insert(now)) >= limits::GUARD_EVERY;
        let alarming = match error {
            InternalError::NoAgent(_) => {
                *failing = None;
                false
            }
            InternalError::OldAgents => true,
            // An agent may just be going: the next look is another's.
            InternalError::NotMade(_)
            | InternalError::NotRecorded
            | InternalError::NoAnswer
            | InternalError::NoRight
            | InternalError::Status(_)
            | InternalError::Unreadable => for_long,
        };
        if alarming {
            complaints.push(format!("nobody can tell whether what protects it is as it was installed: {why}"));
            self.alarm(cluster, complaints, raised).await;
        }
    }

    async fn alarm(&self, cluster: &str, complaints: Vec<String>, raised: &mut Option<(Vec<String>, Raised)>) {
        if complaints.is_empty() {
            *raised = None;
        } else if raised.as_ref().is_none_or(|(known, _)| *known != complaints) {
            let alarm = self.alarms.changed(cluster, complaints.clone()).await;
            // In the place of the one before, after it is on: there is no moment without.
            *raised = Some((complaints, alarm));
        }
    }
}

/// Watches every cluster for as long as it is known.
pub(crate) async fn watch_all(guards: Arc<Guards>, authn: Arc<Authn>, tasks: TaskSet) {
    let mut changes = authn.changes();
    let mut watched: BTreeMap<String, TaskSet> = BTreeMap::new();
    loop {
        let names = authn.names();
        watched.retain(|name, task| {
            let known = names.contains(name);
            if !known {
                task.cancel();
                guards.forget(name);
            }
            known
        });
        for name in names {
            watched.entry(name).or_insert_with_key(|name| {
                let task = tasks.child();
                task.spawn_core("guard", Arc::clone(&guards).watch(name.clone()));
                task
            });
        }
        // The sender lives as long as we hold `authn`.
        drop(changes.changed().await);
    }
}
