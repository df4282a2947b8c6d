//! Which field of an object a place in a document means that is written: the object anew, a patch that looks like one, or what kubectl keeps
//! of it in last-applied.
//!
//! A place is in the writer's hand: the same path can lead to another element of a list, or through a map where a list was. So both
//! documents are gone through side by side, and a place means a field only if one pattern of policy reaches both: whatever is put there is
//! masked again. Elements of lists are told by what names them, as policy does (`[name=…]`), so no value gets to another element.
//!
//! All places are found at once, before anything is put back, so each pattern goes through the documents once, however many placeholders
//! there are and wherever lists have moved.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash as _, Hasher};

use serde_json::Value;

use super::pattern::fits;
use super::{MaskedFields, Pattern, Step};
use crate::mask::placeholder::is_placeholder;

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    /// The document, with the placeholders that the client wrote.
    pub(crate) document: &'a Value,
    /// It is the object in the very state that was read, by its `resourceVersion`: no list has moved since.
    pub(crate) same_state: bool,
}

/// An object as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live<'a> {
    /// As the API server has it.
    pub(crate) real: &'a Value,
    /// As the client was shown it. Names are compared with this one: one that is masked may be written as it was shown, and not guessed.
    pub(crate) shown: &'a Value,
}

impl MaskedFields {
    /// Each text of what is written that stands in the place of a masked field, as that was shown, with what the field has.
    pub(crate) fn fitting<'a>(&self, written: Written<'_>, live: Live<'a>, found: &mut dyn FnMut(&str, &'a Value)) {
        for pattern in self.0.iter().map(Pattern::steps) {
            let mut walk = Walk { same_state: written.same_state, found: &mut *found };
            walk.follow(pattern, written.document, live, false);
        }
    }
}

struct Walk<'a, 'f> {
    same_state: bool,
    found: &'f mut dyn FnMut(&str, &'a Value),
}

impl<'a> Walk<'a, '_> {
    /// `is_alike`: the two are known to be, as wholes. No deeper than a document is read.
    fn follow(&mut self, steps: &[Step], written: &Value, live: Live<'a>, is_alike: bool) {
        // Everything below the last step is masked.
        let (step, rest) = steps.split_first().map_or((None, steps), |(step, rest)| (Some(step), rest));
        match (written, live.real, live.shown) {
            (Value::String(text), real, Value::String(shown)) if step.is_none() && text == shown => {
                (self.found)(text, real);
            }
            (Value::Object(members), Value::Object(real), Value::Object(shown)) => {
                for (name, member) in members {
                    let leads = match step {
                        None => true,
                        Some(Step::Member(pattern)) => fits(pattern, name),
                        Some(Step::Elements | Step::Where(..)) => false,
                    };
                    if let (true, Some(real), Some(shown)) = (leads, real.get(name), shown.get(name)) {
                        self.follow(rest, member, Live { real, shown }, is_alike);
                    }
                }
            }
            (Value::Array(items), Value::Array(real), Value::Array(shown)) => {
                let lists = Lists { items, shown, same_state: self.same_state, is_alike };
                match step {
                    None | Some(Step::Elements) => self.elements(rest, &lists, real),
                    Some(Step::Where(name, pattern)) => self.named(rest, &lists, real, (name, pattern)),
                    Some(Step::Member(_)) => {}
                }
            }
            _ => {}
        }
    }

    fn elements(&mut self, rest: &[Step], lists: &Lists<'_, 'a>, real: &'a [Value]) {
        let mut names = Names::of(lists, "name");
        let mut looks = Looks::of(lists);
        for (index, item) in lists.items.iter().enumerate() {
            // By its name, as most lists have it, or by everything in it that can be seen.
            if item.get("name").is_none() {
                if looks.has_same(index, item) {
                    self.element(rest, lists, real, (index, index), true);
                }
            } else if let Some(at) = names.same(index, item) {
                self.element(rest, lists, real, (index, at), lists.is_alike && at == index);
            }
        }
    }

    fn named(&mut self, rest: &[Step], lists: &Lists<'_, 'a>, real: &'a [Value], (name, pattern): (&str, &str)) {
        let mut names = Names::of(lists, name);
        for (index, item) in lists.items.iter().enumerate() {
            let Some(at) = names.same(index, item) else { continue };
            let is_meant =
                |real: &Value| real.get(name).and_then(Value::as_str).is_some_and(|text| fits(pattern, text));
            if real.get(at).is_some_and(is_meant) {
                self.element(rest, lists, real, (index, at), lists.is_alike && at == index);
            }
        }
    }

    fn element(
        &mut self,
        rest: &[Step],
        lists: &Lists<'_, 'a>,
        real: &'a [Value],
        (index, at): (usize, usize),
        is_alike: bool,
    ) {
        if let (Some(written), Some(real), Some(shown)) = (lists.items.get(index), real.get(at), lists.shown.get(at)) {
            self.follow(rest, written, Live { real, shown }, is_alike);
        }
    }
}

