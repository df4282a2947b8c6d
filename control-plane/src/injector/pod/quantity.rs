//! Amounts of CPU and memory, as far as a sidecar can need them.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

/// Thousandths of a core.
pub(crate) fn cpu(text: &str) -> Option<u64> {
    let (number, scale) = match text.strip_suffix('m') {
        Some(number) => (number, 1),
        None => (text, 1000),
    };
    scaled(number, scale)
}

/// Bytes.
pub(crate) fn memory(text: &str) -> Option<u64> {
    const SUFFIXES: [(&str, u64); 6] =
        [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let (number, scale) =
        SUFFIXES.into_iter().find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale))).unwrap_or((text, 1));
    scaled(number, scale)
}

/// `1`, `1.5`, `0.25` times a scale; more digits than the scale has are refused.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let tens = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = part.parse::<u64>().ok()?.checked_mul(scale)?;
    let amount = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part.checked_div(tens)?)?;
    (part.checked_rem(tens)? == 0 && amount > 0).then_some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, amount) in [("10m", 10), ("1", 1000), ("0.5", 500), ("1.25", 1250)] {
            assert_eq!(cpu(text), Some(amount), "{text}");
        }
        for (text, amount) in [("1", 1), ("32Mi", 32 << 20), ("1.5Ki", 1536), ("64M", 64_000_000), ("1Gi", 1 << 30)] {
            assert_eq!(memory(text), Some(amount), "{text}");
        }
        for wrong in ["", "m", "-1", "+1", "1e3", "1 m", "1M", "0", "0m", "0.0001", ".5", "5.", "99999999999999999999"]
        {
            assert_eq!(cpu(wrong), None, "{wrong}");
        }
        for wrong in ["", "Mi", "-1Mi", "1mi", "1MB", "1e3", "0", "0.3", "999999999999Gi"] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
    }
}
