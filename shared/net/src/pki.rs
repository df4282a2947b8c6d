//! Keys and certificates of our own processes.
//!
//! The control plane has its own certification authority; peers pin that authority's *key*, not a DNS name. A peer identifies itself by a
//! key of its own in a self-signed certificate: the certificate says nothing, the key is the identity.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use shared::secret::Secret;
use shared::time::Timestamp;

use crate::crypto;

mod succession;

/// How long an authority's certificate is valid. The pin is of its key, so the date only satisfies strict clients.
pub const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far before "now" a certificate begins, for peers with slow clocks.
pub const CLOCK_SLACK: Duration = Duration::from_secs(24 * 3600);

/// Why a key or a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The library refused.
    #[error("can't make the certificate")]
    Make(#[from] rcgen::Error),
    /// A date or name that certificates can't hold.
    #[error("{0} can't stand in a certificate")]
    Value(&'static str),
    /// A file could not be read or written.
    #[error("can't use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A change of the authority was broken off.
    #[error("{path} is there: a change of the authority was interrupted; `sallyport ca rotate` completes it")]
    Interrupted {
        /// What was to be put into its place.
        path: PathBuf,
    },
    /// Two authorities at once are enough.
    #[error("the authority before this one is still trusted: `sallyport ca finish` first")]
    Unfinished,
    /// A file does not hold what it must.
    #[error("{path} does not hold {expected}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
}

/// SHA-256 of a public key (its `SubjectPublicKeyInfo` in DER). Text form: `pin-sha256:<base64url>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPin([u8; 32]);

/// A text is not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key pin; expected pin-sha256: and 43 characters of base64url")]
pub struct NotAPin;

impl KeyPin {
    const PREFIX: &'static str = "pin-sha256:";

    /// The pin of a public key in DER.
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(crypto::sha256(spki))
    }

    /// The digest itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyPin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(NotAPin)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotAPin)?;
        bytes.try_into().map(Self).map_err(|_| NotAPin)
    }
}

/// A private key with the certificates that go with it, leaf first.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pin: KeyPin,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key(), pin: self.pin }
    }
}

impl Identity {
    /// A fresh key in a self-signed certificate: how sidecars and agents identify themselves.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn self_signed(now: Timestamp, life: Duration) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = params("sallyport peer", now, life)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.self_signed(&key)?;
        Ok(Self::from_parts(vec![certificate.der().clone()], &key))
    }

    fn from_parts(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self {
            chain,
            pin: KeyPin::of_spki(&key.subject_public_key_info()),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// A copy of the private key, for a TLS configuration.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The certificates in PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// The private key in PEM.
    pub fn key_pem(&self) -> Secret<String> {
        Secret::new(pem("PRIVATE KEY", self.key.secret_der()))
    }

    /// The pin of the leaf's key.
    pub const fn pin(&self) -> KeyPin {
        self.pin
    }
}

/// A certification authority.
pub struct Ca {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    name: String,
    /// Certificates that lead from the authority before to this one; empty where there is none that is still trusted.
    before: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("pin", &self.pin()).finish_non_exhaustive()
    }
}

impl Ca {
    const KEY_FILE: &'static str = "ca.key";
    const CERTIFICATE_FILE: &'static str = "ca.crt";

    /// A new authority with a fresh key.
    ///
    /// # Errors
    /// Only if the crypto library fails.
    pub fn generate(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let certificate = ca_params(name, now)?.self_signed(&key)?;
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Ok(Self { certificate: der, pem, name: name.to_owned(), key, before: Vec::new() })
    }

    /// Reads the authority from `ca.key` and `ca.crt` in `folder`, or makes and writes it when *neither* is there. The key's file is
    /// readable by its owner only.
    ///
    /// # Errors
    /// A file can't be read or written, holds something else, or only one of the two exists: a new key beside old pins would lock every
    /// peer out, so nothing is overwritten.
    pub fn load_or_create(folder: &Path, name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let (key_path, certificate_path) = (folder.join(Self::KEY_FILE), folder.join(Self::CERTIFICATE_FILE));
        if key_path.exists() || certificate_path.exists() || folder.join(succession::NEXT).exists() {
            return Self::load(folder, name);
        }
        let ca = Self::generate(name, now)?;
        std::fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
        // The certificate first: a crash in between leaves no key that was never used.
        write_new(&certificate_path, ca.pem.as_bytes(), 0o644)?;
        write_new(&key_path, ca.key.serialize_pem().as_bytes(), 0o600)?;
        Ok(ca)
    }

