//! What peers say under our own host, as the fuzzer sees it: each call by its number.

use serde::de::DeserializeOwned;
use shared::{bypass, limits};

use crate::agents::HelloRequest;
use crate::sessions::SessionRequest;

/// The calls, in the order of their numbers.
pub const CALLS: [&str; 3] = ["session", "bypass", "agent"];

/// The first byte of `data` stands for one of [`CALLS`], the rest is its body. Nothing panics. Whether the message is one.
#[doc(hidden)]
pub fn fuzz_control(data: &[u8]) -> bool {
    let Some((call, body)) = data.split_first() else { return false };
    if body.len() > limits::CONTROL_BODY_BYTES {
        return false;
    }
    match usize::from(call.saturating_sub(b'0')) % CALLS.len() {
        0 => is::<SessionRequest>(body),
        1 => is::<bypass::Report>(body),
        _ => is::<HelloRequest>(body),
    }
}

fn is<T: DeserializeOwned>(body: &[u8]) -> bool {
    serde_json::from_slice::<T>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn corpus() -> Vec<(String, Vec<u8>)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/control");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Files named `ok-…` must be taken, or the corpus has rotted and covers nothing.
    #[test]
    fn the_corpus_of_the_fuzzer_passes() {
        let files = corpus();
        assert!(files.len() >= 12, "{} files", files.len());
        for (name, data) in files {
            assert_eq!(fuzz_control(&data), name.starts_with("ok-"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let files = corpus();
            let mut data = choice.get(&files).1.clone();
            for (place, byte) in changes {
                *place.get_mut(&mut data) = byte;
            }
            fuzz_control(&data);
        }
    }
}
