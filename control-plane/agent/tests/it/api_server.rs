//! An API server on a raw TLS socket that can misbehave. HTTP/1.1 only, one thread of control per connection, every head kept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivateKeyDer;
use shared_net::tasks::TaskSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What it saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What it does upon a request.
#[derive(Debug)]
pub(crate) enum Step {
    /// Writes bytes as they are.
    Write(Vec<u8>),
    /// Waits for a message; then goes on.
    Await(mpsc::Receiver<()>),
    /// Closes the connection without a TLS goodbye.
    Drop,
    /// Never goes on. Tells when the client closed the connection.
    Hang(mpsc::Sender<()>),
}

type Lives = Arc<Mutex<Vec<String>>>;
type Script = Arc<Mutex<VecDeque<(String, Vec<Step>)>>>;

/// The listening server.
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Names of the Leases that remember lives. They are answered without a script and not among what was seen.
    pub(crate) lives: Lives,
    script: Script,
    tasks: TaskSet,
}

impl ApiServer {
    pub(crate) async fn start(tasks: &TaskSet) -> Self {
        let tasks = &tasks.child();
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            ca_pem: certified.cert.pem(),
            seen: Arc::default(),
            lives: Arc::default(),
            script: Arc::default(),
            tasks: tasks.clone(),
        };
        let (seen, script, own) = (Arc::clone(&this.seen), Arc::clone(&this.script), tasks.clone());
        let lives = Arc::clone(&this.lives);
        tasks.spawn("api server", async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen, script) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&script));
                let lives = Arc::clone(&lives);
                own.spawn("api connection", async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, &seen, &lives, &script).await;
                    }
                });
            }
        });
        this
    }

    /// The next request whose line begins so is answered with these steps.
    pub(crate) fn on(&self, line: &str, steps: Vec<Step>) {
        self.script.lock().unwrap().push_back((line.to_owned(), steps));
    }

    /// Ends the listener and every connection.
    pub(crate) async fn stop(&self) {
        self.tasks.cancel();
        self.tasks.wait().await;
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A whole answer with a right length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Step {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    Step::Write(text.into_bytes())
}

/// A whole answer in JSON.
pub(crate) fn json(status: &str, body: &str) -> Vec<Step> {
    vec![answer(status, &[("Content-Type", "application/json")], body)]
}

/// The head of a chunked answer in JSON.
pub(crate) fn chunked_head() -> Step {
    Step::Write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())
}

pub(crate) fn chunk(text: &str) -> Step {
    Step::Write(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// What the Leases of lives do by themselves.
fn remember(request: &Seen, lives: &Mutex<Vec<String>>) -> Option<Vec<Step>> {
    let mut lives = lives.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (method, path) = request.line.split_once(' ')?;
    if method == "GET" && path.contains("leases?labelSelector=sallyport.dev%2Flife%3D") {
        let items: Vec<_> =
            lives.iter().map(|name| serde_json::json!({"metadata": {"name": name, "uid": name}})).collect();
        return Some(json("200 OK", &serde_json::json!({ "items": items }).to_string()));
    }
    if method == "POST" && path.contains("/leases ") && request.body.contains("\"life-") {
        let lease: serde_json::Value = serde_json::from_str(&request.body).ok()?;
        lives.push(lease["metadata"]["name"].as_str()?.to_owned());
        return Some(json("201 Created", "{}"));
    }
    if method == "DELETE" && path.contains("/leases/life-") {
        lives.retain(|name| !path.contains(&format!("{name} ")));
        return Some(json("200 OK", "{}"));
    }
    None
}

async fn serve<S>(mut stream: S, seen: &Mutex<Vec<Seen>>, lives: &Mutex<Vec<String>>, script: &Script)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let line = request.line.clone();
        let steps = remember(&request, lives).or_else(|| {
            seen.lock().unwrap().push(request);
            let mut script = script.lock().unwrap();
            script
                .iter()
                .position(|(begin, _)| line.starts_with(begin.as_str()))
                .and_then(|at| script.remove(at))
                .map(|(_, steps)| steps)
        });
        let steps = steps.unwrap_or_else(|| json("500 Unscripted", "{\"kind\":\"Status\",\"apiVersion\":\"v1\"}"));
        for step in steps {
            match step {
                Step::Write(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
                Step::Await(mut go) => {
                    go.recv().await;
                }
                Step::Drop => return,
                Step::Hang(gone) => {
                    let mut byte = [0; 1];
                    while matches!(stream.read(&mut byte).await, Ok(n) if n > 0) {}
                    // Nobody may be waiting for it.
                    let _gone = gone.send(()).await;
                    return;
                }
            }
        }
    }
}

async fn read<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        fill(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Some(Seen { line, headers, body })
}

async fn fill<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk).await {
        Ok(n) if n > 0 => {
            buffer.extend_from_slice(&chunk[..n]);
            Some(())
        }
        _ => None,
    }
}
