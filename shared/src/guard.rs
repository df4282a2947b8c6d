//! What protects a cluster, as agents see it: our own policies, roles and webhooks, compared with what was installed.

use serde::{Deserialize, Serialize};

/// How an object is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum State {
    /// As it was installed.
    Installed,
    /// Not there.
    Missing,
    /// Otherwise.
    Changed {
        /// The first place that is not as it was installed, as `spec.egress[0]`.
        place: String,
    },
    /// Nobody can tell.
    Unreadable {
        /// Why.
        why: String,
    },
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Which, as `NetworkPolicy sallyport-agent in sallyport`.
    pub object: String,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
}

impl Watched {
    /// The sentence for people; `None`: it is as it was installed.
    pub fn complaint(&self) -> Option<String> {
        let object = &self.object;
        match &self.state {
            State::Installed => None,
            State::Missing => Some(format!("{object} is missing")),
            State::Changed { place } => Some(format!("{object} is not as it was installed: {place}")),
            State::Unreadable { why } => Some(format!("{object} can't be read: {why}")),
        }
    }
}
