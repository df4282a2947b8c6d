//! Who tried to be a sidecar or an agent and was not let in.
//!
//! Each attempt is kept where rejected attempts are, and what no honest peer sends is counted as an attack signal. Anybody who reaches the
//! port can try, as often as he likes: so rows and log lines are rationed by address (SECURITY.md D8), and what was left out is a number in
//! the next row. The counters see every attempt.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use control_plane_core::identity::token::TokenError;
use shared::ids::OperationId;
use shared::limits;
use shared_net::clock::Clock;

use crate::agents::HelloError;
use crate::authn::{AuthnError, NotAdmitted};
use crate::enrolments::EnrolError;
use crate::metrics::{GatewayMetrics, RefusalLabels};
use crate::ration::Ration;
use crate::sessions::OpenError;
use crate::store::{Rejected, Store};

/// Keeps what strangers try.
pub struct Intruders {
    store: Store,
    clock: Clock,
    metrics: Arc<GatewayMetrics>,
    ration: Mutex<Ration>,
}

/// One attempt.
pub struct Attempt {
    /// The stage that refused.
    pub stage: &'static str,
    /// Method and path.
    pub what: String,
    /// HTTP status given.
    pub status: u16,
    /// Why.
    pub why: String,
    /// Operation id, if one came.
    pub operation: Option<OperationId>,
    /// What it is counted as, if no honest peer does it.
    pub signal: Option<&'static str>,
}

impl Intruders {
    /// Nobody has tried yet.
    pub fn new(store: Store, clock: Clock, metrics: Arc<GatewayMetrics>) -> Self {
        Self { store, clock, metrics, ration: Mutex::new(Ration::new(limits::REJECTED_BURST, limits::REJECTED_EVERY)) }
    }

    /// Counts an attempt, and keeps it if its address has not tried too often.
    pub async fn keep(&self, from: IpAddr, attempt: Attempt) {
        let Attempt { stage, what, status, why, operation, signal } = attempt;
        if let Some(kind) = signal {
            self.metrics.attack_signals.get_or_create(&RefusalLabels { kind }).inc();
        }
        let from = from.to_canonical();
        let taken = self.ration.lock().unwrap_or_else(PoisonError::into_inner).take(from, self.clock.monotonic());
        let Some(left_out) = taken else { return };
        let mut why: String = why.chars().take(limits::REJECTED_CHARS).collect();
        if left_out > 0 {
            why.push_str(&format!(" (and {left_out} more of its attempts before, not kept)"));
        }
        let what = format!("{what} from {from}");
        tracing::warn!(stage, what, why, signal, operation.id = operation.map(|id| id.to_string()), "not let in");
        let rejected = Rejected { at: self.clock.now(), session: None, operation, stage, status, what, why };
        if let Err(error) = self.store.reject(rejected).await {
            tracing::warn!(error = %shared::chain::Chain(&error), "a rejected attempt could not be kept");
        }
    }
}

/// What the refusal of a session says of who asked. What misconfiguration, a late clock or a restart does too is no signal.
pub fn signal_of_session(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::Taken(_) | OpenError::NotItsPlace(_) => Some("pod_taken"),
        OpenError::OtherRunner => Some("other_runner"),
        OpenError::Authn(error) => signal_of_token(error),
        OpenError::Over(_) | OpenError::Replayed | OpenError::Forgotten(_) | OpenError::Store(_) => None,
    }
}

/// The same of an agent's greeting.
pub fn signal_of_agent(error: &HelloError) -> Option<&'static str> {
    match error {
        // The right audience and signature, and another ServiceAccount than the agent's.
        HelloError::Authn(AuthnError::Token(TokenError::Required { .. })) => Some("foreign_agent"),
        HelloError::Authn(error) => signal_of_token(error),
        HelloError::OtherAgent => Some("other_agent"),
        HelloError::OtherCluster { .. } | HelloError::OldCopy(_) | HelloError::Forgotten(_) | HelloError::Export => {
            None
        }
    }
}

/// The same of an enrolment token that is shown.
pub fn signal_of_enrolment(error: &EnrolError) -> Option<&'static str> {
    match error {
        // Somebody has a token that was not made for him: its first user, or this one.
        EnrolError::SpentByAnother => Some("enrolment_spent"),
        EnrolError::Refused(NotAdmitted::Agent(AuthnError::Token(TokenError::Required { .. }))) => {
            Some("foreign_agent")
        }
        EnrolError::Refused(NotAdmitted::Agent(error)) => signal_of_token(error),
        EnrolError::Refused(NotAdmitted::SharedKey) => Some("enrolment_foreign_key"),
        EnrolError::Refused(NotAdmitted::Keys(_) | NotAdmitted::Name | NotAdmitted::Uid)
        | EnrolError::Throttled
        | EnrolError::Unknown
        | EnrolError::Expired(_)
        | EnrolError::Over
        | EnrolError::Malformed(_)
        | EnrolError::Store(_) => None,
    }
}

fn signal_of_token(error: &AuthnError) -> Option<&'static str> {
    let AuthnError::Token(error) = error else { return None };
    match error {
        TokenError::Malformed | TokenError::Algorithm(_) | TokenError::Header(_) | TokenError::Signature => {
            Some("forged_token")
        }
        TokenError::Audience { .. } => Some("foreign_token"),
        TokenError::UnknownKey(_)
        | TokenError::Claim(_)
        | TokenError::Issuer { .. }
        | TokenError::Expired(_)
        | TokenError::NotYet(_)
        | TokenError::Required { .. } => None,
    }
}
