//! What stands where a secret value stood, and how it is recognised when it comes back.
//!
//! A placeholder is the base64 of a sentence that ends in a MAC over the *place* of the value (never over the value: equal values must
//! not show as equal, SECURITY.md M5). All have the same length, and all are valid base64, because typed clients decode `Secret.data`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::block_api::compress256;
use shared::secret::Secret;

mod fuzz;
mod needles;
#[cfg(test)]
mod tests;

pub(super) use fuzz::fuzz;
use needles::Needles;

/// What a person reads who decodes a placeholder. Its length is a multiple of three, so its base64 is the constant start of every one.
const SENTENCE: &str = "sallyport: masked value; write it back unchanged or leave the field out ";
/// Bytes of the MAC that are kept, a multiple of three: 144 bits, more than can be guessed at however many writes.
const MAC_BYTES: usize = 18;
/// The MAC in base64url.
pub(crate) const MAC_CHARS: usize = MAC_BYTES / 3 * 4;
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Bytes at the end of the last block that hold the length of what is hashed, in bits.
const LENGTH_BYTES: usize = 8;
/// What SHA-256 begins with (FIPS 180-4, 5.3.3).
const START_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Bytes that four numbers of 64 bits can take.
const HEAD_BYTES: usize = 4 * 10;
/// Bytes of every placeholder.
pub const PLACEHOLDER_BYTES: usize = (SENTENCE.len() + MAC_CHARS) / 3 * 4;

/// One key: 32 random bytes, a Secret made at install time and mounted in all agents, never in the control plane.
#[derive(Clone, Debug)]
pub struct PlaceholderKey(Secret<[u8; 32]>);

impl PlaceholderKey {
    /// Wraps bytes that the caller read or drew.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The key for everything that shares `scope`: HMAC-SHA-256 (RFC 2104).
    fn scope(&self, scope: &Scope<'_>) -> ScopeKey {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.expose()));
        for part in [
            "sallyport/placeholder/1",
            scope.cluster,
            scope.carrier_namespace,
            scope.carrier_name,
            scope.place,
            scope.namespace,
            scope.kind,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        ScopeKey::new(context.sign().as_ref())
    }
}

/// The key that masks, and during a rotation the one before it, which is still recognised.
#[derive(Clone, Debug)]
pub struct PlaceholderKeys {
    current: PlaceholderKey,
    previous: Option<PlaceholderKey>,
}

impl PlaceholderKeys {
    /// `previous` is set during a rotation only.
    pub const fn new(current: PlaceholderKey, previous: Option<PlaceholderKey>) -> Self {
        Self { current, previous }
    }

    /// The key of before the rotation, by itself.
    pub(super) fn previous(&self) -> Option<Self> {
        self.previous.clone().map(|key| Self::new(key, None))
    }

    /// The placeholder of a field.
    pub fn placeholder(&self, scope: &Scope<'_>, field: &Field<'_>) -> String {
        let mut out = Vec::with_capacity(PLACEHOLDER_BYTES);
        self.scope(scope).write(field, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Whether `text` is the placeholder of exactly this field, under the current key or the one before.
    pub fn fits(&self, scope: &Scope<'_>, field: &Field<'_>, text: &str) -> bool {
        self.fits_any(scope, std::iter::once(*field), text)
    }

    /// The same for many fields, whose key is drawn once.
    pub fn fits_any<'a, I>(&self, scope: &Scope<'_>, fields: I, text: &str) -> bool
    where
        I: Iterator<Item = Field<'a>> + Clone,
    {
        let mut expected = Vec::with_capacity(PLACEHOLDER_BYTES);
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().any(|key| {
            let scope = key.scope(scope);
            fields.clone().any(|field| {
                expected.clear();
                scope.write(&field, &mut expected);
                constant_time::verify_slices_are_equal(&expected, text.as_bytes()).is_ok()
            })
        })
    }

    pub(super) fn scope(&self, scope: &Scope<'_>) -> ScopeKey {
        self.current.scope(scope)
    }
}

/// What many fields share: where they were found, and the kind and namespace they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Our name of the cluster.
    pub cluster: &'a str,
    /// Namespace of the object in whose annotation the document stands; empty for a field of the object itself.
    pub carrier_namespace: &'a str,
    /// Name of that object; empty for a field of the object itself.
    pub carrier_name: &'a str,
    /// Name of that annotation; empty for a field of the object itself.
    pub place: &'a str,
    /// Namespace of the object that the field belongs to.
    pub namespace: &'a str,
    /// Its kind, `Secret` for whatever is masked as one.
    pub kind: &'a str,
}

/// One field of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name of the object; where it was not known in time, that of the request or of the carrier.
    pub name: &'a [u8],
    /// Which object of its document it is, counted from 1, if its name was not known when the field came; else 0.
    pub ordinal: u64,
    /// `data`, `stringData`, `token`, …
    pub section: &'a str,
    /// Member of the section; empty if the section itself was replaced.
    pub key: &'a [u8],
}

