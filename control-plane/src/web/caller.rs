//! Who calls the web API.

use std::collections::BTreeSet;

use control_plane_core::four_eyes::{Via, Voter};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Parts;
use super::answer::Problem;
use crate::config::LocalSocket;

/// The user of the machine on the other end of the Unix socket; put into the request by the listener.
#[derive(Clone, Debug)]
pub(super) struct LocalPeer {
    /// uid.
    pub(super) uid: u32,
    /// Groups that the configuration gives to local callers.
    pub(super) groups: BTreeSet<String>,
}

impl LocalPeer {
    /// The peer, if the configuration lets its uid speak.
    pub(super) fn new(uid: u32, socket: &LocalSocket) -> Option<Self> {
        socket.uids.contains(&uid).then(|| Self { uid, groups: socket.groups.iter().cloned().collect() })
    }
}

/// Authenticates a call. A local caller is who the kernel says; everybody else shows a token of an approvers' issuer.
pub(super) async fn authenticate(
    parts: &Parts,
    headers: &HeaderMap,
    local: Option<LocalPeer>,
) -> Result<Voter, Problem> {
    if let Some(peer) = local {
        let subject = format!("uid {}", peer.uid);
        return Ok(Voter {
            issuer: "local".to_owned(),
            subject,
            person: None,
            groups: peer.groups,
            via: Via::LocalSocket,
        });
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::Unauthenticated("show one bearer token of an approvers' issuer".to_owned()));
    };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty());
    let Some((_, token)) = token else {
        return Err(Problem::Unauthenticated("the authorization header is no bearer token".to_owned()));
    };
    let approver = parts.authn.approver(token, parts.clock.now()).await;
    let approver = approver.map_err(|error| Problem::Unauthenticated(shared::chain::Chain(&error).to_string()))?;
    let approver = approver.value().clone();
    Ok(Voter {
        issuer: approver.issuer,
        subject: approver.subject,
        person: approver.person,
        groups: approver.groups,
        via: Via::Oidc,
    })
}
