//! Reads a tree of values and notes every mistake: a wrong type, and every key that nobody asked for.

use serde_json::{Map, Value};
use shared::config::Problems;

/// A mapping of which keys are taken until none is left.
pub(super) struct Fields {
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The top of the tree.
    pub(super) fn root(value: Value, problems: &mut Problems) -> Self {
        Self::new(String::new(), Some(value), problems)
    }

    fn new(at: String, value: Option<Value>, problems: &mut Problems) -> Self {
        let map = match value {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
                problems.push(if at.is_empty() { "values" } else { at.as_str() }, format!("{other} is no mapping"));
                Map::new()
            }
        };
        Self { at, map }
    }

    /// Where a key of it stands.
    pub(super) fn key(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    /// The mapping below a key; empty where there is none.
    pub(super) fn fields(&mut self, key: &str, problems: &mut Problems) -> Self {
        Self::new(self.key(key), self.map.remove(key), problems)
    }

    /// Whatever is there.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str, problems: &mut Problems) -> Option<String> {
        let value = self.value(key)?;
        let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            problems.push(self.key(key), format!("{value} is no text, or an empty one"));
        }
        text
    }

    /// A list of texts; empty where there is none.
    pub(super) fn texts(&mut self, key: &str, problems: &mut Problems) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let texts = value.as_array().and_then(|list| {
            list.iter().map(|item| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned)).collect()
        });
        texts.unwrap_or_else(|| {
            problems.push(self.key(key), format!("{value} is no list of texts"));
            Vec::new()
        })
    }

    /// Texts by name; empty where there are none.
    pub(super) fn named_texts(&mut self, key: &str, problems: &mut Problems) -> Vec<(String, String)> {
        let inner = self.fields(key, problems);
        let mut texts = Vec::new();
        for (name, value) in &inner.map {
            match value.as_str() {
                Some(text) => texts.push((name.clone(), text.to_owned())),
                None => problems.push(inner.key(name), format!("{value} is no text")),
            }
        }
        texts
    }

    /// A port.
    pub(super) fn port(&mut self, key: &str, problems: &mut Problems) -> Option<u16> {
        let value = self.value(key)?;
        let port = as_port(&value);
        if port.is_none() {
            problems.push(self.key(key), format!("{value} is no port; write a number from 1 to 65535"));
        }
        port
    }

    /// A list of ports; empty where there is none.
    pub(super) fn ports(&mut self, key: &str, problems: &mut Problems) -> Vec<u16> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let ports = value.as_array().and_then(|list| list.iter().map(as_port).collect());
        ports.unwrap_or_else(|| {
            problems.push(self.key(key), format!("{value} is no list of ports"));
            Vec::new()
        })
    }

    /// A mapping that somebody else understands: of a container's resources, for one.
    pub(super) fn mapping(&mut self, key: &str, problems: &mut Problems) -> Option<Value> {
        let value = self.value(key)?;
        if value.is_object() {
            return Some(value);
        }
        problems.push(self.key(key), format!("{value} is no mapping"));
        None
    }

    /// Notes every key that is left.
    pub(super) fn end(self, problems: &mut Problems) {
        for key in self.map.keys() {
            problems.push(self.key(key), "there is no such key");
        }
    }
}

fn as_port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}
