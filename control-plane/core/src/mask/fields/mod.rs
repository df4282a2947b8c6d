//! Fields that policy names, masked beside Secrets: of custom resources, of ConfigMaps, literals in the environment of containers.
//!
//! They come with the grant, for the resource that is asked for, and are masked in whatever shows an object of it: the object itself, each
//! element of a list, the object of a watch event or of a table's row, its last-applied annotation, its managed fields. Unlike a Secret's
//! values they can stand anywhere, so a document with such fields is held until it is whole ([`buffered`]), within a bound; whoever lists
//! much asks in pages, as kubectl does.
//!
//! Everything below a named field is masked: texts, numbers and flags. (Of protobuf, in which built-in kinds alone are written, texts
//! only.) A table's cells are computed by the API server from nobody sees what, so texts in them are masked too, but for names and ages,
//! and for pods and ConfigMaps, whose columns are known.

mod buffered;
mod deep;
mod given;
mod owned;
mod pattern;
mod place;
mod rename;
mod revealed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::{Map, Value};

pub(super) use buffered::FieldMasker;
pub use pattern::PatternError;
use pattern::{Pattern, Step, fits};
pub(crate) use place::{Live, Written};
pub use revealed::RevealedFields;

use super::placeholder::{Field, FieldPath, PLACEHOLDER_BYTES, Scope, ScopeKey};
use super::request::Room;
use super::{LAST_APPLIED, MaskContext, cut_name, is_placeholder};
use crate::body::{BodyError, Budget, json};
use crate::restore::go_text;

/// What stands in a cell of a table.
const CELL: &str = "(masked)";
/// Resources whose columns, as the API server prints them (pkg/printers/internalversion/printers.go), show no text of a field that anybody
/// would mask: names, numbers, images, selectors.
const PRINTED: [&str; 11] = [
    "pods",
    "configmaps",
    "podtemplates",
    "replicationcontrollers",
    "controllerrevisions.apps",
    "daemonsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "cronjobs.batch",
    "jobs.batch",
];

/// The fields of one resource.
#[derive(Clone, Debug, Default)]
pub struct MaskedFields(Arc<[Pattern]>);

impl MaskedFields {
    /// Reads what policy or a grant names.
    ///
    /// # Errors
    /// The first that can't be read; then nothing may be shown.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, PatternError> {
        texts.iter().map(|text| Pattern::parse(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Masks the fields in a document in which Secrets are masked already, and says how many values were replaced.
pub(super) fn mask(document: &mut Value, context: &MaskContext, room: &mut Room) -> u64 {
    masked(document, context, room, None).0
}

/// The same of an answer that is held in memory: what stands in place of many small values can be very much.
///
/// # Errors
/// It would be more than `budget` allows. Then the document must not be shown.
pub(super) fn mask_within(document: &mut Value, context: &MaskContext, budget: &mut Budget) -> Result<u64, BodyError> {
    let (masked, over) = masked(document, context, &mut Room::endless(), Some(budget));
    over.map_or(Ok(masked), Err)
}

fn masked(
    document: &mut Value,
    context: &MaskContext,
    room: &mut Room,
    budget: Option<&mut Budget>,
) -> (u64, Option<BodyError>) {
    if context.fields.is_empty() {
        return (0, None);
    }
    let steps: Vec<&[Step]> = context.fields.0.iter().map(Pattern::steps).collect();
    let MaskContext { keys, cluster, .. } = context;
    let mut walk = Walk {
        context,
        steps: &steps,
        key: keys.scope(&Scope { cluster, kind: &context.kind_of_fields(), ..Scope::default() }),
        place: Place::NOWHERE,
        masked: 0,
        room,
        budget,
        over: None,
    };
    walk.document(document);
    (walk.masked, walk.over)
}

struct Walk<'a> {
    context: &'a MaskContext,
    steps: &'a [&'a [Step]],
    key: ScopeKey,
    place: Place,
    masked: u64,
    room: &'a mut Room,
    budget: Option<&'a mut Budget>,
    /// What is over: nothing more is replaced then.
    over: Option<BodyError>,
}

impl Walk<'_> {
    /// The whole answer, or the object of a watch event. An error has nothing that policy names; what only shares its kind is masked.
    fn document(&mut self, document: &mut Value) {
        let is = |field: &str, text: &str| document.get(field).and_then(Value::as_str) == Some(text);
        if is("kind", "Status") && is("apiVersion", "v1") {
            return;
        }
        // Of a watch event.
        if self.context.stream
            && let Some(object) = document.get_mut("object")
        {
            self.document(object);
        }
        self.objects(document);
    }

