//! One event of a watch: dropped if its object is hidden.
//!
//! Nothing is remembered of objects. By namespace and name one is hidden always or never, and of labels the API server judges, which says
//! DELETED of an object that leaves what its selector shows, with the labels that it had before.

use std::{fmt, slice};

use memchr::memmem;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
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
pub(super) struct Columns(Option<Box<RawValue>>);

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
                self.table(event, (&kind, object), &rows, hidden)
            }
            // It says how far the watch has come, and is about no object.
            ("BOOKMARK", Content::Object(meta)) if meta.name().is_empty() => Ok(Shown::AsItCame),
            ("ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK", Content::Object(meta)) => {
                Ok(if is_hidden(&meta, hidden)? { Shown::No } else { Shown::AsItCame })
            }
            _ => Err(HideError::Unnamed),
        }
    }

    fn table(
        &mut self,
        event: &[u8],
        (kind, object): (&str, &RawValue),
        rows: &[Meta],
        hidden: &Hidden,
    ) -> Result<Shown, HideError> {
        let bookmark = kind == "BOOKMARK";
        let mut shown = Vec::with_capacity(rows.len());
        for meta in rows {
            shown.push((bookmark && meta.name().is_empty()) || !is_hidden(meta, hidden)?);
        }
        let all = shown.iter().all(|shown| *shown);
        if all && self.0.is_none() && !rows.is_empty() {
            return Ok(Shown::AsItCame);
        }
        let mut out = Vec::new();
        let written = Table { rows: shown.iter(), columns: self.0.as_deref(), out: &mut out };
        let columns = written.deserialize(&mut serde_json::Deserializer::from_str(object.get()));
        let columns = columns.map_err(|_| HideError::Unnamed)?.map(ToOwned::to_owned);
        if !bookmark && !shown.contains(&true) {
            self.0 = columns.or_else(|| self.0.take());
            return Ok(Shown::No);
        }
        self.0 = None;
        let object = object.get().as_bytes();
        let begun = memmem::find(event, object).ok_or(HideError::Unnamed)?;
        let (before, after) = (event.get(..begun), event.get(begun + object.len()..));
        Ok(Shown::Instead([before.unwrap_or_default(), &out, after.unwrap_or_default()].concat()))
    }
}

/// A table that is written again as it came, piece by piece, but for rows that are hidden and columns that it doesn't have.
struct Table<'t, 's> {
    /// Which of its rows are shown.
    rows: slice::Iter<'s, bool>,
    /// What events before it said.
    columns: Option<&'s RawValue>,
    out: &'t mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Table<'_, '_> {
    /// Its own columns, if it has any.
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Table<'_, '_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut own = None;
        self.out.push(b'{');
        while let Some(name) = members.next_key::<String>()? {
            self.name(&name)?;
            match name.as_str() {
                "rows" => self.rows(members.next_value()?),
                "columnDefinitions" => {
                    let columns = members.next_value()?;
                    own = has(columns).then_some(columns);
                    self.out.extend_from_slice(own.or_else(|| self.columns.take()).unwrap_or(columns).get().as_bytes());
                }
                _ => self.out.extend_from_slice(members.next_value::<&RawValue>()?.get().as_bytes()),
            }
        }
        if let Some(columns) = self.columns.filter(|_| own.is_none()) {
            self.name("columnDefinitions")?;
            self.out.extend_from_slice(columns.get().as_bytes());
        }
        self.out.push(b'}');
        Ok(own)
    }
}

impl Table<'_, '_> {
    fn name<E: Error>(&mut self, name: &str) -> Result<(), E> {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, name).map_err(E::custom)?;
        self.out.push(b':');
        Ok(())
    }

    fn rows(&mut self, rows: Option<Vec<&RawValue>>) {
        let Some(rows) = rows else { return self.out.extend_from_slice(b"null") };
        self.out.push(b'[');
        let shown = rows.into_iter().zip(&mut self.rows).filter_map(|(row, shown)| shown.then_some(row));
        for (at, row) in shown.enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(row.get().as_bytes());
        }
        self.out.push(b']');
    }
}

/// Whether there is a column.
fn has(columns: &RawValue) -> bool {
    serde_json::from_str::<Vec<IgnoredAny>>(columns.get()).is_ok_and(|columns| !columns.is_empty())
}

fn is_hidden(meta: &Meta, hidden: &Hidden) -> Result<bool, HideError> {
    if meta.name().is_empty() { Err(HideError::Unnamed) } else { Ok(hidden.hides(meta)) }
}
