//! Where the processes of a stack listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

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
    /// Free ports, told by the kernel. Another process could take one before ours does; then the start fails loudly.
    pub(super) fn choose() -> Self {
        let tcp = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
            listener.local_addr().expect("it has an address")
        };
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        Self {
            quic: udp.local_addr().expect("it has an address"),
            web: tcp(),
            admin: tcp(),
            agent_admin: tcp(),
            second_agent_admin: tcp(),
            sidecar: tcp(),
        }
    }
}