    /// Reads the authority from `ca.key` and `ca.crt` in `folder`, and what leads to it from the one before.
    ///
    /// # Errors
    /// A file can't be read, or holds something else.
    pub fn load(folder: &Path, name: &str) -> Result<Self, PkiError> {
        let next = folder.join(succession::NEXT);
        if next.exists() {
            return Err(PkiError::Interrupted { path: next });
        }
        Self::load_files(folder, name)?.after(folder)
    }

    fn load_files(folder: &Path, name: &str) -> Result<Self, PkiError> {
        let (key_path, certificate_path) = (folder.join(Self::KEY_FILE), folder.join(Self::CERTIFICATE_FILE));
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|source| file_error(path, source));
        Self::parse(&read(&key_path)?, &read(&certificate_path)?, name, &key_path, &certificate_path)
    }

    /// The authority of these two texts in PEM.
    ///
    /// # Errors
    /// They hold something else, or don't belong together.
    pub fn from_pem(key: &str, certificate: &str, name: &str) -> Result<Self, PkiError> {
        Self::parse(key, certificate, name, Path::new(Self::KEY_FILE), Path::new(Self::CERTIFICATE_FILE))
    }

    fn parse(
        key: &str,
        certificate: &str,
        name: &str,
        key_path: &Path,
        certificate_path: &Path,
    ) -> Result<Self, PkiError> {
        let content = |path: &Path, expected| PkiError::Content { path: path.to_owned(), expected };
        let key = KeyPair::from_pem(key).map_err(|_| content(key_path, "a private key in PEM"))?;
        let pem = certificate.to_owned();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| content(certificate_path, "a certificate in PEM"))?
            .into_owned();
        let spki = crate::tls::spki(&certificate)
            .ok_or_else(|| content(certificate_path, "a certificate that can be read"))?;
        if spki != key.subject_public_key_info() {
            return Err(content(certificate_path, "the certificate of the key beside it"));
        }
        Ok(Self { key, certificate, pem, name: name.to_owned(), before: Vec::new() })
    }

    /// What peers pin.
    pub fn pin(&self) -> KeyPin {
        KeyPin::of_spki(&self.key.subject_public_key_info())
    }

    /// A secret that follows from the authority's key, another one for each label: the same in every process that has the key.
    pub fn derive(&self, label: &[u8]) -> [u8; 32] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.key.serialized_der());
        let mut secret = [0; 32];
        for (to, from) in secret.iter_mut().zip(aws_lc_rs::hmac::sign(&key, label).as_ref()) {
            *to = *from;
        }
        secret
    }

    /// The authority's certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's private key in PEM.
    pub fn key_pem(&self) -> Secret<String> {
        Secret::new(self.key.serialize_pem())
    }

    /// A server certificate with a fresh key for these names and addresses. The chain contains this authority's certificate, because
    /// peers know only its key.
    ///
    /// # Errors
    /// A name that can't stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[&str],
        addresses: &[IpAddr],
        now: Timestamp,
        life: Duration,
    ) -> Result<Identity, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = params(names.first().copied().unwrap_or("sallyport server"), now, life)?;
        for name in names {
            let name = (*name).try_into().map_err(|_| PkiError::Value("this name"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params, &key)
    }

    fn issue(&self, params: &CertificateParams, key: &KeyPair) -> Result<Identity, PkiError> {
        // The issuer's name and key identifier follow from its name and key alone; the date does not enter.
        let ca = ca_params(&self.name, Timestamp::default())?;
        let certificate = params.signed_by(key, &Issuer::from_params(&ca, &self.key))?;
        let own = [certificate.der().clone(), self.certificate.clone()];
        Ok(Identity::from_parts(own.into_iter().chain(self.before.iter().cloned()).collect(), key))
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn ca_params(name: &str, now: Timestamp) -> Result<CertificateParams, PkiError> {
    let mut params = params(name, now, CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(Timestamp(now.0.saturating_sub(millis(CLOCK_SLACK))))?;
    params.not_after = date(now.after(life))?;
    Ok(params)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn date(at: Timestamp) -> Result<time::OffsetDateTime, PkiError> {
    i64::try_from(at.0 / 1000)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(PkiError::Value("this date"))
}

fn file_error(path: &Path, source: io::Error) -> PkiError {
    PkiError::File { path: path.to_owned(), source }
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|source| file_error(path, source))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|source| file_error(path, source))
}

#[cfg(test)]
mod tests;
