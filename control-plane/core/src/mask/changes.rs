//! What a write does to the values of a Secret, in one word per field. Placeholders stand for places, so on the approver's page a changed
//! password would look like no change (ARCHITECTURE.md, Holds).
//!
//! Pure. Run by the agent, which sees the live object before it is masked: the request's body goes there, and only words come back. Where
//! there is no live object the control plane can say it by itself.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::body::Encoding;
use crate::request::Request;
use crate::request_info::{RequestInfo, Verb};
use crate::restore::{self, ReadObject};

use super::MaskContext;

pub(crate) mod json_patch;

pub(crate) use json_patch::pointer;

/// As Go reads `[]byte`: trailing bits don't matter.
const GO_BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What becomes of a value that nobody is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The same bytes before and after.
    Unchanged,
    /// Other bytes.
    Changed,
    /// There was none of that name.
    Added,
    /// There is none of that name afterwards.
    Removed,
}

/// One field and its word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldChange {
    /// `data/password`.
    pub field: String,
    /// What becomes of it.
    pub change: Change,
}

/// What the agent answers where it was asked for words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reviewed {
    /// The live object, masked; `None`: there is none.
    pub live: Option<Value>,
    /// The words; `None`: too many were asked for.
    pub masked_fields: Option<Vec<FieldChange>>,
}

/// How a body is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    /// POST and PUT: the object itself.
    Whole,
    JsonPatch,
    MergePatch,
    Strategic,
    Apply,
}

impl Form {
    const fn encoding(self) -> Encoding {
        match self {
            Self::Whole => Encoding::Json,
            Self::JsonPatch => Encoding::JsonPatch,
            Self::MergePatch => Encoding::MergePatch,
            Self::Strategic => Encoding::StrategicMergePatch,
            Self::Apply => Encoding::ApplyPatch,
        }
    }
}

/// A write of a Secret, as far as its values are concerned.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretWrite {
    form: Form,
    /// `fieldManager` of an apply: what it owned and leaves out is removed.
    manager: String,
    body: Value,
}

impl std::fmt::Debug for SecretWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretWrite").field("form", &self.form).finish_non_exhaustive()
    }
}

/// Whether a request is about Secrets themselves.
pub fn is_secret(info: &RequestInfo) -> bool {
    info.is_resource_request && info.api_group.is_empty() && info.resource == "secrets" && info.subresource.is_empty()
}

type Fields = BTreeMap<String, Bytes>;

/// A value, or what stands in its place although it can be none.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bytes {
    Value(Vec<u8>),
    Broken(String),
}

impl SecretWrite {
    /// Of a request; `None` if it writes no Secret.
    pub fn of(request: &Request) -> Option<Self> {
        let body = request.body().filter(|_| is_secret(request.info()))?;
        if !matches!(request.info().verb, Verb::Create | Verb::Update | Verb::Patch) {
            return None;
        }
        let form = match body.encoding {
            Encoding::Json | Encoding::Yaml | Encoding::Protobuf => Form::Whole,
            Encoding::JsonPatch => Form::JsonPatch,
            Encoding::MergePatch => Form::MergePatch,
            Encoding::StrategicMergePatch => Form::Strategic,
            Encoding::ApplyPatch => Form::Apply,
        };
        let manager = request.query().get("fieldManager").unwrap_or_default().to_owned();
        Some(Self { form, manager, body: body.value.clone() })
    }

    /// The words that the agent gives: what is sent has values where the placeholders of its own fields were. With others it will be
    /// refused; until then they are other bytes.
    pub fn changes_of(&self, live: Option<&ReadObject>, mask: &MaskContext) -> Vec<FieldChange> {
        let restored = restore::of_secret(self.form.encoding(), &self.body, live, mask);
        let real = live.map(ReadObject::real);
        match restored {
            Some(body) => Self { form: self.form, manager: self.manager.clone(), body }.changes(real),
            None => self.changes(real),
        }
    }

    /// One word for each field that is there before or after, in the order of their names. `live` is not masked.
    pub fn changes(&self, live: Option<&Value>) -> Vec<FieldChange> {
        let before = live.map(fields).unwrap_or_default();
        let after = match (self.form, live) {
            (Form::Whole, _) => fields(&self.body),
            (Form::JsonPatch, live) => match json_patch::apply(live.cloned().unwrap_or(Value::Null), &self.body) {
                Some(after) => fields(&after),
                None => return touched(&before, named(&self.body)),
            },
            (Form::MergePatch | Form::Strategic, _) => match self.merged(before.clone()) {
                Some(after) => after,
                None => return touched(&before, fields(&self.body).into_keys()),
            },
            (Form::Apply, live) => {
                let mut after = before.clone();
                let sent = fields(&self.body);
                for gone in live.map(|live| owned_alone(live, &self.manager)).unwrap_or_default() {
                    after.remove(&gone);
                }
                after.extend(sent);
                after
            }
        };
        words(&before, &after)
    }

