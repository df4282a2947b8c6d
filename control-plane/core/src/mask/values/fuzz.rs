//! What must hold for any values in any text, however it is cut; run by the fuzz target and, over its corpus, by an ordinary test.

use std::sync::Arc;

use memchr::memmem;
use shared::limits::VALUE_BYTES_MIN;

use super::unescape::{self, Escape};
use super::{MASKED, SecretValues, TextMasker, forms};

/// Ends a value, where more than one is looked for; what follows the last is the text.
const NEXT: u8 = 0xfd;
/// In the text: a piece ends here.
const CUT: u8 = 0xfe;
/// In the text, with three bytes more: one of the values' forms, how it is escaped, and how many of its last bytes are missing.
const FORM: u8 = 0xff;
/// More would make a search slow, and find nothing new.
const VALUES: usize = 6;
const VALUE_BYTES: usize = 200;
const TEXT_BYTES: usize = 4096;

/// See [`super::fuzz_values`].
pub(super) fn fuzz(data: &[u8]) {
    let mut values: Vec<&[u8]> = data.split(|byte| *byte == NEXT).collect();
    let script = values.pop().unwrap_or_default();
    values.truncate(VALUES);
    values.retain(|value| value.len() <= VALUE_BYTES);
    let Ok(searched) = SecretValues::with_lines(values.iter().copied(), forms::Lines::All) else { return };
    let searched = Arc::new(searched);
    let forms = forms::of_all(values.iter().copied(), forms::Lines::All, usize::MAX).unwrap_or_default();
    let pieces = pieces(script, &forms);
    let text = pieces.concat();
    // Of what may be a value and has more escapes than are known more is masked, by where it is cut.
    let begins = |byte: &&u8| [unescape::JSON, unescape::URL, unescape::LINE].iter().any(|both| both.contains(byte));
    let is_exact = text.iter().filter(begins).count() <= unescape::KNOWN;
    let expected = reference(&forms, &text);
    let check = |shown: (Vec<u8>, u64), how: &str| {
        nothing_left(&forms, &shown.0);
        assert!(!is_exact || shown == expected, "{how}: {shown:?} instead of {expected:?}");
    };
    check(mask(&searched, &forms, pieces.iter().map(Vec::as_slice)), "as it was cut");
    for (size, how) in [(1, "byte by byte"), (7, "in pieces of seven"), (TEXT_BYTES * 2, "whole")] {
        check(mask(&searched, &forms, text.chunks(size)), how);
    }
}

fn nothing_left(forms: &[Vec<u8>], shown: &[u8]) {
    for form in forms.iter().filter(|form| !form.ends_with(&[forms::END])) {
        for at in memmem::find_iter(shown, form) {
            // What the mask itself completes says nothing of a value.
            let end = at + form.len();
            let masked = memmem::find_iter(shown, MASKED).any(|mask| mask < end && at < mask + MASKED.len());
            assert!(masked, "{} is left", String::from_utf8_lossy(form));
        }
    }
}

/// The text that the fuzzer describes, in pieces.
fn pieces(script: &[u8], forms: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut pieces = vec![Vec::new()];
    let mut left = TEXT_BYTES;
    let mut bytes = script.iter().copied();
    while let Some(byte) = bytes.next()
        && let Some(piece) = pieces.last_mut()
        && left > 0
    {
        let before = piece.len();
        match byte {
            CUT => pieces.push(Vec::new()),
            FORM => {
                let mut next = || usize::from(bytes.next().unwrap_or(0));
                let form = forms.get(next() % forms.len().max(1)).map(Vec::as_slice).unwrap_or_default();
                let form = escaped(form, next());
                piece.extend_from_slice(form.get(..form.len().saturating_sub(next())).unwrap_or_default());
                left = left.saturating_sub(piece.len() - before);
            }
            byte => {
                piece.push(byte);
                left -= 1;
            }
        }
    }
    pieces
}

