//! Validly made grants that are right, and validly made grants that are wrong: the control plane may be hostile.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
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
use crate::request::WireRequest;
use crate::version_pin::VersionPin;

mod support;
use support::*;

#[test]
fn headers_are_what_their_comments_say() {
    for (header, text) in [
        (GRANT_HEADER, r#"{"alg":"EdDSA","typ":"sallyport-grant+jwt"}"#),
        (READ_GRANT_HEADER, r#"{"alg":"HS256","typ":"sallyport-read-grant+jwt"}"#),
    ] {
        assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), text.as_bytes());
    }
}

#[test]
fn a_grant_gives_the_right_to_its_own_request() {
    let side = Side::new();
    let grant = side.write();
    assert!(grant.token().starts_with(GRANT_HEADER));
    let matched = side.verify(grant.token(), write_request()).unwrap();
    let verified = matched.spend(|_, _| Ok::<_, ()>(())).unwrap();
    assert_eq!(verified.claims(), grant.claims());
    assert!(verified.in_time(Duration::from_secs(4)));
    assert!(
        !verified.in_time(Duration::from_secs(5)),
        "the time runs on until the send"
    );
}

#[test]
fn a_spent_grant_becomes_nothing() {
    let side = Side::new();
    let matched = side.verify(side.write().token(), write_request()).unwrap();
    assert_eq!(matched.spend(|_, _| Err("spent")).unwrap_err(), "spent");
}

#[test]
fn plain_reads_may_use_the_connections_own_key() {
    let side = Side::new();
    let grant = side.read();
    assert!(grant.token().starts_with(READ_GRANT_HEADER));
    side.verify(grant.token(), read_request()).unwrap();
    let other = Side {
        read_key: [9; 32],
        ..Side::new()
    };
    assert_eq!(
        other.verify(grant.token(), read_request()).unwrap_err(),
        VerifyError::Signature
    );
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
        (
            "another group",
            with(
                &read,
                "impersonation",
                json!({"group": "sallyport:write", "subject": "s"}),
            ),
            read_request(),
        ),
        (
            "no impersonation",
            with(&read, "impersonation", Value::Null),
            read_request(),
        ),
        (
            "an internal operation",
            with(&read, "purpose", json!("live-read")),
            read_request(),
        ),
    ];
    for (what, claims, request) in cases {
        let token = side.sign_read(&claims);
        assert_eq!(
            side.verify(&token, request).unwrap_err(),
            VerifyError::NeedsSignature,
            "{what}"
        );
    }
}

#[test]
fn issue_signs_reads_with_obligations_by_the_grant_key() {
    let side = Side::new();
    let terms = Terms {
        approval: Some(approval()),
        ..side.terms(&read_request())
    };
    let grant = side.issue(&read_request(), Group::Read, "r", terms).unwrap();
    assert!(grant.token().starts_with(GRANT_HEADER));
}

#[test]
fn issue_keeps_its_bounds() {
    let side = Side::new();
    let base = || side.terms(&write_request());
    let wrong = [
        Terms {
            ttl: Duration::from_millis(10_001),
            ..base()
        },
        Terms {
            until: Duration::from_secs(24 * 3600 + 1),
            ..base()
        },
        Terms {
            mask: vec![String::new(); 65],
            ..base()
        },
        Terms {
            mask: vec!["x".repeat(32 * 1024)],
            ..base()
        },
    ];
    for terms in wrong {
        let error = side.issue(&write_request(), Group::Write, "r", terms).unwrap_err();
        assert!(matches!(error, GrantError::Bound { .. }), "{error:?}");
    }
    let error = side.issue(&write_request(), Group::Approved, "r", base()).unwrap_err();
    assert_eq!(error, GrantError::Unapproved);
    let error = side
        .issue(&write_request(), Group::Write, "internal/anything", base())
        .unwrap_err();
    assert_eq!(error, GrantError::UnknownInternal("internal/anything".to_owned()));
}

