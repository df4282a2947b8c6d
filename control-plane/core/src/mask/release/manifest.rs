//! A manifest: documents in YAML, one after the other, as helm joins and splits them (helm pkg/release/v1/util/manifest.go).
//!
//! Documents that are no Secrets keep their text to the byte. Of one that is masked nothing is kept but a leading `# Source:`: comments may
//! repeat values, so it is written anew.

use serde_json::{Map, Value};
use shared::limits::RELEASE_EXCHANGED;

use crate::body::{Budget, read_yaml};

/// What stands between two documents, also where a text follows in the same line.
const SEPARATOR: &str = "---";
/// The comment in which helm says of what template a document is.
const SOURCE: &str = "# Source: ";

/// One document with its separator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece<'a> {
    /// All of it.
    pub(crate) text: &'a str,
    /// What it says; `None` where there is none, or where nobody can tell and it is certainly no Secret.
    pub(crate) document: Option<Value>,
}

/// The documents of a manifest: their texts together are the manifest. `None`: one can't be read, and may be a Secret.
pub(crate) fn pieces(manifest: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut budget = Budget::of_release();
    let (mut start, mut at) = (0, 0);
    for line in manifest.split_inclusive('\n') {
        if at > start && line.starts_with(SEPARATOR) {
            pieces.push(piece(manifest.get(start..at)?, &mut budget)?);
            start = at;
        }
        at += line.len();
    }
    pieces.push(piece(manifest.get(start..)?, &mut budget)?);
    Some(pieces)
}

fn piece<'t>(text: &'t str, budget: &mut Budget) -> Option<Piece<'t>> {
    let document = match read_yaml(text.strip_prefix(SEPARATOR).unwrap_or(text), budget.again()) {
        Ok(document) => document,
        Err(_) if may_be_secret(text) => return None,
        Err(_) => None,
    };
    Some(Piece { text, document })
}

/// Whether a text that we don't read (anchors, tags, keys that are no texts) may be a Secret to helm: then its kind is written out, as a word
/// that is no member's name, or hidden behind an escape of YAML.
fn may_be_secret(text: &str) -> bool {
    const HIDES: [&str; 8] = ["\\x", "\\u", "\\U", "\\\n", "\\\r", "binary", "%TAG", "tag:yaml"];
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let named = text.match_indices("Secret").any(|(at, word)| {
        let after = text.get(at + word.len()..).unwrap_or_default();
        let after = after.strip_prefix("List").unwrap_or(after).as_bytes();
        let before = text.as_bytes().get(..at).and_then(<[u8]>::last);
        // The name of a member may be an anchor, that a kind refers to.
        !is_word(before) && !is_word(after.first()) && (after.first() != Some(&b':') || text.contains('*'))
    });
    // A tag may be written with escapes of its own.
    named || text.contains('!') && text.contains('%') || HIDES.iter().any(|hides| text.contains(hides))
}

impl Piece<'_> {
    /// A text for another document in its place.
    pub(crate) fn rewritten(&self, document: &Value) -> String {
        let mut out = String::new();
        if self.text.starts_with(SEPARATOR) {
            out.push_str("---\n");
        }
        let source = self.text.strip_prefix(SEPARATOR).unwrap_or(self.text).trim_start();
        if let Some(line) = source.lines().next().filter(|line| line.starts_with(SOURCE)) {
            out.push_str(line);
            out.push('\n');
        }
        if let Some(members) = members(document) {
            block(members, 0, &mut out);
        } else {
            out.push_str(&document.to_string());
            out.push('\n');
        }
        out
    }

    /// The text with other scalars in it, and otherwise as it is, if that can be done: `pairs` are scalars before and after, and
    /// `document` is what it must say then. Else it is written anew.
    pub(crate) fn with(&self, pairs: &[(String, String)], document: &Value) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let inside = |text: &str| quoted(text).trim_matches('"').to_owned();
        let ways: [&dyn Fn(&str) -> String; 3] = [&str::to_owned, &inside, &quoted];
        for way in ways.into_iter().filter(|_| pairs.len() <= RELEASE_EXCHANGED) {
            let text =
                pairs.iter().fold(self.text.to_owned(), |text, (before, after)| text.replace(before, &way(after)));
            let same = read_yaml(text.strip_prefix(SEPARATOR).unwrap_or(&text), &mut Budget::of_release());
            if same.is_ok_and(|same| same.as_ref() == Some(document)) {
                return text;
            }
        }
        self.rewritten(document)
    }
}

/// Those of a map that isn't empty.
fn members(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|members| !members.is_empty())
}

/// Block style for maps, JSON for everything in them that is no map: YAML is a superset.
fn block(members: &Map<String, Value>, depth: usize, out: &mut String) {
    for (name, value) in members {
        out.push_str(&"  ".repeat(depth));
        out.push_str(&scalar(&Value::from(name.as_str())));
        out.push(':');
        if let Some(members) = self::members(value) {
            out.push('\n');
            block(members, depth + 1, out);
        } else {
            out.push(' ');
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

/// Names, and placeholders, need no quotes. Some words of YAML 1.1 are no texts without.
fn scalar(value: &Value) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match value.as_str() {
        Some(text)
            if text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
                && !WORDS.contains(&text.to_ascii_lowercase().as_str()) =>
        {
            text.to_owned()
        }
        _ => value.to_string(),
    }
}

/// One value of a Secret in a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretField<'a> {
    /// Namespace of the Secret; that of the release if it says none.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// `data` or `stringData`.
    pub(crate) section: &'static str,
    /// Member of the section.
    pub(crate) key: &'a str,
    /// What stands there.
    pub(crate) value: &'a Value,
}

/// The Secret that a document is, and those in lists that it is, with a pointer (RFC 6901) to each.
pub(crate) fn secrets<'a>(document: &'a Value, pointer: String, found: &mut Vec<(String, &'a Value)>) {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("kind") == "Secret" && text("apiVersion") == "v1" {
        found.push((pointer, document));
    } else if text("kind").ends_with("List") {
        let items = document.get("items").and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            secrets(item, format!("{pointer}/items/{index}"), found);
        }
    }
}

/// The values of a Secret.
pub(crate) fn fields<'a>(secret: &'a Value, namespace: &'a str) -> Vec<SecretField<'a>> {
    let own = |name: &str| secret.get("metadata")?.get(name)?.as_str().filter(|text| !text.is_empty());
    let Some(name) = own("name") else { return Vec::new() };
    let namespace = own("namespace").unwrap_or(namespace);
    let section = |section: &'static str| {
        let members = secret.get(section).and_then(Value::as_object).into_iter().flatten();
        members.map(move |(key, value)| SecretField { namespace, name, section, key, value })
    };
    section("data").chain(section("stringData")).collect()
}