    /// An object, and those that it is a list of. serde_json reads no deeper than 128, so the recursion is bounded.
    fn objects(&mut self, value: &mut Value) {
        match value {
            Value::Array(items) => return items.iter_mut().for_each(|item| self.objects(item)),
            Value::Object(members) => {
                if let Some(Value::Array(rows)) = members.get_mut("rows") {
                    rows.iter_mut().for_each(|row| self.row(row));
                }
                if let Some(items @ Value::Array(_)) = members.get_mut("items") {
                    self.objects(items);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        }
        self.object(value);
    }

    fn row(&mut self, row: &mut Value) {
        if let Some(object) = row.get_mut("object") {
            self.objects(object);
        }
        if PRINTED.contains(&self.context.resource.as_str()) {
            return;
        }
        let shows = |cell: &Value| match cell {
            Value::String(text) => !is_age(text),
            Value::Array(_) | Value::Object(_) => true,
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        let cells = row.get_mut("cells").and_then(Value::as_array_mut).into_iter().flatten();
        for cell in cells.skip(1).filter(|cell| shows(cell)) {
            *cell = Value::String(CELL.to_owned());
            self.masked += 1;
            self.room.take();
        }
    }

    fn object(&mut self, object: &mut Value) {
        let own = names(object, (&self.context.namespace, &self.context.name));
        let (namespace, name) = (own.0.to_owned(), own.1.to_owned());
        self.named(object, (&namespace, &name));
    }

    /// What is in an object of these names.
    fn named(&mut self, object: &mut Value, names: (&str, &str)) {
        self.place = Place::of(names.0, names.1);
        self.fields(object, self.steps);
        self.owned(object);
        let applied = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
        if let Some(Value::String(text)) = applied.and_then(|annotations| annotations.get_mut(LAST_APPLIED)) {
            self.last_applied(text, names);
        }
    }

    /// The same places as in the object, with the same placeholders: kubectl compares them. What can't be read in one way only may hold
    /// anything anywhere. Documents in documents end where the masker of Secrets, which came first, has replaced the next.
    fn last_applied(&mut self, text: &mut String, names: (&str, &str)) {
        if is_placeholder(text) {
            return;
        }
        let Ok(mut document) = json::read(text.as_bytes(), &mut Budget::of_annotation()) else {
            let outer = self.place;
            self.place = ["metadata", "annotations", LAST_APPLIED].into_iter().fold(outer, Place::at);
            *text = self.placeholder();
            self.place = outer;
            self.masked += 1;
            return;
        };
        let before = self.masked;
        self.applied(&mut document, names);
        if self.masked > before {
            *text = go_text(&document, text.ends_with('\n')).unwrap_or_default();
        }
    }

    /// A list, too: what stands there is what somebody wrote, and it may be one.
    fn applied(&mut self, document: &mut Value, outer: (&str, &str)) {
        let items = if document.is_array() { Some(&mut *document) } else { document.get_mut("items") };
        for item in items.and_then(Value::as_array_mut).into_iter().flatten() {
            let own = names(item, outer);
            let (namespace, name) = (own.0.to_owned(), own.1.to_owned());
            self.applied(item, (&namespace, &name));
        }
        if document.is_object() {
            self.named(document, outer);
        }
    }

    fn fields(&mut self, value: &mut Value, steps: &[&[Step]]) {
        if steps.iter().any(|steps| steps.is_empty()) {
            return self.hide(value);
        }
        match value {
            Value::Object(members) => self.members(members, steps),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let next: Vec<&[Step]> = steps.iter().filter_map(|steps| element(steps, item)).collect();
                    self.below(&index.to_string(), item, &next);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn members(&mut self, members: &mut Map<String, Value>, steps: &[&[Step]]) {
        for (name, value) in members.iter_mut() {
            let next: Vec<&[Step]> = steps.iter().filter_map(|steps| member(steps, name)).collect();
            self.below(name, value, &next);
        }
    }

    fn below(&mut self, part: &str, value: &mut Value, steps: &[&[Step]]) {
        if !steps.is_empty() {
            let outer = self.place;
            self.place = outer.at(part);
            self.fields(value, steps);
            self.place = outer;
        }
    }

    /// Everything at this place; of very much the place as one.
    fn hide(&mut self, value: &mut Value) {
        if self.room.is_for(values(value)) { self.hide_each(value) } else { self.replace(value) }
    }

    fn hide_each(&mut self, value: &mut Value) {
        let outer = self.place;
        match value {
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.replace(value),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.place = outer.at(&index.to_string());
                    self.hide_each(item);
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    self.place = outer.at(name);
                    self.hide_each(member);
                }
            }
        }
        self.place = outer;
    }

    fn replace(&mut self, value: &mut Value) {
        self.room.take();
        if self.room.is_over() {
            *value = Value::Null;
            return;
        }
        if let Some(Err(error)) = self.budget.as_mut().map(|budget| budget.placeholder()) {
            self.over = Some(error);
            return;
        }
        *value = Value::String(self.placeholder());
        self.masked += 1;
    }

    fn placeholder(&self) -> String {
        let mut code = Vec::with_capacity(PLACEHOLDER_BYTES);
        self.key.write(&Field { name: b"", ordinal: 0, section: "field", key: &self.place.0 }, &mut code);
        String::from_utf8(code).unwrap_or_default()
    }
}

/// Where something stands: a hash over the names on the way there, from the object's own to the last, each with what came before it. Written out
/// for each value, the way would be hashed as often as there are values at its end, however long its names are.
#[derive(Clone, Copy, Debug)]
struct Place([u8; 32]);

impl Place {
    const NOWHERE: Self = Self([0; 32]);

    /// The object of these names.
    fn of(namespace: &str, name: &str) -> Self {
        Self::NOWHERE.at(namespace).at(name)
    }

    fn at(self, part: &str) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.0);
        hash.update(part.as_bytes());
        let mut next = Self::NOWHERE;
        next.0.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, byte)| *to = *byte);
        next
    }
}

