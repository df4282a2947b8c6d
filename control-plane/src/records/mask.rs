//! Request bodies on their way into the record: masked by the same code as answers are.

use std::sync::Arc;

use control_plane_core::attributes::Attributes;
use control_plane_core::mask::{MaskContext, MaskedFields, PlaceholderKey, PlaceholderKeys, mask_value};
use serde_json::Value;

use crate::policies::Policies;

/// Masks request bodies under a key of this process. It is not the agents' key, which the control plane never has: a placeholder
/// made here restores nothing anywhere.
#[derive(Clone)]
pub struct RequestMask {
    keys: Arc<PlaceholderKeys>,
    policies: Arc<Policies>,
}

impl RequestMask {
    /// With a fresh key, and the fields that policy has masked.
    pub fn new(policies: Arc<Policies>) -> Self {
        let current = PlaceholderKey::new(shared_net::crypto::random());
        Self { keys: Arc::new(PlaceholderKeys::new(current, None)), policies }
    }

    /// The body as it may be kept and shown; `None` where there is none.
    pub(crate) fn body(&self, attributes: &Attributes) -> Option<Vec<u8>> {
        self.value(attributes).map(|value| value.to_string().into_bytes())
    }

    /// Whether policy has masked fields of what the body is about.
    pub(crate) fn hides_fields(&self, attributes: &Attributes) -> bool {
        attributes.body().is_some() && !self.policies.current().masked_fields(attributes.info()).is_empty()
    }

    /// The same as a document.
    pub(crate) fn value(&self, attributes: &Attributes) -> Option<Value> {
        let mut value = attributes.body()?.clone();
        let info = attributes.info();
        // The policy file was read with the same words.
        let fields = MaskedFields::parse(&self.policies.current().masked_fields(info)).ok()?;
        let context = MaskContext::request(Arc::clone(&self.keys), attributes.cluster(), info).with_fields(fields);
        mask_value(&mut value, &context);
        Some(value)
    }
}
