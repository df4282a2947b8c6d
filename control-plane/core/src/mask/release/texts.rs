//! The values of a release's Secrets in its other texts.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::Value;
use shared::limits::{
    RELEASE_COMPARED_BYTES, RELEASE_NAME_BYTES, RELEASE_NAMES_BYTES, RELEASE_PARTS, RELEASE_SEARCHED,
    RELEASE_VALUE_BYTES_MIN, RELEASE_VALUES, VALUE_BYTES_MIN,
};

use super::Found;
use crate::mask::values::{MASKED, SecretValues, TextMasker};

/// What everybody may know of a release.
#[derive(Debug, Default)]
pub(super) struct Texts {
    public: BTreeSet<String>,
    /// Of all of them.
    bytes: usize,
}

/// Ready to be searched for.
pub(super) struct Search<'c> {
    /// Texts that are a value, and whether they are it as it is, not in base64.
    whole: HashMap<String, (&'c [u8], bool)>,
    /// What stands for the text of that number, counted as they are found. It says where the text stands, and not which value it is: whoever
    /// reads a release that he wrote would learn from equal placeholders that a guess of his is a value which was put back.
    code: &'c dyn Fn(u64) -> String,
    /// Those that were used, and the values.
    pub(super) codes: Vec<(String, Vec<u8>)>,
    /// Values that are looked for where chart and user wrote texts of their own.
    all: Arc<SecretValues>,
    /// Those that are looked for in other objects.
    long: Arc<SecretValues>,
    /// What stands in a text for a value in it.
    mark: String,
    /// The values that are texts.
    texts: Vec<&'c str>,
    /// Bytes that users' values may still be compared with; `None`: with more, and the release can't be shown.
    left: Cell<Option<usize>>,
}

/// What the name of a user's value says if it may be a part of a Secret's value.
const TELLING: [&str; 7] = ["pass", "pwd", "token", "secret", "key", "cred", "auth"];

/// What a user's value costs of [`RELEASE_COMPARED_BYTES`], so that there are no more than [`RELEASE_PARTS`] of them.
const PART: usize = RELEASE_COMPARED_BYTES / RELEASE_PARTS;
/// So many bytes' time is what each comparison takes beside its own.
const COMPARISON: usize = 64;

/// Whether a release has a file there, in base64 (`[]byte` in Go).
pub(crate) fn is_data(path: &[&str]) -> bool {
    matches!(path, ["chart", "templates" | "files", _, "data"] | ["chart", "schema"])
}

impl Texts {
    /// Names of an object that is no Secret: where it is must remain to be seen.
    pub(super) fn publish(&mut self, document: &Value) {
        let mut add = |value: Option<&Value>| self.add(value.and_then(Value::as_str));
        add(document.get("kind"));
        add(document.get("apiVersion"));
        let metadata = document.get("metadata");
        for name in ["name", "generateName", "namespace"] {
            add(metadata.and_then(|metadata| metadata.get(name)));
        }
        let labels = metadata.and_then(|metadata| metadata.get("labels")).and_then(Value::as_object);
        labels.into_iter().flatten().for_each(|(_, value)| add(Some(value)));
        for item in document.get("items").and_then(Value::as_array).into_iter().flatten() {
            self.publish(item);
        }
    }

    /// Names of the release and of its chart.
    pub(super) fn publish_release(&mut self, document: &Value) {
        let names = ["/name", "/namespace", "/chart/metadata/name", "/chart/metadata/version"];
        names.into_iter().for_each(|name| self.add(document.pointer(name).and_then(Value::as_str)));
    }

    fn add(&mut self, name: Option<&str>) {
        let Some(name) = name.filter(|name| name.len() <= RELEASE_NAME_BYTES) else { return };
        let room = RELEASE_NAMES_BYTES.saturating_sub(self.bytes);
        if name.len() <= room && self.public.insert(name.to_owned()) {
            self.bytes += name.len();
        }
    }

    /// `None`: there is more than can be searched for.
    pub(super) fn search<'c>(&self, found: &'c [Found], code: &'c dyn Fn(u64) -> String) -> Option<Search<'c>> {
        let mut whole = HashMap::new();
        let mut values = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let public = self.joined();
        for Found { value, .. } in found {
            let plain = std::str::from_utf8(value).ok();
            if value.trim_ascii().len() < VALUE_BYTES_MIN || !seen.insert(value.as_slice()) {
                continue;
            }
            if seen.len() > RELEASE_SEARCHED {
                return None;
            }
            if plain.is_some_and(|text| is_public(&public, text)) {
                continue;
            }
            values.insert(value.as_slice());
            whole.entry(STANDARD.encode(value)).or_insert((value.as_slice(), false));
            if let Some(text) = plain {
                whole.entry(text.to_owned()).or_insert((value.as_slice(), true));
            }
        }
        let longer = values.iter().filter(|value| value.trim_ascii().len() >= RELEASE_VALUE_BYTES_MIN);
        let long = Arc::new(SecretValues::new(longer.copied()).ok()?);
        let all = Arc::new(SecretValues::new(values.iter().copied()).ok()?);
        let mark = found.first().map(|found| found.placeholder.clone()).unwrap_or_default();
        let texts = values.iter().filter_map(|value| std::str::from_utf8(value).ok()).collect();
        let left = Cell::new(Some(RELEASE_COMPARED_BYTES));
        Some(Search { whole, code, codes: Vec::new(), all, long, mark, texts, left })
    }

