//! Where operations wait for people. The rules are in `core::lifecycle` and `core::four_eyes`; here are the transactions around them
//! and the waking of those who wait.

mod waiters;

use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::decision::{Allowed, BoundHold, Hold, Verdict};
use control_plane_core::digest::DigestKey;
use control_plane_core::four_eyes::{Behind, Mode, Voter};
use control_plane_core::intent::Intent;
use control_plane_core::lifecycle::{
    self, Ballot, Bound, Candidate, HoldError, HoldRecord, Issued, Join, NewIssue, OperationKey, Phase, Progress,
    Recheck, SpendRefusal, StillFine, VoidReason, VoteEffect, VoteError,
};
use control_plane_core::version_pin::VersionPin;
use shared::ids::{ApprovalId, HoldId, SessionId};
use shared::limits;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use tokio::sync::watch;
use uuid::Uuid;

use crate::events::{Event, Events};
use crate::gateway::refusal::Refusal;
use crate::metrics::GatewayMetrics;
use crate::store::{HoldTransaction, Store, StoreError};
use waiters::{Told, Waiters, is_yes};

pub(crate) use waiters::Yes;

/// The holds of this process.
pub struct Approvals {
    store: Store,
    clock: Clock,
    mode: Mode,
    metrics: Arc<GatewayMetrics>,
    waiters: Waiters,
    paused: watch::Sender<bool>,
    events: Events,
}

/// Why a vote failed.
#[derive(Debug, thiserror::Error)]
pub enum BallotError {
    /// There is no such hold.
    #[error("there is no hold of that id")]
    Unknown,
    /// The rules.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

enum Opened {
    Waits(Box<HoldRecord>, Box<Bound>),
    Denied(Box<HoldRecord>),
    Not(HoldError),
}

impl Approvals {
    /// Waits for nobody yet; holds of earlier lives are in the store.
    pub fn new(store: Store, clock: Clock, mode: Mode, metrics: Arc<GatewayMetrics>, events: Events) -> Self {
        Self { store, clock, mode, metrics, waiters: Waiters::default(), paused: watch::Sender::new(false), events }
    }

    /// Lets go of everybody who waits: the process ends. Their holds stay, and their sidecars ask again under the same ids.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// How votes over the local socket count.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Puts an operation into a hold: the one that the same asker (of a disclosure: the same pod) has for the same thing, or a new one.
    pub(crate) async fn open(
        &self,
        hold: Hold,
        pin: VersionPin,
        nobody_behind: bool,
        show: serde_json::Value,
    ) -> Result<(BoundHold, HoldId), Refusal> {
        let attributes = hold.attributes();
        let request = HoldRequest::new(attributes, &hold, pin, nobody_behind, show);
        let now = self.clock.now();
        let opened = self.store.change(move |t| request.place(t, now)).await.map_err(Refusal::Record)?;
        match opened {
            Opened::Waits(record, bound) => {
                self.tell(&record);
                let id = record.id();
                Ok((hold.bind(*bound), id))
            }
            Opened::Denied(record) => Err(over(&record)),
            Opened::Not(why) => Err(Refusal::NoHold(why)),
        }
    }

    /// Waits until people have said yes.
    pub(crate) async fn approved(&self, id: HoldId, until: Option<Timestamp>) -> Result<Yes, Refusal> {
        let mut changes = self.waiters.watch(id);
        loop {
            let told = changes.borrow_and_update().clone();
            // A yes isn't read again: whether it is still one is asked where it is spent. Of everything else the record has the word, since
            // two changes may be told the wrong way round.
            let record = match told {
                Told::Written(hold) if is_yes(&hold) => return Ok(Yes::written(hold, changes)),
                Told::OnRecord(hold) if is_yes(&hold) => return Ok(Yes::on_record(hold)),
                Told::Written(_) | Told::OnRecord(_) | Told::Look => self.record(id).await?,
            };
            match record.phase() {
                Phase::Approved { .. } | Phase::Spent { .. } => return Ok(Yes::on_record(Arc::new(record))),
                Phase::Waiting { .. } => {}
                Phase::Denied { .. } | Phase::Expired { .. } | Phase::Void { .. } => return Err(over(&record)),
            }
            let now = self.clock.now();
            let deadline = until.map_or_else(|| record.deadline(), |until| until.min(record.deadline()));
            let mut paused = self.paused.subscribe();
            tokio::select! {
                _ = changes.changed() => {}
                () = async { drop(paused.wait_for(|paused| *paused).await) } => return Err(Refusal::GoingAway),
                // It looks from time to time, though nobody has told anything: a commit that took too long for its caller tells nobody.
                () = self.clock.sleep(deadline.since(now).min(limits::HOLD_LOOK)) => {
                    if self.clock.now() < deadline {
                        continue;
                    }
                    if until.is_some_and(|until| self.clock.now() >= until) {
                        let why = "nobody has approved it before the client's own time limit; it still waits".to_owned();
                        return Err(Refusal::HoldOver { hold: id, why });
                    }
                    self.sweep().await.map_err(Refusal::Record)?;
                }
            }
        }
    }

