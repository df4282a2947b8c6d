//! Every bound of every queue, map, body and wait, with its unit and its reason. Nothing else in the tree invents one.

use std::time::Duration;

mod memory;
mod streams;

pub use memory::{AGENT_BYTES, AGENT_IDLE_BYTES, APART_BYTES, SMALL_BYTES};
pub use streams::*;

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
/// Characters of a peer's own word for its version that are kept and shown.
pub const VERSION_CHARS: usize = 40;
/// Nesting of a body that policy reads; the API server stops at 10 000, real objects stay below 30.
pub const BODY_DEPTH: usize = 128;
/// Values in a body that policy reads: a few bytes can stand for a value of some hundred bytes in memory, and of 1.5 MB (etcd's limit) real
/// objects have a value per 15 bytes or more.
pub const BODY_NODES: usize = 200_000;
/// Bytes that a request's body may take in memory for each byte of its text, and those that any may take beside. Measured, objects of Kubernetes
/// take 5 to 8 times their text, lists of addresses and variables up to 22, and schemas without descriptions 25; written to be large they take
/// a hundred (`{"":0}`).
pub const BODY_TREE_RATIO: usize = 32;
/// See [`BODY_TREE_RATIO`]: a few values in maps of their own, as patches have them, and what protobuf writes in half of the bytes.
pub const BODY_TREE_FREE_BYTES: usize = 512 * 1024;
/// However long the text is. Of 1.5 MB (etcd's limit) the richest objects take 25.
pub const BODY_TREE_BYTES: usize = 32 * 1024 * 1024;
/// Operations in a JSON Patch that policy reads (the API server takes 10 000).
pub const JSON_PATCH_OPERATIONS: usize = 1000;
/// Writes of Secrets whose values an agent compares for approvers in a row. Each answer tells whether a guess was right, so a hostile
/// control plane must not have many; a person looks at a few.
pub const REVIEWS: u32 = 60;
/// How long it takes until one more may be asked.
pub const REVIEW_EVERY: Duration = Duration::from_secs(2);
/// Bytes of a live object that policy and approvers see (etcd's own limit is 1.5 MiB).
pub const LIVE_OBJECT_BYTES: usize = 3 * 1024 * 1024;

