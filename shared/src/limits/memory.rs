//! What may be in an agent's memory at once, summed up when this is compiled.

use super::{
    AGENT_BODY_BYTES, AGENT_BODY_COPIES, ANNOTATION_TREE_BYTES, ANSWER_TREE_BYTES, APART_AT_ONCE, HELD,
    HIDDEN_OBJECT_BYTES, LIVE_OBJECT_BYTES, MASK_FIELDS_BYTES, REQUEST_BODY_BYTES, UPSTREAM_WINDOW,
    VALUE_PATTERN_BYTES, VALUE_SEARCHERS_BYTES, WAITING_BYTES, WRITE_TREE_BYTES,
};

/// Bytes of the largest thing that is done one after the other, an answer: its text, what is written of it (with what that is written into), its values, and those in one of
/// its annotations. A write has less: its values, and three times the text of it and of its object.
pub const APART_BYTES: usize = 2 * (MASK_FIELDS_BYTES + 1024 * 1024) + ANSWER_TREE_BYTES + ANNOTATION_TREE_BYTES;
/// Bytes of what is small and done on the thread that serves everybody, one thing at a time: [`WRITE_TURN_BYTES`](super::WRITE_TURN_BYTES) of a write and of its object.
pub const SMALL_BYTES: usize = 12 * 1024 * 1024;
/// Bytes that an agent takes by itself.
pub const AGENT_IDLE_BYTES: usize = 20 * 1024 * 1024;
/// Bytes that an agent's container has (`manifests/base/agent.yaml`).
pub const AGENT_BYTES: usize = 320 * 1024 * 1024;

/// What an agent holds of answers, beside the one that is read.
const HELD_BYTES: usize = {
    let [(small, smalls), (middle, middles), (large, larges)] = HELD;
    small * smalls + middle * middles + large * (larges - 1)
};
/// What waits unread between the API server and it: the shared connection's window, and something of what has one each and of its own.
const UNREAD_BYTES: usize = UPSTREAM_WINDOW as usize + 4 * 1024 * 1024;
/// Objects that are looked at where some are hidden, two at once (the places of the largest size of `Agent::looks`).
const LOOKED_AT_BYTES: usize = 2 * HIDDEN_OBJECT_BYTES;
/// All that may be there at once is.
const _: () = assert!(
    AGENT_IDLE_BYTES
        + HELD_BYTES
        + AGENT_BODY_BYTES
        + WAITING_BYTES
        + VALUE_SEARCHERS_BYTES
        + SMALL_BYTES
        + UNREAD_BYTES
        + LOOKED_AT_BYTES
        + APART_AT_ONCE * APART_BYTES
        <= AGENT_BYTES
);
const _: () = assert!(WRITE_TREE_BYTES + 3 * (REQUEST_BODY_BYTES + LIVE_OBJECT_BYTES) <= APART_BYTES);
/// A session's half has room for the largest write and its object, and for what a log needs.
const _: () = assert!(AGENT_BODY_COPIES * REQUEST_BODY_BYTES <= AGENT_BODY_BYTES / 2);
const _: () = assert!(LIVE_OBJECT_BYTES + VALUE_PATTERN_BYTES <= WAITING_BYTES / 2);
