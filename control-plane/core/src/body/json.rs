//! JSON as RFC 8259 has it and no more: `serde_json` for the syntax, with our own visitor for what it lets pass.
//!
//! Refused beyond its own rules: a key twice in one object (after unescaping), too deep, too many values, numbers that would lose
//! digits, a second value after the first. Keys that differ in case only are different keys, as in the API server (sigs.k8s.io/json).
//!
//! What the API server answers is not refused for keys and numbers ([`read_answer`]); it is written on as it was ([`copy`]).

mod copy;

use super::budget::Budget;
use super::{BodyError, Encoding, ScalarProblem, number};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use shared::limits;
use std::fmt;

pub(crate) use copy::write;

pub(crate) fn read(bytes: &[u8], budget: &mut Budget) -> Result<Value, BodyError> {
    reading(bytes, budget, false).map(|answer| answer.value)
}

/// Several documents one after the other, each as [`read`] has it.
pub(crate) fn read_all(text: &str, budget: &mut Budget) -> Result<Vec<Value>, BodyError> {
    let mut reading = Reading::new(text, budget, false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut documents = Vec::new();
    // Where nothing is left the end can be read.
    while reader.end().is_err() {
        let document = Node(&mut reading).deserialize(&mut reader).map_err(|error| reading.fault(&error))?;
        documents.push(document);
    }
    Ok(documents)
}

/// What an API server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Of a key that stands twice in one object the last value; numbers that no `f64` holds are rounded.
    pub(crate) value: Value,
    twice: bool,
    floats: bool,
}

/// An answer, which is what it is: nobody but its reader could be told that a key or a number in it is not as it should be.
pub(crate) fn read_answer(bytes: &[u8], budget: &mut Budget) -> Result<Answer, BodyError> {
    reading(bytes, budget, true)
}

fn reading(bytes: &[u8], budget: &mut Budget, is_answer: bool) -> Result<Answer, BodyError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| BodyError::Syntax { expected: Encoding::Json, got: error.to_string() })?;
    let mut reading = Reading::new(text, budget, is_answer);
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Node(&mut reading).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(value) => Ok(Answer { value, twice: reading.twice, floats: reading.floats.at > 0 }),
        Err(error) => Err(reading.fault(&error)),
    }
}
/// `serde_json` can carry only text in its errors, so our own fault waits here.
struct Reading<'a> {
    budget: &'a mut Budget,
    floats: Floats<'a>,
    fault: Option<BodyError>,
    is_answer: bool,
    twice: bool,
}

impl<'a> Reading<'a> {
    const fn new(text: &'a str, budget: &'a mut Budget, is_answer: bool) -> Self {
        Self { budget, floats: Floats { text, at: 0 }, fault: None, is_answer, twice: false }
    }

    /// Why reading has ended so.
    fn fault(&mut self, error: &serde_json::Error) -> BodyError {
        match self.fault.take() {
            Some(BodyError::DuplicateKey { key, .. }) => BodyError::DuplicateKey { key, line: error.line() },
            Some(BodyError::Scalar { problem, .. }) => {
                BodyError::Scalar { line: error.line(), column: error.column(), problem }
            }
            Some(fault) => fault,
            // `serde_json` counts as the budget does, and looks before we are asked.
            None if error.to_string().starts_with("recursion limit") => BodyError::Depth { limit: limits::BODY_DEPTH },
            None => BodyError::Syntax { expected: Encoding::Json, got: error.to_string() },
        }
    }
    fn fails<E: Error>(&mut self, fault: BodyError) -> E {
        let text = E::custom(&fault);
        self.fault = Some(fault);
        text
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.budget.enter().map_err(|fault| self.fails(fault))
    }
}

struct Node<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.budget.node().map_err(|fault| self.0.fails(fault))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// `serde_json` has already rounded; the text decides.
    fn visit_f64<E: Error>(self, rounded: f64) -> Result<Value, E> {
        let fault = BodyError::Scalar { line: 0, column: 0, problem: ScalarProblem::Inexact };
        let exact = self.0.floats.next().and_then(number::exact);
        let number = exact.or_else(|| if self.0.is_answer { Number::from_f64(rounded) } else { None });
        number.map(Value::Number).ok_or_else(|| self.0.fails(fault))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.budget.text(&value).map_err(|fault| self.0.fails(fault))?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.enter()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Node(self.0))? {
            if list.len() == list.capacity() {
                self.0.budget.places(list.len()).map_err(|fault| self.0.fails(fault))?;
            }
            list.push(item);
        }
        self.0.budget.leave();
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.enter()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                if !self.0.is_answer {
                    return Err(self.0.fails(BodyError::DuplicateKey { key, line: 0 }));
                }
                self.0.twice = true;
            } else {
                let cost = self.0.budget.entry(map.len()).and_then(|()| self.0.budget.text(&key));
                cost.map_err(|fault| self.0.fails(fault))?;
            }
            let value = entries.next_value_seed(Node(self.0))?;
            map.insert(key, value);
        }
        self.0.budget.leave();
        Ok(Value::Object(map))
    }
}

/// Finds, in order, the texts of those numbers that `serde_json` hands over as `f64`. It reads only what `serde_json` has already
/// found to be valid, and only when a body has such a number at all.
struct Floats<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Floats<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = self.text.get(self.at..)?;
            let start = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])?;
            let token = rest.get(start..)?;
            let length = match token.strip_prefix('"') {
                Some(string) => string_length(string.as_bytes())? + 1,
                None => number_length(token),
            };
            self.at += start + length;
            let token = token.get(..length)?;
            let whole = token.parse::<u64>().is_ok() || (token != "-0" && token.parse::<i64>().is_ok());
            if !token.starts_with('"') && !whole {
                return Some(token);
            }
        }
    }
}

/// Bytes of the number at the start of `text`: digits, then a fraction and an exponent if they are whole.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.as_bytes().get(from..).unwrap_or_default();
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    let mut end = usize::from(is(0, b"-"));
    end += digits(end);
    if is(end, b".") && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    let sign = usize::from(is(end + 1, b"+-"));
    if is(end, b"eE") && digits(end + 1 + sign) > 0 {
        end += 1 + sign + digits(end + 1 + sign);
    }
    end
}

/// Bytes of a string's rest, with its closing quote.
pub(crate) fn string_length(string: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', string.get(at..)?)?;
        if string.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}
