//! A network that lets no UDP through: a port where packets vanish, and TCP at the same number that is passed on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket};

use shared_net::tasks::{CancelOnDrop, TaskSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// In front of a control plane. Ends with the value.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    /// Nobody reads it.
    _hole: UdpSocket,
    _tasks: CancelOnDrop,
    /// Of its own: a stack is made outside of any, too.
    runtime: Option<Runtime>,
}

impl Detour {
    /// Round UDP, to this address.
    pub fn before(server: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let tasks = TaskSet::new();
        let (listener, hole) = ports();
        let address = listener.local_addr().expect("it has an address");
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
        let family = tasks.clone();
        tasks.spawn("detour", async move {
            while let Ok((mut client, _)) = listener.accept().await {
                family.spawn("passed on", async move {
                    // Without a server the client's connection ends, as if nobody listened.
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                    }
                });
            }
        });
        drop(entered);
        Self { address, _hole: hole, _tasks: CancelOnDrop(tasks), runtime: Some(runtime) }
    }

    /// Whom clients call instead.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A stack may end inside of another runtime, where nothing may block.
            runtime.shutdown_background();
        }
    }
}

fn ports() -> (StdListener, UdpSocket) {
    loop {
        let tcp = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        tcp.set_nonblocking(true).expect("a socket can be so");
        if let Ok(hole) = UdpSocket::bind(tcp.local_addr().expect("it has an address")) {
            return (tcp, hole);
        }
    }
}
