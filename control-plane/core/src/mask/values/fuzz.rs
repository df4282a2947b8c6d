//! What must hold for any values in any text, however it is cut; run by the fuzz target and, over its corpus, by an ordinary test.

use std::sync::Arc;

use memchr::memmem;

use super::{MASKED, SecretValues, TextMasker, forms};

/// Ends a value, where more than one is looked for; what follows the last is the text.
const NEXT: u8 = 0xfd;
/// In the text: a piece ends here.
const CUT: u8 = 0xfe;
/// In the text, with two bytes more: one of the values' forms, and how many of its last bytes are missing.
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
    let (expected, count) = reference(&forms, &text);
    assert_eq!(mask(&searched, &forms, pieces.iter().map(Vec::as_slice)), (expected.clone(), count), "as it was cut");
    for size in [1, 7, TEXT_BYTES * 2] {
        assert_eq!(mask(&searched, &forms, text.chunks(size)), (expected.clone(), count), "pieces of {size}");
    }
    for form in forms.iter().filter(|form| !form.ends_with(&[forms::END])) {
        for at in memmem::find_iter(&expected, form) {
            // What the mask itself completes says nothing of a value.
            let end = at + form.len();
            let masked = memmem::find_iter(&expected, MASKED).any(|mask| mask < end && at < mask + MASKED.len());
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
                let (which, missing) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0));
                let form = forms.get(usize::from(which) % forms.len().max(1)).map(Vec::as_slice).unwrap_or_default();
                piece.extend_from_slice(form.get(..form.len().saturating_sub(missing.into())).unwrap_or_default());
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

/// Shows too that no more is held back than one value could have.
fn mask<'a>(values: &Arc<SecretValues>, forms: &[Vec<u8>], pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, u64) {
    let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
    let mut masker = TextMasker::new(Arc::clone(values));
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out);
        assert!(masker.held.len() <= longest.saturating_sub(1), "{} bytes are held", masker.held.len());
    }
    let count = masker.finish(&mut out);
    (out, count)
}

/// Slow and obvious: every place of every form, joined where they touch; and how many masks that makes.
pub(super) fn reference(all: &[Vec<u8>], text: &[u8]) -> (Vec<u8>, u64) {
    let mut hidden = vec![false; text.len()];
    // The text's end is one of its last line.
    let lines = [text, &[forms::END]].concat();
    for form in all {
        let hides = form.strip_suffix(&[forms::END]).unwrap_or(form).len();
        for at in (0..text.len()).filter(|at| lines.get(*at..).is_some_and(|rest| rest.starts_with(form))) {
            hidden.iter_mut().skip(at).take(hides).for_each(|hidden| *hidden = true);
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
