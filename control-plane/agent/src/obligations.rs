//! What a grant demands beside its request: which fields are masked, which objects are hidden, which values are shown; and what the request
//! carries that has to be put back. Read once, where the grant is checked, and taken along from there on: what can't be read is refused before
//! anything is spent.

use std::sync::Arc;

use control_plane_core::grant::{MatchedGrant, VerifiedGrant};
use control_plane_core::hide::Hidden;
use control_plane_core::mask::{MaskedFields, Tried, values};
use control_plane_core::request::{Request, WireRequest};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::restore::Carried;
use control_plane_core::version_pin::VersionPin;
use http::{HeaderValue, header};
use shared_net::memory::Place;

use crate::disclosure::Disclosable;
use crate::refusal::Refusal;
use crate::text::TextError;
use crate::unread::Unread;

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
    pub(crate) text_part: values::TextPart,
}

/// A spent grant with what it demands.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The grant, with its request.
    pub(crate) grant: VerifiedGrant,
    /// What it demands; the answer is treated by it when the grant is gone.
    pub(crate) obligations: Arc<Obligations>,
    /// What is put back in its request.
    pub(crate) carries: Carries,
    /// What its body takes, until it was sent.
    pub(crate) _room: Option<Place>,
}

/// What has to be known of that while it waits: its request and what is in it take many times their bytes when they are read, and are read again
/// when it is its turn.
#[derive(Debug)]
pub(crate) struct Carries {
    /// The object whose values are put back.
    pub(crate) source: Option<RequestInfo>,
    /// It is a release of helm's.
    pub(crate) is_release: bool,
    /// What it gives that is only tried.
    pub(crate) tried: Option<Arc<Tried>>,
}

impl Carries {
    /// Of what was found in a request of which these fields are masked.
    pub(crate) fn of(request: &Request, carried: &Carried, fields: &MaskedFields) -> Self {
        let tried = Tried::of(request, fields).map(Arc::new);
        Self { source: carried.needed().cloned(), is_release: carried.is_release(), tried }
    }
}

impl Granted {
    /// Bytes that are written.
    pub(crate) fn length(&self) -> usize {
        self.grant.request().wire().body().len()
    }

    /// The state that was approved.
    pub(crate) fn pin(&self) -> &VersionPin {
        self.grant.claims().approval.as_ref().map_or(&VersionPin::None, |approval| &approval.pin)
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
            text_part: values::TextPart::of(grant.request()).map_err(|_| Refusal::Text(TextError::Limit))?,
        })
    }

    /// The request that is sent instead: where objects are hidden in the answer or values shown, it has to be JSON, and a text whole.
    pub(crate) fn narrow(&self, request: WireRequest) -> Result<WireRequest, Refusal> {
        let request = match self.text_part.limit {
            Some(_) => values::without_limit(request).map_err(|_| Refusal::Read(Unread::Own))?,
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
