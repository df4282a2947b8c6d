//! Streams, what may be in flight on them, and who has how many: between our processes, and from an agent to the API server.

/// Streams a peer may have open at first. quinn pays memory for each permitted one (about 0.1 KiB), and a packet each way for an eighth of
/// them that were used: with 16 that was every third exchange.
pub const STREAMS_INITIAL: u32 = 64;
/// Streams a busy peer is raised to.
pub const STREAMS_MAX: u32 = 1280;
/// Bytes in flight on one stream: what arrives there unread. Over 50 ms it lets 20 MB/s through.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes in flight on one connection. Sixteen streams that nobody reads have all of it. A sidecar's connection is one runner's, who stops nobody but
/// himself; what control planes and sidecars send is read at once, or has waited for room with a bound of its own. For an agent's answers
/// see [`AGENT_WINDOW`]. Over TCP these windows are the same, for the packets are.
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Answers of one agent that may wait unread in the control plane for their readers, of all sessions together: with [`STREAM_WINDOW`] each, and
/// what HTTP holds of it on both sides, 72 MiB for each agent that is read so. Nobody waits for one of these places: when all are
/// taken, who has his share of them is refused, who has less gets his, and of those beyond a share the answer that waited longest is broken off. So one
/// that is alone may leave its answers unread for as long as it likes, and loses them when others need the room.
pub const ANSWERS_UNREAD: usize = 64;
/// Bytes in flight of one agent's answers: all that may wait unread, and as much for the others as a connection has.
pub const AGENT_WINDOW: u32 = ANSWERS_UNREAD as u32 * STREAM_WINDOW + CONNECTION_WINDOW;
/// Streams of an agent's connection that operations of runners may have, of [`STREAMS_MAX`].
pub const AGENT_OPERATIONS: usize = 768;
/// The most that one session may have of them; and never more than a quarter of those that are free, so that after twenty sessions that
/// take all they can the next one still finds some. One has its stream until its client has taken the answer, a day at most (watches). Nobody waits for one: who has
/// his share is told so.
pub const AGENT_SESSION_OPERATIONS: usize = 128;
/// Streams of an agent's connection for operations that are no watches, beside those: no watch takes them, so that whoever has his share of watches,
/// or comes when others have all, can still ask.
pub const AGENT_BRIEF: usize = 128;
/// The most that one session may have of them; and never more than a quarter of those that are free. kubectl asks for a few things at once.
pub const AGENT_SESSION_BRIEF: usize = 8;
/// Streams of an agent's connection for objects that we read because of what sessions ask for.
pub const AGENT_LIVE_READS: usize = 112;
/// Streams of an agent's connection for our other questions: token reviews, which are [`TOKEN_REVIEWS`](super::TOKEN_REVIEWS) at most, looks at what
/// protects a cluster, and at its keys. What is left of [`STREAMS_MAX`], 192, is for the pings and messages of the connection itself, and for streams of
/// which the agent does not know yet that they are over.
pub const AGENT_OWN_QUESTIONS: usize = 80;
/// The most of either that are asked on behalf of one session. Further ones wait. Who has a place has his answer within ten seconds, or does without: it is
/// read here, whatever a client does, and he waits for nothing else that has a bound.
pub const AGENT_SESSION_QUESTIONS: usize = 16;
/// Calls of runners that share one HTTP/2 connection to the API server, which lets 100 be under way there, or 250. Each has its place until its
/// client has taken the answer. Nobody waits for one: a call that finds none gets a connection of its own, like a watch.
pub const UPSTREAM_CALLS: usize = 96;
/// Bytes in flight of one of them: a quarter of a gigabyte a second where an API server is a millisecond away. On loopback a part of it is on its
/// way while another is masked.
pub const UPSTREAM_STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes in flight of all of them, 24 MiB, so that those that nobody reads stop no other. Unread are those at most that wait in the control plane
/// too ([`ANSWERS_UNREAD`]): with what HTTP holds of each on both sides, or the kernel, an agent has 28 MiB of them.
pub const UPSTREAM_WINDOW: u32 = UPSTREAM_CALLS as u32 * UPSTREAM_STREAM_WINDOW;
/// Bytes that the kernel has of an answer on a connection of its own while nobody reads it.
pub const UPSTREAM_RECEIVED_BYTES: usize = 256 * 1024;
