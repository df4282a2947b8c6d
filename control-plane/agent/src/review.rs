//! What approvers are told of values that nobody is shown. The control plane sends the write that waits beside its own read of the live
//! object; the values are compared here, before they are masked, and only words go back.
//!
//! Each word says whether a guess is right, so words are rationed (SECURITY.md, windows). Nothing of the question reaches the API server.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use control_plane_core::grant::{MatchedGrant, Purpose, VerifyError};
use control_plane_core::mask::MaskContext;
use control_plane_core::mask::changes::{self, Reviewed, SecretWrite};
use control_plane_core::restore::ReadObject;
use http::HeaderMap;
use shared::{limits, wire};

use crate::refusal::Refusal;

/// Takes the question out of a body that is one.
pub(crate) fn question(headers: &HeaderMap, body: Bytes) -> Result<(Bytes, Option<SecretWrite>), Refusal> {
    if !headers.contains_key(wire::header::REVIEW) {
        return Ok((body, None));
    }
    let write = serde_json::from_slice(&body).map_err(|_| Refusal::Verify(VerifyError::Unreadable))?;
    Ok((Bytes::new(), Some(write)))
}

/// A question stands beside our own read of one Secret, and beside nothing else.
pub(crate) fn check(write: Option<&SecretWrite>, grant: &MatchedGrant) -> Result<(), Refusal> {
    let allowed = grant.claims().purpose == Purpose::LiveRead && changes::is_secret(grant.request().info());
    if write.is_some() && !allowed { Err(Refusal::Verify(VerifyError::Purpose)) } else { Ok(()) }
}

/// How many questions may still be answered.
#[derive(Debug, Default)]
pub struct Ration(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// Questions answered and not yet forgotten.
    count: u32,
    /// When the last of them was forgotten, on the monotonic clock.
    forgotten: Duration,
}

impl Ration {
    /// Takes one, if there is one.
    fn take(&self, now: Duration) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(taken.forgotten).as_secs() / limits::REVIEW_EVERY.as_secs().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        taken.count = taken.count.saturating_sub(passed);
        taken.forgotten = taken.forgotten.saturating_add(limits::REVIEW_EVERY.saturating_mul(passed));
        let left = taken.count < limits::REVIEWS;
        taken.count += u32::from(left);
        left
    }

    /// The words, and the object as it may be seen. `None` for the words: too many were asked for.
    pub(crate) fn answer(
        &self,
        write: &SecretWrite,
        live: Option<&ReadObject>,
        mask: &MaskContext,
        now: Duration,
    ) -> Reviewed {
        let masked_fields = self.take(now).then(|| write.changes_of(live, mask));
        Reviewed { live: live.map(|live| live.masked().clone()), masked_fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_rationed() {
        let ration = Ration::default();
        let at = |seconds: u64| Duration::from_secs(1_000_000 + seconds);
        let answered = |seconds, asked: u32| (0..asked).filter(|_| ration.take(at(seconds))).count();
        assert_eq!(answered(0, 1000), limits::REVIEWS as usize);
        assert_eq!(answered(0, 1000), 0);
        let ten = 10 * limits::REVIEW_EVERY.as_secs();
        assert_eq!(answered(ten, 1000), 10);
        assert_eq!(answered(ten, 1000), 0);
        assert_eq!(answered(1_000_000, 1000), limits::REVIEWS as usize);
    }
}
