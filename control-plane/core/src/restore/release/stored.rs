//! A release that was read inside an operation.

use serde_json::Value;

use super::{PLACE, found};
use crate::mask::MaskContext;
use crate::mask::release::{self, Payload, SecretField};

/// A release that was read, as it is and as it was shown.
pub(in crate::restore) struct StoredRelease {
    real: Value,
    shown: Vec<Value>,
    values: Vec<StoredValue>,
    /// What stands for a value by itself, also under the key of before a rotation.
    codes: Vec<(String, Vec<u8>)>,
}

struct StoredValue {
    namespace: Option<String>,
    name: String,
    section: &'static str,
    key: String,
    value: Vec<u8>,
}

impl StoredRelease {
    /// From the Secret as it is and as it is shown under each key; `None`: it is none, or was shown masked whole.
    pub(in crate::restore) fn of<'a>(
        real: &Value,
        shown: impl Iterator<Item = &'a Value>,
        masks: impl Iterator<Item = &'a MaskContext>,
    ) -> Option<Self> {
        let name = real.pointer("/metadata/name")?.as_str()?;
        let namespace = real.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        release::revision(name)?;
        let open = |secret: &Value| Payload::open(secret.pointer(PLACE)?.as_str()?).map(|payload| payload.document);
        let (real, shown) = (open(real)?, shown.filter_map(open).collect());
        let mut values = Vec::new();
        for pointer in release::manifests(&real) {
            for piece in release::pieces(real.pointer(&pointer)?.as_str()?)? {
                let Some(document) = &piece.document else { continue };
                for (_, secret) in found(document) {
                    // Without a namespace of its own it is in the release's, which is not known here.
                    values.extend(release::fields(secret, "").iter().filter_map(StoredValue::of));
                }
            }
        }
        let mut codes = Vec::new();
        for mask in masks {
            let mut masked = real.clone();
            codes.extend(release::mask_document(&mut masked, mask, namespace, name)?.codes);
        }
        Some(Self { real, shown, values, codes })
    }

    /// All that stand for a value by themselves.
    pub(in crate::restore) fn codes(&self) -> &[(String, Vec<u8>)] {
        &self.codes
    }

    /// The value that this stands for by itself.
    pub(super) fn coded(&self, code: &str) -> Option<&[u8]> {
        self.codes.iter().find(|(known, _)| known == code).map(|(_, value)| value.as_slice())
    }

    pub(super) fn shown_as(&self, place: &str, text: &str) -> Option<&Value> {
        let same = |shown: &Value| shown.pointer(place).and_then(Value::as_str) == Some(text);
        if self.shown.iter().any(same) { self.real.pointer(place) } else { None }
    }

    /// `None`: there is none, or there are two that differ.
    pub(super) fn value(&self, release_namespace: &str, field: &SecretField<'_>, section: &str) -> Option<Vec<u8>> {
        let fits = |value: &&StoredValue| {
            value.namespace.as_deref().unwrap_or(release_namespace) == field.namespace
                && (value.name.as_str(), value.section, value.key.as_str()) == (field.name, section, field.key)
        };
        let mut values = self.values.iter().filter(fits).map(|value| &value.value);
        let first = values.next()?;
        values.all(|other| other == first).then(|| first.clone())
    }

    /// Wipes the texts.
    pub(in crate::restore) fn wipe(&mut self, wipe: fn(&mut Value)) {
        wipe(&mut self.real);
        let values = self.values.iter_mut().map(|value| &mut value.value);
        values.chain(self.codes.iter_mut().map(|(_, value)| value)).for_each(zeroize::Zeroize::zeroize);
    }
}

impl StoredValue {
    fn of(field: &SecretField<'_>) -> Option<Self> {
        let text = match field.value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => field.value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let value = if field.section == "data" { release::decoded(&text)? } else { text.into_bytes() };
        let namespace = Some(field.namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        Some(Self { namespace, name: field.name.to_owned(), section: field.section, key: field.key.to_owned(), value })
    }
}
