//! The forms in which programs print a value, but for what is escaped in them ([`unescape`](super::unescape)): as it is and line by line (a short
//! line with its end, [`END`]), base64 (both alphabets, wherever it stands in a longer text, or in lines), and base64 of that.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use shared::limits::{VALUE_BYTES_MIN, VALUE_LINE_BYTES_MIN};

use super::unescape::LINE;
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
                forms.add([line, &[b'\r', END]].concat())?;
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
        // As it is where the ends of lines stand for nothing.
        self.add(value.iter().copied().filter(|byte| !LINE.contains(byte)).collect())?;
        // As forms of HTML pages write spaces in a URL.
        self.add(value.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect())
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
