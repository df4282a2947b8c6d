//! What one body may cost: small input must not become a large tree (SECURITY.md P12). One budget counts for the whole body, also for
//! JSON inside protobuf.

use super::BodyError;
use shared::limits;

#[derive(Debug, Default)]
pub(crate) struct Budget {
    nodes: usize,
    depth: usize,
}

impl Budget {
    /// One more value, whatever its kind.
    pub(crate) fn node(&mut self) -> Result<(), BodyError> {
        self.nodes += 1;
        if self.nodes > limits::BODY_NODES {
            return Err(BodyError::Nodes { limit: limits::BODY_NODES });
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
}
