//! YAML as the API server reads it: sigs.k8s.io/yaml over go.yaml.in/yaml/v2, a YAML 1.1 reader.
//!
//! `granit-parser` (the parser below serde-saphyr) gives the events, because only there a plain scalar differs from a quoted one. The
//! meaning of plain scalars is ours, after `resolve.go` of yaml/v2; what that reads in an unusual way is refused: anchors, aliases, tags,
//! merge keys, directives, further documents, keys that are not strings, numbers in hexadecimal, binary or with `_`.
//! Text that is JSON is read as JSON: YAML 1.1 agrees on it, once the characters that only YAML takes as line breaks are refused.

mod scalar;

use super::budget::Budget;
use super::canonical::is_plain_in_yaml;
use super::{BodyError, Encoding, ScalarProblem, json, number};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};
use scalar::plain;
use serde_json::{Map, Value};

pub(super) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Value, BodyError> {
    let text = std::str::from_utf8(bytes).map_err(|error| syntax(error.to_string()))?;
    check_characters(text)?;
    if text.trim_start().starts_with('{') {
        // What is no JSON is read from its beginning, and so counted.
        let mut own = budget.clone();
        match json::read(bytes, &mut own) {
            Err(BodyError::Syntax { .. }) => {}
            read => {
                *budget = own;
                return read.map(whole_floats_as_integers);
            }
        }
    }
    let mut options = granit_parser::options! {
        disallow_directives: true,
        block_scalar_eof_without_line_feed: true,
    };
    options.set_emit_comments(false);
    let mut builder = Builder { budget, open: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.event(event, &span)?;
    }
    builder.root.ok_or(BodyError::Empty)
}

/// Builds the tree from the events; the parser has already checked that they are balanced.
struct Builder<'a> {
    budget: &'a mut Budget,
    open: Vec<Open>,
    root: Option<Value>,
    documents: usize,
}

struct Open {
    node: Node,
    flow: bool,
}

enum Node {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), BodyError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "more events exist with other features of the parser; none is read here"
        )]
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 { Err(refused(span, "a second document")) } else { Ok(()) }
            }
            Event::Scalar(ref text, ScalarStyle::Plain, ..) if self.is_read_in_two_ways(text, span) => {
                Err(refused(span, "a value left out or a question mark"))
            }
            Event::Scalar(_, _, 0, None) if self.awaits_key() => self.key(event, span),
            Event::Scalar(text, style, 0, None) => {
                self.budget.node()?;
                let value =
                    if style == ScalarStyle::Plain { plain(&text) } else { Ok(Value::String(text.into_owned())) };
                let value = value.map_err(|problem| bad_scalar(span, problem))?;
                if let Value::String(text) = &value {
                    self.budget.text(text)?;
                }
                self.place(value)
            }
            Event::SequenceStart(style, 0, None) => self.enter(Node::List(Vec::new()), style, span),
            Event::MappingStart(style, 0, None) => self.enter(Node::Map(Map::new(), None), style, span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) => Err(refused(span, "an alias")),
            _ => Err(refused(span, "an anchor or a tag")),
        }
    }

    fn node(&mut self) -> Option<&mut Node> {
        self.open.last_mut().map(|open| &mut open.node)
    }

    /// libyaml takes `?x` in a flow as a key, and the colon of `{a:, b}` and `[a:]` as part of the text. What is left out has no place
    /// in the source.
    fn is_read_in_two_ways(&self, plain: &str, span: &Span) -> bool {
        plain.starts_with('?') || (span.is_empty() && self.open.last().is_some_and(|open| open.flow))
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { node: Node::Map(_, None), .. }))
    }

    fn key(&mut self, event: Event<'_>, span: &Span) -> Result<(), BodyError> {
        let (Event::Scalar(text, style, ..), Some(Node::Map(map, key))) = (event, self.node()) else {
            return Err(refused(span, "this key"));
        };
        if text == "<<" {
            return Err(refused(span, "a merge key"));
        }
        if style == ScalarStyle::Plain && !matches!(plain(&text), Ok(Value::String(_))) {
            return Err(bad_scalar(span, ScalarProblem::Key));
        }
        if map.contains_key(text.as_ref()) {
            return Err(BodyError::DuplicateKey { key: text.into_owned(), line: span.start.line() });
        }
        *key = Some(text.into_owned());
        Ok(())
    }

    fn enter(&mut self, node: Node, style: StructureStyle, span: &Span) -> Result<(), BodyError> {
        if self.awaits_key() {
            return Err(bad_scalar(span, ScalarProblem::Key));
        }
        self.budget.node()?;
        self.budget.enter()?;
        self.open.push(Open { node, flow: style == StructureStyle::Flow });
        Ok(())
    }

    fn close(&mut self, span: &Span) -> Result<(), BodyError> {
        self.budget.leave();
        let value = match self.open.pop().map(|open| open.node) {
            Some(Node::List(items)) => Value::Array(items),
            Some(Node::Map(map, None)) => Value::Object(map),
            Some(Node::Map(_, Some(_))) | None => return Err(refused(span, "a key without a value")),
        };
        self.place(value)
    }

    fn place(&mut self, value: Value) -> Result<(), BodyError> {
        match self.open.last_mut().map(|open| &mut open.node) {
            Some(Node::List(items)) => {
                if items.len() == items.capacity() {
                    self.budget.places(items.len())?;
                }
                items.push(value);
            }
            Some(Node::Map(map, key)) => {
                if let Some(key) = key.take() {
                    self.budget.entry(map.len())?;
                    self.budget.text(&key)?;
                    map.insert(key, value);
                }
            }
            None => self.root = Some(value),
        }
        Ok(())
    }
}

/// Go prints a whole float without a point, so the API server's second reading finds an integer.
fn whole_floats_as_integers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::Number(number.as_f64().and_then(number::of_float).unwrap_or(number))
        }
        Value::Array(items) => items.into_iter().map(whole_floats_as_integers).collect(),
        Value::Object(map) => map.into_iter().map(|(key, item)| (key, whole_floats_as_integers(item))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn check_characters(text: &str) -> Result<(), BodyError> {
    match text.char_indices().find(|(_, c)| !is_plain_in_yaml(*c) && !matches!(c, '\n' | '\r')) {
        Some((at, _)) => {
            let line = text.get(..at).map_or(0, |before| before.matches('\n').count() + 1);
            Err(BodyError::Yaml { line, column: 0, got: "a character that YAML 1.1 takes as a line break or forbids" })
        }
        None => Ok(()),
    }
}

fn syntax(got: String) -> BodyError {
    BodyError::Syntax { expected: Encoding::Yaml, got }
}

fn scan_error(error: &ScanError) -> BodyError {
    let place = error.marker();
    syntax(format!("line {}, column {}", place.line(), place.col() + 1))
}

fn refused(span: &Span, got: &'static str) -> BodyError {
    BodyError::Yaml { line: span.start.line(), column: span.start.col() + 1, got }
}

fn bad_scalar(span: &Span, problem: ScalarProblem) -> BodyError {
    BodyError::Scalar { line: span.start.line(), column: span.start.col() + 1, problem }
}
