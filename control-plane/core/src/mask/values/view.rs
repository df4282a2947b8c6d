//! A text with its escapes undone, looked through like the text itself. What is not escaped looks the same both ways and is looked through
//! once.

use aho_corasick::automaton::StateID;

use super::unescape::{Begins, JSON, LINE, URL, Unescaper};
use super::{Found, SecretValues, forms};

/// All of them. Each undoes escapes of one kind, so that whatever a writer has escaped comes out as it was.
#[derive(Debug)]
pub(super) struct Views {
    json: View,
    /// What stood in a string of JSON: JSON again, a URL, or lines. Those of plain texts are found so, too: in a URL nothing is escaped as in JSON.
    within: [View; 3],
}

/// One of them.
#[derive(Debug)]
struct View {
    escapes: Unescaper,
    state: StateID,
    /// Whether what may be the beginning of a value looks the same in the text itself, so that this has nothing to find in it.
    same: bool,
    /// The last piece with its escapes undone, if it had any.
    text: Vec<u8>,
}

impl Views {
    /// Nothing has come.
    pub(super) const fn new(state: StateID) -> Self {
        Self {
            json: View::new(JSON, state),
            within: [View::new(JSON, state), View::new(URL, state), View::new(LINE, state)],
        }
    }

    /// Looks through the next piece of a text, after which looking through the text itself is in `state`.
    pub(super) fn push(&mut self, values: &SecretValues, state: StateID, piece: &[u8], found: &mut Found) {
        let Self { json, within } = self;
        let has_any = json.push(values, state, piece, |start, end| found.add(start, end));
        let text = if has_any { &json.text } else { piece };
        for view in within {
            let all = &json.escapes;
            view.push(values, json.state, text, |start, end| found.add(all.begin(start), all.end(end)));
        }
    }

    /// The text has ended, and its last line.
    pub(super) fn finish(&mut self, values: &SecretValues, found: &mut Found) {
        let Self { json, within } = self;
        json.finish(values, &[], |start, end| found.add(start, end));
        for view in within {
            let all = &json.escapes;
            view.finish(values, &json.text, |start, end| found.add(all.begin(start), all.end(end)));
        }
    }

    /// Whether what may be the beginning of a value has more escapes than are known.
    pub(super) fn is_full(&self) -> bool {
        self.json.escapes.is_full() || self.within.iter().any(|view| view.escapes.is_full())
    }

    /// Nobody will ask for anything that has come: it was shown, or is masked.
    pub(super) fn forget(&mut self) {
        for view in std::iter::once(&mut self.json).chain(&mut self.within) {
            view.escapes.forget(view.escapes.written());
        }
    }

    /// Where in the text what may be the beginning of a value begins. Nobody will ask for what is before.
    pub(super) fn open(&mut self, values: &SecretValues) -> u64 {
        let mut first = self.json.first(values);
        for view in &mut self.within {
            first = first.min(view.open(values, u64::MAX));
        }
        self.json.open(values, first)
    }
}

#[cfg(test)]
impl Views {
    /// How many escapes are known.
    pub(super) fn known(&self) -> usize {
        std::iter::once(&self.json).chain(&self.within).map(|view| view.escapes.known()).sum()
    }
}

impl View {
    const fn new(begins: Begins, state: StateID) -> Self {
        Self { escapes: Unescaper::new(begins), state, same: true, text: Vec::new() }
    }

    /// Takes the next piece of the text, after which looking through that is in state `other`. Whether it is in `text` now: it has escapes, or a
    /// value may have begun that has some.
    fn push(&mut self, values: &SecretValues, other: StateID, input: &[u8], found: impl FnMut(u64, u64)) -> bool {
        if self.same && self.escapes.is_plain(input) {
            self.escapes.pass(input.len());
            self.state = other;
            return false;
        }
        let from = self.escapes.written();
        self.text.clear();
        self.escapes.push(input, &mut self.text);
        self.look_through(values, from, found);
        self.same = self.state == other && self.escapes.is_plain_from(self.first(values));
        true
    }

    /// Takes the rest of the text. What is left of that is in `text`.
    fn finish(&mut self, values: &SecretValues, input: &[u8], found: impl FnMut(u64, u64)) {
        let from = self.escapes.written();
        self.text.clear();
        self.escapes.push(input, &mut self.text);
        self.escapes.finish(&mut self.text);
        self.text.push(forms::END);
        self.look_through(values, from, found);
        self.text.pop();
    }

    /// `found` gets where in the text a value begins and ends.
    fn look_through(&mut self, values: &SecretValues, from: u64, mut found: impl FnMut(u64, u64)) {
        let escapes = &self.escapes;
        self.state = values.scan(self.state, &self.text, |start, end| {
            let (start, end) = (from.saturating_add_signed(start), from.saturating_add_signed(end));
            found(escapes.begin_masked(start), escapes.end(end));
        });
    }

    /// Where what may be the beginning of a value begins.
    fn first(&self, values: &SecretValues) -> u64 {
        self.escapes.written().saturating_sub(values.depth(self.state) as u64)
    }

    /// Where that is in the text, or what begins there. Nobody will ask for what is before.
    fn open(&mut self, values: &SecretValues, other: u64) -> u64 {
        let own = self.first(values);
        let source = if other < own { self.escapes.begin(other) } else { self.escapes.begin_masked(own) };
        self.escapes.forget(own.min(other));
        source
    }
}

impl Drop for View {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.text);
    }
}
