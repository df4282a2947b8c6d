//! Byte-level helpers: escapes, UTF-8 across chunks, numbers, escaping.

use super::stops::plain_run;

/// Checks UTF-8 (RFC 3629) over chunks that may cut a character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    pending: [u8; 4],
    len: u8,
}

impl Utf8 {
    /// Whether nothing is left of a character.
    pub(super) const fn is_whole(self) -> bool {
        self.len == 0
    }

    /// Takes the next chunk; `Err` is the number of good bytes in it.
    pub(super) fn check(&mut self, mut chunk: &[u8]) -> Result<(), usize> {
        let mut done = 0;
        while self.len > 0 {
            let Some((&byte, rest)) = chunk.split_first() else { return Ok(()) };
            let len = usize::from(self.len);
            if let Some(slot) = self.pending.get_mut(len) {
                *slot = byte;
            }
            let start = self.pending.get(..=len).unwrap_or_default();
            match std::str::from_utf8(start) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() && len < 3 => self.len += 1,
                Err(_) => return Err(done),
            }
            chunk = rest;
            done += 1;
        }
        match std::str::from_utf8(chunk) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let tail = chunk.get(error.valid_up_to()..).unwrap_or_default();
                for (slot, &byte) in self.pending.iter_mut().zip(tail) {
                    *slot = byte;
                }
                // At most three bytes: a whole character would have been valid.
                self.len = u8::try_from(tail.len()).unwrap_or(4);
                Ok(())
            }
            Err(error) => Err(done + error.valid_up_to()),
        }
    }
}

/// Where an escape sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    None,
    Backslash,
    Hex { left: u8, value: u16 },
}

/// What one byte of an escape sequence gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unescaped {
    /// More bytes belong to it.
    More(Escape),
    Char(char),
    /// One UTF-16 unit of a pair.
    Surrogate(u16),
    Invalid,
}

impl Escape {
    pub(super) fn step(self, byte: u8) -> Unescaped {
        match self {
            Self::None | Self::Backslash => match byte {
                b'"' | b'\\' | b'/' => Unescaped::Char(char::from(byte)),
                b'b' => Unescaped::Char('\u{8}'),
                b'f' => Unescaped::Char('\u{c}'),
                b'n' => Unescaped::Char('\n'),
                b'r' => Unescaped::Char('\r'),
                b't' => Unescaped::Char('\t'),
                b'u' => Unescaped::More(Self::Hex { left: 4, value: 0 }),
                _ => Unescaped::Invalid,
            },
            Self::Hex { left, value } => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let value = value << 4 | u16::try_from(digit).unwrap_or(0);
                    if left > 1 {
                        return Unescaped::More(Self::Hex { left: left - 1, value });
                    }
                    char::from_u32(u32::from(value)).map_or(Unescaped::Surrogate(value), Unescaped::Char)
                }
                None => Unescaped::Invalid,
            },
        }
    }
}

/// Joins UTF-16 units as Go's decoder does: half a pair becomes U+FFFD.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surrogates(Option<u16>);

impl Surrogates {
    /// The next unit; gives up to two characters.
    pub(super) fn unit(&mut self, unit: u16) -> [Option<char>; 2] {
        let before = self.0.take();
        if (0xdc00..0xe000).contains(&unit) {
            let joined = before.and_then(|high| {
                char::from_u32(0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00))
            });
            return [Some(joined.unwrap_or(char::REPLACEMENT_CHARACTER)), None];
        }
        self.0 = Some(unit);
        [before.map(|_| char::REPLACEMENT_CHARACTER), None]
    }

    /// Something else follows.
    pub(super) fn close(&mut self) -> Option<char> {
        self.0.take().map(|_| char::REPLACEMENT_CHARACTER)
    }
}

/// Where a number stands (RFC 8259 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Number {
    /// The first byte, a minus or digit.
    pub(super) const fn start(byte: u8) -> Self {
        match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            _ => Self::Digits,
        }
    }

    /// The next byte; `None` if it does not belong to the number.
    pub(super) const fn step(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus | Self::Digits, b'0'..=b'9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Some(Self::ExponentDigits),
            _ => None,
        }
    }

    /// Whether it may end here.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits)
    }
}

/// Appends UTF-8 text as the inside of a JSON string.
pub(super) fn escape_into(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let (plain, rest) = text.split_at(plain_run(text));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = rest.split_first() else { return };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        text = after;
    }
}

/// The same as Go's encoding/json writes it. Texts in texts have to be written so, for kubectl compares a document in an annotation with
/// the one that it would write.
pub(super) fn escape_as_go(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
        let (plain, from) = rest.split_at(at);
        escape_into(plain, out);
        let (escaped, after): (&[u8], _) = match from {
            [b'<', after @ ..] => (b"\\u003c", after),
            [b'>', after @ ..] => (b"\\u003e", after),
            [b'&', after @ ..] => (b"\\u0026", after),
            // LINE SEPARATOR and PARAGRAPH SEPARATOR, which end a line in JavaScript.
            [0xe2, 0x80, 0xa8, after @ ..] => (b"\\u2028", after),
            [0xe2, 0x80, 0xa9, after @ ..] => (b"\\u2029", after),
            _ => from.split_at(1),
        };
        out.extend_from_slice(escaped);
        rest = after;
    }
    escape_into(rest, out);
}
