//! Sallyport's control plane: decides and remembers.
//!
//! Start reading at `gateway::serve`: one function shows the path of a request.

pub mod authn;
pub mod config;
pub mod metrics;
pub mod store;
