//! One control plane and one agent's connection, as numbers.

use std::collections::BTreeSet;

use super::*;

pub(super) const URI: &str = "/api/v1/namespaces/ns/configmaps?fieldManager=x&fieldValidation=Strict";
pub(super) const BODY: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}"#;

/// Keys and facts that both sides of one connection know.
pub(super) struct Side {
    pub(super) signer: Signer,
    pub(super) raw: Ed25519KeyPair,
    pub(super) read_key: [u8; 32],
    pub(super) epoch: Epoch,
    pub(super) digest_key: DigestKey,
}

fn key_pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(super) fn signer(seed: u8) -> Signer {
    Signer::from_pkcs8(key_pair(seed).to_pkcs8().unwrap().as_ref()).unwrap()
}

impl Side {
    pub(super) fn new() -> Self {
        let signer = signer(1);
        let raw = key_pair(1);
        assert_eq!(signer.public_key(), raw.public_key().as_ref());
        Self { signer, raw, read_key: [2; 32], epoch: Epoch::new([3; 32]), digest_key: DigestKey::new([5; 32]) }
    }

    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new(Life(7));
        ledger.open_epoch(self.epoch).unwrap();
        ledger
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            jti: GrantId::new(Uuid::from_u128(1)),
            epoch: self.epoch,
            life: Life(7),
            ttl: Duration::from_secs(5),
            until: Duration::from_secs(60),
            digest_key: &self.digest_key,
            mask: Vec::new(),
            reads: Vec::new(),
            approval: None,
        }
    }

    pub(super) fn issue(&self, request: &Raw, group: Group, rule: &str, terms: Terms<'_>) -> Result<Grant, GrantError> {
        let key = ReadKey::new(&self.read_key);
        issue(allowed(request, group, rule), terms, &self.signer, Some(&key))
    }

    pub(super) fn write(&self) -> Grant {
        let request = write_request();
        self.issue(&request, Group::Write, "default/write", self.terms()).unwrap()
    }

    pub(super) fn read(&self) -> Grant {
        let request = read_request();
        self.issue(&request, Group::Read, "default/read", self.terms()).unwrap()
    }

    /// The agent's side: the keys of the true control plane, whoever `self` is.
    fn keys(&self) -> VerifyKeys {
        VerifyKeys::new(&Self::new().signer.public_key(), ReadKey::new(&self.read_key)).unwrap()
    }

    pub(super) fn verify(&self, token: &str, request: Raw) -> Result<MatchedGrant, VerifyError> {
        verify(
            token,
            &self.keys(),
            Arrived {
                method: &request.method,
                uri: &request.uri,
                headers: &request.headers,
                body: request.body,
                digest_key: &self.digest_key,
                epoch: self.epoch,
                cluster: "a",
                life: Life(7),
                waited: Duration::from_secs(1),
                now: Timestamp(1000),
            },
        )
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_text(&claims.to_string())
    }

    pub(super) fn sign_text(&self, claims: &str) -> String {
        self.signer.token(claims.as_bytes())
    }

    pub(super) fn sign_read(&self, claims: &Value) -> String {
        ReadKey::new(&self.read_key).token(claims.to_string().as_bytes())
    }

    pub(super) fn sign_with_header(&self, header: &Value, claims: &str) -> String {
        let input = format!("{}.{}", encode(&header.to_string()), encode(claims));
        let signature = self.raw.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub(super) fn hmac_token(header: &Value, claims: &str, key: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let input = format!("{}.{}", encode(&header.to_string()), encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

pub(super) fn with(claims: &Value, field: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().insert(field.to_owned(), value);
    claims
}

/// The claims as text with a number replaced by something that `Value` could not hold.
pub(super) fn replace_number(claims: &Value, field: &str, by: &str) -> String {
    with(claims, field, json!("\u{1}")).to_string().replace("\"\\u0001\"", by)
}

pub(super) fn approval() -> ApprovalClaim {
    ApprovalClaim {
        approval: ApprovalId::new(Uuid::from_u128(11)),
        hold: HoldId::new(Uuid::from_u128(12)),
        intent: DigestKey::new([5; 32]).digest(&[b"intent"]),
        pin: VersionPin::None,
        expires: Timestamp(2000),
        signatures: Vec::new(),
    }
}

pub(super) fn write_request() -> Raw {
    request("POST", URI, BODY)
}

pub(super) fn read_request() -> Raw {
    request("GET", "/api/v1/namespaces/ns/pods/p", "")
}

pub(super) fn request(method: &str, uri: &str, body: &str) -> Raw {
    let mut headers = http::HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Raw {
        method: method.parse().unwrap(),
        uri: uri.parse().unwrap(),
        headers,
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A request as it stands on the wire.
pub(super) struct Raw {
    pub(super) method: http::Method,
    pub(super) uri: http::Uri,
    pub(super) headers: http::HeaderMap,
    pub(super) body: bytes::Bytes,
}

fn allowed(request: &Raw, group: Group, rule: &str) -> Allowed {
    let identity = Identity {
        pod: PodIdentity {
            cluster: "a".to_owned(),
            namespace: "ci".to_owned(),
            service_account: "runner".to_owned(),
            pod: "runner-1".to_owned(),
            pod_uid: "u".to_owned(),
        },
        ci: None,
        expires: Timestamp(u64::MAX),
    };
    let body = request.body.clone();
    let parsed = Request::parse(&request.method, &request.uri, &request.headers, body).unwrap();
    let operation = OperationId::new(Uuid::from_u128(2));
    let session = SessionId::new(Uuid::from_u128(3));
    let attributes = Attributes::new(identity, operation, session, parsed);
    let explanation = Explanation {
        rule: rule.to_owned(),
        effect: Effect::Allow,
        risk: 0,
        hold_at: 40,
        deny_at: 90,
        contributions: Vec::new(),
        notes: Vec::new(),
    };
    let verdict = Verdict {
        explanation,
        group,
        terms: None,
        mask: Vec::new(),
        hide: Vec::new(),
        reveal: BTreeSet::new(),
        cost: 0,
    };
    let Decision::Allow(allowed) = attributes.decide(verdict) else {
        panic!("not allowed");
    };
    allowed
}
