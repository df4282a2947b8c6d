//! The short way through members that nothing follows from, which most are: position and state stay in registers.
//!
//! It only ever does what the general way would do, and stops in front of whatever is not plain: a name that matters, an escape, a
//! filled container, blanks, the end of the input.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the arm that names nothing is the plain one: the name is read, and what matters is left to the general way"
)]

use shared::limits::MASK_DEPTH;

use super::bytes::plain_run;
use super::frame::{Key, Role};
use super::masker::Masker;
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

    /// Reads members from the quote of a name on. False if it could not get past the first name.
    pub(super) fn members(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let role = self.top.role;
        let no_controls = self.no_controls;
        let input = cursor.input;
        let mut at = cursor.at;
        let mut moved = false;
        loop {
            // `at` stands on the quote of a name, and everything before it is done.
            let rest = input.get(at + 1..).unwrap_or_default();
            let length = plain_run(rest, no_controls);
            let [b'"', b':', value @ ..] = rest.get(length..).unwrap_or_default() else {
                break;
            };
            let Some(key) = key_of(role, rest.get(..length).unwrap_or_default()) else {
                break;
            };
            let start = at + length + 3;
            let end = match (key, role) {
                // What is put in the place of a field's value stands there already.
                (Key::Other, Role::FieldsOfData) => value.starts_with(b"{}").then_some(2),
                (Key::Other, _) => plain_value(value, no_controls),
                _ => None,
            };
            let Some(end) = end.map(|end| start + end) else {
                self.key = key;
                self.state = State::Value;
                cursor.at = start;
                return true;
            };
            moved = true;
            match input.get(end..).unwrap_or_default() {
                [b',', b'"', ..] => at = end + 1,
                _ => {
                    self.key = Key::Other;
                    self.state = State::CommaOrEnd;
                    cursor.at = end;
                    return true;
                }
            }
        }
        if moved {
            self.state = State::Key;
            cursor.at = at;
        }
        false
    }
}

/// What a name means in such a map; `None` if that is for the general way to say.
#[inline]
fn key_of(role: Role, name: &[u8]) -> Option<Key> {
    match role {
        Role::Inert => Some(Key::Other),
        // Labels of values and of list elements, which hold values.
        Role::FieldsOfData => (!name.starts_with(b"v:") && !name.starts_with(b"k:")).then_some(Key::Other),
        Role::ManagedEntry => Some(if name == b"fieldsV1" { Key::FieldsV1 } else { Key::Other }),
        _ => Some(Key::of(name)),
    }
}

/// The length of a value that is plain and seen whole: a string without escapes, an integer, a word, an empty container.
#[inline]
fn plain_value(value: &[u8], no_controls: bool) -> Option<usize> {
    match value {
        [b'"', text @ ..] => {
            let length = plain_run(text, no_controls);
            (text.get(length) == Some(&b'"')).then_some(length + 2)
        }
        [b'{', b'}', ..] | [b'[', b']', ..] => Some(2),
        [b'1'..=b'9', ..] => {
            let length = value.iter().position(|byte| !byte.is_ascii_digit())?;
            matches!(value.get(length), Some(b',' | b'}')).then_some(length)
        }
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Some(4),
        [b'f', b'a', b'l', b's', b'e', ..] => Some(5),
        _ => None,
    }
}
