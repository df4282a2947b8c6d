//! The token form: JWS compact serialisation (RFC 7515 §3.1) with exactly two possible headers.
//!
//! A header is compared as text and never parsed: each `typ` has one algorithm, one key and one legal spelling. So there is no place
//! where `alg: none`, a public key as HMAC secret, `kid`, `jku`, `jwk`, `x5c` or `crit` could be read (SECURITY.md T3).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `{"alg":"EdDSA","typ":"sallyport-grant+jwt"}`
pub(super) const GRANT_HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6InNhbGx5cG9ydC1ncmFudCtqd3QifQ";
/// `{"alg":"HS256","typ":"sallyport-read-grant+jwt"}`
pub(super) const READ_GRANT_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6InNhbGx5cG9ydC1yZWFkLWdyYW50K2p3dCJ9";

/// Which of the two forms a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// EdDSA by the control plane's grant key: any grant.
    Signed,
    /// HS256 under the connection's own key: plain reads without obligations.
    Read,
}

/// A key could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PKCS#8 version 1 or 2 with an Ed25519 key (RFC 8410).
    #[error("not an Ed25519 private key in PKCS#8")]
    Private,
    /// Not 32 bytes on the curve.
    #[error("not an Ed25519 public key of 32 bytes")]
    Public,
}

/// The control plane's grant key (Ed25519), parsed once.
pub struct Signer(Ed25519KeyPair);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(<secret>)")
    }
}

impl Signer {
    /// Reads a private key in PKCS#8 (DER).
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| KeyError::Private)
    }

    /// The public key, 32 bytes (RFC 8032 §5.1.5), which agents learn over their pinned connection.
    pub fn public_key(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Ed25519 public keys are 32 bytes by definition; a shorter one would leave zeros, which verify nothing.
        for (to, from) in bytes.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        bytes
    }

    pub(crate) fn token(&self, claims: &[u8]) -> String {
        let input = signing_input(GRANT_HEADER, claims);
        let signature = self.0.sign(input.as_bytes());
        finish(input, signature.as_ref())
    }
}

/// HMAC key of one connection's read grants: the output of its TLS exporter under `EXPORTER_READ_GRANTS`.
pub struct ReadKey(hmac::Key);

impl std::fmt::Debug for ReadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadKey(<secret>)")
    }
}

impl ReadKey {
    /// Wraps what the exporter gave.
    pub fn new(exported: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, exported))
    }

    pub(super) fn token(&self, claims: &[u8]) -> String {
        let input = signing_input(READ_GRANT_HEADER, claims);
        let tag = hmac::sign(&self.0, input.as_bytes());
        finish(input, tag.as_ref())
    }
}

/// What an agent checks the tokens of one connection with.
#[derive(Debug)]
pub struct VerifyKeys {
    grants: ParsedPublicKey,
    reads: ReadKey,
}

impl VerifyKeys {
    /// The control plane's public grant key, and this connection's own key for read grants.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn new(grants: &[u8; 32], reads: ReadKey) -> Result<Self, KeyError> {
        let grants = ParsedPublicKey::new(&ED25519, grants).map_err(|_| KeyError::Public)?;
        Ok(Self { grants, reads })
    }

    /// The claims' bytes of a token of any form, for the fuzzer.
    pub(crate) fn claims(&self, token: &str) -> Option<Vec<u8>> {
        self.open(token).ok().map(|(_, claims)| claims)
    }

    /// The claims' bytes and the token's form, if header and signature are right.
    pub(super) fn open(&self, token: &str) -> Result<(Form, Vec<u8>), TokenError> {
        let (input, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = input.split_once('.').ok_or(TokenError::Form)?;
        let form = match header {
            GRANT_HEADER => Form::Signed,
            READ_GRANT_HEADER => Form::Read,
            _ => return Err(TokenError::Header),
        };
        // The engine refuses padding, foreign characters and non-zero trailing bits, so each signature has one spelling.
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Form)?;
        let genuine = match form {
            Form::Signed => self.grants.verify_sig(input.as_bytes(), &signature).is_ok(),
            Form::Read => {
                let tag = hmac::sign(&self.reads.0, input.as_bytes());
                constant_time::verify_slices_are_equal(tag.as_ref(), &signature).is_ok()
            }
        };
        if !genuine {
            return Err(TokenError::Signature);
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Form)?;
        Ok((form, claims))
    }
}

/// Why a token is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    Form,
    Header,
    Signature,
}

fn signing_input(header: &str, claims: &[u8]) -> String {
    // Room for the signature too: 4/3 of the claims, header, two dots, 86 characters.
    let mut input = String::with_capacity(header.len() + claims.len() / 3 * 4 + 96);
    input.push_str(header);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut input);
    input
}

fn finish(mut input: String, signature: &[u8]) -> String {
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut input);
    input
}