/// A QUIC connection without any packet for this long is lost.
pub const IDLE: Duration = Duration::from_secs(15);
/// How often a silent QUIC connection says that it lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A peer that lives is heard at least every [`KEEP_ALIVE`]; after this long without a packet it is taken for gone by whoever has to know
/// before [`IDLE`] is over. Two seconds are for a lost packet and a busy machine.
pub const PEER_SILENCE: Duration = Duration::from_secs(6);
/// How long the last packets of a process that has died may still be on their way, or wait to be read.
pub const PEER_SETTLE: Duration = Duration::from_secs(1);
/// The agent ends every upstream stream this long after it last heard its control plane.
pub const AGENT_SILENCE: Duration = Duration::from_secs(5);
/// A TLS or QUIC handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a control plane may leave a handshake over UDP unanswered before TCP is tried beside it. Two round trips round the world; where
/// UDP is blocked, all that each new connection waits.
pub const UDP_HEAD_START: Duration = Duration::from_millis(500);
/// Bytes of a QUIC packet over TCP. As large as a TLS record, so that bulk costs few packets; a connection has memory for what it is sent.
pub const TCP_PACKET_BYTES: u16 = 16 * 1024;
/// Bytes of packets that a TCP connection may have waiting for the kernel, beside what that has: four of the largest.
pub const TCP_WRITE_BYTES: usize = 68 * 1024;
/// Bytes that are read of a TCP connection at once; a silent one has no buffer.
pub const TCP_READ_BYTES: usize = 32 * 1024;
/// How long what a TCP connection brought last is looked at before its end counts: the peer may have said why.
pub const TCP_LAST_WORDS: Duration = Duration::from_millis(10);
/// Ports that are tried for one that is free over UDP and TCP, where any will do.
pub const PORT_TRIES: u32 = 16;
/// Pause when a TCP connection can't be taken: out of descriptors, most likely, and others give some back.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client's request head, from its first byte.
pub const HEAD_WAIT: Duration = Duration::from_secs(32);
/// A connection to the web API on which nobody has shown a credential that counts: places there are few, and strangers many.
pub const STRANGER_WAIT: Duration = Duration::from_secs(10);
/// A connection between our processes on which nobody has proven to be a runner or an agent: both do so first of all, and the slowest way,
/// a token review with keys that are fetched for it, is asked again on the next connection.
pub const ROLE_WAIT: Duration = Duration::from_secs(15);
/// Connections of one address (of a /64 in IPv6) that have not proven anything yet: all runners behind one NAT come from there, and
/// each is a stranger for some milliseconds only.
pub const STRANGERS_PER_ADDRESS: usize = 512;
/// Connections that show the token of one pod and wait for its review: more count as strangers. A sidecar has one, and one that it has lost.
pub const UNREVIEWED_PER_POD: usize = 4;
/// A client's request body, without progress.
pub const BODY_WAIT: Duration = Duration::from_secs(60);
/// A client's request body, from its first byte to its last: the largest at 32 KiB/s, and no reason to be at it for longer.
pub const BODY_TIME: Duration = Duration::from_secs(100);
/// Bytes that request bodies of one session take of the control plane's memory at once, text and values, held operations included. Until a body
/// is read it counts as much as it may take ([`BODY_TREE_RATIO`]): there is room for one of the largest and dozens of the usual size, where
/// kubectl and helm send one after the other. Then it counts what it takes.
pub const SESSION_BODY_BYTES: usize = 64 * 1024 * 1024;
/// The same of all sessions together: half of a control plane's container.
pub const BODY_BYTES_AT_ONCE: usize = 512 * 1024 * 1024;
/// How long a body waits for room before its client is told to come back.
pub const BODY_ROOM_WAIT: Duration = Duration::from_secs(10);
/// Opening a stream on a live connection.
pub const OPEN_STREAM: Duration = Duration::from_secs(10);

/// Bytes of an admission review: an object is at most 1.5 MiB (etcd's limit), and an update brings two of them.
pub const ADMISSION_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of reviews that the injector has in memory at once. Ordinary ones have some KiB; a Pod of the injector has little memory.
pub const ADMISSION_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// Arrival of a review; the API server waits five seconds for the whole answer.
pub const ADMISSION_WAIT: Duration = Duration::from_secs(4);
/// Connections to the injector at once; each API server has one or two.
pub const ADMISSION_CONNECTIONS: usize = 256;
/// An API server's connection without a review; it makes a new one in a millisecond.
pub const ADMISSION_IDLE: Duration = Duration::from_secs(300);
/// How long the injector goes on answering after it was asked to go: until then its Service may still send it reviews, and one that is not
/// answered is a Pod that is not created.
pub const ADMISSION_LAST_CALLS: Duration = Duration::from_secs(5);

