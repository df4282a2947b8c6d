//! Typed ids. Each is a UUID on the wire and in the store; the type keeps one from standing where another belongs.
//!
//! Ids are never authority: knowing one gives no right.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the caller drew or read.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// One API call of a runner. Made by the sidecar as a UUIDv7, unique within its session.
    OperationId;
    /// All operations of one runner. Made by the control plane.
    SessionId;
    /// An operation that waits for people.
    HoldId;
    /// The people's yes to one hold. Spent at most once, ever.
    ApprovalId;
    /// The `jti` of a grant.
    GrantId;
    /// One life of one agent process, drawn at its start.
    AgentId;
}
