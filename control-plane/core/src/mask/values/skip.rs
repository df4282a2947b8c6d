//! Where in a text no value begins, seen several bytes at a time (after Wu and Manber, 1994): a window as long as the shortest value is laid
//! over the text, and its last three bytes say how far it may be moved. Most text is passed over so; only where a value may begin the
//! automaton looks at each byte.

/// Bytes that are looked up together.
const BLOCK: usize = 3;
/// Entries of the table, of one byte each: it stays in the fastest cache.
pub(super) const TABLE: usize = 1 << 15;
/// Longest window. A longer one would gain little.
const WINDOW_MAX: usize = 64;

pub(super) struct Skip {
    window: usize,
    /// By how many bytes a window may be moved that ends in a block, by the block's hash. Blocks that share a hash share the shorter way.
    table: Box<[u8; TABLE]>,
}

impl Skip {
    /// For these patterns, none of which is shorter than [`BLOCK`].
    pub(super) fn new(patterns: &[Vec<u8>]) -> Self {
        let window = patterns.iter().map(Vec::len).min().unwrap_or(WINDOW_MAX).clamp(BLOCK, WINDOW_MAX);
        let far = window - BLOCK + 1;
        let mut table = Box::new([u8::try_from(far).unwrap_or(1); TABLE]);
        for pattern in patterns {
            let beginning = pattern.get(..window).unwrap_or_default();
            for (index, block) in beginning.windows(BLOCK).enumerate() {
                let way = u8::try_from(far - 1 - index).unwrap_or(0);
                if let Some(entry) = table.get_mut(hash(block)) {
                    *entry = way.min(*entry);
                }
            }
        }
        Self { window, table }
    }

    /// Length of the window.
    pub(super) const fn window(&self) -> usize {
        self.window
    }

    /// The first place from `from` on at which a value may begin: none does before. Less than a window before the end every place may.
    #[inline]
    pub(super) fn next(&self, text: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(window) = text.get(at..at + self.window) {
            let block = window.last_chunk::<BLOCK>().map_or(0, |block| hash(block));
            match self.table.get(block) {
                Some(way) if *way > 0 => at += usize::from(*way),
                _ => break,
            }
        }
        at
    }
}

#[inline]
fn hash(block: &[u8]) -> usize {
    let number = block.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    // The upper bits of a product are the best mixed ones.
    (number.wrapping_mul(0x9e37_79b1) >> (32 - TABLE.trailing_zeros())) as usize & (TABLE - 1)
}
