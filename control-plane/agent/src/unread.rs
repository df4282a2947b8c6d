//! Why an object that an operation needs can't be read, or can't be put to use: a closed list, for the log, and for a client as far as it helps him.

use control_plane_core::restore::ReadError;
use shared::limits;
use shared_net::body::BodyError;

use crate::answer::AnswerError;
use crate::apart::BrokenOff;
use crate::upstream::UpstreamError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The grant does not list it.
    #[error("the grant does not list it")]
    NotListed,
    /// There is no one object that the request is about.
    #[error("there is no one object that the request is about")]
    NoneSuch,
    /// The API server could not be asked.
    #[error("the API server gave no answer")]
    Upstream(#[source] UpstreamError),
    /// It answered in a way that is never taken.
    #[error("the API server's answer is none that is taken")]
    Answer(#[source] AnswerError),
    /// It answered with something else than JSON as it is, or than an object or that there is none.
    #[error("the API server answered with {status} and in a form that may not be JSON")]
    Form {
        /// Its status.
        status: u16,
    },
    /// Longer than [`limits::LIVE_OBJECT_BYTES`].
    #[error("it has more than {} bytes", limits::LIVE_OBJECT_BYTES)]
    TooLarge,
    /// Its bytes stopped.
    #[error("it did not come to its end")]
    Body(#[source] BodyError),
    /// Nested deeper than is read.
    #[error("it is nested {} levels or deeper", limits::BODY_DEPTH)]
    TooDeep,
    /// More in memory than there is for it.
    #[error("it has so many values that it takes more memory than there is for it")]
    Memory,
    /// No object, or one that can't be masked.
    #[error("it is no object that can be masked")]
    Object(#[source] ReadError),
    /// The work on it came to no end.
    #[error("nobody could look at it")]
    Work(#[source] BrokenOff),
    /// What is ours could not be read or written.
    #[error("what was approved can't be read again")]
    Own,
}

impl Unread {
    /// It is so whenever it is asked for: who tries again is refused again.
    pub const fn is_for_good(&self) -> bool {
        match self {
            Self::TooLarge | Self::TooDeep | Self::Memory => true,
            Self::NotListed
            | Self::NoneSuch
            | Self::Upstream(_)
            | Self::Answer(_)
            | Self::Form { .. }
            | Self::Body(_)
            | Self::Object(_)
            | Self::Work(_)
            | Self::Own => false,
        }
    }
}

impl From<BodyError> for Unread {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge,
            BodyError::Idle { .. } | BodyError::Broken(_) => Self::Body(error),
        }
    }
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Memory => Self::Memory,
            ReadError::Deep => Self::TooDeep,
            ReadError::NoObject | ReadError::Mask(_) => Self::Object(error),
        }
    }
}
