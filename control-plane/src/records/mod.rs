//! What is on record of an operation, ours or a runner's: opened before anything is decided, closed in exactly one outcome.

mod log;
mod mask;
pub(crate) mod opening;
mod running;

pub use log::Recorder;
pub(crate) use log::{Opens, OperationLog};
pub use mask::RequestMask;
pub use running::Runs;
