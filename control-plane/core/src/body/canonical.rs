//! Two ways to write a value: one form per value for digests, and one text that every API server reads alike.

use super::number;
use serde_json::Value;

/// Canonical JSON for digests: RFC 8785 (keys by UTF-16 code units, no space, shortest escapes), except that integers keep all their
/// digits and a whole float keeps `.0`, so that two values that differ never share a form.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out, true);
    out.into_bytes()
}

/// JSON to forward. Characters that YAML 1.1 takes as line breaks or refuses are escaped, so an `apply-patch+yaml` body says the same
/// to the API server's YAML reader as to any JSON reader. Keys keep the order that the map has.
#[must_use]
pub fn wire(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write(value, &mut out, false);
    out.into_bytes()
}

fn write(value: &Value, out: &mut String, canonical: bool) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number::text(number)),
        Value::String(text) => write_string(text, out, canonical),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out, canonical);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            if canonical {
                entries.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            }
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out, canonical);
                out.push(':');
                write(item, out, canonical);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String, canonical: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || (!canonical && !is_plain_in_yaml(c)) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What YAML 1.1 (libyaml, and its Go port in the API server) takes as text inside a line: printable and no line break.
pub(super) fn is_plain_in_yaml(c: char) -> bool {
    matches!(c, '\t' | ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}