/// A list as it is written and as it was shown.
struct Lists<'w, 'a> {
    items: &'w [Value],
    shown: &'a [Value],
    same_state: bool,
    is_alike: bool,
}

/// Which elements have the same in a member.
struct Names<'w, 'a> {
    items: &'w [Value],
    shown: &'a [Value],
    member: &'w str,
    /// Where each name stands that is there once, in both lists. Made when the first element has moved.
    only: Option<[HashMap<&'w str, Option<usize>>; 2]>,
}

impl<'w, 'a: 'w> Names<'w, 'a> {
    const fn of(lists: &Lists<'w, 'a>, member: &'w str) -> Self {
        Self { items: lists.items, shown: lists.shown, member, only: None }
    }

    /// The element that was shown with the name of this one: that in the same place, or the only one.
    fn same(&mut self, index: usize, item: &Value) -> Option<usize> {
        let name = item.get(self.member)?.as_str()?;
        if self.shown.get(index).is_some_and(|shown| shown.get(self.member).and_then(Value::as_str) == Some(name)) {
            return Some(index);
        }
        let (items, shown, member) = (self.items, self.shown, self.member);
        let [written, shown] = self.only.get_or_insert_with(|| [only(items, member), only(shown, member)]);
        let is_only = |names: &HashMap<&str, Option<usize>>| names.get(name).copied().flatten();
        is_only(written).and_then(|_| is_only(shown))
    }
}

/// Names with their places; `None` for those that stand in several.
fn only<'w>(items: &'w [Value], member: &str) -> HashMap<&'w str, Option<usize>> {
    let mut names = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let Some(name) = item.get(member).and_then(Value::as_str) else { continue };
        match names.entry(name) {
            Entry::Occupied(mut there) => drop(there.insert(None)),
            Entry::Vacant(free) => drop(free.insert(Some(index))),
        }
    }
    names
}

/// Which elements are told by what can be seen of them.
struct Looks<'a> {
    shown: &'a [Value],
    is_alike: bool,
    /// The list is as long as it was, or the object in the state that was read: what stands in a place stays there.
    is_still: bool,
    /// How many elements were shown that look so. Made when a list has moved.
    count: Option<HashMap<u64, usize>>,
}

impl<'a> Looks<'a> {
    const fn of(lists: &Lists<'_, 'a>) -> Self {
        let Lists { items, shown, same_state, is_alike } = *lists;
        Self { shown, is_alike, is_still: same_state || items.len() == shown.len(), count: None }
    }

    /// Whether this one is the element that was shown in the same place. Where several look the same, as texts do that are all masked, one
    /// that has come or gone before them would move the values of all.
    fn has_same(&mut self, index: usize, item: &Value) -> bool {
        let Some(shown) = self.shown.get(index) else { return false };
        if !self.is_alike && !alike(item, shown) {
            return false;
        }
        self.is_still || self.is_only(shown)
    }

    fn is_only(&mut self, shown: &Value) -> bool {
        let all = self.shown;
        let count = self.count.get_or_insert_with(|| {
            let mut count = HashMap::new();
            all.iter().for_each(|shown| *count.entry(look(shown)).or_default() += 1);
            count
        });
        (shown.is_object() || shown.is_array()) && count.get(&look(shown)) == Some(&1)
    }
}

/// A number for what can be seen of a value. That two different ones have the same is improbable, and means a refusal.
fn look(shown: &Value) -> u64 {
    fn add(value: &Value, hasher: &mut DefaultHasher) {
        match value {
            Value::String(text) if is_placeholder(text) => 0_u8.hash(hasher),
            Value::Object(members) => {
                (1_u8, members.len()).hash(hasher);
                for (name, member) in members {
                    name.hash(hasher);
                    add(member, hasher);
                }
            }
            Value::Array(items) => {
                (2_u8, items.len()).hash(hasher);
                items.iter().for_each(|item| add(item, hasher));
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => (3_u8, value).hash(hasher),
        }
    }
    let mut hasher = DefaultHasher::new();
    add(shown, &mut hasher);
    hasher.finish()
}

/// The same but for what is masked.
fn alike(written: &Value, shown: &Value) -> bool {
    match (written, shown) {
        (Value::Object(_) | Value::Array(_), Value::String(_)) => false,
        (_, Value::String(text)) if is_placeholder(text) => true,
        (Value::Object(written), Value::Object(shown)) => {
            let same = |(name, value): (&String, &Value)| written.get(name).is_some_and(|own| alike(own, value));
            written.len() == shown.len() && shown.iter().all(same)
        }
        (Value::Array(written), Value::Array(shown)) => {
            written.len() == shown.len() && written.iter().zip(shown).all(|(written, shown)| alike(written, shown))
        }
        (written, shown) => written == shown,
    }
}
