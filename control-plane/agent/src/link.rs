//! The connection to the control plane: dialled from here, greeted, served, and made again when it is lost.
//!
//! Each connection is an epoch of its own. When it ends, or when the control plane was not heard for [`limits::AGENT_SILENCE`], the epoch
//! is sealed and every answer that was being passed on is dropped, and with it its stream to the API server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use control_plane_core::grant::{KeyError, ReadKey, VerifyKeys};
use control_plane_core::ledger::{Epoch, SpendError};
use control_plane_core::lifecycle::Life;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::service::service_fn;
use quinn::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::backoff::{Backoff, jitter};
use shared_net::body::{BodyError, collect_bounded};
use shared_net::dial::{self, DialError};
use shared_net::drain::Drain;
use shared_net::endpoint::{Connection, Endpoint, ExportError};
use shared_net::exchange::{self, ExchangeError};
use shared_net::ready::Readiness;

use crate::enrolment::{Enrolment, Offer};
use crate::leases::LeaseError;
use crate::leaving::Current;
use crate::operation::{Agent, Link};
use crate::report::EpochError;
use crate::serve;

/// How often the silence of the control plane is measured; the cut comes at most that much late.
const LISTEN: Duration = Duration::from_millis(250);
/// How often a sign of life is asked for while answers are being passed on.
const ASK: Duration = Duration::from_secs(1);

