//! Objects of a list that are like one before them, but for a few texts: most are, and are compared instead of read.
//!
//! How an object is read follows from its bytes, but for those of texts that nothing follows from: names, times, and values that are
//! masked whatever they are. The masker notes where such texts stand while it reads an object. Where a later one of the same list has the same bytes
//! around them, reading it could only come to the same end, with its own texts in place of those.
//!
//! An object in which anything else was replaced is not remembered: the masker gives up on it there, and what was written is held against the rule
//! once more. What is remembered is of the open list alone, under what is presumed of its objects.

use std::ops::Range;

use super::frame::Presumed;
use super::key::Key;
use super::masker::Masker;
use super::placeholder::PLACEHOLDER_BYTES;
use super::scan::{Cursor, State};

/// How many objects are remembered (lists have some kinds of them, in any order), and bytes of memory for all.
const SHAPES: usize = 8;
const HELD: usize = 48 * 1024;
/// How many texts of an object are noted. (Of its bytes a piece is the bound: only what is seen whole is remembered.)
const TEXTS: usize = 384;
/// How many may be noted in vain before the next ones are not noted, nor compared; and for how many that is so at most, as a power of two.
const VAIN: u32 = 4;
const LONGEST_PAUSE: u32 = 8;

/// What a text is that nothing follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Text,
    /// The object's own name: its placeholders follow from it.
    Name,
    Namespace,
    /// A value of a Secret's: it is masked.
    Field {
        /// In `stringData`, not in `data`.
        string: bool,
        /// How many sections of Secrets the object had until there.
        sections: u32,
        /// Bytes of the member's name, which stands before it.
        key: u32,
    },
}

/// Where such a text stands in an object, without its quotes.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
    what: What,
    /// Another object's may be different. Not so until one was, for what is the same everywhere is compared faster with what stands around it.
    varies: bool,
}

/// An object that was read.
#[derive(Debug)]
struct Shape {
    bytes: Vec<u8>,
    texts: Vec<Place>,
    /// Those that vary.
    places: Vec<Place>,
    /// Sections of Secrets in it.
    sections: u64,
    rule: Rule,
}

/// What decides how an object is read, apart from its bytes. (Of a `Status` nothing is passed on before one that is about Secrets, or that ends the
/// answer; and another list is forgotten. So only the last of these is ever seen to differ.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// Containers around it, and what their list says that it is.
    depth: usize,
    presumed: Presumed,
    status_of_secret: bool,
    message_passed: bool,
    /// An object before it that has no metadata, and a list has, names a Secret.
    has_secrets: bool,
}

/// An object is being read, and noted.
#[derive(Clone, Copy, Debug)]
struct Noting {
    /// Where in the piece it begins, and where what is written of it.
    start: usize,
    written: usize,
    /// Index of its frame.
    depth: usize,
    masked: u64,
    ordinal: u64,
    rule: Rule,
}

/// What is known of the objects of the open list.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// The one that was met last comes first.
    shapes: Vec<Shape>,
    noting: Option<Noting>,
    texts: Vec<Place>,
    /// Where in an object that is being compared its names and values stand.
    found: Vec<Range<usize>>,
    /// How many objects were noted in vain, of late, and how many are not to be looked at.
    vain: u32,
    pause: u32,
    #[cfg(test)]
    stepped: usize,
}

impl Alike {
    /// A list begins, or ends, or a document does: nothing that comes has to be like what came before.
    pub(super) fn forget(&mut self) {
        self.shapes.clear();
        self.noting = None;
    }

    /// What is being read can't be seen whole, for its piece has ended; or something follows from a text in it that is not noted; or something is
    /// replaced that is no value of its own.
    pub(super) const fn give_up(&mut self) {
        self.noting = None;
    }

    #[inline]
    pub(super) const fn is_noting(&self) -> bool {
        self.noting.is_some()
    }

    /// How many objects were stepped over.
    #[cfg(test)]
    pub(super) const fn stepped_over(&self) -> usize {
        self.stepped
    }

    /// That one was met, and comes first.
    fn meet(&mut self, index: usize) {
        if let Some(before) = self.shapes.get_mut(..=index) {
            before.rotate_right(1);
        }
    }

    /// An object was noted, and nothing else was replaced in it.
    fn learn(&mut self, bytes: &[u8], sections: u64, rule: Rule) {
        let same = self.shapes.iter().position(|shape| shape.rule == rule && shape.has_around(bytes, &self.texts));
        match same {
            Some(index) => self.meet(index),
            None if self.shapes.len() < SHAPES => self.shapes.insert(0, Shape::new(rule)),
            None => self.shapes.rotate_right(1),
        }
        if let Some(shape) = self.shapes.first_mut() {
            shape.become_like(bytes, &self.texts, same.is_some());
            (shape.sections, shape.rule) = (sections, rule);
        }
        while self.shapes.iter().map(Shape::held).sum::<usize>() > HELD {
            self.shapes.pop();
        }
    }
}

