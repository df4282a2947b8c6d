//! Shared by the tests of hiding: requests, rules, and a body pushed in pieces.

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::query::Query;

mod bad;
mod lists;
mod properties;
mod requests;
mod watches;

fn info(path: &str) -> RequestInfo {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    RequestInfo::parse(&Method::GET, path, &Query::parse(query).unwrap()).unwrap()
}

/// `{namespaces: …}` and the like.
fn rules(entries: &Value) -> Vec<HideRule> {
    serde_json::from_value(entries.clone()).unwrap()
}

fn hidden(entries: &Value, path: &str) -> Hidden {
    Hidden::parse(&rules(entries), &info(path)).unwrap()
}

/// What is left, if it comes in pieces of this many bytes.
fn filtered(mut filter: Filter, body: &str, piece: usize) -> Result<String, HideError> {
    let mut out = Vec::new();
    for piece in body.as_bytes().chunks(piece.max(1)) {
        filter.push(piece, &mut out)?;
    }
    filter.finish()?;
    Ok(String::from_utf8(out).unwrap())
}

/// The same whatever the pieces.
#[track_caller]
fn left(filter: impl Fn() -> Filter, body: &str) -> Result<String, HideError> {
    let whole = filtered(filter(), body, usize::MAX);
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(filtered(filter(), body, piece), whole, "in pieces of {piece}: {body}");
    }
    whole
}
