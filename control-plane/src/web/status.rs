//! How the control plane is, and what is connected to it: what `sallyport doctor` asks.

use std::collections::BTreeMap;

use control_plane_core::four_eyes::Mode;
use serde::Serialize;
use serde_json::{Value, json};
use shared::time::Timestamp;
use shared_net::validity::Validity;

use super::Parts;
use crate::presence::Sidecar;

/// Sidecars that are listed one by one; all are counted.
const LISTED: usize = 500;

/// Sidecars by what they found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sidecars {
    connected: usize,
    shut: usize,
    open: usize,
    untried: usize,
    versions: BTreeMap<String, usize>,
    list: Vec<Sidecar>,
}

impl Sidecars {
    fn count(mut list: Vec<Sidecar>) -> Self {
        let mut this = Self { connected: list.len(), ..Self::default() };
        for sidecar in &list {
            *this.versions.entry(sidecar.version.clone()).or_default() += 1;
            match &sidecar.probe {
                None => this.untried += 1,
                Some(probe) if probe.open.is_empty() => this.shut += 1,
                Some(_) => this.open += 1,
            }
        }
        list.truncate(LISTED);
        this.list = list;
        this
    }
}

/// The whole of it.
pub(super) async fn of(parts: &Parts) -> Value {
    // Not what the last commit said, which may be of yesterday.
    let writable = parts.store.probe().await.is_ok();
    let policy = parts.policies.state();
    let [certificate, authority, vouched] = parts.keys.validity().map(times);
    let clusters: Vec<_> = parts
        .authn
        .names()
        .into_iter()
        .map(|name| json!({"name": name, "agents": parts.agents.list(&name), "guard": parts.guards.of(&name)}))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": parts.clock.now(),
        "started": Timestamp(parts.store.life().0),
        "store": {"writable": writable, "space": parts.store.space()},
        "certificate": certificate,
        "authority": authority,
        "authorityBefore": vouched,
        "policy": {"closed": policy.closed, "refused": policy.refused},
        "approvals": {"singleLocalVote": parts.approvals.mode() == Mode::Try},
        "clusters": clusters,
        "sidecars": Sidecars::count(parts.sessions.sidecars()),
    })
}

fn times(validity: Option<Validity>) -> Option<Value> {
    validity.map(|validity| json!({"from": validity.from, "until": validity.until}))
}
