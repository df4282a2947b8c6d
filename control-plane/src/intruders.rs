//! Who tried to be a sidecar or an agent and was not let in.
//!
//! Each attempt is kept where rejected attempts are, and what no honest peer sends is counted as an attack signal. Anybody who reaches the
//! port can try, as often as he likes: so rows and log lines are rationed by address (SECURITY.md D8), and what was left out is a number in
//! the next row. The counters see every attempt.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control_plane_core::identity::token::TokenError;
use shared::ids::OperationId;
use shared::limits;
use shared_net::clock::Clock;

use crate::agents::HelloError;
use crate::authn::AuthnError;
use crate::metrics::{GatewayMetrics, RefusalLabels};
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
        Self { store, clock, metrics, ration: Mutex::new(Ration::default()) }
    }

    /// Counts an attempt, and keeps it if its address has not tried too often.
    pub async fn keep(&self, from: IpAddr, attempt: Attempt) {
        let Attempt { stage, what, status, why, operation, signal } = attempt;
        if let Some(kind) = signal {
            self.metrics.attack_signals.get_or_create(&RefusalLabels { kind }).inc();
        }
        let from = from.to_canonical();
        let taken =
            self.ration.lock().unwrap_or_else(PoisonError::into_inner).take(network(from), self.clock.monotonic());
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
        OpenError::Over(_) | OpenError::Replayed | OpenError::Store(_) => None,
    }
}

/// The same of an agent's greeting.
pub fn signal_of_agent(error: &HelloError) -> Option<&'static str> {
    match error {
        // The right audience and signature, and another ServiceAccount than the agent's.
        HelloError::Authn(AuthnError::Token(TokenError::Required { .. })) => Some("foreign_agent"),
        HelloError::Authn(error) => signal_of_token(error),
        HelloError::OtherAgent => Some("other_agent"),
        HelloError::OtherCluster { .. } | HelloError::OldCopy(_) | HelloError::Export => None,
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

/// Who counts as one: an address, and of IPv6 what one customer has at the least.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// How many rows each address may still have.
#[derive(Default)]
struct Ration {
    addresses: HashMap<IpAddr, Purse>,
    /// All others, once there are too many to tell apart.
    others: Purse,
}

#[derive(Clone, Copy)]
struct Purse {
    left: u32,
    /// Up to when it was filled.
    filled: Duration,
    left_out: u64,
}

impl Default for Purse {
    fn default() -> Self {
        Self { left: limits::REJECTED_BURST, filled: Duration::ZERO, left_out: 0 }
    }
}

impl Ration {
    /// Takes one row: how many attempts were left out since the last. `None` if there is none to take.
    fn take(&mut self, from: IpAddr, now: Duration) -> Option<u64> {
        if !self.addresses.contains_key(&from) && self.addresses.len() >= limits::REJECTED_ADDRESSES {
            self.addresses.retain(|_, purse| !purse.is_full_at(now));
        }
        let room = self.addresses.len() < limits::REJECTED_ADDRESSES;
        let purse = match self.addresses.get_mut(&from) {
            Some(purse) => purse,
            None if room => self.addresses.entry(from).or_insert_with(|| Purse { filled: now, ..Purse::default() }),
            None => &mut self.others,
        };
        purse.take(now)
    }
}

impl Purse {
    fn fill(&mut self, now: Duration) {
        let every = limits::REJECTED_EVERY.as_secs().max(1);
        let grown = now.saturating_sub(self.filled).as_secs() / every;
        self.filled = self.filled.saturating_add(Duration::from_secs(grown.saturating_mul(every)));
        let left = u64::from(self.left).saturating_add(grown).min(u64::from(limits::REJECTED_BURST));
        self.left = u32::try_from(left).unwrap_or(limits::REJECTED_BURST);
    }

    fn is_full_at(mut self, now: Duration) -> bool {
        self.fill(now);
        self.left == limits::REJECTED_BURST
    }

    fn take(&mut self, now: Duration) -> Option<u64> {
        self.fill(now);
        if self.left == 0 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_flood_writes_a_bounded_number_of_rows() {
        let mut ration = Ration::default();
        let mut kept = |from, seconds| ration.take(address(from), Duration::from_secs(seconds));
        for attempt in 0..1000 {
            assert_eq!(kept(1, 5).is_some(), attempt < limits::REJECTED_BURST);
        }
        assert_eq!(kept(2, 5), Some(0), "another address is not silenced by it");
        assert_eq!(kept(1, 34), None);
        assert_eq!(kept(1, 35), Some(981), "and says how many there were");
        assert_eq!(kept(1, 35), None);
        assert_eq!(kept(1, 100_000), Some(1));
    }

    #[test]
    fn many_addresses_are_one_in_the_end() {
        let mut ration = Ration::default();
        let mut rows = 0;
        for number in 0..20_000 {
            rows += u32::from(ration.take(address(number), Duration::ZERO).is_some());
        }
        assert_eq!(ration.addresses.len(), limits::REJECTED_ADDRESSES);
        assert_eq!(rows, 4096 + limits::REJECTED_BURST);
        // Who has been quiet makes room.
        assert_eq!(ration.take(address(50_000), Duration::from_secs(60)), Some(0));
        assert_eq!(ration.addresses.len(), 1);
    }

    #[test]
    fn one_customer_of_ipv6_is_one() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
