//! What must hold of any text, and of whatever a client may make of a placeholder; run by the fuzz target and, over its corpus, by an ordinary
//! test.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{
    Field, PLACEHOLDER_BYTES, PlaceholderKey, PlaceholderKeys, Scope, codes, contains_placeholder, count_placeholders,
    is_placeholder, without_codes,
};

/// How often it is put into base64 by somebody who puts something before it each time.
const TIMES: usize = 3;
/// How often by somebody who wraps it into lines each time.
const WRAPPED_TIMES: usize = 8;

/// See [`super::super::fuzz_placeholder`].
pub(in crate::mask) fn fuzz(data: &[u8]) {
    read(data);
    let field = Field { name: data.get(..8).unwrap_or(data), ordinal: 0, section: "data", key: b"p" };
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    let code = keys.placeholder(&Scope::default(), &field);
    assert!(is_placeholder(&code) && code.len() == PLACEHOLDER_BYTES && keys.fits(&Scope::default(), &field, &code));
    let mut steps = data.iter().copied();
    let decoded = steps.next().is_some_and(|form| form >= 128);
    let mut text = if decoded { STANDARD.decode(code).unwrap_or_default() } else { code.into_bytes() };
    let wraps = steps.next().is_some_and(|how| how % 2 == 1);
    // In the sentence itself blanks are lost with the ends of short lines.
    let mut is_base64 = !decoded;
    for step in steps.by_ref().take(if wraps { WRAPPED_TIMES } else { TIMES }) {
        text = match (wraps, is_base64) {
            (true, true) => wrapped(&text, step),
            (true, false) => text,
            (false, _) => [&before(step), text.as_slice()].concat(),
        };
        text = if step < 128 { STANDARD.encode(&text) } else { URL_SAFE_NO_PAD.encode(&text) }.into_bytes();
        is_base64 = true;
    }
    assert!(contains_placeholder(&text), "{}", String::from_utf8_lossy(&text));
    if is_base64 {
        let lines = wrapped(&text, steps.next().unwrap_or(75));
        assert!(contains_placeholder(&lines), "{}", String::from_utf8_lossy(&lines));
    }
    read(&text);
}

/// Letters that are nothing by themselves.
fn before(step: u8) -> Vec<u8> {
    vec![b'x'; usize::from(step % 7)]
}

fn wrapped(text: &[u8], step: u8) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.chunks(usize::from(step) + 1).collect();
    lines.join(if step.is_multiple_of(2) { b"\n".as_slice() } else { b"\r\n" })
}

/// Whatever it is.
fn read(data: &[u8]) {
    let found = contains_placeholder(data);
    assert!(found || count_placeholders(data) == 0, "there is a piece of one");
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(!is_placeholder(text) || found && codes(text).len() == 1, "{text}");
    let mut until = 0;
    for (place, code) in codes(text) {
        assert!(found && until <= place.start && place.end <= text.len(), "{place:?} of {text}");
        until = if is_placeholder(&code) { place.end } else { until };
    }
    let without = without_codes(data);
    assert!(without.len() <= data.len());
}