    /// A hold as it is on record.
    pub(crate) async fn record(&self, id: HoldId) -> Result<HoldRecord, Refusal> {
        let row = self.store.hold(id).await.map_err(Refusal::Record)?;
        Ok(row.ok_or(Refusal::Internal("the hold is gone"))?.record)
    }

    /// Judges an approved hold again, by its votes as they were when it was approved, and spends its approval for this operation, on record
    /// before this answers. An operation that has spent it, under a grant that came back unspent, gets another grant.
    pub(crate) async fn claim(
        &self,
        hold: BoundHold,
        approved: &HoldRecord,
        today: &Verdict,
        new: NewIssue,
    ) -> Result<(Allowed, Issued), ClaimFailure> {
        let (id, key) = (hold.bound().hold(), hold.bound().operation());
        let fine = match lifecycle::recheck(approved, today, self.mode) {
            Recheck::StillFine(fine) => fine,
            Recheck::NewHold(_) | Recheck::Denied => {
                // This operation goes on: it is denied, or waits on a hold under the new terms.
                self.void(id, VoidReason::PolicyStricter, Some(key))
                    .await
                    .map_err(|e| ClaimFailure::Refused(Refusal::Record(e)))?;
                return Err(ClaimFailure::Stricter(Box::new(hold)));
            }
        };
        let now = self.clock.now();
        let spent = self.store.change(move |t| spend(t, id, key, fine, new, now)).await;
        let (claimed, issued, record) = match spent.map_err(|e| ClaimFailure::Refused(Refusal::Record(e)))? {
            Ok(spent) => spent,
            Err(refusal) => return Err(ClaimFailure::Refused(refusal)),
        };
        self.tell(&record);
        let allowed = hold.claim(claimed);
        let allowed = allowed.map_err(|error| ClaimFailure::Refused(Refusal::Outdated(error.to_string())))?;
        Ok((allowed, issued))
    }

    /// Judges an operation again whose grant came back unspent, and puts another one on record under the approval that it has spent.
    pub(crate) async fn issue_again(
        &self,
        key: OperationKey,
        id: HoldId,
        today: &Verdict,
        new: NewIssue,
    ) -> Result<Issued, Refusal> {
        let fine = match lifecycle::recheck(&self.record(id).await?, today, self.mode) {
            Recheck::StillFine(fine) => fine,
            Recheck::NewHold(_) | Recheck::Denied => {
                return Err(Refusal::Outdated("policy is stricter than when it was approved".to_owned()));
            }
        };
        let now = self.clock.now();
        let spent = self.store.change(move |t| spend(t, id, key, fine, new, now)).await.map_err(Refusal::Record)?;
        let (_, issued, _) = spent?;
        Ok(issued)
    }

    /// Counts a vote.
    pub async fn vote(
        &self,
        id: HoldId,
        voter: Voter,
        ballot: Ballot,
    ) -> Result<(VoteEffect, HoldRecord), BallotError> {
        let (mode, now, waiters) = (self.mode, self.clock.now(), self.waiters.clone());
        let approval = ApprovalId::new(Uuid::new_v4());
        let voted = self.store.change(move |t| {
            let Some(hold) = t.hold(id)? else { return Ok(Err(BallotError::Unknown)) };
            Ok(match hold.vote(&voter, ballot, approval, mode, now) {
                Err(error) => Err(BallotError::Vote(error)),
                Ok(step) => {
                    t.save_hold(&step.state)?;
                    // Also those whose client has left: nobody else would end them after a no.
                    settle(t, &step.state, None, now)?;
                    // What waits is judged again while the disk works.
                    if is_yes(&step.state) {
                        waiters.tell(id, Told::Written(Arc::new(step.state.clone())));
                    }
                    Ok((step.effects, step.state))
                }
            })
        });
        let voted = voted.await;
        if voted.is_err() {
            self.waiters.tell(id, Told::Look);
        }
        let (effect, record) = voted??;
        self.tell(&record);
        Ok((effect.assert_durable(), record))
    }

