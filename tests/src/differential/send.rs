//! Sends request lines as they are. Every HTTP library normalises or refuses some; this one writes bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Sent;
use crate::cluster::{Cluster, Namespace};

/// Connections, and so requests in flight.
const CONNECTIONS: usize = 16;
/// A server that says nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Sender {
    server: String,
    token: String,
    /// Deleted, and the token void with it, when the sender goes.
    _namespace: Namespace,
    tls: Arc<ClientConfig>,
    /// Audit-IDs are `tag-number`.
    pub(super) tag: String,
    next: AtomicUsize,
}

impl Sender {
    pub(super) fn new(cluster: &'static Cluster) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&cluster.facts().ca)? {
            roots.add(certificate?)?;
        }
        let namespace = cluster.namespace("differential");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // No ALPN: the server speaks HTTP/1.1 then.
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            server: cluster.facts().server.trim_start_matches("https://").to_owned(),
            // Nobody gives rights to a ServiceAccount of a namespace that was just made.
            token: cluster.token(&namespace, "default", None, None),
            _namespace: namespace,
            tls: Arc::new(tls),
            tag: format!("differential-{}", uuid::Uuid::new_v4()),
            next: AtomicUsize::new(0),
        })
    }

    /// Sends all of them and reads the answers; gives the number of the first.
    pub(super) fn send(&self, batch: &[Sent]) -> anyhow::Result<usize> {
        let first = self.next.fetch_add(batch.len(), Ordering::Relaxed);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    scope.spawn(|| -> anyhow::Result<()> {
                        let mut connection = None;
                        loop {
                            let index = taken.fetch_add(1, Ordering::Relaxed);
                            let Some(sent) = batch.get(index) else { return Ok(()) };
                            self.exchange(&mut connection, sent, first + index)
                                .with_context(|| format!("{:?}", sent.pair))?;
                        }
                    })
                })
                .collect();
            for thread in threads {
                match thread.join() {
                    Ok(result) => result?,
                    Err(_) => bail!("a sending thread panicked"),
                }
            }
            Ok(first)
        })
    }

    fn exchange(&self, connection: &mut Option<Connection>, sent: &Sent, number: usize) -> anyhow::Result<()> {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(self.connect()?),
        };
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAudit-ID: {}-{number}\r\nAccept: application/json\r\n\
             Content-Length: 0\r\n\r\n",
            sent.pair.method, sent.pair.target, self.server, self.token, self.tag
        );
        open.get_mut().write_all(head.as_bytes())?;
        open.get_mut().flush()?;
        if !answer(open, &sent.pair.method)? {
            *connection = None;
        }
        Ok(())
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        let tcp = TcpStream::connect(&self.server)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        let tls = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from(host.to_owned())?)?;
        Ok(BufReader::new(StreamOwned::new(tls, tcp)))
    }
}

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Reads one answer to its end. Whether the connection can be used again.
fn answer(connection: &mut Connection, method: &str) -> anyhow::Result<bool> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status: u16 = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("a status line, got {line:?}"))?;
    let (mut length, mut chunked, mut reusable) = (None, false, true);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("a header")?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = Some(value.parse::<u64>()?),
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => reusable = false,
            _ => {}
        }
    }
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(reusable);
    }
    if chunked {
        while chunk(connection)? {}
    } else if let Some(length) = length {
        std::io::copy(&mut connection.by_ref().take(length), &mut std::io::sink())?;
    } else {
        // Till the end of the connection, which a server may cut without a TLS close.
        drop(std::io::copy(connection, &mut std::io::sink()));
        reusable = false;
    }
    Ok(reusable)
}

/// Whether there is another.
fn chunk(connection: &mut Connection) -> anyhow::Result<bool> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let size = u64::from_str_radix(line.trim_end(), 16).with_context(|| format!("a chunk size, got {line:?}"))?;
    std::io::copy(&mut connection.by_ref().take(size + 2), &mut std::io::sink())?;
    Ok(size > 0)
}
