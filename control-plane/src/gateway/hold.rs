//! The hold stage: an operation waits for people, and goes on as `Allowed` once its approval is spent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{BoundHold, Decision, Hold, Verdict};
use control_plane_core::lifecycle::{ApprovalUse, HoldRecord, NewIssue, OperationKey};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::version_pin::VersionPin;
use http::Response;
use shared::ids::HoldId;
use shared::time::Timestamp;
use shared_net::body::BoxBody;
use tokio::sync::oneshot;

use super::Gateway;
use super::judge::Live;
use super::refusal::Refusal;
use super::serve::{Ready, Refused};
use crate::agents::AgentLink;
use crate::approvals::{ClaimFailure, Yes};
use crate::records::OperationLog;
use crate::sessions::{Running, Session, SessionError, Taken};

/// Told this long before the client's own limit, so that the client hears why.
const BEFORE_TIMEOUT: Duration = Duration::from_secs(1);

/// An approved operation that may go on, if it is still fine.
struct Approved {
    bound: BoundHold,
    /// As it was when people had said yes.
    hold: Arc<HoldRecord>,
    /// Judged again, with what was read for that.
    verdict: Verdict,
    today: Live,
    new: NewIssue,
    link: Arc<AgentLink>,
    log: OperationLog,
    running: Running,
}

/// What became of it.
enum Went {
    /// It was sent, and this is the answer.
    On(Response<BoxBody>),
    /// Today it would be stricter.
    Back(Box<Approved>),
}

impl Gateway {
    /// Waits until enough people said yes, then spends their approval for this operation and carries it out.
    pub(super) async fn hold(
        self: &Arc<Self>,
        session: &Arc<Session>,
        mut hold: Hold,
        mut live: Live,
        mut log: OperationLog,
        mut running: Running,
    ) -> Result<Response<BoxBody>, Refused> {
        loop {
            let pin = match pin(&live, hold.attributes().info(), hold.reveal()) {
                Ok(pin) => pin,
                Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
            };
            let show = super::show::of(&hold, &live, &self.recorder.mask);
            let nobody = self.policies.current().nobody_behind(hold.attributes().identity());
            let until = timeout(&hold, self.recorder.clock.now());
            let (bound, id) = match self.approvals.open(hold, pin, nobody, show).await {
                Ok(bound) => bound,
                Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
            };
            log.held(id);
            let (approved, verdict, today, link) = match self.approved(session, bound.attributes(), id, until).await {
                Ok(approved) => approved,
                Err(Refusal::GoingAway) => {
                    // Nothing is closed: the hold goes on in the next life.
                    log.forget();
                    return Err(Refused { refusal: Refusal::GoingAway, log: None });
                }
                Err(refusal) => {
                    log.released();
                    return Err(Refused { refusal, log: Some(log) });
                }
            };
            let Some(link) = link else {
                let refusal = Refusal::NoAgent(bound.attributes().cluster().to_owned());
                return Err(Refused { refusal, log: Some(log) });
            };
            let new = link.new_issue(self.recorder.store.life());
            let approved = Approved { bound, hold: approved, verdict, today, new, link, log, running };
            let back = match self.go_on(session, approved).await? {
                Went::On(response) => return Ok(response),
                Went::Back(back) => *back,
            };
            (log, running) = (back.log, back.running);
            log.decided(back.verdict.explanation());
            match back.bound.decide_again(back.verdict) {
                Decision::Hold(again) => (hold, live) = (again, back.today),
                // People approved a disclosure, and policy would let the read through without one today.
                Decision::Allow(_) => {
                    let refusal = Refusal::Outdated("policy changed since it was approved: try again".to_owned());
                    return Err(Refused { refusal, log: Some(log) });
                }
                Decision::Deny(denial) => {
                    let refusal = Refusal::Denied(Box::new(denial.explanation().clone()));
                    return Err(Refused { refusal, log: Some(log) });
                }
            }
        }
    }

    /// Gives an operation another grant under the approval that it has spent: its first one was never spent. As before an approval is
    /// spent, today's policy and session have the last word.
    pub(super) async fn issue_again(
        self: &Arc<Self>,
        session: &Arc<Session>,
        attributes: Attributes,
        mine: ApprovalUse,
        mut log: OperationLog,
        running: Running,
    ) -> Result<Response<BoxBody>, Refused> {
        // Until it is issued, its record stays as it is when the client leaves: it may come again until the approval expires.
        log.held(mine.hold);
        let key = OperationKey { session: attributes.session(), operation: attributes.operation() };
        let cluster = attributes.cluster().to_owned();
        let link = loop {
            match self.agents.pick_answering(&cluster).await {
                Some(link) => break link,
                None if self.recorder.clock.now() < mine.expires => {}
                None => return Err(Refused { refusal: Refusal::NoAgent(cluster), log: Some(log) }),
            }
        };
        let (verdict, today) = self.judge(session, &attributes).await;
        let approved = async {
            let hold = self.approvals.record(mine.hold).await?;
            let bound = hold.bound_again(key).ok_or(Refusal::Internal("the approval is another operation's"))?;
            Ok::<_, Refusal>((attributes.waiting_again(&verdict, hold.terms(), bound), Arc::new(hold)))
        };
        let (bound, hold) = match approved.await {
            Ok(approved) => approved,
            Err(refusal) => return Err(Refused { refusal, log: Some(log) }),
        };
        let new = link.new_issue(self.recorder.store.life());
        let approved = Approved { bound, hold, verdict, today, new, link, log, running };
        match self.go_on(session, approved).await? {
            Went::On(response) => Ok(response),
            Went::Back(back) => {
                let why = "policy became stricter before it could be sent".to_owned();
                Err(Refused { refusal: Refusal::HoldOver { hold: mine.hold, why }, log: Some(back.log) })
            }
        }
    }

