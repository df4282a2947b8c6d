//! A client of the web API that can be as rude as a test wants, and that compares every answer with the OpenAPI document.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::stack::Stack;

/// Everything ends within this time, or the test fails.
const WITHIN: Duration = Duration::from_secs(30);

/// Which way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// TCP and TLS.
    Https,
    /// The local socket.
    Socket,
    /// The port of /livez, /readyz and /metrics, which is not the web API's.
    Admin,
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// The client.
pub struct Web {
    tls: TlsConnector,
    https: std::net::SocketAddr,
    socket: PathBuf,
    admin: std::net::SocketAddr,
    document: Value,
    secrets: Vec<String>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("https", &self.https).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header that came once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("an answer is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }
}

impl Web {
    /// A client of a stack's web API. None of `secrets` may be in any answer.
    pub async fn new(stack: &Stack, secrets: &[String]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(stack.web_ca()).expect("the CA is there") {
            roots.add(certificate.expect("a certificate")).expect("a CA's certificate");
        }
        let config = rustls::ClientConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let secrets = secrets.to_vec();
        let (https, socket, admin) = (stack.web(), stack.socket(), stack.admin_port());
        let mut web = Self { tls, https, socket, admin, document: Value::Null, secrets };
        let document = web.raw(Door::Socket, &head("GET", "/openapi.json", &[("Host", "localhost")], b"")).await;
        assert_eq!(document.status, 200, "{document:?}");
        web.document = document.json();
        web
    }

    /// The OpenAPI document that the server gives.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// One call with these headers beside Host, Content-Type and Content-Length. The answer is compared with the document.
    pub async fn call(&self, door: Door, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut all = vec![("Host", "localhost")];
        if method == "POST" {
            all.push(("Content-Type", "application/json"));
        }
        all.extend(headers);
        let reply = self.raw(door, &head(method, target, &all, body.as_bytes())).await;
        self.check(method, target, &reply);
        reply
    }

    /// The same as the bearer of a token.
    pub async fn call_as(&self, token: &str, method: &str, target: &str, body: &str) -> Reply {
        self.call(Door::Https, method, target, &[("Authorization", &format!("Bearer {token}"))], body).await
    }

    /// Sends these very bytes and reads until the server closes.
    pub async fn raw(&self, door: Door, bytes: &[u8]) -> Reply {
        let answer = async {
            let mut stream = self.connect(door).await;
            stream.write_all(bytes).await.expect("the server reads");
            let mut answer = Vec::new();
            // A server that answers before it has read everything may reset what follows its answer.
            drop(stream.read_to_end(&mut answer).await);
            answer
        };
        let answer = tokio::time::timeout(WITHIN, answer).await.expect("an answer in time");
        let reply = Reply::parse(&answer);
        for secret in &self.secrets {
            assert!(!reply.body.contains(secret.as_str()), "a secret is in the answer: {}", reply.body);
        }
        reply
    }

