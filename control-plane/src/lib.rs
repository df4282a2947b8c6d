//! Sallyport's control plane: decides and remembers.
//!
//! Start reading at `gateway::serve`: one function shows the path of a request.

pub mod agents;
pub mod alarms;
pub mod app;
pub mod approvals;
pub mod authn;
mod authority;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod enrolments;
pub mod events;
pub mod gateway;
pub mod grants;
pub mod guards;
pub mod injector;
pub mod install;
pub mod intruders;
mod issuer_keys;
pub mod metrics;
pub mod peers;
pub mod policies;
pub mod presence;
mod ration;
pub mod records;
pub mod sessions;
pub mod store;
pub mod web;
