//! The one-time token with which a cluster is enrolled at a control plane outside it: made by `sallyport clusters enrol`, put into the
//! cluster by `sallyport install --enrol`, shown by its agents.
//!
//! It names the cluster and the key of the control plane's authority, which agents pin: so whoever answers under the control plane's name
//! with another key, be his certificate as valid as it likes, never sees the secret in it. Who holds the token speaks for the cluster, once.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::secret::Secret;

use crate::crypto;
use crate::pki::KeyPin;

const PREFIX: &str = "sallyport-enrol-1";
/// What is hashed with the secret, so that the hash means nothing elsewhere.
const HASHED: &[u8] = b"sallyport enrolment\0";

/// A token.
#[derive(Clone, Debug)]
pub struct EnrolmentToken {
    name: String,
    pin: KeyPin,
    secret: Secret<[u8; 32]>,
}

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an enrolment token; expected what `sallyport clusters enrol NAME` printed, which begins with sallyport-enrol-1:"
)]
pub struct NotAToken;

impl EnrolmentToken {
    /// A new one for a cluster of this name, at the control plane whose authority has this key.
    pub fn new(name: &str, pin: KeyPin) -> Self {
        Self { name: name.to_owned(), pin, secret: Secret::new(crypto::random()) }
    }

    /// What the control plane calls the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key of the control plane's authority.
    pub const fn pin(&self) -> KeyPin {
        self.pin
    }

    /// The same at a control plane whose authority has got another key meanwhile.
    #[must_use]
    pub fn pinning(self, pin: KeyPin) -> Self {
        Self { pin, ..self }
    }

    /// The secret part, as an agent shows it.
    pub fn secret(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.secret.expose()))
    }

    /// The whole of it, as it is printed once.
    pub fn text(&self) -> Secret<String> {
        let pin = URL_SAFE_NO_PAD.encode(self.pin.bytes());
        Secret::new(format!("{PREFIX}:{}:{pin}:{}", self.name, self.secret().expose()))
    }

    /// What is kept of it where it was made.
    pub fn hash(&self) -> [u8; 32] {
        hash(self.secret.expose())
    }
}

/// The hash of a secret that somebody shows; `None` if it can be of no token.
pub fn hash_of(secret: &str) -> Option<[u8; 32]> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
    Some(hash(&bytes))
}

fn hash(secret: &[u8; 32]) -> [u8; 32] {
    crypto::sha256(&[HASHED, secret].concat())
}

impl FromStr for EnrolmentToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut parts = text.split(':');
        let (prefix, name, pin, secret, None) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAToken);
        };
        let (Some(PREFIX), Some(name), Some(pin), Some(secret)) = (prefix, name, pin, secret) else {
            return Err(NotAToken);
        };
        let pin = format!("pin-sha256:{pin}").parse().map_err(|_| NotAToken)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NotAToken)?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NotAToken);
        }
        Ok(Self { name: name.to_owned(), pin, secret: Secret::new(secret) })
    }
}

/// What shows nothing of the secret.
impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the enrolment token of {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let token = EnrolmentToken::new("eu-west.production", KeyPin::of_spki(b"key"));
        let text = token.text();
        let read: EnrolmentToken = text.expose().parse().unwrap();
        assert_eq!((read.name(), read.pin(), read.hash()), (token.name(), token.pin(), token.hash()));
        assert_eq!(hash_of(token.secret().expose()), Some(token.hash()));
        let moved = token.clone().pinning(KeyPin::of_spki(b"next"));
        assert_eq!((moved.pin(), moved.hash()), (KeyPin::of_spki(b"next"), token.hash()));
        assert_ne!(EnrolmentToken::new("a", token.pin()).hash(), EnrolmentToken::new("a", token.pin()).hash());
        for shown in [format!("{token:?}"), token.to_string()] {
            assert!(!shown.contains(token.secret().expose().as_str()), "{shown}");
        }
    }

    #[test]
    fn anything_else_is_no_token() {
        let text = EnrolmentToken::new("a", KeyPin::of_spki(b"key")).text();
        let text = text.expose();
        let (start, _) = text.rsplit_once(':').unwrap();
        for wrong in [
            "",
            "sallyport-enrol-1",
            start,
            &format!("{text}:"),
            &format!("{text}A"),
            &format!("{start}:AAAA"),
            &format!(" {text}"),
            &text.replacen("-1:a:", "-1::", 1),
            &text.replacen("-1:a:", "-1:a b:", 1),
            &text.replacen("-1:a:", "-2:a:", 1),
        ] {
            assert!(wrong.parse::<EnrolmentToken>().is_err(), "{wrong}");
        }
        for wrong in ["", "AAAA", "not base64", start] {
            assert_eq!(hash_of(wrong), None, "{wrong}");
        }
    }
}
