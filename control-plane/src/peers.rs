//! Connections over QUIC: what a peer is, is known from its key and from what it proves on this very connection.
//!
//! A connection starts as nobody's. `POST /v1/session` makes it a sidecar's, `POST /v1/agent` an agent's; never both. Whoever is refused
//! either is an intruder, until he shows something better.
//! Nobody's connections are few per address and end after [`limits::ROLE_WAIT`].

pub mod messages;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

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
use shared_net::strangers::{Place, Places, Strangers};
use shared_net::tasks::TaskSet;
use shared_net::telemetry;

use crate::agents::{AgentLink, Agents};
use crate::alarms::{Alarms, Raised};
use crate::authn::Authn;
use crate::enrolments::{EnrolError, Enrolments};
use crate::gateway::Gateway;
use crate::intruders::{self, Attempt};
use crate::metrics::LinkCount;
use crate::presence::Here;
use crate::sessions::{OpenError, Sessions};

/// What every connection is served with.
pub struct Peers {
    gateway: Arc<Gateway>,
    sessions: Arc<Sessions>,
    agents: Arc<Agents>,
    authn: Arc<Authn>,
    alarms: Arc<Alarms>,
    enrolments: Arc<Enrolments>,
    strangers: Strangers,
    /// Pods whose token was signed by their cluster, and is still to be reviewed there.
    shown: Arc<Places<String>>,
    tasks: TaskSet,
    drain: Drain,
}

/// What this connection has proven to be. Set once.
enum Role {
    Sidecar(Here),
    Agent(Arc<AgentLink>),
}

