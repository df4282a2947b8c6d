//! Frames of QUIC (RFC 9000 §19) as bytes: those that are forged, and those that come back.

use std::collections::BTreeMap;
use std::ops::Range;

/// PADDING.
pub const PADDING: u8 = 0x00;
/// RETIRE_CONNECTION_ID.
pub const RETIRE_CONNECTION_ID: u8 = 0x19;
/// PATH_RESPONSE.
pub const PATH_RESPONSE: u8 = 0x1b;

/// A variable-length integer (RFC 9000 §16), always in its longest form.
pub fn varint(value: u64) -> [u8; 8] {
    (value | 0xc000_0000_0000_0000).to_be_bytes()
}

/// A frame of such numbers, then such bytes.
pub fn frame(kind: u8, numbers: &[u64], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    for number in numbers {
        bytes.extend(varint(*number));
    }
    bytes.extend(rest);
    bytes
}

/// STREAM with offset and length, without FIN.
pub fn stream(id: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    frame(0x0e, &[id, offset, data.len() as u64], data)
}

/// What a packet of the other side held.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Frames by kind.
    frames: BTreeMap<u8, u64>,
}

impl Heard {
    /// So many frames of this kind.
    pub fn count(&self, kind: u8) -> u64 {
        self.frames.get(&kind).copied().unwrap_or_default()
    }

    /// Takes note of a packet's frames. Where RETIRE_CONNECTION_ID stood: quinn would end a connection over ids that it never gave out.
    pub(super) fn note(&mut self, payload: &[u8]) -> Vec<Range<usize>> {
        let mut retired = Vec::new();
        let mut reader = Reader { bytes: payload, at: 0 };
        while let Some((kind, start)) = reader.byte().map(|kind| (kind, reader.at - 1)) {
            if kind != PADDING {
                *self.frames.entry(kind).or_default() += 1;
            }
            if reader.skip(kind).is_none() {
                return retired;
            }
            if kind == RETIRE_CONNECTION_ID {
                retired.push(start..reader.at);
            }
        }
        retired
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let mut value = u64::from(first & 0x3f);
        for _ in 1..1_u32 << (first >> 6) {
            value = value << 8 | u64::from(self.byte()?);
        }
        Some(value)
    }

    fn numbers(&mut self, count: u64) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(|_| ()))
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?)?;
        Some(())
    }

    /// Goes past the rest of a frame; none for kinds that a server does not send.
    fn skip(&mut self, kind: u8) -> Option<()> {
        match kind {
            // PADDING, PING, HANDSHAKE_DONE, IMMEDIATE_ACK (draft-ietf-quic-ack-frequency).
            0x00 | 0x01 | 0x1e | 0x1f => Some(()),
            // ACK: largest, delay, count of ranges, first range, ranges; with ECN counts three more.
            0x02 | 0x03 => {
                self.numbers(2)?;
                let ranges = self.number()?;
                self.numbers(1 + 2 * ranges)?;
                self.numbers(if kind == 0x03 { 3 } else { 0 })
            }
            0x04 => self.numbers(3),
            0x05 | 0x11 | 0x15 => self.numbers(2),
            0x06 => {
                self.number()?;
                let length = self.number()?;
                self.bytes(length)
            }
            0x08..=0x0f => {
                self.numbers(1 + u64::from(kind & 0x04 != 0))?;
                let rest = self.bytes.len().saturating_sub(self.at) as u64;
                let length = if kind & 0x02 == 0 { rest } else { self.number()? };
                self.bytes(length)
            }
            0x10 | 0x12..=0x14 | 0x16 | 0x17 | RETIRE_CONNECTION_ID => self.numbers(1),
            0x18 => {
                self.numbers(2)?;
                let length = self.byte()?;
                self.bytes(u64::from(length) + 16)
            }
            0x1a | PATH_RESPONSE => self.bytes(8),
            // A kind of two bytes: ACK_FREQUENCY, of the same draft.
            0x40 => {
                self.byte()?;
                self.numbers(4)
            }
            _ => None,
        }
    }
}