    /// Connects, sends these bytes, and reads until the server closes; panics after the time limit. Gives what came.
    pub async fn until_closed(&self, door: Door, bytes: &[u8]) -> String {
        let mut stream = self.connect(door).await;
        stream.write_all(bytes).await.expect("the server reads");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await;
        // How a connection ends does not matter, only that it does.
        drop(read.expect("the server closes in time"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Begins to read a stream of events, as the bearer of a token.
    pub async fn events(&self, token: &str) -> Events {
        self.events_with(Door::Https, &[("Authorization", &format!("Bearer {token}"))]).await
    }

    /// The same with these headers beside Host.
    pub async fn events_with(&self, door: Door, headers: &[(&str, &str)]) -> Events {
        let mut stream = self.connect(door).await;
        let all: Vec<_> = [("Host", "localhost")].into_iter().chain(headers.iter().copied()).collect();
        stream.write_all(&head("GET", "/v1/events", &all, b"")).await.expect("the server reads");
        Events { stream, text: String::new() }
    }

    async fn connect(&self, door: Door) -> Box<dyn Both> {
        match door {
            Door::Admin => Box::new(TcpStream::connect(self.admin).await.expect("the admin port listens")),
            Door::Socket => Box::new(UnixStream::connect(&self.socket).await.expect("the socket listens")),
            Door::Https => {
                let tcp = TcpStream::connect(self.https).await.expect("the web API listens");
                let name = ServerName::try_from("localhost").expect("a name");
                Box::new(self.tls.connect(name, tcp).await.expect("TLS under the CA's certificate"))
            }
        }
    }

    /// Fails unless the answer is what the document says of this route and status.
    #[track_caller]
    pub fn check(&self, method: &str, target: &str, reply: &Reply) {
        let path = target.split('?').next().unwrap_or_default();
        let route = self.route(method, path);
        let schema = match (route, reply.status) {
            (Some(route), 200) => {
                let content = route.pointer("/responses/200/content").and_then(Value::as_object).expect("an answer");
                let (media_type, schema) = content.iter().next().expect("a media type");
                assert_eq!(reply.header("content-type"), Some(media_type.as_str()), "{method} {target}");
                schema.get("schema").expect("a schema").clone()
            }
            (None, 200) => panic!("{method} {target} is served and not in the document"),
            _ => json!({"$ref": "#/components/schemas/Problem"}),
        };
        if reply.header("content-type") == Some("application/json") && method != "HEAD" {
            let body = reply.json();
            self.validate(&schema, &body, &format!("{method} {target} → {}", reply.status));
            if reply.status != 200 {
                assert_eq!(body.get("status"), Some(&json!(reply.status)), "{method} {target}");
            }
        } else {
            assert!(method == "HEAD", "{method} {target} is no JSON: {reply:?}");
        }
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{method} {target}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{method} {target}");
        let open = reply.headers.iter().find(|(name, _)| name.starts_with("access-control-") || name == "set-cookie");
        assert!(open.is_none(), "{method} {target}: {open:?}");
        assert_eq!(reply.header("www-authenticate").is_some(), reply.status == 401, "{method} {target}");
    }

    /// Fails unless a value is what a schema says, the document's own schemas at hand.
    #[track_caller]
    pub fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let mut whole = schema.as_object().expect("a schema").clone();
        for (name, of_ours) in [("$schema", "jsonSchemaDialect"), ("components", "components")] {
            let known = self.document.get(of_ours).unwrap_or_else(|| panic!("the document has no {of_ours}"));
            whole.insert(name.to_owned(), known.clone());
        }
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&Value::Object(whole))
            .unwrap_or_else(|error| panic!("{what}: the schema is none: {error}"));
        let mistakes: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(mistakes.is_empty(), "{what}:\n{}\n{value}", mistakes.join("\n"));
    }

    fn route(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.document.get("paths").and_then(Value::as_object)?;
        let fits = |template: &str| {
            let (mut ours, mut theirs) = (template.split('/'), path.split('/'));
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some("{id}"), Some(id)) if !id.is_empty() => {}
                    (Some(a), Some(b)) if a == b => {}
                    _ => return false,
                }
            }
        };
        let found = paths.iter().find(|(template, _)| fits(template))?;
        found.1.get(method.to_lowercase())
    }
}

/// A stream of events under way.
pub struct Events {
    stream: Box<dyn Both>,
    text: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Events {
    /// What has come so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The events so far.
    pub fn seen(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }

    /// Reads until `enough` says so; panics when the stream ends before, or after the time limit.
    pub async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        let read = async {
            while !enough(self) {
                assert!(self.more().await, "the stream has ended: {}", self.text);
            }
        };
        tokio::time::timeout(WITHIN, read).await.expect("an event in time");
    }

    /// Reads to the end; panics after the time limit.
    pub async fn end(&mut self) {
        tokio::time::timeout(WITHIN, async { while self.more().await {} }).await.expect("an end in time");
    }

    /// Whether nothing more came and the stream is still there, after a while.
    pub async fn is_open(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), async { while self.more().await {} }).await.is_err()
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let length = self.stream.read(&mut piece).await.unwrap_or(0);
        let piece = piece.get(..length).unwrap_or_default();
        self.text.push_str(std::str::from_utf8(piece).expect("events are UTF-8"));
        // The last chunk of a chunked body is the end of the stream, whether or not the connection stays.
        length > 0 && !self.text.ends_with("\r\n0\r\n\r\n")
    }
}

/// An HTTP/1.1 request that asks for one answer.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}
