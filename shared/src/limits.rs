//! Every bound of every queue, map, body and wait, with its unit and its reason. Nothing else in the tree invents one.

use std::time::Duration;

/// Bytes of a request body; the API server's own limit (`MaxRequestBodyBytes`).
pub const REQUEST_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Bytes of one request or response head, as an API server accepts it (1 MiB) is far more than any real one; ours is smaller on purpose.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Headers in one head.
pub const HEADERS: usize = 100;
/// Bytes of path and query together: the API server takes more, no client sends it.
pub const URI_BYTES: usize = 16 * 1024;
/// Bytes of a body under our own `control` host.
pub const CONTROL_BODY_BYTES: usize = 64 * 1024;
/// Characters of a client's own words about itself that are kept and shown.
pub const CLIENT_TEXT_CHARS: usize = 256;
/// Nesting of a body that policy reads; the API server stops at 10 000, real objects stay below 30.
pub const BODY_DEPTH: usize = 128;
/// Operations in a JSON Patch that policy reads (the API server takes 10 000).
pub const JSON_PATCH_OPERATIONS: usize = 1000;
/// Bytes of a live object that policy and approvers see (etcd's own limit is 1.5 MiB).
pub const LIVE_OBJECT_BYTES: usize = 3 * 1024 * 1024;

/// Streams a peer may have open at first; quinn pays memory for each permitted one.
pub const STREAMS_INITIAL: u32 = 16;
/// Streams a busy peer is raised to.
pub const STREAMS_MAX: u32 = 1024;
/// Bytes in flight on one stream.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes in flight on one connection.
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// A QUIC connection without any packet for this long is lost.
pub const IDLE: Duration = Duration::from_secs(15);
/// How often a silent QUIC connection says that it lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// The agent ends every upstream stream this long after it last heard its control plane.
pub const AGENT_SILENCE: Duration = Duration::from_secs(5);
/// A TLS or QUIC handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// A client's request head, from its first byte.
pub const HEAD_WAIT: Duration = Duration::from_secs(32);
/// A client's request body, without progress.
pub const BODY_WAIT: Duration = Duration::from_secs(60);
/// Opening a stream on a live connection.
pub const OPEN_STREAM: Duration = Duration::from_secs(10);

/// Clients on one sidecar at once.
pub const SIDECAR_CONNECTIONS: usize = 256;
/// Peers on one control plane at once.
pub const PEER_CONNECTIONS: usize = 20_000;
/// Operations of one session under way at once.
pub const SESSION_OPERATIONS: usize = 512;
/// Kinds of deed (`create serviceaccounts`) that a session remembers for conditions on its past.
pub const SESSION_DEEDS: usize = 256;
/// Holds of one asker that wait at once: more would only tire the approver (failures.md P9).
pub const ASKER_HOLDS: usize = 32;
/// Holds that wait at once, in all.
pub const HOLDS: usize = 10_000;
/// Longest that a hold may wait, whatever policy says.
pub const HOLD_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long after its approval a hold may be claimed.
pub const CLAIM_WAIT: Duration = Duration::from_secs(600);
/// How long a session's same request meets the same denial without people being asked again (failures.md P9).
pub const DENIAL_STICKS: Duration = Duration::from_secs(3600);
/// Votes on one hold that may be needed; more people than that can't be got together.
pub const QUORUM_MAX: u8 = 16;
/// Bytes of a reason that an approver gives; kubectl prints it in one line.
pub const REASON_BYTES: usize = 1024;
/// How long after an approval's expiry its Lease stays in the cluster: more than the clocks of two nodes can differ.
pub const SPENT_LEASE_KEEP: Duration = Duration::from_secs(3600);
/// Starts of the control plane that its database remembers, to find out that it is an old copy.
pub const LIVES: usize = 1024;

/// Longest life of a grant, on the agent's monotonic clock from receipt.
pub const GRANT_TTL: Duration = Duration::from_secs(10);
/// Bytes of a grant: its request's path twice, sixteen reads, ids and a signature stay far below; a head has room for it.
pub const GRANT_BYTES: usize = 32 * 1024;
/// Objects that one grant lets the agent read: the live object and a helm release's stored revisions.
pub const GRANT_READS: usize = 16;
/// JSON paths that one grant masks in addition.
pub const GRANT_MASK_PATHS: usize = 64;
/// Longest that any answer may last, exec sessions and watches included; policy sets less.
pub const STREAM_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Spent grants that an agent remembers per epoch.
pub const LEDGER_ENTRIES: usize = 100_000;
/// Connections that an agent's ledger knows at once, and as many that are over: an agent has one, or two while it changes over.
pub const LEDGER_EPOCHS: usize = 16;

/// An operation id may be this much ahead of our clock.
pub const OPERATION_ID_AHEAD: Duration = Duration::from_secs(60);

/// A read's record reaches the disk within this time.
pub const READ_RECORD_LAG: Duration = Duration::from_secs(1);
/// Records waiting for the writer; when full, operations wait, and past [`RECORD_WAIT`] are refused.
pub const RECORD_QUEUE: usize = 4096;
/// Rows in one commit.
pub const RECORD_BATCH: usize = 512;
/// Longest wait for a record to become durable.
pub const RECORD_WAIT: Duration = Duration::from_secs(5);
/// Bytes of a (masked) response body that are kept in the record and may be replayed to a sidecar that lost its connection.
pub const RECORDED_BODY_BYTES: usize = 3 * 1024 * 1024;
/// The same for a plain read, of which there are many: longer answers are recorded by digest and length alone.
pub const RECORDED_READ_BYTES: usize = 64 * 1024;

/// Bytes of a policy file.
pub const POLICY_BYTES: usize = 1024 * 1024;
/// Bytes of one CEL expression.
pub const CEL_SOURCE_BYTES: usize = 4096;
/// Loop steps that one operation's conditions may take together.
pub const CEL_TICKS: u64 = 20_000;
/// Wall time that one operation's conditions may take together.
pub const CEL_TIME: Duration = Duration::from_millis(50);

/// Bytes of a key set or discovery document of an issuer.
pub const JWKS_BYTES: usize = 1024 * 1024;
/// Keys kept per issuer.
pub const JWKS_KEYS: usize = 64;
/// One fetch from an issuer.
pub const ISSUER_WAIT: Duration = Duration::from_secs(5);
/// An unknown key id causes at most one fetch in this time.
pub const ISSUER_REFETCH: Duration = Duration::from_secs(30);
/// Keys older than this are not trusted when the issuer can't be reached.
pub const ISSUER_MAX_AGE: Duration = Duration::from_secs(3600);
/// Bytes of a token.
pub const TOKEN_BYTES: usize = 16 * 1024;

/// Containers inside one another in a response that is masked; OpenAPI documents, the deepest real ones, stay below 100.
pub const MASK_DEPTH: usize = 512;
/// Bytes of a member's name that the masker tells apart (a key of a Secret has at most 253).
pub const MASK_KEY_BYTES: usize = 1024;
/// Bytes of a `Status` message that are held back until it is known whether it may be shown; a longer one is replaced.
pub const MASK_MESSAGE_BYTES: usize = 16 * 1024;
/// Bytes of an annotation that are read ahead to learn what the document in it is; a longer one is masked as a Secret's would be.
pub const MASK_LOOKAHEAD_BYTES: usize = 64 * 1024;
/// JSON in a string in JSON … that is looked into; what lies deeper is masked whole.
pub const MASK_NESTED_DOCUMENTS: u8 = 3;