    /// Spends the approval and carries the operation out, in a task of its own: an approval that is spent is followed to an outcome, also
    /// where the client leaves meanwhile.
    async fn go_on(self: &Arc<Self>, session: &Arc<Session>, approved: Approved) -> Result<Went, Refused> {
        let (answer, answered) = oneshot::channel();
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        self.recorder.tasks.spawn("approved", async move {
            let result = gateway.spend(session, approved).await;
            if let Err(Err(Refused { refusal, log: Some(log) })) = answer.send(result) {
                gateway.close_refused(&refusal, log).await;
            }
        });
        answered.await.unwrap_or(Err(Refused { refusal: Refusal::Internal("the operation's task died"), log: None }))
    }

    async fn spend(self: &Arc<Self>, session: Arc<Session>, approved: Approved) -> Result<Went, Refused> {
        let Approved { bound, hold, verdict, today, new, link, mut log, running } = approved;
        // Before the approval is spent: there may be none.
        let room = link.body_room(session.id(), bound.attributes().request().wire().body().len()).await;
        // All of this took time.
        let good = session.is_good(self.recorder.clock.now());
        let room = match good.and_then(|_| room.map_err(|_| SessionError::Full)) {
            Ok(room) => room,
            Err(error) => {
                log.released();
                return Err(Refused { refusal: Refusal::Session(error), log: Some(log) });
            }
        };
        log.issuing(&new);
        match self.approvals.claim(bound, &hold, &verdict, new).await {
            Ok((allowed, issued)) => {
                log.released();
                session.note_approved(allowed.attributes(), verdict.cost());
                let ready = Ready { allowed, issued: Some((issued, link, room)), taken: Taken::nothing(), log };
                self.carry_out(session, ready, running).await.map(Went::On)
            }
            Err(ClaimFailure::Refused(refusal)) => {
                log.released();
                Err(Refused { refusal, log: Some(log) })
            }
            Err(ClaimFailure::Stricter(bound)) => {
                log.released();
                Ok(Went::Back(Box::new(Approved { bound: *bound, hold, verdict, today, new, link, log, running })))
            }
        }
    }
}

impl Gateway {
    /// Waits for enough votes, and judges again with today's policy and session, while an agent is looked for and while the last vote is on
    /// its way to the disk.
    async fn approved(
        self: &Arc<Self>,
        session: &Arc<Session>,
        attributes: &Attributes,
        id: HoldId,
        until: Option<Timestamp>,
    ) -> Result<(Arc<HoldRecord>, Verdict, Live, Option<Arc<AgentLink>>), Refusal> {
        loop {
            let yes = self.said_yes(session, id, until).await?;
            let ((verdict, today), link) =
                tokio::join!(self.judge(session, attributes), self.agents.pick_answering(attributes.cluster()));
            if let Some(hold) = yes.recorded().await {
                return Ok((hold, verdict, today, link));
            }
        }
    }

    /// Waits for enough votes, in a session that lives.
    async fn said_yes(&self, session: &Session, id: HoldId, until: Option<Timestamp>) -> Result<Yes, Refusal> {
        let yes = tokio::select! {
            yes = self.approvals.approved(id, until) => yes,
            why = session.ended() => Err(Refusal::Session(SessionError::Over(why))),
        };
        if matches!(yes, Err(Refusal::HoldDenied { .. })) {
            session.note_denied();
        }
        let yes = yes?;
        // A yes that comes as the session ends is no yes for this session any more.
        session.is_good(self.recorder.clock.now()).map_err(Refusal::Session)?;
        Ok(yes)
    }
}

/// The state of the object that an approver will see; without it nothing can be approved.
fn pin(live: &Live, info: &RequestInfo, reveal: &BTreeSet<String>) -> Result<VersionPin, Refusal> {
    match live {
        Live::Read(read) if !reveal.is_empty() => Ok(VersionPin::of_reveal(read.live.as_ref(), reveal)),
        Live::None if !reveal.is_empty() => Err(Refusal::Internal("a disclosure of what was not read")),
        Live::None => Ok(VersionPin::of(info, None)),
        Live::Read(read) => Ok(VersionPin::of(info, read.live.as_ref())),
        Live::Failed(why) => Err(Refusal::Outdated(format!("the object that it is about could not be read ({why})"))),
    }
}

/// `?timeout=32s`: kubectl's `--request-timeout`, which it also sends.
fn timeout(hold: &Hold, now: Timestamp) -> Option<Timestamp> {
    let text = hold.attributes().query().get("timeout")?;
    let limit = shared::config::duration(text).ok()?;
    Some(now.after(limit.saturating_sub(BEFORE_TIMEOUT)))
}
