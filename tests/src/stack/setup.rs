//! What differs from one test's stack to the next.

use std::path::PathBuf;

/// What the agent calls.
#[derive(Clone, Debug)]
pub struct ApiServer {
    /// `https://host:port`.
    pub url: String,
    /// Certificate of its authority, PEM.
    pub ca: PathBuf,
}

/// What differs from one test's stack to the next.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// A policy of the test's own.
    pub policy: Option<&'a str>,
    /// Further lines of the control plane's configuration: issuers.
    pub issuers: String,
    /// Further clusters, as lines of that configuration; there is no agent of them.
    pub clusters: String,
    /// The cluster is in no configuration: a one-time token makes it known.
    pub enrolled: bool,
    /// The cluster needs a CI provider's token beside the pod's.
    pub require_ci: bool,
    /// No vote over the local socket counts, as in earnest.
    pub earnest: bool,
    /// The CI provider's token.
    pub ci_token: Option<String>,
    /// The sidecar's session will not be opened.
    pub refused: bool,
    /// Our own objects that the agent compares with what is there, as `sallyport install` writes them: a list in JSON.
    pub guarded: Option<String>,
    /// The agent lets values of this Secret of the namespace's be disclosed.
    pub revealed: Option<&'a str>,
    /// What the agent calls instead of the cluster's API server; it must pass on what it does not answer itself.
    pub api_server: Option<ApiServer>,
    /// The way between agent and control plane can lose grants: see [`Stack::lose_grants`](super::Stack::lose_grants).
    pub lossy: bool,
    /// No UDP gets through from sidecar and agent to the control plane.
    pub without_udp: bool,
}
