//! The issue stage: an [`Allowed`] is spent and becomes a [`Grant`].

use std::time::Duration;

use shared::ids::GrantId;
use shared::limits;

use super::claims::{ApprovalClaim, GrantClaims, Impersonation, Purpose, Target};
use super::jws::{ReadKey, Signer};
use crate::decision::{Allowed, Group};
use crate::digest::DigestKey;
use crate::ledger::Epoch;
use crate::lifecycle::Life;
use crate::request::WireRequest;

/// What the control plane adds to an [`Allowed`]: an id and a digest key that it drew, the connection it will use, and bounds.
#[derive(Debug)]
pub struct Terms<'a> {
    /// Fresh: a UUIDv7, unique for all time.
    pub jti: GrantId,
    /// The agent's connection.
    pub epoch: Epoch,
    /// Life of the database.
    pub life: Life,
    /// Time to spend it, at most [`limits::GRANT_TTL`].
    pub ttl: Duration,
    /// Longest that the answer may last, at most [`limits::STREAM_LIFE`].
    pub until: Duration,
    /// Key of the request digest; it travels beside the grant.
    pub digest_key: &'a DigestKey,
    /// JSON paths that policy masks in addition.
    pub mask: Vec<String>,
    /// Objects that the agent may read inside this operation.
    pub reads: Vec<Target>,
    /// The approval that was spent for it, if people had to say yes.
    pub approval: Option<ApprovalClaim>,
}

/// The right to perform one operation once, with the request that it is for. Not `Clone`: `forward` sends it by value.
#[derive(Debug)]
pub struct Grant {
    token: String,
    claims: GrantClaims,
    written: String,
    allowed: Allowed,
}

impl Grant {
    /// The JWT, for `header::GRANT`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What it says.
    pub const fn claims(&self) -> &GrantClaims {
        &self.claims
    }

    /// The same in JSON, byte for byte as it was signed: for the record.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// What to send with it.
    pub fn request(&self) -> &WireRequest {
        self.allowed.attributes().request().wire()
    }

    /// The right that it was made of.
    pub const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The right that it was made of, so that another grant can be: only for who knows that this one never reached an agent's ledger, or
    /// has the agent's word that it was never spent there.
    pub fn unspent(self) -> Allowed {
        self.allowed
    }
}

/// No grant could be made. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A bound of the terms is broken.
    #[error("{what} of the grant is {got}, at most {most} is possible")]
    Bound {
        /// Which.
        what: &'static str,
        /// As asked for.
        got: u128,
        /// The bound.
        most: u128,
    },
    /// Only approved operations may use the group of approved ones.
    #[error("the group sallyport:approved needs an approval")]
    Unapproved,
    /// A rule below `internal/` that is not on the closed list.
    #[error("{0:?} is no internal operation")]
    UnknownInternal(String),
    /// Claims could not be written.
    #[error("the claims can't be serialised")]
    Serialise,
}

/// Spends an [`Allowed`] and signs the grant for it.
///
/// Plain reads without obligations are signed by HMAC under the connection's own key when one is given: it proves the same (only the two
/// ends of that connection know it) at a twentieth of the cost. Everything else is signed by the grant key.
///
/// # Errors
/// [`GrantError`]; the `Allowed` is spent all the same.
pub fn issue(
    allowed: Allowed,
    terms: Terms<'_>,
    signer: &Signer,
    read_key: Option<&ReadKey>,
) -> Result<Grant, GrantError> {
    bound("ttl", terms.ttl.as_millis(), limits::GRANT_TTL.as_millis())?;
    bound("until", terms.until.as_millis(), limits::STREAM_LIFE.as_millis())?;
    bound("reads", terms.reads.len() as u128, limits::GRANT_READS as u128)?;
    bound("mask", terms.mask.len() as u128, limits::GRANT_MASK_PATHS as u128)?;
    bound("hide", allowed.hide().len() as u128, limits::HIDE_PATTERNS as u128)?;
    if allowed.group() == Group::Approved && terms.approval.is_none() {
        return Err(GrantError::Unapproved);
    }
    let rule = &allowed.explanation().rule;
    let purpose = Purpose::of_rule(rule).ok_or_else(|| GrantError::UnknownInternal(rule.clone()))?;
    let attributes = allowed.attributes();
    let impersonation = match purpose {
        // The agent's own rights are for these two and no others.
        Purpose::TokenReview | Purpose::GuardRead => None,
        Purpose::Operation | Purpose::LiveRead | Purpose::Preview | Purpose::IssuerKeys => {
            Some(Impersonation::new(allowed.group(), &attributes.identity().asker()))
        }
    };
    let claims = GrantClaims {
        jti: terms.jti,
        operation: attributes.operation(),
        session: attributes.session(),
        aud: terms.epoch,
        cluster: attributes.cluster().to_owned(),
        life: terms.life,
        ttl: millis(terms.ttl),
        until: millis(terms.until),
        purpose,
        info: attributes.info().clone(),
        digest: attributes.request().digest(terms.digest_key),
        impersonation,
        mask: terms.mask,
        hide: allowed.hide().to_vec(),
        reads: terms.reads,
        approval: terms.approval,
    };
    let written = serde_json::to_string(&claims).map_err(|_| GrantError::Serialise)?;
    let token = match read_key {
        Some(key) if claims.is_plain_read() => key.token(written.as_bytes()),
        Some(_) | None => signer.token(written.as_bytes()),
    };
    bound("token", token.len() as u128, limits::GRANT_BYTES as u128)?;
    Ok(Grant { token, claims, written, allowed })
}

impl GrantClaims {
    /// Whether it may stand under the connection's HMAC key: reads as `sallyport:read`, nothing to hide, restore, pin or approve.
    pub(super) fn is_plain_read(&self) -> bool {
        self.info.is_read()
            && self.purpose == Purpose::Operation
            && self.approval.is_none()
            && self.reads.is_empty()
            && self.hide.is_empty()
            && self.impersonation.as_ref().map(|who| who.group) == Some(Group::Read)
    }
}

fn bound(what: &'static str, got: u128, most: u128) -> Result<(), GrantError> {
    if got > most {
        return Err(GrantError::Bound { what, got, most });
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