/// Clients on one sidecar at once.
pub const SIDECAR_CONNECTIONS: usize = 256;
/// HTTP/2 requests of one client at once; the API server allows 250, kubectl and helm use a handful.
pub const SIDECAR_STREAMS: u32 = 100;
/// How long a request that was not sent yet waits for a connection to the control plane; then the client is told to come back.
pub const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How often a request whose stream the control plane reset is put again (under the same id) on the same connection.
pub const REPEATS: u32 = 1;
/// How long a request waits that a control plane gave back because it goes away: its drain, and the start of the next one.
pub const RESTART_WAIT: Duration = Duration::from_secs(60);
/// An attempt that lasted so long was waiting for people; losing its connection starts the sidecar's patience anew.
pub const WAITED: Duration = Duration::from_secs(10);
/// A sidecar that starts serves within some twenty milliseconds, whatever the control plane does; one that has not after this has failed,
/// and is started again.
pub const READY_WAIT: Duration = Duration::from_secs(30);
/// Between two looks at whether it does: so much of a Pod's start, at most, is spent waiting for nothing.
pub const READY_LOOK: Duration = Duration::from_millis(5);
/// Opening or renewing a session: the control plane may ask an agent for a TokenReview.
pub const SESSION_WAIT: Duration = Duration::from_secs(15);
/// First attempt at a handshake; doubles with each failure up to [`HANDSHAKE`], because a fresh attempt meets a restarted peer sooner
/// than the retransmissions of an old one.
pub const CONNECT_FIRST: Duration = Duration::from_secs(2);
/// First pause between two attempts to reach the control plane.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts; a crowd of sidecars must not flood a control plane that comes back.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How long after a loss the next two hold: a control plane that restarts is back within seconds, and so should a thousand sidecars be.
pub const SOON: Duration = Duration::from_secs(60);
/// Longest pause between two attempts as long as that.
pub const BACKOFF_SOON: Duration = Duration::from_secs(3);
/// Longest attempt as long as that: the later packets of a handshake are further apart than two attempts.
pub const HANDSHAKE_SOON: Duration = Duration::from_secs(4);
/// Longest pause between two attempts while a request waits.
pub const BACKOFF_BUSY: Duration = Duration::from_millis(500);
/// Token reviews that one control plane asks of a cluster at once: after its restart every sidecar needs one, and the API server has other
/// things to do.
pub const TOKEN_REVIEWS: usize = 64;
/// Between two renewals of a session whose token has no time left.
pub const RENEW_PAUSE: Duration = Duration::from_secs(2);
/// How often token files are compared with what was last sent; kubelet renews them at 80 % of their life.
pub const TOKEN_POLL: Duration = Duration::from_secs(10);
/// Between two tries of the ways round the agent, half of it at least: a policy that is gone is noticed within a minute.
pub const BYPASS_PAUSE: Duration = Duration::from_secs(40);
/// Longest wait for an answer of such a way; a policy that denies is silent.
pub const BYPASS_WAIT: Duration = Duration::from_secs(3);
/// How long `sallyport-sidecar probe` goes on trying to get an answer through Sallyport: the sidecar beside it opens its session meanwhile.
pub const PROBE_WAIT: Duration = Duration::from_secs(30);
/// Between two tries of that, and of what is open: an engine may take a moment to learn of a new Pod.
pub const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// How long `sallyport doctor` waits for its Pod: an image may have to be pulled first.
pub const DOCTOR_POD_WAIT: Duration = Duration::from_secs(120);
/// How far two clocks may be apart before `sallyport doctor` speaks of it; NTP keeps them within milliseconds.
pub const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Between two comparisons of what protects a cluster with what was installed: a policy that is gone is noticed within a minute.
pub const GUARD_EVERY: Duration = Duration::from_secs(30);
/// Objects of an installation that are compared; each namespace of runners has one, the rest is a few dozen.
pub const GUARDED_OBJECTS: usize = 1024;
/// Ways that one sidecar tries, and that are believed of one report.
pub const BYPASS_ROUTES: usize = 64;
/// TCP keep-alive and HTTP/2 ping of local clients.
pub const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long operations may take to finish once the process was asked to go; two seconds below Kubernetes' default grace period.
pub const DRAIN: Duration = Duration::from_secs(28);

/// How long an agent that goes away waits for its control plane to have heard it.
pub const LEAVE_WAIT: Duration = Duration::from_secs(2);
/// How long an agent goes on taking operations after that: what was on its way to it when it said so, and a lost packet of that.
pub const AGENT_LAST_CALLS: Duration = Duration::from_secs(1);
/// How often an operation is issued again, on another connection, of which it is certain that its grant was never spent: agents that go
/// away one after the other, as in an upgrade of three.
pub const ISSUED_AGAIN: u32 = 2;