/// How to reach the control plane and what to say.
#[derive(Debug)]
pub struct Dialler {
    /// Where from.
    pub endpoint: Endpoint,
    /// With which key, and whom to trust.
    pub config: ClientConfig,
    /// `host:port`, resolved at each attempt.
    pub address: String,
    /// Our projected token.
    pub token_file: PathBuf,
    /// This process.
    pub id: AgentId,
    /// uid of the cluster.
    pub cluster_uid: String,
    /// What makes our cluster known, where nothing else does.
    pub enrolment: Option<Enrolment>,
    /// Where the connection is put, once it is greeted.
    pub current: Current,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The name has no address.
    #[error("{address} can't be resolved")]
    Resolve {
        /// The name.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No handshake.
    #[error("the control plane can't be reached")]
    Connect(#[source] DialError),
    /// The token can't be read.
    #[error("the token file can't be read")]
    Token(#[source] std::io::Error),
    /// The greeting broke off.
    #[error("the control plane did not answer the greeting")]
    Exchange(#[source] ExchangeError),
    /// Its answer broke off.
    #[error("the control plane's greeting can't be read")]
    Body(#[source] BodyError),
    /// It refuses us.
    #[error("the control plane refused the greeting with {status}: {text}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said, cut short.
        text: String,
    },
    /// Its answer is not what it must be.
    #[error("the control plane's greeting is malformed")]
    Reply(#[source] serde_json::Error),
    /// The grant key.
    #[error("the control plane's grant key can't be used")]
    Key(#[source] KeyError),
    /// Another name for our cluster: placeholders and grants would not fit.
    #[error("the control plane calls this cluster {got:?}, the configuration {expected:?}")]
    Cluster {
        /// As configured.
        expected: String,
        /// As it says.
        got: String,
    },
    /// TLS gives no exporter.
    #[error("the connection has no exporter value")]
    Export(#[source] ExportError),
    /// The cluster does not say, or does not keep, which lives it has seen.
    #[error("whether this is the newest control plane can't be known")]
    Lives(#[source] LeaseError),
    /// A life that has not begun.
    #[error("the control plane says that it began at {}; one of our clocks is wrong", Timestamp(.0.0))]
    Future(Life),
    /// An earlier life, or an epoch known before.
    #[error("the connection can't be used")]
    Epoch(#[source] EpochError),
    /// The request could not be made.
    #[error("the greeting can't be written")]
    Request(#[source] http::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hello<'a> {
    token: &'a str,
    agent: AgentId,
    cluster_uid: &'a str,
    life: Life,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolment: Option<Offer<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelloReply {
    cluster: String,
    life: Life,
    grant_key: String,
    now: Timestamp,
    expires: Timestamp,
}

/// Keeps a connection to the control plane until draining is over.
pub async fn run(dialler: Dialler, agent: Arc<Agent>, readiness: Readiness, mut drain: Drain) {
    let mut backoff = Backoff::default();
    let mut waiting = Some(readiness.wait_for("control plane"));
    loop {
        let attempt = tokio::select! {
            biased;
            _ = drain.started() => return,
            attempt = dialler.connect(&agent, backoff.patience(agent.clock.monotonic())) => attempt,
        };
        match attempt {
            Ok((connection, link)) => {
                backoff.succeeded();
                drop(waiting.take());
                let standing = agent.metrics.connected(connection.way());
                dialler.current.is(&connection);
                tokio::select! {
                    () = attend(&agent, &connection, Arc::clone(&link), drain.clone()) => {}
                    never = dialler.renew(&agent, &connection, &link) => match never {}
                }
                drop(standing);
                if drain.is_draining() {
                    return;
                }
                waiting = Some(readiness.wait_for("control plane"));
            }
            Err(error) => tracing::warn!(error = %shared::chain::Chain(&error), "no connection to the control plane"),
        }
        let now = agent.clock.monotonic();
        backoff.failed(now);
        let wait = jitter(backoff.ceiling(now));
        tokio::select! {
            biased;
            _ = drain.started() => return,
            () = agent.clock.sleep(wait) => {}
        }
    }
}

impl Dialler {
    /// Dials and greets. The epoch is open afterwards.
    async fn connect(&self, agent: &Agent, patience: Duration) -> Result<(Connection, Arc<Link>), LinkError> {
        let address = self.resolve().await?;
        let dialled = self.endpoint.dial(address, self.config.clone(), patience).await;
        let connection = dialled.map_err(LinkError::Connect)?;
        match self.greet(agent, &connection).await {
            Ok(link) => Ok((connection, link)),
            Err(error) => {
                connection.close(wire::code::PROTOCOL, "greeting failed");
                Err(error)
            }
        }
    }

    async fn resolve(&self) -> Result<SocketAddr, LinkError> {
        let failed = |source| LinkError::Resolve { address: self.address.clone(), source };
        let mut addresses = tokio::net::lookup_host(&self.address).await.map_err(failed)?;
        addresses.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
    }

    async fn greet(&self, agent: &Agent, connection: &Connection) -> Result<Arc<Link>, LinkError> {
        let life = agent.lives.highest().await.map_err(LinkError::Lives)?;
        let reply = self.say_who(connection, life, self.enrolment.as_ref()).await?;
        if reply.cluster != agent.cluster {
            return Err(LinkError::Cluster { expected: agent.cluster.clone(), got: reply.cluster });
        }
        let key = URL_SAFE_NO_PAD
            .decode(&reply.grant_key)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(LinkError::Key(KeyError::Public))?;
        let reads = connection.export(wire::EXPORTER_READ_GRANTS).map_err(LinkError::Export)?;
        let keys = VerifyKeys::new(&key, ReadKey::new(&reads)).map_err(LinkError::Key)?;
        let epoch = Epoch::new(connection.export(wire::EXPORTER_EPOCH).map_err(LinkError::Export)?);
        if reply.life < life {
            let why = SpendError::LifeTooLow { seen: life, got: reply.life };
            return Err(LinkError::Epoch(EpochError::Life(why)));
        }
        // A life is the millisecond of a start, and what is remembered once is never taken back: one from the future would lock
        // every later control plane out.
        if reply.life.0 > agent.clock.now().after(limits::LIFE_AHEAD).0 {
            return Err(LinkError::Future(reply.life));
        }
        agent.lives.see(reply.life).await.map_err(LinkError::Lives)?;
        agent.ledger.open(epoch, reply.life).map_err(LinkError::Epoch)?;
        tracing::info!(
            peer = %connection.remote_address(),
            life = %reply.life,
            clock_ahead_ms = agent.clock.now().since(reply.now).as_millis(),
            "connected to the control plane"
        );
        dial::tell(connection);
        Ok(Arc::new(Link { epoch, keys, token_life: reply.expires.since(reply.now) }))
    }

    /// One greeting: our token, and what the control plane says to it.
    async fn say_who(
        &self,
        connection: &Connection,
        life: Life,
        enrolment: Option<&Enrolment>,
    ) -> Result<HelloReply, LinkError> {
        let token = tokio::fs::read_to_string(&self.token_file).await.map_err(LinkError::Token)?;
        let hello = Hello {
            token: token.trim(),
            agent: self.id,
            cluster_uid: &self.cluster_uid,
            life,
            version: env!("CARGO_PKG_VERSION"),
            enrolment: enrolment.map(Enrolment::offer),
        };
        let body = serde_json::to_vec(&hello).map_err(LinkError::Reply)?;
        let request = Request::post(wire::path::AGENT)
            .header(header::HOST, wire::HOST_CONTROL)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(LinkError::Request)?;
        let response = exchange::send(connection, request).await.map_err(LinkError::Exchange)?;
        let status = response.status();
        let body = collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::BODY_WAIT)
            .await
            .map_err(LinkError::Body)?;
        if status != StatusCode::OK {
            return Err(LinkError::Refused { status, text: refusal_text(&body) });
        }
        serde_json::from_slice(&body).map_err(LinkError::Reply)
    }

    /// Shows a fresh token on the connection before the one that it had runs out: at 80 % of what is left of its life, which is when the
    /// kubelet renews the file, and again as long as it has not. Where none is taken the connection ends with the last one.
    async fn renew(&self, agent: &Agent, connection: &Connection, link: &Link) -> Infallible {
        let mut left = link.token_life;
        loop {
            let pause = left.mul_f64(0.8).max(limits::RENEW_PAUSE);
            agent.clock.sleep(pause).await;
            left = match self.say_who(connection, agent.ledger.life(), None).await {
                Ok(reply) => reply.expires.since(reply.now),
                Err(error) => {
                    tracing::warn!(error = %shared::chain::Chain(&error), "our token was not renewed at the control plane");
                    left.saturating_sub(pause)
                }
            };
        }
    }
}

/// The sentence of a refusal: it is a Status, as every refusal of ours.
fn refusal_text(body: &[u8]) -> String {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let message = said.as_ref().and_then(|status| status.get("message")?.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Serves one connection to its end.
async fn attend(agent: &Arc<Agent>, connection: &Connection, link: Arc<Link>, drain: Drain) {
    // Sealed even if this future is dropped.
    let _sealed = Seal(agent, link.epoch);
    let own = Arc::clone(agent);
    // Boxed: an exchange is moved several times before it is polled, and so costs what it weighs.
    let service = service_fn(move |request| Box::pin(serve::exchange(Arc::clone(&own), Arc::clone(&link), request)));
    tokio::select! {
        () = exchange::serve(connection, service, &agent.tasks, drain.clone()) => {}
        () = silence(agent, connection) => {
            tracing::warn!("the control plane was not heard; all answers that were being passed on are dropped");
            connection.close(wire::code::CANCELLED, "silence");
        }
    }
    let reason = connection.close_reason().map(|reason| reason.to_string()).unwrap_or_default();
    tracing::info!(reason, "the connection to the control plane ended");
    if drain.is_draining() {
        connection.close(wire::code::SHUTDOWN, "the agent ends");
    }
}

struct Seal<'a>(&'a Agent, Epoch);

impl Drop for Seal<'_> {
    fn drop(&mut self) {
        self.0.ledger.seal(self.1);
    }
}

/// Resolves when nothing authentic came from the control plane for [`limits::AGENT_SILENCE`].
///
/// Heard is every frame that passed decryption. QUIC's own keep-alive is almost as long as the silence allowed, so while answers are
/// being passed on a ping asks for a sign of life every second.
async fn silence(agent: &Agent, connection: &Connection) {
    tokio::select! {
        () = listen(agent, connection) => {}
        () = ask(agent, connection) => {}
    }
}

async fn listen(agent: &Agent, connection: &Connection) {
    let mut heard = connection.heard();
    let mut at = agent.clock.monotonic();
    loop {
        agent.clock.sleep(LISTEN).await;
        let now = agent.clock.monotonic();
        let frames = connection.heard();
        if frames != heard {
            heard = frames;
            at = now;
        } else if now.saturating_sub(at) >= limits::AGENT_SILENCE {
            return;
        }
    }
}

/// Asks for signs of life, as long as there is something to cut; whatever comes back, if only an acknowledgement, is one.
async fn ask(agent: &Agent, connection: &Connection) {
    loop {
        agent.clock.sleep(ASK).await;
        if connection.streams() == 0 {
            continue;
        }
        let request =
            Request::get(wire::path::PING).header(header::HOST, wire::HOST_CONTROL).body(Full::new(Bytes::new()));
        if let Ok(request) = request {
            tokio::select! {
                // Its outcome doesn't matter.
                _ = exchange::send(connection, request) => {}
                () = agent.clock.sleep(limits::AGENT_SILENCE) => {}
            }
        }
    }
}
