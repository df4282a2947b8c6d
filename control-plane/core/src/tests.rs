//! The corpora of the fuzzers, for the tests that replay them.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

/// Name and content of each file.
pub(crate) fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// A few bytes, each at a place.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>()), 1..4)
}

/// A file of the corpus with a few bytes changed: a small fuzzer in every test run.
pub(crate) fn changed(target: &str, choice: &Index, changes: &[(Index, u8)]) -> Vec<u8> {
    let files = files(target);
    let mut data = choice.get(&files).1.clone();
    for (place, byte) in changes {
        *place.get_mut(&mut data) = *byte;
    }
    data
}
