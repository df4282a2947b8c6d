//! Seals the keys of digests with a key that is not in the database: who has only the database can't guess a body from its digest.
//!
//! AES-256-GCM with a random nonce in front (NIST SP 800-38D §8.2.2); the number of seals stays far below 2^32 per key.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use control_plane_core::digest::DigestKey;

/// The key beside the database, `seal.key`, 32 bytes, mode 0600.
pub struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    /// Reads the key, or makes one where there is none.
    pub(crate) fn load_or_create(path: &Path) -> std::io::Result<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = shared_net::crypto::random::<32>().to_vec();
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                bytes
            }
            Err(error) => return Err(error),
        };
        RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map(Self)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "seal.key is not 32 bytes"))
    }

    /// Nonce and sealed key, as stored.
    pub fn seal(&self, key: &DigestKey) -> Vec<u8> {
        let mut sealed = key.expose().to_vec();
        match self.0.seal_in_place_append_tag(Aad::from(b"digest-key"), &mut sealed) {
            Ok(nonce) => [nonce.as_ref().as_slice(), &sealed].concat(),
            // Sealing 32 bytes can't fail; were it to, an empty seal opens to nothing and the digest can't be checked: closed.
            Err(_) => Vec::new(),
        }
    }

    /// The key again, or `None` if the seal is not ours.
    pub fn open(&self, sealed: &[u8]) -> Option<DigestKey> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = ciphertext.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(b"digest-key"), &mut buffer).ok()?;
        <[u8; 32]>::try_from(&*plain).ok().map(DigestKey::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_its_own_seals() {
        let folder = tempfile::tempdir().unwrap();
        let key = SealingKey::load_or_create(&folder.path().join("a")).unwrap();
        let again = SealingKey::load_or_create(&folder.path().join("a")).unwrap();
        let other = SealingKey::load_or_create(&folder.path().join("b")).unwrap();
        let mut sealed = key.seal(&DigestKey::new([9; 32]));
        assert_eq!(again.open(&sealed).unwrap().expose(), &[9; 32]);
        assert!(other.open(&sealed).is_none());
        sealed[20] ^= 1;
        assert!(again.open(&sealed).is_none());
        assert!(again.open(b"short").is_none());
    }
}
