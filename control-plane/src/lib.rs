//! Sallyport's control plane: decides and remembers.
//!
//! Start reading at `gateway::serve`: one function shows the path of a request.

pub mod agents;
pub mod approvals;
pub mod authn;
pub mod config;
pub mod gateway;
pub mod grants;
pub mod metrics;
pub mod policies;
pub mod sessions;
pub mod store;