/// Peers on one control plane at once.
pub const PEER_CONNECTIONS: usize = 20_000;
/// Operations of one session under way at once.
pub const SESSION_OPERATIONS: usize = 512;
/// Operation ids that a session remembers to tell a repetition from a new operation (24 bytes each); older ones are looked up in the
/// store. More than are under way at once, so that an honest sidecar's next id is always newer than the oldest of them.
pub const SESSION_IDS: usize = 1024;
/// Kinds of deed (`create serviceaccounts`) that a session remembers for conditions on its past.
pub const SESSION_DEEDS: usize = 256;
/// Secrets of which a session remembers that it was shown them (some 100 bytes each); past that it counts as having seen all.
pub const SESSION_SECRETS: usize = 256;
/// Holds of one asker that wait at once: more would only tire the approver (SECURITY.md P9).
pub const ASKER_HOLDS: usize = 32;
/// Holds that one session of that asker has opened and that wait at once: its other jobs may ask people too.
pub const SESSION_HOLDS: usize = ASKER_HOLDS / 2;
/// Holds that wait at once, in all.
pub const HOLDS: usize = 10_000;
/// Longest that a hold may wait, whatever policy says.
pub const HOLD_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often whoever waits on a hold looks at its record, though nobody has told of a change.
pub const HOLD_LOOK: Duration = Duration::from_secs(5);
/// How long after its approval a hold may be claimed.
pub const CLAIM_WAIT: Duration = Duration::from_secs(600);
/// How long a session's same request meets the same denial without people being asked again (SECURITY.md P9).
pub const DENIAL_STICKS: Duration = Duration::from_secs(3600);
/// Votes on one hold that may be needed; more people than that can't be got together.
pub const QUORUM_MAX: u8 = 16;
/// Bytes of a reason that an approver gives; kubectl prints it in one line.
pub const REASON_BYTES: usize = 1024;
/// Bytes of an approver's signature with its key's name: a passkey's has some 600. A grant carries [`QUORUM_MAX`] of them at most.
pub const SIGNATURE_BYTES: usize = 1024;
/// How long after an approval's expiry its Lease stays in the cluster: more than the clocks of two nodes can differ.
pub const SPENT_LEASE_KEEP: Duration = Duration::from_secs(3600);
/// Starts of the control plane that its database remembers, to find out that it is an old copy.
pub const LIVES: usize = 1024;
/// By how much the control plane's clock may be ahead of an agent's at its start.
pub const LIFE_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Longest life of a grant, on the agent's monotonic clock from receipt.
pub const GRANT_TTL: Duration = Duration::from_secs(10);
/// Bytes of a grant: its request's path twice, sixteen reads, ids and a signature stay far below; a head has room for it.
pub const GRANT_BYTES: usize = 32 * 1024;
/// Objects that one grant lets the agent read: the live object, what a restore needs beside it, the objects of a comparison.
pub const GRANT_READS: usize = 16;
/// JSON paths that one grant masks in addition.
pub const GRANT_MASK_PATHS: usize = 64;
/// Patterns and labels that the rules of a policy hide objects by, all together: a grant carries those that are about its request.
pub const HIDE_PATTERNS: usize = 64;
/// Bytes of them all: labels go into the address of a request, and [`URI_BYTES`] is what others leave room for.
pub const HIDE_BYTES: usize = 4096;
/// Bytes of one object of a list, or of one event of a watch, in an answer in which objects are hidden: it is held until it is whole. etcd
/// takes 1.5 MiB, which as JSON may be some times as much.
pub const HIDDEN_OBJECT_BYTES: usize = 8 * 1024 * 1024;
/// Longest that any answer may last, exec sessions and watches included; policy sets less.
pub const STREAM_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How often an operation is tried again whose version pin holds while its precondition does not (a status write came between).
pub const PIN_RETRIES: u32 = 3;
/// The head of the API server's answer: its own limits are 60 s for calls and 34 s for writes.
pub const UPSTREAM_HEAD: Duration = Duration::from_secs(75);
/// How often a silent connection to the API server is asked whether it lives.
pub const UPSTREAM_KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Idle HTTP/1.1 connections to the API server that are kept for the next watch or log.
pub const UPSTREAM_IDLE_STREAMS: usize = 4;
/// Leases of spent approvals that are looked at in one sweep.
pub const LEASE_PAGE: usize = 500;
/// Grants in one question to an agent's ledger.
pub const LEDGER_QUESTIONS: usize = 1000;
/// Spent grants that an agent remembers per epoch.
pub const LEDGER_ENTRIES: usize = 100_000;
/// Connections that an agent's ledger knows at once, and as many that are over: an agent has one, or two while it changes over.
pub const LEDGER_EPOCHS: usize = 16;

