//! What a rule lets people disclose.

use std::collections::BTreeSet;

use super::file_mask::{self, MaskRule};
use super::matcher::Match;
use super::reader::Reader;
use super::yaml::Node;
use crate::mask::{MaskedFields, RevealedFields};

/// Keys of a Secret's `data`, or fields that `mask` covers, each by its whole name.
pub(super) fn read(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    matcher: &Match,
    mask: &[MaskRule],
) -> BTreeSet<String> {
    // A rule about anything else is refused as a whole.
    let (group, resource) = matcher.one_get().unwrap_or(("", "secrets"));
    let masked = file_mask::fields(mask, group, resource);
    let mut names = BTreeSet::new();
    for (node, path, name) in reader.texts(node, path) {
        let fits = if (group, resource) == ("", "secrets") { key(&name) } else { field(&name, &masked) };
        if let Err(message) = fits {
            reader.wrong(node, &path, message);
        }
        names.insert(name);
    }
    if names.is_empty() {
        reader.wrong(node, path, "names nothing to show");
    }
    names
}

/// What a key of a Secret may be (Kubernetes: validation of Secret data): no pattern is one.
fn key(name: &str) -> Result<(), String> {
    let fits = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if fits { Ok(()) } else { Err(format!("{name:?} is no key of a Secret; each is named whole, without `*`")) }
}

fn field(name: &str, masked: &[&str]) -> Result<(), String> {
    let field = RevealedFields::parse([name]).map_err(|error| error.to_string())?;
    // One that can't be read is a mistake of its own.
    let is_masked = MaskedFields::parse(masked).map_or(true, |masked| field.is_within(&masked));
    if is_masked { Ok(()) } else { Err(format!("{name:?} is shown as it is: no entry of `mask` names it there")) }
}
