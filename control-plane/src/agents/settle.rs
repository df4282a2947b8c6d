//! What became of a grant whose answer was lost: the agent process that had it is asked. It seals the grant's connection before it
//! answers, so its answer can't change any more. If that process is gone, nobody can tell: unknown, and final.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::lifecycle::{
    Answer, NotSent, OperationKey, OperationRecord, Outcome, Progress, Question, Unknown,
};
use futures_util::StreamExt as _;
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
use crate::store::{Closing, OpenOperation, Store, StoreError};

/// How long an agent process may stay away before nobody waits for it any more: the longest pause and the longest handshake of one that
/// comes back, and a little.
const AWAY: Duration = Duration::from_secs(10);
const _: () = assert!(AWAY.as_millis() > limits::BACKOFF_SOON.as_millis() + limits::HANDSHAKE_SOON.as_millis());
/// How long an operation waits for an agent to come back before it is refused.
const MOMENT: Duration = Duration::from_secs(3);
/// Between two questions about a grant that still runs.
const AGAIN: Duration = Duration::from_millis(200);
/// Operations that are asked after at once: each may wait for an agent that is gone.
const AT_ONCE: usize = 64;
/// How long an operation may still run after its connection was lost.
const RUNNING: Duration = Duration::from_secs(60);

impl Agents {
    /// What became of a grant whose connection broke: it was never spent, or this is the outcome.
    pub(crate) async fn ask(&self, link: &Arc<AgentLink>, lost: Lost) -> Result<Unspent, Outcome> {
        let question = Question { jti: lost.jti(), epoch: link.epoch, agent: link.id };
        match self.question(&link.cluster, question).await {
            Answer::NeverSpent => Ok(lost.never_spent()),
            Answer::Spent { outcome: Some(outcome) } => Err(outcome),
            Answer::Spent { outcome: None } | Answer::NotKnown => Err(Outcome::Unknown { why: Unknown::AgentForgot }),
        }
    }

    /// Asks after an operation that an earlier life, or a run that is over, left under way, and writes down what its agent says: its
    /// outcome, or that it may be issued again. Gives the record as it is then.
    pub async fn recover(&self, key: OperationKey) -> Option<OperationRecord> {
        let row = self.recorder.store.operation(key.session, key.operation).await.ok()??;
        let record = row.record?;
        let Some(question) = record.question() else { return Some(record) };
        let answer = self.question(&row.cluster, question).await;
        let now = self.recorder.clock.now();
        let settled = self.recorder.store.change(move |t| {
            let Some(record) = t.operation(key)? else { return Ok(None) };
            // Somebody else may have been told meanwhile.
            let Ok(step) = record.answered(question.jti, answer, now) else { return Ok(Some(record)) };
            match step.state.outcome() {
                Some(outcome) => {
                    let status = match outcome {
                        Outcome::Ok { status } | Outcome::Error { status } => status,
                        Outcome::Unknown { .. } | Outcome::NotSent { .. } => 0,
                    };
                    t.end_operation(&step.state, status, &format!("after a lost connection: {outcome}"), now)?;
                }
                None => t.save_operation(&step.state, None)?,
            }
            Ok(Some(step.state))
        });
        settled.await.ok().flatten()
    }

    /// Puts a question until it has an answer that stays.
    async fn question(&self, cluster: &str, question: Question) -> Answer {
        let started = self.recorder.clock.monotonic();
        loop {
            let Some(link) = self.back(cluster, question.agent).await else { return Answer::NotKnown };
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
    async fn back(&self, cluster: &str, id: AgentId) -> Option<Arc<AgentLink>> {
        self.wait_for(AWAY, || self.by_id(cluster, id)).await
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
    /// Settles what nobody follows any more: what an earlier life issued, and what this one lost on the way.
    pub async fn settle(&self, store: &Store, started: Timestamp) -> Result<(), StoreError> {
        let open = store.open_progress().await?;
        let lost: Vec<OperationKey> = open.iter().filter(|row| self.is_lost(row)).map(|row| row.key).collect();
        futures_util::stream::iter(lost).for_each_concurrent(AT_ONCE, |key| self.settle_one(key)).await;
        self.close_stale(store, &open, started).await
    }

    /// A grant is under way, nobody here waits for its answer, and its connection is over. On a living one the question would void the
    /// grants of everybody else.
    fn is_lost(&self, row: &OpenOperation) -> bool {
        let question = row.record.as_ref().and_then(OperationRecord::question);
        question.is_some_and(|question| !self.recorder.runs.has(row.key) && !self.has_epoch(question.epoch))
    }

    async fn settle_one(&self, key: OperationKey) {
        let (session, operation) = (key.session, key.operation);
        match self.recover(key).await.as_ref().map(|record| (record.outcome(), record.progress())) {
            Some((Some(outcome), _)) => {
                tracing::info!(session.id = %session, operation.id = %operation, %outcome, "settled after a lost connection");
            }
            Some((None, progress)) => {
                let progress = progress.as_str();
                tracing::info!(session.id = %session, operation.id = %operation, progress, "the agent never spent its grant");
            }
            None => tracing::error!(session.id = %session, operation.id = %operation, "could not be settled"),
        }
    }

    /// Closes what was recorded, or came back unspent, and was never asked for again: its sidecar is gone, and nothing was sent.
    async fn close_stale(&self, store: &Store, open: &[OpenOperation], started: Timestamp) -> Result<(), StoreError> {
        let now = self.recorder.clock.now();
        for row in open {
            // Its hold, its agent or its approval's expiry decides about it.
            let decided = row.record.as_ref().is_some_and(|record| match record.progress() {
                Progress::Waiting { .. } | Progress::Issued { .. } | Progress::Returned { approval: Some(_) } => true,
                Progress::Open | Progress::Returned { approval: None } | Progress::Ended { .. } => false,
            });
            let young = now.since(row.opened.max(started)) < limits::CLAIM_WAIT;
            if decided || young || self.recorder.runs.has(row.key) {
                continue;
            }
            let closing = Closing::not_sent(NotSent::ClientLeft, now, "it was recorded and never came back");
            store.close_operation(row.key.session, row.key.operation, closing).await?;
        }
        Ok(())
    }
}