/// The key of a [`Scope`], drawn once for all fields of a namespace in a list: 256 bits, filled up with zeros to a block of the hash.
#[derive(Clone, Debug)]
pub(super) struct ScopeKey {
    block: Secret<[u8; BLOCK_BYTES]>,
    /// The hash after that block.
    state: Secret<[u32; 8]>,
}

impl ScopeKey {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        let mut state = START_STATE;
        compress256(&mut state, &[block]);
        Self { block: Secret::new(block), state: Secret::new(state) }
    }

    /// Appends the placeholder of a field.
    ///
    /// The MAC is SHA-256 over the block with the scope's key and the length-prefixed parts, cut to 144 bits. A keyed hash is safe here
    /// although it isn't HMAC: no two inputs are prefixes of one another (lengths come first), which makes the cascade a pseudo-random
    /// function (Bellare, Canetti, Krawczyk, FOCS 1996), and the cut leaves nothing to extend. An HMAC per field would be half of the
    /// masker's whole time. The usual field (51 bytes of names) is one block after that of the key, which was hashed before: one call of
    /// the hash's own function, at two thirds of what any way to hash a whole text takes.
    pub(super) fn write(&self, field: &Field<'_>, out: &mut Vec<u8>) {
        let parts: [&[u8]; 3] = [field.name, field.section.as_bytes(), field.key];
        let numbers = [field.ordinal, parts[0].len() as u64, parts[1].len() as u64, parts[2].len() as u64];
        let mut block = [0; BLOCK_BYTES];
        let mut room = block.as_mut_slice();
        // What is hashed ends in a one bit, zeros, and its length (FIPS 180-4, 5.1.1).
        let whole = numbers.iter().all(|&number| put_number(&mut room, number))
            && parts.iter().all(|part| put(&mut room, part))
            && room.len() > LENGTH_BYTES;
        if !whole {
            return self.write_long(&numbers, &parts, out);
        }
        let bits = (2 * BLOCK_BYTES - room.len()) as u64 * 8;
        put(&mut room, &[0x80]);
        if let Some(length) = block.last_chunk_mut() {
            *length = bits.to_be_bytes();
        }
        let mut state = *self.state.expose();
        compress256(&mut state, &[block]);
        let [a, b, c, d, e, ..] = state;
        write_text([a, b, c, d, e], out);
    }

    /// The same for names of any length.
    #[cold]
    fn write_long(&self, numbers: &[u64; 4], parts: &[&[u8]; 3], out: &mut Vec<u8>) {
        let mut head = [0; HEAD_BYTES];
        let mut room = head.as_mut_slice();
        for &number in numbers {
            put_number(&mut room, number);
        }
        let left = room.len();
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.block.expose());
        context.update(head.get(..HEAD_BYTES - left).unwrap_or_default());
        for part in parts {
            context.update(part);
        }
        // A hash is longer than what is kept of it.
        let words = context.finish().as_ref().first_chunk().map_or([0; 5], words);
        write_text(words, out);
    }
}

/// Moves bytes to the front of what is left of a buffer; false if they don't fit.
#[inline]
fn put(room: &mut &mut [u8], bytes: &[u8]) -> bool {
    let Some((to, left)) = std::mem::take(room).split_at_mut_checked(bytes.len()) else { return false };
    to.copy_from_slice(bytes);
    *room = left;
    true
}

/// A number in groups of seven bits, all but the last of which are marked: what it is made of shows where it ends.
#[inline]
fn put_number(room: &mut &mut [u8], mut number: u64) -> bool {
    while number > 0x7f {
        if !put(room, &[number as u8 | 0x80]) {
            return false;
        }
        number >>= 7;
    }
    put(room, &[number as u8])
}

