//! Where in a text no value begins, seen several bytes at a time (after Wu and Manber, 1994): a window as long as the shortest value is laid
//! over the text, and its last three bytes say how far it may be moved; where they say that it may not, its first three do. Most text is
//! passed over so; only where a value may begin the automaton looks at each byte.

/// Bytes that are looked up together.
const BLOCK: usize = 3;
/// Entries of the table, of one byte each: it stays in the fastest cache.
const TABLE: usize = 1 << 15;
/// Bits for what values begin with.
const BEGINS: usize = 1 << 16;
/// Bytes of both.
pub(super) const MEMORY: usize = TABLE + BEGINS / 8;
/// Longest window. A longer one would gain little.
const WINDOW_MAX: usize = 64;

pub(super) struct Skip {
    window: usize,
    /// By how many bytes a window may be moved that ends in a block, by the block's hash. Blocks that share a hash share the shorter way.
    table: Box<[u8; TABLE]>,
    /// Whether something begins with a block, by the block's hash. Of many values each block ends some window by its hash alone; few begin one.
    begins: Box<[u64; BEGINS / 64]>,
}

impl Skip {
    /// For these patterns, none of which is shorter than [`BLOCK`].
    pub(super) fn new(patterns: &[Vec<u8>]) -> Self {
        let window = patterns.iter().map(Vec::len).min().unwrap_or(WINDOW_MAX).clamp(BLOCK, WINDOW_MAX);
        let far = window - BLOCK + 1;
        let mut table = Box::new([u8::try_from(far).unwrap_or(1); TABLE]);
        let mut begins = Box::new([0; BEGINS / 64]);
        for pattern in patterns {
            let (word, bit) = pattern.first_chunk().map_or((0, 0), place);
            begins.iter_mut().skip(word).take(1).for_each(|bits: &mut u64| *bits |= bit);
            let beginning = pattern.get(..window).unwrap_or_default();
            for (index, block) in beginning.windows(BLOCK).enumerate() {
                let way = u8::try_from(far - 1 - index).unwrap_or(0);
                if let Some(entry) = table.get_mut(hash(block, TABLE)) {
                    *entry = way.min(*entry);
                }
            }
        }
        Self { window, table, begins }
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
            let block = window.last_chunk::<BLOCK>().map_or(0, |block| hash(block, TABLE));
            match self.table.get(block) {
                Some(way) if *way > 0 => at += usize::from(*way),
                _ if self.begins(window) => break,
                _ => at += 1,
            }
        }
        at
    }

    /// Whether a value may begin as this does.
    fn begins(&self, window: &[u8]) -> bool {
        let Some((word, bit)) = window.first_chunk().map(place) else { return true };
        self.begins.get(word).is_none_or(|bits| bits & bit != 0)
    }
}

/// Where the bit of a block stands.
#[inline]
fn place(block: &[u8; BLOCK]) -> (usize, u64) {
    let hash = hash(block, BEGINS);
    (hash / 64, 1 << (hash % 64))
}

/// Below `size`, which is a power of two.
#[inline]
fn hash(block: &[u8], size: usize) -> usize {
    let number = block.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    // The upper bits of a product are the best mixed ones.
    (number.wrapping_mul(0x9e37_79b1) >> (32 - size.trailing_zeros())) as usize & (size - 1)
}
