//! Reading a JWT (RFC 7519, RFC 8725) under keys and expectations that the caller fixed beforehand.
//!
//! jsonwebtoken does the signature; every claim is checked here, on the raw JSON: a claim of the wrong type is a refusal, not an
//! absence (CVE-2026-25537), and there is no clock but the caller's `now`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use shared::limits;
use shared::time::Timestamp;

/// Clocks of issuers may be this far from ours.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Why a token does not count. Texts never contain the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three base64url parts of bounded length.
    #[error("the token is not a JWT")]
    Malformed,
    /// `alg` is none, symmetric, unknown, or not the one of the key.
    #[error("the token's algorithm {0:?} is not the one of its issuer's key")]
    Algorithm(String),
    /// `jku`, `jwk`, `x5u`, `x5c`, `crit` or `b64` in the header.
    #[error("the token's header carries {0:?}, which is never accepted")]
    Header(&'static str),
    /// No key of the issuer has this id.
    #[error("the token names key {0:?}, which its issuer does not have")]
    UnknownKey(String),
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is absent or of the wrong type.
    #[error("the token's claim {0:?} is missing or has the wrong type")]
    Claim(&'static str),
    /// `iss` is another.
    #[error("the token is from issuer {got:?}; expected {expected:?}")]
    Issuer {
        /// What was expected.
        expected: String,
        /// What it says.
        got: String,
    },
    /// `aud` does not contain ours.
    #[error("the token is for another audience; expected {expected:?}")]
    Audience {
        /// What was expected.
        expected: String,
    },
    /// `exp` has passed.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid before {0}")]
    NotYet(Timestamp),
    /// A claim that the issuer's configuration requires has another value.
    #[error("the token's claim {claim:?} is not what the configuration requires")]
    Required {
        /// Which.
        claim: String,
    },
}

/// The public keys of one issuer.
#[derive(Default)]
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWKS (RFC 7517). Keys of kinds that we don't use are left out; `None` if the text is not a key set.
    pub fn parse(jwks: &[u8]) -> Option<Self> {
        let set: JwkSet = serde_json::from_slice(jwks).ok()?;
        Some(Self(set.keys.iter().filter_map(key).take(limits::JWKS_KEYS).collect()))
    }

    /// Whether there is no usable key in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key with this id is here; a token without id is tried with a lone key only.
    pub fn knows(&self, id: Option<&str>) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// The one algorithm that a key may be used with. Symmetric keys have none.
fn key(jwk: &Jwk) -> Option<Key> {
    let algorithm = match (jwk.common.key_algorithm, &jwk.algorithm) {
        (Some(KeyAlgorithm::RS256) | None, AlgorithmParameters::RSA(_)) => Algorithm::RS256,
        (Some(KeyAlgorithm::RS384), AlgorithmParameters::RSA(_)) => Algorithm::RS384,
        (Some(KeyAlgorithm::RS512), AlgorithmParameters::RSA(_)) => Algorithm::RS512,
        (Some(KeyAlgorithm::PS256), AlgorithmParameters::RSA(_)) => Algorithm::PS256,
        (Some(KeyAlgorithm::ES256) | None, AlgorithmParameters::EllipticCurve(ec))
            if ec.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        (Some(KeyAlgorithm::ES384) | None, AlgorithmParameters::EllipticCurve(ec))
            if ec.curve == EllipticCurve::P384 =>
        {
            Algorithm::ES384
        }
        (Some(KeyAlgorithm::EdDSA) | None, AlgorithmParameters::OctetKeyPair(_)) => Algorithm::EdDSA,
        _ => return None,
    };
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

/// What one endpoint accepts.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, exactly.
    pub issuer: &'a str,
    /// Must be in `aud`.
    pub audience: &'a str,
    /// The caller's clock.
    pub now: Timestamp,
}

/// The `kid` of a token that nobody has verified yet: good for finding the key, and for nothing else.
pub fn unverified_key_id(token: &str) -> Result<Option<String>, TokenError> {
    let header = header(token)?;
    Ok(header.get("kid").and_then(Value::as_str).map(str::to_owned))
}

/// The `iss` of a token that nobody has verified yet: good for finding the issuer's configuration, and for nothing else.
pub fn unverified_issuer(token: &str) -> Result<String, TokenError> {
    let payload = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    let claims = object(payload)?;
    text(&claims, "iss").map(str::to_owned)
}

/// The claims of a token whose signature, issuer, audience and times are right.
pub fn verify(token: &str, keys: &KeySet, expected: Expected<'_>) -> Result<Map<String, Value>, TokenError> {
    let header = header(token)?;
    let id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(TokenError::Malformed),
    };
    let key = keys.find(id).ok_or_else(|| TokenError::UnknownKey(id.unwrap_or("").chars().take(80).collect()))?;
    let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or("");
    if algorithm != format!("{:?}", key.algorithm) {
        return Err(TokenError::Algorithm(algorithm.chars().take(20).collect()));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm) {
        Ok(true) => {}
        Ok(false) | Err(_) => return Err(TokenError::Signature),
    }
    let claims = object(message.split_once('.').ok_or(TokenError::Malformed)?.1)?;
    check(&claims, expected)?;
    Ok(claims)
}