/// What all placeholders begin with.
static START: [u8; SENTENCE.len() / 3 * 4] = STANDARD_PAIRS.encode(SENTENCE.as_bytes());

/// A text with one mark for all placeholders in it, decoded or not: where something is hidden, and no more.
pub(crate) fn without_codes(text: &[u8]) -> Vec<u8> {
    let forms = [(START.as_slice(), PLACEHOLDER_BYTES), (SENTENCE.as_bytes(), SENTENCE.len() + MAC_CHARS)];
    forms.iter().fold(text.to_vec(), |text, (start, length)| {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_slice();
        while let Some(at) = memchr::memmem::find(rest, start) {
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            out.push(0);
            rest = rest.get(at + length..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        out
    })
}

/// Where placeholders stand whole in a text, decoded or not, in order, and the base64 of each.
pub(crate) fn codes(text: &str) -> Vec<(Range<usize>, String)> {
    let forms = [(START.as_slice(), PLACEHOLDER_BYTES), (SENTENCE.as_bytes(), SENTENCE.len() + MAC_CHARS)];
    let mut codes = Vec::new();
    for (start, length) in forms {
        let places = memchr::memmem::find_iter(text.as_bytes(), start).map(|at| at..at + length);
        codes.extend(places.filter_map(|place| {
            let code = text.get(place.clone())?;
            let code = if length == PLACEHOLDER_BYTES { code.to_owned() } else { STANDARD.encode(code) };
            Some((place, code))
        }));
    }
    codes.sort_by_key(|(place, _)| place.start);
    codes
}

fn write_text(mac: [u32; 5], out: &mut Vec<u8>) {
    let [a, b, c, d, e] = mac.map(u64::from);
    let halves = [a << 4 | b >> 28, b << 8 | c >> 24, c << 12 | d >> 20, d << 16 | e >> 16];
    out.reserve(PLACEHOLDER_BYTES);
    out.extend_from_slice(&START);
    for bits in halves {
        out.extend_from_slice(&twice_encoded(bits).to_be_bytes());
    }
}

/// Words of 32 bits, as a hash writes them.
fn words(bytes: &[u8; 20]) -> [u32; 5] {
    let (words, _) = bytes.as_chunks();
    let mut all = [0; 5];
    all.iter_mut().zip(words).for_each(|(to, word)| *to = u32::from_be_bytes(*word));
    all
}

/// Base64 (RFC 4648) of base64url of the lowest 36 bits, twelve bits at a time: character by character it would take as long as the MAC.
fn twice_encoded(bits: u64) -> u64 {
    let pair = |from| URL_SAFE_PAIRS.at(bits >> from);
    let chars = pair(24) << 32 | pair(12) << 16 | pair(0);
    let pair = |from| STANDARD_PAIRS.at(chars >> from);
    pair(36) << 48 | pair(24) << 32 | pair(12) << 16 | pair(0)
}

/// The two characters for each twelve bits.
struct Pairs([u16; 1 << 12]);

static STANDARD_PAIRS: Pairs = Pairs::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
static URL_SAFE_PAIRS: Pairs = Pairs::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

impl Pairs {
    #[expect(clippy::indexing_slicing, reason = "only the compiler runs it, and it refuses a place that is not there")]
    const fn of(letters: &[u8; 64]) -> Self {
        let mut pairs = [0; 1 << 12];
        let mut bits = 0;
        while bits < pairs.len() {
            pairs[bits] = u16::from_be_bytes([letters[bits >> 6], letters[bits & 63]]);
            bits += 1;
        }
        Self(pairs)
    }

    /// Base64 of what can be cut in threes.
    #[expect(clippy::indexing_slicing, reason = "only the compiler runs it, and it refuses a place that is not there")]
    const fn encode<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        assert!(
            bytes.len() / 3 * 4 == N && bytes.len().is_multiple_of(3),
            "padding would stand in the midst of a placeholder"
        );
        let mut text = [0; N];
        let mut at = 0;
        while at < N {
            let [a, b, c] = [bytes[at / 4 * 3], bytes[at / 4 * 3 + 1], bytes[at / 4 * 3 + 2]];
            let bits = u32::from_be_bytes([0, a, b, c]) as usize;
            [text[at], text[at + 1]] = self.0[bits >> 12].to_be_bytes();
            [text[at + 2], text[at + 3]] = self.0[bits & 0xfff].to_be_bytes();
            at += 4;
        }
        text
    }

    /// Those for the lowest twelve bits.
    #[inline]
    fn at(&self, bits: u64) -> u64 {
        self.0.get((bits & 0xfff) as usize).map_or(0, |&pair| u64::from(pair))
    }
}

/// Whether the whole text is a placeholder, in base64 or decoded. Says nothing of whose it is.
pub fn is_placeholder(text: &str) -> bool {
    let decoded;
    let plain = if text.len() == PLACEHOLDER_BYTES {
        match STANDARD.decode(text) {
            Ok(bytes) => {
                decoded = bytes;
                decoded.as_slice()
            }
            Err(_) => return false,
        }
    } else {
        text.as_bytes()
    };
    plain
        .strip_prefix(SENTENCE.as_bytes())
        .is_some_and(|mac| mac.len() == MAC_CHARS && URL_SAFE_NO_PAD.decode(mac).is_ok())
}

/// Whether a placeholder, or a recognisable piece of one, occurs anywhere in the bytes (`needles` has the forms). Wide on purpose: a false
/// alarm is a refused write, a miss destroys a value.
pub fn contains_placeholder(bytes: &[u8]) -> bool {
    let found = |bytes: &[u8]| NEEDLES.found_in(bytes).next().is_some();
    let mut text = Cow::Borrowed(bytes);
    loop {
        if found(&text) || unwrapped(&text).is_some_and(|text| found(&text)) {
            return true;
        }
        // What was wrapped before it was encoded is seen when that is undone. Each time a text gets shorter by a quarter.
        let Some(inner) = decoded(&text) else { return false };
        text = Cow::Owned(inner);
    }
}

/// How many there are, about: a piece that is left of one counts as a half.
pub(crate) fn count_placeholders(bytes: &[u8]) -> usize {
    NEEDLES.found_in(bytes).count().div_ceil(2)
}

/// The same in one line: base64 may be wrapped after any number of characters (Go's decoder reads over line breaks), so that no piece is whole.
fn unwrapped(bytes: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr2(b'\n', b'\r', bytes)?;
    let mut text = Vec::with_capacity(bytes.len());
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.for_each(|line| text.extend_from_slice(line.trim_ascii_start()));
    Some(text)
}

/// What is base64 as a whole, decoded: either alphabet, padded or not, broken by blanks wherever (a scalar of YAML that was folded).
fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_= \t\r\n".contains(byte);
    if bytes.len() < SENTENCE.len() || !bytes.iter().all(is_base64) {
        return None;
    }
    let letters = bytes.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=');
    let standard: Vec<u8> = letters
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        })
        .collect();
    STANDARD_NO_PAD.decode(standard).ok()
}

