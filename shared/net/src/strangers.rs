//! Places that are few for each: connections whose peer has not yet proven to be anybody, by where they come from (any key makes one), and
//! whatever else is counted so.
//!
//! A connection takes a [`Place`] when it comes and gives it back when it has shown who it is, or with its end. The control plane's `peers`
//! counts so whose key is proven, and `tcp` whose is not.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use shared::limits;

/// So many places for each key. Bounded by what has one.
#[derive(Debug)]
pub struct Places<K> {
    each: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One of a key's places; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// With so many for each.
    pub fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { each, taken: Mutex::default() })
    }

    /// One more place for this key, if there is one.
    pub fn admit(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&key).copied().unwrap_or(0);
        if count >= self.each {
            return None;
        }
        taken.insert(key.clone(), count + 1);
        drop(taken);
        Some(Place { places: Arc::clone(self), key })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// Connections without a role, by where they come from.
#[derive(Clone, Debug)]
pub struct Strangers(Arc<Places<IpAddr>>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Places::new(limits::STRANGERS_PER_ADDRESS))
    }
}

impl Strangers {
    /// A place for one more connection from there, if [`limits::STRANGERS_PER_ADDRESS`] are not taken.
    pub fn admit(&self, address: IpAddr) -> Option<Place<IpAddr>> {
        self.0.admit(network(address))
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
        let strangers = Strangers::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut places: Vec<_> = (0..limits::STRANGERS_PER_ADDRESS).map(|_| strangers.admit(one).unwrap()).collect();
        assert!(strangers.admit(one).is_none());
        assert!(strangers.admit("::ffff:192.0.2.1".parse().unwrap()).is_none(), "the same address in other words");
        assert!(strangers.admit(other).is_some(), "another address has its own");
        places.pop();
        drop(strangers.admit(one).unwrap());
        drop(places);
        assert!(strangers.0.taken.lock().unwrap().is_empty(), "nothing is remembered of who has left");
    }

    #[test]
    fn a_host_of_ipv6_is_one() {
        let strangers = Strangers::default();
        let at = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let places: Vec<_> =
            (0..limits::STRANGERS_PER_ADDRESS).map(|n| strangers.admit(at(n as u16)).unwrap()).collect();
        assert!(strangers.admit(at(9999)).is_none());
        assert!(strangers.admit([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1].into()).is_some());
        drop(places);
    }
}
