//! Somebody at the control plane's port who is neither a sidecar nor an agent: raw QUIC, a key of his own, any call, any token.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use http::header::HOST;
use http::{Method, Request};
use serde_json::{Value, json};
use shared::time::Timestamp;
use shared::{limits, wire};
use shared_net::body::{collect_bounded, full};
use shared_net::clock::Clock;
use shared_net::endpoint::{Connection, Endpoint};
use shared_net::pki::{Identity, KeyPin};
use shared_net::{exchange, quic};
use uuid::Uuid;

/// One connection of his.
#[derive(Debug)]
pub struct Intruder {
    connection: Connection,
    _endpoint: Endpoint,
}

/// What he is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// The sentence of the `Status`, or the whole body where it is none.
    pub text: String,
}

impl Intruder {
    /// Dials with a new key.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn dial(address: SocketAddr, pin: &str) -> Result<Self> {
        let pin: KeyPin = pin.parse().context("no pin")?;
        let now: Timestamp = Clock::system().now();
        let identity = Identity::self_signed(now, shared_net::pki::CA_LIFE)?;
        let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
        let connection = endpoint.connect(address, quic::client_config(&identity, pin)?).await?;
        Ok(Self { connection, _endpoint: endpoint })
    }

    /// Shows a token as a sidecar does.
    ///
    /// # Errors
    /// No answer.
    pub async fn session(&self, token: &str) -> Result<Told> {
        self.control(wire::path::SESSION, &json!({"podToken": token})).await
    }

    /// Shows a token as an agent does.
    ///
    /// # Errors
    /// No answer.
    pub async fn agent(&self, token: &str, cluster_uid: &str) -> Result<Told> {
        let hello = json!({"token": token, "agent": Uuid::new_v4(), "clusterUid": cluster_uid, "life": 0});
        self.control(wire::path::AGENT, &hello).await
    }

    /// Asks for an operation, as a sidecar passes on what kubectl wants.
    ///
    /// # Errors
    /// No answer.
    pub async fn operation(&self, path: &str) -> Result<Told> {
        let request = Request::get(path)
            .header(HOST, wire::HOST_KUBERNETES)
            .header(wire::header::OPERATION, Uuid::now_v7().to_string())
            .body(full(Vec::new()))?;
        self.send(request).await
    }

    /// Any other call of ours.
    ///
    /// # Errors
    /// No answer.
    pub async fn control(&self, path: &str, body: &Value) -> Result<Told> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, wire::HOST_CONTROL)
            .body(full(serde_json::to_vec(body)?))?;
        self.send(request).await
    }

    async fn send(&self, request: Request<shared_net::body::BoxBody>) -> Result<Told> {
        let response = exchange::send(&self.connection, request).await?;
        let status = response.status().as_u16();
        let body = collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::SESSION_WAIT).await?;
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        let text = parsed.as_ref().and_then(|body| body.get("message")).and_then(Value::as_str);
        let text = text.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned);
        Ok(Told { status, text })
    }
}
