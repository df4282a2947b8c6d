//! Where the processes of a stack listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to whoever calls out: one of those may be somebody's own end by the time our process listens.
const PORTS: Range<u16> = 10_240..20_000;

/// Where each listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) quic: SocketAddr,
    pub(super) web: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) agent_admin: SocketAddr,
    pub(super) second_agent_admin: SocketAddr,
    pub(super) sidecar: SocketAddr,
}

impl Addresses {
    /// Free ports. Another run of the tests could take one before our process does; then the start fails loudly.
    pub(super) fn choose() -> Self {
        Self {
            quic: free(),
            web: free(),
            admin: free(),
            agent_admin: free(),
            second_agent_admin: free(),
            sidecar: free(),
        }
    }
}

/// An address that this run has not given yet and nobody listens on. Runs begin at different ports.
fn free() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let length = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(length)).expect("it is less than the length");
    for _ in 0..length {
        let offset = (u32::from(first) + u32::from(GIVEN.fetch_add(1, Ordering::Relaxed))) % u32::from(length);
        let port = PORTS.start + u16::try_from(offset).expect("it is less than the length");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port of {PORTS:?} is free");
}
