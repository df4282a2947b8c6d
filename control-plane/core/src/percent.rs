//! Percent-encoding (RFC 3986 §2.1): decoded exactly once, encoded in exactly one way.

/// Decodes once. `None` for a `%` without two hexadecimal digits, or for bytes that are no UTF-8.
pub(crate) fn decode(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Appends a query key or value: unreserved characters as they are.
pub(crate) fn encode_query(text: &str, out: &mut String) {
    encode(text, |byte| matches!(byte, b'-' | b'_' | b'.' | b'~'), out);
}

/// Appends a path segment: also `:` and `@` as they are, which Go leaves alone in a path as well.
pub(crate) fn encode_segment(text: &str, out: &mut String) {
    encode(text, |byte| matches!(byte, b'-' | b'_' | b'.' | b'~' | b':' | b'@'), out);
}

fn encode(text: &str, plain: impl Fn(u8) -> bool, out: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(DIGITS.get(usize::from(digit)));
            }
        }
    }
}
