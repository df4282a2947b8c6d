//! Pieces of the sentence by which a placeholder is recognised whatever a client has made of it: as it is or decoded, in base64 up to three
//! times more, wrapped into lines, escaped for a URL or a shell, in hex, in another case.
//!
//! Each piece is found on its own, so that a line break or a cut through one leaves another whole. In the clear there are few and long ones,
//! for the same words stand in honest texts; in base64 of base64 nobody writes them by chance.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::at_every_offset;

/// What is left of a sentence that was cut early, and what follows.
const BOTH: [&str; 2] = ["sallyport: masked", "write it back unchanged"];
/// The same and the rest. Base64 of base64 of 72 bytes has 128 characters, so a break every 64 leaves one of three whole.
const THREE: [&str; 3] = [BOTH[0], BOTH[1], "or leave the field out"];
/// Of 171 characters, which such breaks cut three times, one of four.
const FOUR: [&str; 4] = [BOTH[0], "write it bac", "k unchanged ", THREE[2]];
/// What stands for a blank where a text is escaped: in a path, in a query, for a shell, for one in a string of JSON.
const BLANKS: [&str; 4] = ["%20", "+", "\\ ", "\\\\ "];
/// What stands for a colon there.
const COLONS: [&str; 4] = [":", "%3A", "%3a", "\\:"];

/// Bytes that are looked at together.
const WORD: usize = size_of::<u64>();
/// Bits of the table in front of the map: 32 KiB, which stay in the fastest memory.
const TABLE_BITS: u32 = 18;

/// All of them. A text is looked at in whole words, one after the other: a needle has at least two words less a byte, so one of the words
/// of a text in which it stands is all its own, and begins in its first eight bytes. Hundreds of needles cost as much as one so.
pub(super) struct Needles {
    table: Vec<u64>,
    /// Needles, each with the place of this word in it.
    words: HashMap<u64, Vec<(usize, Vec<u8>)>>,
}

impl Needles {
    pub(super) fn new() -> Self {
        let mut found = Self { table: vec![0; 1 << (TABLE_BITS - 6)], words: HashMap::new() };
        for needle in needles() {
            for (offset, word) in needle.windows(WORD).take(WORD).enumerate() {
                let word = word.try_into().map(u64::from_le_bytes).unwrap_or_default();
                let (at, bit) = Self::slot(word);
                found.table.iter_mut().skip(at).take(1).for_each(|bits| *bits |= bit);
                found.words.entry(word).or_default().push((offset, needle.clone()));
            }
        }
        found
    }

    /// Fibonacci hashing (Knuth, The Art of Computer Programming 6.4).
    #[inline]
    const fn slot(word: u64) -> (usize, u64) {
        let hash = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - TABLE_BITS);
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    /// How many needles stand in a text, each wherever it does.
    pub(super) fn found_in<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let (words, _) = bytes.as_chunks::<WORD>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).enumerate();
        let may_be = words.filter(|(_, word)| {
            let (at, bit) = Self::slot(*word);
            self.table.get(at).is_some_and(|bits| bits & bit != 0)
        });
        may_be.flat_map(move |(index, word)| {
            let known = self.words.get(&word).map(Vec::as_slice).unwrap_or_default();
            known.iter().filter_map(move |(offset, needle)| {
                let rest = bytes.get((index * WORD).checked_sub(*offset)?..)?;
                rest.starts_with(needle).then_some(needle.as_slice())
            })
        })
    }
}

/// Each once.
fn needles() -> Vec<Vec<u8>> {
    let mut needles = Vec::new();
    let plain: [(&[&str], usize); 5] = [(&BOTH, 0), (&BOTH, 1), (&THREE, 2), (&FOUR, 3), (&FOUR, 4)];
    for (pieces, times) in plain {
        pieces.iter().for_each(|piece| needles.extend(encoded(piece.as_bytes(), times)));
    }
    for blank in BLANKS {
        let (start, more) = (BOTH[0].replace(' ', blank), BOTH[1].replace(' ', blank));
        (0..=2).for_each(|times| needles.extend(encoded(more.as_bytes(), times)));
        for colon in COLONS {
            let start = start.replace(':', colon);
            (0..=1).for_each(|times| needles.extend(encoded(start.as_bytes(), times)));
        }
    }
    let code = STANDARD.encode(super::SENTENCE);
    let (start, more) = code.split_at(24);
    for text in [BOTH[0], BOTH[1], start, more] {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let cases = [text.to_lowercase(), text.to_uppercase(), title(text), hex.to_uppercase(), hex];
        for text in cases {
            (0..=1).for_each(|times| needles.extend(encoded(text.as_bytes(), times)));
        }
    }
    needles.sort_unstable();
    needles.dedup();
    needles
}

/// A piece in base64 of base64 and so on, however it falls on groups each time.
fn encoded(piece: &[u8], times: usize) -> Vec<Vec<u8>> {
    (0..times).fold(vec![piece.to_vec()], |pieces, _| {
        pieces.iter().flat_map(|piece| at_every_offset(piece, &STANDARD)).collect()
    })
}

/// Each word with a capital.
fn title(text: &str) -> String {
    let mut starts = true;
    let letter = |char: char| {
        let cased = if starts { char.to_ascii_uppercase() } else { char };
        starts = char == ' ';
        cased
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_is_long_enough_to_be_found() {
        let found = Needles::new();
        for needle in needles() {
            assert!(needle.len() + 1 >= 2 * WORD, "{}", String::from_utf8_lossy(&needle));
            for before in 0..2 * WORD {
                let text = [&b"x".repeat(before), needle.as_slice(), b"y"].concat();
                assert!(found.found_in(&text).any(|found| found == needle));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// What is found stands there, as often as it does.
        #[test]
        fn found_is_what_stands_there(parts in prop::collection::vec((any::<prop::sample::Index>(), "[ -~]{0,9}"), 0..6)) {
            let (found, all) = (Needles::new(), needles());
            let mut text = Vec::new();
            for (index, between) in &parts {
                text.extend_from_slice(&all[index.index(all.len())]);
                text.extend_from_slice(between.as_bytes());
            }
            let expected: usize = all.iter().map(|needle| text.windows(needle.len()).filter(|part| part == needle).count()).sum();
            prop_assert_eq!(found.found_in(&text).count(), expected);
        }
    }
}