#[test]
fn the_request_must_be_the_granted_one_in_every_part() {
    let side = Side::new();
    let grant = side.write();
    let refused = |request: WireRequest| side.verify(grant.token(), request).unwrap_err();
    assert_eq!(
        refused(request("POST", "/api/v1/namespaces/ns/secrets", BODY)),
        VerifyError::Info
    );
    assert_eq!(
        refused(request("POST", "/api/v1/namespaces/other/configmaps?b=1&a=2", BODY)),
        VerifyError::Info
    );
    assert_eq!(
        refused(request("PUT", "/api/v1/namespaces/ns/configmaps?b=1&a=2", BODY)),
        VerifyError::Info
    );
    // The same reading, other bytes: the order of the query, a query less, a body grown, shrunk and changed.
    for (uri, body) in [
        ("/api/v1/namespaces/ns/configmaps?a=2&b=1", BODY),
        ("/api/v1/namespaces/ns/configmaps?b=1", BODY),
        ("/api/v1/namespaces/ns/configmaps?b=1&a=2&dryRun=All", BODY),
        ("/api/v1/namespaces/ns/configmaps?b=1&a=2", &BODY[..BODY.len() - 1]),
        (
            "/api/v1/namespaces/ns/configmaps?b=1&a=2",
            r#"{"metadata":{"name":"b"}} "#,
        ),
        ("/api/v1/namespaces/ns/configmaps?b=1&a=2", ""),
    ] {
        assert_eq!(refused(request("POST", uri, body)), VerifyError::Digest, "{uri} {body}");
    }
    let unreadable = request("BREW", "/api/v1/namespaces/ns/configmaps?b=1&a=2", BODY);
    assert_eq!(refused(unreadable), VerifyError::Unreadable);
}

