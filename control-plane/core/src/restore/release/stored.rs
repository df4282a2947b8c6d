//! A release that was read inside an operation.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{PLACE, found};
use crate::mask::MaskContext;
use crate::mask::release::{self, Payload, SecretField};

/// A release that was read, as it is and as it was shown.
pub(in crate::restore) struct StoredRelease {
    real: Value,
    shown: Vec<Value>,
    /// By field, for a write may ask for very many.
    values: BTreeMap<FieldName, Vec<Vec<u8>>>,
    /// What stands for a value by itself, also under the key of before a rotation.
    codes: Vec<(String, Vec<u8>)>,
}

/// A field of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FieldName {
    /// Empty: that of the release.
    namespace: String,
    secret: String,
    section: &'static str,
    key: String,
}

/// What it has in a manifest.
pub(super) struct StoredValue {
    pub(super) name: FieldName,
    pub(super) value: Vec<u8>,
}

/// What is made of each field of a Secret in the manifests of a release; `None`: one can't be read. `namespace` is that of Secrets that say
/// none.
pub(super) fn fields<T>(
    document: &Value,
    namespace: &str,
    mut make: impl FnMut(&SecretField<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let mut made = Vec::new();
    for pointer in release::manifests(document) {
        for piece in release::pieces(document.pointer(&pointer)?.as_str()?)? {
            for (_, secret) in piece.document.iter().flat_map(found) {
                made.extend(release::fields(secret, namespace).iter().filter_map(&mut make));
            }
        }
    }
    Some(made)
}

/// What they have.
pub(super) fn values(document: &Value, namespace: &str) -> Option<Vec<StoredValue>> {
    fields(document, namespace, StoredValue::of)
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
        // Without a namespace of its own a Secret is in the release's, which is not known here.
        let mut by_field: BTreeMap<FieldName, Vec<Vec<u8>>> = BTreeMap::new();
        for StoredValue { name, value } in values(&real, "")? {
            by_field.entry(name).or_default().push(value);
        }
        let mut codes = Vec::new();
        for mask in masks {
            let mut masked = real.clone();
            codes.extend(release::mask_document(&mut masked, mask, namespace, name)?.codes);
        }
        Some(Self { real, shown, values: by_field, codes })
    }

    /// As it is, and as it was shown.
    pub(in crate::restore) fn documents(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(&self.real).chain(&self.shown)
    }

    /// As it was shown under each key.
    pub(in crate::restore) fn shown(&self) -> impl Iterator<Item = &Value> {
        self.shown.iter()
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

    /// All that it has in a field, in order.
    pub(super) fn values_of(&self, release_namespace: &str, name: &FieldName) -> BTreeSet<&[u8]> {
        let unnamed =
            (name.namespace == release_namespace).then(|| FieldName { namespace: String::new(), ..name.clone() });
        let names = [Some(name), unnamed.as_ref()].into_iter().flatten();
        names.filter_map(|name| self.values.get(name)).flatten().map(Vec::as_slice).collect()
    }

    /// `None`: there is none, or there are two that differ.
    pub(super) fn value(
        &self,
        release_namespace: &str,
        field: &SecretField<'_>,
        section: &'static str,
    ) -> Option<Vec<u8>> {
        let values = self.values_of(release_namespace, &FieldName { section, ..FieldName::of(field) });
        values.first().filter(|_| values.len() == 1).map(|only| only.to_vec())
    }

    /// Wipes the texts.
    pub(in crate::restore) fn wipe(&mut self, wipe: fn(&mut Value)) {
        wipe(&mut self.real);
        let values = self.values.values_mut().flatten();
        values.chain(self.codes.iter_mut().map(|(_, value)| value)).for_each(zeroize::Zeroize::zeroize);
    }
}

impl FieldName {
    pub(super) fn of(field: &SecretField<'_>) -> Self {
        let SecretField { namespace, name, section, key, .. } = *field;
        Self { namespace: namespace.to_owned(), secret: name.to_owned(), section, key: key.to_owned() }
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
        Some(Self { name: FieldName::of(field), value })
    }
}
