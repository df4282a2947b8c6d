//! Every text of a body is looked at once: it carries no placeholder, or it stands in a place of the closed list here, or the body is
//! refused. What was put in is not looked at again: a value may be anything.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::read::{ReadObject, annotation};
use super::release::Payload;
use super::{RestoreError, Why, document};
use crate::mask::changes::{json_patch, pointer};
use crate::mask::placeholder::PLACEHOLDER_BYTES;
use crate::mask::release::SecretField;
use crate::mask::{
    FieldPath, LAST_APPLIED, MaskContext, Written, contains_placeholder, find_placeholder, is_placeholder,
};

/// What restoring needs to know beside the body.
#[derive(Clone, Copy)]
pub(crate) struct Restorer<'a> {
    /// The request writes a Secret; elsewhere only whole annotations go back.
    pub(crate) secret: bool,
    /// The release of helm's in it, opened.
    pub(crate) release: Option<&'a Payload>,
    /// Nothing is stored: nothing is put back that is compared first.
    pub(crate) dry_run: bool,
    /// The object that is written, as it is; `None`: there is none.
    pub(crate) live: Option<&'a ReadObject>,
    /// What was read beside it: revisions of the release that it belongs to, and Secrets of that.
    pub(crate) more: &'a [ReadObject],
    /// Keys and cluster.
    pub(crate) mask: &'a MaskContext,
}

/// The two sections of a Secret: the API server joins them, so both are the same fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// In base64.
    Data,
    /// In the clear.
    StringData,
}

impl Section {
    pub(super) const BOTH: [Self; 2] = [Self::Data, Self::StringData];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::StringData => "stringData",
        }
    }
}

/// One document on its way through.
struct Walk<'a, 'v> {
    restorer: Restorer<'a>,
    /// Name of the object where there is none yet.
    name: &'v str,
    /// In last-applied: what stood there until now, or nothing that could be read.
    document: Option<&'v Value>,
    /// What goes into fields that policy masks.
    fields: Fields<'a, 'v>,
    path: Vec<String>,
}

/// The values of masked fields by the placeholders that stand for them.
type Placed<'a> = HashMap<String, &'a Value>;

enum Fields<'a, 'v> {
    /// By where the placeholder is in memory: each is a text of its own, and stays there until it is replaced.
    At(HashMap<usize, &'a Value>),
    /// Operations of a JSON Patch have no places of their own: those of the patched object were found before.
    Placed(&'v Placed<'a>),
}

impl<'a> Restorer<'a> {
    /// An object, or one of the patches that look like one.
    pub(super) fn object(&self, body: &mut Value) -> Result<(), RestoreError> {
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let own = version(body).filter(|own| own.as_str().is_some_and(|own| !own.is_empty()));
        let same_state = own.is_some() && own == self.live.and_then(|live| version(live.real()));
        self.whole(body, same_state, |_, _| {})
    }

    /// `placed`: is told of each placeholder that goes into a masked field.
    fn whole(
        &self,
        body: &mut Value,
        same_state: bool,
        placed: impl FnMut(&str, &'a Value),
    ) -> Result<(), RestoreError> {
        let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let fields = self.fields(Written { document: body, same_state }, placed);
        Walk { restorer: *self, name: &name, document: None, fields, path: Vec::new() }.value(body)
    }

    /// What goes into the masked fields of a document: found before anything is put back, for names in it may be masked as well.
    fn fields<'v>(&self, written: Written<'_>, mut placed: impl FnMut(&str, &'a Value)) -> Fields<'a, 'v> {
        let mut at = HashMap::new();
        if let Some(live) = self.live {
            live.fields_shown_in(self.mask.fields(), written, &mut |text, real| {
                placed(text, real);
                at.insert(text.as_ptr().addr(), real);
            });
        }
        Fields::At(at)
    }

    /// A JSON Patch (RFC 6902). What it puts where is known only where nothing is copied or moved, and a test would tell whether the
    /// value that was put into it is the right one.
    pub(super) fn operations(&self, patch: &mut Value) -> Result<(), RestoreError> {
        puts_only(patch)?;
        let placed = self.patched(patch)?;
        for operation in patch.as_array_mut().into_iter().flatten() {
            let path = operation.get("path").and_then(Value::as_str).map(pointer).unwrap_or_default();
            if let Some(value) = operation.get_mut("value") {
                let fields = Fields::Placed(&placed);
                Walk { restorer: *self, name: "", document: None, fields, path }.value(value)?;
            }
        }
        Ok(())
    }

    /// What a JSON Patch puts into masked fields. The object that it makes says that: an operation may move what an earlier one has put
    /// somewhere, and where all of it ends up each placeholder must be in its own field.
    fn patched(&self, patch: &Value) -> Result<Placed<'a>, RestoreError> {
        let mut placed = Placed::new();
        let Some(live) = self.live.filter(|_| !self.mask.fields().is_empty()) else { return Ok(placed) };
        let mut after = json_patch::apply(live.real().clone(), patch).ok_or_else(|| {
            let field = find_placeholder(patch).unwrap_or_default().to_string();
            RestoreError { field, why: Why::Unapplied }
        })?;
        self.whole(&mut after, false, |text, real| {
            placed.insert(text.to_owned(), real);
        })?;
        Ok(placed)
    }

