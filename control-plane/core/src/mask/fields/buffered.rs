//! The masker of answers in which fields are masked: what [`Masker`] lets out is held until a document is whole.

use memchr::memchr;
use shared::limits::{HELD_BYTES_FREE, MASK_FIELDS_BYTES};

use super::super::{MaskContext, MaskError, MaskSummary, Masker};
use super::deep;
use crate::body::{BodyError, Budget, Encoding, json};

/// By how much the room for a long document grows.
const MORE: usize = 1024 * 1024;

/// One per body. Of a watch each event stands on a line of its own.
#[derive(Debug)]
pub(in crate::mask) struct FieldMasker {
    context: MaskContext,
    masker: Masker,
    held: Vec<u8>,
    /// So much of it has no end of line.
    searched: usize,
    masked: u64,
}

impl FieldMasker {
    pub(in crate::mask) fn new(context: MaskContext) -> Self {
        Self { masker: Masker::new(context.clone()), context, held: Vec::new(), searched: 0, masked: 0 }
    }

    /// As [`Masker::push`].
    pub(in crate::mask) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        let spare = self.held.capacity() - self.held.len();
        if self.held.len() > MORE && spare < input.len() {
            // Twice as much, as a vector takes by itself, may be more than there is.
            self.held.reserve_exact(input.len().max(MORE));
        }
        self.masker.push(input, &mut self.held)?;
        let mut done = 0;
        while self.context.stream
            && let Some(at) = memchr(b'\n', self.held.get(self.searched..).unwrap_or_default())
        {
            let end = self.searched + at + 1;
            let event = self.held.get_mut(done..end).unwrap_or_default();
            self.masked += write(event, &self.context, out)?;
            (done, self.searched) = (end, end);
        }
        self.held.drain(..done);
        if done > 0 {
            // A stream that has shown one long event need not keep the room for it.
            self.held.shrink_to(HELD_BYTES_FREE);
        }
        self.searched = self.held.len();
        if self.held.len() > MASK_FIELDS_BYTES {
            return Err(MaskError::FieldsTooLong { limit: MASK_FIELDS_BYTES });
        }
        Ok(())
    }

    /// Whether what is held is one event after the other, each of which may end with any piece.
    pub(in crate::mask) const fn is_stream(&self) -> bool {
        self.context.stream
    }

    /// Bytes that wait for the end.
    pub(in crate::mask) const fn held(&self) -> usize {
        self.held.len()
    }

    /// The body has ended: writes what was held.
    pub(in crate::mask) fn finish(mut self, out: &mut Vec<u8>) -> Result<MaskSummary, MaskError> {
        let summary = self.masker.finish()?;
        if !self.held.is_empty() {
            self.masked += write(&mut self.held, &self.context, out)?;
        }
        Ok(MaskSummary { masked: summary.masked + self.masked, ..summary })
    }
}

/// A document, written anew: of a member that stands twice only one is seen here, and only that one may pass.
fn write(bytes: &mut [u8], context: &MaskContext, out: &mut Vec<u8>) -> Result<u64, MaskError> {
    if bytes.trim_ascii().is_empty() {
        out.extend_from_slice(bytes);
        return Ok(0);
    }
    let before = out.len();
    let masked = match document(bytes, context, out) {
        // Somebody's object in a list of others'.
        Err(BodyError::Depth { .. }) => {
            out.truncate(before);
            let (length, cut) = deep::cut(bytes, context);
            document(bytes.get(..length).unwrap_or_default(), context, out).map(|masked| masked + cut)
        }
        masked => masked,
    };
    let masked = masked.map_err(|error| MaskError::of_whole(&error))?;
    if bytes.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(masked)
}

fn document(bytes: &[u8], context: &MaskContext, out: &mut Vec<u8>) -> Result<u64, BodyError> {
    let text = bytes.trim_ascii();
    let mut budget = Budget::of_answer();
    let mut document = json::read_answer(text, &mut budget)?;
    let masked = super::mask_within(&mut document.value, context, &mut budget)?;
    json::write(text, &document, out)
        .map_err(|error| BodyError::Syntax { expected: Encoding::Json, got: error.to_string() })?;
    Ok(masked)
}
