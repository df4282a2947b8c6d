-- Version 2. Clusters that are not in the configuration: a row is a one-time token, and, once it is spent, the cluster that it pinned.

CREATE TABLE enrolments (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  token_hash BLOB NOT NULL UNIQUE, -- SHA-256; the token itself is nowhere
  asked INTEGER NOT NULL,
  asked_by TEXT NOT NULL,
  expires INTEGER NOT NULL,
  require_ci INTEGER NOT NULL,
  adopt_keys INTEGER NOT NULL,
  enrolled INTEGER,                -- when the token was spent; set once, with the four below
  enrolled_from TEXT,              -- address of the agent
  uid TEXT,
  issuer TEXT,
  keys TEXT,                       -- JWKS
  ended INTEGER,                   -- taken back, replaced or forgotten
  ended_why TEXT
) STRICT;
-- A name stands for one token or one cluster, and a cluster has one name.
CREATE UNIQUE INDEX enrolments_by_name ON enrolments (name) WHERE ended IS NULL;
CREATE UNIQUE INDEX enrolments_by_uid ON enrolments (uid) WHERE uid IS NOT NULL AND ended IS NULL;
