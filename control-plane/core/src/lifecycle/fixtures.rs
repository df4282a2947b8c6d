//! Values that the tests and the model share.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{AgentId, ApprovalId, GrantId, HoldId, OperationId, SessionId};
use shared::time::Timestamp;
use uuid::Uuid;

use super::{Candidate, NewIssue, Opening, OperationKey, OperationRecord};
use crate::decision::{ApprovalTerms, Effect, Explanation, Group, Verdict};
use crate::digest::{Digest, DigestKey};
use crate::four_eyes::{Behind, Via, Voter};
use crate::identity::Asker;
use crate::ledger::Epoch;
use crate::lifecycle::Life;
use crate::request_info::{RequestInfo, Verb};
use crate::version_pin::VersionPin;

pub(super) const WAIT: Duration = Duration::from_secs(900);
pub(super) const T0: Timestamp = Timestamp(1_000_000);

pub(super) fn later(seconds: u64) -> Timestamp {
    T0.after(Duration::from_secs(seconds))
}

pub(super) fn digest(text: &str) -> Digest {
    DigestKey::new([1; 32]).digest(&[text.as_bytes()])
}

pub(super) fn session(n: u128) -> SessionId {
    SessionId::new(Uuid::from_u128(n))
}

pub(super) fn key(session_number: u128, operation: u128) -> OperationKey {
    let operation = OperationId::new(Uuid::from_u128(operation));
    OperationKey { session: session(session_number), operation }
}

pub(super) fn hold_id() -> HoldId {
    HoldId::new(Uuid::from_u128(50))
}

pub(super) fn approval_id(n: u128) -> ApprovalId {
    ApprovalId::new(Uuid::from_u128(60 + n))
}

pub(super) fn jti(n: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(70 + n))
}

pub(super) fn asker() -> Asker {
    Asker {
        cluster: "prod".to_owned(),
        namespace: "ci".to_owned(),
        service_account: "runner".to_owned(),
        ci_issuer: None,
        ci_subject: None,
        person: Some("7".to_owned()),
    }
}

pub(super) fn pin(version: &str) -> VersionPin {
    VersionPin::ResourceVersion { uid: "u".to_owned(), resource_version: version.to_owned() }
}

pub(super) fn terms(quorum: u8) -> ApprovalTerms {
    ApprovalTerms { groups: ["sre".to_owned()].into(), quorum, wait: WAIT }
}

pub(super) fn request_info() -> RequestInfo {
    RequestInfo {
        is_resource_request: true,
        non_resource_path: String::new(),
        verb: Verb::Create,
        api_group: String::new(),
        api_version: "v1".to_owned(),
        namespace: "shop".to_owned(),
        resource: "serviceaccounts".to_owned(),
        subresource: String::new(),
        name: String::new(),
        proxy_path: String::new(),
    }
}

pub(super) fn opening(operation: OperationKey, quorum: u8) -> Opening {
    let asker = asker();
    Opening {
        id: hold_id(),
        operation,
        behind: Behind::of(&asker, false),
        asker,
        only_pod: None,
        cluster: "prod".to_owned(),
        request: request_info(),
        intent: digest("intent"),
        pin: pin("1"),
        terms: terms(quorum),
    }
}

pub(super) fn candidate(operation: OperationKey) -> Candidate {
    let cluster = "prod".to_owned();
    Candidate { operation, asker: asker(), only_pod: None, cluster, intent: digest("intent"), pin: pin("1") }
}

pub(super) fn operation(key: OperationKey) -> OperationRecord {
    OperationRecord::open(key, digest("request"), T0)
}

/// An approver who is this person.
pub(super) fn voter(person: &str) -> Voter {
    Voter {
        issuer: "https://sso".to_owned(),
        subject: format!("sub-{person}"),
        person: Some(person.to_owned()),
        groups: ["sre".to_owned()].into(),
        via: Via::Oidc,
    }
}

pub(super) fn verdict(effect: Effect, terms: Option<ApprovalTerms>) -> Verdict {
    let explanation = Explanation {
        rule: "test".to_owned(),
        effect,
        risk: 50,
        hold_at: 40,
        deny_at: 90,
        contributions: Vec::new(),
        notes: Vec::new(),
    };
    Verdict {
        explanation,
        group: Group::Write,
        terms,
        mask: Vec::new(),
        hide: Vec::new(),
        reveal: BTreeSet::new(),
        cost: 0,
    }
}

pub(super) fn epoch(n: u8) -> Epoch {
    Epoch::new([n; 32])
}

pub(super) fn new_issue(n: u128) -> NewIssue {
    let agent = AgentId::new(Uuid::from_u128(90));
    NewIssue { jti: jti(n), epoch: epoch(1), agent, life: Life(1) }
}
