//! Golden files: what people read as code when it changes.
#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

use tests::cluster::root;

/// Compares with the file, or writes it anew where the environment says so.
#[track_caller]
pub(crate) fn compare(file: &str, text: &str) {
    let path = root().join(file);
    #[expect(clippy::disallowed_methods, reason = "how golden files are written anew")]
    let update = std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    if update {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, text, "{file} is not what there is; UPDATE_GOLDEN=1 writes it anew");
}