/// Namespace and name of an object; where it has none, these.
fn names<'a>(object: &'a Value, (namespace, name): (&'a str, &'a str)) -> (&'a str, &'a str) {
    let own = |field: &str| object.get("metadata")?.get(field)?.as_str().filter(|text| !text.is_empty());
    (own("namespace").map_or(namespace, cut_name), own("name").map_or(name, cut_name))
}

fn member<'s>(steps: &'s [Step], name: &str) -> Option<&'s [Step]> {
    match steps.split_first()? {
        (Step::Member(pattern), rest) => fits(pattern, name).then_some(rest),
        (Step::Elements | Step::Where(..), _) => None,
    }
}

fn element<'s>(steps: &'s [Step], item: &Value) -> Option<&'s [Step]> {
    match steps.split_first()? {
        (Step::Elements, rest) => Some(rest),
        (Step::Where(name, pattern), rest) => {
            item.get(name).and_then(Value::as_str).is_some_and(|text| fits(pattern, text)).then_some(rest)
        }
        (Step::Member(_), _) => None,
    }
}

/// How many are in it that would be replaced.
fn values(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(members) => members.values().map(values).sum(),
    }
}

/// `5d`, `12m30s`.
fn is_age(text: &str) -> bool {
    text.len() <= 8
        && text.ends_with(['s', 'm', 'h', 'd', 'y'])
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"smhdy".contains(&byte))
}
