//! What managers of fields own, which objects of a list mostly have alike: a third of a list, and the same names over and over.
//!
//! A `fieldsV1` that was read once and passed on as it was is known by its bytes. Where the next object has the same bytes at the same
//! depth, under the same rule, reading them again could only come to the same end.

use serde_json::{Map, Value};

use super::masker::Masker;
use super::scan::Cursor;

/// How many are remembered: as many as the objects of a list may have managers.
const REMEMBERED: usize = 8;
/// Bytes of the longest.
const LONGEST: usize = 4096;

/// The ones that were read last.
#[derive(Debug, Default)]
pub(super) struct Known {
    fields: Vec<Fields>,
    /// Whose place the next one takes.
    next: usize,
    /// Where in the piece the one begins that is being read, and how many sections of Secrets came before it.
    begun: Option<(usize, u64)>,
}

#[derive(Debug)]
struct Fields {
    /// From brace to brace.
    bytes: Vec<u8>,
    rule: Rule,
}

/// What decides how one is read, apart from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// Containers around it.
    depth: usize,
    /// Whether it may be that of a Secret.
    guarded: bool,
}

impl Known {
    /// A piece has ended: what is being read can't be seen whole.
    pub(super) fn end_piece(&mut self) {
        self.begun = None;
    }
}

impl Masker {
    /// A `fieldsV1` begins. True if it is known, and has been stepped over.
    pub(super) fn is_known(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let rule = Rule { depth: self.stack.len(), guarded: self.carrier_is_secret() != Some(false) };
        let rest = cursor.rest();
        let known = self.known.fields.iter().find(|fields| fields.rule == rule && rest.starts_with(&fields.bytes));
        match known {
            Some(fields) => cursor.at += fields.bytes.len(),
            None => self.known.begun = Some((cursor.at, self.ordinal)),
        }
        known.is_some()
    }

    /// Its brace was just read, and what was around it is open again.
    pub(super) fn remember(&mut self, cursor: &Cursor<'_>) {
        let Some((begun, sections)) = self.known.begun.take() else { return };
        // What something was replaced in can't be passed on as it is, and a section that is empty counts all the same.
        let untouched = cursor.kept <= begun && !self.muted && self.ordinal == sections;
        let bytes = cursor.input.get(begun..cursor.at).filter(|bytes| untouched && bytes.len() <= LONGEST);
        let Some(bytes) = bytes else { return };
        let rule = Rule { depth: self.stack.len(), guarded: self.carrier_is_secret() != Some(false) };
        let known = &mut self.known;
        if known.fields.len() < REMEMBERED {
            known.fields.push(Fields { bytes: bytes.to_vec(), rule });
        } else if let Some(place) = known.fields.get_mut(known.next) {
            place.bytes.clear();
            place.bytes.extend_from_slice(bytes);
            place.rule = rule;
            known.next = (known.next + 1) % REMEMBERED;
        }
    }
}

/// Below `f:data` of a Secret stand names; a value there would be one of the Secret's.
pub(super) fn empty_fields_of_data(fields: &mut Map<String, Value>) {
    for (_, below) in fields.iter_mut().filter(|(name, _)| *name == "f:data" || *name == "f:stringData") {
        match below {
            Value::Object(members) => members.values_mut().for_each(|value| *value = Value::Object(Map::new())),
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                *below = Value::Object(Map::new())
            }
        }
    }
}
