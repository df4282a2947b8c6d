//! A way for datagrams that can lose the large ones: what says "I am here" goes on arriving, what carries a request does not.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// QUIC fills datagrams of at least 1200 bytes with what is longer; acknowledgements and our pings are a few hundred at most.
const LARGE: usize = 1000;
const TURN: Duration = Duration::from_millis(100);

/// Passes datagrams on to one address and back. Its threads end with the value.
#[derive(Debug)]
pub struct Lossy {
    address: SocketAddr,
    loses: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Lossy {
    /// In front of this address.
    pub fn before(server: SocketAddr) -> Self {
        let front = socket();
        let address = front.local_addr().expect("it has an address");
        let (loses, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (loses_too, over_too) = (Arc::clone(&loses), Arc::clone(&over));
        std::thread::spawn(move || forward(&front, server, &loses_too, &over_too));
        Self { address, loses, over }
    }

    /// Whom clients call instead.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether large datagrams to the clients are lost from now on.
    pub fn lose(&self, large: bool) {
        self.loses.store(large, Ordering::SeqCst);
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    socket.set_read_timeout(Some(TURN)).expect("that is a timeout");
    socket
}

/// From clients to the server, with a socket for each client for the way back.
fn forward(front: &UdpSocket, server: SocketAddr, loses: &Arc<AtomicBool>, over: &Arc<AtomicBool>) {
    let mut clients: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut datagram = [0; 65536];
    while !over.load(Ordering::SeqCst) {
        let Ok((length, client)) = front.recv_from(&mut datagram) else { continue };
        let back = clients.entry(client).or_insert_with(|| {
            let back = socket();
            let reader = back.try_clone().expect("a socket can be cloned");
            let front = front.try_clone().expect("a socket can be cloned");
            let (loses, over) = (Arc::clone(loses), Arc::clone(over));
            std::thread::spawn(move || {
                let mut datagram = [0; 65536];
                while !over.load(Ordering::SeqCst) {
                    let Ok((length, _)) = reader.recv_from(&mut datagram) else { continue };
                    if length < LARGE || !loses.load(Ordering::SeqCst) {
                        // Whoever has gone hears nothing, as on any way.
                        drop(front.send_to(datagram.get(..length).unwrap_or_default(), client));
                    }
                }
            });
            back
        });
        drop(back.send_to(datagram.get(..length).unwrap_or_default(), server));
    }
}
