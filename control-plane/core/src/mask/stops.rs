//! Where strings may end: one pass over a piece in vector registers, before the scanner reads it.

use wide::u8x16;

/// Bytes of which one word of bits tells.
const BLOCK: usize = 64;

/// A bit for each byte of a piece that is a quote, a backslash or a control character (RFC 8259 §7), and one behind its end.
#[derive(Debug, Default)]
pub(super) struct Stops(Vec<u64>);

impl Stops {
    /// Reads the next piece. True if it has bytes above ASCII.
    pub(super) fn read(&mut self, piece: &[u8]) -> bool {
        let (blocks, rest) = piece.as_chunks();
        let mut all = u8x16::splat(0);
        self.0.clear();
        self.0.extend(blocks.iter().map(|block| of_block(block, &mut all)));
        let bits = of_block(&padded(rest), &mut all);
        self.0.push(bits | 1 << rest.len());
        all.to_bitmask() != 0
    }

    /// The first of them at or after that place.
    #[inline]
    pub(super) fn from(&self, at: usize) -> usize {
        self.walk(at).step()
    }

    /// One after the other, the first at or after that place.
    #[inline]
    pub(super) fn walk(&self, at: usize) -> Walk<'_> {
        let word = at / BLOCK;
        Walk { words: &self.0, word, bits: self.0.get(word).map_or(0, |bits| bits & (u64::MAX << (at % BLOCK))) }
    }
}

/// Goes over the stops in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    words: &'a [u64],
    word: usize,
    bits: u64,
}

impl Walk<'_> {
    /// The next one; behind the end of the piece if there is none.
    #[inline]
    pub(super) fn step(&mut self) -> usize {
        while self.bits == 0 {
            self.word += 1;
            match self.words.get(self.word) {
                Some(&next) => self.bits = next,
                None => return self.words.len() * BLOCK,
            }
        }
        let at = self.word * BLOCK + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        at
    }
}

/// How many bytes from the start are none of those.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut all = u8x16::splat(0);
    let (blocks, rest) = bytes.as_chunks();
    for (index, block) in blocks.iter().enumerate() {
        let bits = of_block(block, &mut all);
        if bits != 0 {
            return index * BLOCK + bits.trailing_zeros() as usize;
        }
    }
    let bits = of_block(&padded(rest), &mut all) | 1 << rest.len();
    blocks.len() * BLOCK + bits.trailing_zeros() as usize
}

/// A block with blanks behind what is left of a piece.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    for (to, byte) in block.iter_mut().zip(rest) {
        *to = *byte;
    }
    block
}

#[inline]
fn of_block(block: &[u8; BLOCK], all: &mut u8x16) -> u64 {
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let mut bits = 0;
    let (lanes, _) = block.as_chunks::<16>();
    for (index, lane) in lanes.iter().enumerate() {
        let bytes = u8x16::new(*lane);
        *all |= bytes;
        let stops = bytes.simd_eq(quote) | bytes.simd_eq(backslash) | bytes.min(control).simd_eq(bytes);
        bits |= u64::from(stops.to_bitmask()) << (16 * index);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place of three blocks, in pieces that end anywhere.
    #[test]
    fn m4_no_stop_is_overlooked() {
        for length in 0..3 * BLOCK {
            let mut stops = Stops::default();
            assert!(!stops.read(&vec![b'a'; length]));
            assert!((0..=length).all(|at| stops.from(at) == length), "{length}");
            for at in [0, length / 2, length.saturating_sub(1)] {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    let Some(place) = bytes.get_mut(at) else { continue };
                    *place = byte;
                    assert_eq!(stops.read(&bytes), !byte.is_ascii(), "{byte} at {at} of {length}");
                    let stop = if byte < 0x20 || byte == b'"' || byte == b'\\' { at } else { length };
                    assert_eq!(
                        (stops.from(0), stops.from(at), plain_run(&bytes)),
                        (stop, stop, stop),
                        "{byte} at {at}"
                    );
                    assert_eq!(stops.from(at + 1), length, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
