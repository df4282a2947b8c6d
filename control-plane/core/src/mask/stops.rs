//! Where strings may end: one pass over a piece in vector registers, before the scanner reads it.

use fearless_simd::{Level, Simd, SimdBase, SimdMask, dispatch, u8x64};

/// Bytes of which one word of bits tells.
const BLOCK: usize = 64;

/// A bit for each byte of a piece that is a quote, a backslash or a control character (RFC 8259 §7), and one behind its end.
#[derive(Debug, Default)]
pub(super) struct Stops(Vec<u64>);

impl Stops {
    /// Reads the next piece. True if it has bytes above ASCII.
    pub(super) fn read(&mut self, piece: &[u8]) -> bool {
        self.read_at(Level::new(), piece)
    }

    fn read_at(&mut self, level: Level, piece: &[u8]) -> bool {
        let (blocks, rest) = piece.as_chunks();
        self.0.resize(blocks.len() + 1, 0);
        dispatch!(level, simd => {
            let mut all = u8x64::splat(simd, 0);
            let mut words = self.0.iter_mut();
            for (block, word) in blocks.iter().zip(words.by_ref()) {
                *word = of_block(simd, block, &mut all);
            }
            if let Some(last) = words.next() {
                *last = of_block(simd, &padded(rest), &mut all) | 1 << rest.len();
            }
            all.simd_ge(u8x64::splat(simd, 0x80)).any_true()
        })
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
    plain_run_at(Level::new(), bytes)
}

fn plain_run_at(level: Level, bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks();
    dispatch!(level, simd => {
        let mut all = u8x64::splat(simd, 0);
        for (index, block) in blocks.iter().enumerate() {
            let bits = of_block(simd, block, &mut all);
            if bits != 0 {
                return index * BLOCK + bits.trailing_zeros() as usize;
            }
        }
        let bits = of_block(simd, &padded(rest), &mut all) | 1 << rest.len();
        blocks.len() * BLOCK + bits.trailing_zeros() as usize
    })
}

/// A block with blanks behind what is left of a piece.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    for (to, byte) in block.iter_mut().zip(rest) {
        *to = *byte;
    }
    block
}

/// Must become a part of its caller, which alone is compiled for the processor's registers.
#[inline(always)]
fn of_block<S: Simd>(simd: S, block: &[u8; BLOCK], all: &mut u8x64<S>) -> u64 {
    let bytes = u8x64::from_slice(simd, block);
    *all |= bytes;
    let splat = |byte| u8x64::splat(simd, byte);
    let stops = bytes.simd_eq(splat(b'"')) | bytes.simd_eq(splat(b'\\')) | bytes.simd_lt(splat(b' '));
    stops.to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a processor may be able to do, as far as this one can.
    fn levels() -> Vec<Level> {
        let mut levels = vec![Level::baseline(), Level::new()];
        #[cfg(target_arch = "x86_64")]
        levels.extend(
            [Level::new().as_sse4_2().map(Level::Sse4_2), Level::new().as_avx2().map(Level::Avx2)]
                .into_iter()
                .flatten(),
        );
        levels
    }

    /// Every byte at every place of three blocks, in pieces that end anywhere.
    #[test]
    fn m4_no_stop_is_overlooked() {
        levels().into_iter().for_each(overlooks_none);
    }

    fn overlooks_none(level: Level) {
        for length in 0..3 * BLOCK {
            let mut stops = Stops::default();
            assert!(!stops.read_at(level, &vec![b'a'; length]));
            assert!((0..=length).all(|at| stops.from(at) == length), "{length}");
            for at in [0, length / 2, length.saturating_sub(1)] {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    let Some(place) = bytes.get_mut(at) else { continue };
                    *place = byte;
                    assert_eq!(stops.read_at(level, &bytes), !byte.is_ascii(), "{byte} at {at} of {length}");
                    let stop = if byte < 0x20 || byte == b'"' || byte == b'\\' { at } else { length };
                    assert_eq!(
                        (stops.from(0), stops.from(at), plain_run_at(level, &bytes)),
                        (stop, stop, stop),
                        "{byte} at {at}"
                    );
                    assert_eq!(stops.from(at + 1), length, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
