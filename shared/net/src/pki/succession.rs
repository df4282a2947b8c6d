//! From one authority to the next, without a moment in which somebody is locked out.
//!
//! The key of the next authority is certified by the one before, and servers show that certificate beside their own (RFC 5280, 3.2): whoever
//! pins the old key finds a way from it to the leaf, whoever pins the new one needs none. So peers may be configured anew one after the
//! other. The old key has nothing more to sign, and is not kept.

use std::fs::File;
use std::path::Path;

use rcgen::Issuer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared::time::Timestamp;

use super::{Ca, PkiError, ca_params, file_error, pem, write_new};

/// The certificates that lead from the authority before to this one: this key's under that one, and that one's own.
const BEFORE_FILE: &str = "ca-before.crt";
/// A folder with all files of the next authority; it is there while they are put into their places.
pub(super) const NEXT: &str = "ca-next";

impl Ca {
    /// The authority that comes after this one, vouched for by this one.
    ///
    /// # Errors
    /// The one before this is still trusted, or the crypto library fails.
    pub fn successor(&self, now: Timestamp) -> Result<Self, PkiError> {
        if !self.before.is_empty() {
            return Err(PkiError::Unfinished);
        }
        let mut next = Self::generate(&self.name, now)?;
        let issuer = ca_params(&self.name, Timestamp::default())?;
        let vouching = ca_params(&self.name, now)?.signed_by(&next.key, &Issuer::from_params(&issuer, &self.key))?;
        next.before = vec![vouching.der().clone(), self.certificate.clone()];
        Ok(next)
    }

    /// The certificates that lead here from the authority before, in PEM.
    pub fn before_pem(&self) -> Option<String> {
        let all = self.before.iter().map(|certificate| pem("CERTIFICATE", certificate));
        (!self.before.is_empty()).then(|| all.collect())
    }

    /// The same authority with what [`Self::before_pem`] gave.
    ///
    /// # Errors
    /// It leads to another one.
    pub fn with_before(mut self, before: &str) -> Result<Self, PkiError> {
        let wrong = || PkiError::Content { path: BEFORE_FILE.into(), expected: "what vouches for the key beside it" };
        let all: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(before.as_bytes()).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let own = crate::tls::spki(&self.certificate);
        if all.len() != 2 || all.first().and_then(crate::tls::spki) != own {
            return Err(wrong());
        }
        self.before = all;
        Ok(self)
    }

    /// The same with the file in this folder, if it is there.
    pub(super) fn after(self, folder: &Path) -> Result<Self, PkiError> {
        let path = folder.join(BEFORE_FILE);
        if !path.exists() {
            return Ok(self);
        }
        self.with_before(&std::fs::read_to_string(&path).map_err(|source| file_error(&path, source))?)
    }

    /// Puts its successor into the place of the authority in a folder. All of it is on disk before anything is moved, and what was broken off
    /// is completed by the next call.
    ///
    /// # Errors
    /// A file can't be read or written, or the authority before is still trusted.
    pub fn rotate(folder: &Path, name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let next = folder.join(NEXT);
        if !next.exists() {
            let ca = Self::load(folder, name)?.successor(now)?;
            let new = folder.join(format!("{NEXT}.new"));
            if new.exists() {
                std::fs::remove_dir_all(&new).map_err(|source| file_error(&new, source))?;
            }
            std::fs::create_dir(&new).map_err(|source| file_error(&new, source))?;
            write_new(&new.join(Self::CERTIFICATE_FILE), ca.pem.as_bytes(), 0o644)?;
            write_new(&new.join(BEFORE_FILE), ca.before_pem().unwrap_or_default().as_bytes(), 0o644)?;
            write_new(&new.join(Self::KEY_FILE), ca.key.serialize_pem().as_bytes(), 0o600)?;
            sync(&new)?;
            std::fs::rename(&new, &next).map_err(|source| file_error(&next, source))?;
            sync(folder)?;
        }
        for file in [BEFORE_FILE, Self::CERTIFICATE_FILE, Self::KEY_FILE] {
            let path = next.join(file);
            if path.exists() {
                std::fs::rename(&path, folder.join(file)).map_err(|source| file_error(&path, source))?;
            }
        }
        sync(folder)?;
        std::fs::remove_dir(&next).map_err(|source| file_error(&next, source))?;
        Self::load(folder, name)
    }

    /// Ends the trust in the authority before. `false`: there was none.
    ///
    /// # Errors
    /// A file can't be read or removed.
    pub fn finish(folder: &Path, name: &str) -> Result<bool, PkiError> {
        let path = folder.join(BEFORE_FILE);
        if Self::load(folder, name)?.before.is_empty() {
            return Ok(false);
        }
        std::fs::remove_file(&path).map_err(|source| file_error(&path, source))?;
        sync(folder)?;
        Ok(true)
    }
}

fn sync(folder: &Path) -> Result<(), PkiError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| file_error(folder, source))
}
