//! The injector as the process that people run, with its webhooks registered at the real API server for one namespace alone: each test has
//! its own, and none is in another's way.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use shared_net::clock::Clock;
use shared_net::pki::{Ca, Identity};
use tempfile::TempDir;

use crate::cluster::{Cluster, Namespace, root};
use crate::logs::LogFile;
use crate::stack::process::Process;

/// The sidecar's image in these tests; no node ever pulls it.
pub const IMAGE: &str = "localhost/sallyport/sidecar:test";

/// What differs from one test to the next.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Further labels of the namespace, as `key=value`.
    pub labels: &'a [&'a str],
    /// Further lines of the configuration.
    pub config: &'a str,
    /// The certificate ended long ago.
    pub expired: bool,
    /// Clients must show a certificate.
    pub client_ca: bool,
}

/// A running injector.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    webhook: SocketAddr,
    admin: SocketAddr,
    ca: Ca,
    folder: TempDir,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub fn start(setup: &Setup<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let ca = Ca::generate("sallyport injector", Clock::system().now()).expect("an authority can be made");
        let mut server = Self { process: None, webhook: free(), admin: free(), ca, folder };
        server.certify(setup.expired);
        server.configure(setup);
        server.run();
        server
    }

    /// A new certificate under the same authority in the place of the old one.
    pub fn certify(&self, expired: bool) {
        let mut now = Clock::system().now();
        // Far from the end of which it would warn.
        let mut life = Duration::from_secs(30 * 24 * 3600);
        if expired {
            // Certificates begin a day before they are made.
            now.0 -= 5 * 24 * 3600 * 1000;
            life = Duration::from_secs(60);
        }
        let address = self.webhook.ip();
        let identity = self.ca.issue_server(&["localhost"], &[address], now, life).expect("a certificate can be made");
        // The key first: in between, the two don't go together, and the old ones stay in use.
        write(&self.path("tls.key"), &pem("PRIVATE KEY", identity.key().secret_der()));
        write(&self.path("tls.crt"), &chain(&identity));
    }

    fn configure(&self, setup: &Setup<'_>) {
        write(&self.path("ca.crt"), self.ca.pem());
        let more = setup.config;
        let clients = if setup.client_ca { ", clientCaFile: ca.crt" } else { "" };
        let config = format!(
            "listen: '{}'
admin: '{}'
tls: {{certFile: tls.crt, keyFile: tls.key{clients}}}
image: {IMAGE}
imagePullPolicy: Never
cluster: test
controlPlane: {{address: 'sallyport.sallyport.svc:7443', pin: {}}}
{more}",
            self.webhook,
            self.admin,
            self.ca.pin()
        );
        write(&self.path("injector.yaml"), &config);
    }

    /// Starts the process, again if it was ended.
    pub fn run(&mut self) {
        let config = self.path("injector.yaml");
        let arguments: [&OsStr; 3] = ["inject".as_ref(), "--config".as_ref(), config.as_os_str()];
        let mut process = Process::start(&self.path("log"), |command| command, "sallyport", &arguments);
        let admin = self.admin;
        process.await_ready("the injector", || TcpStream::connect(admin).is_ok());
        self.process = Some(process);
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Asks the process to end, and waits for it.
    pub fn stop(&mut self) {
        self.process.take().expect("it runs").stop();
    }

    /// Address of the webhook.
    pub const fn webhook(&self) -> SocketAddr {
        self.webhook
    }

    /// Its authority, as webhooks name it.
    pub fn ca_bundle(&self) -> String {
        STANDARD.encode(self.ca.pem())
    }

    /// The metrics, as a scraper gets them.
    pub fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin port answers");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer comes");
        text
    }

    /// What it logged.
    pub fn log(&self) -> LogFile {
        LogFile::new(&self.path("log"))
    }

    /// A connection as the API server has one.
    pub fn connect(&self) -> Line {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).expect("a certificate");
        roots.add(ca).expect("an authority's certificate");
        let config = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::IpAddress(self.webhook.ip().into());
        let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("TLS can be set up");
        let stream = TcpStream::connect(self.webhook).expect("the webhook listens");
        stream.set_nodelay(true).expect("an option of a socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("an option of a socket");
        Line { stream: rustls::StreamOwned::new(connection, stream) }
    }

    /// A file of its folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// One connection, one exchange after the other.
