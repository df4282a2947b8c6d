//! The sidecar: a local Kubernetes endpoint for one runner, whose every call is carried to the control plane.
//!
//! It decides nothing and is never a security boundary: killing it only loses access. Its own checks (exact host, no browser, the token of
//! its own pod) keep strangers on the same machine from using the runner's session.

pub mod app;
pub mod config;
mod discovery;
mod forward;
mod guard;
mod hosts;
mod link;
mod listener;
pub mod probe;
mod prober;
pub mod ready;
mod refusal;
pub mod runtime;
mod serve_dir;
mod session;
mod translate;
mod tunnel;

#[cfg(test)]
mod tests;
