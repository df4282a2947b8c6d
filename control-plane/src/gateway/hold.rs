//! The hold stage: an operation waits for people, and goes on as `Allowed` once its approval is spent.

use std::sync::Arc;
use std::time::Duration;

use control_plane_core::decision::{Decision, Hold};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::version_pin::VersionPin;
use shared::ids::HoldId;
use shared::time::Timestamp;

use super::Gateway;
use super::judge::Live;
use super::refusal::Refusal;
use super::serve::{Ready, Refused};
use crate::approvals::ClaimFailure;
use crate::records::OperationLog;
use crate::sessions::{Session, SessionError};

/// Told this long before the client's own limit, so that the client hears why.
const BEFORE_TIMEOUT: Duration = Duration::from_secs(1);

impl Gateway {
    /// Waits until enough people said yes, then spends their approval for this operation.
    pub(super) async fn hold(
        self: &Arc<Self>,
        session: &Arc<Session>,
        mut hold: Hold,
        mut live: Live,
        mut log: OperationLog,
    ) -> Result<Ready, Refused> {
        loop {
            let pin = match pin(&live, hold.attributes().info()) {
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
            if let Err(refusal) = self.approved(session, id, until).await {
                if matches!(refusal, Refusal::GoingAway) {
                    // Nothing is closed: the hold goes on in the next life.
                    log.forget();
                    return Err(Refused { refusal, log: None });
                }
                log.released();
                return Err(Refused { refusal, log: Some(log) });
            }
            // Judged again with today's policy and session.
            let (verdict, today) = self.judge(session, bound.attributes()).await;
            let cluster = bound.attributes().cluster().to_owned();
            let Some(link) = self.agents.pick_answering(&cluster).await else {
                return Err(Refused { refusal: Refusal::NoAgent(cluster), log: Some(log) });
            };
            let new = link.new_issue(self.recorder.store.life());
            match self.approvals.claim(bound, &verdict, new).await {
                Ok((allowed, issued)) => {
                    log.released();
                    session.note_approved(allowed.attributes(), verdict.cost());
                    return Ok(Ready { allowed, issued: Some((issued, link)), log });
                }
                Err(ClaimFailure::Refused(refusal)) => {
                    log.released();
                    return Err(Refused { refusal, log: Some(log) });
                }
                Err(ClaimFailure::Stricter(bound)) => {
                    log.released();
                    log.decided(verdict.explanation());
                    match bound.decide_again(verdict) {
                        Decision::Hold(again) => {
                            hold = again;
                            live = today;
                        }
                        Decision::Allow(_) => {
                            return Err(Refused {
                                refusal: Refusal::Internal("a stricter verdict that allows"),
                                log: Some(log),
                            });
                        }
                        Decision::Deny(denial) => {
                            let refusal = Refusal::Denied(Box::new(denial.explanation().clone()));
                            return Err(Refused { refusal, log: Some(log) });
                        }
                    }
                }
            }
        }
    }
}

impl Gateway {
    /// Waits for enough votes, in a session that lives.
    async fn approved(&self, session: &Session, id: HoldId, until: Option<Timestamp>) -> Result<(), Refusal> {
        let approved = tokio::select! {
            approved = self.approvals.approved(id, until) => approved,
            why = session.ended() => Err(Refusal::Session(SessionError::Over(why))),
        };
        if matches!(approved, Err(Refusal::HoldDenied { .. })) {
            session.note_denied();
        }
        approved?;
        // A yes that comes as the session ends is no yes for this session any more.
        session.identify(self.recorder.clock.now()).map_err(Refusal::Session)?;
        Ok(())
    }
}

/// The state of the object that an approver will see; without it nothing can be approved.
fn pin(live: &Live, info: &RequestInfo) -> Result<VersionPin, Refusal> {
    match live {
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