#[derive(Debug)]
pub struct Line {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl Line {
    /// A review in, status and body out.
    pub fn post(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Whatever bytes; an answer has a length.
    pub fn send(&mut self, bytes: &[u8]) -> (u16, Vec<u8>) {
        // Who refuses what is too long may not read it to its end.
        drop(self.stream.write_all(bytes).and_then(|()| self.stream.flush()));
        let mut reader = BufReader::new(&mut self.stream);
        let (mut status, mut length) = (0, 0);
        let mut line = String::new();
        while reader.read_line(&mut line).expect("an answer comes") > 0 {
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            }
            if let Some(value) = text.strip_prefix("content-length: ") {
                length = value.parse().expect("a number");
            } else if let Some(rest) = text.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().and_then(|code| code.parse().ok()).expect("a status");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the answer is whole");
        (status, body)
    }
}

/// A running injector, its webhooks and the namespace that they are for.
#[derive(Debug)]
pub struct Injector {
    server: Server,
    manifest: String,
    /// The namespace.
    pub namespace: Namespace,
}

impl Deref for Injector {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Injector {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl Injector {
    /// Starts one, and registers its webhooks once it is ready.
    pub fn start(prefix: &str, setup: &Setup<'_>) -> Self {
        let namespace = Cluster::get().namespace(prefix);
        if !setup.labels.is_empty() {
            let mut arguments = vec!["label", "namespace", &*namespace];
            arguments.extend(setup.labels);
            namespace.cluster().admin(&arguments);
        }
        let server = Server::start(setup);
        let manifest = manifest(&server, &namespace);
        namespace.cluster().apply(&manifest);
        let injector = Self { server, manifest, namespace };
        injector.await_webhooks();
        injector
    }

    /// The API server learns of webhooks and policies a moment after they are stored.
    fn await_webhooks(&self) {
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"probe","annotations":{"sallyport.dev/inject":"true"}},
            "spec":{"hostNetwork":true,"containers":[{"name":"a","image":"a"}]}}"#;
        for _ in 0..200 {
            let (done, said) = self.try_create(pod, &["--dry-run=server"]);
            if !done && said.contains("inject.sallyport.dev") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the API server does not ask the webhooks");
    }

    /// Creates objects as the administrator: whether it was done, and what kubectl said.
    pub fn try_create(&self, manifest: &str, more: &[&str]) -> (bool, String) {
        let mut arguments = vec!["-n", &*self.namespace, "create", "-f", "-", "--validate=false"];
        arguments.extend(more);
        let output = self.namespace.cluster().try_admin(&arguments, manifest);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (output.status.success(), said)
    }

    /// Registers further webhooks, which go with this value.
    pub fn also_register(&mut self, manifest: &str) {
        self.namespace.cluster().apply(manifest);
        self.manifest = format!("{}\n---\n{manifest}", self.manifest);
    }

    /// Takes an object of its manifest away.
    pub fn unregister(&self, kind: &str, name: &str) {
        let name = format!("{name}-{}", &*self.namespace);
        self.namespace.cluster().admin(&["delete", kind, &name]);
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        // Webhooks whose injector is gone keep Pods of this namespace from being created, and nothing else.
        let arguments = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
        drop(self.namespace.cluster().try_admin(&arguments, &self.manifest));
    }
}

/// The manifest that people install, for one injector and one namespace.
fn manifest(server: &Server, namespace: &str) -> String {
    let text = std::fs::read_to_string(root().join("manifests/injector/webhooks.yaml")).expect("the manifest is there");
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once("service: {namespace: sallyport, name: sallyport-injector, path: /") {
            Some((before, path)) => {
                format!("{before}url: \"https://{}/{}\"", server.webhook, path.trim_end_matches('}'))
            }
            None => line.replace("NotIn, values: [sallyport]", &format!("In, values: [{namespace}]")),
        };
        out += &line;
        out.push('\n');
    }
    for name in ["sallyport-injector", "sallyport-required", "sallyport-token-secrets"] {
        out = out.replace(&format!("ame: {name}\n"), &format!("ame: {name}-{namespace}\n"));
    }
    out.replace("CA_BUNDLE\n", &format!("{}\n", server.ca_bundle()))
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it has an address")
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn chain(identity: &Identity) -> String {
    identity.chain().iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
}
