//! Request bodies, masked before record, page and log. Anybody may send them, and they are masked before anything is decided, so what is made of
//! one must not be much larger than what was sent: a placeholder can stand for a value of one byte.

use serde_json::Value;
use shared::limits::{MASK_REQUEST_BYTES, MASK_REQUEST_PLACEHOLDERS};

use super::placeholder::{Field, Scope};
use super::{MaskContext, value};

/// How many values may still be replaced one by one in a document.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
    /// There were more.
    over: bool,
}

impl Room {
    /// For what has another bound.
    pub(super) const fn endless() -> Self {
        Self { left: usize::MAX, over: false }
    }

    /// Whether so many that stand in one place may be replaced each; else one placeholder takes their place. What comes after them has half of
    /// what there is.
    pub(super) const fn is_for(&self, values: usize) -> bool {
        values <= self.left / 2
    }

    /// One more is replaced.
    pub(super) const fn take(&mut self) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.over = true,
        }
    }

    /// Whether nothing more may be put into the document.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }
}

/// Masks a parsed document in place and says how many values were replaced.
///
/// Meant for request bodies ([`MaskContext::request`]): beside whole objects these are patches, so a JSON Patch (RFC 6902) of a Secret is masked
/// too. Of very many values in one map or list one placeholder takes the place, and what would still be too long is one placeholder.
pub fn mask_value(value: &mut Value, context: &MaskContext) -> usize {
    let mut room = Room { left: MASK_REQUEST_PLACEHOLDERS, over: false };
    let masked = value::mask_all(value, context, &mut room);
    if room.is_over() || masked > 0 && is_longer(value, MASK_REQUEST_BYTES) {
        let scope =
            Scope { cluster: &context.cluster, namespace: &context.namespace, kind: "Body", ..Scope::default() };
        let field = Field { name: context.name.as_bytes(), ordinal: 0, section: "body", key: b"" };
        *value = Value::String(context.keys.placeholder(&scope, &field));
    }
    masked
}

/// Whether the text of a document has more bytes.
fn is_longer(value: &Value, most: usize) -> bool {
    serde_json::to_writer(Counted(most), value).is_err()
}

/// Takes so many bytes, and keeps none.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
