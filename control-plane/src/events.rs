//! What people who watch are told as it happens.

use serde::Serialize;
use shared::ids::HoldId;
use tokio::sync::broadcast;

/// Told to a watcher who is slower than this are only the newest.
const KEPT: usize = 1024;

/// Something that people who watch want to know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum Event {
    /// A hold was opened or changed.
    Hold {
        /// Which.
        hold: HoldId,
        /// What it is now.
        phase: &'static str,
    },
    /// A way round the agent was found open, or is shut again.
    Bypass {
        /// In which cluster.
        cluster: String,
        /// How many of its runners find one open now.
        runners: usize,
    },
    /// What protects a cluster was changed, or is back.
    Guard {
        /// Which cluster.
        cluster: String,
        /// How many of its objects are not as they were installed now.
        objects: usize,
    },
}

/// Where events are announced and listened to. Clones are the same place.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Event>);

impl Events {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    /// Tells whoever listens.
    pub fn announce(&self, event: Event) {
        let _nobody_listens = self.0.send(event).is_err();
    }

    /// Everything from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
