//! Attacks on the form of a token (SECURITY.md T3).

use super::*;

#[test]
fn headers_are_what_their_comments_say() {
    for (header, text) in [
        (GRANT_HEADER, r#"{"alg":"EdDSA","typ":"sallyport-grant+jwt"}"#),
        (READ_GRANT_HEADER, r#"{"alg":"HS256","typ":"sallyport-read-grant+jwt"}"#),
    ] {
        assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), text.as_bytes());
    }
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
            assert_eq!(side.verify(&token, write_request()).unwrap_err(), VerifyError::Header, "{header}");
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
    let attacker = Side { signer: signer(77), ..Side::new() };
    let ed = json!({"alg": "EdDSA", "typ": "sallyport-grant+jwt"});
    for (what, token) in [
        ("HMAC under the public key", hmac_token(&hs, &claims, &public)),
        ("HMAC under its PEM", hmac_token(&hs, &claims, pem.as_bytes())),
        ("HMAC under nothing", hmac_token(&hs, &claims, b"")),
        ("another signing key", attacker.sign_text(&claims)),
        ("HMAC as EdDSA", hmac_token(&ed, &claims, &side.read_key)),
        ("no signature", format!("{GRANT_HEADER}.{}.", encode(&claims))),
        ("zero signature", format!("{GRANT_HEADER}.{}.{}", encode(&claims), URL_SAFE_NO_PAD.encode([0; 64]))),
    ] {
        assert_eq!(side.verify(&token, write_request()).unwrap_err(), VerifyError::Signature, "{what}");
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
        format!("{input}.+{signature}"),
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
