//! Keyed digests. A plain hash of a body with a short secret in it could be guessed, so every digest that is stored or signed
//! is HMAC-SHA-256 (RFC 2104) under a key drawn for that one operation.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::secret::Secret;

/// Key of one operation's digests, 32 random bytes drawn by the caller.
#[derive(Clone, Debug)]
pub struct DigestKey(Secret<[u8; 32]>);

impl DigestKey {
    /// Wraps bytes that the caller drew from the operating system.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, to seal or to send; grep for `expose(`.
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Digest of several parts. Each is preceded by its length, so that no two lists of parts share an input.
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut stream = self.stream();
        for part in parts {
            stream.update(&(part.len() as u64).to_be_bytes());
            stream.update(part);
        }
        stream.finish()
    }

    /// Digest of bytes that come piece by piece; the split into pieces does not matter.
    pub fn stream(&self) -> DigestStream {
        DigestStream(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.expose())))
    }
}

/// A digest under way.
pub struct DigestStream(hmac::Context);

impl DigestStream {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.sign().as_ref());
        Digest(bytes)
    }
}

/// 32 bytes, base64url in text.
#[derive(Clone, Copy, Eq)]
pub struct Digest([u8; 32]);

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl std::hash::Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| DigestError)?;
        bytes.try_into().map(Self).map_err(|_| DigestError)
    }
}

/// The text is not 32 bytes in base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 bytes in base64url without padding")]
pub struct DigestError;

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = DigestKey::new([7; 32]);
        assert_ne!(key.digest(&[b"ab", b"c"]), key.digest(&[b"a", b"bc"]));
        assert_ne!(key.digest(&[b"ab"]), key.digest(&[b"ab", b""]));
        assert_ne!(key.digest(&[b"ab"]), DigestKey::new([8; 32]).digest(&[b"ab"]));
    }

    #[test]
    fn text_round_trip() {
        let digest = DigestKey::new([7; 32]).digest(&[b"x"]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&digest).unwrap()).unwrap(), digest);
        assert_eq!("AAAA".parse::<Digest>(), Err(DigestError));
    }
}
