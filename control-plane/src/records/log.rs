//! The record of one operation while it runs: opened before anything is decided, closed in exactly one outcome.
//!
//! Every exit passes here: an [`OperationLog`] that is dropped without being closed is closed with what is known by then. Only a
//! held operation stays open when its client leaves: its hold decides about it.

use std::sync::Arc;
use std::time::Duration;

use control_plane_core::decision::{ApprovalRef, Explanation};
use control_plane_core::digest::{DigestKey, DigestStream};
use control_plane_core::grant::Grant;
use control_plane_core::lifecycle::{NewIssue, NotSent, OperationKey, Outcome, Unknown};
use shared::ids::{AgentId, GrantId, HoldId};
use shared::limits;
use shared_net::clock::Clock;
use shared_net::tasks::TaskSet;
use shared_net::telemetry::ACCESS;

use super::RequestMask;
use super::running::{Run, Runs};
use crate::metrics::{GatewayMetrics, OperationLabels};
use crate::store::{Closing, OpenRead, Opened, Opening, OperationRow, Response, Store, StoreError};

/// What every log needs of the process.
#[derive(Clone)]
pub struct Recorder {
    /// Where it is written.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Runs the writes of logs that are dropped.
    pub tasks: TaskSet,
    /// Counts.
    pub metrics: Arc<GatewayMetrics>,
    /// Masks request bodies before they are kept or shown.
    pub mask: RequestMask,
    /// What has a log.
    pub runs: Runs,
}

/// How far it got: says what a sudden end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Opened,
    Held,
    /// A grant may be on record, and was not sent.
    Issued,
    Sent,
    Answered(u16),
    Closed,
}

/// When an intent is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// Of a plain read: soon.
    Soon,
    /// Before anything else.
    First,
    /// Of an operation of ours, whose id is new: with its grant, before that is sent.
    WithGrant,
}

/// The proof that the intent is on record, and the place where everything after is noted.
pub(crate) struct OperationLog {
    recorder: Recorder,
    /// Until the record is closed, or the attempt to close it has failed.
    run: Option<Run>,
    opening: Arc<Opening>,
    /// Of a plain read: its record, which may not be written yet.
    read: Option<OpenRead>,
    asker: String,
    durable: bool,
    progress: Progress,
    started: Duration,
    held_at: Option<Duration>,
    waited: Duration,
    sent_at: Option<Duration>,
    status: u16,
    outcome: Option<Outcome>,
    explanation: Option<Explanation>,
    hold: Option<HoldId>,
    approvers: Option<String>,
    jti: Option<GrantId>,
    agent: Option<AgentId>,
    claims: Option<String>,
    response: Response,
    /// The answer has real values in it: only its digest is kept.
    discloses: bool,
    stream: DigestStream,
}

impl OperationLog {
    /// The open stage. Mutations, streams and reveals of runners are durable before this answers; everything else is with the writer.
    /// Gives the earlier record too, where the session has an operation of this id already.
    pub(crate) async fn open(
        recorder: &Recorder,
        opening: Opening,
        key: &DigestKey,
        asker: String,
        opens: Opens,
    ) -> Result<(Self, Option<Box<OperationRow>>), StoreError> {
        let opening = Arc::new(opening);
        let (mut known, mut read) = (None, None);
        match opens {
            Opens::Soon => read = Some(recorder.store.open_read(Arc::clone(&opening)).await?),
            Opens::WithGrant => recorder.store.open_with_grant(Opening::clone(&opening)).await?,
            Opens::First => {
                if let Opened::Known(row) = recorder.store.open_operation(Opening::clone(&opening)).await? {
                    known = Some(row);
                }
            }
        }
        recorder.metrics.running.inc();
        let run = recorder.runs.add(OperationKey { session: opening.session, operation: opening.id });
        let log = Self {
            run: Some(run),
            started: recorder.clock.monotonic(),
            recorder: recorder.clone(),
            opening,
            read,
            asker,
            durable: opens != Opens::Soon,
            progress: Progress::Opened,
            held_at: None,
            waited: Duration::ZERO,
            sent_at: None,
            status: 0,
            outcome: None,
            explanation: None,
            hold: None,
            approvers: None,
            jti: None,
            agent: None,
            claims: None,
            response: Response { complete: true, ..Response::default() },
            discloses: false,
            stream: key.stream(),
        };
        Ok((log, known))
    }

