//! Last-applied: a document inside an annotation, which kubectl makes anew from the file that it applies.

use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::RestoreError;
use super::walk::Restorer;

/// The text with values where its placeholders were. `before`: what stands there now.
///
/// It is written as Go writes it, for the next apply compares texts: kubectl would find a difference in every `<`.
///
/// # Errors
/// The place in the document that can't be restored; `None`: the text is no document.
pub(super) fn restore(
    restorer: &Restorer<'_>,
    before: Option<&str>,
    text: &str,
) -> Result<String, Option<RestoreError>> {
    let mut document: Value = serde_json::from_str(text).ok().filter(Value::is_object).ok_or(None::<RestoreError>)?;
    let before: Option<Value> = before.and_then(|before| serde_json::from_str(before).ok());
    restorer.document(&mut document, before.as_ref())?;
    go_text(&document, text.ends_with('\n')).ok_or(None)
}

/// A document as Go writes it.
pub(crate) fn go_text(document: &Value, ends_line: bool) -> Option<String> {
    let mut out = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter)).ok()?;
    if ends_line {
        out.push(b'\n');
    }
    String::from_utf8(out).ok()
}

/// encoding/json of Go: no spaces, and `<`, `>`, `&`, U+2028 and U+2029 escaped.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let mut chars = part.chars();
            match chars.next_back() {
                Some(last @ ('<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                    CompactFormatter.write_string_fragment(writer, chars.as_str())?;
                    write!(writer, "\\u{:04x}", u32::from(last))?;
                }
                Some(_) | None => CompactFormatter.write_string_fragment(writer, part)?,
            }
        }
        Ok(())
    }
}
