//! issue → forward → record, and what the end of it means.

use std::sync::Arc;

use bytes::Bytes;
use control_plane_core::lifecycle::{Issued, Outcome};
use http::Response;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http_body_util::{BodyExt, Either, Full};
use shared::ids::OperationId;
use shared::limits;
use shared_net::body::{self, BoxBody, collect_bounded};
use shared_net::memory::Place;

use super::refusal::{self, Refusal};
use super::serve::{Ready, Refused};
use super::{Gateway, reply};
use crate::agents::AgentLink;
use crate::agents::answer::AgentBody;
use crate::agents::forward::{self, ForwardError, Unspent, forward};
use crate::agents::streams::{Answers, NoStream, Share};
use crate::records::OperationLog;
use crate::sessions::{Running, Session, SessionError};

/// Pieces of an answer that wait for a client that is slower than the agent.
///
/// Each has up to 64 KiB, for every write whose client takes nothing; a session has as many of those as it has streams.
const PIECES: usize = 4;

/// The API server's answer as its agent passes it on, or the agent's own words.
pub(super) type AnswerBody = Either<AgentBody, Full<Bytes>>;

/// An agent's answer, and whose.
pub(super) struct Answered {
    pub(super) response: Response<AnswerBody>,
    pub(super) log: OperationLog,
    pub(super) link: Arc<AgentLink>,
}

/// A grant to come, on record where it must be, the agent that it is for, and a stream and room for its body there. A plain read's record is its
/// operation's own row.
type Issue = (Option<Issued>, Arc<AgentLink>, (Share, Option<Place>));

impl Gateway {
    /// Spends the right, and gives the agent's answer. Where it is certain that the grant was never spent, another one is issued for another
    /// agent; what may have been sent is never sent again.
    pub(super) async fn send(&self, session: &Arc<Session>, ready: Ready) -> Result<Answered, Refused> {
        let Ready { mut allowed, issued, taken, mut log } = ready;
        log.approved(allowed.approval());
        let first = match issued {
            Some((issued, link, room)) => {
                let share = link.streams.in_any_case(session.id());
                Ok((Some(issued), link, (share, room)))
            }
            None => self.issue(session, allowed.attributes().request().wire().body().len(), &mut log).await,
        };
        let (mut issued, mut link, mut places) = match first {
            Ok(issue) => issue,
            Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
        };
        // From here on it counts, whatever comes of it.
        let mut taken = Some(taken);
        // What seldom happens is boxed, so that what always happens is small.
        for again in 0..=limits::ISSUED_AGAIN {
            let outgoing = match self.grants.issue(allowed, issued, &link) {
                Ok(outgoing) => outgoing,
                Err(error) => return Err(Refused { refusal: Refusal::Issue(error.to_string()), log: Some(log) }),
            };
            if let Some(taken) = taken.take() {
                taken.keep();
            }
            log.sent(&outgoing.grant, link.id);
            let error = match forward(&link, outgoing, places).await {
                Ok(response) => return self.answered(response, log, link).await,
                Err(error) => error,
            };
            let unspent = match Box::pin(self.unspent(&link, error, &mut log)).await {
                Ok(unspent) => unspent,
                Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
            };
            if again == limits::ISSUED_AGAIN {
                break;
            }
            (issued, link, places) = match Box::pin(self.issue_elsewhere(session, &link, &unspent, &mut log)).await {
                Ok(issue) => issue,
                Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
            };
            allowed = unspent.again();
        }
        Err(Refused { refusal: Refusal::NotSent, log: Some(log) })
    }

