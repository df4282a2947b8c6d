//! A network in front of the API server that can fall silent in one direction: what is asked for happens, and nobody hears of it.

use std::net::{Ipv4Addr, SocketAddr};

use shared_net::tasks::{CancelOnDrop, TaskSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::stack::ApiServer;

/// Passes bytes between agents and the cluster's API server. Ends with the value.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    ca: std::path::PathBuf,
    /// How many connections were made, and how many of the first of them are silent.
    made: watch::Sender<usize>,
    silent: watch::Sender<usize>,
    _tasks: CancelOnDrop,
}

impl Relay {
    /// In front of the cluster's API server.
    pub async fn start(cluster: &Cluster) -> Self {
        let facts = cluster.facts();
        let server = facts.server.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let (made, silent) = (watch::Sender::new(0), watch::Sender::new(0));
        let tasks = TaskSet::new();
        let (passing, count, cut) = (tasks.clone(), made.clone(), silent.clone());
        tasks.spawn_core("relay", async move {
            while let Ok((agent, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.expect("the API server is there");
                let ((from_agent, to_agent), (from_server, to_server)) = (agent.into_split(), upstream.into_split());
                let number = *count.borrow();
                count.send_modify(|made| *made += 1);
                passing.spawn("request", pass(from_agent, to_server, None));
                passing.spawn("answer", pass(from_server, to_agent, Some((number, cut.subscribe()))));
            }
        });
        Self { address, ca: facts.ca.clone(), made, silent, _tasks: CancelOnDrop(tasks) }
    }

    /// As what an agent calls.
    pub fn api_server(&self) -> ApiServer {
        ApiServer { url: format!("https://{}", self.address), ca: self.ca.clone() }
    }

    /// From now on no answer passes on the connections that there are.
    pub fn silence(&self) {
        self.silent.send_replace(*self.made.borrow());
    }
}

/// Passes bytes on until one side ends. With a number: unless the connection of that number is silent.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: Option<(usize, watch::Receiver<usize>)>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await.unwrap_or(0);
        if let Some((number, silent)) = &mut silent {
            // Fails when the relay ends.
            let number = *number;
            drop(silent.wait_for(|silent| number >= *silent).await);
        }
        let passed = to.write_all(piece.get(..length).unwrap_or_default()).await;
        if length == 0 || passed.is_err() {
            return;
        }
    }
}
