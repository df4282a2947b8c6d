//! What a plain scalar means: `resolve.go` of go.yaml.in/yaml/v2, for those texts where nobody can be in doubt.

use crate::body::{ScalarProblem, number};
use serde_json::Value;

/// A plain scalar after `resolve` of yaml/v2, which looks at the first character only to decide whether it might be more than text.
pub(super) fn plain(text: &str) -> Result<Value, ScalarProblem> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'+' | b'-' | b'.' | b'0'..=b'9') => numeric(text),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// Of a float in the clear: more than any program writes, and than a digest has.
const FLOAT_BYTES: usize = 256;

fn numeric(text: &str) -> Result<Value, ScalarProblem> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0')) {
        return number::exact(text).map(Value::Number).ok_or(ScalarProblem::Inexact);
    }
    // A file mode: the one other notation that manifests use. `0` and octal digits, no sign.
    if let Some(octal) = text.strip_prefix('0')
        && octal.bytes().all(|b| matches!(b, b'0'..=b'7'))
    {
        return i64::from_str_radix(octal, 8).map(Value::from).map_err(|_| ScalarProblem::Notation);
    }
    let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
    // Readers count exponents of many digits, and what stands before them, each in its own way.
    if is_float_rest(whole, rest) && text.len() > FLOAT_BYTES {
        return Err(ScalarProblem::Notation);
    }
    // Larger than any float it is text to strconv, as are many short digests: `12e4567`.
    if is_float_rest(whole, rest) && text.parse::<f64>().is_ok_and(f64::is_infinite) {
        return Ok(Value::String(text.to_owned()));
    }
    if is_float_rest(whole, rest) && !(whole.len() > 1 && whole.starts_with('0')) {
        let float = number::exact(text).and_then(|number| number.as_f64()).and_then(number::of_float);
        return float.map(Value::Number).ok_or(ScalarProblem::Inexact);
    }
    if could_be_number(text) {
        return Err(ScalarProblem::Notation);
    }
    Ok(Value::String(text.to_owned()))
}

/// After the digits of `whole`: a fraction with digits, an exponent with digits, or both.
fn is_float_rest(whole: &str, rest: &str) -> bool {
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (rest, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty()
        && (fraction.is_empty() || fraction.strip_prefix('.').is_some_and(all_digits))
        && exponent.is_none_or(all_digits)
        && !rest.is_empty()
}

/// Anything that yaml/v2 may take as a number by way of `strconv` (hexadecimal, octal, binary, `_`, a sign, a bare point, infinities):
/// made of nothing but the characters of such a number. Dates and versions are text, for they have two points or a dash inside.
fn could_be_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan" | "inf" | "nan" | "infinity" | ".infinity") {
        return true;
    }
    let plain = lower.replace('_', "");
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = plain.strip_prefix(prefix) {
            // One digit that is none, or more than 64 bits, and it is text: a digest that begins with `0b`, the address of a wallet. yaml/v2 takes a
            // sign behind `0b` too.
            return u64::from_str_radix(digits.strip_prefix(['+', '-']).unwrap_or(digits), radix).is_ok();
        }
    }
    let digit = plain.bytes().any(|b| b.is_ascii_digit());
    let number = plain.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'));
    let points = plain.bytes().filter(|b| *b == b'.').count();
    let inner_sign = plain.split('e').any(|part| part.get(1..).is_some_and(|rest| rest.contains(['+', '-'])));
    digit && number && points < 2 && !inner_sign && plain.matches('e').count() < 2
}
