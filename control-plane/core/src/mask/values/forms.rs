//! The forms in which programs print a value: as it is and line by line (a short line with its end, [`END`]), base64 (both alphabets, wherever it stands in a longer text, or in lines), base64
//! of that, escaped for a URL, and escaped for JSON, once or twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use shared::limits::{VALUE_BYTES_MIN, VALUE_LINE_BYTES_MIN};

use crate::mask::placeholder::at_every_offset;

/// What a short line of a value ends with, and no other form does: in the midst of a line its text may be anybody's.
pub(super) const END: u8 = b'\n';

/// Which lines of a value are looked for by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Those of [`VALUE_LINE_BYTES_MIN`], wherever they stand.
    Long,
    /// Shorter ones, too, at the end of a line, and those of its base64: of a log some lines can be asked for, and a time stands in front of each.
    All,
}

/// All forms of all values, each once; `None` if they have more than `limit` bytes together.
pub(super) fn of_all<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    which: Lines,
    limit: usize,
) -> Option<Vec<Vec<u8>>> {
    let mut forms = Forms { found: BTreeSet::new(), left: limit };
    for value in values {
        // A line break at the end is a habit of editors, and no part of what is printed.
        let value = value.trim_ascii();
        if value.len() < VALUE_BYTES_MIN {
            continue;
        }
        forms.of_value(value)?;
        if which == Lines::All {
            forms.in_lines(&STANDARD.encode(value))?;
        }
        let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for line in lines.filter(|line| line.len() < value.len()) {
            if line.len() >= VALUE_LINE_BYTES_MIN {
                forms.add(line.to_vec())?;
            } else if which == Lines::All && line.len() >= VALUE_BYTES_MIN {
                forms.add([line, &[END]].concat())?;
            }
        }
    }
    Some(forms.found.into_iter().collect())
}

struct Forms {
    found: BTreeSet<Vec<u8>>,
    left: usize,
}

impl Forms {
    fn of_value(&mut self, value: &[u8]) -> Option<()> {
        self.add(value.to_vec())?;
        for alphabet in [&STANDARD, &URL_SAFE] {
            let whole = alphabet.encode(value);
            self.add(alphabet.encode(&whole).trim_end_matches('=').into())?;
            self.add(whole.into_bytes())?;
            for part in at_every_offset(value, alphabet) {
                self.add(part)?;
            }
        }
        for kept in [UNRESERVED, COMPONENT, PATH_SEGMENT] {
            for (space, lower) in [("%20", false), ("%20", true), ("+", false)] {
                self.add(url(value, kept, space, lower).into_bytes())?;
            }
        }
        let Ok(text) = str::from_utf8(value) else { return Some(()) };
        for plain in [json(text, Escapes::Few), json(text, Escapes::Html), json(text, Escapes::Ascii)] {
            self.add(json(&plain, Escapes::Few).into_bytes())?;
            self.add(plain.into_bytes())?;
        }
        Some(())
    }

    fn in_lines(&mut self, encoded: &str) -> Option<()> {
        let lines = WRAPPED.into_iter().flat_map(|width| encoded.as_bytes().chunks(width));
        lines.filter(|line| line.len() >= VALUE_LINE_BYTES_MIN).try_for_each(|line| self.add(line.to_vec()))
    }

    fn add(&mut self, form: Vec<u8>) -> Option<()> {
        if form.len() >= VALUE_BYTES_MIN && !self.found.contains(&form) {
            self.left = self.left.checked_sub(form.len())?;
            self.found.insert(form);
        }
        Some(())
    }
}

/// Characters of a line of base64, as `openssl` and PEM (RFC 7468) and `base64` of coreutils and MIME (RFC 2045) write it.
const WRAPPED: [usize; 2] = [64, 76];
/// RFC 3986: what never needs to be escaped.
const UNRESERVED: &[u8] = b"-._~";
/// JavaScript's `encodeURIComponent`.
const COMPONENT: &[u8] = b"-._~!*'()";
/// Go's `url.PathEscape`.
const PATH_SEGMENT: &[u8] = b"-._~$&+=:@";

fn url(value: &[u8], kept: &[u8], space: &str, lower: bool) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        // Writing to a String can't fail.
        let _written = match byte {
            b' ' => text.write_str(space),
            byte if byte.is_ascii_alphanumeric() || kept.contains(byte) => text.write_char(char::from(*byte)),
            byte if lower => write!(text, "%{byte:02x}"),
            byte => write!(text, "%{byte:02X}"),
        };
    }
    text
}

/// What a JSON writer escapes beyond what it must.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// Nothing.
    Few,
    /// `<`, `>`, `&` and two line separators, as Go does.
    Html,
    /// Whatever isn't ASCII, as Python does; and the slash, as PHP does.
    Ascii,
}

/// The inside of a JSON string (RFC 8259).
fn json(text: &str, escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        let short = match char {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '/' if escapes == Escapes::Ascii => "\\/",
            _ => "",
        };
        let long = char < ' '
            || escapes == Escapes::Html && matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
            || escapes == Escapes::Ascii && !char.is_ascii();
        if !short.is_empty() {
            out.push_str(short);
        } else if long {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _written = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(char);
        }
    }
    out
}
