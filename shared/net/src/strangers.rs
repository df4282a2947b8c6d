//! Connections whose peer has not yet proven to be anybody: any key makes one, so they are few per address and don't last.
//!
//! A connection takes a [`Place`] when it comes and gives it back when it has a role, or with its end. The control plane's `peers` counts so
//! whose key is proven, and `tcp` whose is not.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use shared::limits;

/// How many there are, by where they come from. Bounded by the connections that there are.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<IpAddr, usize>>);

/// One of an address's places; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Place {
    strangers: Arc<Strangers>,
    from: IpAddr,
}

impl Strangers {
    /// A place for one more connection from there, if [`limits::STRANGERS_PER_ADDRESS`] are not taken.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let from = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(from).or_default();
        if *count >= limits::STRANGERS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { strangers: Arc::clone(self), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.from);
            }
        }
    }
}

/// What one machine can choose its addresses from: a host of IPv6 has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let strangers = Arc::new(Strangers::default());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut places: Vec<_> = (0..limits::STRANGERS_PER_ADDRESS).map(|_| strangers.admit(one).unwrap()).collect();
        assert!(strangers.admit(one).is_none());
        assert!(strangers.admit("::ffff:192.0.2.1".parse().unwrap()).is_none(), "the same address in other words");
        assert!(strangers.admit(other).is_some(), "another address has its own");
        places.pop();
        drop(strangers.admit(one).unwrap());
        drop(places);
        assert!(strangers.0.lock().unwrap().is_empty(), "nothing is remembered of who has left");
    }

    #[test]
    fn a_host_of_ipv6_is_one() {
        let strangers = Arc::new(Strangers::default());
        let at = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let places: Vec<_> =
            (0..limits::STRANGERS_PER_ADDRESS).map(|n| strangers.admit(at(n as u16)).unwrap()).collect();
        assert!(strangers.admit(at(9999)).is_none());
        assert!(strangers.admit([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1].into()).is_some());
        drop(places);
    }
}
