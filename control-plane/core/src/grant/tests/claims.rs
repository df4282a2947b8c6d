//! Claims that are signed and wrong (SECURITY.md I5, T1, T2, T9).

use super::*;

#[test]
fn validly_signed_and_still_wrong() {
    let side = Side::new();
    let claims = serde_json::to_value(side.write().claims()).unwrap();
    let expired = json!({"approval": Uuid::nil(), "hold": Uuid::nil(), "intent": side.digest_key.digest(&[b"i"]),
        "pin": {"state": "none"}, "expires": 999});
    let signed = |count: usize, text: &str| {
        let vote = json!({"issuer": "i", "subject": "s", "signature": {"algorithm": "Ed25519", "keyId": "k", "signature": text}});
        with(&with(&expired, "expires", json!(2000)), "signatures", json!(vec![vote; count]))
    };
    let cases = [
        ("another cluster", with(&claims, "cluster", json!("b")), VerifyError::Cluster),
        ("another connection", with(&claims, "aud", json!(Epoch::new([4; 32]))), VerifyError::Epoch),
        ("an earlier life", with(&claims, "life", json!(6)), VerifyError::Life),
        ("no time left", with(&claims, "ttl", json!(0)), VerifyError::Expired),
        ("less time than it took", with(&claims, "ttl", json!(1000)), VerifyError::Expired),
        ("too much time", with(&claims, "ttl", json!(10_001)), VerifyError::Bound),
        ("a stream for ever", with(&claims, "until", json!(u64::MAX)), VerifyError::Bound),
        ("no impersonation", with(&claims, "impersonation", Value::Null), VerifyError::Impersonation),
        (
            "a token review that is none",
            with(&with(&claims, "impersonation", Value::Null), "purpose", json!("token-review")),
            VerifyError::Purpose,
        ),
        ("a token review as somebody", with(&claims, "purpose", json!("token-review")), VerifyError::Impersonation),
        ("a live read that writes", with(&claims, "purpose", json!("live-read")), VerifyError::Purpose),
        ("a guard read that writes", with(&claims, "purpose", json!("guard-read")), VerifyError::Purpose),
        ("a preview without dryRun", with(&claims, "purpose", json!("preview")), VerifyError::Purpose),
        (
            "approved by nobody",
            with(&claims, "impersonation", json!({"group": "sallyport:approved", "subject": "s"})),
            VerifyError::Unapproved,
        ),
        (
            "a dry run that is none",
            with(&claims, "impersonation", json!({"group": "sallyport:dry-run", "subject": "s"})),
            VerifyError::NoDryRun,
        ),
        ("approved long ago", with(&claims, "approval", expired.clone()), VerifyError::ApprovalExpired),
        ("signed by too many", with(&claims, "approval", signed(17, "x")), VerifyError::Bound),
        ("signed at length", with(&claims, "approval", signed(1, &"x".repeat(1024))), VerifyError::Bound),
    ];
    for (what, claims, error) in cases {
        assert_eq!(side.verify(&side.sign(&claims), write_request()).unwrap_err(), error, "{what}");
    }
    // Only what stores nothing runs as the group of dry runs: no subresource that acts all the same, and no read.
    for (method, uri, ok) in [
        ("POST", "/api/v1/namespaces/ns/configmaps?dryRun=All", true),
        ("DELETE", "/api/v1/namespaces/ns/pods/p?dryRun=All", true),
        ("POST", "/api/v1/namespaces/ns/configmaps", false),
        ("PUT", "/api/v1/namespaces/ns/configmaps/s?fieldManager=dryRun", false),
        ("POST", "/api/v1/namespaces/ns/serviceaccounts/s/token?dryRun=All", false),
        ("GET", "/api/v1/namespaces/ns/pods/p", false),
    ] {
        let body = if matches!(method, "POST" | "PUT") { r#"{"metadata":{"name":"s"}}"# } else { "" };
        let grant = side.issue(&request(method, uri, body), Group::DryRun, "r", side.terms()).unwrap();
        let got = side.verify(grant.token(), request(method, uri, body));
        assert_eq!(got.err(), (!ok).then_some(VerifyError::NoDryRun), "{method} {uri}");
    }
    // Nobody verifies them: they are there for those who will.
    let approved = json!({"group": "sallyport:approved", "subject": "s"});
    let approved = with(&with(&claims, "impersonation", approved), "approval", signed(16, "x"));
    assert!(side.verify(&side.sign(&approved), write_request()).is_ok());
    let later = with(&claims, "life", json!(8));
    assert!(side.verify(&side.sign(&later), write_request()).is_ok(), "a later life is how lives go on");
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
        assert_eq!(side.verify(&token, write_request()).unwrap_err(), VerifyError::Claims, "{who}");
    }
}

/// T1: a claim of another JSON type is no absent claim, and T2: nothing gives leeway.
#[test]
fn claims_of_the_wrong_type_are_refused() {
    let side = Side::new();
    let claims = serde_json::to_value(side.write().claims()).unwrap();
    for field in ["ttl", "until", "life"] {
        for value in
            ["\"5000\"", "5000.0", "null", "[5000]", "1e400", "-1", "5e3", "{}", "true", "18446744073709551616"]
        {
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
        assert_eq!(got.is_err_and(|error| error == VerifyError::Claims), !optional, "{field} left out");
        let twice = claims.to_string().replacen('{', &format!("{{\"{field}\":{},", claims[field]), 1);
        let got = side.verify(&side.sign_text(&twice), write_request()).unwrap_err();
        assert_eq!(got, VerifyError::Claims, "{field} twice");
    }
    for extra in ["exp", "nbf", "iat", "iss", "sub", "reveal", "user", "groups"] {
        let token = side.sign(&with(&claims, extra, json!(1)));
        assert_eq!(side.verify(&token, write_request()).unwrap_err(), VerifyError::Claims, "{extra}");
    }
    let trailing = format!("{claims}{{}}");
    assert_eq!(side.verify(&side.sign_text(&trailing), write_request()).unwrap_err(), VerifyError::Claims);
}
