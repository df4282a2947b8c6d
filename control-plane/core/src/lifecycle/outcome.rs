//! How an operation ended: exactly one outcome, which never changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of an operation. The first three are those of operations that were sent; `NotSent` says that none of its bytes
/// reached the API server, nor will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// The API server carried it out: 1xx of an upgrade, 2xx, 3xx.
    Ok {
        /// HTTP status.
        status: u16,
    },
    /// The API server refused it or failed.
    Error {
        /// HTTP status.
        status: u16,
    },
    /// It may or may not have been carried out. Never tried again by us.
    Unknown {
        /// Why we can't tell.
        why: Unknown,
    },
    /// It did not happen.
    NotSent {
        /// Why.
        why: NotSent,
    },
}

impl Outcome {
    /// By the API server's status.
    pub const fn of_status(status: u16) -> Self {
        if status < 400 { Self::Ok { status } } else { Self::Error { status } }
    }

    /// One word, for metrics and lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Error { .. } => "error",
            Self::Unknown { .. } => "unknown",
            Self::NotSent { .. } => "not_sent",
        }
    }

    /// Whether the API server may have seen it.
    pub const fn may_have_run(self) -> bool {
        !matches!(self, Self::NotSent { .. })
    }
}

/// Why nobody can tell whether an operation was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unknown {
    /// The agent process that had the grant is gone, or has forgotten it.
    AgentForgot,
    /// The API server's answer did not come, or broke off before its status.
    NoAnswer,
    /// The cluster's own ledger says that the approval was spent before, and not by anything that we remember.
    SpentBefore,
    /// The database was restored from a backup: what happened after the backup is lost.
    Restored,
}

/// Why an operation was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NotSent {
    /// Policy denies it, at first or when it was judged again.
    Denied,
    /// People denied it.
    HoldDenied,
    /// Nobody approved it, or nobody came for the approval, in time.
    HoldExpired,
    /// The hold was made void (session revoked, object changed).
    HoldVoid,
    /// Another operation that waited on the same hold used its approval.
    ApprovalUsed,
    /// The agent refused the grant, or the cluster's ledger could not be written.
    AgentRefused,
    /// No agent could be reached before the client's or our own deadline.
    NoAgent,
    /// The client left before anything was sent.
    ClientLeft,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok { status } => write!(f, "ok ({status})"),
            Self::Error { status } => write!(f, "error ({status})"),
            Self::Unknown { why } => write!(f, "unknown: {}", why.as_str()),
            Self::NotSent { why } => write!(f, "not sent: {}", why.as_str()),
        }
    }
}

impl Unknown {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentForgot => "the agent that had it is gone",
            Self::NoAnswer => "the API server did not answer",
            Self::SpentBefore => "its approval was spent before",
            Self::Restored => "the database was restored from a backup",
        }
    }
}

impl NotSent {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied by policy",
            Self::HoldDenied => "denied by an approver",
            Self::HoldExpired => "not approved in time",
            Self::HoldVoid => "its hold is void",
            Self::ApprovalUsed => "another try used the approval",
            Self::AgentRefused => "refused by the agent",
            Self::NoAgent => "no agent could be reached",
            Self::ClientLeft => "the client left",
        }
    }
}
