//! Validly made grants that are right, and validly made grants that are wrong: the control plane may be hostile.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use http::header;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::ids::{ApprovalId, GrantId, HoldId, OperationId, SessionId};
use shared::time::Timestamp;
use uuid::Uuid;

use super::jws::{GRANT_HEADER, READ_GRANT_HEADER};
use super::*;
use crate::attributes::Attributes;
use crate::decision::{Allowed, Decision, Effect, Explanation, Group, Verdict};
use crate::digest::DigestKey;
use crate::identity::{Identity, PodIdentity};
use crate::ledger::{Epoch, Ledger, SpendError};
use crate::lifecycle::Life;
use crate::request::{Request, WireRequest};
use crate::version_pin::VersionPin;

mod claims;
mod form;
mod support;

use support::*;

#[test]
fn a_grant_gives_the_right_to_its_own_request() {
    let side = Side::new();
    let grant = side.write();
    assert!(grant.token().starts_with(GRANT_HEADER));
    let matched = side.verify(grant.token(), write_request()).unwrap();
    let verified = matched.spend(&mut side.ledger()).unwrap();
    assert_eq!(verified.claims(), grant.claims());
    assert_eq!(verified.time_left(Duration::from_secs(4)), Duration::from_secs(1));
    assert_eq!(verified.time_left(Duration::from_secs(6)), Duration::ZERO, "the time runs on until the send");
}

#[test]
fn a_grant_is_spent_once() {
    let side = Side::new();
    let grant = side.write();
    let mut ledger = side.ledger();
    let spend = |ledger: &mut Ledger| {
        let matched = side.verify(grant.token(), write_request()).unwrap();
        matched.spend(ledger).map(|verified| verified.claims().jti)
    };
    assert_eq!(spend(&mut ledger), Ok(grant.claims().jti));
    assert_eq!(spend(&mut ledger), Err(SpendError::AlreadySpent));
    ledger.seal_epoch(side.epoch);
    assert_eq!(spend(&mut ledger), Err(SpendError::EpochSealed));
    assert_eq!(spend(&mut Ledger::new(Life(7))), Err(SpendError::EpochUnknown), "a restarted agent");
    let mut later = Ledger::new(Life(8));
    later.open_epoch(side.epoch).unwrap();
    assert_eq!(spend(&mut later), Err(SpendError::LifeTooLow { seen: Life(8), got: Life(7) }));
}

#[test]
fn plain_reads_may_use_the_connections_own_key() {
    let side = Side::new();
    let grant = side.read();
    assert!(grant.token().starts_with(READ_GRANT_HEADER));
    side.verify(grant.token(), read_request()).unwrap();
    let other = Side { read_key: [9; 32], ..Side::new() };
    assert_eq!(other.verify(grant.token(), read_request()).unwrap_err(), VerifyError::Signature);
}

