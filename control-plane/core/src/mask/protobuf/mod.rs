//! Masking of Kubernetes protobuf: single objects (`k8s\0` and a `runtime.Unknown`) and watches (a big-endian length of four bytes and a
//! `WatchEvent`, in which lies a whole object, for each event; k8s.io/apimachinery pkg/runtime/serializer/protobuf).
//!
//! What is masked is decided in one place, the JSON [`Masker`](super::Masker): [`skeleton`] reads the message and writes what that one
//! would look at as JSON, it is masked, and [`rewrite`] puts what changed into the message. So a client sees the same placeholders in
//! either encoding (a Secret's `data` holds bytes here: the placeholder's, whose base64 is what stands in JSON).
//!
//! An object or event is held until it is whole, for lengths stand before what they count. What isn't read strictly (see
//! [`crate::protobuf`]) ends the stream: unknown kinds and wire types, wrong lengths, fields twice or out of order, text that isn't UTF-8.
//! Fields that the table doesn't know pass only where nothing that would be masked can be in them. Lists are asked for in JSON, whose
//! masker holds nothing; one that comes all the same is masked as one object.

mod plan;
mod rewrite;
mod skeleton;

#[cfg(test)]
mod tests;

use shared::limits::{HELD_BYTES_FREE, MASK_PROTOBUF_BYTES};

use super::request::Room;
use super::{MaskContext, MaskError, MaskSummary, fields};
use crate::body::{BodyError, Budget, json};
use crate::protobuf::wire::{self, Fault};
use crate::protobuf::{Envelope, MAGIC, ProtobufProblem};
use plan::Plan;

/// The body can't be masked, so it must not be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufMaskError {
    /// Not protobuf as the API server writes it.
    #[error("the object can't be read")]
    Read(#[from] BodyError),
    /// What it says can't be masked.
    #[error("the object's JSON can't be masked")]
    Mask(#[from] MaskError),
    /// What was masked does not fit where it stood.
    #[error("{message}: what stands for field {field} does not fit there")]
    Lost {
        /// The message.
        message: &'static str,
        /// Number of the field.
        field: u32,
    },
    /// Longer than [`MASK_PROTOBUF_BYTES`].
    #[error("an object or event of more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The body ended in mid event, or there was none.
    #[error("the body ends early, with {length} bytes of an event or object")]
    Truncated {
        /// Bytes of it that came.
        length: usize,
    },
}

/// One object or many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Object,
    Events,
}

/// The masker of one body.
#[derive(Debug)]
pub(super) struct ProtobufMasker {
    context: MaskContext,
    framing: Framing,
    /// What came and is not masked yet.
    held: Vec<u8>,
    summary: MaskSummary,
    failed: Option<ProtobufMaskError>,
}

impl ProtobufMasker {
    pub(super) fn new(context: MaskContext, framing: Framing) -> Self {
        Self { context, framing, held: Vec::new(), summary: MaskSummary::default(), failed: None }
    }

    /// Whether any piece may end an object with a release of helm's in it.
    pub(super) const fn may_open_release(&self) -> bool {
        self.context.secrets
    }

    /// Bytes that wait for the end of an object or event.
    pub(super) const fn held(&self) -> usize {
        self.held.len()
    }

