//! What the masker is measured against: a parsed document, which is the plain way to do it; a scanner that knows one place and checks
//! nothing, which is the fastest way that could be called masking; and a copy, which is the least there is to do.

use anyhow::{Result, bail};
use memchr::memchr2;
use serde_json::Value;

use super::masking::on_core;

/// What stands in place of a value here: of a placeholder's length, and always the same.
const REPLACED: &str = "c2FsbHlwb3J0OiBtYXNrZWQgdmFsdWU7IHdyaXRlIGl0IGJhY2sgdW5jaGFuZ2VkIG9yIGxlYXZlIHRoZSBmaWVsZCBvdXQgMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

/// How much the scanner writes before it begins anew, as if it had been sent.
const SENT: usize = 64 * 1024;

/// All of them, with the memory they write to.
pub(super) struct Rivals<'a> {
    body: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Rivals<'a> {
    /// All have run once when it comes back.
    ///
    /// # Errors
    /// The body can't be parsed, or is written otherwise.
    pub(super) fn new(body: &'a [u8]) -> Result<Self> {
        let mut rivals = Self { body, out: Vec::new() };
        rivals.value()?;
        // Values of a KiB are most of a list, and what stands in their place is short.
        if rivals.out.len() < body.len() / 8 {
            bail!("{} bytes of {} were written", rivals.out.len(), body.len());
        }
        rivals.scan(1);
        rivals.copy(1);
        Ok(rivals)
    }

    /// Bytes per nanosecond of the parsed way.
    ///
    /// # Errors
    /// The body can't be parsed.
    pub(super) fn value(&mut self) -> Result<f64> {
        let start = on_core();
        let mut list: Value = serde_json::from_slice(self.body)?;
        let items = list.get_mut("items").and_then(Value::as_array_mut);
        for object in items.into_iter().flatten() {
            for section in ["data", "stringData"] {
                let fields = object.get_mut(section).and_then(Value::as_object_mut);
                fields.into_iter().flatten().for_each(|(_, value)| *value = Value::from(REPLACED));
            }
        }
        self.out.clear();
        serde_json::to_writer(&mut self.out, &list)?;
        drop(list);
        Ok(self.rate(1, start))
    }

    /// Bytes per nanosecond of a scanner that masks the members of `data` in each item of a list, in its order and its spelling, and takes
    /// whatever stands there for JSON.
    pub(super) fn scan(&mut self, lists: u32) -> f64 {
        let start = on_core();
        for _ in 0..lists {
            self.out.clear();
            scan(std::hint::black_box(self.body), &mut self.out);
            std::hint::black_box(&self.out);
        }
        self.rate(lists, start)
    }

    /// Bytes per nanosecond of that many copies of the whole body.
    pub(super) fn copy(&mut self, copies: u32) -> f64 {
        let start = on_core();
        for _ in 0..copies {
            self.out.clear();
            self.out.extend_from_slice(std::hint::black_box(self.body));
            std::hint::black_box(&self.out);
        }
        self.rate(copies, start)
    }

    fn rate(&self, bodies: u32, start: std::time::Duration) -> f64 {
        f64::from(bodies) * self.body.len() as f64 / on_core().saturating_sub(start).as_nanos() as f64
    }
}

/// Objects and arrays in which `data` of an item of a list stands: the list, its items, the item.
const ITEM: usize = 3;

fn scan(body: &[u8], out: &mut Vec<u8>) {
    let (mut depth, mut at, mut from) = (0, 0, 0);
    // Whether the last name of an item was `data`, and whether what comes is a value of it.
    let (mut of_data, mut is_value) = (false, false);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => (depth, is_value) = (depth + 1, false),
            b'}' | b']' => (depth, is_value) = (depth - 1, false),
            b':' => is_value = true,
            b',' => is_value = false,
            b'"' => {
                let end = end_of_string(body, at);
                let text = body.get(at..end).unwrap_or_default();
                if depth == ITEM && !is_value {
                    of_data = text == b"data";
                } else if depth > ITEM && of_data && is_value {
                    out.extend_from_slice(body.get(from..at).unwrap_or_default());
                    out.extend_from_slice(REPLACED.as_bytes());
                    from = end;
                    if out.len() > SENT {
                        std::hint::black_box(&out);
                        out.clear();
                    }
                }
                at = end + 1;
            }
            _ => {}
        }
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
}

/// Where the string that begins at `from` has its closing quote.
fn end_of_string(body: &[u8], mut from: usize) -> usize {
    loop {
        match memchr2(b'"', b'\\', body.get(from..).unwrap_or_default()) {
            None => return body.len(),
            Some(found) if body.get(from + found) == Some(&b'"') => return from + found,
            Some(found) => from += found + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rivals_do_the_work() {
        let body = br#"{"kind":"SecretList","items":[{"data":{"a":"YQ==","b":"Yg=="}},{"stringData":{"c":"cc"},"type":"Opaque"}]}"#;
        let mut rivals = Rivals::new(body).unwrap();
        assert_eq!(rivals.out, body);
        rivals.value().unwrap();
        let masked: Value = serde_json::from_slice(&rivals.out).unwrap();
        let field = |pointer| masked.pointer(pointer).and_then(Value::as_str);
        for pointer in ["/items/0/data/a", "/items/0/data/b", "/items/1/stringData/c"] {
            assert_eq!(field(pointer), Some(REPLACED));
        }
        assert_eq!(field("/items/1/type"), Some("Opaque"));
        rivals.scan(1);
        let masked: Value = serde_json::from_slice(&rivals.out).unwrap();
        let field = |pointer| masked.pointer(pointer).and_then(Value::as_str);
        assert_eq!((field("/items/0/data/a"), field("/items/0/data/b")), (Some(REPLACED), Some(REPLACED)));
        // It knows `data` alone.
        assert_eq!(field("/items/1/stringData/c"), Some("cc"));
    }
}
