//! What approvers are told of values that nobody is shown. The control plane sends the write that waits beside its own read of the live
//! object; the values are compared here, before they are masked, and only words go back.
//!
//! Each word says whether a guess is right, so words are rationed (SECURITY.md, windows). Nothing of the question reaches the API server.

use std::time::Duration;

use bytes::Bytes;
use control_plane_core::grant::{MatchedGrant, Purpose, VerifyError};
use control_plane_core::mask::MaskContext;
use control_plane_core::mask::changes::{self, Reviewed, SecretWrite};
use control_plane_core::restore::ReadObject;
use http::HeaderMap;
use shared::wire;
use shared_net::memory::Place;

use crate::ration::Ration;
use crate::refusal::Refusal;

/// A question as it came, with the room that it has. It is read when the object is there, for it takes many times its bytes then.
#[derive(Debug)]
pub(crate) struct Question {
    text: Bytes,
    _room: Option<Place>,
}

/// Takes the question out of a body that is one.
pub(crate) fn question(
    headers: &HeaderMap,
    body: Bytes,
    room: Option<Place>,
) -> (Bytes, Option<Question>, Option<Place>) {
    if headers.contains_key(wire::header::REVIEW) {
        (Bytes::new(), Some(Question { text: body, _room: room }), None)
    } else {
        (body, None, room)
    }
}

impl Question {
    /// The write that waits.
    pub(crate) fn read(&self) -> Result<SecretWrite, Refusal> {
        serde_json::from_slice(&self.text).map_err(|_| Refusal::Verify(VerifyError::Unreadable))
    }
}

/// A question stands beside our own read of one Secret, and beside nothing else.
pub(crate) fn check(write: Option<&Question>, grant: &MatchedGrant) -> Result<(), Refusal> {
    let allowed = grant.claims().purpose == Purpose::LiveRead && changes::is_secret(grant.request().info());
    if write.is_some() && !allowed { Err(Refusal::Verify(VerifyError::Purpose)) } else { Ok(()) }
}

/// The words, and the object as it may be seen. `None` for the words: too many were asked for.
pub(crate) fn answer(
    ration: &Ration,
    write: &SecretWrite,
    live: Option<&ReadObject>,
    mask: &MaskContext,
    now: Duration,
) -> Reviewed {
    let masked_fields = ration.take(now).then(|| write.changes_of(live, mask));
    Reviewed { live: live.map(|live| live.masked().clone()), masked_fields }
}