    /// RFC 7386, and with the directives of a strategic merge patch (k8s.io/apimachinery strategicpatch); `None` where one can't be
    /// followed.
    fn merged(&self, before: Fields) -> Option<Fields> {
        let strategic = self.form == Form::Strategic;
        let whole = if strategic { directive(&self.body)? } else { Directive::Merge };
        let before = match whole {
            Directive::Merge if strategic => retained(&self.body, before, |_| "data")?,
            Directive::Merge => before,
            Directive::Replace => return Some(fields(&self.body)),
            Directive::Delete => return Some(Fields::new()),
        };
        let data = self.body.get("data");
        let word = data.filter(|_| strategic).map_or(Some(Directive::Merge), directive)?;
        let mut after = match (data, word) {
            (None, _) => before,
            (Some(Value::Null), _) | (_, Directive::Replace | Directive::Delete) => Fields::new(),
            (Some(data), Directive::Merge) if strategic => retained(data, before, String::as_str)?,
            (Some(_), Directive::Merge) => before,
        };
        let deleted = matches!(word, Directive::Delete);
        let is_field = |key: &str| !strategic || !(deleted || key.starts_with('$'));
        for (key, value) in members(&self.body, "data").filter(|(key, _)| is_field(key)) {
            if value.is_null() {
                after.remove(key);
            } else {
                after.insert(key.clone(), encoded(value));
            }
        }
        for (key, value) in members(&self.body, "stringData").filter(|(_, value)| !value.is_null()) {
            after.insert(key.clone(), plain(value));
        }
        Some(after)
    }
}

/// What `$patch` says of a map.
#[derive(Clone, Copy)]
enum Directive {
    /// Members are merged, as without it.
    Merge,
    /// Nothing stays that is not in the patch.
    Replace,
    /// Nothing stays.
    Delete,
}

/// `None`: none that is known.
fn directive(part: &Value) -> Option<Directive> {
    match part.get("$patch") {
        None => Some(Directive::Merge),
        Some(word) => match word.as_str()? {
            "merge" => Some(Directive::Merge),
            "replace" => Some(Directive::Replace),
            "delete" => Some(Directive::Delete),
            _ => None,
        },
    }
}

/// What `$retainKeys` in this part of a patch leaves of the fields, by the member that each is in; `None` where it can't be read.
fn retained(part: &Value, mut fields: Fields, member: impl Fn(&String) -> &str) -> Option<Fields> {
    if let Some(names) = part.get("$retainKeys") {
        let names: Option<BTreeSet<&str>> = names.as_array()?.iter().map(Value::as_str).collect();
        let names = names?;
        fields.retain(|field, _| names.contains(member(field)));
    }
    Some(fields)
}

/// `data`, and `stringData` on top of it, as the API server joins them.
fn fields(object: &Value) -> Fields {
    let data = members(object, "data").map(|(key, value)| (key.clone(), encoded(value)));
    let text = members(object, "stringData").map(|(key, value)| (key.clone(), plain(value)));
    data.chain(text).filter(|(key, _)| !key.starts_with('$')).collect()
}

fn members<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(name).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn encoded(value: &Value) -> Bytes {
    match value {
        Value::Null => Bytes::Value(Vec::new()),
        Value::String(text) => {
            // Go's decoder skips line breaks.
            let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            GO_BASE64.decode(&text).map_or(Bytes::Broken(text), Bytes::Value)
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Bytes::Broken(value.to_string()),
    }
}

fn plain(value: &Value) -> Bytes {
    match value {
        Value::Null => Bytes::Value(Vec::new()),
        Value::String(text) => Bytes::Value(text.clone().into_bytes()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Bytes::Broken(value.to_string()),
    }
}

/// Fields that an earlier apply of this manager set and no one else owns (structured-merge-diff: they go when it leaves them out).
fn owned_alone(live: &Value, manager: &str) -> BTreeSet<String> {
    let (mut mine, mut others) = (BTreeSet::new(), BTreeSet::new());
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let own = text("manager") == manager && text("operation") == "Apply" && text("subresource").is_empty();
        let names = entry.pointer("/fieldsV1/f:data").and_then(Value::as_object);
        let names = names.into_iter().flat_map(Map::keys).filter_map(|name| name.strip_prefix("f:"));
        if own { &mut mine } else { &mut others }.extend(names.map(str::to_owned));
    }
    mine.difference(&others).cloned().collect()
}

fn words(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let word = |name: &String| match (before.get(name), after.get(name)) {
        (Some(old), Some(new)) if old == new => Change::Unchanged,
        (None, _) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Changed,
    };
    names.into_iter().map(|name| FieldChange { field: format!("data/{name}"), change: word(name) }).collect()
}

/// The fields that a JSON Patch names.
fn named(patch: &Value) -> impl Iterator<Item = String> {
    let operations = patch.as_array().into_iter().flatten();
    let places = operations.flat_map(|operation| [operation.get("path"), operation.get("from")]).flatten();
    places.filter_map(|place| match pointer(place.as_str()?).as_slice() {
        [section, key] if section == "data" || section == "stringData" => Some(key.clone()),
        _ => None,
    })
}

/// Of a patch that can't be followed here. The API server will hardly follow it either; should it all the same, nothing was unchanged.
fn touched(before: &Fields, named: impl Iterator<Item = String>) -> Vec<FieldChange> {
    let names: BTreeSet<String> = before.keys().cloned().chain(named).collect();
    let word = |name: &String| if before.contains_key(name) { Change::Changed } else { Change::Added };
    names.iter().map(|name| FieldChange { field: format!("data/{name}"), change: word(name) }).collect()
}

#[cfg(test)]
mod tests;
