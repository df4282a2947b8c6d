//! Where one JSON document ends and the next one begins, of a body that passes by in pieces.
//!
//! The bytes are those that a masker wrote, so they are JSON. Of others the answer would be wrong and harmless: the client reads an error
//! where it would have read one anyway.

/// How deep in a document the bytes so far end.
#[derive(Debug, Default)]
pub struct Documents {
    depth: usize,
    text: Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

impl Documents {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            self.text = match (self.text, byte) {
                (Text::Outside, b'"') | (Text::Escaped, _) => Text::Inside,
                (Text::Inside, b'"') => Text::Outside,
                (Text::Inside, b'\\') => Text::Escaped,
                (Text::Outside, b'{' | b'[') => {
                    self.depth = self.depth.saturating_add(1);
                    Text::Outside
                }
                (Text::Outside, b'}' | b']') => {
                    self.depth = self.depth.saturating_sub(1);
                    Text::Outside
                }
                (text, _) => text,
            };
        }
    }

    /// Whether no object or list is open: a stream of events may end here.
    pub fn is_between(&self) -> bool {
        self.depth == 0 && self.text == Text::Outside
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_stands_in_text_ends_nothing() {
        let mut documents = Documents::default();
        assert!(documents.is_between());
        for (piece, between) in [
            (r#"{"a":"}"#, false),
            (r#"\"}"#, false),
            (r#"\\","b":[{}"#, false),
            ("]}", true),
            ("\n", true),
            ("{", false),
        ] {
            documents.push(piece.as_bytes());
            assert_eq!(documents.is_between(), between, "after {piece}");
        }
    }

    proptest! {
        /// Between exactly where the whole of the documents so far has come, however they are cut.
        #[test]
        fn the_ends_of_documents_are_found(texts in prop::collection::vec(".*", 1..4), pretty: bool) {
            let mut documents = Documents::default();
            for text in texts {
                let event: Value = json!({"type": "ADDED", "object": {"data": {text.clone(): [text]}}});
                let event = if pretty { serde_json::to_vec_pretty(&event) } else { serde_json::to_vec(&event) }.unwrap();
                for byte in &event {
                    documents.push(&[*byte]);
                    prop_assert_eq!(documents.is_between(), std::ptr::eq(byte, event.last().unwrap()));
                }
                documents.push(b"\n");
            }
        }
    }
}
