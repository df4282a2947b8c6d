//! What an object is called. Read strictly: a member that stands twice could be read in two ways, so it is refused, however it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::filter::HideError;

/// Namespace, name and labels of an object's metadata.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Meta {
    namespace: Option<String>,
    name: Option<String>,
    labels: Option<Labels>,
}

static NONE: BTreeMap<String, String> = BTreeMap::new();

impl Meta {
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        self.labels.as_ref().map_or(&NONE, |labels| &labels.0)
    }
}

#[derive(Debug, Default)]
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels, each once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut labels = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if labels.insert(key, value).is_some() {
                        return Err(A::Error::custom("a label stands twice"));
                    }
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

/// An object.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Meta,
}

impl Object {
    /// # Errors
    /// Without a name it can't be judged.
    pub(super) fn read(bytes: &[u8]) -> Result<Meta, HideError> {
        let object: Self = serde_json::from_slice(bytes).map_err(|_| HideError::Unnamed)?;
        if object.metadata.name().is_empty() { Err(HideError::Unnamed) } else { Ok(object.metadata) }
    }
}

/// A row of a table.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) object: Object,
}

impl Row {
    /// # Errors
    /// As [`Object::read`].
    pub(super) fn read(bytes: &[u8]) -> Result<Meta, HideError> {
        let row: Self = serde_json::from_slice(bytes).map_err(|_| HideError::Unnamed)?;
        let meta = row.object.metadata;
        if meta.name().is_empty() { Err(HideError::Unnamed) } else { Ok(meta) }
    }
}

/// What an object says that it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Type {
    kind: String,
    #[serde(default)]
    api_version: String,
}

/// The rows of a table.
#[derive(Debug, Deserialize)]
struct Rows {
    rows: Option<Vec<Row>>,
}

/// What is in the object of an answer or event.
#[derive(Debug)]
pub(super) enum Content {
    /// A `Status`.
    Status,
    /// The rows of a table: the objects that they are about.
    Table(Vec<Meta>),
    Object(Meta),
}

impl Content {
    /// # Errors
    /// It can't be read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, HideError> {
        let unnamed = |_| HideError::Unnamed;
        let Type { kind, api_version } = serde_json::from_slice(bytes).map_err(unnamed)?;
        if kind == "Table" && api_version.starts_with("meta.k8s.io/") {
            let table: Rows = serde_json::from_slice(bytes).map_err(unnamed)?;
            return Ok(Self::Table(table.rows.into_iter().flatten().map(|row| row.object.metadata).collect()));
        }
        if kind == "Status" && api_version == "v1" {
            return Ok(Self::Status);
        }
        let object: Object = serde_json::from_slice(bytes).map_err(unnamed)?;
        Ok(Self::Object(object.metadata))
    }
}

/// The object of an answer about one.
pub(super) fn named(bytes: &[u8]) -> Result<Vec<Meta>, HideError> {
    let metas = match Content::read(bytes)? {
        Content::Status => return Err(HideError::Unnamed),
        Content::Table(metas) => metas,
        Content::Object(meta) => vec![meta],
    };
    if metas.is_empty() || metas.iter().any(|meta| meta.name().is_empty()) {
        return Err(HideError::Unnamed);
    }
    Ok(metas)
}
