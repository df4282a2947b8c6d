//! Which field of an object a place in a document means that is written: the object anew, a patch that looks like one, or what kubectl keeps
//! of it in last-applied.
//!
//! A place is in the writer's hand: the same path can lead to another element of a list, or through a map where a list was. So both
//! documents are gone through side by side, and a place means a field only if one pattern of policy reaches both: whatever is put there is
//! masked again. Elements of lists are told by what names them, as policy does (`[name=…]`), so no value gets to another element.

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
    /// The place in the live object of the masked field that this place means.
    pub(crate) fn counterpart(&self, written: Written<'_>, live: Live<'_>, path: &[String]) -> Option<Vec<String>> {
        self.0.iter().find_map(|pattern: &Pattern| {
            let mut place = Vec::with_capacity(path.len());
            follow(pattern.steps(), written, live, path, &mut place).map(|()| place)
        })
    }
}

/// No deeper than the path is long, which is no deeper than a document is read.
fn follow(
    steps: &[Step],
    written: Written<'_>,
    live: Live<'_>,
    path: &[String],
    place: &mut Vec<String>,
) -> Option<()> {
    let Some((part, path)) = path.split_first() else {
        // Everything below the last step is masked.
        return steps.is_empty().then_some(());
    };
    let (step, rest) = steps.split_first().map_or((None, steps), |(step, rest)| (Some(step), rest));
    let (document, real, shown) = match (written.document, live.real, live.shown) {
        (Value::Object(members), Value::Object(real), Value::Object(shown)) => {
            match step {
                None => {}
                Some(Step::Member(pattern)) if fits(pattern, part) => {}
                Some(Step::Member(_) | Step::Elements | Step::Where(..)) => return None,
            }
            place.push(part.clone());
            (members.get(part)?, real.get(part)?, shown.get(part)?)
        }
        (Value::Array(items), Value::Array(real), Value::Array(shown)) => {
            let index = part.parse().ok()?;
            let at = match step {
                None | Some(Step::Elements) => same_element(items, shown, index, written.same_state)?,
                Some(Step::Where(name, pattern)) => {
                    let at = named_alike(items, shown, index, name)?;
                    real.get(at)?.get(name)?.as_str().filter(|text| fits(pattern, text))?;
                    at
                }
                Some(Step::Member(_)) => return None,
            };
            place.push(at.to_string());
            (items.get(index)?, real.get(at)?, shown.get(at)?)
        }
        _ => return None,
    };
    follow(rest, Written { document, ..written }, Live { real, shown }, path, place)
}

/// The element of `shown` that the written one is, where policy does not say what names them: by `name`, as most lists have it, or by
/// everything in it that can be seen.
fn same_element(items: &[Value], shown: &[Value], index: usize, same_state: bool) -> Option<usize> {
    let own = items.get(index)?;
    if own.get("name").is_some() {
        return named_alike(items, shown, index, "name");
    }
    // Nothing tells two texts from one another that are both masked, so one that has come or gone before them would move them all.
    let visible = own.is_object() || own.is_array();
    (alike(own, shown.get(index)?) && (visible || same_state || items.len() == shown.len())).then_some(index)
}

/// The element of `shown` with the name of the written one: that in the same place, or the only one.
fn named_alike(items: &[Value], shown: &[Value], index: usize, member: &str) -> Option<usize> {
    let name = items.get(index)?.get(member).filter(|name| name.is_string())?;
    let is_it = |item: &Value| item.get(member) == Some(name);
    if shown.get(index).is_some_and(is_it) {
        return Some(index);
    }
    let only = |items: &[Value]| {
        let mut found = items.iter().enumerate().filter(|(_, item)| is_it(item)).map(|(at, _)| at);
        found.next().filter(|_| found.next().is_none())
    };
    only(items).and_then(|_| only(shown))
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