    /// Last-applied, written anew. `before` is what stood there.
    pub(super) fn document(&self, body: &mut Value, before: Option<&Value>) -> Result<(), RestoreError> {
        static NOTHING: Value = Value::Null;
        let fields = self.fields(Written { document: body, same_state: false }, |_, _| {});
        let document = Some(before.unwrap_or(&NOTHING));
        Walk { restorer: *self, name: "", document, fields, path: Vec::new() }.value(body)
    }
}

/// Refuses a JSON Patch that copies or moves, or has a placeholder where it puts nothing.
fn puts_only(patch: &Value) -> Result<(), RestoreError> {
    for (index, operation) in patch.as_array().into_iter().flatten().enumerate() {
        let refused = |more: &str| Err(RestoreError { field: format!("/{index}{more}"), why: Why::Operation });
        let Some(operation) = operation.as_object() else { return refused("") };
        let puts = match operation.get("op").and_then(Value::as_str) {
            Some("add" | "replace") => true,
            Some("copy" | "move") | None => return refused("/op"),
            Some(_) => false,
        };
        for (name, member) in operation.iter().filter(|(name, _)| !puts || *name != "value") {
            if let Some(found) = find_placeholder(member) {
                return refused(&format!("/{name}{found}"));
            }
        }
    }
    Ok(())
}

/// Who says what becomes of the texts of a document that carry placeholders.
pub(super) trait Visit {
    /// Where in the document it is.
    fn path(&mut self) -> &mut Vec<String>;

    /// What this text becomes, which stands there.
    fn text(&mut self, text: &str) -> Result<Value, RestoreError>;

    /// What is wrong there.
    fn error(&self, why: Why) -> RestoreError;

