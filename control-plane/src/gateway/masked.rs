//! Request bodies on their way into the record: masked by the same code as answers are.

use control_plane_core::attributes::Attributes;
use control_plane_core::mask;

/// The body as it may be kept and shown; `None` where there is none.
pub(super) fn body(attributes: &Attributes) -> Option<Vec<u8>> {
    value(attributes).map(|value| value.to_string().into_bytes())
}

/// The same as a document.
pub(super) fn value(attributes: &Attributes) -> Option<serde_json::Value> {
    let mut value = attributes.body()?.clone();
    mask::mask_request(&mut value, attributes.info());
    Some(value)
}
