//! The gateway: every operation passes here, stage by stage. `serve` shows the whole path; each other file is one stage or one end.

mod accept;
mod attribute;
mod cut;
mod hold;
pub(crate) mod judge;
pub mod refusal;
mod repeat;
mod reply;
mod review;
mod send;
mod serve;
mod show;
mod watch;

use std::sync::Arc;

use shared_net::drain::Drain;
use shared_net::telemetry;

use crate::agents::Agents;
use crate::alarms::Alarms;
use crate::approvals::Approvals;
use crate::grants::Grants;
use crate::intruders::Intruders;
use crate::metrics::RefusalLabels;
use crate::policies::Policies;
use crate::records::Recorder;
use crate::sessions::BodyRoom;

use refusal::Refusal;

/// The stages' owner.
pub struct Gateway {
    pub(crate) agents: Arc<Agents>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) intruders: Arc<Intruders>,
    pub(crate) recorder: Recorder,
    /// Watches end in good order when the process goes.
    pub(crate) drain: Drain,
    /// Of all sessions together.
    pub(crate) bodies: BodyRoom,
}

impl Gateway {
    fn count(&self, refusal: &Refusal) {
        let shape = refusal.shape();
        self.recorder.metrics.refusals.get_or_create(&RefusalLabels { kind: shape.kind }).inc();
        if shape.attack {
            self.attack_signal(shape.kind);
        }
    }

    fn attack_signal(&self, kind: &'static str) {
        self.recorder.metrics.attack_signals.get_or_create(&RefusalLabels { kind }).inc();
        tracing::warn!(target: telemetry::ACCESS, kind, "attack signal");
    }
}
