//! Grants: the single-use right to perform one operation (ARCHITECTURE.md, Grants).
//!
//! Owns the claims, the two token forms and every check that needs no clock, I/O or memory. The path is
//! [`crate::decision::Allowed`] → [`issue()`] → [`Grant`] in the control plane, and on the agent's side
//! token + arrived request → [`verify()`] → [`MatchedGrant`] → [`MatchedGrant::spend`] → [`VerifiedGrant`].
//!
//! Invariant: a [`VerifiedGrant`] exists only for a request that is byte for byte the one that was judged, on the connection it was
//! issued for, in time, and once. It owns that request, so nothing else can be sent with it.

mod claims;
mod issue;
mod jws;
mod verify;

pub use claims::{ApprovalClaim, GrantClaims, Impersonation, Purpose, Target};
pub use issue::{Grant, GrantError, Terms, issue};
pub use jws::{KeyError, ReadKey, Signer, VerifyKeys};
pub use verify::{Arrived, MatchedGrant, VerifiedGrant, VerifyError, verify};

#[cfg(test)]
mod tests;
