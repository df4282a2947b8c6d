//! The verify stage, in the agent: does this grant give the right to send this request, here, now?
//!
//! The control plane may be hostile and holds the signing key, so the signature is only the first question. Each further check
//! stands on something that the agent has itself: the request it received, the TLS exporter of its own connection, its own clock.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use shared::limits;
use shared::time::Timestamp;

use super::claims::{GrantClaims, Purpose};
use super::jws::{Form, TokenError, VerifyKeys};
use crate::decision::Group;
use crate::digest::DigestKey;
use crate::ledger::{Epoch, Ledger, SpendError, Spent, Ticket};
use crate::lifecycle::Life;
use crate::request::{Request, SetAside, WireRequest};
use crate::statement::SignedVote;

/// What arrived with a grant, and where.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path and query.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, complete.
    pub body: Bytes,
    /// Key of its digest, from `header::DIGEST_KEY`.
    pub digest_key: &'a DigestKey,
    /// The connection that it came over.
    pub epoch: Epoch,
    /// The cluster that this agent is in.
    pub cluster: &'a str,
    /// Highest life of the control plane that this agent has seen.
    pub life: Life,
    /// How long ago the head with the grant was received, on the agent's monotonic clock.
    pub waited: Duration,
    /// The agent's wall clock; only for the expiry of an approval.
    pub now: Timestamp,
}

/// Why a grant does not give the right. Every case but [`Self::Expired`] is a bug or an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VerifyError {
    /// Longer than any grant.
    #[error("the grant is longer than {} bytes", limits::GRANT_BYTES)]
    TooLong,
    /// Not three base64url parts.
    #[error("the grant is not a compact JWS")]
    Form,
    /// Not one of the two headers that grants have.
    #[error("the grant's header is none that a grant has")]
    Header,
    /// Signed by someone else, or changed.
    #[error("the grant's signature is wrong")]
    Signature,
    /// A claim too many, too few, twice, or of the wrong type.
    #[error("the grant's claims can't be read")]
    Claims,
    /// A number beyond its bound.
    #[error("a bound of the grant is beyond what any grant may have")]
    Bound,
    /// For another cluster.
    #[error("the grant is for another cluster")]
    Cluster,
    /// For another connection: another agent, or another life of this or of the control plane.
    #[error("the grant is for another connection")]
    Epoch,
    /// From a life of the control plane before the one this agent knows.
    #[error("the grant is from an earlier life of the control plane")]
    Life,
    /// Too old.
    #[error("the grant's time was over before it could be spent")]
    Expired,
    /// HMAC where only a signature will do.
    #[error("this grant needs the grant key's signature")]
    NeedsSignature,
    /// The arrived request can't be read unambiguously.
    #[error("the request that came with the grant has no single reading")]
    Unreadable,
    /// The arrived request is not what was judged.
    #[error("the request that came with the grant asks for something else")]
    Info,
    /// The arrived request differs in some byte.
    #[error("the request that came with the grant is not the one that was granted")]
    Digest,
    /// Impersonation does not fit the purpose.
    #[error("the grant's impersonation does not fit its purpose")]
    Impersonation,
    /// An internal operation of another shape than its purpose has.
    #[error("the request is not what the grant's purpose allows")]
    Purpose,
    /// `sallyport:approved` without an approval.
    #[error("the grant names the group of approved operations and no approval")]
    Unapproved,
    /// `sallyport:dry-run` for a request that stores something.
    #[error("the grant names the group of dry runs, and the request is none")]
    NoDryRun,
    /// The approval's own time is over.
    #[error("the approval behind the grant has expired")]
    ApprovalExpired,
}

