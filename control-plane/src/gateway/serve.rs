//! The path of a request, in one place to read. Each stage takes what only the stage before can make.

use std::net::IpAddr;
use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{Allowed, Decision};
use control_plane_core::digest::DigestKey;
use control_plane_core::lifecycle::{Issued, NotSent, Outcome};
use control_plane_core::request_info::RequestInfo;
use http::Response;
use hyper::body::Incoming;
use shared::ids::OperationId;
use shared_net::body::BoxBody;
use shared_net::memory::Place;
use tokio::sync::oneshot;

use super::accept::Accepted;
use super::refusal::Refusal;
use super::repeat::{Before, Run};
use super::send::Answered;
use super::watch::WatchEnd;
use super::{Gateway, reply};
use crate::agents::AgentLink;
use crate::intruders::Attempt;
use crate::records::{OperationLog, opening};
use crate::sessions::{Running, Session, Taken, Use};
use crate::store::{Opening, Rejected};

/// An operation that passed every stage up to the decision to let it go.
pub(super) struct Ready {
    pub(super) allowed: Allowed,
    /// For an approved operation: the grant is on record already, with the agent it is for and room there for its body.
    pub(super) issued: Option<(Issued, Arc<AgentLink>, Option<Place>)>,
    /// What it takes from its session's budget, given back where no grant comes of it.
    pub(super) taken: Taken,
    pub(super) log: OperationLog,
}

/// A refusal after the operation was on record.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) log: Option<OperationLog>,
}

impl Gateway {
    /// Carries one operation of a session; who has none is known by his address only. A refusal is an answer too.
    pub async fn serve(
        self: Arc<Self>,
        session: Result<Arc<Session>, IpAddr>,
        request: http::Request<Incoming>,
    ) -> Response<BoxBody> {
        // accept
        let accepted = match Accepted::new(request) {
            Ok(accepted) => accepted,
            Err((refusal, id)) => {
                return self
                    .turn_away(session.as_ref().map_err(|from| *from), id, "accept", String::new(), &refusal)
                    .await;
            }
        };
        let (id, what) = (accepted.id(), accepted.what());
        // identify
        let now = self.recorder.clock.now();
        let session = match session {
            Ok(session) => session,
            Err(from) => return self.turn_away(Err(from), Some(id), "identify", what, &Refusal::NoSession).await,
        };
        if let Err(error) = session.is_good(now) {
            return self.turn_away(Ok(&session), Some(id), "identify", what, &Refusal::Session(error)).await;
        }
        // attribute
        let (attributes, place) = match self.attribute(&session, accepted).await {
            Ok(attributed) => attributed,
            Err(refusal) => return self.turn_away(Ok(&session), Some(id), "attribute", what, &refusal).await,
        };
        let content = session.content(attributes.request());
        let (running, used) = match self.claim(&session, id, content, place).await {
            Ok(claimed) => claimed,
            Err(refusal) => return self.turn_away(Ok(&session), Some(id), "open", what, &refusal).await,
        };
        let info = attributes.info().clone();
        match self.operate(Arc::clone(&session), attributes, running, used).await {
            Ok(response) => response,
            // Of no operation: that of this id is another.
            Err(Refused { refusal: refusal @ Refusal::OtherContent, log: None }) => {
                self.turn_away(Ok(&session), Some(id), "open", what, &refusal).await
            }
            Err(Refused { refusal, log }) => self.refuse(refusal, log, id, &info).await,
        }
    }

    /// open → look → decide → hold → issue → forward → record.
    async fn operate(
        self: &Arc<Self>,
        session: Arc<Session>,
        attributes: Attributes,
        running: Running,
        used: Use,
    ) -> Result<Response<BoxBody>, Refused> {
        // open
        let Run { attributes, first, opens } = self.run_of(attributes, used).await?;
        let key = DigestKey::new(shared_net::crypto::random());
        let opening = Opening { parent: first, ..opening::of(&attributes, &key, &self.recorder) };
        let asker = attributes.identity().asker().to_string();
        let opened = OperationLog::open(&self.recorder, opening, &key, asker, opens).await;
        let (mut log, known) = opened.map_err(|error| Refused { refusal: Refusal::Record(error), log: None })?;
        if let Some(row) = known {
            match Box::pin(self.repeat(*row, &attributes, log)).await? {
                Before::Answered(response) => return Ok(response),
                Before::Approved(log, mine) => {
                    return Box::pin(self.issue_again(&session, attributes, mine, *log, running)).await;
                }
                Before::Goes(same) => log = *same,
            }
        }
        if let Some(answer) = self.answer_review(&session, &attributes) {
            return self.local_answer(answer, log).await;
        }
        if attributes.request().upgrade().is_some() {
            return Err(Refused { refusal: Refusal::Stream, log: Some(log) });
        }
        // look, decide
        let (verdict, live, taken) = self.judge_and_take(&session, &attributes).await;
        log.decided(verdict.explanation());
        let ready = match attributes.decide(verdict) {
            Decision::Allow(allowed) => Ready { allowed, issued: None, taken, log },
            Decision::Deny(denial) => {
                let refusal = Refusal::Denied(Box::new(denial.explanation().clone()));
                return Err(Refused { refusal, log: Some(log) });
            }
            Decision::Hold(hold) => {
                match log.make_durable().await {
                    Err(error) => return Err(Refused { refusal: Refusal::Record(error), log: Some(log) }),
                    Ok(None) => {}
                    Ok(Some(row)) => match Box::pin(self.repeat(*row, hold.attributes(), log)).await? {
                        Before::Answered(response) => return Ok(response),
                        Before::Approved(log, mine) => {
                            let attributes = hold.into_attributes();
                            return Box::pin(self.issue_again(&session, attributes, mine, *log, running)).await;
                        }
                        Before::Goes(same) => log = *same,
                    },
                }
                return Box::pin(self.hold(&session, hold, live, log, running)).await;
            }
        };
        // Boxed: what it needs comes after what all the stages before needed, and most of what waits here waits in it.
        Box::pin(self.carry_out(session, ready, running)).await
    }

