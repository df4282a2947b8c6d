-- Version 1. Ids are 16-byte UUIDs, times are milliseconds since the Unix epoch, `seq` is the store's own order.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
-- JSON of core::lifecycle::Lives; the row `probe` is written to find out whether writing works.
INSERT INTO meta (key, value) VALUES ('lives', '{"lived":[],"forgiven":0}'), ('probe', '');

CREATE TABLE sessions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE,
  peer_key BLOB NOT NULL,        -- SHA-256 of the sidecar's public key; the session belongs to it
  cluster TEXT NOT NULL,
  identity TEXT NOT NULL,        -- JSON of core::identity::Identity without its expiry; never changes
  opened INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  closed INTEGER,
  closed_why TEXT,
  pod_uid TEXT NOT NULL,         -- of `identity`: a pod has one session that is not closed
  address TEXT NOT NULL,         -- where the sidecar was when it last opened or renewed it
  token_expires INTEGER NOT NULL -- of the pod's token that it showed then; `expires` may be earlier, by the CI token's
) STRICT;
CREATE INDEX sessions_by_peer ON sessions (peer_key);
CREATE INDEX sessions_by_pod ON sessions (cluster, pod_uid) WHERE closed IS NULL;

-- A CI token's jti opens one session, ever.
CREATE TABLE ci_tokens (
  issuer TEXT NOT NULL,
  jti TEXT NOT NULL,
  session BLOB NOT NULL,
  PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;

CREATE TABLE operations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  session BLOB NOT NULL,
  id BLOB NOT NULL,
  cluster TEXT NOT NULL,
  opened INTEGER NOT NULL,
  kind TEXT NOT NULL,            -- runner | internal/<name>
  parent BLOB,                   -- operation for which an internal one was made, or of which a read is a further run
  typed TEXT NOT NULL,           -- what a person would have typed
  command TEXT NOT NULL,         -- Kubectl-Command, as the client says it: display only
  user_agent TEXT NOT NULL,
  method TEXT NOT NULL,
  uri TEXT NOT NULL,
  verb TEXT NOT NULL,
  api_group TEXT NOT NULL,
  resource TEXT NOT NULL,        -- with /subresource
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  body BLOB,                     -- masked request body
  digest TEXT NOT NULL,          -- intent digest, HMAC under digest_key
  digest_key BLOB NOT NULL,      -- sealed; the sealing key is not in this file
  bytes_in INTEGER NOT NULL,
  effect TEXT,
  rule TEXT,
  risk INTEGER,
  explanation TEXT,
  hold BLOB,
  record TEXT,                   -- JSON of core::lifecycle::OperationRecord, the truth of everything but a plain read
  jti BLOB,
  agent BLOB,                    -- AgentId: one life of one agent process
  claims TEXT,                   -- JSON of the grant's claims; the JWT is not kept
  outcome TEXT,                  -- JSON of core::lifecycle::Outcome; set once
  status INTEGER,
  reason TEXT,                   -- sentence for a person
  closed INTEGER,
  bytes_out INTEGER,
  response_type TEXT,
  response BLOB,                 -- masked response body, up to a bound
  response_complete INTEGER,
  response_digest TEXT,          -- of all masked bytes, HMAC under digest_key
  audit_id TEXT,
  UNIQUE (session, id)
) STRICT;
CREATE INDEX operations_open ON operations (seq) WHERE outcome IS NULL;
CREATE INDEX operations_by_hold ON operations (hold) WHERE hold IS NOT NULL AND outcome IS NULL;

CREATE TABLE holds (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE,
  phase TEXT NOT NULL,           -- of `state`, for queries
  deadline INTEGER NOT NULL,
  asker TEXT NOT NULL,           -- JSON of core::identity::Asker, for queries
  opened INTEGER NOT NULL,
  state TEXT NOT NULL,           -- JSON of core::lifecycle::HoldRecord: the truth
  digest_key BLOB NOT NULL,      -- sealed key of the intent digest
  show TEXT NOT NULL             -- JSON of what approvers see, masked
) STRICT;
CREATE INDEX holds_open ON holds (deadline) WHERE phase IN ('waiting', 'approved');
CREATE INDEX holds_by_asker ON holds (asker, phase);

-- Attempts that never became an operation: wrong token, unknown path. Bounded by deletion of the oldest.
CREATE TABLE rejected (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  session BLOB,
  operation BLOB,
  stage TEXT NOT NULL,
  status INTEGER NOT NULL,
  what TEXT NOT NULL,            -- method and path, cut
  why TEXT NOT NULL
) STRICT;