    /// Ends holds whose time has come, and the operations that waited on holds that are over.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let ended = self.store.change(move |t| {
            let mut ended = Vec::new();
            for hold in t.due(now)? {
                if let Some(step) = hold.expire(now) {
                    t.save_hold(&step.state)?;
                    settle(t, &step.state, None, now)?;
                    ended.push(step.state);
                }
            }
            // Whose approval's time is over while they wait to be issued again; and whoever was left behind on a hold that is over.
            for hold in t.over_and_waited_for()? {
                settle(t, &hold, None, now)?;
            }
            Ok(ended)
        });
        for record in ended.await? {
            self.tell(&record);
        }
        Ok(())
    }

    /// Makes the holds of a session void: it was revoked.
    pub async fn void_session(&self, session: SessionId) -> Result<(), StoreError> {
        self.void_where(|hold| hold.session() == session).await
    }

    /// Makes the holds of a cluster void: it was forgotten, and its sessions ended.
    pub async fn void_cluster(&self, cluster: &str) -> Result<(), StoreError> {
        self.void_where(|hold| hold.asker().cluster == cluster).await
    }

    async fn void_where(&self, fits: impl Fn(&HoldRecord) -> bool) -> Result<(), StoreError> {
        for row in self.store.holds(true, u32::try_from(limits::HOLDS).unwrap_or(u32::MAX)).await? {
            if fits(&row.record) {
                self.void(row.record.id(), VoidReason::SessionRevoked, None).await?;
            }
        }
        Ok(())
    }

    async fn void(&self, id: HoldId, why: VoidReason, but: Option<OperationKey>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let voided = self.store.change(move |t| {
            let Some(step) = t.hold(id)?.and_then(|hold| hold.void(why, now)) else { return Ok(None) };
            t.save_hold(&step.state)?;
            settle(t, &step.state, but, now)?;
            Ok(Some(step.state))
        });
        if let Some(record) = voided.await? {
            self.tell(&record);
        }
        Ok(())
    }

    /// Wakes those who wait on a hold, and those who look.
    fn tell(&self, record: &HoldRecord) {
        self.waiters.tell(record.id(), Told::OnRecord(Arc::new(record.clone())));
        self.events.announce(Event::Hold { hold: record.id(), phase: record.phase().as_str() });
        self.metrics.hold_changes.inc();
    }
}

/// Why an approved operation does not go on.
pub(crate) enum ClaimFailure {
    /// Today it would be stricter: decide again.
    Stricter(Box<BoundHold>),
    /// It is refused.
    Refused(Refusal),
}

/// What is needed to place an operation into a hold, owned, so that it can go into the writer's transaction.
struct HoldRequest {
    key: OperationKey,
    intent: Intent,
    opening: lifecycle::Opening,
    digest_key: DigestKey,
    explanation: control_plane_core::decision::Explanation,
    show: serde_json::Value,
}

impl HoldRequest {
    fn new(attributes: &Attributes, hold: &Hold, pin: VersionPin, nobody: bool, show: serde_json::Value) -> Self {
        let key = OperationKey { session: attributes.session(), operation: attributes.operation() };
        let intent = Intent::of(attributes);
        let digest_key = DigestKey::new(shared_net::crypto::random());
        let asker = attributes.identity().asker();
        let opening = lifecycle::Opening {
            id: HoldId::new(Uuid::now_v7()),
            operation: key,
            behind: Behind::of(&asker, nobody),
            asker,
            only_pod: hold.only_pod(),
            cluster: attributes.cluster().to_owned(),
            request: attributes.info().clone(),
            intent: intent.digest(&digest_key),
            pin,
            terms: hold.terms().clone(),
        };
        Self { key, intent, opening, digest_key, explanation: hold.explanation().clone(), show }
    }

    /// Runs in the transaction.
    fn place(self, t: &HoldTransaction<'_>, now: Timestamp) -> Result<Opened, StoreError> {
        let Some(operation) = t.operation(self.key)? else {
            return Err(StoreError::Corrupt("a hold without its operation"));
        };
        let asker = &self.opening.asker;
        let since =
            Timestamp(now.0.saturating_sub(u64::try_from(limits::HOLD_WAIT_MAX.as_millis()).unwrap_or(u64::MAX)));
        for (record, key) in t.holds_of(asker, since)? {
            let candidate = Candidate {
                operation: self.key,
                asker: asker.clone(),
                only_pod: self.opening.only_pod.clone(),
                cluster: self.opening.cluster.clone(),
                intent: self.intent.digest(&key),
                pin: self.opening.pin.clone(),
            };
            match record.join(&candidate, now) {
                Join::Not => {}
                Join::Denied => return Ok(Opened::Denied(Box::new(record))),
                Join::Replace => {
                    if let Some(step) = record.void(VoidReason::ObjectMoved, now) {
                        t.save_hold(&step.state)?;
                        // It may have waited on that hold itself, in an earlier life.
                        settle(t, &step.state, Some(self.key), now)?;
                    }
                }
                Join::Wait(bound) => return wait(t, &operation, record, bound, &self.explanation),
            }
        }
        let waiting = t.waiting(self.key.session, asker)?;
        match HoldRecord::open(self.opening, waiting, now) {
            Err(error) => Ok(Opened::Not(error)),
            Ok((record, bound)) => {
                t.insert_hold(&record, &self.digest_key, &self.show)?;
                wait(t, &operation, record, bound, &self.explanation)
            }
        }
    }
}

