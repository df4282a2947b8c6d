//! The forms in which programs print a value, but for what is escaped in them ([`unescape`](super::unescape)): as it is and line by line (a short
//! line with its end, [`END`]), base64 (both alphabets, wherever it stands in a longer text, or in lines), and base64 of that, also where the
//! inner one was in lines. What touches is replaced as one, so of a form that begins like another only the end is looked for by itself.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE};
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
    for file in values {
        // A line break at the end is a habit of editors, and no part of what is printed.
        let value = file.trim_ascii();
        if value.len() < VALUE_BYTES_MIN {
            continue;
        }
        let blanks = file.len() - file.trim_ascii_start().len();
        forms.of_value(value, blanks)?;
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
    /// `blanks`: so many bytes stand in front of it, which are printed or not.
    fn of_value(&mut self, value: &[u8], blanks: usize) -> Option<()> {
        self.add(value.to_vec())?;
        for alphabet in [&STANDARD, &URL_SAFE] {
            self.add_end(&alphabet.encode(value))?;
            for part in at_every_offset(value, alphabet) {
                self.add(part)?;
            }
            self.twice(value, blanks, alphabet)?;
        }
        for width in WRAPPED {
            self.wrapped_and_encoded(value, blanks, &STANDARD, width)?;
        }
        // As it is where the ends of lines stand for nothing.
        self.add(value.iter().copied().filter(|byte| !LINE.contains(byte)).collect())?;
        // As forms of HTML pages write spaces in a URL.
        self.add(value.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect())
    }

    /// Base64 of base64. The outer one is the same in both alphabets, for no character of the inner one has the bits by which they differ.
    fn twice(&mut self, value: &[u8], blanks: usize, alphabet: &GeneralPurpose) -> Option<()> {
        self.add_end(STANDARD.encode(alphabet.encode(value)).trim_end_matches('='))?;
        if value.len() <= TWICE_BYTES_MAX {
            for inner in at_every_offset(value, alphabet) {
                at_every_offset(&inner, &STANDARD).try_for_each(|part| self.add(part))?;
            }
        }
        self.wrapped_and_encoded(value, blanks, alphabet, usize::MAX)
    }

    /// Base64 of base64 in lines of that width: of the value alone, and with what stands in front of it. What stands after it is anything.
    fn wrapped_and_encoded(
        &mut self,
        value: &[u8],
        blanks: usize,
        alphabet: &GeneralPurpose,
        width: usize,
    ) -> Option<()> {
        let begins = if blanks == 0 { [0].as_slice() } else { &[0, blanks] };
        for before in begins {
            let encoded = alphabet.encode([vec![b' '; *before], value.to_vec()].concat());
            let (from, to) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
            let mut inner = Vec::with_capacity(encoded.len());
            for (index, byte) in encoded.bytes().enumerate().take(to).skip(from) {
                if index > from && index % width == 0 {
                    inner.push(b'\n');
                }
                inner.push(byte);
            }
            // It falls on groups by what stands before it, line breaks and all.
            let offset = (from + from / width) % 3;
            at_every_offset(&inner, &STANDARD).skip(offset).take(1).try_for_each(|part| self.add(part))?;
        }
        Some(())
    }

    fn in_lines(&mut self, encoded: &str) -> Option<()> {
        let lines = WRAPPED.into_iter().flat_map(|width| encoded.as_bytes().chunks(width));
        lines.filter(|line| line.len() >= VALUE_LINE_BYTES_MIN).try_for_each(|line| self.add(line.to_vec()))
    }

    /// The end of a form whose beginning is looked for by itself.
    fn add_end(&mut self, form: &str) -> Option<()> {
        let form = form.as_bytes();
        self.add(form.get(form.len().saturating_sub(END_BYTES)..).unwrap_or_default().to_vec())
    }

    fn add(&mut self, form: Vec<u8>) -> Option<()> {
        if form.len() >= VALUE_BYTES_MIN && !self.found.contains(&form) {
            self.left = self.left.checked_sub(form.len())?;
            self.found.insert(form);
        }
        Some(())
    }
}

/// Bytes of the end of a form that is looked for by itself: so many of a value that they are its own, in base64 of base64, too. All keys and
/// certificates end alike (RFC 7468), in up to 35 bytes.
const END_BYTES: usize = 96;

/// Bytes of the longest value that is looked for in base64 of base64 of any longer text: there it can look in nine ways, each nearly twice as
/// long as the value. Longer ones are files, which are encoded by themselves.
const TWICE_BYTES_MAX: usize = 128;

/// Characters of a line of base64, as `openssl` and PEM (RFC 7468) and `base64` of coreutils and MIME (RFC 2045) write it.
const WRAPPED: [usize; 2] = [64, 76];
