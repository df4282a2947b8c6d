use base64::engine::general_purpose::STANDARD_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A CertificateSigningRequest with these bytes as its PKCS #10. Real ones are in the agent's tests.
fn object(der: &[u8]) -> Value {
    request(&format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der)))
}

fn request(pem: &str) -> Value {
    json!({"spec": {"request": STANDARD.encode(pem), "signerName": "example.com/x"}})
}

#[test]
fn anything_but_one_plain_block_is_unreadable() {
    let body = STANDARD.encode(b"\x30\x03abc");
    let good = format!("{BEGIN}\n{body}\n{END}\n");
    assert_eq!(check_certificate_request(&request(&good)), Ok(()));
    assert_eq!(check_certificate_request(&request(&good.replace('\n', "\r\n"))), Ok(()));
    for pem in [
        String::new(),
        body.clone(),
        format!("x\n{good}"),
        format!("{good}{good}"),
        format!("{good}x"),
        format!("{BEGIN}\nProc-Type: 4,ENCRYPTED\n\n{body}\n{END}"),
        good.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
        good.replace(&body, STANDARD_NO_PAD.encode(b"\x30\x03abcde").as_str()),
        good.replace(&body, &STANDARD.encode(good.as_bytes())),
    ] {
        assert_eq!(check_certificate_request(&request(&pem)), Err(CertificateRefusal::Unreadable), "{pem}");
    }
    for spec in [json!("x"), json!({"request": 5}), json!({"request": ["x"]}), json!({"request": "%"})] {
        let object = json!({"spec": spec});
        assert_eq!(check_certificate_request(&object), Err(CertificateRefusal::Unreadable), "{object}");
    }
    // A patch of something else.
    for object in [json!({}), json!({"spec": null}), json!({"spec": {}}), json!({"metadata": {"labels": {"a": "b"}}})] {
        assert_eq!(check_certificate_request(&object), Ok(()), "{object}");
    }
}

#[test]
fn a_patch_writes_nothing_below_spec() {
    let operation = |op: &str, path: &str| [json!({"op": op, "path": path, "value": "x", "from": "/a"})];
    for path in ["", "/spec", "/spec/request"] {
        for op in ["add", "replace", "copy", "move"] {
            assert_eq!(
                check_certificate_patch(&operation(op, path)),
                Err(CertificateRefusal::Unreadable),
                "{op} {path}"
            );
        }
        assert_eq!(check_certificate_patch(&operation("test", path)), Ok(()));
    }
    assert_eq!(check_certificate_patch(&operation("add", "/metadata/labels/spec")), Ok(()));
}

#[test]
fn impersonation_in_any_piece_of_a_rule() {
    for (value, gives) in [
        (json!({"rules": [{"verbs": ["get", "impersonate"], "resources": ["users"]}]}), true),
        (json!([{"op": "add", "path": "/rules/0/verbs/-", "value": "impersonate"}]), true),
        (json!({"rules": [{"verbs": ["impersonate:user-info"]}]}), true),
        (json!({"rules": [{"verbs": ["impersonate-on:user-info:get"]}]}), true),
        (json!({"rules": [{"apiGroups": [""], "resources": ["pods", "users"], "verbs": ["get", "*"]}]}), true),
        (json!({"rules": [{"apiGroups": ["*"], "resources": ["groups"], "verbs": ["*"]}]}), true),
        (json!({"rules": [{"resources": ["userextras/scopes"], "verbs": ["*"]}]}), true),
        (json!({"rules": [{"resources": ["users"], "verbs": ["get"]}]}), false),
        (json!({"rules": [{"resources": ["serviceaccounts", "*"], "verbs": ["*"]}]}), false),
        (json!({"rules": [{"verbs": ["*"]}]}), false),
        (json!({"metadata": {"name": "impersonates-nobody"}, "rules": [{"verbs": ["bind", "escalate"]}]}), false),
    ] {
        assert_eq!(gives_impersonation(&value), gives, "{value}");
    }
}

proptest! {
    /// Wherever a reserved name stands, in either form, it is found.
    #[test]
    fn reserved_names_are_found(
        before in prop::collection::vec(any::<u8>(), 0..80),
        after in prop::collection::vec(any::<u8>(), 0..80),
        name in prop::sample::select(vec!["system:masters", "system:nodes", "sallyport:approved", "system:serviceaccount:a:b"]),
        wide in any::<bool>(),
    ) {
        let name: Vec<u8> = if wide { name.bytes().flat_map(|byte| [0, byte]).collect() } else { name.into() };
        let der = [b"\x30".as_slice(), &before, &name, &after].concat();
        prop_assert_eq!(check_certificate_request(&object(&der)), Err(CertificateRefusal::Reserved));
    }
}
