//! What one body may cost: small input must not become a large tree (SECURITY.md P12). One budget counts for the whole body, also for
//! JSON inside protobuf.
//!
//! Of requests the values are counted, which is what people can be told. An answer is what the API server has, and a page of it may have
//! many values. Of both it counts what they take in memory, as `serde_json` and the standard library lay them out: of a request in proportion
//! to its text, for who sends it has room for that much.

use super::BodyError;
use crate::mask::placeholder::PLACEHOLDER_BYTES;
use serde_json::Value;
use shared::limits;

/// Bytes that an allocator adds to a piece of memory.
const PIECE: usize = 16;
/// Entries for which the first node of a map has room, however few there are.
const MAP_FIRST: usize = 11;
/// Bytes of a node: its entries, where it hangs and how full it is.
const MAP_NODE: usize = MAP_FIRST * (size_of::<String>() + size_of::<Value>()) + 2 * PIECE;
/// Bytes for each further entry: nodes are split in the middle, and nodes of nodes come on top.
const MAP_ENTRY: usize = MAP_NODE / 4;

#[derive(Clone, Debug)]
pub(crate) struct Budget {
    nodes: usize,
    depth: usize,
    bytes: usize,
    nodes_max: usize,
    bytes_max: usize,
}

impl Default for Budget {
    /// Of what has a bound in bytes elsewhere: values are counted.
    fn default() -> Self {
        Self { nodes: 0, depth: 0, bytes: 0, nodes_max: limits::BODY_NODES, bytes_max: usize::MAX }
    }
}

/// Bytes that the body of a request may take in memory when it is read, beside its text of so many bytes.
pub(crate) const fn of_text(bytes: usize) -> usize {
    let most = bytes.saturating_mul(limits::BODY_TREE_RATIO).saturating_add(limits::BODY_TREE_FREE_BYTES);
    if most < limits::BODY_TREE_BYTES { most } else { limits::BODY_TREE_BYTES }
}

/// Bytes that a document takes in memory.
pub(crate) fn memory(document: &Value) -> usize {
    let mut budget = Budget::default();
    // Without a bound it is only counted.
    let counted = budget.document(document);
    debug_assert!(counted.is_ok());
    budget.taken()
}

impl Budget {
    /// Of a request's body of so many bytes.
    pub(crate) fn of_request(bytes: usize) -> Self {
        Self { bytes_max: of_text(bytes), ..Self::default() }
    }

    /// Of an answer that is read as a whole, or of all that is read of one object.
    pub(crate) fn of_answer() -> Self {
        Self { nodes_max: usize::MAX, bytes_max: limits::ANSWER_TREE_BYTES, ..Self::default() }
    }

    /// Of all that one write has in memory.
    pub(crate) fn of_write() -> Self {
        Self { bytes_max: limits::WRITE_TREE_BYTES, ..Self::of_answer() }
    }

    /// Of a release of helm's, or of all documents of one manifest in it.
    pub(crate) fn of_release() -> Self {
        Self { nodes_max: limits::RELEASE_NODES, bytes_max: limits::RELEASE_TREE_BYTES, ..Self::default() }
    }

    /// Of a document in an annotation.
    pub(crate) fn of_annotation() -> Self {
        Self { bytes_max: limits::ANNOTATION_TREE_BYTES, ..Self::of_answer() }
    }

    /// The next document of the same whole begins, however the one before it has ended.
    pub(crate) fn again(&mut self) -> &mut Self {
        self.depth = 0;
        self
    }

    /// A document that is in memory already, or a copy of one.
    pub(crate) fn document(&mut self, value: &Value) -> Result<(), BodyError> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                if items.capacity() > 0 {
                    self.bytes(PIECE + items.capacity() * size_of::<Value>())?;
                }
                items.iter().try_for_each(|item| self.document(item))
            }
            Value::Object(members) => members.iter().enumerate().try_for_each(|(before, (name, member))| {
                self.entry(before)?;
                self.text(name)?;
                self.document(member)
            }),
        }
    }

    /// Bytes that were counted.
    pub(crate) const fn taken(&self) -> usize {
        self.bytes
    }

    /// One more value, whatever its kind.
    pub(crate) fn node(&mut self) -> Result<(), BodyError> {
        self.nodes += 1;
        if self.nodes > self.nodes_max {
            return Err(BodyError::Nodes { limit: self.nodes_max });
        }
        Ok(())
    }

    /// Into a list or map. `serde_json` itself stops one level below the same limit, so the check is "reached", not "passed".
    pub(crate) fn enter(&mut self) -> Result<(), BodyError> {
        self.depth += 1;
        if self.depth >= limits::BODY_DEPTH {
            return Err(BodyError::Depth { limit: limits::BODY_DEPTH });
        }
        Ok(())
    }

    /// Out of a list or map. Not called on the way out of an error: the body is lost then.
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// A text, or a name.
    pub(super) fn text(&mut self, text: &str) -> Result<(), BodyError> {
        if text.is_empty() { Ok(()) } else { self.bytes(PIECE + text.len()) }
    }

    /// A placeholder comes in place of a value, and is written: into memory that is twice as much, and moved there, when it is full.
    pub(crate) fn placeholder(&mut self) -> Result<(), BodyError> {
        self.bytes(4 * (PIECE + PLACEHOLDER_BYTES))
    }

    /// A list is full and is made larger: at first it gets room for four, then for twice as many.
    pub(super) fn places(&mut self, before: usize) -> Result<(), BodyError> {
        let more = if before == 0 { PIECE + 4 * size_of::<Value>() } else { before.saturating_mul(size_of::<Value>()) };
        self.bytes(more)
    }

    /// An entry comes into a map that has this many.
    pub(super) fn entry(&mut self, before: usize) -> Result<(), BodyError> {
        match before {
            0 => self.bytes(MAP_NODE),
            // It becomes three.
            MAP_FIRST => self.bytes(2 * MAP_NODE + MAP_ENTRY),
            _ if before < MAP_FIRST => Ok(()),
            _ => self.bytes(MAP_ENTRY),
        }
    }

    fn bytes(&mut self, more: usize) -> Result<(), BodyError> {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > self.bytes_max {
            return Err(BodyError::Memory { limit: self.bytes_max });
        }
        Ok(())
    }
}