    /// What is on record of the intent.
    pub(crate) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Which operation.
    pub(crate) fn key(&self) -> OperationKey {
        OperationKey { session: self.opening.session, operation: self.opening.id }
    }

    /// Whether its record is durable before it is sent.
    pub(crate) const fn is_durable(&self) -> bool {
        self.durable
    }

    /// Whether it changes nothing: then it ends with its client.
    pub(crate) fn is_read(&self) -> bool {
        self.opening.info.is_read()
    }

    /// Makes its record durable where it is not: whatever waits for people outlives this process. Gives the earlier record, where the
    /// session had this operation wait before.
    pub(crate) async fn make_durable(&mut self) -> Result<Option<Box<OperationRow>>, StoreError> {
        if self.durable {
            return Ok(None);
        }
        let opened = self.recorder.store.promote_read((*self.opening).clone()).await?;
        self.durable = true;
        Ok(match opened {
            Opened::New => None,
            Opened::Known(row) => Some(row),
        })
    }

    /// Notes what was decided.
    pub(crate) fn decided(&mut self, explanation: &Explanation) {
        self.explanation = Some(explanation.clone());
    }

    /// Notes that it waits in a hold, which is on record: from here on the hold decides about its end.
    pub(crate) fn held(&mut self, hold: HoldId) {
        self.hold = Some(hold);
        self.progress = Progress::Held;
        self.held_at = Some(self.recorder.clock.monotonic());
    }

    /// Notes that the hold let it go on.
    pub(crate) fn released(&mut self) {
        if self.progress == Progress::Held {
            self.progress = Progress::Opened;
        }
        let waited = self.held_at.take().map(|at| self.recorder.clock.monotonic().saturating_sub(at));
        self.waited = self.waited.saturating_add(waited.unwrap_or_default());
        self.recorder.metrics.hold_seconds.observe(self.waited.as_secs_f64());
    }

    /// Notes the grant that comes on record next: whatever ends the operation before it is sent, closes the record under this grant.
    pub(crate) const fn issuing(&mut self, new: &NewIssue) {
        self.jti = Some(new.jti);
        self.agent = Some(new.agent);
        self.progress = Progress::Issued;
    }

    /// Notes who let it go on, if people did.
    pub(crate) fn approved(&mut self, approval: Option<&ApprovalRef>) {
        self.approvers = approval.map(|approval| approval.approvers.join(","));
    }

    /// Notes the grant, just before it is sent: from here on a sudden end is an unknown outcome.
    pub(crate) fn sent(&mut self, grant: &Grant, agent: AgentId) {
        let claims = grant.claims();
        self.jti = Some(claims.jti);
        self.claims = Some(grant.written().to_owned());
        self.discloses = claims.approval.as_ref().is_some_and(|approval| approval.pin.revealed().is_some());
        if self.discloses {
            tracing::warn!(operation.id = %self.opening.id, approvers = self.approvers, "real values are shown to a job");
        }
        self.agent = Some(agent);
        self.sent_at = Some(self.recorder.clock.monotonic());
        self.progress = Progress::Sent;
    }

    /// Notes that the grant was certainly never spent: a sudden end is not an unknown outcome any more.
    pub(crate) const fn unsent(&mut self) {
        self.progress = Progress::Issued;
    }

    /// Lets go of a record that another run of the same operation owns: nothing is closed.
    pub(crate) fn forget(mut self) {
        self.recorder.metrics.running.dec();
        self.progress = Progress::Closed;
    }

