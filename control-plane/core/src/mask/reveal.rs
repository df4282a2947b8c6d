//! The one way past the masks: named values of one Secret in one state, which people have approved (SECURITY.md, disclosure).
//!
//! The Secret is held whole, masked as ever, and only then are the named values put back: whatever is not understood stays masked.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::limits::LIVE_OBJECT_BYTES;

use super::{MaskContext, MaskError, MaskSummary, mask_value};
use crate::version_pin::VersionPin;

/// The masker of an answer in which values are to be seen. One per body, of JSON.
#[derive(Debug)]
pub(super) struct Revealer {
    context: MaskContext,
    pin: VersionPin,
    held: Vec<u8>,
}

impl Revealer {
    pub(super) const fn new(context: MaskContext, pin: VersionPin) -> Self {
        Self { context, pin, held: Vec::new() }
    }

    pub(super) fn push(&mut self, input: &[u8]) -> Result<(), MaskError> {
        if self.held.len() + input.len() > LIVE_OBJECT_BYTES {
            return Err(MaskError::FieldsTooLong { limit: LIVE_OBJECT_BYTES });
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<MaskSummary, MaskError> {
        let mut document: Value = serde_json::from_slice(&self.held).map_err(|_| MaskError::Fields)?;
        let real = self.pin.revealed().map(|keys| values(&document, &self.pin, keys)).unwrap_or_default();
        let masked = mask_value(&mut document, &self.context);
        let shown = real.len();
        for (key, value) in real {
            if let Some(field) = document.get_mut("data").and_then(|data| data.get_mut(&key)) {
                *field = value;
            }
        }
        serde_json::to_writer(&mut *out, &document).map_err(|_| MaskError::Fields)?;
        Ok(MaskSummary { masked: masked.saturating_sub(shown) as u64, documents: 1 })
    }
}

/// The named values, if the document is that very Secret in that very state: none otherwise.
fn values(document: &Value, pin: &VersionPin, keys: &BTreeSet<String>) -> Vec<(String, Value)> {
    let is = |field: &str, text: &str| document.get(field).and_then(Value::as_str) == Some(text);
    if !is("kind", "Secret") || !is("apiVersion", "v1") || pin.holds(Some(document)).is_err() {
        return Vec::new();
    }
    let data = document.get("data").and_then(Value::as_object);
    let named = data.into_iter().flatten().filter(|(key, value)| keys.contains(*key) && value.is_string());
    named.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mask::tests::context;
    use crate::request_info::Verb;

    fn secret() -> Value {
        json!({"kind": "Secret", "apiVersion": "v1",
            "metadata": {"name": "db", "namespace": "shop", "uid": "u", "resourceVersion": "5", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration":
                    r#"{"kind":"Secret","apiVersion":"v1","data":{"password":"cmVhbA==","user":"YWRtaW4="}}"#}},
            "data": {"password": "cmVhbA==", "user": "YWRtaW4="}})
    }

    fn pin(version: &str) -> VersionPin {
        let live = json!({"metadata": {"uid": "u", "resourceVersion": version}});
        VersionPin::of_reveal(Some(&live), &["password".to_owned(), "none".to_owned()].into())
    }

    fn shown(document: &Value, pin: VersionPin) -> Value {
        let text = document.to_string();
        let mut revealer = Revealer::new(context("secrets", Verb::Get), pin);
        let (start, end) = text.as_bytes().split_at(text.len() / 2);
        revealer.push(start).unwrap();
        revealer.push(end).unwrap();
        let mut out = Vec::new();
        revealer.finish(&mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn only_the_named_value_is_seen() {
        let shown = shown(&secret(), pin("5"));
        assert_eq!(shown["data"]["password"], "cmVhbA==");
        assert!(super::super::is_placeholder(shown["data"]["user"].as_str().unwrap()), "{shown}");
        assert!(!shown["metadata"]["annotations"].to_string().contains("cmVhbA"), "{shown}");
    }

    #[test]
    fn anything_else_stays_masked() {
        let changed = |pointer: &str, value: Value| {
            let mut document = secret();
            *document.pointer_mut(pointer).unwrap() = value;
            document
        };
        let list = json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"uid": "u", "resourceVersion": "5"}, "items": [secret()]});
        for (document, pin) in [
            (secret(), pin("6")),
            (secret(), VersionPin::None),
            (changed("/metadata/uid", json!("v")), pin("5")),
            (changed("/metadata/resourceVersion", json!("")), pin("5")),
            (changed("/kind", json!("List")), pin("5")),
            (changed("/apiVersion", json!("v2")), pin("5")),
            (list, pin("5")),
        ] {
            let shown = shown(&document, pin).to_string();
            assert!(!shown.contains("cmVhbA"), "{shown}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_json_ends_the_answer() {
        let mut revealer = Revealer::new(context("secrets", Verb::Get), pin("5"));
        assert!(revealer.push(&vec![b' '; LIVE_OBJECT_BYTES + 1]).is_err());
        revealer.push(b"{").unwrap();
        assert!(revealer.finish(&mut Vec::new()).is_err());
    }
}