impl VerifyError {
    /// One word for metrics and for `header::REFUSED`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "grant-too-long",
            Self::Form => "grant-form",
            Self::Header => "grant-header",
            Self::Signature => "grant-signature",
            Self::Claims => "grant-claims",
            Self::Bound => "grant-bound",
            Self::Cluster => "grant-cluster",
            Self::Epoch => "grant-epoch",
            Self::Life => "grant-life",
            Self::Expired => "grant-expired",
            Self::NeedsSignature => "grant-needs-signature",
            Self::Unreadable => "request-unreadable",
            Self::Info => "request-info",
            Self::Digest => "request-digest",
            Self::Impersonation => "grant-impersonation",
            Self::Purpose => "grant-purpose",
            Self::Unapproved => "grant-unapproved",
            Self::NoDryRun => "grant-no-dry-run",
            Self::ApprovalExpired => "approval-expired",
        }
    }
}

/// A grant that fits the request it came with. It still has to be spent.
#[derive(Debug)]
pub struct MatchedGrant {
    claims: GrantClaims,
    request: Request,
}

/// A spent grant with the one request that it is for, of which nothing is kept but its text: it may wait for long. Not `Clone`: the send stage
/// takes it by value.
#[derive(Debug)]
pub struct VerifiedGrant {
    claims: GrantClaims,
    request: SetAside,
    spent: Spent,
}

/// Checks everything but whether it was spent before.
///
/// # Errors
/// [`VerifyError`]; nothing may be sent.
pub fn verify(token: &str, keys: &VerifyKeys, arrived: Arrived<'_>) -> Result<MatchedGrant, VerifyError> {
    if token.len() > limits::GRANT_BYTES {
        return Err(VerifyError::TooLong);
    }
    let (form, claims) = keys.open(token).map_err(|error| match error {
        TokenError::Form => VerifyError::Form,
        TokenError::Header => VerifyError::Header,
        TokenError::Signature => VerifyError::Signature,
    })?;
    let claims: GrantClaims = serde_json::from_slice(&claims).map_err(|_| VerifyError::Claims)?;
    here_and_now(&claims, &arrived)?;
    right_kind(&claims, form, arrived.now)?;
    let request = same_request(&claims, arrived)?;
    Ok(MatchedGrant { claims, request })
}

/// Is what arrived what was judged? Its digest must be that of the claims; then it is read anew, by the same code as in the control
/// plane, must come out with the RequestInfo of the claims, and must be written exactly as we write it.
fn same_request(claims: &GrantClaims, arrived: Arrived<'_>) -> Result<Request, VerifyError> {
    let Arrived { method, uri, headers, body, .. } = arrived;
    let wire = WireRequest::arrived(method, uri, headers, body.clone()).map_err(|_| VerifyError::Unreadable)?;
    // First, so that nothing is parsed that was not granted.
    if wire.digest(arrived.digest_key) != claims.digest {
        return Err(VerifyError::Digest);
    }
    let request = Request::parse(method, uri, headers, body).map_err(|_| VerifyError::Unreadable)?;
    if *request.info() != claims.info {
        return Err(VerifyError::Info);
    }
    if *request.wire() != wire {
        return Err(VerifyError::Unreadable);
    }
    // What that group may try is more than what may be done unasked, so nothing that is done may run as it. Subresources like
    // `serviceaccounts/token` act in a dry run too.
    let dry = request.dry_run() && matches!(request.info().subresource.as_str(), "" | "status" | "scale");
    if claims.impersonation.as_ref().is_some_and(|who| who.group == Group::DryRun) && !dry {
        return Err(VerifyError::NoDryRun);
    }
    Ok(request)
}

/// No more signatures than votes can be needed, each of its size. What they are worth is not known here yet.
fn bounded(signatures: &[SignedVote]) -> bool {
    signatures.len() <= usize::from(limits::QUORUM_MAX) && signatures.iter().all(|vote| vote.signature.fits())
}

/// Is it for this cluster, this connection, this life, and still in time?
fn here_and_now(claims: &GrantClaims, arrived: &Arrived<'_>) -> Result<(), VerifyError> {
    if u128::from(claims.ttl) > limits::GRANT_TTL.as_millis()
        || u128::from(claims.until) > limits::STREAM_LIFE.as_millis()
        || claims.reads.len() > limits::GRANT_READS
        || claims.mask.len() > limits::GRANT_MASK_PATHS
        || claims.hide.len() > limits::HIDE_PATTERNS
        || claims.approval.as_ref().is_some_and(|approval| !bounded(&approval.signatures))
    {
        return Err(VerifyError::Bound);
    }
    if claims.cluster != arrived.cluster {
        return Err(VerifyError::Cluster);
    }
    if claims.aud != arrived.epoch {
        return Err(VerifyError::Epoch);
    }
    if claims.life < arrived.life {
        return Err(VerifyError::Life);
    }
    if arrived.waited >= claims.ttl() {
        return Err(VerifyError::Expired);
    }
    Ok(())
}

