//! The attribute stage: exactly one reading of the request, and who asks for it.

use serde_json::Value;
use shared::ids::{OperationId, SessionId};
use shared::limits;
use shared::time::Timestamp;

use crate::identity::Identity;
use crate::query::Query;
use crate::request::Request;
use crate::request_info::RequestInfo;

/// Identity + request: what policy judges and what is forwarded, one and the same.
///
/// Made by the attribute stage only; moved, never cloned, to the decision.
#[derive(Debug)]
pub struct Attributes {
    pub(crate) identity: Identity,
    pub(crate) operation: OperationId,
    pub(crate) session: SessionId,
    pub(crate) request: Request,
}

impl Attributes {
    /// Joins who asks with what is asked.
    pub const fn new(identity: Identity, operation: OperationId, session: SessionId, request: Request) -> Self {
        Self { identity, operation, session, request }
    }

    /// The same once more, as an operation of its own: each run has its own id and record.
    #[must_use]
    pub fn again(self, operation: OperationId) -> Self {
        Self { operation, ..self }
    }

    /// Who asks.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Our name of the cluster: that of the identity, which opens operations on no other.
    pub fn cluster(&self) -> &str {
        &self.identity.pod.cluster
    }

    /// The operation's id, unique within its session.
    pub const fn operation(&self) -> OperationId {
        self.operation
    }

    /// The session it belongs to.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// When the sidecar made the operation's id, by the sidecar's clock ([`check_operation_id`] bounds how wrong that can be).
    pub fn time(&self) -> Timestamp {
        id_time(self.operation).unwrap_or_default()
    }

    /// The request as it will be forwarded.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// What for.
    pub const fn info(&self) -> &RequestInfo {
        self.request.info()
    }

    /// The query.
    pub const fn query(&self) -> &Query {
        self.request.query()
    }

    /// The body's content, if there is one: an object, or the list of a JSON Patch.
    pub fn body(&self) -> Option<&Value> {
        self.request.body().map(|body| &body.value)
    }

    /// The name of the object it is about, also of one that is being created; empty if there is none yet, or many.
    pub fn object_name(&self) -> &str {
        self.request.object_name()
    }

    /// The namespace it acts in.
    pub fn object_namespace(&self) -> &str {
        self.request.object_namespace()
    }

    /// The subresource, or empty.
    pub fn subresource(&self) -> &str {
        &self.request.info().subresource
    }

    /// Whether the API server will change nothing.
    pub fn dry_run(&self) -> bool {
        self.request.dry_run()
    }
}

/// Why an operation id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationIdError {
    /// It carries no time.
    #[error("the operation id is not a UUID of version 7")]
    Version,
    /// From before the session: replayed, or of another.
    #[error("the operation id is of {got}, older than its session, which began at {expected}")]
    Old {
        /// Begin of the session.
        expected: Timestamp,
        /// The id's time.
        got: Timestamp,
    },
    /// From the future.
    #[error("the operation id is of {got}, more than {} s ahead of {now}", limits::OPERATION_ID_AHEAD.as_secs())]
    Ahead {
        /// Our clock.
        now: Timestamp,
        /// The id's time.
        got: Timestamp,
    },
}

/// Checks an operation id against its session's begin and our clock. The session begins with an id of the same sidecar's clock or with
/// ours, so the begin is taken [`limits::OPERATION_ID_AHEAD`] earlier: a clock that is a little slow must not end the session.
///
/// # Errors
/// [`OperationIdError`]; each is a 400.
pub fn check_operation_id(id: OperationId, session_started: Timestamp, now: Timestamp) -> Result<(), OperationIdError> {
    let got = id_time(id).ok_or(OperationIdError::Version)?;
    if got.after(limits::OPERATION_ID_AHEAD) < session_started {
        return Err(OperationIdError::Old { expected: session_started, got });
    }
    if got > now.after(limits::OPERATION_ID_AHEAD) {
        return Err(OperationIdError::Ahead { now, got });
    }
    Ok(())
}

/// The 48 bits of milliseconds of a UUIDv7 (RFC 9562 §5.7).
fn id_time(id: OperationId) -> Option<Timestamp> {
    let uuid = id.uuid();
    if uuid.get_version_num() != 7 || uuid.get_variant() != uuid::Variant::RFC4122 {
        return None;
    }
    u64::try_from(uuid.as_u128() >> 80).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> OperationId {
        text.parse().unwrap()
    }

    #[test]
    fn the_time_of_an_id() {
        // RFC 9562 appendix A.6: 2022-02-22T19:22:22.000Z
        let known = id("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let made = Timestamp(1_645_557_742_000);
        let at = |offset: i64| Timestamp(made.0.saturating_add_signed(offset));
        assert_eq!(check_operation_id(known, made, made), Ok(()));
        assert_eq!(check_operation_id(known, at(60_000), at(0)), Ok(()));
        assert_eq!(check_operation_id(known, at(-1000), at(-60_000)), Ok(()));
        assert_eq!(
            check_operation_id(known, at(60_001), at(60_001)),
            Err(OperationIdError::Old { expected: at(60_001), got: made })
        );
        assert_eq!(
            check_operation_id(known, at(-100_000), at(-60_001)),
            Err(OperationIdError::Ahead { now: at(-60_001), got: made })
        );
    }

    #[test]
    fn other_versions_have_none() {
        for text in [
            "919108f7-52d1-4320-9bac-f847db4148a8",
            "00000000-0000-0000-0000-000000000000",
            // Version 7 in the bits of another variant.
            "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
        ] {
            assert_eq!(
                check_operation_id(id(text), Timestamp(0), Timestamp(0)),
                Err(OperationIdError::Version),
                "{text}"
            );
        }
    }
}
