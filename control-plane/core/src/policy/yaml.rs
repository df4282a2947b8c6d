//! The policy file as a tree in which every value knows where it stands, so that all mistakes can be told at once.
//!
//! Typed deserialisation stops at the first mistake. This tree is read by [`super::reader`], which doesn't.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use shared::limits;

use super::mistake::Mistake;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Tree,
    pub(super) line: u64,
    pub(super) column: u64,
    /// What was written, for scalars that fit on one line. A block's place is where its first line's text begins.
    pub(super) written: String,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    Null,
    /// Numbers and booleans, which YAML makes of unquoted words; what was written counts.
    Plain,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Tree {
    /// For `expected text, found …`.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Plain => "a number or boolean",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads the file as a tree.
///
/// # Errors
///
/// The file is too large, or no YAML: that mistake hides all others.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    let whole = |message: String| Mistake { line: 0, column: 0, path: String::new(), message };
    if text.len() > limits::POLICY_BYTES {
        return Err(whole(format!("the file has {} bytes, at most {} are read", text.len(), limits::POLICY_BYTES)));
    }
    let options = serde_saphyr::options! {
        // Told by the reader, all of them, with both places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: limits::POLICY_DEPTH,
            max_nodes: limits::POLICY_VALUES,
            max_events: limits::POLICY_VALUES * 2,
            max_documents: 1,
            // An alias lets a small file become a large one, and a reader overlook what a rule says.
            max_aliases: 0,
        },
    };
    let root: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        Mistake {
            line: location.map_or(0, |location| location.line()),
            column: location.map_or(0, |location| location.column()),
            path: String::new(),
            message: error.without_snippet().to_string(),
        }
    })?;
    Ok(node(root, text))
}

fn node(spanned: Spanned<Raw>, text: &str) -> Node {
    let place = spanned.referenced;
    let (line, column) = (place.line(), place.column());
    let written = written(&place, text);
    let mut node = Node { value: Tree::Null, line, column, written: String::new() };
    match spanned.value {
        Raw::Null => {}
        Raw::Plain(value) => {
            node.value = Tree::Plain;
            node.written = written.filter(|written| !written.contains('\n')).unwrap_or(value);
        }
        Raw::Text(value) => {
            node.value = Tree::Text(value);
            node.written = written.unwrap_or_default();
        }
        Raw::List(items) => node.value = Tree::List(items.into_iter().map(|item| self::node(item, text)).collect()),
        Raw::Map(entries) => {
            let pair = |(key, value)| (self::node(key, text), self::node(value, text));
            node.value = Tree::Map(entries.into_iter().map(pair).collect());
        }
    }
    node
}

fn written(place: &serde_saphyr::Location, text: &str) -> Option<String> {
    let span = place.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    text.get(start..end).map(|written| written.trim_end().to_owned())
}

enum Raw {
    Null,
    Plain(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a policy")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place_and_its_spelling() {
        let root = parse("a: 1\nb:\n  - x\n  - +10\n  - \"q\"\n").unwrap();
        let Tree::Map(entries) = root.value else { panic!("no map") };
        let (key, value) = &entries[1];
        assert_eq!((key.line, key.column), (2, 1));
        let Tree::List(items) = &value.value else { panic!("no list") };
        assert_eq!((items[0].line, items[0].column), (3, 5));
        assert_eq!((items[1].line, items[1].written.as_str()), (4, "+10"));
        assert!(matches!(&items[2].value, Tree::Text(text) if text == "q"));
        assert_eq!(items[2].written, "\"q\"");
    }

    #[test]
    fn no_yaml_is_one_mistake_with_a_place() {
        let mistake = parse("a: [1\nb: 2\n").unwrap_err();
        assert!(mistake.line >= 1, "{mistake}");
        for hostile in ["a: &x [1]\nb: *x\n", "a: 1\n---\nb: 2\n", &"[".repeat(100)] {
            assert!(parse(hostile).is_err(), "{hostile:?}");
        }
        assert!(parse(&" ".repeat(limits::POLICY_BYTES + 1)).is_err());
    }
}