/// Do its parts fit each other?
fn right_kind(claims: &GrantClaims, form: Form, now: Timestamp) -> Result<(), VerifyError> {
    if form == Form::Read && !claims.is_plain_read() {
        return Err(VerifyError::NeedsSignature);
    }
    let info = &claims.info;
    let group = claims.impersonation.as_ref().map(|who| who.group);
    // Without impersonation the request would run with the agent's own rights: that is for the two things they are there for.
    match (claims.purpose, group) {
        (Purpose::TokenReview, Some(_)) => return Err(VerifyError::Impersonation),
        (Purpose::TokenReview, None) => {
            let review = info.is_resource_request
                && info.verb == crate::request_info::Verb::Create
                && info.api_group == "authentication.k8s.io"
                && info.resource == "tokenreviews"
                && info.subresource.is_empty();
            if !review || claims.approval.is_some() || !claims.reads.is_empty() {
                return Err(VerifyError::Purpose);
            }
        }
        (Purpose::GuardRead, Some(_)) => return Err(VerifyError::Impersonation),
        // Which objects these may be is the agent's own list: it compares them, and none of their bytes leaves it.
        (Purpose::GuardRead, None) => {
            let one = info.is_resource_request && info.verb == crate::request_info::Verb::Get && !info.name.is_empty();
            if !one || !info.subresource.is_empty() || claims.approval.is_some() {
                return Err(VerifyError::Purpose);
            }
        }
        (_, None) => return Err(VerifyError::Impersonation),
        (Purpose::LiveRead | Purpose::IssuerKeys, Some(_)) => {
            if !info.is_read() || claims.approval.is_some() {
                return Err(VerifyError::Purpose);
            }
        }
        // The agent adds `dryRun=All` itself; until it does, it makes no previews.
        (Purpose::Preview, Some(_)) => return Err(VerifyError::Purpose),
        (Purpose::Operation, Some(_)) => {}
    }
    match &claims.approval {
        None if group == Some(Group::Approved) => Err(VerifyError::Unapproved),
        Some(approval) if approval.expires <= now => Err(VerifyError::ApprovalExpired),
        Some(_) | None => Ok(()),
    }
}

impl GrantClaims {
    /// The time to spend it in, from receipt.
    pub(super) const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl)
    }
}

impl MatchedGrant {
    /// What it says.
    pub const fn claims(&self) -> &GrantClaims {
        &self.claims
    }

    /// The request that it fits.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Marks it spent in the agent's ledger; only a grant that the ledger took for the first time becomes a [`VerifiedGrant`].
    ///
    /// # Errors
    /// What the ledger says: spent before, sealed epoch, full.
    pub fn spend(self, ledger: &mut Ledger) -> Result<VerifiedGrant, SpendError> {
        let spent = ledger.spend(self.claims.aud, self.claims.life, self.claims.jti)?;
        Ok(VerifiedGrant { claims: self.claims, request: self.request.set_aside(), spent })
    }
}

impl VerifiedGrant {
    /// What it says.
    pub const fn claims(&self) -> &GrantClaims {
        &self.claims
    }

    /// The request that it is for.
    pub const fn request(&self) -> &SetAside {
        &self.request
    }

    /// How long there is still time to send, `waited` after receipt: what lies between spending and sending (Lease, reads) counts too.
    pub fn time_left(&self, waited: Duration) -> Duration {
        self.claims.ttl().saturating_sub(waited)
    }

    /// Where to report the end.
    pub const fn ticket(&self) -> Ticket {
        self.spent.ticket()
    }
}
