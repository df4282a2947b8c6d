//! What is known of a session's sidecar at this moment: whether it is connected, its version, and what it last found when it tried the
//! ways round the agent. For people who look; nothing is decided by it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use shared::bypass::{Report, Route};
use shared::ids::SessionId;
use shared::limits;
use shared::time::Timestamp;

use crate::sessions::Session;

/// What a sidecar said of the ways that it tried.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// When it said so. It says it once on each connection, and whenever it finds something else.
    pub at: Timestamp,
    /// How many it tried.
    pub tried: usize,
    /// Those that somebody answered on.
    pub open: Vec<Route>,
}

/// A connected sidecar.
#[derive(Clone, Debug, Serialize)]
pub struct Sidecar {
    /// Its session.
    pub session: SessionId,
    /// Its cluster.
    pub cluster: String,
    /// Its pod, as `namespace/name`.
    pub pod: String,
    /// What it says of its version.
    pub version: String,
    /// What it last found; `None`: it has not tried yet, or does not know where the doors are.
    pub probe: Option<Probe>,
}

/// Of one session.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    connections: AtomicUsize,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    version: String,
    probe: Option<Probe>,
}

/// A connection of a session's, for as long as this lives.
pub(crate) struct Here(Arc<Session>);

impl Here {
    /// One connection more.
    pub(crate) fn new(session: Arc<Session>) -> Self {
        session.presence().connections.fetch_add(1, Ordering::AcqRel);
        Self(session)
    }

    /// Whose.
    pub(crate) const fn session(&self) -> &Arc<Session> {
        &self.0
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let presence = self.0.presence();
        if presence.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The next one may be another network's.
            presence.said.lock().unwrap_or_else(PoisonError::into_inner).probe = None;
        }
    }
}

impl Presence {
    pub(crate) fn version(&self, version: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.version = version.chars().take(limits::VERSION_CHARS).collect();
    }

    pub(crate) fn probed(&self, report: &Report, at: Timestamp) {
        let open = report.open.iter().take(limits::BYPASS_ROUTES).cloned().collect();
        let probe = Probe { at, tried: report.tried.min(limits::BYPASS_ROUTES), open };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).probe = Some(probe);
    }

    /// As people see it; `None`: it is not connected.
    pub(crate) fn view(&self, session: &Session) -> Option<Sidecar> {
        if self.connections.load(Ordering::Acquire) == 0 {
            return None;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Sidecar {
            session: session.id(),
            cluster: session.cluster().to_owned(),
            pod: session.pod(),
            version: said.version.clone(),
            probe: said.probe.clone(),
        })
    }
}
