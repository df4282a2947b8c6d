//! Values in text: what a pod prints may hold the values of its own Secrets. They are replaced as the text flows by, wherever it is cut into
//! pieces, in the forms of `forms`, escaped or not (`unescape`).
//!
//! Only values that the text's pod has anyway are looked for. Those that were masked elsewhere would make an oracle: whoever can make a pod
//! print a guess would learn from the mask whether it was right (ARCHITECTURE.md, Masking).
//!
//! Not covered, by nature: values that are cut, transformed otherwise, or shorter than [`VALUE_BYTES_MIN`](limits::VALUE_BYTES_MIN).
//! A piece of its own: bytes in, bytes out, no idea of what they travel in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use shared::limits;

mod forms;
mod fuzz;
mod pod;
mod skip;
mod start;
mod unescape;
mod view;

#[cfg(test)]
mod tests;

use forms::Lines;
pub(crate) use pod::secret_names;
pub use pod::{FoundValues, LimitError, PodSecrets, TextPart, pod_of, without_limit};
use start::Start;
use view::Views;

/// What stands where a value stood. No placeholder: a text is not written back.
pub const MASKED: &[u8] = b"(masked by sallyport)";

/// Bytes that are looked through at once: what is undone of their escapes takes as much.
const BLOCK: usize = 2 * 1024;

/// The values can't be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// More than [`VALUE_PATTERN_BYTES`](limits::VALUE_PATTERN_BYTES), all forms counted.
    #[error("in all their forms the values have more than {limit} bytes")]
    TooMuch {
        /// The limit.
        limit: usize,
    },
    /// So many end in one another that the searcher would be too large, or it has another bound of its own.
    #[error("the values can't be searched for together")]
    Searcher,
}

/// The values of some Secrets, ready to be looked for in any number of texts.
pub struct SecretValues {
    searcher: NFA,
    start: StateID,
    skip: skip::Skip,
    /// How many of the last bytes may be the beginning of a value, by state. States that are not in here are none of a value.
    depths: HashMap<StateID, u32>,
    /// What is looked for.
    forms: Vec<Vec<u8>>,
    /// Bytes of a text that are held back at most. Of what is longer, for it is escaped, no end is waited for.
    held: u64,
    /// What is given back when nobody looks for them any more.
    _kept: Option<Box<dyn Send + Sync>>,
}

/// Shows no value.
impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValues").field("forms", &self.searcher.patterns_len()).finish_non_exhaustive()
    }
}

impl SecretValues {
    /// Looks for these values, decoded, in a document. Those that are too short are left out.
    ///
    /// # Errors
    /// [`ValuesError`]: the text must not be passed on then.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ValuesError> {
        Self::with_lines(values, Lines::Long)
    }

    fn with_lines<'a>(values: impl IntoIterator<Item = &'a [u8]>, lines: Lines) -> Result<Self, ValuesError> {
        let limit = limits::VALUE_PATTERN_BYTES;
        let patterns = forms::of_all(values, lines, limit).ok_or(ValuesError::TooMuch { limit })?;
        if endings(&patterns) > limits::VALUE_ENDINGS {
            return Err(ValuesError::Searcher);
        }
        let searcher = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&patterns);
        let searcher = searcher.map_err(|_| ValuesError::Searcher)?;
        let start = searcher.start_state(Anchored::No).map_err(|_| ValuesError::Searcher)?;
        let skip = skip::Skip::new(&patterns);
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let depths = depths(&searcher, start, patterns.clone());
        let held = 2 * longest as u64 + 4 * 1024;
        Ok(Self { searcher, start, skip, depths, forms: patterns, held, _kept: None })
    }

    /// Bytes that they take in memory for as long as they are looked for.
    pub fn memory(&self) -> usize {
        // A table of the standard library has a place in eight free, and a byte for each.
        let entry = size_of::<(StateID, u32)>() + 1;
        let forms: usize = self.forms.iter().map(|form| form.capacity() + size_of::<Vec<u8>>()).sum();
        self.searcher.memory_usage() + skip::MEMORY + self.depths.capacity().saturating_mul(entry) / 7 * 8 + forms
    }

    /// The same, with something that goes when they go: the room that they take.
    #[must_use]
    pub fn keeping(self, kept: impl Send + Sync + 'static) -> Self {
        Self { _kept: Some(Box::new(kept)), ..self }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.searcher.patterns_len() == 0
    }

    /// Looks through the next piece of a text. `found` gets where each value begins and ends, from the piece's beginning: the longest that ends in a
    /// place.
    fn scan(&self, mut state: StateID, input: &[u8], mut found: impl FnMut(i64, i64)) -> StateID {
        let mut at = 0;
        while at < input.len() {
            let until = input.len().min(at + self.skip.window());
            for (index, byte) in (at..until).zip(input.get(at..until).unwrap_or_default()) {
                state = self.searcher.next_state(Anchored::No, state, *byte);
                if self.searcher.is_match(state) {
                    let end = index as i64 + 1;
                    // The end of a line stays: only lines are looked for with theirs.
                    found(end - self.ending(state) as i64, end - i64::from(*byte == forms::END));
                }
            }
            at = until;
            // No value that is not complete has begun before, so where none begins from there on the automaton has nothing to remember.
            if let Some(first) = at.checked_sub(self.depth(state)) {
                let next = self.skip.next(input, first);
                if next > at {
                    (state, at) = (self.start, next);
                }
            }
        }
        state
    }

    /// How many of the last bytes may be the beginning of a value that is not complete.
    fn depth(&self, state: StateID) -> usize {
        self.depths.get(&state).map_or(0, |depth| *depth as usize)
    }

    /// Length of the longest value that ends in this state, in which some value does: the first that the automaton tells, for it is made from
    /// the longest to the shortest (`copy_matches` in aho-corasick's `nfa/noncontiguous.rs`; the fuzz target compares with a slow search).
    /// Looking at all of them, each byte of a text would cost as many steps as values end in one another.
    fn ending(&self, state: StateID) -> usize {
        self.searcher.pattern_len(self.searcher.match_pattern(state, 0))
    }
}