impl Shape {
    const fn new(rule: Rule) -> Self {
        Self { bytes: Vec::new(), texts: Vec::new(), places: Vec::new(), sections: 0, rule }
    }

    fn held(&self) -> usize {
        self.bytes.capacity() + (self.texts.capacity() + self.places.capacity()) * size_of::<Place>()
    }

    /// Where an object ends that begins at the cursor and is like this one. Tells where its names and values stand.
    fn find(&self, cursor: &Cursor<'_>, found: &mut Vec<Range<usize>>) -> Option<usize> {
        found.clear();
        let (mut at, mut from) = (cursor.at, 0);
        for place in &self.places {
            let start = step_over(cursor.input, at, self.bytes.get(from..place.start as usize)?)?;
            // A text that ends in anything but a quote has something else behind it than this one.
            at = cursor.stops.from(start);
            if place.what != What::Text {
                found.push(start..at);
            }
            from = place.end as usize;
        }
        step_over(cursor.input, at, self.bytes.get(from..)?)
    }

    /// The same from another object. What varied in one that is like it varies in it.
    fn become_like(&mut self, bytes: &[u8], texts: &[Place], same: bool) {
        let old = std::mem::take(&mut self.texts);
        self.texts.extend(texts.iter().enumerate().map(|(index, place)| {
            let old = old.get(index).filter(|_| same);
            let is_other = |old: &Place| old.varies || old.text(&self.bytes) != place.text(bytes);
            Place { varies: place.what != What::Text || old.is_some_and(is_other), ..*place }
        }));
        self.places = self.texts.iter().filter(|place| place.varies).copied().collect();
        // No more than there is, or a long one would take what all have.
        self.bytes = bytes.to_vec();
        // No value is kept: they are compared with nothing.
        for field in self.texts.iter().filter(|place| place.is_field()) {
            if let Some(value) = self.bytes.get_mut(field.start as usize..field.end as usize) {
                value.fill(0);
            }
        }
    }

    fn has_around(&self, bytes: &[u8], texts: &[Place]) -> bool {
        let (mut from, mut old_from) = (0, 0);
        self.texts.len() == texts.len()
            && self.texts.iter().zip(texts).all(|(old, new)| {
                let same = old.what == new.what
                    && self.bytes.get(old_from..old.start as usize) == bytes.get(from..new.start as usize);
                (old_from, from) = (old.end as usize, new.end as usize);
                same
            })
            && self.bytes.get(old_from..) == bytes.get(from..)
    }
}

impl Place {
    const fn is_field(&self) -> bool {
        matches!(self.what, What::Field { .. })
    }

    fn text<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(self.start as usize..self.end as usize)
    }
}

/// Behind these bytes, if they stand there.
#[inline]
fn step_over(input: &[u8], at: usize, bytes: &[u8]) -> Option<usize> {
    let end = at + bytes.len();
    (input.get(at..end)? == bytes).then_some(end)
}

/// Whether that was written for the object: its bytes, with placeholders for its values.
fn is_all_else_kept(bytes: &[u8], texts: &[Place], mut written: &[u8]) -> bool {
    let mut from = 0;
    for field in texts.iter().filter(|place| place.is_field()) {
        let kept = bytes.get(from..field.start as usize).and_then(|before| written.strip_prefix(before));
        let Some(rest) = kept.and_then(|rest| rest.get(PLACEHOLDER_BYTES..)) else { return false };
        written = rest;
        from = field.end as usize;
    }
    bytes.get(from..) == Some(written)
}

