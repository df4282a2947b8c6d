//! A control plane that greets an agent and signs whatever it is told to: honest, buggy or hostile.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use control_plane_core::digest::DigestKey;
use control_plane_core::ledger::Epoch;
use control_plane_core::request::Request as KubernetesRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::service::service_fn;
use serde_json::{Value, json};
use shared::wire;
use shared_net::body::{BoxBody, full};
use shared_net::clock::Clock;
use shared_net::drain;
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::exchange::{self, ResponseBody};
use shared_net::pki::{Ca, KeyPin};
use shared_net::quic;
use shared_net::tasks::TaskSet;
use tokio::sync::mpsc;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Nothing in these tests takes so long but a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the next agents are told.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) life: u64,
    pub(crate) cluster: &'static str,
    /// How long their token is good.
    pub(crate) token_life: Duration,
}

pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    pub(crate) pin: KeyPin,
    pub(crate) key: Ed25519KeyPair,
    pub(crate) greeting: Arc<Mutex<Greeting>>,
    /// Bodies of the greetings that came, and the farewells.
    pub(crate) hellos: Arc<Mutex<Vec<Value>>>,
    agents: mpsc::Receiver<Connection>,
    endpoint: Endpoint,
    _trigger: drain::DrainTrigger,
}

impl ControlPlane {
    pub(crate) fn start(tasks: &TaskSet) -> Self {
        let now = Clock::system().now();
        let ca = Ca::generate("test", now).unwrap();
        let identity = ca.issue_server(&[wire::SERVER_NAME], &[], now, DAY).unwrap();
        let endpoint =
            Endpoint::server("127.0.0.1:0".parse().unwrap(), quic::server_config(&identity).unwrap()).unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
        let greeting = Arc::new(Mutex::new(Greeting { life: 7, cluster: "a", token_life: DAY }));
        let hellos = Arc::new(Mutex::new(Vec::new()));
        let (greeted, agents) = mpsc::channel(16);
        let (trigger, drain) = drain::channel();
        let public = URL_SAFE_NO_PAD.encode(key.public_key());
        let own = (endpoint.clone(), tasks.clone(), Arc::clone(&greeting), Arc::clone(&hellos));
        tasks.spawn("control plane", async move {
            let (endpoint, tasks, greeting, hellos) = own;
            let each = tasks.clone();
            let draining = drain.clone();
            endpoint
                .accept(16, &tasks, drain, move |connection| {
                    let (greeting, hellos, greeted) = (Arc::clone(&greeting), Arc::clone(&hellos), greeted.clone());
                    let (public, tasks, drain) = (public.clone(), each.clone(), draining.clone());
                    async move {
                        let peer = connection.clone();
                        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                            let (greeting, hellos, greeted) =
                                (Arc::clone(&greeting), Arc::clone(&hellos), greeted.clone());
                            let (public, peer) = (public.clone(), peer.clone());
                            async move {
                                Ok::<_, Infallible>(greet(request, &greeting, &hellos, &public, greeted, peer).await)
                            }
                        });
                        exchange::serve(&connection, service, &tasks, drain).await;
                    }
                })
                .await;
        });
        Self {
            address: endpoint.local_addr().unwrap(),
            pin: ca.pin(),
            key,
            greeting,
            hellos,
            agents,
            endpoint,
            _trigger: trigger,
        }
    }

    /// The next agent's connection that was greeted.
    pub(crate) async fn agent(&mut self) -> AgentLink {
        let connection = tokio::time::timeout(PATIENCE, self.agents.recv()).await.unwrap().unwrap();
        let read_key = connection.export(wire::EXPORTER_READ_GRANTS).unwrap();
        let epoch = Epoch::new(connection.export(wire::EXPORTER_EPOCH).unwrap());
        AgentLink { connection, epoch, read_key }
    }

    pub(crate) async fn close(&self) {
        self.endpoint.close(wire::code::SHUTDOWN, "test").await;
    }

    /// Claims that are right for this request.
    pub(crate) fn claims(&self, link: &AgentLink, call: &Call) -> Value {
        let request = call.parsed();
        let digest = request.digest(&DigestKey::new(call.digest_key));
        let group = if request.info().is_read() { "sallyport:read" } else { "sallyport:write" };
        json!({
            "jti": Uuid::now_v7(),
            "operation": Uuid::now_v7(),
            "session": Uuid::new_v4(),
            "aud": link.epoch,
            "cluster": "a",
            "life": 7,
            "ttl": 10_000,
            "until": 3_600_000,
            "purpose": "operation",
            "info": request.info(),
            "digest": digest,
            "impersonation": {"group": group, "subject": "hashed"},
            "mask": [],
            "reads": [],
            "approval": null,
        })
    }

    /// Signs claims as they are.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"sallyport-grant+jwt"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Signs under the connection's own key.
    pub(crate) fn sign_read(&self, link: &AgentLink, claims: &Value) -> String {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"sallyport-read-grant+jwt"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &link.read_key), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// An honest grant, used at once.
    pub(crate) async fn granted(&self, link: &AgentLink, call: &Call) -> Response<ResponseBody> {
        let token = self.sign(&self.claims(link, call));
        link.send(call, &token).await
    }
}