/// How many entries the searcher may need at most to tell which values end where: it has a list of them for each byte of each value.
fn endings(patterns: &[Vec<u8>]) -> usize {
    let mut backwards: Vec<&[u8]> = patterns.iter().map(Vec::as_slice).collect();
    backwards.sort_unstable_by(|one, other| one.iter().rev().cmp(other.iter().rev()));
    // Behind one another stand those of which each is the end of the next.
    let (mut open, mut deepest) = (Vec::<&[u8]>::new(), 0);
    for pattern in backwards {
        while open.last().is_some_and(|end| !pattern.ends_with(end)) {
            open.pop();
        }
        open.push(pattern);
        deepest = deepest.max(open.len());
    }
    let bytes: usize = patterns.iter().map(Vec::len).sum();
    bytes.saturating_mul(deepest)
}

/// How many of the last bytes may be the beginning of a value, by state.
fn depths(searcher: &NFA, start: StateID, mut patterns: Vec<Vec<u8>>) -> HashMap<StateID, u32> {
    // The state after a pattern's beginning is the one after every text that ends in that beginning.
    let after = |bytes: &[u8]| bytes.iter().fold(start, |state, byte| searcher.next_state(Anchored::No, state, *byte));
    let mut depths = HashMap::new();
    for pattern in &patterns {
        let mut state = start;
        // No pattern is longer than all may be together.
        for (depth, byte) in (1_u32..).zip(pattern.iter().take(pattern.len().saturating_sub(1))) {
            state = searcher.next_state(Anchored::No, state, *byte);
            depths.insert(state, depth);
        }
    }
    // A pattern that no other one goes on from begins nothing; a shorter end of it may.
    patterns.sort_by_key(Vec::len);
    for pattern in &patterns {
        let whole = after(pattern);
        if !depths.contains_key(&whole) {
            let end = after(pattern.get(1..).unwrap_or_default());
            depths.insert(whole, depths.get(&end).copied().unwrap_or(0));
        }
    }
    depths
}

/// Replaces values in one text.
#[derive(Debug)]
pub struct TextMasker {
    values: Arc<SecretValues>,
    state: StateID,
    /// The text with its escapes undone.
    views: Views,
    /// The beginning of a text of which nobody can say yet whether it is the end of a value.
    begun: Option<Vec<u8>>,
    /// What came and was not written yet: at most the longest value, as it is escaped.
    held: Vec<u8>,
    /// Where `held` begins, in bytes of the text.
    base: u64,
    /// Values found, in order, none touching another. Those that are written are dropped.
    found: Vec<(u64, u64)>,
    /// Where the value ended that was written last.
    written: Option<u64>,
    masked: u64,
    /// Bytes that may still be written.
    left: u64,
}

impl TextMasker {
    /// For one text.
    pub fn new(values: Arc<SecretValues>) -> Self {
        let (state, left) = (values.start, u64::MAX);
        let views = Views::new(state);
        let (held, found) = (Vec::new(), Vec::new());
        Self { values, state, views, begun: None, held, base: 0, found, written: None, masked: 0, left }
    }

    /// The same, of which this part is shown.
    #[must_use]
    pub fn of_part(mut self, part: TextPart) -> Self {
        (self.left, self.begun) = (part.limit.unwrap_or(u64::MAX), part.begins_within.then(Vec::new));
        self
    }