impl Masker {
    /// An object of a list begins. Steps over it and those behind it that are like one before, masked. True if what comes then is not one
    /// more that begins here; else that one is read, and noted.
    #[inline(never)]
    pub(super) fn step_over_alike(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> bool {
        if self.alike.pause > 0 {
            self.alike.pause -= 1;
            return false;
        }
        let mut found = std::mem::take(&mut self.alike.found);
        let mut ended = false;
        while !ended && let Some((index, end)) = self.find_alike(cursor, &mut found) {
            self.alike.meet(index);
            // Few that are alike among many that are not are not worth it.
            self.alike.vain /= 2;
            self.step_over_one(end, &found, cursor, out);
            self.end_value(cursor);
            ended = self.state != State::Value || cursor.peek() != Some(b'{');
        }
        self.alike.found = found;
        if !ended && self.level == 0 && !self.muted {
            self.note(cursor, out);
        }
        ended
    }

    /// Which of the remembered ones the object is like that begins here, and where it ends.
    fn find_alike(&self, cursor: &Cursor<'_>, found: &mut Vec<Range<usize>>) -> Option<(usize, usize)> {
        let rule = self.rule();
        let mut shapes = self.alike.shapes.iter().enumerate().filter(|(_, shape)| shape.rule == rule);
        shapes.find_map(|(index, shape)| Some((index, shape.find(cursor, found)?)))
    }

    /// The same with the object that is like the first of them, and ends there.
    fn step_over_one(&mut self, end: usize, found: &[Range<usize>], cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        let shapes = std::mem::take(&mut self.alike.shapes);
        if let Some(shape) = shapes.first() {
            let (live, ordinal, depth) = (self.live, self.ordinal, self.stack.len() + 1);
            self.open_subject(depth);
            let places = shape.places.iter().filter(|place| place.what != What::Text);
            for (place, text) in places.zip(found) {
                let name = cursor.input.get(text.clone()).unwrap_or_default();
                match place.what {
                    What::Text => {}
                    What::Name => self.note_name(Key::Name, name),
                    What::Namespace => self.note_name(Key::Namespace, name),
                    What::Field { string, sections, key } => {
                        cursor.at = text.start;
                        cursor.keep(out);
                        self.ordinal = ordinal + u64::from(sections);
                        // Before the value stand its name and `":"`.
                        let end = (place.start as usize).saturating_sub(3);
                        let key = shape.bytes.get(end.saturating_sub(key as usize)..end).unwrap_or_default();
                        let section = if string { "stringData" } else { "data" };
                        self.placeholder_of("Secret", section, key, Some(depth), out);
                        cursor.kept = text.end;
                    }
                }
            }
            self.live = live;
            self.ordinal = ordinal + shape.sections;
            cursor.at = end;
        }
        self.alike.shapes = shapes;
        #[cfg(test)]
        {
            self.alike.stepped += 1;
        }
    }

    fn rule(&self) -> Rule {
        Rule {
            depth: self.stack.len(),
            presumed: self.top.presumed,
            status_of_secret: self.status_of_secret,
            message_passed: self.message_passed,
            has_secrets: self.has_secrets(),
        }
    }

    /// What begins here is noted while it is read.
    #[cold]
    fn note(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        self.alike.vain += 1;
        if self.alike.vain > VAIN {
            self.alike.pause = 1 << (self.alike.vain - VAIN).min(LONGEST_PAUSE);
        }
        cursor.keep(out);
        self.alike.texts.clear();
        self.alike.noting = Some(Noting {
            start: cursor.at,
            written: out.len(),
            depth: self.stack.len() + 1,
            masked: self.summary.masked,
            ordinal: self.ordinal,
            rule: self.rule(),
        });
    }

    /// A string passes, there, and nothing follows from it but, for one of those keys, a name.
    #[cold]
    pub(super) fn note_text(&mut self, text: Range<usize>, key: Option<Key>) {
        let what = match key {
            None => What::Text,
            Some(key) => {
                let subject = self.live.checked_sub(1).and_then(|last| self.subjects.get(last));
                let depth = self.alike.noting.map(|noting| noting.depth);
                // Another object in this one has names of its own.
                if subject.map(|subject| subject.depth) != depth {
                    return;
                }
                if key == Key::Name { What::Name } else { What::Namespace }
            }
        };
        self.note_place(text, what);
    }

    /// A value of a Secret was masked that belongs to the object of that frame.
    #[cold]
    pub(super) fn note_field(&mut self, text: Range<usize>, key: &[u8], owner: usize) {
        if let Some(noting) = self.alike.noting
            && noting.depth == owner
        {
            let sections = (self.ordinal - noting.ordinal) as u32;
            let string = self.section == "stringData";
            self.note_place(text, What::Field { string, sections, key: key.len() as u32 });
        }
    }

    fn note_place(&mut self, text: Range<usize>, what: What) {
        let alike = &mut self.alike;
        let Some(noting) = alike.noting else { return };
        if alike.texts.len() == TEXTS {
            alike.noting = None;
            return;
        }
        // Within a piece.
        let [start, end] = [text.start, text.end].map(|at| (at - noting.start) as u32);
        alike.texts.push(Place { start, end, what, varies: false });
    }

    /// An object of a list has ended, and the list is open again. What was noted of the object is remembered.
    #[inline(never)]
    pub(super) fn learn_alike(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) {
        let Some(noting) = self.alike.noting.take() else { return };
        if self.muted {
            return;
        }
        cursor.keep(out);
        let rule = self.rule();
        let bytes = cursor.input.get(noting.start..cursor.at);
        let (Some(bytes), Some(written)) = (bytes, out.get(noting.written..)) else { return };
        let alike = &mut self.alike;
        let fields = alike.texts.iter().filter(|place| place.is_field()).count() as u64;
        if rule == noting.rule
            && self.summary.masked == noting.masked + fields
            && is_all_else_kept(bytes, &alike.texts, written)
        {
            alike.learn(bytes, self.ordinal - noting.ordinal, rule);
        }
    }
}