    /// issue → forward → record. What changes something is carried out in a task of its own: when the client or its connection goes,
    /// its outcome is still learnt and recorded, and the sidecar gets it when it asks again.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        session: Arc<Session>,
        ready: Ready,
        running: Running,
    ) -> Result<Response<BoxBody>, Refused> {
        if ready.log.is_read() {
            let Answered { response, log, link } = self.send(&session, ready).await?;
            let watch = WatchEnd::of(&log, response.status(), &self.drain, link);
            return Ok(self.cut_on_end(session, running, reply::recorded(response, log, watch)));
        }
        let (answer, answered) = oneshot::channel();
        let gateway = Arc::clone(self);
        self.recorder.tasks.spawn("operation", async move {
            let result = match gateway.send(&session, ready).await {
                Ok(Answered { response, log, .. }) => Ok(gateway.settle(response, log, running)),
                Err(refused) => Err(refused),
            };
            if let Err(Err(Refused { refusal, log: Some(log) })) = answer.send(result) {
                // Nobody waits for the refusal any more; the record needs its outcome all the same.
                gateway.close_refused(&refusal, log).await;
            }
        });
        answered.await.unwrap_or(Err(Refused { refusal: Refusal::Internal("the operation's task died"), log: None }))
    }

    /// Refuses what never became an operation, and keeps the attempt; a stranger's by the ration of his address, since anybody can make a
    /// key, and would choose what fills the log and the list of attempts (SECURITY.md D8).
    async fn turn_away(
        &self,
        session: Result<&Arc<Session>, IpAddr>,
        operation: Option<OperationId>,
        stage: &'static str,
        what: String,
        refusal: &Refusal,
    ) -> Response<BoxBody> {
        let response = reply::refuse(refusal, operation, None);
        self.count(refusal);
        let why = shared::chain::Chain(refusal).to_string();
        let status = response.status().as_u16();
        let session = match session {
            Ok(session) => session,
            Err(from) => {
                let attempt = Attempt { stage, what, status, why, operation, signal: None };
                self.intruders.keep(from, attempt).await;
                return response;
            }
        };
        tracing::info!(operation.id = operation.map(|id| id.to_string()), stage, what, why, "early refusal");
        let rejected = Rejected {
            at: self.recorder.clock.now(),
            session: Some(session.id()),
            operation,
            stage,
            status,
            what,
            why,
        };
        if let Err(error) = self.recorder.store.reject(rejected).await {
            tracing::warn!(error = %shared::chain::Chain(&error), "a rejected attempt could not be kept");
        }
        response
    }

    async fn refuse(
        &self,
        refusal: Refusal,
        log: Option<OperationLog>,
        id: OperationId,
        info: &RequestInfo,
    ) -> Response<BoxBody> {
        self.count(&refusal);
        let response = reply::refuse(&refusal, Some(id), Some(info));
        if let Some(log) = log {
            self.close_refused(&refusal, log).await;
        }
        response
    }

    /// Closes the record of an operation that was refused.
    pub(super) async fn close_refused(&self, refusal: &Refusal, log: OperationLog) {
        let shape = refusal.shape();
        let outcome = match refusal {
            Refusal::Unknown | Refusal::NoAnswer => reply::lost(),
            Refusal::Ended(outcome) => *outcome,
            Refusal::HoldDenied { .. } => Outcome::NotSent { why: NotSent::HoldDenied },
            Refusal::HoldOver { .. } => Outcome::NotSent { why: NotSent::HoldExpired },
            Refusal::NoAgent(_) | Refusal::NotSent => Outcome::NotSent { why: NotSent::NoAgent },
            Refusal::NoSession
            | Refusal::Session(_)
            | Refusal::Header(_)
            | Refusal::NoOperationId
            | Refusal::OperationId(_)
            | Refusal::Body(_)
            | Refusal::Request(_)
            | Refusal::Stream
            | Refusal::OtherContent
            | Refusal::Record(_)
            | Refusal::Denied(_)
            | Refusal::NoHold(_)
            | Refusal::Outdated(_)
            | Refusal::Issue(_)
            | Refusal::GoingAway
            | Refusal::Internal(_) => Outcome::NotSent { why: NotSent::Denied },
        };
        if let Err(error) = log.close(outcome, shape.reason.code(), Some(shape.message)).await {
            tracing::error!(error = %shared::chain::Chain(&error), "a refusal could not be recorded");
        }
    }
}