/// An operation id may be this much ahead of our clock.
pub const OPERATION_ID_AHEAD: Duration = Duration::from_secs(60);

/// Attempts that never became an operation, on record; the oldest make room.
pub const REJECTED_ROWS: i64 = 100_000;
/// Attempts of one address that are put on record in a row. Anybody who reaches the port can try, and what he tries first tells most.
pub const REJECTED_BURST: u32 = 20;
/// How long it takes until one more of that address is kept; what came in between is a number in its row.
pub const REJECTED_EVERY: Duration = Duration::from_secs(30);
/// Addresses that are told apart where each has a ration; all further ones count as one.
pub const RATION_ADDRESSES: usize = 4096;
/// Characters of a rejected attempt's reason that are kept: parts of it are the stranger's own words.
pub const REJECTED_CHARS: usize = 500;

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
/// Rules in a policy file.
pub const POLICY_RULES: usize = 10_000;
/// Nesting of a policy file; real ones stay below 8.
pub const POLICY_DEPTH: usize = 32;
/// Values in a policy file, so that a small file can't expand into a large one.
pub const POLICY_VALUES: usize = 500_000;
/// Mistakes that are reported of one policy file.
pub const POLICY_MISTAKES: usize = 200;
/// Bytes of one CEL expression.
pub const CEL_SOURCE_BYTES: usize = 4096;
/// Operators, brackets and commas in one CEL expression: the parser and the interpreter recurse, and a chain of some thousand
/// operators overflows a thread's stack (seen with 2000 `+` terms on 2 MiB), which no handler can catch.
pub const CEL_OPERATORS: usize = 400;
/// Brackets inside brackets in one CEL expression: the parser takes some 10 KiB of stack for each (99 overflow 1 MiB).
pub const CEL_BRACKETS: usize = 24;
/// Depth of a parsed CEL expression; hand-written conditions stay below 20.
pub const CEL_DEPTH: usize = 96;
/// Loops inside loops in one CEL expression: containers × volumeMounts × a list to compare with is three.
pub const CEL_LOOP_NESTING: usize = 3;
/// Values (scalars, lists, maps) of one object that conditions see; a larger object is judged as unreadable.
pub const CEL_INPUT_VALUES: usize = 50_000;
/// Bytes of one compiled regular expression in a condition.
pub const CEL_REGEX_BYTES: usize = 256 * 1024;
/// Loop steps that one operation's conditions may take together.
pub const CEL_TICKS: u64 = 20_000;
/// Wall time that one operation's conditions may take together.
pub const CEL_TIME: Duration = Duration::from_millis(50);

