//! The injector, `sallyport inject`: the admission webhook that puts the sidecar into Pods, and refuses what would go round it.
//!
//! It owns nothing and knows nobody: what it does follows from its configuration file and the review that the API server sends. It has no
//! rights in the cluster, no token, and no link to the control plane, so that a hostile control plane can't shape Pods. Invariant: a Pod
//! that leaves it with the label `sallyport.dev/injected` has the sidecar of its configuration first, and no other container of it has a
//! credential for the cluster. Called by `cli::inject`.
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

pub mod app;
pub mod config;
mod listen;
mod metrics;
pub mod pod;
pub mod review;
mod tls;
