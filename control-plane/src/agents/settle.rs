//! What became of a grant whose answer was lost: the agent process that had it is asked. It seals the grant's connection before it
//! answers, so its answer can't change any more. If that process is gone, nobody can tell: unknown, and final.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::lifecycle::{Answer, NotSent, OperationKey, Outcome, Progress, Question, Unknown};
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::Full;
use serde_json::json;
use shared::ids::{AgentId, GrantId};
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::body::collect_bounded;
use shared_net::exchange;

use super::{AgentLink, Agents};
use crate::store::{Closing, Store, StoreError};

/// How long an agent process may stay away before nobody waits for it any more.
const AWAY: Duration = Duration::from_secs(20);
/// Between two questions about a grant that still runs.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an operation may still run after its connection was lost.
const RUNNING: Duration = Duration::from_secs(60);

impl Agents {
    /// What became of a grant whose connection broke.
    pub async fn ask(&self, link: &Arc<AgentLink>, jti: GrantId) -> Outcome {
        self.question(&link.cluster, Question { jti, epoch: link.epoch, agent: link.id }).await
    }

    /// The outcome of an operation that an earlier life, or another run, left under way; recorded once it is known.
    pub async fn recover(&self, key: OperationKey) -> Option<Outcome> {
        let row = self.recorder.store.operation(key.session, key.operation).await.ok()??;
        let record = row.record?;
        if let Some(outcome) = record.outcome() {
            return Some(outcome);
        }
        let question = record.question()?;
        let outcome = self.question(&row.cluster, question).await;
        let now = self.recorder.clock.now();
        let settled = self.recorder.store.change(move |t| {
            let Some(record) = t.operation(key)? else { return Ok(None) };
            if let Ok(step) = record.finish(question.jti, outcome, now) {
                t.end_operation(&step.state, 0, &format!("after a lost connection: {outcome}"), now)?;
                return Ok(step.state.outcome());
            }
            Ok(record.outcome())
        });
        settled.await.ok().flatten()
    }

    async fn question(&self, cluster: &str, question: Question) -> Outcome {
        let forgot = Outcome::Unknown { why: Unknown::AgentForgot };
        let started = self.recorder.clock.monotonic();
        loop {
            let Some(link) = self.back(cluster, question.agent).await else { return forgot };
            match put(&link, question).await {
                Some(Answer::NeverSpent) => return Outcome::NotSent { why: NotSent::NoAgent },
                Some(Answer::Spent { outcome: Some(outcome) }) => return outcome,
                Some(Answer::NotKnown) => return forgot,
                Some(Answer::Spent { outcome: None }) | None => {}
            }
            if self.recorder.clock.monotonic().saturating_sub(started) > RUNNING {
                return forgot;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A connection of that process, once it is back.
    async fn back(&self, cluster: &str, id: AgentId) -> Option<Arc<AgentLink>> {
        self.wait_for(AWAY, || self.by_id(cluster, id)).await
    }

    /// An agent of the cluster; waits a moment for one to come back.
    pub async fn pick_or_wait(&self, cluster: &str) -> Option<Arc<AgentLink>> {
        const MOMENT: Duration = Duration::from_secs(3);
        self.wait_for(MOMENT, || self.pick(cluster)).await
    }

    /// What `find` finds, now or as agents come and go, within a time.
    async fn wait_for(
        &self,
        within: Duration,
        find: impl Fn() -> Option<Arc<AgentLink>> + Send,
    ) -> Option<Arc<AgentLink>> {
        // Nearly always it is there, and then nothing is subscribed to.
        if let Some(link) = find() {
            return Some(link);
        }
        let mut changes = self.changes();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(link) = find() {
                    return Some(link);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(within, wait).await.ok().flatten()
    }
}

/// Puts a question; `None`: no readable answer.
async fn put(link: &AgentLink, question: Question) -> Option<Answer> {
    let request = http::Request::post(wire::path::LEDGER)
        .header(HOST, wire::HOST_CONTROL)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(json!({ "epoch": question.epoch, "jtis": [question.jti] }).to_string()))
        .ok()?;
    let response = exchange::send(&link.connection, request).await.ok()?;
    let body = collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::OPEN_STREAM).await.ok()?;
    let answers: Answers = serde_json::from_slice(&body).ok()?;
    answers.answers.into_iter().next()
}

#[derive(serde::Deserialize)]
struct Answers {
    answers: Vec<Answer>,
}

impl Agents {
    /// After a start: everything that an earlier life issued is put to the agents that had it.
    pub async fn recover_all(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        for row in store.open_operations().await? {
            let (Some(record), key) = (row.record, OperationKey { session: row.session, operation: row.id }) else {
                continue;
            };
            if record.question().is_none() {
                continue;
            }
            match self.recover(key).await {
                Some(outcome) => tracing::info!(operation.id = %row.id, %outcome, "settled after a restart"),
                None => tracing::error!(operation.id = %row.id, "could not be settled after a restart"),
            }
        }
        Ok(())
    }

    /// Closes what was recorded in an earlier life and never came back: its sidecar is gone, and nothing was sent.
    pub async fn close_stale(&self, store: &Store, started: Timestamp) -> Result<(), StoreError> {
        let now = self.recorder.clock.now();
        if now.since(started) < limits::CLAIM_WAIT {
            return Ok(());
        }
        for row in store.open_operations().await? {
            let waits = row
                .record
                .as_ref()
                .is_some_and(|record| matches!(record.progress(), Progress::Waiting { .. } | Progress::Issued { .. }));
            if row.opened >= started || waits {
                continue;
            }
            let closing = Closing::not_sent(NotSent::ClientLeft, now, "it was recorded and never came back");
            store.close_operation(row.session, row.id, closing).await?;
        }
        Ok(())
    }
}
