//! Request bodies on their way into the record: masked by the same code as answers are.

use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::mask::{MaskContext, PlaceholderKey, PlaceholderKeys, mask_value};
use serde_json::Value;

/// Masks request bodies under a key of this process. It is not the agents' key, which the control plane never has: a placeholder
/// made here restores nothing anywhere.
#[derive(Clone)]
pub struct RequestMask(Arc<PlaceholderKeys>);

impl RequestMask {
    /// With a fresh key.
    pub fn new() -> Self {
        let current = PlaceholderKey::new(shared_net::crypto::random());
        Self(Arc::new(PlaceholderKeys::new(current, None)))
    }

    /// The body as it may be kept and shown; `None` where there is none.
    pub(crate) fn body(&self, attributes: &Attributes) -> Option<Vec<u8>> {
        self.value(attributes).map(|value| value.to_string().into_bytes())
    }

    /// The same as a document.
    pub(crate) fn value(&self, attributes: &Attributes) -> Option<Value> {
        let mut value = attributes.body()?.clone();
        let context = MaskContext::request(Arc::clone(&self.0), attributes.cluster(), attributes.info());
        mask_value(&mut value, &context);
        Some(value)
    }
}

impl Default for RequestMask {
    fn default() -> Self {
        Self::new()
    }
}
