//! The one crypto provider of the tree, and randomness.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// The provider that every rustls builder must be given (`builder_with_provider`).
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// Makes it the process's default too, for libraries that ask rustls. First thing in every `main`; a second call changes nothing.
pub fn install_default() {
    // An error means that a default is set already, and this function is the only place that sets one.
    drop((*provider()).clone().install_default());
}

/// `N` bytes from the system's generator.
#[expect(clippy::expect_used, reason = "without randomness no key is safe; stopping is the only closed answer")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    bytes
}

/// Whether two byte strings are equal, in a time that depends only on their lengths.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
