//! The attribute stage: exactly one reading of the request, and who asks for it.

use crate::identity::Identity;
use crate::request_info::RequestInfo;

/// Identity + RequestInfo + body: what policy judges and what is forwarded, one and the same.
///
/// Made by the attribute stage only; moved, never cloned, to the decision.
#[derive(Debug)]
pub struct Attributes {
    pub(crate) identity: Identity,
    pub(crate) info: RequestInfo,
}

impl Attributes {
    /// Who asks.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What for.
    pub const fn info(&self) -> &RequestInfo {
        &self.info
    }
}