async fn greet(
    request: Request<hyper::body::Incoming>,
    greeting: &Mutex<Greeting>,
    hellos: &Mutex<Vec<Value>>,
    public: &str,
    greeted: mpsc::Sender<Connection>,
    peer: Connection,
) -> Response<BoxBody> {
    if request.uri().path() == wire::path::LEAVING {
        hellos.lock().unwrap().push(json!("leaving"));
    }
    if request.uri().path() != wire::path::AGENT {
        return Response::builder().status(204).body(full("")).unwrap();
    }
    let body = shared_net::body::collect_bounded(request.into_body(), 65536, PATIENCE).await.unwrap();
    hellos.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    let greeting = greeting.lock().unwrap().clone();
    let reply = json!({
        "cluster": greeting.cluster,
        "life": greeting.life,
        "grantKey": public,
        "now": Clock::system().now(),
        "expires": Clock::system().now().after(greeting.token_life),
    });
    greeted.send(peer).await.unwrap();
    Response::new(full(reply.to_string()))
}

/// An agent's connection as the control plane has it.
pub(crate) struct AgentLink {
    pub(crate) connection: Connection,
    pub(crate) epoch: Epoch,
    pub(crate) read_key: [u8; 32],
}

impl AgentLink {
    /// Sends a request with a grant.
    pub(crate) async fn send(&self, call: &Call, token: &str) -> Response<ResponseBody> {
        self.send_raw(call.with_grant(token)).await
    }

    pub(crate) async fn send_raw(&self, request: Request<Full<Bytes>>) -> Response<ResponseBody> {
        let answer = exchange::send(&self.connection, request);
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    /// What became of a grant, after its epoch is sealed.
    pub(crate) async fn ask(&self, epoch: Epoch, jti: &Value) -> Value {
        let body = json!({"epoch": epoch, "jtis": [jti]}).to_string();
        let request = Request::post(wire::path::LEDGER)
            .header(header::HOST, wire::HOST_CONTROL)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = self.send_raw(request).await;
        assert_eq!(answer.status(), 200);
        let (_, body) = text(answer).await;
        serde_json::from_str::<Value>(&body).unwrap()["answers"][0].take()
    }
}

/// One Kubernetes call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) digest_key: [u8; 32],
}

impl Call {
    pub(crate) fn new(method: &str, uri: &str, body: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("kubectl/v1.36"));
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Self {
            method: method.parse().unwrap(),
            uri: uri.parse().unwrap(),
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
            digest_key: [5; 32],
        }
    }

    pub(crate) fn typed(mut self, media_type: &'static str) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self
    }

    pub(crate) fn accepting(mut self, accept: &'static str) -> Self {
        self.headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        self
    }

    pub(crate) fn parsed(&self) -> KubernetesRequest {
        KubernetesRequest::parse(&self.method, &self.uri, &self.headers, self.body.clone()).unwrap()
    }

    pub(crate) fn with_grant(&self, token: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static(wire::HOST_KUBERNETES));
        headers.insert(wire::header::GRANT, HeaderValue::from_str(token).unwrap());
        let key = URL_SAFE_NO_PAD.encode(self.digest_key);
        headers.insert(wire::header::DIGEST_KEY, HeaderValue::from_str(&key).unwrap());
        request
    }
}

/// Head and body of an answer that ends well.
pub(crate) async fn text(response: Response<ResponseBody>) -> (http::response::Parts, String) {
    let (head, body) = response.into_parts();
    let body = shared_net::body::collect_bounded(body, 64 << 20, PATIENCE).await.unwrap();
    (head, String::from_utf8(body.to_vec()).unwrap())
}
