//! An OIDC issuer of our own: HTTPS under a certificate of its own CA, discovery, a key set, and tokens with whatever claims a test
//! wants. It can also behave as no issuer should.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use shared::time::Timestamp;
use shared_net::pki::Ca;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// How it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Well,
    /// Connections end at once.
    Down,
    /// It takes the connection and says nothing.
    Silent,
    /// A key set without end.
    Endless,
    /// It sends whoever asks somewhere else.
    Redirect(String),
    /// Its discovery document is another issuer's.
    Impostor,
    /// Its discovery document has the key set at this URL.
    KeysAt(String),
    /// Nothing but a web page.
    Page,
}

/// One key with which it signs.
struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

struct State {
    manner: Manner,
    signs: Key,
    key_sets: usize,
    requests: usize,
}

/// A running issuer; it ends with the value.
pub struct Issuer {
    url: String,
    folder: TempDir,
    state: Arc<Mutex<State>>,
    // Dropped, it ends the issuer's thread.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Starts one on a free loopback port.
    pub fn start() -> Self {
        Self::start_at([127, 0, 0, 1].into())
    }

    /// Starts one on a free port of this address, where a node's Pods find it.
    pub fn start_at(address: IpAddr) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let now = Timestamp(u64::try_from(now().as_millis()).expect("this century"));
        let day = Duration::from_secs(24 * 3600);
        let ca = Ca::load_or_create(folder.path(), "issuer", now).expect("a CA can be made");
        let identity = ca.issue_server(&["localhost"], &[address], now, day).expect("a certificate");
        let config = rustls::ServerConfig::builder_with_provider(shared_net::crypto::provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(identity.chain().to_vec(), identity.key())
            .expect("a certificate of our own");
        let listener = std::net::TcpListener::bind((address, 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a socket can be");
        let url = format!("https://{}", listener.local_addr().expect("it has an address"));
        let first = State { manner: Manner::Well, signs: Key::new("key-1"), key_sets: 0, requests: 0 };
        let state = Arc::new(Mutex::new(first));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tls, own_state, own_url) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&state), url.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a bound socket");
                tokio::select! {
                    () = accept(listener, tls, own_state, own_url) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { url, folder, state, _stop: stop }
    }

    /// `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of its CA.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// From now on it answers so.
    pub fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// The key set as it stands, as an administrator would pin it.
    pub fn jwks(&self) -> String {
        json!({"keys": [self.state().signs.jwk()]}).to_string()
    }

    /// How often its key set was asked for.
    pub fn key_sets(&self) -> usize {
        self.state().key_sets
    }

    /// How many connections it has had.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Signs with a new key from now on and publishes only that one.
    pub fn rotate(&self) {
        let mut state = self.state();
        let number: usize = state.signs.id.trim_start_matches("key-").parse().expect("we named it");
        state.signs = Key::new(&format!("key-{}", number + 1));
    }

    /// A token with these claims; `iss`, `iat` and `exp` (in an hour) unless they are given. A `null` leaves a claim out.
    pub fn token(&self, claims: &Value) -> String {
        let key_id = self.state().signs.id.clone();
        self.token_of_key(&key_id, claims)
    }

    /// The same under a key id of the test's own choice.
    pub fn token_of_key(&self, key_id: &str, claims: &Value) -> String {
        let now = now().as_secs();
        let mut all = Map::new();
        all.insert("iss".to_owned(), self.url.clone().into());
        all.insert("iat".to_owned(), now.into());
        all.insert("exp".to_owned(), (now + 3600).into());
        all.insert("jti".to_owned(), uuid::Uuid::new_v4().to_string().into());
        for (name, value) in claims.as_object().expect("claims are an object") {
            all.insert(name.clone(), value.clone());
        }
        all.retain(|_, value| !value.is_null());
        self.state().signs.sign(key_id, &Value::Object(all))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("keys can be made");
        Self { id: id.to_owned(), pair }
    }

    fn sign(&self, key_id: &str, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT", "kid": key_id})), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("a key signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).expect("an uncompressed point").split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": text(x), "y": text(y)})
    }
}

/// Since the epoch.
pub fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "tokens for real processes carry the real time")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970")
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>, url: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let manner = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests += 1;
            state.manner.clone()
        };
        let (tls, state, url) = (tls.clone(), Arc::clone(&state), url.clone());
        connections.spawn(async move {
            match manner {
                Manner::Down => drop(stream),
                Manner::Silent => silence(stream).await,
                Manner::Well
                | Manner::Endless
                | Manner::Redirect(_)
                | Manner::Impostor
                | Manner::KeysAt(_)
                | Manner::Page => serve(stream, tls, state, url, manner).await,
            }
        });
    }
}

/// Holds the connection until the other side gives up.
async fn silence(stream: TcpStream) {
    drop(stream.readable().await);
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, state: Arc<Mutex<State>>, url: String, manner: Manner) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let response = answer(request.uri().path(), &state, &url, &manner);
        async move { Ok::<_, Infallible>(response) }
    });
    // A peer that leaves in mid answer is part of some tests.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

fn answer(path: &str, state: &Mutex<State>, url: &str, manner: &Manner) -> Response<Body> {
    if let Manner::Redirect(to) = manner {
        let mut response = document(&json!({}));
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(header::LOCATION, to.parse().expect("a URL is a header value"));
        return response;
    }
    if *manner == Manner::Page {
        return Response::new(Full::new(Bytes::from_static(b"<html>welcome</html>")).boxed_unsync());
    }
    match path {
        "/.well-known/openid-configuration" => {
            let issuer = if *manner == Manner::Impostor { "https://issuer.example" } else { url };
            let keys = if let Manner::KeysAt(keys) = manner { keys.clone() } else { format!("{url}/keys") };
            document(&json!({"issuer": issuer, "jwks_uri": keys}))
        }
        "/keys" => {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.key_sets += 1;
            if *manner == Manner::Endless {
                return Response::new(Endless.boxed_unsync());
            }
            document(&json!({"keys": [state.signs.jwk()]}))
        }
        _ => {
            let mut response = document(&json!({}));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

fn document(value: &Value) -> Response<Body> {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync())
}

/// White space for ever.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))))
    }
}