    /// What an agent answered. Its own refusals name the operation, as ours do; of the API server's answers nothing is touched.
    async fn answered(
        &self,
        mut response: Response<AgentBody>,
        mut log: OperationLog,
        link: Arc<AgentLink>,
    ) -> Result<Answered, Refused> {
        let (sent, refused) = forward::sent(response.headers_mut());
        let status = refused.as_ref().and_then(|refused| refused.answered);
        let outcome = sent.outcome(status.unwrap_or_else(|| response.status().as_u16()));
        let id = log.opening().id;
        log.outcome_is(outcome);
        let Some(refused) = refused else {
            return Ok(Answered { response: response.map(Either::Left), log, link });
        };
        tracing::warn!(operation.id = %id, why = ?refused.word, "the agent refused a grant");
        if refused.attack {
            self.attack_signal("agent_refused");
        }
        let (head, body) = response.into_parts();
        match collect_bounded(body, limits::CONTROL_BODY_BYTES, limits::BODY_WAIT).await {
            Ok(words) => Ok(Answered { response: in_own_words(head, words, id), log, link }),
            Err(error) => {
                tracing::warn!(operation.id = %id, error = %shared::chain::Chain(&error), "a refusal broke off");
                Err(Refused { refusal: unanswered(outcome, &log), log: Some(log) })
            }
        }
    }

    /// Picks an agent and puts the grant to come on record.
    async fn issue(&self, session: &Session, body: usize, log: &mut OperationLog) -> Result<Issue, Refusal> {
        let cluster = log.opening().cluster.clone();
        let busy = |why| {
            Refusal::Session(match why {
                NoStream::Share => SessionError::NoStream,
                NoStream::Unread => SessionError::Unread,
            })
        };
        let answers = Answers::of(&log.opening().info);
        let picked = self.agents.pick_for(&cluster, session.id(), answers).await.map_err(busy)?;
        let (link, share) = picked.ok_or(Refusal::NoAgent(cluster))?;
        let room = link.body_room(session.id(), body).await.map_err(|_| Refusal::Session(SessionError::Full))?;
        // Judging and waiting took time, in which the session may have been revoked or run out.
        session.is_good(self.recorder.clock.now()).map_err(Refusal::Session)?;
        if !log.is_durable() {
            return Ok((None, link, (share, room)));
        }
        self.put_on_record(link, (share, room), log).await
    }

    /// The same for another agent, once it is on record that the grant before was never spent. What people approved is judged again.
    async fn issue_elsewhere(
        &self,
        session: &Arc<Session>,
        than: &AgentLink,
        unspent: &Unspent,
        log: &mut OperationLog,
    ) -> Result<Issue, Refusal> {
        let link = self.agents.pick_other(than).await.ok_or(Refusal::NotSent)?;
        let body = unspent.allowed().attributes().request().wire().body().len();
        let room = link.body_room(session.id(), body).await.map_err(|_| Refusal::NotSent)?;
        // Last, for whatever was waited for took time.
        session.is_good(self.recorder.clock.now()).map_err(Refusal::Session)?;
        // It had one where its grant was not taken, and has given that back.
        let places = (link.streams.in_any_case(session.id()), room);
        if !log.is_durable() {
            return Ok((None, link, places));
        }
        let now = self.recorder.clock.now();
        let returned = self.recorder.store.never_spent(log.key(), unspent.jti(), now).await;
        if !returned.map_err(Refusal::Record)? {
            return Err(Refusal::Internal("the operation is over already"));
        }
        let Some(approval) = unspent.allowed().approval() else { return self.put_on_record(link, places, log).await };
        let (today, _) = self.judge(session, unspent.allowed().attributes()).await;
        let new = link.new_issue(self.recorder.store.life());
        log.issuing(&new);
        let issued = self.approvals.issue_again(log.key(), approval.hold, &today, new).await?;
        Ok((Some(issued), link, places))
    }

    async fn put_on_record(
        &self,
        link: Arc<AgentLink>,
        places: (Share, Option<Place>),
        log: &mut OperationLog,
    ) -> Result<Issue, Refusal> {
        let new = link.new_issue(self.recorder.store.life());
        log.issuing(&new);
        let issued = self.recorder.store.issue(log.key(), new, self.recorder.clock.now()).await;
        let issued = issued.map_err(Refusal::Record)?.ok_or(Refusal::Internal("the operation is over already"))?;
        Ok((Some(issued), link, places))
    }