    /// As [`Masker::push`](super::Masker::push). Events are written as soon as they are whole, an object by [`Self::finish`].
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ProtobufMaskError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let before = out.len();
        let result = self.take(input, out);
        if let Err(error) = &result {
            out.truncate(before);
            self.held = Vec::new();
            self.failed = Some(error.clone());
        }
        result
    }

    /// The body has ended: writes what is left.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<MaskSummary, ProtobufMaskError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let length = self.held.len();
        match self.framing {
            Framing::Object if length > 0 => {
                let (new, masked) = object(&self.held, &self.context)?;
                out.extend_from_slice(new.as_ref().unwrap_or(&self.held));
                self.count(masked);
            }
            Framing::Events if length == 0 => {}
            Framing::Object | Framing::Events => return Err(ProtobufMaskError::Truncated { length }),
        }
        Ok(self.summary)
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ProtobufMaskError> {
        let too_long = ProtobufMaskError::TooLong { limit: MASK_PROTOBUF_BYTES };
        if self.framing == Framing::Object {
            if input.len() > MASK_PROTOBUF_BYTES.saturating_sub(self.held.len()) {
                return Err(too_long);
            }
            self.held.extend_from_slice(input);
            return Ok(());
        }
        self.held.extend_from_slice(input);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > MASK_PROTOBUF_BYTES {
                return Err(too_long);
            }
            let Some((bytes, after)) = after.split_at_checked(length) else { break };
            let (new, masked) = event(bytes, &self.context)?;
            let bytes = new.as_deref().unwrap_or(bytes);
            let length = u32::try_from(bytes.len()).map_err(|_| too_long.clone())?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
            self.count(masked);
            rest = after;
        }
        let done = held.len() - rest.len();
        self.held = held;
        self.held.drain(..done);
        if done > 0 {
            self.held.shrink_to(HELD_BYTES_FREE);
        }
        Ok(())
    }

    fn count(&mut self, masked: u64) {
        self.summary.documents += 1;
        self.summary.masked += masked;
    }
}

/// What is new, if anything, and how much was masked.
type Masked = Result<(Option<Vec<u8>>, u64), ProtobufMaskError>;

/// A `WatchEvent`: type (1) and object (2), a `RawExtension` with a whole object in it (1).
fn event(bytes: &[u8], context: &MaskContext) -> Masked {
    let [kind, raw] = wire::few(bytes, [wire::BYTES; 2]).map_err(|fault| envelope("meta.v1.WatchEvent", fault))?;
    let missing = |name| envelope("meta.v1.WatchEvent", Fault { offset: 0, problem: ProtobufProblem::Missing(name) });
    let kind = kind.ok_or_else(|| missing("type"))?;
    kind.text(1).map_err(|fault| envelope("meta.v1.WatchEvent", fault))?;
    let [whole] = wire::few(raw.ok_or_else(|| missing("object"))?.bytes, [wire::BYTES])
        .map_err(|fault| envelope("runtime.RawExtension", fault))?;
    let (new, masked) = object(whole.ok_or_else(|| missing("object"))?.bytes, context)?;
    let new = new.map(|new| {
        let (mut raw, mut out) = (Vec::new(), Vec::new());
        put(1, &new, &mut raw);
        put(1, kind.bytes, &mut out);
        put(2, &raw, &mut out);
        out
    });
    Ok((new, masked))
}

/// A whole object.
fn object(bytes: &[u8], context: &MaskContext) -> Masked {
    let read = Envelope::read(bytes).map_err(|fault| envelope("runtime.Unknown", fault))?;
    let plan = Plan::new(&read, context)?;
    let Some(skeleton) = skeleton::skeleton(&plan, &read)? else { return Ok((None, 0)) };
    let mut masker = super::Masker::new(context.clone());
    let mut masked = Vec::with_capacity(skeleton.len());
    masker.push(&skeleton, &mut masked)?;
    let summary = masker.finish()?;
    let mut masked = json::read(&masked, &mut Budget::default())?;
    let more = fields::mask(&mut masked, context, &mut Room::endless());
    let lost = ProtobufMaskError::Lost { message: "runtime.Unknown", field: 2 };
    let members = masked.as_object().ok_or(lost)?;
    let new = rewrite::message(&plan, plan.id, read.raw, members)?;
    let new = new.map(|raw| {
        let mut type_meta = Vec::new();
        put(1, read.api_version.as_bytes(), &mut type_meta);
        put(2, read.kind.as_bytes(), &mut type_meta);
        let mut out = MAGIC.to_vec();
        put(1, &type_meta, &mut out);
        put(2, &raw, &mut out);
        // Go writes both, empty.
        put(3, b"", &mut out);
        put(4, b"", &mut out);
        out
    });
    Ok((new, summary.masked + more))
}

fn envelope(message: &'static str, fault: Fault) -> ProtobufMaskError {
    BodyError::Protobuf { message, offset: fault.offset, problem: fault.problem }.into()
}

/// Appends a field of bytes.
fn put(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(wire::BYTES), out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
