//! What is escaped in a text, for a URL (RFC 3986) or in JSON (RFC 8259), undone as the text flows by: whatever a program's writer
//! escapes beyond what it must, and in whatever case of hexadecimal digits, comes out the same. Where in the text each byte came from is
//! known for as long as somebody may ask.

use memchr::memchr2;
use shared::limits::VALUE_BYTES_MIN;

/// What an escape of JSON's begins with.
pub(super) const JSON: Begins = [b'\\'; 2];
/// What one of a URL begins with.
pub(super) const URL: Begins = [b'%'; 2];
/// The end of a line, which stands for nothing in a value that was wrapped; with the time that an API server writes before the next line.
pub(super) const LINE: Begins = [b'\r', b'\n'];
/// Digits of a time (RFC 3339) up to its seconds.
const TIME: &[u8] = b"0000-00-00T00:00:00";
/// Bytes of the longest: with nanoseconds, an offset and a blank.
const TIME_BYTES: usize = TIME.len() + 17;

/// How many that were undone are known at once, beside those of the piece that is being read: as many as one value may have of them until all of it
/// is taken for one.
pub(super) const KNOWN: usize = 256;

/// One of two bytes.
pub(super) type Begins = [u8; 2];

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// So many bytes that stand for others.
    Of { length: usize, text: [u8; 4], bytes: usize },
    /// None: the first byte stands for itself.
    None,
    /// The beginning of one, perhaps.
    Open,
}

/// One that was undone.
#[derive(Clone, Copy, Debug)]
struct Undone {
    /// Where it stood in the text.
    source: (u64, u64),
    /// Where it stands now.
    place: (u64, u64),
}

/// One text. It is in the midst of at most one escape.
#[derive(Debug)]
pub(super) struct Unescaper {
    /// What they begin with.
    begins: Begins,
    /// The beginning of an escape that is not complete.
    open: Vec<u8>,
    /// Those that may still be asked for.
    undone: Vec<Undone>,
    /// By how much the text was longer before the first of them.
    ahead: u64,
    read: u64,
    written: u64,
}

impl Unescaper {
    /// Nothing has come.
    pub(super) const fn new(begins: Begins) -> Self {
        Self { begins, open: Vec::new(), undone: Vec::new(), ahead: 0, read: 0, written: 0 }
    }

    /// Takes the next piece and appends what it stands for.
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = input;
        if !self.open.is_empty() {
            self.open.extend_from_slice(input);
            joined = zeroize::Zeroizing::new(std::mem::take(&mut self.open));
            rest = &joined;
        }
        loop {
            let plain = memchr2(self.begins[0], self.begins[1], rest).unwrap_or(rest.len());
            let (text, from) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
            self.plain(text, out);
            if from.is_empty() {
                return;
            }
            rest = match escape(from) {
                Escape::Open => {
                    self.open.extend_from_slice(from);
                    return;
                }
                Escape::None => {
                    let (first, rest) = from.split_at_checked(1).unwrap_or((from, &[]));
                    self.plain(first, out);
                    rest
                }
                Escape::Of { length, text, bytes } => {
                    let source = (self.read, self.read + length as u64);
                    let place = (self.written, self.written + bytes as u64);
                    self.note(Undone { source, place });
                    (self.read, self.written) = (source.1, place.1);
                    out.extend(text.iter().take(bytes));
                    from.get(length..).unwrap_or_default()
                }
            };
        }
    }

    fn note(&mut self, undone: Undone) {
        match self.undone.last_mut() {
            // Any number of ends of lines may follow one another, and stand for nothing together.
            Some(last) if last.place == undone.place && last.source.1 == undone.source.0 => {
                last.source.1 = undone.source.1
            }
            Some(_) | None => self.undone.push(undone),
        }
    }

    /// The text has ended: an escape that is not complete is none.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let open = zeroize::Zeroizing::new(std::mem::take(&mut self.open));
        self.plain(&open, out);
    }

    fn plain(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        self.pass(text.len());
    }

    /// So many bytes stand for themselves.
    pub(super) const fn pass(&mut self, bytes: usize) {
        self.read += bytes as u64;
        self.written += bytes as u64;
    }

    /// Whether a piece that comes next stands for itself.
    pub(super) fn is_plain(&self, input: &[u8]) -> bool {
        self.open.is_empty() && memchr2(self.begins[0], self.begins[1], input).is_none()
    }

    /// Bytes that came out.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Where a value is masked from that begins here, or may. Of what is less than a value at the end of a line nobody waits for the next line,
    /// which may be long in coming, so it is shown.
    pub(super) fn begin_masked(&self, at: u64) -> u64 {
        let is_little = |end: u64| self.begins == LINE && end - at < VALUE_BYTES_MIN as u64;
        let next = self.undone.get(self.undone.partition_point(|undone| undone.place.0 <= at));
        match next {
            Some(next) if is_little(next.place.0) => self.begin(next.place.0),
            None if is_little(self.written) && !self.open.is_empty() => self.read + self.open.len() as u64,
            Some(_) | None => self.begin(at),
        }
    }

    /// Whether nothing from there on was escaped.
    pub(super) fn is_plain_from(&self, at: u64) -> bool {
        self.open.is_empty() && self.undone.last().is_none_or(|last| last.place.1 <= at)
    }

    /// Where in the text something begins that begins here.
    pub(super) fn begin(&self, at: u64) -> u64 {
        match self.before(|undone| undone.place.0 <= at) {
            Some(last) if at < last.place.1 => last.source.0,
            Some(last) => last.source.1 + (at - last.place.1),
            None => at + self.ahead,
        }
    }

    /// Where in the text something ends that ends here.
    pub(super) fn end(&self, at: u64) -> u64 {
        match self.before(|undone| undone.place.0 < at) {
            Some(last) => last.source.1 + at.saturating_sub(last.place.1),
            None => at + self.ahead,
        }
    }

    fn before(&self, is: impl Fn(&Undone) -> bool) -> Option<&Undone> {
        self.undone.get(..self.undone.partition_point(is))?.last()
    }

    /// Nobody will ask for what is before.
    pub(super) fn forget(&mut self, before: u64) {
        let count = self.undone.partition_point(|undone| undone.place.1 <= before);
        if let Some(last) = self.undone.drain(..count).next_back() {
            self.ahead = last.source.1 - last.place.1;
        }
        if self.undone.len() <= KNOWN && self.undone.capacity() > 2 * KNOWN {
            self.undone.shrink_to(KNOWN);
        }
    }

    /// Whether there are more than are known between two pieces.
    pub(super) const fn is_full(&self) -> bool {
        self.undone.len() > KNOWN
    }
}