    /// No answer came. What was never spent may be issued again. Of everything else that is not certain the agent process is asked, if it is
    /// still there.
    async fn unspent(
        &self,
        link: &Arc<AgentLink>,
        error: ForwardError,
        log: &mut OperationLog,
    ) -> Result<Unspent, Refusal> {
        let (id, text) = (log.opening().id, shared::chain::Chain(&error).to_string());
        if matches!(error, ForwardError::NoAnswer { .. }) {
            tracing::warn!(operation.id = %id, agent.id = %link.id, error = text, "no answer to a grant");
        } else {
            tracing::info!(operation.id = %id, agent.id = %link.id, why = text, "a grant was not taken");
        }
        let unspent = match error {
            ForwardError::NotSent { unspent, .. } => Ok(*unspent),
            // The question seals the grant's connection, so it is put only where that connection is gone already: on a living one
            // it would void the grants of everybody else.
            ForwardError::NoAnswer { lost, .. } if log.is_durable() && link.connection.close_reason().is_some() => {
                self.agents.ask(link, *lost).await
            }
            ForwardError::NoAnswer { .. } => Err(reply::lost()),
        };
        let outcome = match unspent {
            Ok(unspent) => {
                log.unsent();
                return Ok(unspent);
            }
            Err(outcome) => outcome,
        };
        log.outcome_is(outcome);
        Err(unanswered(outcome, log))
    }

    /// The record stage of what changes something: the answer is read to its end and recorded whoever still listens.
    /// The client's copy runs through a short queue, so a slow client slows the agent down instead of filling memory.
    pub(super) fn settle(
        self: &Arc<Self>,
        response: Response<AnswerBody>,
        mut log: OperationLog,
        running: Running,
    ) -> Response<BoxBody> {
        let status = response.status().as_u16();
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        log.answered(status, content_type.and_then(|value| value.to_str().ok()).map(str::to_owned));
        let (sender, client) = body::channel(PIECES);
        let (parts, mut answer) = response.into_parts();
        // What waits for the client counts for the session, also when the agent has said all.
        let share = match &answer {
            Either::Left(answer) => Some(answer.share()),
            // Words are few.
            Either::Right(_) => None,
        };
        let client = client.map_frame(move |frame| {
            let _until_it_is_taken = &share;
            frame
        });
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

/// An agent's refusal as a client gets it.
fn in_own_words(mut head: Parts, words: Bytes, operation: OperationId) -> Response<AnswerBody> {
    // They are longer than they were.
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Either::Right(Full::new(refusal::of_agent(words, operation))))
}

/// What a client is told where there is an outcome and no answer.
fn unanswered(outcome: Outcome, log: &OperationLog) -> Refusal {
    match outcome {
        Outcome::NotSent { .. } => Refusal::NotSent,
        Outcome::Unknown { .. } => Refusal::no_answer(log.is_read()),
        Outcome::Ok { .. } | Outcome::Error { .. } => Refusal::Ended(outcome),
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use shared::status::{Reason, Status};
    use uuid::Uuid;

    use super::*;

    /// A length that is not true any more would break the answer off.
    #[test]
    fn a_refusal_that_names_its_operation_is_as_long_as_it_says() {
        let words = Status::failure(Reason::Forbidden, "no").to_json();
        let (head, ()) =
            Response::builder().status(403).header(CONTENT_LENGTH, words.len()).body(()).unwrap().into_parts();
        let told = in_own_words(head, words.clone().into(), OperationId::new(Uuid::now_v7()));
        assert!(told.status() == 403 && told.headers().get(CONTENT_LENGTH).is_none(), "{:?}", told.headers());
        assert!(told.body().size_hint().exact().unwrap() > words.len() as u64);
    }
}
