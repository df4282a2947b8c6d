//! The wire format of one message (<https://protobuf.dev/programming-guides/encoding/>), read strictly: shortest varints only, no groups.

use super::ProtobufProblem;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// What is wrong, and where: bytes from the start of the message that was being read.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) problem: ProtobufProblem,
}

/// One field as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) wire: u8,
    /// Of [`VARINT`], and the bits of [`FIXED64`].
    pub(crate) varint: u64,
    /// Of [`BYTES`], else empty.
    pub(crate) bytes: &'a [u8],
    /// Where the field starts in its message.
    pub(crate) offset: usize,
}

impl<'a> Field<'a> {
    pub(crate) fn text(&self, field: u32) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes).map_err(|_| self.fault(field, "UTF-8"))
    }

    /// An int32 is written sign-extended to 64 bits; Go would cut a longer one.
    pub(crate) fn int32(&self, field: u32) -> Result<i32, Fault> {
        i32::try_from(self.int64()).map_err(|_| self.fault(field, "an int32"))
    }

    pub(crate) fn int64(&self) -> i64 {
        self.varint.cast_signed()
    }

    pub(crate) fn boolean(&self, field: u32) -> Result<bool, Fault> {
        match self.varint {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.fault(field, "0 or 1")),
        }
    }

    pub(crate) fn fault(&self, field: u32, expected: &'static str) -> Fault {
        self.problem(ProtobufProblem::Value { field, expected })
    }

    pub(crate) fn problem(&self, problem: ProtobufProblem) -> Fault {
        Fault { offset: self.offset, problem }
    }

    pub(crate) fn expect_wire(&self, field: u32, expected: u8) -> Result<(), Fault> {
        if self.wire == expected {
            return Ok(());
        }
        Err(self.problem(ProtobufProblem::WireType { field, expected, got: self.wire }))
    }
}

/// The fields of one message, in the order of the wire.
pub(crate) struct Fields<'a> {
    message: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { message, rest: message }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let tag = self.varint()?;
        let mut field = Field { number: tag >> 3, wire: (tag & 7) as u8, varint: 0, bytes: &[], offset };
        match field.wire {
            VARINT => field.varint = self.varint()?,
            FIXED64 => field.varint = u64::from_le_bytes(*self.take_array()?),
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| self.fault(ProtobufProblem::Truncated))?;
                field.bytes = self.take(length)?;
            }
            FIXED32 => {
                self.take(4)?;
            }
            // Groups and the two unassigned types: no Kubernetes field has them, so whatever the number is, it is not known.
            _ => return Err(field.problem(ProtobufProblem::UnknownField(field.number))),
        }
        Ok(Some(field))
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take_array::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // A last byte of zero adds nothing, and the tenth has room for one bit.
                let overlong = (byte == 0 && shift > 0) || (shift == 63 && byte > 1);
                return if overlong { Err(self.fault(ProtobufProblem::Varint)) } else { Ok(value) };
            }
        }
        Err(self.fault(ProtobufProblem::Varint))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.fault(ProtobufProblem::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.fault(ProtobufProblem::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Bytes that were read.
    pub(crate) fn offset(&self) -> usize {
        self.message.len() - self.rest.len()
    }

    fn fault(&self, problem: ProtobufProblem) -> Fault {
        Fault { offset: self.offset(), problem }
    }
}

/// Reads a message whose fields are 1 to N, each at most once, with these wire types.
pub(crate) fn few<const N: usize>(message: &[u8], wires: [u8; N]) -> Result<[Option<Field<'_>>; N], Fault> {
    let mut slots = [None; N];
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        let index = usize::try_from(field.number).ok().and_then(|number| number.checked_sub(1));
        let Some((number, slot, wire)) =
            index.and_then(|index| Some((u32::try_from(index + 1).ok()?, slots.get_mut(index)?, *wires.get(index)?)))
        else {
            return Err(field.problem(ProtobufProblem::UnknownField(field.number)));
        };
        field.expect_wire(number, wire)?;
        if slot.replace(field).is_some() {
            return Err(field.problem(ProtobufProblem::Duplicate(number)));
        }
    }
    Ok(slots)
}
