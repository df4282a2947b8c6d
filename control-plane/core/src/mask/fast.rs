//! The short way through members that nothing follows from, which most are: position and state stay in registers.
//!
//! It only ever does what the general way would do, and stops in front of whatever is not plain: a name that matters, an escape, a
//! filled container, blanks, the end of the input.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain one: the name is read, and what matters is left to the general way"
)]

use shared::limits::{MASK_DEPTH, MASK_KEY_BYTES};

use super::MaskError;
use super::frame::Role;
use super::key::Key;
use super::masker::Masker;
use super::release;
use super::scan::{Cursor, State};

impl Masker {
    /// Whether the open map consists of such members.
    #[inline]
    pub(super) fn is_plain_map(&self) -> bool {
        // At the limit of depth the general way must see the empty container that is too deep.
        self.stack.len() < MASK_DEPTH
            && matches!(
                self.top.role,
                Role::Plain
                    | Role::Object
                    | Role::Metadata
                    | Role::Inert
                    | Role::ManagedEntry
                    | Role::FieldsV1
                    | Role::FieldsOfData
            )
    }

    /// Reads members from the quote of a name on. False if it stands on the quote of a name that it can't get past.
    #[inline(never)]
    pub(super) fn members(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<bool, MaskError> {
        let input = cursor.input;
        loop {
            let role = self.top.role;
            let noting = self.alike.is_noting();
            let told = told(role) | if self.is_status() { TOLD_OF_STATUS } else { 0 };
            let mut stops = cursor.stops.walk(cursor.at);
            let mut at = cursor.at;
            loop {
                // `at` stands on the quote of a name, which is the next stop, and everything before it is done.
                stops.step();
                let close = stops.step();
                let (Some(&[b'"', b':', first]), Some(name)) = (bytes_at(input, close), input.get(at + 1..close))
                else {
                    return Ok(self.stuck(at, cursor));
                };
                let Some(key) = key_of(role, name) else {
                    return Ok(self.stuck(at, cursor));
                };
                let start = close + 2;
                let mut end = None;
                let named = role == Role::Metadata && matches!(key, Key::Name | Key::Namespace);
                if first == b'"' && (named || told & key.bit() == 0) {
                    stops.step();
                    let close = stops.step();
                    if let Some(&[b'"', next, after]) = bytes_at(input, close) {
                        if named {
                            self.note_name(key, input.get(start + 1..close).unwrap_or_default());
                        }
                        if noting {
                            self.note_text(start + 1..close, named.then_some(key));
                        }
                        if (next, after) == (b',', b'"') {
                            at = close + 2;
                            continue;
                        }
                        end = Some(close + 1);
                    }
                } else if key == Key::Other {
                    end = end_of_plain(role, input.get(start..).unwrap_or_default()).map(|length| start + length);
                    if let Some(end) = end
                        && bytes_at(input, end) == Some(b",\"")
                    {
                        at = end + 1;
                        continue;
                    }
                }
                if let Some(end) = end {
                    self.key = Key::Other;
                    self.state = State::CommaOrEnd;
                    cursor.at = end;
                    break;
                }
                self.key = key;
                self.state = State::Value;
                cursor.at = start;
                // A blank.
                if first <= b' ' {
                    return Ok(true);
                }
                if let b'{' | b'[' = first {
                    // What has something in it, or is more than plain.
                    self.open(first == b'{', cursor, out)?;
                } else {
                    self.begin_value(first, cursor, out)?;
                }
                break;
            }
            if !self.next_name(cursor, out)? {
                return Ok(true);
            }
        }
    }

    /// Masks members of a Secret's `data` from the quote of a name on. False if it stands on the quote of a name that it can't get past.
    pub(super) fn fields(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> bool {
        let input = cursor.input;
        let owner = self.stack.len().saturating_sub(1);
        let mut stops = cursor.stops.walk(cursor.at);
        loop {
            // As in `members`.
            stops.step();
            let close = stops.step();
            let Some(name) = input.get(cursor.at + 1..close).filter(|name| name.len() <= MASK_KEY_BYTES) else {
                return false;
            };
            stops.step();
            let end = stops.step();
            // Names of releases of helm's are looked at, and what is not a string.
            if input.get(close..close + 3) != Some(br#"":""#)
                || input.get(end) != Some(&b'"')
                || name == release::FIELD.as_bytes()
            {
                return false;
            }
            cursor.at = close + 3;
            cursor.keep(out);
            self.placeholder_of("Secret", self.section, name, Some(owner), out);
            if self.alike.is_noting() {
                self.note_field(cursor.at..end, name, owner);
            }
            cursor.kept = end;
            cursor.at = end + 1;
            if input.get(cursor.at..cursor.at + 2) != Some(b",\"") {
                self.state = State::CommaOrEnd;
                return true;
            }
            cursor.at += 1;
            self.state = State::Key;
        }
    }

    fn stuck(&mut self, at: usize, cursor: &mut Cursor<'_>) -> bool {
        self.state = State::Key;
        cursor.at = at;
        false
    }

    /// Goes on over what only opens and closes, and over Secrets. True if it has come to the name of a member that may be plain.
    fn next_name(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<bool, MaskError> {
        loop {
            match (self.state, cursor.peek()) {
                (State::Key | State::KeyOrEnd, Some(b'"')) if self.top.role == Role::SecretData => {
                    if !self.fields(cursor, out) {
                        return Ok(false);
                    }
                }
                (State::Key | State::KeyOrEnd, Some(b'"')) => return Ok(self.is_plain_map()),
                (State::Value | State::ValueOrEnd, Some(b'{')) => self.open(true, cursor, out)?,
                (State::KeyOrEnd | State::CommaOrEnd, Some(b'}')) => self.pop(b'}', cursor, out)?,
                (State::ValueOrEnd | State::CommaOrEnd, Some(b']')) => self.pop(b']', cursor, out)?,
                _ => return Ok(false),
            }
        }
    }
}

/// So many bytes from there on; none if the piece ends before.
#[inline]
fn bytes_at<const N: usize>(input: &[u8], at: usize) -> Option<&[u8; N]> {
    input.get(at..)?.first_chunk()
}

/// What a name means in such a map; `None` if that is for the general way to say.
#[inline]
fn key_of(role: Role, name: &[u8]) -> Option<Key> {
    match role {
        Role::Inert => Some(Key::Other),
        // Labels of values and of list elements, which hold values.
        Role::FieldsOfData => {
            (!name.starts_with(b"v:") && !name.starts_with(b"k:") && name.len() <= MASK_KEY_BYTES).then_some(Key::Other)
        }
        _ => Some(Key::of(name)),
    }
}

/// The names in a `Status` by which a string is more than copied, beside those of every map.
const TOLD_OF_STATUS: u32 = Key::Reason.bit() | Key::Status.bit();

/// The names in such a map by which a string is more than copied, a bit each.
const fn told(role: Role) -> u32 {
    match role {
        Role::Inert => 0,
        Role::ManagedEntry => Key::Data.bit() | Key::StringData.bit(),
        Role::FieldsV1 => Key::FieldsOfData.bit() | Key::Data.bit() | Key::StringData.bit(),
        Role::Metadata => Key::Name.bit() | Key::Namespace.bit() | Key::Data.bit() | Key::StringData.bit(),
        Role::Object | Role::Plain => {
            Key::Kind.bit()
                | Key::ApiVersion.bit()
                | Key::Message.bit()
                | Key::Note.bit()
                | Key::Data.bit()
                | Key::StringData.bit()
                | Key::SecretName.bit()
        }
        _ => u32::MAX,
    }
}

/// The length of a value that is plain and seen whole: an integer, a word, an empty container.
#[inline]
fn end_of_plain(role: Role, value: &[u8]) -> Option<usize> {
    match value {
        [b'{', b'}', ..] => Some(2),
        // What is put in the place of a field's value stands there already; no other may stay.
        _ if role == Role::FieldsOfData => None,
        [b'[', b']', ..] => Some(2),
        [b'1'..=b'9', ..] => {
            let length = value.iter().position(|byte| !byte.is_ascii_digit())?;
            matches!(value.get(length), Some(b',' | b'}')).then_some(length)
        }
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Some(4),
        [b'f', b'a', b'l', b's', b'e', ..] => Some(5),
        _ => None,
    }
}
