//! Entry point for a fuzzer, and for the replay of its corpus as a plain test.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shared::time::Timestamp;

use super::token::{self, Expected, KeySet};
use super::verify::{self, AGENT_AUDIENCE, CiRules, Events, SIDECAR_AUDIENCE};
use crate::grant::{GrantClaims, ReadKey, Signer, VerifyKeys};

const ISSUER: &str = "https://issuer";
/// All tokens of the corpus are good at this moment.
const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// Seed of the one key that signs, in a key set and as the control plane's.
const SEED: [u8; 32] = [7; 32];

/// What was accepted, so that a corpus can't rot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// A key set with a usable key.
    pub keys: bool,
    /// Claims of a runner, an agent, a job or a person.
    pub identity: bool,
    /// Claims of a grant.
    pub grant: bool,
}

/// `data` is a key set, LF, and a token, or the claims of one: they are read too as if a genuine issuer, or the control plane, had signed
/// them, since both may be hostile.
///
/// Nothing panics; no token is accepted under a key set that it brings itself to another's issuer; and a changed character is noticed.
///
/// # Panics
/// If that does not hold: a bug.
#[doc(hidden)]
pub fn fuzz_token(data: &[u8]) -> Accepted {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, rest) = data.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let mut accepted = Accepted::default();
    let theirs = KeySet::parse(first);
    accepted.keys = theirs.as_ref().is_some_and(|keys| !keys.is_empty());
    if let Ok(text) = std::str::from_utf8(rest) {
        // Whatever these say, nobody has signed this text.
        drop((token::unverified_key_id(text), token::unverified_issuer(text)));
        if let Some(keys) = &theirs {
            any_identity(text, keys);
        }
        let (grants, _) = grant_keys();
        assert!(grants.is_some_and(|keys| keys.claims(text).is_none()), "a grant that nobody signed");
    }
    let ours = KeySet::parse(json!({"keys": [jwk()]}).to_string().as_bytes()).unwrap_or_default();
    let token = signed(rest);
    accepted.identity = any_identity(&token, &ours);
    if accepted.identity {
        // The last character of the claims; those after the second dot are the signature.
        let at = token.rfind('.').unwrap_or_default() - 1;
        let other = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
        let mut changed = token.clone();
        changed.replace_range(at..=at, other);
        assert!(!any_identity(&changed, &ours), "a changed token is accepted");
        assert!(!any_identity(&token, &KeySet::default()), "accepted without a key");
    }
    let (keys, signer) = grant_keys();
    if let (Some(keys), Some(signer)) = (keys, signer) {
        let claims = keys.claims(&signer.token(rest));
        assert_eq!(claims.as_deref(), Some(rest), "what was signed is what is read");
        accepted.grant = serde_json::from_slice::<GrantClaims>(rest).is_ok();
    }
    accepted
}

/// Whether anybody would take it for who he waits for.
fn any_identity(token: &str, keys: &KeySet) -> bool {
    let rules = |require, events| CiRules { issuer: ISSUER, audience: "ci", require, person: Some("actor_id"), events };
    let (none, pinned) = (BTreeMap::new(), BTreeMap::from([("repository_id".to_owned(), "1".to_owned())]));
    let expected = Expected { issuer: ISSUER, audience: "people", now: NOW };
    let pod = verify::pod(token, keys, "cluster", ISSUER, NOW);
    let agent = verify::agent(token, keys, ISSUER, "sallyport", "sallyport-agent", NOW);
    let jobs = [Events::Any, Events::Github, Events::Gitlab].map(|events| {
        verify::ci(token, keys, &rules(if events == Events::Any { &none } else { &pinned }, events), NOW)
    });
    let person = verify::approver(token, keys, expected, "groups", Some("person"));
    assert!(!(pod.is_ok() && agent.is_ok()) || both_audiences(token), "one audience opens two doors");
    pod.is_ok() || agent.is_ok() || jobs.iter().any(Result::is_ok) || person.is_ok()
}

fn both_audiences(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap_or_default();
    let audiences = claims.get("aud").and_then(serde_json::Value::as_array);
    audiences.is_some_and(|all| [SIDECAR_AUDIENCE, AGENT_AUDIENCE].iter().all(|one| all.iter().any(|aud| aud == one)))
}

fn pair() -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&SEED).ok()
}

fn jwk() -> serde_json::Value {
    let public = pair().map(|pair| URL_SAFE_NO_PAD.encode(pair.public_key())).unwrap_or_default();
    json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": public})
}

fn signed(claims: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","typ":"JWT","kid":"k"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = pair().map(|pair| URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()))).unwrap_or_default();
    format!("{message}.{signature}")
}

fn grant_keys() -> (Option<VerifyKeys>, Option<Signer>) {
    let pair = pair();
    let der = pair.as_ref().and_then(|pair| pair.to_pkcs8v1().ok());
    let signer = der.and_then(|der| Signer::from_pkcs8(der.as_ref()).ok());
    let keys = signer.as_ref().and_then(|signer| VerifyKeys::new(&signer.public_key(), ReadKey::new(&SEED)).ok());
    (keys, signer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests as corpus;

    /// Files named `ok-…` must be accepted as what their name says, or the corpus has rotted and covers nothing.
    #[test]
    fn the_corpus() {
        let files = corpus::files("token");
        assert!(files.len() >= 15, "{} files", files.len());
        for (name, data) in files {
            let accepted = fuzz_token(&data);
            assert_eq!(accepted.keys, name.contains("keys"), "{name}");
            assert_eq!(accepted.identity, name.contains("ok-identity"), "{name}");
            assert_eq!(accepted.grant, name.contains("ok-grant"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in corpus::changes()) {
            fuzz_token(&corpus::changed("token", &choice, &changes));
        }
    }
}
