//! The web API: what approvers, auditors and the command line use. HTTPS for OIDC bearer tokens, and, where it is switched on, a local
//! Unix socket whose caller is known by its peer credentials. Nothing is served without authentication; /livez, /readyz and
//! /metrics are on a port of their own.

mod answer;
mod caller;
mod clusters;
mod listen;
mod openapi;
pub mod routes;
mod status;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;

use shared_net::clock::Clock;
use shared_net::tls::ServerKeys;

use crate::agents::Agents;
use crate::alarms::Alarms;
use crate::approvals::Approvals;
use crate::authn::Authn;
use crate::enrolments::Enrolments;
use crate::events::Events;
use crate::guards::Guards;
use crate::policies::Policies;
use crate::sessions::Sessions;
use crate::store::Store;

pub use listen::{Web, build};

/// What the routes answer from.
pub struct Parts {
    /// Who is asking.
    pub authn: Arc<Authn>,
    /// Clusters that come and go.
    pub enrolments: Arc<Enrolments>,
    /// Holds and votes.
    pub approvals: Arc<Approvals>,
    /// Ways round the agent.
    pub alarms: Arc<Alarms>,
    /// What happens.
    pub events: Events,
    /// Sessions.
    pub sessions: Arc<Sessions>,
    /// Policy.
    pub policies: Arc<Policies>,
    /// Agents.
    pub agents: Arc<Agents>,
    /// What protects clusters.
    pub guards: Arc<Guards>,
    /// What the listeners show.
    pub keys: Arc<ServerKeys>,
    /// Records.
    pub store: Store,
    /// Where sidecars and agents most likely find us; `None` where the configuration names nothing.
    pub address: Option<String>,
    /// Groups that may read everything and change nothing.
    pub auditors: BTreeSet<String>,
    /// Time.
    pub clock: Clock,
}
