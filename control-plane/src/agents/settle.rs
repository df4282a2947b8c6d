//! What became of a grant whose answer was lost: the agent process that had it is asked. It seals the grant's connection before it
//! answers, so its answer can't change any more. If that process is gone, nobody can tell: unknown, and final.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::lifecycle::{
    Answer, NotSent, OperationKey, OperationRecord, Outcome, Progress, Question, Unknown,
};
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::Full;
use serde_json::json;
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::body::collect_bounded;
use shared_net::exchange;

use super::forward::{Lost, Unspent};
use super::{AgentLink, Agents};
use crate::store::{Closing, Store, StoreError};

/// How long an agent process may stay away before nobody waits for it any more: the longest pause and the longest handshake of one that
/// comes back, and a little.
const AWAY: Duration = Duration::from_secs(10);
const _: () = assert!(AWAY.as_millis() > limits::BACKOFF_SOON.as_millis() + limits::HANDSHAKE_SOON.as_millis());
/// How long an operation waits for an agent to come back before it is refused.
const MOMENT: Duration = Duration::from_secs(3);
/// Between two questions about a grant that still runs.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an operation may still run after its connection was lost.
const RUNNING: Duration = Duration::from_secs(60);

/// What is known of an operation that was left under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It is over.
    Over(Outcome),
    /// Its grant was never spent, and another may be issued; `true`: under the approval that it has spent.
    NeverSpent(bool),
}

impl Recovered {
    const fn of(record: &OperationRecord) -> Option<Self> {
        match record.progress() {
            Progress::Ended { outcome, .. } => Some(Self::Over(*outcome)),
            Progress::Returned { approval } => Some(Self::NeverSpent(approval.is_some())),
            Progress::Open | Progress::Waiting { .. } | Progress::Issued { .. } => None,
        }
    }
}

impl Agents {
    /// What became of a grant whose connection broke: it was never spent, or this is the outcome.
    pub(crate) async fn ask(&self, link: &Arc<AgentLink>, lost: Lost) -> Result<Unspent, Outcome> {
        match self.question(Question { jti: lost.jti(), epoch: link.epoch, agent: link.id }).await {
            Answer::NeverSpent => Ok(lost.never_spent()),
            Answer::Spent { outcome: Some(outcome) } => Err(outcome),
            Answer::Spent { outcome: None } | Answer::NotKnown => Err(Outcome::Unknown { why: Unknown::AgentForgot }),
        }
    }

    /// What became of an operation that an earlier life, or another run, left under way; recorded once it is known.
    pub async fn recover(&self, key: OperationKey) -> Option<Recovered> {
        let row = self.recorder.store.operation(key.session, key.operation).await.ok()??;
        let record = row.record?;
        let Some(question) = record.question() else { return Recovered::of(&record) };
        let answer = self.question(question).await;
        let now = self.recorder.clock.now();
        let settled = self.recorder.store.change(move |t| {
            let Some(record) = t.operation(key)? else { return Ok(None) };
            let Ok(step) = record.answered(question.jti, answer, now) else { return Ok(Recovered::of(&record)) };
            match step.state.outcome() {
                Some(outcome) => {
                    t.end_operation(&step.state, 0, &format!("after a lost connection: {outcome}"), now)?;
                }
                None => t.save_operation(&step.state, None)?,
            }
            Ok(Recovered::of(&step.state))
        });
        settled.await.ok().flatten()
    }

    /// What the agent process says; when nobody can say any more, that it is not known.
    async fn question(&self, question: Question) -> Answer {
        let started = self.recorder.clock.monotonic();
        loop {
            let Some(link) = self.back(question.agent).await else { return Answer::NotKnown };
            match put(&link, question).await {
                Some(Answer::Spent { outcome: None }) | None => {}
                Some(answer) => return answer,
            }
            if self.recorder.clock.monotonic().saturating_sub(started) > RUNNING {
                return Answer::NotKnown;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A connection of that process, once it is back.
    async fn back(&self, id: AgentId) -> Option<Arc<AgentLink>> {
        self.wait_for(AWAY, || self.by_id(id)).await
    }

    /// An agent of the cluster; waits a moment for one to come back.
    pub async fn pick_or_wait(&self, cluster: &str) -> Option<Arc<AgentLink>> {
        self.wait_for(MOMENT, || self.pick(cluster)).await
    }

    /// The same, on another connection than the one that did not take an operation.
    pub async fn pick_other(&self, than: &AgentLink) -> Option<Arc<AgentLink>> {
        self.wait_for(MOMENT, || self.pick_but(&than.cluster, Some(than.epoch))).await
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
                Some(Recovered::Over(outcome)) => {
                    tracing::info!(operation.id = %row.id, %outcome, "settled after a restart");
                }
                Some(Recovered::NeverSpent(_)) => {
                    tracing::info!(operation.id = %row.id, "was never sent; it goes on when its sidecar asks again");
                }
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
