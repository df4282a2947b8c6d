//! `resource.Quantity`: a text such as `1500m` or `64Mi`, which Go rewrites when it reads it (k8s.io/apimachinery
//! `pkg/api/resource/quantity.go`, `ParseQuantity` and `CanonicalizeBytes`).
//!
//! Go keeps a text that it takes for canonical, and rewrites every other. Values that Go would round or cap, or whose canonical form has
//! no suffix, are refused; no client writes them.

use crate::body::ProtobufProblem;
use crate::protobuf::wire::{self, BYTES, Fault};
use serde_json::Value;

/// Digits that surely fit Go's `int64`, below which it keeps canonical texts.
const FAST_DIGITS: usize = 18;
/// Digits that fit our `i128` after scaling.
const DIGITS: usize = 30;

pub(super) fn read(bytes: &[u8]) -> Result<Value, Fault> {
    // An empty message is Go's zero Quantity.
    let [Some(text)] = wire::few(bytes, [BYTES])? else {
        return Ok("0".into());
    };
    match canonical(text.text(1)?) {
        Some(canonical) => Ok(canonical.into()),
        None => Err(Fault { offset: 0, problem: ProtobufProblem::Value { field: 1, expected: "a quantity" } }),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    /// `m`, none, `k`, `M`: power of ten.
    Decimal,
    /// `e3`, `E-6`: power of ten.
    Exponent,
    /// `Ki`, `Mi`: power of two.
    Binary,
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// What Go's JSON says after reading `text`, or None if the text is not a quantity or one we don't follow.
pub(super) fn canonical(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() || unsigned.starts_with('.') || (rest.starts_with('.')) {
        return None;
    }
    let (format, exponent) = suffix(rest)?;
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let shifted = format!("{whole}{fraction}");
    if shifted.len() > DIGITS {
        return None;
    }
    let magnitude: i128 = shifted.parse().ok()?;
    let amount = if text.starts_with('-') { -magnitude } else { magnitude };
    if format == Format::Binary {
        // Go's estimate of whether the product fits an int64; only then does it keep a text.
        let fast = 15 - i32::try_from(whole.len()).ok()? - exponent * 3 / 10 > 1;
        let bytes = amount.checked_shl(u32::try_from(exponent).ok()?).filter(|bytes| bytes >> exponent == amount)?;
        // Go caps here.
        if !fraction.is_empty() || bytes.unsigned_abs() > i64::MAX.unsigned_abs().into() {
            return None;
        }
        return Some(if fast && magnitude & 7 != 0 { text.to_owned() } else { binary(bytes) });
    }
    let scale = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    // Go rounds here.
    if scale < -9 {
        return None;
    }
    let kept = scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0');
    if kept && shifted.len() <= FAST_DIGITS {
        return Some(text.to_owned());
    }
    decimal(amount, scale, format)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn suffix(text: &str) -> Option<(Format, i32)> {
    let named = |table: &[(&str, i32)]| table.iter().find(|(name, _)| *name == text).map(|(_, exponent)| *exponent);
    if let Some(exponent) = named(&DECIMAL) {
        return Some((Format::Decimal, exponent));
    }
    if let Some(exponent) = named(&BINARY) {
        return Some((Format::Binary, exponent));
    }
    let exponent = text.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    (-99..=99).contains(&exponent).then_some((Format::Exponent, exponent))
}

/// The fewest digits with a power of ten that is a multiple of three.
fn decimal(mut amount: i128, mut exponent: i32, format: Format) -> Option<String> {
    if amount == 0 {
        return Some("0".to_owned());
    }
    while amount % 10 == 0 {
        amount /= 10;
        exponent += 1;
    }
    while exponent % 3 != 0 {
        amount *= 10;
        exponent -= 1;
    }
    match format {
        Format::Exponent if exponent == 0 => Some(amount.to_string()),
        Format::Exponent => Some(format!("{amount}e{exponent}")),
        Format::Decimal | Format::Binary => {
            let (name, _) = DECIMAL.iter().find(|(_, named)| *named == exponent)?;
            Some(format!("{amount}{name}"))
        }
    }
}

/// The fewest digits with a power of 1024.
fn binary(mut bytes: i128) -> String {
    let mut name = "";
    for (next, _) in BINARY {
        if bytes == 0 || bytes % 1024 != 0 {
            break;
        }
        bytes /= 1024;
        name = next;
    }
    format!("{bytes}{name}")
}