/// Bytes of a key set or discovery document of an issuer.
pub const JWKS_BYTES: usize = 1024 * 1024;
/// Keys kept per issuer.
pub const JWKS_KEYS: usize = 64;
/// Keys of a cluster's issuer that are adopted after those that were pinned: a rotation brings one, and years of them a handful.
pub const ADOPTED_KEYS: usize = 16;
/// How often a cluster is asked which keys it publishes, when nothing says that there is a new one.
pub const PUBLISHED_KEYS: Duration = Duration::from_secs(3600);
/// One fetch from an issuer.
pub const ISSUER_WAIT: Duration = Duration::from_secs(5);
/// An unknown key id causes at most one fetch in this time.
pub const ISSUER_REFETCH: Duration = Duration::from_secs(30);
/// Keys older than this are fetched anew while they are still good, so that an issuer's outage of minutes stops nobody.
pub const ISSUER_FRESH: Duration = Duration::from_secs(900);
/// Keys older than this are not trusted when the issuer can't be reached.
pub const ISSUER_MAX_AGE: Duration = Duration::from_secs(3600);
/// How long an enrolment token is good, unless the administrator says otherwise: making it and `sallyport install` are two steps of one person.
pub const ENROLMENT_LIFE: Duration = Duration::from_secs(3600);
/// The longest that he may say; what lies in a drawer for longer is found by somebody else.
pub const ENROLMENT_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The shortest: agents start within it.
pub const ENROLMENT_LIFE_MIN: Duration = Duration::from_secs(1);
/// Enrolment tokens that wait at once, one for each cluster that is being installed.
pub const ENROLMENTS_WAITING: i64 = 64;
/// Tokens that are over and remembered, so that their holder is told why.
pub const ENROLMENTS_ENDED: i64 = 1000;
/// Bytes of the key set that an agent shows with its enrolment token: real ones have up to five keys of half a kilobyte, and all of the
/// greeting has to fit into [`CONTROL_BODY_BYTES`].
pub const ENROLMENT_KEYS_BYTES: usize = 32 * 1024;
/// Bytes of a cluster's uid, and of its issuer, in an enrolment: a UUID, and an URL.
pub const ENROLMENT_WORD_BYTES: usize = 1024;
/// Enrolment tokens that are none and are looked at from one address in a row; an agent with an old one tries every few seconds.
pub const ENROLMENT_TRIES: u32 = 10;
/// How long it takes until one more of that address is looked at.
pub const ENROLMENT_TRY_EVERY: Duration = Duration::from_secs(10);
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
/// Bytes of one object or watch event in protobuf, which is held until it is whole because lengths stand before what they count. client-go
/// refuses a longer event (k8s.io/apimachinery pkg/runtime/serializer/streaming), and etcd a tenth of it.
pub const MASK_PROTOBUF_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that a gzip answer may become however small it was: one large object, which may be of one letter.
pub const INFLATE_FREE_BYTES: u64 = 16 * 1024 * 1024;
/// How many times larger than what came a longer gzip answer may become. Lists of real objects shrink to a twentieth; deflate's own limit
/// is 1032.
pub const INFLATE_RATIO: u64 = 100;
/// Bytes of a document in which policy has fields masked; it is held until it is whole, unlike others. A page of kubectl's is 500 objects.
pub const MASK_FIELDS_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that an answer which is read as a whole may take in memory, beside its text: a few bytes of it (`{"":0}`) can stand for some hundred,
/// and it may have [`MASK_FIELDS_BYTES`]. Measured, the richest pods (half of the text names of fields that managers own)
/// take eight times their text, so a page of 500 of them passes with 20 KB each, and others with 30. What stands in place of masked values counts
/// too, as it is held and as it is written. With all else that is there at the same time ([`AGENT_BYTES`]) an agent's container has no more.
pub const ANSWER_TREE_BYTES: usize = 92 * 1024 * 1024;
/// The same of a document in an annotation, beside the answer that it stands in. The API server takes 256 KiB of annotations of one object
/// (`TotalAnnotationSizeLimitB`), which are 25 MiB of maps at most.
pub const ANNOTATION_TREE_BYTES: usize = 32 * 1024 * 1024;
/// Values of one request that are replaced one by one before it is kept and shown: two megabytes of placeholders. Of more in one map or list one takes
/// the place.
pub const MASK_REQUEST_PLACEHOLDERS: usize = 16 * 1024;
/// Bytes of a request's body in JSON of which something was masked; a longer one is replaced whole.
pub const MASK_REQUEST_BYTES: usize = 2 * REQUEST_BODY_BYTES;
/// JSON in a string in JSON … that is looked into; what lies deeper is masked whole.
pub const MASK_NESTED_DOCUMENTS: u8 = 3;
/// Bytes of the text in which helm keeps a release, as JSON has it: a Secret has 1 MiB at most, and base64 a third more. A longer one is masked
/// whole.
pub const RELEASE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of the document that it inflates to; charts are texts, which shrink to a fifth. A longer one is masked whole.
pub const RELEASE_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that a Secret's value must have to be looked for in the other objects of a release: shorter ones (`postgres`, `production`) are
/// parts of images and addresses, and an object that is masked there can't be rolled back.
pub const RELEASE_VALUE_BYTES_MIN: usize = 12;
/// Values in one release, and in all documents of one manifest of it; a small text can have very many. Charts with a hundred objects have some
/// ten thousand. A release with more of them is masked whole.
pub const RELEASE_NODES: usize = 50_000;
/// Bytes that they may take in memory. There are up to three such trees at once: the release, the documents of a manifest, and one of them
/// masked.
pub const RELEASE_TREE_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that one write may take in memory while it is prepared, beside its texts: what is read for it, as it is and as it is shown, what helm's
/// releases in that are opened to, and the write itself with what is put back. A large object of 1.5 MB with very many fields takes half of it.
pub const WRITE_TREE_BYTES: usize = 80 * 1024 * 1024;
/// Bytes of a write, or of what is read for it, from which on it waits for a turn: so much is up to 12 MiB in memory.
pub const WRITE_TURN_BYTES: usize = 32 * 1024;
/// Revisions of a release that a placeholder is compared with to learn of which one it is; helm counts on with every upgrade.
pub const RELEASE_REVISIONS: u64 = 1000;
/// Comparisons of a placeholder with one revision, for one write, by which the revisions are found that it has values put back from: a half of a
/// second, for each is up to 130 MACs. An upgrade and a rollback take one for each placeholder, and those that were before theirs once.
pub const RELEASE_COMPARISONS: u64 = 8 * RELEASE_REVISIONS;
/// Texts of one release that are a Secret's value and have a placeholder by themselves, with which one from a user's values is compared: charts
/// have a handful. That many for each revision take a tenth of a second.
pub const RELEASE_VALUES: usize = 64;
/// Stored revisions and Secrets that one write has values put back from, beside the object that it writes: an upgrade needs the Secrets that
/// its chart looks up.
pub const RELEASE_READS: usize = 16;
/// Stored revisions among them: a rollback needs one, an upgrade one. Each may be a document of [`RELEASE_DOCUMENT_BYTES`], once as it is and
/// once as it is shown.
pub const RELEASE_READS_OF_REVISIONS: usize = 4;
/// Bytes of requests' bodies in an agent: each as it came and as it is sent. A session has half of it, which one of the largest fits into. Control
/// planes share it out, and wait for it ([`BODY_ROOM_WAIT`]); an agent that has no room refuses.
pub const AGENT_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How often a body is there: as it came, and as it is sent.
pub const AGENT_BODY_COPIES: usize = 2;
/// Bytes of what is read for writes in an agent before it is their turn, as text. A session has half of it. Until its object is there a write
/// counts as if that were as long as any.
pub const WAITING_BYTES: usize = 12 * 1024 * 1024;
/// Bytes of memory that the operations of one JSON Patch may copy and move while it is looked at what it does; the API server lets them copy
/// 3 MiB (k8s.io/apiserver `AccumulatedCopySizeLimit`). With more nobody is told what the patch changes, and no value is put back.
pub const PATCH_MOVED_BYTES: usize = 32 * 1024 * 1024;
/// Places for answers that an agent holds until they are whole: their bytes, and how many there are of each size. Of the two longest one may be read
/// as a whole, and [`APART_BYTES`] counts it with what is written of it; all others together are 26 MiB. A session has half of each. What is written of an answer counts until its reader has taken it.
pub const HELD: [(usize, usize); 3] = [(256 * 1024, 8), (2 * 1024 * 1024, 2), (20 * 1024 * 1024, 2)];
/// How long an answer waits for room before it is given up.
pub const HELD_ROOM_WAIT: Duration = Duration::from_secs(30);
/// Bytes of one answer that are not counted: most objects and events of a watch are shorter, and streams are at most some thousand.
pub const HELD_BYTES_FREE: usize = 16 * 1024;
/// Bytes of an answer that is held until it is whole, or of an object that was read, from which on it is masked beside the thread that serves
/// everybody: so much takes about a millisecond.
pub const MASK_APART_BYTES: usize = 256 * 1024;
/// The same where fields are masked: a few bytes (`0,`) can stand for a placeholder each.
pub const MASK_FIELDS_APART_BYTES: usize = 32 * 1024;
/// What is done beside it at once, be it an answer that is read as a whole, a release of helm's that is opened, or a large write that is prepared:
/// each may take more than half of an agent's memory ([`APART_BYTES`]).
pub const APART_AT_ONCE: usize = 1;
/// Placeholders in one release that is written: each is compared with the names of all revisions. Charts have a handful of Secrets; with
/// more the write is refused.
pub const RELEASE_PLACEHOLDERS: usize = 256;
/// Different values of one release's Secrets that are looked for in its other texts; a release with more of them is masked whole.
pub const RELEASE_SEARCHED: usize = 2000;
/// Releases of helm's with placeholders, and writes of Secrets with what a release shows, unapproved, that one agent refuses in one namespace in
/// a row. Each may tell that a guess is right. Who mends a chart needs two or three.
pub const RELEASE_REFUSALS: u32 = 5;
/// How long it takes until one more may be tried.
pub const RELEASE_REFUSAL_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Those that it judges at all in a row, for one that is not refused tells that its guesses are wrong. An upgrade writes two or three, and a rollback
/// the chart's Secrets besides.
pub const RELEASES_JUDGED: u32 = 240;
/// How long it takes until one more is judged.
pub const RELEASE_JUDGED_EVERY: Duration = Duration::from_secs(60);
/// Namespaces for which that is counted; in others none is judged until some are forgotten.
pub const RELEASE_NAMESPACES: usize = 4096;
/// Bytes of Secrets' values that the users' values of one release are compared with, to find those that are a part of one: a tenth of a second.
/// Charts need some kilobytes; a release that needs more is masked whole.
pub const RELEASE_COMPARED_BYTES: usize = 128 * 1024 * 1024;
/// Users' values with telling names that are compared so: each may be a guess. A release with more of them is masked whole.
pub const RELEASE_PARTS: usize = 1000;
/// Bytes of one name, and of all names, that a value may be a part of without being hidden: labels and names of objects have 253 at most.
/// Further names don't count, so more is hidden.
pub const RELEASE_NAME_BYTES: usize = 253;
/// See [`RELEASE_NAME_BYTES`].
pub const RELEASE_NAMES_BYTES: usize = 256 * 1024;
/// Fields of one document in a manifest whose texts are exchanged in place; with more of them the document is written anew.
pub const RELEASE_EXCHANGED: usize = 64;
/// Bytes that a value must have to be looked for in text: shorter ones (`true`, `admin`, a port) stand in ordinary lines, which would tell
/// more about them than it hides.
pub const VALUE_BYTES_MIN: usize = 6;
/// Bytes of a line of a longer value (a key in PEM) that is looked for by itself.
pub const VALUE_LINE_BYTES_MIN: usize = 16;
/// Bytes of all forms of all values that one text is searched for: some forty kilobytes of Secrets, thirty-six of binary ones, nineteen of values that
/// are all short. The searcher takes some seventy times as much memory while it is made, where one large thing is done at a time
/// ([`APART_BYTES`]), and thirty times as much afterwards.
pub const VALUE_PATTERN_BYTES: usize = 768 * 1024;
/// Entries by which a searcher tells which values end where, at most one for each byte of each form and each form that ends there too. They take
/// eight bytes each while it is made. Real values end in one another rarely, three or four at most.
pub const VALUE_ENDINGS: usize = 8 * 1024 * 1024;
/// Bytes of all searchers for values that an agent has at once, each for as long as somebody reads a log of its pod. One takes 22 MiB at most,
/// where most values are looked for, and some hundred kilobytes usually; an agent has [`AGENT_BYTES`].
pub const VALUE_SEARCHERS_BYTES: usize = 28 * 1024 * 1024;
/// Secrets of one pod whose values are looked for in its text; real pods use a handful.
pub const VALUE_SECRETS: usize = 64;
