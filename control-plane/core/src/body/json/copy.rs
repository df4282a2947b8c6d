//! An answer in which some values were replaced, written as it was read otherwise: in its order, and with its numbers, of which a tree has
//! only what a float holds.

use super::{Answer, Floats};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;

/// Writes the value of `answer`, which was read from `text` and changed since. Of a key that stands twice only what was read is written.
pub(crate) fn write(text: &[u8], answer: &Answer, out: &mut Vec<u8>) -> serde_json::Result<()> {
    if answer.twice || !answer.floats {
        return serde_json::to_writer(out, &answer.value);
    }
    let text = std::str::from_utf8(text).map_err(serde_json::Error::custom)?;
    let mut copy = Copy { floats: Floats { text, at: 0 }, out };
    let mut reader = serde_json::Deserializer::from_str(text);
    Node { copy: &mut copy, value: Some(&answer.value) }.deserialize(&mut reader)
}

struct Copy<'t, 'o> {
    floats: Floats<'t>,
    out: &'o mut Vec<u8>,
}

/// A value of the text, and what it is now; `None`: it stands in something that has become another.
struct Node<'c, 't, 'o, 'v> {
    copy: &'c mut Copy<'t, 'o>,
    value: Option<&'v Value>,
}

impl Node<'_, '_, '_, '_> {
    fn put<E: Error>(self) -> Result<(), E> {
        self.value.map_or(Ok(()), |value| serde_json::to_writer(&mut *self.copy.out, value).map_err(E::custom))
    }

    fn open(&mut self, is_kept: bool, bracket: u8) {
        if is_kept {
            self.copy.out.push(bracket);
        }
    }

    fn name(&mut self, name: &str, is_first: bool) -> serde_json::Result<()> {
        if !is_first {
            self.copy.out.push(b',');
        }
        serde_json::to_writer(&mut *self.copy.out, name)?;
        self.copy.out.push(b':');
        Ok(())
    }

    /// What is no list or map any more is written in its place.
    fn close<E: Error>(self, is_kept: bool, bracket: u8) -> Result<(), E> {
        if !is_kept {
            return self.put();
        }
        self.copy.out.push(bracket);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what was read before")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.put()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.put()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.put()
    }

    /// Its own text, unless it has become something else.
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        let text = self.copy.floats.next();
        match (self.value, text) {
            (Some(Value::Number(_)), Some(text)) => {
                self.copy.out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            _ => self.put(),
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.put()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let list = self.value.and_then(Value::as_array);
        self.open(list.is_some(), b'[');
        for (index, value) in list.into_iter().flatten().enumerate() {
            if index > 0 {
                self.copy.out.push(b',');
            }
            items.next_element_seed(Node { copy: &mut *self.copy, value: Some(value) })?;
        }
        while items.next_element_seed(Node { copy: &mut *self.copy, value: None })?.is_some() {}
        self.close(list.is_some(), b']')
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let map = self.value.and_then(Value::as_object);
        self.open(map.is_some(), b'{');
        let mut kept = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = map.and_then(|map| map.get(&key));
            if value.is_some() {
                self.name(&key, kept.is_empty()).map_err(A::Error::custom)?;
            }
            entries.next_value_seed(Node { copy: &mut *self.copy, value })?;
            if value.is_some() {
                kept.push(key);
            }
        }
        // What has come stands behind what was there.
        if let Some(map) = map.filter(|map| map.len() > kept.len()) {
            let kept: HashSet<&String> = kept.iter().collect();
            for (at, (key, value)) in map.iter().filter(|(key, _)| !kept.contains(key)).enumerate() {
                self.name(key, kept.is_empty() && at == 0).map_err(A::Error::custom)?;
                serde_json::to_writer(&mut *self.copy.out, value).map_err(A::Error::custom)?;
            }
        }
        self.close(map.is_some(), b'}')
    }
}
