//! Ways round the agent: what a sidecar tries from inside its runner's network, and what it says of it.
//!
//! Only a network policy keeps a runner from talking to the API server by itself, and nothing in the cluster tells whether a policy is
//! enforced. So each sidecar tries, and whatever answers is an alarm.

use serde::{Deserialize, Serialize};

/// A way that must be shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The API server by its Service's address.
    Service,
    /// The API server by the name of its Service.
    Name,
    /// The API server by an address of its own.
    ApiServer,
    /// The API server's port on the runner's node.
    Node,
    /// The kubelet of the runner's node.
    Kubelet,
    /// The cloud's metadata service, which gives the node's credentials away.
    Metadata,
}

impl Way {
    /// In words, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Service => "the API server's Service",
            Self::Name => "the API server's DNS name",
            Self::ApiServer => "the API server's own address",
            Self::Node => "the API server's port on the node",
            Self::Kubelet => "the node's kubelet",
            Self::Metadata => "the cloud's metadata service",
        }
    }
}

/// A way and where it led to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which way.
    pub way: Way,
    /// `host:port` that was tried; an IPv6 address in brackets.
    pub address: String,
}

/// What one round of tries found. A report says all that is open now; an empty list takes an alarm back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How many were tried.
    pub tried: usize,
    /// Those that somebody answered on.
    pub open: Vec<Route>,
}

/// What `sallyport-sidecar probe` prints, as one line of JSON: `sallyport doctor` reads it in a Pod's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The ways round the agent.
    pub report: Report,
    /// The way that there should be.
    pub call: Call,
}

/// What became of a call as any client in the Pod makes it: `GET /version` of the API server that the Pod knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// An answer.
    Answered {
        /// HTTP status.
        status: u16,
        /// The message of a `Status`; empty where there is none.
        message: String,
    },
    /// None.
    Failed {
        /// Why.
        why: String,
    },
}