#[test]
fn the_connections_key_is_refused_for_anything_more() {
    let side = Side::new();
    let approval = serde_json::to_value(approval()).unwrap();
    let target = json!({"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "secrets", "name": "s"});
    let write = serde_json::to_value(side.write().claims()).unwrap();
    let read = serde_json::to_value(side.read().claims()).unwrap();
    let cases = [
        ("a write", write, write_request()),
        ("an approval", with(&read, "approval", approval), read_request()),
        ("reads", with(&read, "reads", json!([target])), read_request()),
        ("something hidden", with(&read, "hide", json!([{"names": ["x"]}])), read_request()),
        (
            "another group",
            with(&read, "impersonation", json!({"group": "sallyport:write", "subject": "s"})),
            read_request(),
        ),
        ("no impersonation", with(&read, "impersonation", Value::Null), read_request()),
        ("an internal operation", with(&read, "purpose", json!("live-read")), read_request()),
    ];
    for (what, claims, request) in cases {
        let token = side.sign_read(&claims);
        assert_eq!(side.verify(&token, request).unwrap_err(), VerifyError::NeedsSignature, "{what}");
    }
}

#[test]
fn issue_signs_reads_with_obligations_by_the_grant_key() {
    let side = Side::new();
    let terms = Terms { approval: Some(approval()), ..side.terms() };
    let grant = side.issue(&read_request(), Group::Read, "r", terms).unwrap();
    assert!(grant.token().starts_with(GRANT_HEADER));
}

#[test]
fn issue_keeps_its_bounds() {
    let side = Side::new();
    let base = || side.terms();
    let wrong = [
        Terms { ttl: Duration::from_millis(10_001), ..base() },
        Terms { until: Duration::from_secs(24 * 3600 + 1), ..base() },
        Terms { mask: vec![String::new(); 65], ..base() },
        Terms { mask: vec!["x".repeat(32 * 1024)], ..base() },
    ];
    for terms in wrong {
        let error = side.issue(&write_request(), Group::Write, "r", terms).unwrap_err();
        assert!(matches!(error, GrantError::Bound { .. }), "{error:?}");
    }
    let error = side.issue(&write_request(), Group::Approved, "r", base()).unwrap_err();
    assert_eq!(error, GrantError::Unapproved);
    let error = side.issue(&write_request(), Group::Write, "internal/anything", base()).unwrap_err();
    assert_eq!(error, GrantError::UnknownInternal("internal/anything".to_owned()));
}

#[test]
fn the_request_must_be_the_granted_one_in_every_part() {
    let side = Side::new();
    let grant = side.write();
    let shorter = BODY.strip_suffix('}').unwrap();
    for (method, uri, body) in [
        ("PUT", URI, BODY),
        ("POST", "/api/v1/namespaces/ns/secrets?fieldManager=x&fieldValidation=Strict", BODY),
        ("POST", "/api/v1/namespaces/other/configmaps?fieldManager=x&fieldValidation=Strict", BODY),
        ("POST", "/api/v1/namespaces/ns/configmaps?fieldValidation=Strict&fieldManager=x", BODY),
        ("POST", "/api/v1/namespaces/ns/configmaps?fieldManager=x", BODY),
        ("POST", "/api/v1/namespaces/ns/configmaps?dryRun=All&fieldManager=x&fieldValidation=Strict", BODY),
        ("POST", "/api/v1/namespaces/n%73/configmaps?fieldManager=x&fieldValidation=Strict", BODY),
        ("POST", "/api/v1/namespaces/ns//configmaps?fieldManager=x&fieldValidation=Strict", BODY),
        ("POST", URI, shorter),
        ("POST", URI, &format!("{BODY} ")),
        ("POST", URI, ""),
    ] {
        let error = side.verify(grant.token(), request(method, uri, body)).unwrap_err();
        assert_eq!(error, VerifyError::Digest, "{method} {uri} {body}");
    }
    for name in [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT, header::IF_NONE_MATCH] {
        let mut other = write_request();
        other.headers.insert(name.clone(), HeaderValue::from_static("application/yaml"));
        assert_eq!(side.verify(grant.token(), other).unwrap_err(), VerifyError::Digest, "{name}");
        let mut twice = write_request();
        twice.headers.append(name.clone(), HeaderValue::from_static("a"));
        twice.headers.append(name, HeaderValue::from_static("b"));
        assert_eq!(side.verify(grant.token(), twice).unwrap_err(), VerifyError::Unreadable);
    }
    let other_key = Side { digest_key: DigestKey::new([6; 32]), ..Side::new() };
    assert_eq!(other_key.verify(grant.token(), write_request()).unwrap_err(), VerifyError::Digest);
}

/// The control plane is hostile: digest and signature are right, and the claims name something else than what is sent.
#[test]
fn the_claims_must_say_what_the_request_is() {
    let side = Side::new();
    let pods = "/api/v1/namespaces/ns/pods";
    for (sent, error) in [
        (request("POST", "/api/v1/namespaces/ns/secrets", BODY), VerifyError::Info),
        (request("POST", "/api/v1/namespaces/kube-system/configmaps", BODY), VerifyError::Info),
        (request("PUT", "/api/v1/namespaces/ns/configmaps/b", BODY), VerifyError::Info),
        (request("DELETE", "/api/v1/namespaces/ns/configmaps/b", ""), VerifyError::Info),
        (request("GET", pods, ""), VerifyError::Info),
        (request("GET", &format!("{pods}?watch=1"), ""), VerifyError::Info),
        (request("POST", "/api/v1/namespaces/n%73/configmaps", BODY), VerifyError::Unreadable),
        (
            request("POST", "/api/v1/namespaces/ns/configmaps?fieldValidation=Strict&fieldManager=x", BODY),
            VerifyError::Unreadable,
        ),
        (request("POST", "/api/v1/namespaces/ns/../ns/configmaps", BODY), VerifyError::Unreadable),
        (request("POST", "/api/v1/namespaces/ns/configmaps", &format!(" {BODY}")), VerifyError::Unreadable),
        (request("POST", "/api/v1/namespaces/ns/configmaps", "{"), VerifyError::Unreadable),
    ] {
        let mut claims = serde_json::to_value(side.write().claims()).unwrap();
        let wire = WireRequest::arrived(&sent.method, &sent.uri, &sent.headers, sent.body.clone()).unwrap();
        claims = with(&claims, "digest", json!(wire.digest(&side.digest_key)));
        let what = sent.uri.clone();
        assert_eq!(side.verify(&side.sign(&claims), sent).unwrap_err(), error, "{what}");
    }
}

proptest! {
    #[test]
    fn any_flipped_byte_of_the_body_is_noticed(at in 0..BODY.len(), bit in 0..7u8) {
        let side = Side::new();
        let grant = side.write();
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= 1 << bit;
        let changed = Raw { body: body.into(), ..write_request() };
        prop_assert_eq!(side.verify(grant.token(), changed).unwrap_err(), VerifyError::Digest);
    }

    #[test]
    fn any_changed_character_of_the_token_is_noticed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let side = Side::new();
        let grant = side.write();
        let at = at.index(grant.token().len());
        let mut token = grant.token().to_owned();
        token.replace_range(at..=at, &to);
        prop_assume!(token != grant.token());
        let error = side.verify(&token, write_request()).unwrap_err();
        prop_assert!(matches!(error, VerifyError::Form | VerifyError::Header | VerifyError::Signature), "{:?}", error);
    }

    #[test]
    fn any_text_is_refused_without_a_panic(token in "\\PC{0,200}") {
        prop_assert!(Side::new().verify(&token, write_request()).is_err());
    }
}

#[test]
fn subjects_are_hashed() {
    let side = Side::new();
    let subject = side.write().claims().impersonation.clone().unwrap().subject;
    assert_eq!(subject.len(), 43);
    assert!(!subject.contains("runner"));
}