/// What is known of a connection without a role. While it lasts it takes up a place of its kind.
enum Standing {
    Stranger(#[expect(dead_code, reason = "given back when it is dropped")] Place<IpAddr>),
    Shown(#[expect(dead_code, reason = "given back when it is dropped")] Place<String>),
}

struct Peer {
    peers: Arc<Peers>,
    connection: Connection,
    role: OnceLock<Role>,
    /// Counts it where it has a role.
    counted: OnceLock<LinkCount>,
    /// Its place among those that have no role yet.
    place: Mutex<Option<Standing>>,
    /// What its runner reaches without us; it is forgotten with the connection.
    alarm: Mutex<Option<Raised>>,
}

impl Peers {
    /// Joins what connections need.
    pub fn new(
        gateway: Arc<Gateway>,
        sessions: Arc<Sessions>,
        authn: Arc<Authn>,
        alarms: Arc<Alarms>,
        enrolments: Arc<Enrolments>,
        tasks: TaskSet,
        drain: Drain,
    ) -> Self {
        let (agents, strangers) = (Arc::clone(&gateway.agents), Strangers::default());
        let shown = Places::new(limits::UNREVIEWED_PER_POD);
        Self { gateway, sessions, agents, authn, alarms, enrolments, strangers, shown, tasks, drain }
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, connection: Connection) {
        let address = connection.remote_address();
        let Some(place) = self.strangers.admit(address.ip()) else {
            telemetry::early_refusal(&address, "too many strangers from one address");
            return connection.close(wire::code::PROTOCOL, "too many connections without a role");
        };
        let peer = Arc::new(Peer {
            place: Mutex::new(Some(Standing::Stranger(place))),
            peers: Arc::clone(&self),
            connection: connection.clone(),
            role: OnceLock::new(),
            counted: OnceLock::new(),
            alarm: Mutex::new(None),
        });
        let serving = Arc::clone(&peer);
        let stranger = Arc::downgrade(&peer);
        let service = hyper::service::service_fn(move |request| {
            let peer = Arc::clone(&serving);
            // Boxed, and each kind of call by itself: an exchange is moved several times before it is polled, and so costs what it weighs.
            async move { Ok::<_, Infallible>(Box::pin(peer.answer(request)).await) }
        });
        tokio::select! {
            () = exchange::serve(&connection, service, &self.tasks, self.drain.clone()) => {}
            () = outstay(&stranger) => {
                telemetry::early_refusal(&address, "no role in time");
                connection.close(wire::code::PROTOCOL, "no role in time");
            }
        }
        if let Some(Role::Sidecar(here)) = peer.role.get() {
            here.session().left(&connection);
        }
    }
}

/// Resolves when a peer has had its time to prove what it is and has not; never for one that has.
async fn outstay(peer: &Weak<Peer>) {
    tokio::time::sleep(limits::ROLE_WAIT).await;
    if peer.upgrade().is_none_or(|peer| peer.role.get().is_some()) {
        std::future::pending().await
    }
}

impl Peer {
    /// What the connection is from now on, and is no stranger's any more. Whether it was nothing before.
    fn becomes(&self, role: Role) -> bool {
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
        let word = match role {
            Role::Sidecar(_) => "sidecar",
            Role::Agent(_) => "agent",
        };
        let first = self.role.set(role).is_ok();
        if first {
            self.counted.get_or_init(|| self.peers.gateway.recorder.metrics.link(word, self.connection.way()));
        }
        first
    }

    /// Its pod's token has the cluster's signature: it is no stranger any more, though the cluster has to be asked whether the token is
    /// alive. Where all runners come from one address that may take long, as it does without an agent, and the agent that would be asked
    /// comes from there too: it needs one of those places.
    fn shows(&self, pod_uid: &str) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some()
            && let Some(shown) = self.peers.shown.admit(pod_uid.to_owned())
        {
            *place = Some(Standing::Shown(shown));
        }
    }

    fn address(&self) -> IpAddr {
        self.connection.remote_address().ip()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
        if host == Some(wire::HOST_KUBERNETES.as_bytes()) {
            return self.operation(request).await;
        }
        if host == Some(wire::HOST_CONTROL.as_bytes()) {
            return Box::pin(self.control(request)).await;
        }
        let why = "the host of an exchange is either kubernetes or control";
        self.turn_away("control", "an exchange", Reason::BadRequest, why, None).await
    }

    async fn operation(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let session = match self.role.get() {
            Some(Role::Sidecar(here)) => Ok(Arc::clone(here.session())),
            // An agent has no operations of its own.
            Some(Role::Agent(_)) => {
                return plain(Reason::Forbidden, "an agent's connection carries no operations of its own");
            }
            None => Err(self.address()),
        };
        let gateway = Arc::clone(&self.peers.gateway);
        gateway.serve(session, request).await
    }

    async fn control(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        match (request.method().clone(), request.uri().path()) {
            (Method::POST, wire::path::SESSION) => self.session(request).await,
            (Method::POST, wire::path::BYPASS) => self.bypass(request).await,
            (Method::POST, wire::path::AGENT) => self.agent(request).await,
            (Method::POST, wire::path::LEAVING) => self.leaving().await,
            (_, wire::path::PING) => json(&serde_json::json!({})),
            _ => self.turn_away("control", "a call of ours", Reason::NotFound, "there is no such call", None).await,
        }
    }

    async fn session(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let refuse = |reason, text, signal| self.turn_away("session", wire::path::SESSION, reason, text, signal);
        if matches!(self.role.get(), Some(Role::Agent(_))) {
            return refuse(Reason::Forbidden, "an agent's connection has no session", Some("two_roles")).await;
        }
        let request = match read(request).await {
            Ok(request) => request,
            Err(why) => return refuse(Reason::BadRequest, why, None).await,
        };
        match self.peers.sessions.open(&self.connection, request, |pod| self.shows(pod)).await {
            Ok((session, reply)) => {
                // Set by the first call; a renewal finds the same session, for it belongs to the same key.
                let _first = self.becomes(Role::Sidecar(Here::new(session)));
                json(&reply)
            }
            Err(error) => {
                let text = shared::chain::Chain(&error).to_string();
                let reason = match &error {
                    OpenError::Store(_) | OpenError::Authn(crate::authn::AuthnError::NoReview(_)) => {
                        // Our own trouble, and no attempt of anybody's.
                        tracing::warn!(error = text, peer = %self.connection.remote_address(), "no session");
                        return plain(Reason::ServiceUnavailable, &text);
                    }
                    OpenError::Authn(_) => Reason::Unauthorized,
                    OpenError::OtherRunner
                    | OpenError::Forgotten(_)
                    | OpenError::Over(_)
                    | OpenError::Taken(_)
                    | OpenError::NotItsPlace(_)
                    | OpenError::Replayed => Reason::Forbidden,
                };
                refuse(reason, &text, intruders::signal_of_session(&error)).await
            }
        }
    }

    async fn bypass(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let Some(Role::Sidecar(here)) = self.role.get() else {
            return plain(Reason::Forbidden, "only a session's connection reports what its runner reaches");
        };
        let report = match read(request).await {
            Ok(report) => report,
            Err(why) => return plain(Reason::BadRequest, why),
        };
        let raised = self.peers.alarms.report(here.session(), report).await;
        let earlier = std::mem::replace(&mut *self.alarm.lock().unwrap_or_else(PoisonError::into_inner), raised);
        // After the new one is on, so that there is no moment without.
        drop(earlier);
        json(&serde_json::json!({}))
    }

    async fn agent(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody> {
        let refuse = |reason, text, signal| self.turn_away("agent", wire::path::AGENT, reason, text, signal);
        if matches!(self.role.get(), Some(Role::Sidecar(_))) {
            return refuse(Reason::Forbidden, "a sidecar's connection is no agent's", Some("two_roles")).await;
        }
        let request = match read(request).await {
            Ok(request) => request,
            Err(why) => return refuse(Reason::BadRequest, why, None).await,
        };
        let again = matches!(self.role.get(), Some(Role::Agent(_)));
        if !again && let Err(error) = self.peers.enrolments.present(&request, self.address()).await {
            let text = shared::chain::Chain(&error).to_string();
            let reason = match &error {
                EnrolError::Store(_) => {
                    tracing::warn!(error = text, peer = %self.connection.remote_address(), "no enrolment");
                    return plain(Reason::ServiceUnavailable, &text);
                }
                EnrolError::Throttled => Reason::TooManyRequests,
                EnrolError::Unknown
                | EnrolError::Malformed(_)
                | EnrolError::Expired(_)
                | EnrolError::Over
                | EnrolError::SpentByAnother
                | EnrolError::Refused(_) => Reason::Unauthorized,
            };
            return refuse(reason, &text, intruders::signal_of_enrolment(&error)).await;
        }
        match self.peers.agents.hello(&self.peers.authn, &self.connection, &request, !again) {
            Ok((link, reply)) => {
                if self.becomes(Role::Agent(Arc::clone(&link))) {
                    let agents = Arc::clone(&self.peers.agents);
                    self.peers.tasks.spawn("agent", async move { agents.attend(link).await });
                }
                json(&reply)
            }
            Err(error) => {
                let text = shared::chain::Chain(&error).to_string();
                refuse(Reason::Unauthorized, &text, intruders::signal_of_agent(&error)).await
            }
        }
    }

    async fn leaving(&self) -> Response<BoxBody> {
        let Some(Role::Agent(link)) = self.role.get() else {
            let text = "only an agent says that it goes away";
            return self.turn_away("control", wire::path::LEAVING, Reason::Forbidden, text, None).await;
        };
        self.peers.agents.leave(link);
        json(&serde_json::json!({}))
    }

    /// Refuses a call of our own, and keeps the attempt.
    async fn turn_away(
        &self,
        stage: &'static str,
        what: &str,
        reason: Reason,
        text: &str,
        signal: Option<&'static str>,
    ) -> Response<BoxBody> {
        let attempt = Attempt {
            stage,
            what: what.to_owned(),
            status: reason.code(),
            why: text.to_owned(),
            operation: None,
            signal,
        };
        self.peers.gateway.intruders.keep(self.address(), attempt).await;
        plain(reason, text)
    }
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, &'static str> {
    let bytes: Bytes = collect_bounded(request.into_body(), limits::CONTROL_BODY_BYTES, limits::OPEN_STREAM)
        .await
        .map_err(|_| "the body did not arrive whole")?;
    serde_json::from_slice(&bytes).map_err(|_| "the body is not what this call takes")
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
