//! One event of a watch: dropped if its object is hidden.
//!
//! Nothing is remembered of objects. By namespace and name one is hidden always or never, and of labels the API server judges, which says
//! DELETED of an object that leaves what its selector shows, with the labels that it had before.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Hidden;
use super::filter::HideError;
use super::object::{Content, Meta};

/// An event (meta/v1 `WatchEvent`).
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What events before said of tables: the API server describes the columns in the first event only, and that one may be dropped.
#[derive(Debug, Default)]
pub(super) struct Columns(Option<Value>);

/// What becomes of an event.
#[derive(Debug)]
pub(super) enum Shown {
    No,
    AsItCame,
    Instead(Vec<u8>),
}

impl Columns {
    /// # Errors
    /// It can't be judged.
    pub(super) fn judge(&mut self, event: &[u8], hidden: &Hidden) -> Result<Shown, HideError> {
        let Event { kind, object } = serde_json::from_slice(event).map_err(|_| HideError::Unnamed)?;
        let content = Content::read(object.get().as_bytes())?;
        match (kind.as_str(), content) {
            ("ERROR", Content::Status) => Ok(Shown::AsItCame),
            ("ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK", Content::Table(rows)) => {
                self.table(event, &rows, kind == "BOOKMARK", hidden)
            }
            // It says how far the watch has come, and is about no object.
            ("BOOKMARK", Content::Object(meta)) if meta.name().is_empty() => Ok(Shown::AsItCame),
            ("ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK", Content::Object(meta)) => {
                Ok(if is_hidden(&meta, hidden)? { Shown::No } else { Shown::AsItCame })
            }
            _ => Err(HideError::Unnamed),
        }
    }

    fn table(&mut self, event: &[u8], rows: &[Meta], bookmark: bool, hidden: &Hidden) -> Result<Shown, HideError> {
        let mut shown = Vec::with_capacity(rows.len());
        for meta in rows {
            shown.push((bookmark && meta.name().is_empty()) || !is_hidden(meta, hidden)?);
        }
        let all = shown.iter().all(|shown| *shown);
        if all && self.0.is_none() && !rows.is_empty() {
            return Ok(Shown::AsItCame);
        }
        let mut event: Value = serde_json::from_slice(event).map_err(|_| HideError::Unnamed)?;
        let table = event.get_mut("object").and_then(Value::as_object_mut).ok_or(HideError::Unnamed)?;
        let has = |columns: &Value| columns.as_array().is_some_and(|columns| !columns.is_empty());
        let own = table.get("columnDefinitions").filter(|columns| has(columns)).cloned();
        let columns = own.or_else(|| self.0.take());
        if !bookmark && !shown.contains(&true) {
            self.0 = columns;
            return Ok(Shown::No);
        }
        self.0 = None;
        if let Some(columns) = columns {
            table.insert("columnDefinitions".to_owned(), columns);
        }
        if let Some(rows) = table.get_mut("rows").and_then(Value::as_array_mut) {
            let mut shown = shown.into_iter();
            rows.retain(|_| shown.next().unwrap_or(false));
        }
        serde_json::to_vec(&event).map(Shown::Instead).map_err(|_| HideError::Unnamed)
    }
}

fn is_hidden(meta: &Meta, hidden: &Hidden) -> Result<bool, HideError> {
    if meta.name().is_empty() { Err(HideError::Unnamed) } else { Ok(hidden.hides(meta)) }
}
