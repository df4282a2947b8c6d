//! Who waits on a hold in this process, and how it was told last to be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::lifecycle::{HoldRecord, Phase};
use shared::ids::HoldId;
use tokio::sync::watch;

/// What those who wait on a hold were told last.
#[derive(Clone)]
pub(super) enum Told {
    /// Nothing that counts: the record has the word.
    Look,
    /// It is being written. It may never be on record.
    Written(Arc<HoldRecord>),
    /// It is on record.
    OnRecord(Arc<HoldRecord>),
}

/// Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<HashMap<HoldId, watch::Sender<Told>>>>);

impl Waiters {
    /// What is told of a hold from now on, and what was told last.
    pub(super) fn watch(&self, id: HoldId) -> watch::Receiver<Told> {
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|_, sender| sender.receiver_count() > 0);
        waiters.entry(id).or_insert_with(|| watch::Sender::new(Told::Look)).subscribe()
    }

    /// Wakes those who wait.
    pub(super) fn tell(&self, id: HoldId, told: Told) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            sender.send_replace(told);
        }
    }
}

/// People have said yes. Their approval may have been spent by another try since.
pub(crate) struct Yes {
    hold: Arc<HoldRecord>,
    /// Where the last yes is still on its way to the disk: who tells when it is there.
    written: Option<watch::Receiver<Told>>,
}

impl Yes {
    pub(super) const fn written(hold: Arc<HoldRecord>, changes: watch::Receiver<Told>) -> Self {
        Self { hold, written: Some(changes) }
    }

    pub(super) const fn on_record(hold: Arc<HoldRecord>) -> Self {
        Self { hold, written: None }
    }

    /// The hold with its yes, once that is on record. `None`: it did not get there, or something else did.
    pub(crate) async fn recorded(self) -> Option<Arc<HoldRecord>> {
        let Some(mut changes) = self.written else { return Some(self.hold) };
        // What comes of a vote before this one may be told after it.
        let is_later = |told: &Told| match told {
            Told::Look => true,
            Told::Written(_) => false,
            Told::OnRecord(hold) => !matches!(hold.phase(), Phase::Waiting { .. }),
        };
        match &*changes.wait_for(is_later).await.ok()? {
            // Not the one that was told first: that may be lost, and another one have come.
            Told::OnRecord(hold) if is_yes(hold) || matches!(hold.phase(), Phase::Spent { .. }) => {
                Some(Arc::clone(hold))
            }
            Told::OnRecord(_) | Told::Written(_) | Told::Look => None,
        }
    }
}

/// Whether people have said yes, and nobody has made use of it.
pub(super) fn is_yes(hold: &HoldRecord) -> bool {
    matches!(hold.phase(), Phase::Approved { .. })
}

#[cfg(test)]
mod tests {
    use control_plane_core::decision::ApprovalTerms;
    use control_plane_core::digest::DigestKey;
    use control_plane_core::four_eyes::{Behind, Mode, Via, Voter};
    use control_plane_core::identity::Asker;
    use control_plane_core::lifecycle::{Ballot, Opening, OperationKey, VoidReason, Waiting};
    use control_plane_core::request_info::{RequestInfo, Verb};
    use control_plane_core::version_pin::VersionPin;
    use futures_util::FutureExt as _;
    use shared::ids::{ApprovalId, OperationId, SessionId};
    use shared::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn waiting() -> HoldRecord {
        let asker = Asker {
            cluster: "prod".to_owned(),
            namespace: "ci".to_owned(),
            service_account: "runner".to_owned(),
            ci_issuer: None,
            ci_subject: None,
            person: None,
        };
        let request = RequestInfo {
            is_resource_request: true,
            non_resource_path: String::new(),
            verb: Verb::Create,
            api_group: String::new(),
            api_version: "v1".to_owned(),
            namespace: "ci".to_owned(),
            resource: "serviceaccounts".to_owned(),
            subresource: String::new(),
            name: String::new(),
            proxy_path: String::new(),
        };
        let (session, operation) = (SessionId::new(Uuid::nil()), OperationId::new(Uuid::nil()));
        let opening = Opening {
            id: HoldId::new(Uuid::nil()),
            operation: OperationKey { session, operation },
            behind: Behind::of(&asker, true),
            asker,
            only_pod: None,
            cluster: "prod".to_owned(),
            request,
            intent: DigestKey::new([7; 32]).digest(&[b"intent"]),
            pin: VersionPin::Absent,
            terms: ApprovalTerms {
                groups: ["sre".to_owned()].into(),
                quorum: 1,
                wait: std::time::Duration::from_secs(60),
            },
        };
        HoldRecord::open(opening, Waiting::default(), NOW).unwrap().0
    }

    /// By a vote of this person.
    fn approved(hold: &HoldRecord, person: u128) -> Arc<HoldRecord> {
        let voter = Voter {
            issuer: "https://sso".to_owned(),
            subject: person.to_string(),
            person: Some(person.to_string()),
            groups: ["sre".to_owned()].into(),
            via: Via::Oidc,
        };
        let approval = ApprovalId::new(Uuid::from_u128(person));
        Arc::new(hold.vote(&voter, Ballot::Approve { signature: None }, approval, Mode::Serve, NOW).unwrap().state)
    }

    /// What comes of a yes that was told while it was being written, after this has been told too. Outer `None`: it is not known yet.
    fn after(told: &[Told]) -> Option<Option<Arc<HoldRecord>>> {
        let waiters = Waiters::default();
        let hold = waiting();
        let changes = waiters.watch(hold.id());
        let yes = approved(&hold, 1);
        waiters.tell(hold.id(), Told::Written(Arc::clone(&yes)));
        let yes = Yes::written(yes, changes);
        told.iter().for_each(|told| waiters.tell(hold.id(), told.clone()));
        yes.recorded().now_or_never()
    }

    #[test]
    fn a_yes_counts_once_it_is_on_record() {
        let hold = waiting();
        let (yes, other) = (approved(&hold, 1), approved(&hold, 2));
        assert_eq!(after(&[]), None);
        // The vote before it, whose caller was slow to tell.
        assert_eq!(after(&[Told::OnRecord(Arc::new(hold.clone()))]), None);
        assert_eq!(after(&[Told::OnRecord(Arc::clone(&yes))]), Some(Some(Arc::clone(&yes))));
        assert_eq!(after(&[Told::Look]), Some(None), "it was lost");
        // It was lost, and somebody else's vote was not: that one is judged again.
        let told = [Told::Look, Told::Written(Arc::clone(&other))];
        assert_eq!(after(&told), None);
        let told = [Told::Look, Told::Written(Arc::clone(&other)), Told::OnRecord(Arc::clone(&other))];
        assert_eq!(after(&told), Some(Some(other)));
        let void = Arc::new(hold.void(VoidReason::SessionRevoked, NOW).unwrap().state);
        assert_eq!(after(&[Told::OnRecord(void)]), Some(None));
        assert_eq!(Yes::on_record(Arc::clone(&yes)).recorded().now_or_never(), Some(Some(yes)));
    }
}
