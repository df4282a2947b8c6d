//! The query of a request: read as Go's `url.ParseQuery` reads it, minus everything that Go would drop or that two readers could
//! take differently (golang/go src/net/url/url.go; kubernetes apimachinery pkg/runtime/conversion.go).
//!
//! Invariant: [`Query::canonical`] is what is forwarded, and parsing it again gives the same [`Query`]. Nothing is dropped silently:
//! what the API server would not see as we do is refused.

use std::fmt;

use shared::limits;

use crate::percent;

#[cfg(test)]
mod tests;

/// The one key that may stand more than once: exec's argument vector. [`crate::request_info::RequestInfo::parse`] allows it there only.
pub const REPEATABLE: &str = "command";

/// Decoded pairs, sorted by key; values of one key keep their order.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Query(Vec<(String, String)>);

/// Why a query can't be read in exactly one way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Longer than [`limits::URI_BYTES`].
    #[error("the query has {got} bytes; at most {expected} are read")]
    TooLong {
        /// The limit in bytes.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Go drops a whole pair that contains a raw `;`; others split there.
    #[error("the query contains a raw ';' in {got:?}: write it as %3B")]
    Semicolon {
        /// The pair.
        got: String,
    },
    /// A `%` without two hexadecimal digits, or bytes that are no UTF-8: Go drops the pair or keeps the bytes.
    #[error("the query has a bad percent escape in {got:?}")]
    Escape {
        /// The pair.
        got: String,
    },
    /// A character that must not stand in a URL as it is, or NUL.
    #[error("the query contains the character {got:?}, which must be percent-encoded, or may not stand there at all")]
    Character {
        /// The character.
        got: char,
    },
    /// A value without a key.
    #[error("the query has a value {got:?} without a key")]
    NoKey {
        /// The value.
        got: String,
    },
    /// First or last of two wins, depending on the reader.
    #[error("the query names {key:?} more than once")]
    Duplicate {
        /// The key.
        key: String,
    },
}

impl Query {
    /// Reads what follows the `?` (without it).
    ///
    /// # Errors
    /// Every case in which the API server would drop a part, or which it and another reader could take differently.
    pub fn parse(raw: &str) -> Result<Self, QueryError> {
        if raw.len() > limits::URI_BYTES {
            return Err(QueryError::TooLong { expected: limits::URI_BYTES, got: raw.len() });
        }
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            pairs.push(parse_pair(pair)?);
        }
        Self::from_pairs(pairs)
    }

    /// From decoded pairs.
    ///
    /// # Errors
    /// [`QueryError::Duplicate`], [`QueryError::NoKey`].
    pub fn from_pairs(mut pairs: Vec<(String, String)>) -> Result<Self, QueryError> {
        // Stable: the argument vector of exec keeps its order.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut last: Option<&str> = None;
        for (key, value) in &pairs {
            if key.is_empty() {
                return Err(QueryError::NoKey { got: value.clone() });
            }
            if last == Some(key) && key != REPEATABLE {
                return Err(QueryError::Duplicate { key: key.clone() });
            }
            last = Some(key);
        }
        Ok(Self(pairs))
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The (first) value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// All values of a key, in the order in which they came.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(k, _)| *k == key).map(|(_, value)| value)
    }

    /// A boolean option in the API server's reading: absent, `0` and `false` in any case are false, everything else is true, also the
    /// empty string (apimachinery pkg/runtime/conversion.go `Convert_Slice_string_To_bool`).
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// The same without these keys.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Self {
        Self(self.0.iter().filter(|(key, _)| !keys.contains(&key.as_str())).cloned().collect())
    }

    /// The same with another value of a key.
    #[must_use]
    pub fn with(&self, key: &str, value: String) -> Self {
        let mut changed = self.without(&[key]);
        let at = changed.0.partition_point(|(known, _)| known.as_str() < key);
        changed.0.insert(at, (key.to_owned(), value));
        changed
    }

    /// The one way to write it: sorted, everything but unreserved characters (RFC 3986 §2.3) percent-encoded. Empty if there is nothing.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            percent::encode_query(key, &mut text);
            text.push('=');
            percent::encode_query(value, &mut text);
        }
        text
    }
}

impl fmt::Debug for Query {
    /// Keys only: exec arguments and proxied URLs carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

fn parse_pair(pair: &str) -> Result<(String, String), QueryError> {
    if pair.contains(';') {
        return Err(QueryError::Semicolon { got: pair.to_owned() });
    }
    // A browser cuts the URL at '#'; Go keeps it in the query. Raw non-ASCII is legal for Go and not for RFC 3986.
    if let Some(got) = pair.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        return Err(QueryError::Character { got });
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((component(key, pair)?, component(value, pair)?))
}

fn component(raw: &str, pair: &str) -> Result<String, QueryError> {
    let text = percent::decode(&raw.replace('+', " ")).ok_or_else(|| QueryError::Escape { got: pair.to_owned() })?;
    if text.contains('\0') {
        return Err(QueryError::Character { got: '\0' });
    }
    Ok(text)
}
