//! Numbers between text and [`Number`] without loss.
//!
//! Integers live as `i64` or `u64`. Any other text is taken only if the shortest text of its `f64` has the same digits, because a
//! Quantity or an untyped field of the API server may see the text itself. Go's `encoding/json` writes floats like ECMAScript.

use serde_json::Number;

/// The number that a JSON number text stands for, or None if it would lose digits. `-0` is the integer 0, as Go reads it.
pub(super) fn exact(text: &str) -> Option<Number> {
    if let Some(integer) = integer(text) {
        return Some(integer);
    }
    let float: f64 = text.parse().ok()?;
    let same = float.is_finite() && decimal(text)? == decimal(&format!("{float:e}"))?;
    same.then(|| Number::from_f64(float)).flatten()
}

/// What Go's JSON text of this float is read back as: an integer where it prints one. None for infinities and NaN, which Go refuses.
pub(super) fn of_float(float: f64) -> Option<Number> {
    if float.fract() == 0.0 && float.abs() < 1e21 {
        let text = format!("{float}");
        return integer(&text).or_else(|| Number::from_f64(float));
    }
    Number::from_f64(float)
}

/// JSON text of a number; of a float as RFC 8785 §3.2.2.3 has it, but that a whole float keeps `.0` and so differs from an integer.
pub(super) fn text(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return number.to_string();
    };
    let magnitude = float.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        let point = if float.fract() == 0.0 { ".0" } else { "" };
        return format!("{float}{point}");
    }
    let text = format!("{float:e}");
    if magnitude >= 1.0 { text.replace('e', "e+") } else { text }
}

fn integer(text: &str) -> Option<Number> {
    text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

/// Sign, significant digits and power of ten of a decimal text, in the one form that equal numbers share.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return Some((negative, String::new(), 0));
    }
    let dropped = i64::try_from(digits.len() - trimmed.len()).ok()?;
    let fraction = i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(fraction)?.checked_add(dropped)?;
    Some((negative, trimmed.to_owned(), exponent))
}
