//! The heads that travel between our processes: names of hosts, headers, paths and close codes.
//!
//! One bidirectional QUIC stream carries one HTTP/1.1 exchange; two virtual hosts tell Kubernetes calls from our own.

/// The ALPN protocol id; there is one version.
pub const ALPN: &[u8] = b"sallyport/1";

/// The name in the control plane's certificate. Peers pin its key; the name only satisfies TLS.
pub const SERVER_NAME: &str = "control-plane.sallyport.internal";

/// `Host` of a Kubernetes call.
pub const HOST_KUBERNETES: &str = "kubernetes";
/// `Host` of our own calls: sessions, agents, ledger questions.
pub const HOST_CONTROL: &str = "control";

/// Label of the TLS exporter (RFC 5705) whose output is the epoch of an agent's connection.
pub const EXPORTER_EPOCH: &[u8] = b"EXPORTER-sallyport-epoch";
/// Label of the TLS exporter whose output keys the HS256 grants of plain reads.
pub const EXPORTER_READ_GRANTS: &[u8] = b"EXPORTER-sallyport-read-grants";

/// Headers. All of ours start with `sallyport-`; a client's are dropped before ours are added.
pub mod header {
    /// Operation id (UUIDv7), sidecar → control plane.
    pub const OPERATION: &str = "sallyport-operation";
    /// The grant (JWT), control plane → agent.
    pub const GRANT: &str = "sallyport-grant";
    /// Key of the request digest, base64url, control plane → agent. Beside the grant, so that a stored grant does not contain it.
    pub const DIGEST_KEY: &str = "sallyport-digest-key";
    /// The body is no part of the request: it is the write that approvers look at. Control plane → agent, beside a read of the live object.
    pub const REVIEW: &str = "sallyport-review";
    /// `no` | `yes` | `unknown`: whether the request was sent to the API server. Agent → control plane, on every answer.
    pub const SENT: &str = "sallyport-sent";
    /// On a refusal that stands in place of the API server's answer: the status of that. Agent → control plane.
    pub const ANSWERED: &str = "sallyport-answered";
    /// On a refusal: the session has to be renewed before the next operation. Control plane → sidecar.
    pub const RENEW: &str = "sallyport-renew";
    /// On a 503: the operation waits on, but not in this process; ask for it again under the same id. Control plane → sidecar.
    pub const AGAIN: &str = "sallyport-again";
    /// Why the agent refused, one word for metrics. Agent → control plane.
    pub const REFUSED: &str = "sallyport-refused";
    /// On a refusal that no honest control plane causes. Agent → control plane.
    pub const ATTACK: &str = "sallyport-attack";
}

/// Paths under [`HOST_CONTROL`].
pub mod path {
    /// Sidecar → control plane: open or renew the session of this connection's key.
    pub const SESSION: &str = "/v1/session";
    /// Sidecar → control plane: which ways round the agent are open, as a [`crate::bypass::Report`]; only on a session's connection.
    pub const BYPASS: &str = "/v1/bypass";
    /// Agent → control plane: who I am; makes the connection an agent's.
    pub const AGENT: &str = "/v1/agent";
    /// Agent → control plane: this process is going away, send it nothing new (an empty exchange on an agent's connection).
    pub const LEAVING: &str = "/v1/leaving";
    /// Control plane → agent: what became of these grants?
    pub const LEDGER: &str = "/v1/ledger";
    /// Control plane → agent: which objects of Sallyport's own are compared with what was installed?
    pub const GUARDED: &str = "/v1/guarded";
    /// Either → the other: I am alive (an empty exchange).
    pub const PING: &str = "/v1/ping";
}

/// Application error codes of QUIC closes and resets.
pub mod code {
    /// Orderly: the process is going away.
    pub const SHUTDOWN: u32 = 0;
    /// The stream's owner gave up; the operation is cancelled.
    pub const CANCELLED: u32 = 1;
    /// The peer is not who it must be, or no longer may.
    pub const UNAUTHENTICATED: u32 = 2;
    /// The peer broke the protocol.
    pub const PROTOCOL: u32 = 3;
    /// A recording or masking failure: the bytes so far are not the whole answer.
    pub const ABORTED: u32 = 4;
    /// Of a stream: its peer is going away and has not looked at it. Nothing on it was, or ever will be, carried out.
    pub const REFUSED: u32 = 5;
}