#[cfg(test)]
impl Unescaper {
    /// How many are known.
    pub(super) const fn known(&self) -> usize {
        self.undone.len()
    }
}

impl Drop for Unescaper {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.open);
    }
}

/// What these bytes begin with, the first of which is one of [`JSON`], [`URL`] or [`LINE`].
pub(super) fn escape(bytes: &[u8]) -> Escape {
    match (bytes.first(), bytes.get(1)) {
        (Some(b'%'), _) => code(bytes, 1),
        (Some(b'\r' | b'\n'), _) => end_of_line(bytes),
        (_, None) => Escape::Open,
        (_, Some(b'u')) => character(bytes),
        // Python's and JavaScript's, for what is no character of text.
        (_, Some(b'x')) => code(bytes, 2),
        (_, Some(byte)) => {
            let text = match byte {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                // Shells escape what JSON doesn't.
                byte if byte.is_ascii_punctuation() || *byte == b' ' => *byte,
                _ => return Escape::None,
            };
            Escape::Of { length: 2, text: [text, 0, 0, 0], bytes: 1 }
        }
    }
}

/// The end of a line, and the time that the next begins with.
fn end_of_line(bytes: &[u8]) -> Escape {
    let nothing = |length| Escape::Of { length, text: [0; 4], bytes: 0 };
    let next = bytes.get(1..).unwrap_or_default();
    let like = |(is, must): (&u8, &u8)| if *must == b'0' { is.is_ascii_digit() } else { is == must };
    if !next.iter().zip(TIME).all(like) {
        return nothing(1);
    }
    let blank = next.iter().take(TIME_BYTES).position(|byte| *byte == b' ');
    match (next.get(TIME.len()..).is_some(), blank) {
        // Between seconds and blank stand a fraction and an offset.
        (true, Some(blank)) => nothing(blank + 2),
        _ if next.len() < TIME_BYTES => Escape::Open,
        _ => nothing(1),
    }
}

/// Two digits from there on.
fn code(bytes: &[u8], at: usize) -> Escape {
    match digits(bytes, at, 2) {
        Ok(value) => Escape::Of { length: at + 2, text: [value.to_le_bytes()[0], 0, 0, 0], bytes: 1 },
        Err(escape) => escape,
    }
}

/// `\uXXXX`, or two of them.
fn character(bytes: &[u8]) -> Escape {
    let of = |char: Option<char>, length| {
        let Some(char) = char else { return Escape::None };
        let mut text = [0; 4];
        let bytes = char.encode_utf8(&mut text).len();
        Escape::Of { length, text, bytes }
    };
    let high = match digits(bytes, 2, 4) {
        Ok(unit @ 0xd800..0xdc00) => unit,
        Ok(unit) => return of(char::from_u32(unit), 6),
        Err(escape) => return escape,
    };
    let begins = bytes.get(6..).unwrap_or_default().iter().zip(b"\\u").all(|(is, must)| is == must);
    match (begins, digits(bytes, 8, 4)) {
        (true, Ok(low @ 0xdc00..0xe000)) => of(char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12),
        (true, Err(Escape::Open)) => Escape::Open,
        _ => Escape::None,
    }
}

/// So many hexadecimal digits.
fn digits(bytes: &[u8], at: usize, count: usize) -> Result<u32, Escape> {
    let mut value = 0;
    for index in at..at + count {
        let digit = char::from(*bytes.get(index).ok_or(Escape::Open)?).to_digit(16).ok_or(Escape::None)?;
        value = value << 4 | digit;
    }
    Ok(value)
}
