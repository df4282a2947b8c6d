//! What a request carries that is put back before it is sent: found once, with helm's payload opened, and handed from step to step.

use super::read::ReadObject;
use super::release::{self, Payload};
use super::{RestoreError, Why};
use crate::finish::Reads;
use crate::mask::{MaskContext, changes, contains_placeholder, find_placeholder};
use crate::request::Request;
use crate::request_info::{RequestInfo, Verb};

/// See the module. `Debug` shows nothing of it.
pub struct Carried {
    /// The object whose values are put back; `None`: there are none to put back.
    source: Option<RequestInfo>,
    /// The request writes a Secret.
    secret: bool,
    /// The release of helm's that is written, if there is a placeholder in it.
    release: Option<Payload>,
    /// Nothing is stored.
    dry_run: bool,
}

impl Carried {
    /// Looks for placeholders.
    ///
    /// # Errors
    /// The first place with one that can't be restored whatever is read.
    pub fn of(request: &Request) -> Result<Self, RestoreError> {
        // The name of a field's manager is stored, and who writes managed fields back would write it somewhere else.
        let told = |(_, text): &(&str, &str)| contains_placeholder(text.as_bytes());
        if let Some((key, _)) = request.query().iter().find(told).filter(|_| !request.info().is_read()) {
            return Err(RestoreError { field: format!("?{key}"), why: Why::Elsewhere });
        }
        let release = release::written(request)?;
        let found = request.body().and_then(|body| find_placeholder(&body.value));
        let source = source(request);
        match found {
            Some(field) if source.is_none() => Err(RestoreError { field: field.to_string(), why: Why::Elsewhere }),
            found => Ok(Self {
                source: source.filter(|_| found.is_some() || release.is_some()),
                secret: changes::is_secret(request.info()),
                release,
                dry_run: request.dry_run(),
            }),
        }
    }

    /// The object that has to be read before the request can be sent; `None`: it carries no placeholder.
    pub const fn needed(&self) -> Option<&RequestInfo> {
        self.source.as_ref()
    }

    /// Where more may have to be read: a placeholder in a write of a Secret may be of a release of helm's in the same namespace, or of a
    /// Secret whose value a chart looked up. Which ones only the agent can tell ([`Self::further`]).
    pub fn beside(&self) -> Option<&RequestInfo> {
        self.needed().filter(|_| self.secret)
    }

    /// What has to be read beside the object that is written.
    pub fn further(&self, request: &Request, live: Option<&ReadObject>, mask: &MaskContext) -> Vec<RequestInfo> {
        let Some(own) = self.beside() else { return Vec::new() };
        let names = release::further(request, self.release(), live, mask).into_iter();
        names.map(|name| RequestInfo { name, ..own.clone() }).collect()
    }

    /// Whether what is put back is compared with what is written, while this is what was read: a release must not have a value in the clear
    /// that is put back into it, and a value of a release goes into another Secret only where that has it already. So whether the write is
    /// refused tells whether a guess is right.
    pub fn compares(&self, reads: Reads<'_>) -> bool {
        let mut read = reads.live.into_iter().chain(reads.more);
        match (&self.release, self.beside()) {
            // Where nothing was read there is no value to be guessed.
            (Some(_), _) => read.next().is_some(),
            (None, Some(_)) => read.any(|object| object.release().is_some()),
            (None, None) => false,
        }
    }

    /// That nothing is put back, for it takes too much memory; `None`: there is nothing to put back.
    pub fn too_large(&self, request: &Request) -> Option<RestoreError> {
        let own = || request.body().and_then(|body| find_placeholder(&body.value));
        let field = if self.is_release() { release::PLACE.to_owned() } else { own()?.to_string() };
        Some(RestoreError { field, why: Why::Large })
    }

    /// Whether it is a release of helm's with placeholders in it.
    pub const fn is_release(&self) -> bool {
        self.release.is_some()
    }

    /// Whether nothing is stored of it.
    pub(crate) const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The release of helm's that is written, if there is a placeholder in it.
    pub(crate) const fn release(&self) -> Option<&Payload> {
        self.release.as_ref()
    }
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carried").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The object whose values a request may put back: the one that it writes. A create names it in its body; if there is none, nothing fits.
fn source(request: &Request) -> Option<RequestInfo> {
    let info = request.info();
    match info.verb {
        Verb::Update | Verb::Patch => info.live_object(),
        Verb::Create if changes::is_secret(info) && !request.object_name().is_empty() => {
            let name = request.object_name().to_owned();
            RequestInfo { name, ..info.clone() }.live_object()
        }
        Verb::Create
        | Verb::Get
        | Verb::List
        | Verb::Watch
        | Verb::Delete
        | Verb::DeleteCollection
        | Verb::Post
        | Verb::Put
        | Verb::Head
        | Verb::Options => None,
    }
}