static NEEDLES: LazyLock<Needles> = LazyLock::new(Needles::new);

/// The part of the base64 of `piece` that doesn't depend on what stands around it, for each of the three ways it can fall on groups.
pub(crate) fn at_every_offset(piece: &[u8], alphabet: &GeneralPurpose) -> impl Iterator<Item = Vec<u8>> {
    (0..3).map(move |before| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(piece);
        let text = alphabet.encode(&bytes).into_bytes();
        // Characters that also encode bits of a neighbour are left out.
        let from = (before * 8).div_ceil(6);
        let to = bytes.len() * 8 / 6;
        text.get(from..to).unwrap_or_default().to_vec()
    })
}

/// Where in a document something was found, as a JSON Pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<String>);

impl From<Vec<String>> for FieldPath {
    fn from(parts: Vec<String>) -> Self {
        Self(parts)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            write!(f, "/{}", part.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// The first string or member name that carries a placeholder, in a request body of any kind.
pub fn find_placeholder(value: &Value) -> Option<FieldPath> {
    let mut path = Vec::new();
    let found = find(value, &mut path);
    found.then_some(FieldPath(path))
}

/// serde_json reads no deeper than 128, so the recursion is bounded.
fn find(value: &Value, path: &mut Vec<String>) -> bool {
    match value {
        Value::String(text) => contains_placeholder(text.as_bytes()),
        Value::Array(items) => items.iter().enumerate().any(|(index, item)| {
            path.push(index.to_string());
            let found = find(item, path);
            if !found {
                path.pop();
            }
            found
        }),
        Value::Object(members) => members.iter().any(|(name, member)| {
            path.push(name.clone());
            let found = contains_placeholder(name.as_bytes()) || find(member, path);
            if !found {
                path.pop();
            }
            found
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