    /// All names in one text, with something between them that is in none.
    fn joined(&self) -> String {
        self.public.iter().flat_map(|name| [name.as_str(), "\0"]).collect()
    }
}

/// A value that is a part of a name tells nothing that the name doesn't.
fn is_public(names: &str, value: &str) -> bool {
    let value = value.trim();
    !value.contains('\0') && memmem::find(names.as_bytes(), value.as_bytes()).is_some()
}

impl Search<'_> {
    /// A text of another object, masked; `None`: there is no value in it.
    pub(super) fn other(&self, text: &str) -> Option<String> {
        self.replaced(&self.long, text)
    }

    /// Everything but the manifests, which are masked already. `None`: a name of a member is a value, or there is too much to look at.
    pub(super) fn document(&mut self, document: &mut Value) -> Option<u64> {
        if self.long.is_empty() && self.all.is_empty() && self.whole.is_empty() {
            return Some(0);
        }
        let mut masked = 0;
        // First, so that a user's values have placeholders of their own before the chart's do.
        if let Some(config) = document.get_mut("config") {
            self.value(config, &mut vec!["config".to_owned()], &mut masked)?;
        }
        self.value(document, &mut Vec::new(), &mut masked)?;
        self.left.get().map(|_| masked)
    }

    fn value(&mut self, value: &mut Value, path: &mut Vec<String>, masked: &mut u64) -> Option<()> {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Some(shown) = self.shown(&number.to_string()) {
                    *value = Value::String(shown);
                    *masked += 1;
                }
            }
            Value::String(text) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                if let Some(shown) = self.text(text, &path) {
                    *text = shown;
                    *masked += 1;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    self.value(item, path, masked)?;
                    path.pop();
                }
            }
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    if self.replaced(&self.long, name).is_some() {
                        return None;
                    }
                    path.push(name.clone());
                    self.value(member, path, masked)?;
                    path.pop();
                }
            }
        }
        Some(())
    }

    /// What stands for a text that is a value; `None`: it is none.
    fn shown(&mut self, text: &str) -> Option<String> {
        let &(value, plain) = self.whole.get(text)?;
        let mut shown = self.mark.clone();
        if self.codes.len() < RELEASE_VALUES {
            shown = (self.code)(self.codes.len() as u64);
            self.codes.push((shown.clone(), value.to_vec()));
        }
        if plain { String::from_utf8(STANDARD.decode(&shown).ok()?).ok() } else { Some(shown) }
    }

    fn text(&mut self, text: &str, path: &[&str]) -> Option<String> {
        match path {
            // Manifests are masked already, and helm must know where it is.
            ["manifest"] | ["hooks", _, "manifest"] | ["info", "status"] => None,
            path if is_data(path) => {
                let Ok(file) = STANDARD.decode(text) else { return self.replaced(&self.all, text) };
                self.replaced_bytes(&self.all, &file).map(|file| STANDARD.encode(file))
            }
            ["config", ..] | ["chart", "values", ..] if self.is_part(text, path) => Some(self.mark.clone()),
            ["config", ..] | ["chart", "values", ..] | ["info", "notes" | "description"] => {
                self.shown(text).or_else(|| self.replaced(&self.all, text))
            }
            _ => self.replaced(&self.long, text),
        }
    }

    /// Whether a user's value, by its name a secret one, stands in a longer value of a Secret: in an address, or in a file.
    fn is_part(&self, text: &str, path: &[&str]) -> bool {
        let name = path.iter().rev().find(|part| part.parse::<usize>().is_err()).map(|name| name.to_ascii_lowercase());
        let telling = name.is_some_and(|name| TELLING.iter().any(|word| name.contains(word)));
        if !telling || text.len() < VALUE_BYTES_MIN || self.whole.contains_key(text) || self.texts.is_empty() {
            return false;
        }
        let mut left = self.left.get().and_then(|left| left.checked_sub(PART));
        self.left.set(left);
        if left.is_none() {
            return false;
        }
        let holds = |value: &&str| {
            left = left.and_then(|left| left.checked_sub(value.len() + COMPARISON));
            value.len() > text.len() && memmem::find(value.as_bytes(), text.as_bytes()).is_some()
        };
        let part = self.texts.iter().any(holds);
        self.left.set(left);
        part
    }

    fn replaced(&self, values: &Arc<SecretValues>, text: &str) -> Option<String> {
        self.replaced_bytes(values, text.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn replaced_bytes(&self, values: &Arc<SecretValues>, text: &[u8]) -> Option<Vec<u8>> {
        if values.is_empty() {
            return None;
        }
        let mut masker = TextMasker::new(Arc::clone(values));
        let mut out = Vec::with_capacity(text.len());
        masker.push(text, &mut out);
        if masker.finish(&mut out) == 0 {
            return None;
        }
        let mut marked = Vec::with_capacity(out.len());
        let mut rest = out.as_slice();
        while let Some(at) = memmem::find(rest, MASKED) {
            marked.extend_from_slice(rest.get(..at)?);
            marked.extend_from_slice(self.mark.as_bytes());
            rest = rest.get(at + MASKED.len()..)?;
        }
        marked.extend_from_slice(rest);
        Some(marked)
    }
}
