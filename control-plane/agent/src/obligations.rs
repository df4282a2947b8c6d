//! What a grant demands beside its request: which fields are masked, which objects are hidden, which values are shown; and what the request
//! carries that has to be put back. Read once, where the grant is checked, and taken along from there on: what can't be read is refused before
//! anything is spent.

use std::sync::Arc;

use control_plane_core::finish::{FinishError, Finished, Reads, finish};
use control_plane_core::grant::{MatchedGrant, VerifiedGrant};
use control_plane_core::hide::Hidden;
use control_plane_core::mask::{MaskContext, MaskedFields, values};
use control_plane_core::request::WireRequest;
use control_plane_core::restore::Carried;
use control_plane_core::version_pin::VersionPin;
use http::{HeaderValue, header};

use crate::disclosure::Disclosable;
use crate::refusal::Refusal;
use crate::text::TextError;

/// See the module.
#[derive(Debug)]
pub(crate) struct Obligations {
    /// Masked beside Secrets.
    pub(crate) fields: MaskedFields,
    /// Not shown.
    pub(crate) hidden: Hidden,
    /// Shown, for people have approved it.
    pub(crate) reveal: Option<VersionPin>,
    /// As much of a pod's text is shown; the API server is asked for all of it.
    pub(crate) text_limit: Option<u64>,
}

/// A spent grant with what it demands.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The grant, with its request.
    pub(crate) grant: VerifiedGrant,
    /// What it demands; the answer is treated by it when the grant is gone.
    pub(crate) obligations: Arc<Obligations>,
    /// What is put back in its request.
    pub(crate) carried: Carried,
}

impl Granted {
    /// The request that is sent, while this is what was read.
    pub(crate) fn finish(&self, reads: Reads<'_>, mask: &MaskContext) -> Result<Finished, FinishError> {
        let (request, claims) = (self.grant.request(), self.grant.claims());
        let pin = claims.approval.as_ref().map_or(&VersionPin::None, |approval| &approval.pin);
        finish(request.wire().clone(), request.body(), &self.carried, pin, reads, mask)
    }
}

impl Obligations {
    /// Reads them.
    ///
    /// # Errors
    /// Some can't be read, or a value is to be shown that may not.
    pub(crate) fn of(grant: &MatchedGrant, disclosable: &Disclosable) -> Result<Self, Refusal> {
        let (info, claims) = (grant.request().info(), grant.claims());
        let unknown = || Refusal::MaskRules;
        Ok(Self {
            fields: MaskedFields::parse(&claims.mask).map_err(|_| unknown())?,
            hidden: Hidden::parse(&claims.hide, info).map_err(|_| unknown())?,
            reveal: disclosable.check(info, claims).map_err(Refusal::Rule)?,
            text_limit: values::limit_of(grant.request()).map_err(|_| Refusal::Text(TextError::Limit))?,
        })
    }

    /// The request that is sent instead: where objects are hidden in the answer or values shown, it has to be JSON, and a text whole.
    pub(crate) fn narrow(&self, request: WireRequest) -> Result<WireRequest, Refusal> {
        let request = match self.text_limit {
            Some(_) => values::without_limit(request).map_err(|_| Refusal::Read)?,
            None => request,
        };
        let request = self.hidden.narrow(request).map_err(Refusal::Hidden)?;
        Ok(if self.reveal.is_some() { request.in_json() } else { request })
    }

    /// What the request accepts, as it is sent.
    pub(crate) fn accept(&self, request: &WireRequest) -> Result<Option<HeaderValue>, Refusal> {
        if self.hidden.is_empty() && self.reveal.is_none() {
            return Ok(request.header(&header::ACCEPT).cloned());
        }
        Ok(self.narrow(request.clone())?.header(&header::ACCEPT).cloned())
    }
}
