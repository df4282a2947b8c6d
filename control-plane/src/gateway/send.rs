//! issue → forward → record, and what the end of it means.

use std::sync::Arc;

use control_plane_core::lifecycle::{NotSent, Outcome};
use http::Response;
use http_body_util::BodyExt;
use shared_net::body::{self, BoxBody};
use shared_net::exchange::ResponseBody;

use super::forward::{self, ForwardError, Sent, forward};
use super::log::OperationLog;
use super::refusal::Refusal;
use super::serve::{Ready, Refused};
use super::{Gateway, reply};
use crate::agents::AgentLink;
use crate::grants::{Approved, Issued};
use crate::sessions::{Running, Session};

/// Pieces of an answer that wait for a client that is slower than the agent.
const PIECES: usize = 16;

impl Gateway {
    /// Spends the right, and gives the agent's answer with its head noted.
    pub(super) async fn send(&self, ready: Ready) -> Result<(Response<ResponseBody>, OperationLog), Refused> {
        let Ready { allowed, approved, mut log } = ready;
        let cluster = log.opening().cluster.clone();
        let Some(link) = self.agents.pick(&cluster) else {
            return Err(Refused { refusal: Refusal::NoAgent(cluster), log: Some(log) });
        };
        let (terms, spend) = approved.map_or((Approved::default(), None), |approved| (approved.terms, Some(approved.spend)));
        let issued = match self.grants.issue(allowed, &link, terms) {
            Ok(issued) => issued,
            Err(error) => return Err(Refused { refusal: Refusal::Issue(error.to_string()), log: Some(log) }),
        };
        // On record before it is sent; for an approved operation the same transaction spends the approval.
        let recorded = match spend {
            Some(spend) => self.approvals.spend(spend, issued.row.clone()).await,
            None if log.is_durable() => self.recorder.store.write_grant(issued.row.clone()).await.map_err(Refusal::Record),
            None => self.recorder.store.note_grant(issued.row.clone()).await.map_err(Refusal::Record),
        };
        if let Err(refusal) = recorded {
            return Err(Refused { refusal, log: Some(log) });
        }
        log.sent(issued.row.jti, link.id);
        self.answer_of(&link, issued, log).await
    }

    async fn answer_of(
        &self,
        link: &Arc<AgentLink>,
        issued: Issued,
        mut log: OperationLog,
    ) -> Result<(Response<ResponseBody>, OperationLog), Refused> {
        let jti = issued.row.jti;
        match forward(link, issued).await {
            Ok(mut response) => {
                let (sent, refused) = forward::sent(response.headers_mut());
                if let Some(kind) = &refused {
                    tracing::warn!(operation.id = %log.opening().id, kind = ?kind, "the agent refused a grant");
                    self.attack_signal("agent_refused");
                }
                let outcome = match sent {
                    Sent::Yes => Outcome::of_status(response.status().as_u16()),
                    Sent::No => Outcome::NotSent { why: NotSent::AgentRefused },
                    Sent::Unknown => reply::lost(),
                };
                self.grant_ended(&log, jti, outcome).await;
                log.outcome_is(outcome);
                Ok((response, log))
            }
            Err(ForwardError::NotSent(error)) => {
                tracing::warn!(operation.id = %log.opening().id, error = %shared::chain::Chain(&*error), "a grant did not leave");
                log.not_sent();
                self.grant_ended(&log, jti, Outcome::NotSent { why: NotSent::NoAgent }).await;
                Err(Refused { refusal: Refusal::NotSent, log: Some(log) })
            }
            Err(error @ ForwardError::NoAnswer(_)) => {
                let text = shared::chain::Chain(&error).to_string();
                tracing::warn!(operation.id = %log.opening().id, error = text, "no answer to a grant");
                // A read may simply be repeated; of anything else the agent process is asked once it is back.
                let outcome = if log.is_durable() { self.agents.settle(link, jti).await } else { reply::lost() };
                self.grant_ended(&log, jti, outcome).await;
                log.outcome_is(outcome);
                let refusal = match outcome {
                    Outcome::NotSent { .. } => Refusal::NotSent,
                    Outcome::Unknown { .. } => Refusal::Unknown,
                    Outcome::Ok { .. } | Outcome::Error { .. } => Refusal::Ended(outcome),
                };
                Err(Refused { refusal, log: Some(log) })
            }
        }
    }

    async fn grant_ended(&self, log: &OperationLog, jti: shared::ids::GrantId, outcome: Outcome) {
        let store = &self.recorder.store;
        let result = if log.is_durable() {
            store.finish_grant(jti, outcome).await.map(drop)
        } else {
            store.note_grant_end(jti, outcome).await
        };
        if let Err(error) = result {
            tracing::error!(grant.id = %jti, error = %shared::chain::Chain(&error), "a grant's end could not be recorded");
        }
    }

    /// The record stage of what changes something: the answer is read to its end and recorded whoever still listens.
    /// The client's copy runs through a short queue, so a slow client slows the agent down instead of filling memory.
    pub(super) async fn settle(
        self: &Arc<Self>,
        response: Response<ResponseBody>,
        mut log: OperationLog,
        running: Running,
    ) -> Response<BoxBody> {
        let status = response.status().as_u16();
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        log.answered(status, content_type.and_then(|value| value.to_str().ok()).map(str::to_owned));
        let (sender, client) = body::channel(PIECES);
        let (parts, mut answer) = response.into_parts();
        let gateway = Arc::clone(self);
        self.recorder.tasks.spawn("answer", async move {
            let _running = running;
            let mut client = Some(sender);
            loop {
                match answer.frame().await {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        log.append(&data);
                        if let Some(open) = &client
                            && open.send(data).await.is_err()
                        {
                            client = None;
                        }
                    }
                    Some(Err(error)) => {
                        gateway.end(log, status, Some("the answer broke off".to_owned())).await;
                        if let Some(client) = client {
                            client.abort(error).await;
                        }
                        return;
                    }
                    None => break,
                }
            }
            // The outcome is on disk before the client sees the end of its answer.
            gateway.end(log, status, None).await;
            if let Some(client) = client {
                drop(client.finish().await);
            }
        });
        Response::from_parts(parts, client.boxed_unsync())
    }

    async fn end(&self, log: OperationLog, status: u16, reason: Option<String>) {
        let outcome = log.outcome(status);
        let id = log.opening().id;
        if let Err(error) = log.close(outcome, status, reason).await {
            tracing::error!(operation.id = %id, error = %shared::chain::Chain(&error), "an outcome could not be recorded");
        }
    }

    /// Ties an answer to its session: when the session ends, the stream is cut.
    pub(super) fn cut_on_end(&self, session: Arc<Session>, running: Running, response: Response<BoxBody>) -> Response<BoxBody> {
        response.map(|body| super::cut::Cut::new(body, session, running).boxed_unsync())
    }
}
