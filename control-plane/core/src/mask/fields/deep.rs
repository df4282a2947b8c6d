//! What is nested too deep to be read as a whole, and would keep all that stands beside it in a list from being shown.

use shared::limits::BODY_DEPTH;

use super::{Field, MaskContext, PLACEHOLDER_BYTES, Place, Scope};
use crate::body::json;

/// So deep is the list or map that is replaced where one in it is too deep. Lists of objects are nowhere near, and what is replaced has more
/// bytes than what stands for it, however many there are.
const CUT: usize = 48;
const _: () = assert!(2 * (BODY_DEPTH - CUT) >= PLACEHOLDER_BYTES + 2);

/// Puts a placeholder in place of each list and map in a document, which is JSON, that is too deep. Says how long it is then, and how many those are.
/// What is written back with one is refused: it is none of any field.
pub(super) fn cut(text: &mut [u8], context: &MaskContext) -> (usize, u64) {
    let MaskContext { keys, cluster, resource, .. } = context;
    let scope = keys.scope(&Scope { cluster, kind: resource, ..Scope::default() });
    let mut stand_in = vec![b'"'];
    scope.write(&Field { name: b"", ordinal: 0, section: "field", key: &Place::NOWHERE.0 }, &mut stand_in);
    stand_in.push(b'"');
    let (mut at, mut depth, mut begun, mut too_deep, mut masked) = (0, 0_usize, 0, false, 0);
    // What is left stands before `end`, and what is left of the rest from `kept` on.
    let (mut end, mut kept) = (0, 0);
    let is_meant = |byte: &u8| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}');
    while let Some(rest) = text.get(at..)
        && let Some(next) = rest.iter().position(is_meant)
    {
        let found = at + next;
        at = found + 1;
        match rest.get(next) {
            Some(b'"') => at += text.get(at..).and_then(json::string_length).unwrap_or_default(),
            Some(b'[' | b'{') => {
                depth += 1;
                if depth == CUT {
                    begun = found;
                }
                too_deep |= depth == BODY_DEPTH;
            }
            _ => {
                if depth == CUT && too_deep {
                    text.copy_within(kept..begun, end);
                    end += begun - kept;
                    let place = text.iter_mut().skip(end).zip(&stand_in);
                    place.for_each(|(to, byte)| *to = *byte);
                    end += stand_in.len();
                    (kept, too_deep, masked) = (at, false, masked + 1);
                }
                depth = depth.saturating_sub(1);
            }
        }
    }
    let left = text.len() - kept;
    text.copy_within(kept.., end);
    (end + left, masked)
}
