//! issue → forward → record, and what the end of it means.

use std::sync::Arc;

use control_plane_core::lifecycle::{Issued, NewIssue, NotSent, OperationKey, Outcome};
use http::Response;
use http_body_util::BodyExt;
use shared::ids::GrantId;
use shared_net::body::{self, BoxBody};
use shared_net::exchange::ResponseBody;
use uuid::Uuid;

use super::refusal::Refusal;
use super::serve::{Ready, Refused};
use super::{Gateway, reply};
use crate::agents::AgentLink;
use crate::agents::forward::{self, ForwardError, forward};
use crate::records::OperationLog;
use crate::sessions::{Running, Session};

/// Pieces of an answer that wait for a client that is slower than the agent.
const PIECES: usize = 16;

impl Gateway {
    /// Spends the right, and gives the agent's answer.
    pub(super) async fn send(
        &self,
        session: &Session,
        ready: Ready,
    ) -> Result<(Response<ResponseBody>, OperationLog), Refused> {
        let Ready { allowed, issued, taken, mut log } = ready;
        let (issued, link) = match issued {
            Some((issued, link)) => (Some(issued), link),
            None => match self.issue(session, &mut log).await {
                Ok((issued, link)) => (issued, link),
                Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
            },
        };
        log.approved(allowed.approval());
        let outgoing = match self.grants.issue(allowed, issued, &link) {
            Ok(outgoing) => outgoing,
            Err(error) => return Err(Refused { refusal: Refusal::Issue(error.to_string()), log: Some(log) }),
        };
        taken.keep();
        log.sent(outgoing.grant.claims(), link.id);
        match forward(&link, outgoing).await {
            Ok(mut response) => {
                let (sent, refused) = forward::sent(response.headers_mut());
                if let Some(refused) = refused {
                    tracing::warn!(operation.id = %log.opening().id, why = ?refused.word, "the agent refused a grant");
                    if refused.attack {
                        self.attack_signal("agent_refused");
                    }
                }
                log.outcome_is(sent.outcome(response.status().as_u16()));
                Ok((response, log))
            }
            Err(error) => Err(self.lost(&link, error, log).await),
        }
    }

    /// Picks an agent and puts the grant to come on record. A plain read's record is its operation's own row.
    async fn issue(&self, session: &Session, log: &mut OperationLog) -> Result<(Option<Issued>, Arc<AgentLink>), Refusal> {
        let cluster = log.opening().cluster.clone();
        let link = self.agents.pick_or_wait(&cluster).await.ok_or(Refusal::NoAgent(cluster))?;
        // Judging and waiting took time, in which the session may have been revoked or run out.
        session.is_good(self.recorder.clock.now()).map_err(Refusal::Session)?;
        if !log.is_durable() {
            return Ok((None, link));
        }
        let key = OperationKey { session: log.opening().session, operation: log.opening().id };
        let life = self.recorder.store.life();
        let new = NewIssue { jti: GrantId::new(Uuid::now_v7()), epoch: link.epoch, agent: link.id, life };
        log.issuing(&new);
        let now = self.recorder.clock.now();
        let issued = self.recorder.store.issue(key, new, now).await.map_err(Refusal::Record)?;
        Ok((Some(issued.ok_or(Refusal::Internal("the operation is over already"))?), link))
    }

    /// No answer came. What is certain is said so; of everything else the agent process is asked, if it is still there.
    async fn lost(&self, link: &Arc<AgentLink>, error: ForwardError, mut log: OperationLog) -> Refused {
        let text = shared::chain::Chain(&error).to_string();
        tracing::warn!(operation.id = %log.opening().id, agent.id = %link.id, error = text, "no answer to a grant");
        let outcome = match error {
            ForwardError::NotSent(_) => Outcome::NotSent { why: NotSent::NoAgent },
            ForwardError::NoAnswer(_) => match log.jti() {
                // The question seals the grant's connection, so it is put only where that connection is gone already: on a living one
                // it would void the grants of everybody else.
                Some(jti) if log.is_durable() && link.connection.close_reason().is_some() => {
                    self.agents.ask(link, jti).await
                }
                Some(_) | None => reply::lost(),
            },
        };
        log.outcome_is(outcome);
        let refusal = match outcome {
            Outcome::NotSent { .. } => Refusal::NotSent,
            Outcome::Unknown { .. } => Refusal::Unknown,
            Outcome::Ok { .. } | Outcome::Error { .. } => Refusal::Ended(outcome),
        };
        Refused { refusal, log: Some(log) }
    }

    /// The record stage of what changes something: the answer is read to its end and recorded whoever still listens.
    /// The client's copy runs through a short queue, so a slow client slows the agent down instead of filling memory.
    pub(super) fn settle(
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
                let _reader_left = client.finish().await.is_err();
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
    pub(super) fn cut_on_end(
        &self,
        session: Arc<Session>,
        running: Running,
        response: Response<BoxBody>,
    ) -> Response<BoxBody> {
        response.map(|body| super::cut::Cut::new(body, session, running).boxed_unsync())
    }
}