fn header(token: &str) -> Result<Map<String, Value>, TokenError> {
    if token.len() > limits::TOKEN_BYTES || token.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let header = object(token.split('.').next().ok_or(TokenError::Malformed)?)?;
    match ["jku", "jwk", "x5u", "x5c", "crit", "b64"].into_iter().find(|name| header.contains_key(*name)) {
        Some(name) => Err(TokenError::Header(name)),
        None => Ok(header),
    }
}

/// A JSON object without duplicate names, or a refusal: two readers of one token must not read two claims.
fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice::<Unique>(&bytes).map(|unique| unique.0).map_err(|_| TokenError::Malformed)
}

fn check(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), TokenError> {
    let issuer = text(claims, "iss")?;
    if issuer != expected.issuer {
        return Err(TokenError::Issuer {
            expected: expected.issuer.to_owned(),
            got: issuer.chars().take(200).collect(),
        });
    }
    let ours = match claims.get("aud") {
        Some(Value::String(audience)) => audience == expected.audience,
        Some(Value::Array(list)) => {
            let mut texts = list.iter().map(Value::as_str);
            if texts.clone().any(|text| text.is_none()) {
                return Err(TokenError::Claim("aud"));
            }
            texts.any(|text| text == Some(expected.audience))
        }
        _ => return Err(TokenError::Claim("aud")),
    };
    if !ours || expected.audience.is_empty() {
        return Err(TokenError::Audience { expected: expected.audience.to_owned() });
    }
    let expires = numeric_date(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    if expires.after(LEEWAY) <= expected.now {
        return Err(TokenError::Expired(expires));
    }
    for claim in ["nbf", "iat"] {
        if let Some(from) = numeric_date(claims, claim)?
            && from > expected.now.after(LEEWAY)
        {
            return Err(TokenError::NotYet(from));
        }
    }
    text(claims, "sub").map(drop)
}

/// A claim that must be a non-empty string.
pub fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenError> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(TokenError::Claim(name))
}

/// A NumericDate. Whole or fractional seconds from 0 to the year 9999; anything else is a refusal.
pub fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
    const LATEST: u64 = 253_402_300_799;
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(seconds) if seconds <= LATEST => Ok(Some(Timestamp::from_seconds(seconds))),
            _ => Err(TokenError::Claim(name)),
        },
        Some(_) => Err(TokenError::Claim(name)),
    }
}

/// A JSON object at whose top level every name stands once.
struct Unique(Map<String, Value>);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Unique;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object with unique names")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<Unique, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Unique(map))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
