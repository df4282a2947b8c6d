//! etcd as the ledger of spent approvals: a Lease per approval in our own namespace, created before the send (ARCHITECTURE.md, Grants).
//!
//! Invariant: an approved operation is sent only after *this* call created its Lease. If it exists, somebody spent the approval before:
//! another agent, an earlier process, an earlier life of the control plane, a restored backup.

use control_plane_core::grant::ApprovalClaim;
use control_plane_core::ledger::spent_lease_name;
use shared::ids::OperationId;
use shared::limits;
use shared::time::Timestamp;

use crate::leases::{Created, LeaseError, Leases};
use crate::refusal::Refusal;

const LABEL: (&str, &str) = ("sallyport.dev/spent", "true");
const EXPIRES: &str = "sallyport.dev/expires";
const AUDIT: &str = "sallyport-sweep";

/// The approvals that were spent in this cluster.
#[derive(Clone, Debug)]
pub struct SpentLeases(Leases);

impl SpentLeases {
    pub(crate) const fn new(leases: Leases) -> Self {
        Self(leases)
    }

    /// Spends an approval for good.
    ///
    /// # Errors
    /// [`Refusal::ApprovalSpent`] if it was spent before, [`Refusal::LedgerClosed`] if the API server gave no clear answer.
    pub async fn spend(&self, approval: &ApprovalClaim, operation: OperationId) -> Result<(), Refusal> {
        let annotations =
            [(EXPIRES, approval.expires.0.to_string()), ("sallyport.dev/operation", operation.to_string())];
        let audit = format!("{operation}-spent");
        match self.0.create(&spent_lease_name(approval.approval), LABEL, &annotations, &audit).await {
            Ok(Created::Here) => Ok(()),
            Ok(Created::Before) => Err(Refusal::ApprovalSpent),
            Err(error) => {
                tracing::warn!(%error, "the ledger of spent approvals is closed");
                Err(Refusal::LedgerClosed)
            }
        }
    }

    /// Deletes Leases whose approval expired long ago, at most a page of them. Returns how many.
    ///
    /// # Errors
    /// The API server does not list them.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, LeaseError> {
        let mut deleted: usize = 0;
        for lease in self.0.list(LABEL, AUDIT).await? {
            // What carries no time of ours is not ours to delete.
            let Some(expires) = lease.annotation(EXPIRES).and_then(|text| text.parse().ok()) else { continue };
            if Timestamp(expires).after(limits::SPENT_LEASE_KEEP) >= now || !lease.name.starts_with("spent-") {
                continue;
            }
            if self.0.delete(&lease, AUDIT).await {
                deleted = deleted.saturating_add(1);
            }
        }
        Ok(deleted)
    }
}
