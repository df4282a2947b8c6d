//! The highest life of our control plane that this cluster has seen, kept in a Lease per life: an agent that starts anew, or a second
//! one, refuses an old copy of the control plane as the first one would.
//!
//! Lives are told apart by the pin of the control plane's CA: another control plane has a count of its own.

use control_plane_core::lifecycle::Life;
use shared_net::pki::KeyPin;
use tokio::sync::Mutex;

use crate::leases::{LeaseError, Leases};

const LABEL: &str = "sallyport.dev/life";
const AUDIT: &str = "sallyport-life";

/// What the cluster remembers.
#[derive(Debug)]
pub struct SeenLives {
    leases: Leases,
    /// Label value and part of the names: the beginning of the pin, in hex.
    whose: String,
    /// The highest that is known to be in the cluster; `None` before the first look.
    highest: Mutex<Option<Life>>,
}

impl SeenLives {
    pub(crate) fn new(leases: Leases, pin: &KeyPin) -> Self {
        let whose = pin.bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { leases, whose, highest: Mutex::new(None) }
    }

    /// The highest life seen. Asks the cluster once.
    ///
    /// # Errors
    /// The API server gave no clear answer: then nobody may be believed to be the newest.
    pub async fn highest(&self) -> Result<Life, LeaseError> {
        let mut highest = self.highest.lock().await;
        if let Some(life) = *highest {
            return Ok(life);
        }
        let leases = self.leases.list((LABEL, &self.whose), AUDIT).await?;
        let life = leases.iter().filter_map(|lease| self.life_of(&lease.name)).max().unwrap_or_default();
        *highest = Some(life);
        Ok(life)
    }

    /// Remembers a life before anything is done in its name, and forgets lower ones.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn see(&self, life: Life) -> Result<(), LeaseError> {
        let mut highest = self.highest.lock().await;
        if highest.is_some_and(|highest| highest >= life) {
            return Ok(());
        }
        // One that is there already was written by another agent: it is remembered either way.
        let _created = self.leases.create(&self.name_of(life), (LABEL, &self.whose), &[], AUDIT).await?;
        *highest = Some(life);
        // Only to keep the list short: the highest counts.
        for lease in self.leases.list((LABEL, &self.whose), AUDIT).await.unwrap_or_default() {
            if self.life_of(&lease.name).is_some_and(|old| old < life) {
                self.leases.delete(&lease, AUDIT).await;
            }
        }
        Ok(())
    }

    fn name_of(&self, life: Life) -> String {
        format!("life-{}-{life}", self.whose)
    }

    fn life_of(&self, name: &str) -> Option<Life> {
        name.strip_prefix("life-")?.strip_prefix(&self.whose)?.strip_prefix('-')?.parse().ok().map(Life)
    }
}
