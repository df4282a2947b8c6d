//! What the masker is measured against: a parsed document, which is the plain way to do it, and a copy, which is the least there is to do.

use anyhow::{Result, bail};
use serde_json::Value;

use super::masking::on_core;

/// What stands in place of a value here: of a placeholder's length, and always the same.
const REPLACED: &str = "c2FsbHlwb3J0OiBtYXNrZWQgdmFsdWU7IHdyaXRlIGl0IGJhY2sgdW5jaGFuZ2VkIG9yIGxlYXZlIHRoZSBmaWVsZCBvdXQgMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1";

/// Both, with the memory they write to.
pub(super) struct Rivals<'a> {
    body: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Rivals<'a> {
    /// Both have run once when it comes back.
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
    }
}
