//! Connections over QUIC: what a peer is, is known from its key and from what it proves on this very connection.
//!
//! A connection starts as nobody's. `POST /v1/session` makes it a sidecar's, `POST /v1/agent` an agent's; never both.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use shared::status::{Reason, Status};
use shared::{limits, wire};
use shared_net::body::{self, BoxBody, collect_bounded};
use shared_net::drain::Drain;
use shared_net::endpoint::Connection;
use shared_net::exchange;
use shared_net::tasks::TaskSet;

use crate::agents::{AgentLink, Agents};
use crate::alarms::{Alarms, Raised};
use crate::authn::Authn;
use crate::gateway::Gateway;
use crate::sessions::{OpenError, Session, Sessions};

/// What every connection is served with.
pub struct Peers {
    gateway: Arc<Gateway>,
    sessions: Arc<Sessions>,
    agents: Arc<Agents>,
    authn: Arc<Authn>,
    alarms: Arc<Alarms>,
    tasks: TaskSet,
    drain: Drain,
}

/// What this connection has proven to be. Set once.
enum Role {
    Sidecar(Arc<Session>),
    Agent(Arc<AgentLink>),
}

struct Peer {
    peers: Arc<Peers>,
    connection: Connection,
    role: OnceLock<Role>,
    /// What its runner reaches without us; it is forgotten with the connection.
    alarm: Mutex<Option<Raised>>,
}

impl Peers {
    /// Joins what connections need.
    pub const fn new(
        gateway: Arc<Gateway>,
        sessions: Arc<Sessions>,
        agents: Arc<Agents>,
        authn: Arc<Authn>,
        alarms: Arc<Alarms>,
        tasks: TaskSet,
        drain: Drain,
    ) -> Self {
        Self { gateway, sessions, agents, authn, alarms, tasks, drain }
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, connection: Connection) {
        let peer = Arc::new(Peer {
            peers: Arc::clone(&self),
            connection: connection.clone(),
            role: OnceLock::new(),
            alarm: Mutex::new(None),
        });
        let service = hyper::service::service_fn(move |request| {
            let peer = Arc::clone(&peer);
            async move { Ok::<_, Infallible>(peer.answer(request).await) }
        });
        exchange::serve(&connection, service, &self.tasks, self.drain.clone()).await;
    }
}

impl Peer {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
        if host == Some(wire::HOST_KUBERNETES.as_bytes()) {
            return self.operation(request).await;
        }
        if host == Some(wire::HOST_CONTROL.as_bytes()) {
            return self.control(request).await;
        }
        plain(Reason::BadRequest, "the host of an exchange is either kubernetes or control")
    }

    async fn operation(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let session = match self.role.get() {
            Some(Role::Sidecar(session)) => Some(Arc::clone(session)),
            // An agent has no operations of its own.
            Some(Role::Agent(_)) => {
                return plain(Reason::Forbidden, "an agent's connection carries no operations of its own");
            }
            None => None,
        };
        let gateway = Arc::clone(&self.peers.gateway);
        gateway.serve(session, request).await
    }

    async fn control(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        match (request.method().clone(), request.uri().path()) {
            (Method::POST, wire::path::SESSION) => self.session(request).await,
            (Method::POST, wire::path::BYPASS) => self.bypass(request).await,
            (Method::POST, wire::path::AGENT) => self.agent(request).await,
            (Method::POST, wire::path::LEAVING) => self.leaving(),
            (Method::POST, wire::path::PING) => json(&serde_json::json!({})),
            _ => plain(Reason::NotFound, "no such call"),
        }
    }

    async fn session(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        if matches!(self.role.get(), Some(Role::Agent(_))) {
            return plain(Reason::Forbidden, "an agent's connection has no session");
        }
        let request = match read(request).await {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        match self.peers.sessions.open(self.connection.peer_key(), request).await {
            Ok((session, reply)) => {
                // Set by the first call; a renewal finds the same session, for it belongs to the same key.
                let _same = self.role.set(Role::Sidecar(session)).is_err();
                json(&reply)
            }
            Err(error) => {
                let text = shared::chain::Chain(&error).to_string();
                tracing::warn!(error = text, peer = %self.connection.remote_address(), "no session");
                let reason = match &error {
                    OpenError::Store(_) | OpenError::Authn(crate::authn::AuthnError::NoReview(_)) => {
                        Reason::ServiceUnavailable
                    }
                    OpenError::Authn(_) => Reason::Unauthorized,
                    OpenError::OtherRunner | OpenError::Over(_) | OpenError::Replayed => Reason::Forbidden,
                };
                plain(reason, &text)
            }
        }
    }

    async fn bypass(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let Some(Role::Sidecar(session)) = self.role.get() else {
            return plain(Reason::Forbidden, "only a session's connection reports what its runner reaches");
        };
        let report = match read(request).await {
            Ok(report) => report,
            Err(refused) => return refused,
        };
        let raised = self.peers.alarms.report(session, report).await;
        let earlier = std::mem::replace(&mut *self.alarm.lock().unwrap_or_else(PoisonError::into_inner), raised);
        // After the new one is on, so that there is no moment without.
        drop(earlier);
        json(&serde_json::json!({}))
    }

    async fn agent(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        if matches!(self.role.get(), Some(Role::Sidecar(_))) {
            return plain(Reason::Forbidden, "a sidecar's connection is no agent's");
        }
        let request = match read(request).await {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        let again = matches!(self.role.get(), Some(Role::Agent(_)));
        match self.peers.agents.hello(&self.peers.authn, &self.connection, &request, !again) {
            Ok((link, reply)) => {
                if self.role.set(Role::Agent(Arc::clone(&link))).is_ok() {
                    let agents = Arc::clone(&self.peers.agents);
                    self.peers.tasks.spawn("agent", async move { agents.attend(link).await });
                }
                json(&reply)
            }
            Err(error) => {
                let text = shared::chain::Chain(&error).to_string();
                tracing::warn!(error = text, peer = %self.connection.remote_address(), "an agent was refused");
                plain(Reason::Unauthorized, &text)
            }
        }
    }

    fn leaving(&self) -> Response<BoxBody> {
        let Some(Role::Agent(link)) = self.role.get() else {
            return plain(Reason::Forbidden, "only an agent says that it goes away");
        };
        self.peers.agents.leave(link);
        json(&serde_json::json!({}))
    }
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Response<BoxBody>> {
    let bytes: Bytes = collect_bounded(request.into_body(), limits::CONTROL_BODY_BYTES, limits::OPEN_STREAM)
        .await
        .map_err(|_| plain(Reason::BadRequest, "the body did not arrive whole"))?;
    serde_json::from_slice(&bytes).map_err(|_| plain(Reason::BadRequest, "the body is not what this call takes"))
}

fn json<T: serde::Serialize>(value: &T) -> Response<BoxBody> {
    let mut response = Response::new(body::full(serde_json::to_vec(value).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(reason: Reason, message: &str) -> Response<BoxBody> {
    let mut response = Response::new(body::full(Status::failure(reason, message).to_json()));
    *response.status_mut() = StatusCode::from_u16(reason.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
