//! The network between agent and control plane, which can fall silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared_net::tasks::TaskSet;
use tokio::net::UdpSocket;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    open: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn start(tasks: &TaskSet, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let this = Self { address: socket.local_addr().unwrap(), open: Arc::clone(&open) };
        tasks.spawn("relay", async move {
            let mut client = None;
            let mut packet = vec![0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let to = if from == server { client } else { Some(server) };
                if from != server {
                    client = Some(from);
                }
                if let (true, Some(to)) = (open.load(Ordering::SeqCst), to) {
                    socket.send_to(&packet[..length], to).await.unwrap();
                }
            }
        });
        this
    }

    /// From now on nothing passes.
    pub(crate) fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
    }
}