proptest! {
    #[test]
    fn any_flipped_byte_of_the_body_is_noticed(at in 0..BODY.len(), bit in 0..7u8) {
        let side = Side::new();
        let grant = side.write();
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= 1 << bit;
        let changed = WireRequest { body: body.into(), ..write_request() };
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
fn validly_signed_and_still_wrong() {
    let side = Side::new();
    let claims = serde_json::to_value(side.write().claims()).unwrap();
    let expired = json!({"approval": Uuid::nil(), "hold": Uuid::nil(), "intent": side.digest(&write_request()),
        "pin": {"state": "none"}, "expires": 999});
    let cases = [
        (
            "another cluster",
            with(&claims, "cluster", json!("b")),
            VerifyError::Cluster,
        ),
        (
            "another connection",
            with(&claims, "aud", json!(Epoch::new([4; 32]))),
            VerifyError::Epoch,
        ),
        ("an earlier life", with(&claims, "life", json!(6)), VerifyError::Life),
        ("no time left", with(&claims, "ttl", json!(0)), VerifyError::Expired),
        (
            "less time than it took",
            with(&claims, "ttl", json!(1000)),
            VerifyError::Expired,
        ),
        ("too much time", with(&claims, "ttl", json!(10_001)), VerifyError::Bound),
        (
            "a stream for ever",
            with(&claims, "until", json!(u64::MAX)),
            VerifyError::Bound,
        ),
        (
            "no impersonation",
            with(&claims, "impersonation", Value::Null),
            VerifyError::Impersonation,
        ),
        (
            "a token review that is none",
            with(
                &with(&claims, "impersonation", Value::Null),
                "purpose",
                json!("token-review"),
            ),
            VerifyError::Purpose,
        ),
        (
            "a token review as somebody",
            with(&claims, "purpose", json!("token-review")),
            VerifyError::Impersonation,
        ),
        (
            "a live read that writes",
            with(&claims, "purpose", json!("live-read")),
            VerifyError::Purpose,
        ),
        (
            "a guard read that writes",
            with(&claims, "purpose", json!("guard-read")),
            VerifyError::Purpose,
        ),
        (
            "a preview without dryRun",
            with(&claims, "purpose", json!("preview")),
            VerifyError::Purpose,
        ),
        (
            "approved by nobody",
            with(
                &claims,
                "impersonation",
                json!({"group": "sallyport:approved", "subject": "s"}),
            ),
            VerifyError::Unapproved,
        ),
        (
            "approved long ago",
            with(&claims, "approval", expired),
            VerifyError::ApprovalExpired,
        ),
    ];
    for (what, claims, error) in cases {
        assert_eq!(
            side.verify(&side.sign(&claims), write_request()).unwrap_err(),
            error,
            "{what}"
        );
    }
    let later = with(&claims, "life", json!(8));
    assert!(
        side.verify(&side.sign(&later), write_request()).is_ok(),
        "a later life is how lives go on"
    );
}

/// I5: no spelling of the claims can name a group or user of the cluster's own.
#[test]
fn names_of_the_cluster_cannot_be_claimed() {
    let side = Side::new();
    let claims = serde_json::to_value(side.write().claims()).unwrap();
    for who in [
        json!({"group": "system:masters", "subject": "s"}),
        json!({"group": "system:nodes", "subject": "s"}),
        json!({"group": "", "subject": "s"}),
        json!({"group": ["sallyport:write", "system:masters"], "subject": "s"}),
        json!({"group": "sallyport:write", "subject": "s", "user": "system:admin"}),
        json!({"group": "sallyport:write", "subject": "s", "groups": ["system:masters"]}),
        json!({"group": "sallyport:write"}),
    ] {
        let token = side.sign(&with(&claims, "impersonation", who.clone()));
        assert_eq!(
            side.verify(&token, write_request()).unwrap_err(),
            VerifyError::Claims,
            "{who}"
        );
    }
}

/// T1: a claim of another JSON type is no absent claim, and T2: nothing gives leeway.
#[test]
fn claims_of_the_wrong_type_are_refused() {
    let side = Side::new();
    let claims = serde_json::to_value(side.write().claims()).unwrap();
    for field in ["ttl", "until", "life"] {
        for value in [
            "\"5000\"",
            "5000.0",
            "null",
            "[5000]",
            "1e400",
            "-1",
            "5e3",
            "{}",
            "true",
            "18446744073709551616",
        ] {
            let text = replace_number(&claims, field, value);
            let error = side.verify(&side.sign_text(&text), write_request()).unwrap_err();
            assert_eq!(error, VerifyError::Claims, "{field} {value}");
        }
    }
    for field in claims.as_object().unwrap().keys() {
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(field);
        // serde reads an absent Option as None; then the claim is refused for what it means, or means the same.
        let optional = ["impersonation", "approval"].contains(&field.as_str());
        let got = side.verify(&side.sign(&less), write_request());
        assert_eq!(
            got.is_err_and(|error| error == VerifyError::Claims),
            !optional,
            "{field} left out"
        );
        let twice = claims
            .to_string()
            .replacen('{', &format!("{{\"{field}\":{},", claims[field]), 1);
        let got = side.verify(&side.sign_text(&twice), write_request()).unwrap_err();
        assert_eq!(got, VerifyError::Claims, "{field} twice");
    }
    for extra in ["exp", "nbf", "iat", "iss", "sub", "reveal", "user", "groups"] {
        let token = side.sign(&with(&claims, extra, json!(1)));
        assert_eq!(
            side.verify(&token, write_request()).unwrap_err(),
            VerifyError::Claims,
            "{extra}"
        );
    }
    let trailing = format!("{claims}{{}}");
    assert_eq!(
        side.verify(&side.sign_text(&trailing), write_request()).unwrap_err(),
        VerifyError::Claims
    );
}

/// T3: whatever a header says that is not one of the two, it is refused before any key is touched.
#[test]
fn no_header_changes_algorithm_or_key() {
    let side = Side::new();
    let claims = serde_json::to_string(side.write().claims()).unwrap();
    let public = side.signer.public_key();
    let typ = "sallyport-grant+jwt";
    let headers = [
        json!({"alg": "none", "typ": typ}),
        json!({"alg": "None", "typ": typ}),
        json!({"alg": "NONE", "typ": typ}),
        json!({"alg": "", "typ": typ}),
        json!({"typ": typ}),
        json!({"alg": "EdDSA"}),
        json!({"alg": "EdDSA", "typ": "JWT"}),
        json!({"alg": "EdDSA", "typ": "SALLYPORT-GRANT+JWT"}),
        json!({"alg": "EdDSA", "typ": "application/sallyport-grant+jwt"}),
        json!({"alg": "EdDSA", "typ": "sallyport-read-grant+jwt"}),
        json!({"alg": "Ed25519", "typ": typ}),
        json!({"alg": "ES256", "typ": typ}),
        json!({"alg": "RS256", "typ": typ}),
        json!({"alg": "PS256", "typ": typ}),
        json!({"alg": "HS256", "typ": typ}),
        json!({"alg": "HS512", "typ": "sallyport-read-grant+jwt"}),
        json!({"alg": ["EdDSA"], "typ": typ}),
        json!({"alg": "EdDSA", "typ": typ, "kid": "../../etc/passwd"}),
        json!({"alg": "EdDSA", "typ": typ, "kid": "' OR 1=1 --"}),
        json!({"alg": "EdDSA", "typ": typ, "jku": "https://attacker.example/keys"}),
        json!({"alg": "EdDSA", "typ": typ, "x5u": "https://attacker.example/cert"}),
        json!({"alg": "EdDSA", "typ": typ, "x5c": ["AAAA"]}),
        json!({"alg": "EdDSA", "typ": typ, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(public)}}),
        json!({"alg": "EdDSA", "typ": typ, "crit": ["exp"]}),
        json!({"alg": "EdDSA", "typ": typ, "b64": false, "crit": ["b64"]}),
        json!({"alg": "EdDSA", "typ": typ, "zip": "DEF"}),
        json!({"typ": typ, "alg": "EdDSA", "cty": "JWT"}),
    ];
    for header in headers {
        // Signed by the true key, and by HMAC under the public key and under the connection's own key.
        for token in [
            side.sign_with_header(&header, &claims),
            hmac_token(&header, &claims, &public),
            hmac_token(&header, &claims, &side.read_key),
            format!("{}.{}.", encode(&header.to_string()), encode(&claims)),
        ] {
            assert_eq!(
                side.verify(&token, write_request()).unwrap_err(),
                VerifyError::Header,
                "{header}"
            );
        }
    }
}

#[test]
fn right_headers_with_wrong_keys() {
    let side = Side::new();
    let claims = serde_json::to_string(side.write().claims()).unwrap();
    let public = side.signer.public_key();
    let hs = json!({"alg": "HS256", "typ": "sallyport-read-grant+jwt"});
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    pem.push_str(&STANDARD.encode(public));
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    let attacker = Side {
        signer: signer(77),
        ..Side::new()
    };
    let ed = json!({"alg": "EdDSA", "typ": "sallyport-grant+jwt"});
    for (what, token) in [
        ("HMAC under the public key", hmac_token(&hs, &claims, &public)),
        ("HMAC under its PEM", hmac_token(&hs, &claims, pem.as_bytes())),
        ("HMAC under nothing", hmac_token(&hs, &claims, b"")),
        ("another signing key", attacker.sign_text(&claims)),
        ("HMAC as EdDSA", hmac_token(&ed, &claims, &side.read_key)),
        ("no signature", format!("{GRANT_HEADER}.{}.", encode(&claims))),
        (
            "zero signature",
            format!("{GRANT_HEADER}.{}.{}", encode(&claims), URL_SAFE_NO_PAD.encode([0; 64])),
        ),
    ] {
        assert_eq!(
            side.verify(&token, write_request()).unwrap_err(),
            VerifyError::Signature,
            "{what}"
        );
    }
}

#[test]
fn malformed_tokens() {
    let side = Side::new();
    let token = side.write().token().to_owned();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let too_long = format!("{token}{}", "A".repeat(32 * 1024));
    assert_eq!(side.verify(&too_long, write_request()).unwrap_err(), VerifyError::TooLong);
    for wrong in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        input.to_owned(),
        format!("{token}."),
        format!("{token}=="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{input}.{}+", &signature[..signature.len() - 1]),
    ] {
        let error = side.verify(&wrong, write_request()).unwrap_err();
        assert!(
            matches!(error, VerifyError::Form | VerifyError::Header | VerifyError::Signature),
            "{wrong}: {error:?}"
        );
    }
}

/// Our tokens are ordinary JWTs: a general library reads them with the same key.
#[test]
fn another_library_agrees() {
    let side = Side::new();
    let token = side.write().token().to_owned();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.set_audience(&[side.epoch.to_string()]);
    let key = jsonwebtoken::DecodingKey::from_ed_der(&side.signer.public_key());
    let data = jsonwebtoken::decode::<GrantClaims>(&token, &key, &validation).unwrap();
    assert_eq!(data.header.typ.as_deref(), Some("sallyport-grant+jwt"));
    assert_eq!(data.claims.cluster, "a");
}

#[test]
fn the_lease_of_an_approval_is_a_name_of_its_own() {
    let name = approval().lease_name();
    assert_eq!(name, approval().lease_name());
    assert!(
        name.len() <= 63
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "{name}"
    );
    let other = ApprovalClaim {
        approval: ApprovalId::new(Uuid::from_u128(12)),
        ..approval()
    };
    assert_ne!(name, other.lease_name());
}

#[test]
fn subjects_are_hashed() {
    let side = Side::new();
    let subject = side.write().claims().impersonation.clone().unwrap().subject;
    assert_eq!(subject.len(), 43);
    assert!(!subject.contains("runner"));
}