    /// Whether nothing more will be written, whatever comes.
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Takes the next piece and appends what may pass to `out`: everything but an end that may be the beginning of a value.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(mut begun) = self.begun.take() else { return self.take(input, out) };
        begun.extend_from_slice(input);
        match Start::of(&self.values.forms, &begun, false) {
            Start::Open => self.begun = Some(begun),
            Start::Of(from, until) => self.begin(begun, (from, until), out),
        }
    }

    /// The text begins so, and there with the end of a value.
    fn begin(&mut self, begun: Vec<u8>, (from, until): (usize, usize), out: &mut Vec<u8>) {
        if from < until {
            self.found.push((from as u64, until as u64));
        }
        self.take(&zeroize::Zeroizing::new(begun), out);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let values = Arc::clone(&self.values);
        for block in input.chunks(BLOCK) {
            let from = self.base + self.held.len() as u64;
            let mut found = Found::default();
            self.state = values.scan(self.state, block, |start, end| {
                found.add(from.saturating_add_signed(start), from.saturating_add_signed(end));
            });
            let until = from + block.len() as u64;
            self.held.extend_from_slice(block);
            self.views.push(&values, self.state, block, &mut found);
            let open = until.saturating_sub(values.depth(self.state) as u64).min(self.views.open(&values));
            // So much is part of a value, however it is escaped, and needs not be known to its end.
            let is_long = until.saturating_sub(open) > values.held || self.views.is_full();
            if is_long {
                found.add(open, until);
                self.views.forget();
            }
            self.join(found);
            self.write(if is_long { until } else { open }, out);
        }
    }

    /// The text has ended: writes the rest, and says how many values were replaced.
    pub fn finish(mut self, out: &mut Vec<u8>) -> u64 {
        let values = Arc::clone(&self.values);
        if let Some(begun) = self.begun.take() {
            let Start::Of(from, until) = Start::of(&values.forms, &begun, true) else { return 0 };
            self.begin(begun, (from, until), out);
        }
        let end = self.base + self.held.len() as u64;
        let mut found = Found::default();
        // The last line ends here.
        values.scan(self.state, &[forms::END], |start, end_of| {
            found.add(end.saturating_add_signed(start), end.saturating_add_signed(end_of));
        });
        self.views.finish(&values, &mut found);
        self.join(found);
        self.write(end, out);
        self.masked
    }

    /// Values that overlap or touch are replaced as one.
    fn join(&mut self, found: Found) {
        if found.0.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.found);
        all.extend(found.0.into_iter().map(|(start, end)| (start.max(self.base), end)));
        all.sort_unstable();
        for (start, end) in all {
            match self.found.last_mut() {
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ => self.found.push((start, end)),
            }
        }
    }

    /// Writes everything before `limit`, after which a value may begin that is not complete.
    fn write(&mut self, limit: u64, out: &mut Vec<u8>) {
        let before = out.len();
        let mut done = 0;
        let count = self.found.partition_point(|(start, _)| *start < limit);
        let found: Vec<_> = self.found.drain(..count).collect();
        for (start, end) in found {
            let value = self.offset(start);
            out.extend_from_slice(self.held.get(done..value).unwrap_or_default());
            if self.written != Some(start) {
                out.extend_from_slice(MASKED);
                self.masked += 1;
            }
            self.written = Some(end);
            // What is masked needs not be held, also if a longer value around it is not complete.
            done = self.offset(end);
        }
        let limit = self.offset(limit);
        if done < limit {
            out.extend_from_slice(self.held.get(done..limit).unwrap_or_default());
            done = limit;
        }
        self.held.drain(..done);
        self.base += done as u64;
        out.truncate(before.saturating_add(usize::try_from(self.left).unwrap_or(usize::MAX)));
        self.left -= (out.len() - before) as u64;
    }

    fn offset(&self, at: u64) -> usize {
        usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.held.len())
    }
}

/// Values that were found in a piece: in order as long as one way to look through it is at it, where those that overlap or touch are one.
#[derive(Debug, Default)]
struct Found(Vec<(u64, u64)>);

impl Found {
    fn add(&mut self, mut start: u64, mut end: u64) {
        while let Some((earlier, until)) = self.0.last().copied()
            && earlier <= end
            && until >= start
        {
            (start, end) = (start.min(earlier), end.max(until));
            self.0.pop();
        }
        self.0.push((start, end));
    }
}

impl Drop for TextMasker {
    fn drop(&mut self) {
        // It may be the beginning of a value.
        zeroize::Zeroize::zeroize(&mut self.held);
        zeroize::Zeroize::zeroize(&mut self.begun);
    }
}

/// Entry of the fuzz target, also run over its corpus by an ordinary test: whatever the values and the text, and however it is cut, what
/// comes out is what a slow and obvious search makes of it, no form of a value is left, and no more is held back than a value is long.
#[doc(hidden)]
pub fn fuzz_values(data: &[u8]) {
    fuzz::fuzz(data);
}