    /// Looks at each text once, and at the names of members. No deeper than a document is read, so the recursion is bounded.
    fn value(&mut self, value: &mut Value) -> Result<(), RestoreError> {
        match value {
            Value::String(text) if contains_placeholder(text.as_bytes()) => {
                *value = self.text(text)?;
                Ok(())
            }
            Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(index, item)| {
                self.path().push(index.to_string());
                self.value(item)?;
                self.path().pop();
                Ok(())
            }),
            Value::Object(members) => members.iter_mut().try_for_each(|(name, member)| {
                self.path().push(name.clone());
                if contains_placeholder(name.as_bytes()) {
                    return Err(self.error(Why::Elsewhere));
                }
                self.value(member)?;
                self.path().pop();
                Ok(())
            }),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

impl Visit for Walk<'_, '_> {
    fn path(&mut self) -> &mut Vec<String> {
        &mut self.path
    }

    fn error(&self, why: Why) -> RestoreError {
        RestoreError { field: FieldPath::from(self.path.clone()).to_string(), why }
    }

    fn text(&mut self, text: &str) -> Result<Value, RestoreError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let field = match path.as_slice() {
            ["data", key] if self.restorer.secret => self.field(Section::Data, key, text),
            ["stringData", key] if self.restorer.secret => self.field(Section::StringData, key, text),
            ["metadata", "annotations", name] => return self.annotation(name, text).map(Value::String),
            _ => return self.configured(text).ok_or_else(|| self.error(Why::Elsewhere)),
        };
        field.map(Value::String).map_err(|why| self.error(why))
    }
}

impl Walk<'_, '_> {
    fn field(&self, section: Section, key: &str, text: &str) -> Result<String, Why> {
        let live = self.restorer.live;
        if live.is_none() && self.restorer.more.is_empty() {
            return Err(Why::NoObject);
        }
        if !is_placeholder(text) {
            return Err(Why::Altered);
        }
        // Only where texts stand in the clear may it be in the clear.
        let decoded = text.len() != PLACEHOLDER_BYTES;
        if decoded && section == Section::Data {
            return Err(Why::Altered);
        }
        let encoded = if decoded { STANDARD.encode(text) } else { text.to_owned() };
        let (namespace, name) = live.map_or_else(|| (self.restorer.mask.namespace(), self.name), ReadObject::place);
        let own = |section: Section| self.restorer.mask.is_own(namespace, name, section.name(), key, &encoded);
        let value = if Section::BOTH.into_iter().any(own) {
            let live = live.ok_or(Why::NoObject)?;
            // The value is the live one, also where it has changed since it was read. What only last-applied has is taken from there.
            value(live.real(), key).or_else(|| value(self.document?, key)).ok_or(Why::NoField)??
        } else if Section::BOTH
            .into_iter()
            .any(|section| self.restorer.mask.is_tried(namespace, name, section.name(), key, &encoded))
        {
            return Err(Why::Tried);
        } else {
            let stands = Value::from(text);
            let field = SecretField { namespace, name, section: section.name(), key, value: &stands };
            let absent = if live.is_none() { Why::NoObject } else { Why::Other };
            self.restorer.stored(&field, &encoded).ok_or_else(|| self.restorer.unread().unwrap_or(absent))??
        };
        match section {
            Section::Data => Ok(STANDARD.encode(value)),
            Section::StringData => String::from_utf8(value).map_err(|_| Why::NotText),
        }
    }

    /// A field that policy has masked: as it was shown it goes back to its own place, if it will be masked there.
    fn configured(&self, text: &str) -> Option<Value> {
        let found = match &self.fields {
            Fields::At(places) => places.get(&text.as_ptr().addr()),
            Fields::Placed(placed) => placed.get(text),
        };
        found.copied().cloned()
    }

    fn annotation(&self, name: &str, text: &str) -> Result<String, RestoreError> {
        let live = self.restorer.live.ok_or_else(|| self.error(Why::NoObject))?;
        // Last-applied has none of its own: kubectl leaves it out, and what stood in it would not be looked for in there.
        if name == LAST_APPLIED && self.document.is_some() {
            return Err(self.error(Why::Elsewhere));
        }
        // As it was shown, whatever it holds.
        if let Some(real) = live.annotation_shown_as(name, text) {
            return Ok(real.to_owned());
        }
        // kubectl takes what was applied last from where it is shown, also when it writes that by itself (`apply --server-side` for the first time).
        let applied = self.document.and_then(|document| annotation(document, name));
        if let Some(real) = applied.filter(|_| is_placeholder(text) && live.applies_annotation_as(name, text)) {
            return Ok(real.to_owned());
        }
        if name != LAST_APPLIED {
            return Err(self.error(Why::Elsewhere));
        }
        let here = self.error(Why::Altered);
        document::restore(&self.restorer, live.annotation(name), text).map_err(|within| match within {
            Some(RestoreError { field, why }) => RestoreError { field: format!("{}{field}", here.field), why },
            None => here,
        })
    }
}

/// The bytes of a Secret's field, as the API server would join the two sections.
pub(super) fn value(secret: &Value, key: &str) -> Option<Result<Vec<u8>, Why>> {
    if let Some(text) = text_of(secret, Section::StringData, key) {
        return Some(Ok(text.as_bytes().to_vec()));
    }
    text_of(secret, Section::Data, key).map(|text| STANDARD.decode(text).map_err(|_| Why::NoField))
}

fn text_of<'a>(secret: &'a Value, section: Section, key: &str) -> Option<&'a str> {
    secret.get(section.name())?.get(key)?.as_str()
}