fn wait(
    t: &HoldTransaction<'_>,
    operation: &lifecycle::OperationRecord,
    record: HoldRecord,
    bound: Bound,
    explanation: &control_plane_core::decision::Explanation,
) -> Result<Opened, StoreError> {
    let Ok(waiting) = operation.wait(bound.clone()) else {
        return Err(StoreError::Corrupt("a hold for an operation that is over"));
    };
    t.save_operation(&waiting, Some(record.id()))?;
    t.explain(waiting.key(), explanation)?;
    Ok(Opened::Waits(Box::new(record), Box::new(bound)))
}

/// Or why not.
type Spent = Result<(lifecycle::Claimed, Issued, HoldRecord), Refusal>;

fn spend(
    t: &HoldTransaction<'_>,
    id: HoldId,
    key: OperationKey,
    fine: StillFine,
    new: NewIssue,
    now: Timestamp,
) -> Result<Spent, StoreError> {
    let (Some(hold), Some(operation)) = (t.hold(id)?, t.operation(key)?) else {
        return Err(StoreError::Corrupt("a hold without its operation"));
    };
    if matches!(operation.progress(), Progress::Returned { .. }) {
        return Ok(match operation.issue_again(&hold, fine, new, now) {
            Err(refusal) => Err(Refusal::HoldOver { hold: id, why: refusal.to_string() }),
            Ok(step) => {
                t.save_operation(&step.state, Some(id))?;
                let lifecycle::Go { claimed, issued } = step.effects.assert_durable();
                Ok((claimed, issued, hold))
            }
        });
    }
    Ok(match lifecycle::spend(&hold, &operation, fine, new, now) {
        Err(SpendRefusal::Used { by }) if by != key => Err(over_for(&hold, key)),
        Err(refusal) => Err(Refusal::HoldOver { hold: id, why: refusal.to_string() }),
        Ok(step) => {
            let lifecycle::Spend { hold, operation } = step.state;
            t.save_hold(&hold)?;
            t.save_operation(&operation, Some(id))?;
            // The others that waited on this hold are over: its approval was for one.
            settle(t, &hold, None, now)?;
            // Given out by `change` only after the commit.
            let lifecycle::Go { claimed, issued } = step.effects.assert_durable();
            Ok((claimed, issued, hold))
        }
    })
}

/// Ends the operations that waited on a hold that is over for them, but for one that goes on in another way.
fn settle(
    t: &HoldTransaction<'_>,
    hold: &HoldRecord,
    but: Option<OperationKey>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for waiter in t.waiters(hold.id())? {
        if but == Some(waiter.key()) {
            continue;
        }
        if let Some(step) = waiter.settle(hold, now) {
            let told = over_for(hold, waiter.key()).shape();
            t.end_operation(&step.state, told.reason.code(), &told.message, now)?;
        }
    }
    Ok(())
}

/// The refusal that belongs to a hold that is over, for one of the operations that waited on it.
pub(crate) fn over_for(record: &HoldRecord, operation: OperationKey) -> Refusal {
    match record.phase() {
        Phase::Spent { by, .. } if *by == operation => {
            let why = "it was approved, but could not be sent before the approval expired".to_owned();
            Refusal::HoldOver { hold: record.id(), why }
        }
        Phase::Spent { by, .. } if by.session != operation.session => {
            let why = "another run of the same identity used the approval".to_owned();
            Refusal::HoldOver { hold: record.id(), why }
        }
        Phase::Waiting { .. }
        | Phase::Approved { .. }
        | Phase::Spent { .. }
        | Phase::Denied { .. }
        | Phase::Expired { .. }
        | Phase::Void { .. } => over(record),
    }
}

/// The refusal that belongs to a hold that is over.
fn over(record: &HoldRecord) -> Refusal {
    let hold = record.id();
    let why = match record.phase() {
        Phase::Denied { subject, reason, .. } => {
            return Refusal::HoldDenied { hold, by: subject.clone(), reason: reason.clone() };
        }
        Phase::Expired { approval: None, .. } => "nobody approved it in time",
        Phase::Expired { .. } => "it was approved, but not claimed in time",
        Phase::Void { why: VoidReason::ObjectMoved, .. } => "the object changed while it waited",
        Phase::Void { why: VoidReason::SessionRevoked, .. } => "its session was revoked",
        Phase::Void { why: VoidReason::PolicyStricter, .. } => "policy became stricter while it waited",
        Phase::Void { why: VoidReason::Restored, .. } => "the control plane was restored from a backup",
        Phase::Spent { .. } => "another try of the same request used the approval",
        Phase::Waiting { .. } | Phase::Approved { .. } => "it still waits",
    };
    Refusal::HoldOver { hold, why: why.to_owned() }
}