/// In one of the ways in which programs escape.
pub(super) fn escaped(text: &[u8], how: usize) -> Vec<u8> {
    let each = |to: &dyn Fn(u8) -> String| text.iter().map(|byte| to(*byte)).collect::<String>().into_bytes();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let json = |all: bool| {
        let one = |char: char| match char {
            '"' | '\\' | '/' if !all => format!("\\{char}"),
            '\n' => "\\n".to_owned(),
            char if char.is_ascii() && (!all || is_plain(char as u8)) => char.to_string(),
            char => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
        };
        str::from_utf8(text)
            .map_or_else(|_| text.to_vec(), |text| text.chars().map(one).collect::<String>().into_bytes())
    };
    match how % 8 {
        0 => each(&|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }),
        1 => each(&|byte| format!("%{byte:02X}")),
        2 => json(false),
        3 => json(true),
        4 => escaped(&json(true), 2),
        5 => escaped(&json(false), 0),
        6 => escaped(&each(&|byte| format!("%{byte:02X}")), 3),
        _ => text.to_vec(),
    }
}

/// Shows too that no more is held back than one value could have.
fn mask<'a>(values: &Arc<SecretValues>, forms: &[Vec<u8>], pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, u64) {
    // A byte of a value has six of JSON or six of them again, or a line of its own with a time in front.
    let longest = 40 * forms.iter().map(Vec::len).max().unwrap_or(0) + 12;
    let mut masker = TextMasker::new(Arc::clone(values));
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out);
        assert!(masker.held.len() <= longest.saturating_sub(1), "{} bytes are held", masker.held.len());
    }
    let count = masker.finish(&mut out);
    (out, count)
}

/// A byte, and where in the text it begins and ends.
type At = (u8, usize, usize);

/// A text with its escapes undone that begin so: each byte of one is where all of it is.
fn undone(text: &[At], begins: unescape::Begins) -> Vec<At> {
    let bytes: Vec<u8> = text.iter().map(|(byte, ..)| *byte).collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(first) = text.get(at) {
        let escape = if begins.contains(&first.0) {
            unescape::escape(bytes.get(at..).unwrap_or_default())
        } else {
            Escape::None
        };
        match escape {
            Escape::Of { length, text: stands_for, bytes } => {
                let end = text.get(at + length - 1).map_or(first.2, |last| last.2);
                out.extend(stands_for.iter().take(bytes).map(|byte| (*byte, first.1, end)));
                at += length;
            }
            // What the text's end leaves open is none, with all that is in it.
            Escape::Open => {
                out.extend_from_slice(text.get(at..).unwrap_or_default());
                break;
            }
            Escape::None => {
                out.push(*first);
                at += 1;
            }
        }
    }
    out
}

/// Slow and obvious: every place of every form in the text and with its escapes undone, joined where they touch; and how many masks that makes.
pub(super) fn reference(all: &[Vec<u8>], text: &[u8]) -> (Vec<u8>, u64) {
    let mut hidden = vec![false; text.len()];
    let plain: Vec<At> = text.iter().enumerate().map(|(at, byte)| (*byte, at, at + 1)).collect();
    let json = undone(&plain, unescape::JSON);
    let within = [unescape::JSON, unescape::URL, unescape::LINE].map(|begins| undone(&json, begins));
    for view in [plain, json].into_iter().chain(within) {
        // The text's end is one of its last line.
        let lines: Vec<u8> = view.iter().map(|(byte, ..)| *byte).chain([forms::END]).collect();
        for form in all {
            let hides = form.strip_suffix(&[forms::END]).unwrap_or(form).len();
            for at in (0..view.len()).filter(|at| lines.get(*at..).is_some_and(|rest| rest.starts_with(form))) {
                // Less than a value before the end of a line is shown.
                let is_next_line =
                    |index: &usize| view.get(index - 1).map(|one| one.2) < view.get(*index).map(|one| one.1);
                let from = (at + 1..at + VALUE_BYTES_MIN).take(hides - 1).find(is_next_line).unwrap_or(at);
                let ends = view.get(from).map(|first| first.1).zip(view.get(at + hides - 1).map(|last| last.2));
                let (start, end) = ends.unwrap_or_default();
                hidden.iter_mut().take(end).skip(start).for_each(|hidden| *hidden = true);
            }
        }
    }
    let mut out = Vec::new();
    let mut count = 0;
    let mut before = false;
    for (byte, hidden) in text.iter().zip(hidden) {
        if !hidden {
            out.push(*byte);
        } else if !before {
            out.extend_from_slice(MASKED);
            count += 1;
        }
        before = hidden;
    }
    (out, count)
}
