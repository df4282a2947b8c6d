//! Words that every Sallyport process shares: ids, times, wire heads, limits, the Kubernetes `Status`, secrets and configuration reading.
//!
//! Nothing here does I/O, and nothing here knows tokio, quinn or hyper.

pub mod bypass;
pub mod chain;
pub mod config;
pub mod guard;
pub mod ids;
pub mod limits;
pub mod secret;
pub mod status;
pub mod time;
pub mod wire;