    /// Notes the head of an answer that is made here.
    pub(crate) fn answered_here(&mut self, status: u16, content_type: &str) {
        self.status = status;
        self.response.content_type = Some(content_type.to_owned());
    }

    /// Notes what is known of the outcome before the answer is read: an answer of the agent's own is no answer of the API server.
    pub(crate) const fn outcome_is(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// The outcome, where an answer with this status came.
    pub(crate) fn outcome(&self, status: u16) -> Outcome {
        self.outcome.unwrap_or_else(|| Outcome::of_status(status))
    }

    /// Notes the head of the answer.
    pub(crate) fn answered(&mut self, status: u16, content_type: Option<String>) {
        self.status = status;
        self.response.content_type = content_type;
        self.progress = Progress::Answered(status);
    }

    /// The record stage: takes a piece of the masked answer before the client gets it.
    pub(crate) fn append(&mut self, piece: &[u8]) {
        self.stream.update(piece);
        self.response.bytes += piece.len() as u64;
        let bound = if self.durable { limits::RECORDED_BODY_BYTES } else { limits::RECORDED_READ_BYTES };
        if !self.discloses && self.response.complete && self.response.body.len() + piece.len() <= bound {
            self.response.body.extend_from_slice(piece);
        } else {
            self.response.complete = false;
        }
    }

    /// Closes it and waits until that is on disk, where the operation is one of those that must be.
    pub(crate) async fn close(
        mut self,
        outcome: Outcome,
        status: u16,
        reason: Option<String>,
    ) -> Result<(), StoreError> {
        let Some(closing) = self.close_waiting(outcome, status, reason) else { return Ok(()) };
        let (session, id) = (self.opening.session, self.opening.id);
        if self.durable {
            self.recorder.store.close_operation(session, id, closing).await.map(drop)
        } else {
            self.recorder.store.close_read(session, id, closing).await
        }
    }

    /// Closes it without waiting, once what is under way is done: the last bytes of an answer go out before the work of closing begins.
    pub(crate) fn close_later(self, outcome: Outcome, status: u16, reason: Option<String>) {
        let tasks = self.recorder.tasks.clone();
        let ending = Ending { log: self, end: Some((outcome, status, reason)) };
        tasks.spawn("close-record", ending.write());
    }

    fn finish(&mut self, outcome: Outcome, status: u16, reason: Option<String>) {
        let tasks = self.recorder.tasks.clone();
        if let Some(writing) = self.write_closing(outcome, status, reason) {
            tasks.spawn("close-record", writing);
        }
    }

    /// Closes it here; what is still to be written then.
    fn write_closing(
        &mut self,
        outcome: Outcome,
        status: u16,
        reason: Option<String>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let closing = self.close_waiting(outcome, status, reason)?;
        let (store, durable, ours) = (self.recorder.store.clone(), self.durable, self.opening.is_ours());
        let (session, id) = (self.opening.session, self.opening.id);
        let run = self.run.take();
        Some(async move {
            let _run = run;
            let result = match (durable, ours) {
                (false, _) => store.close_read(session, id, closing).await,
                (true, true) => store.close_unhurried(session, id, closing).await.map(drop),
                (true, false) => store.close_operation(session, id, closing).await.map(drop),
            };
            if let Err(error) = result {
                let error = shared::chain::Chain(&error).to_string();
                tracing::error!(operation.id = %id, error, "an operation could not be closed; it is tried again once its agent's connection is over, or at the next start");
            }
        })
    }

    /// The closing, if it is still to be written: that of a read whose opening waits goes with it.
    fn close_waiting(&mut self, outcome: Outcome, status: u16, reason: Option<String>) -> Option<Closing> {
        let closing = self.closing(outcome, status, reason);
        match self.read.take() {
            Some(read) => read.end(closing),
            None => Some(closing),
        }
    }

    fn closing(&mut self, outcome: Outcome, status: u16, reason: Option<String>) -> Closing {
        self.progress = Progress::Closed;
        self.status = status;
        self.tell(outcome);
        let stream = std::mem::replace(&mut self.stream, DigestKey::new([0; 32]).stream());
        let mut response = std::mem::take(&mut self.response);
        if !response.complete {
            // The first part of a long read helps nobody; of a mutation or stream it is evidence.
            response.body.truncate(if self.durable { limits::RECORDED_BODY_BYTES } else { 0 });
        }
        response.digest = (response.bytes > 0).then(|| stream.finish());
        Closing {
            outcome,
            status,
            reason,
            closed: self.recorder.clock.now(),
            explanation: self.explanation.take(),
            hold: self.hold,
            jti: self.jti,
            agent: self.agent,
            claims: self.claims.take(),
            response,
        }
    }

    /// The one access event, and the metrics.
    fn tell(&self, outcome: Outcome) {
        let metrics = &self.recorder.metrics;
        let now = self.recorder.clock.monotonic();
        let total = now.saturating_sub(self.started);
        let info = &self.opening.info;
        let decision = self.explanation.as_ref().map_or("none", |e| e.effect.as_str());
        metrics.running.dec();
        metrics.seconds.observe(total.saturating_sub(self.waited).as_secs_f64());
        let class = match (self.opening.is_ours(), info.is_connect(), info.is_read()) {
            (true, _, _) => "internal",
            (false, true, _) => "connect",
            (false, false, true) => "read",
            (false, false, false) => "write",
        };
        let labels = OperationLabels { class, decision, outcome: outcome.word() };
        metrics.operations.get_or_create(&labels).inc();
        tracing::info!(
            target: ACCESS,
            {
            operation.id = %self.opening.id,
            operation.kind = %self.opening.kind,
            session.id = %self.opening.session,
            identity.issuer = self.opening.issuer,
            identity.subject = %self.asker,
            cluster = %self.opening.cluster,
            verb = info.verb.as_str(),
            group = %info.api_group,
            resource = %info.resource,
            subresource = %info.subresource,
            namespace = %info.namespace,
            name = %info.name,
            decision = decision,
            rule = self.explanation.as_ref().map(|e| e.rule.as_str()),
            risk = self.explanation.as_ref().map(|e| e.risk),
            hold.id = self.hold.map(|id| id.to_string()),
            approver = self.approvers,
            grant.id = self.jti.map(|id| id.to_string()),
            agent.id = self.agent.map(|id| id.to_string()),
            status = self.status,
            bytes_in = self.opening.bytes_in,
            bytes_out = self.response.bytes,
            wait_ms = millis(self.waited),
            upstream_ms = self.sent_at.map(|at| millis(now.saturating_sub(at))),
            total_ms = millis(total),
            outcome = outcome.word(),
            },
            "operation"
        );
    }
}

/// A log that is about to be closed. Dropped before it is written, it closes it all the same.
struct Ending {
    log: OperationLog,
    end: Option<(Outcome, u16, Option<String>)>,
}

impl Ending {
    async fn write(mut self) {
        let Some((outcome, status, reason)) = self.end.take() else { return };
        if let Some(writing) = self.log.write_closing(outcome, status, reason) {
            writing.await;
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some((outcome, status, reason)) = self.end.take() {
            self.log.finish(outcome, status, reason);
        }
    }
}

impl Drop for OperationLog {
    fn drop(&mut self) {
        let left = || Some("the client left".to_owned());
        match self.progress {
            Progress::Closed => {}
            // The hold goes on without its client, and closes this record when it ends.
            Progress::Held => {
                self.recorder.metrics.running.dec();
            }
            Progress::Opened | Progress::Issued => {
                self.finish(Outcome::NotSent { why: NotSent::ClientLeft }, 0, left());
            }
            Progress::Sent => {
                let outcome = self.outcome.unwrap_or(Outcome::Unknown { why: Unknown::NoAnswer });
                self.finish(outcome, 0, left());
            }
            // The API server had answered: that is the outcome, whoever stopped reading.
            Progress::Answered(status) => {
                self.response.complete = false;
                self.finish(self.outcome(status), status, left());
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
