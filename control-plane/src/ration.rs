//! So many of something for each address, and one more every while: what strangers may make us write or look at.
//!
//! Used by [`crate::intruders`] for rows and by [`crate::enrolments`] for tokens that are none. Addresses that are told apart are bounded;
//! past that all others count as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use shared::limits;

/// Who counts as one: an address, and of IPv6 what one customer has at the least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// How many each address may still have.
pub(crate) struct Ration {
    burst: u32,
    every: Duration,
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

impl Ration {
    /// So many in a row, and one more after each of these times.
    pub(crate) fn new(burst: u32, every: Duration) -> Self {
        let others = Purse { left: burst, filled: Duration::ZERO, left_out: 0 };
        Self { burst, every, addresses: HashMap::new(), others }
    }

    /// Takes one: how many were asked for in vain since the last. `None` if there is none to take.
    pub(crate) fn take(&mut self, from: IpAddr, now: Duration) -> Option<u64> {
        let from = network(from);
        let (burst, every) = (self.burst, self.every);
        if !self.addresses.contains_key(&from) && self.addresses.len() >= limits::RATION_ADDRESSES {
            self.addresses.retain(|_, purse| !purse.is_full_at(now, burst, every));
        }
        let room = self.addresses.len() < limits::RATION_ADDRESSES;
        let purse = match self.addresses.get_mut(&from) {
            Some(purse) => purse,
            None if room => self.addresses.entry(from).or_insert(Purse { left: burst, filled: now, left_out: 0 }),
            None => &mut self.others,
        };
        purse.take(now, burst, every)
    }

    /// Whether there would be none to take.
    pub(crate) fn is_out(&mut self, from: IpAddr, now: Duration) -> bool {
        let (burst, every) = (self.burst, self.every);
        let room = self.addresses.len() < limits::RATION_ADDRESSES;
        match self.addresses.get_mut(&network(from)) {
            Some(purse) => purse.is_out(now, burst, every),
            None => !room && self.others.is_out(now, burst, every),
        }
    }
}

impl Purse {
    fn fill(&mut self, now: Duration, burst: u32, every: Duration) {
        let every = every.as_secs().max(1);
        let grown = now.saturating_sub(self.filled).as_secs() / every;
        self.filled = self.filled.saturating_add(Duration::from_secs(grown.saturating_mul(every)));
        let left = u64::from(self.left).saturating_add(grown).min(u64::from(burst));
        self.left = u32::try_from(left).unwrap_or(burst);
    }

    fn is_full_at(mut self, now: Duration, burst: u32, every: Duration) -> bool {
        self.fill(now, burst, every);
        self.left == burst
    }

    fn is_out(&mut self, now: Duration, burst: u32, every: Duration) -> bool {
        self.fill(now, burst, every);
        self.left == 0
    }

    fn take(&mut self, now: Duration, burst: u32, every: Duration) -> Option<u64> {
        if self.is_out(now, burst, every) {
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
        let mut ration = Ration::new(limits::REJECTED_BURST, limits::REJECTED_EVERY);
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
        let mut ration = Ration::new(limits::REJECTED_BURST, limits::REJECTED_EVERY);
        let mut rows = 0;
        for number in 0..20_000 {
            rows += u32::from(ration.take(address(number), Duration::ZERO).is_some());
        }
        assert_eq!(ration.addresses.len(), limits::RATION_ADDRESSES);
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
