//! What every secret value of the stories begins with, and the search for it in all that a run leaves behind.
//!
//! A value may be written in more ways than one, so the mark is searched in those that the product knows (see SECURITY.md, values in
//! text): as it is, base64 at each of its three offsets, base64 of that, and in hex. Escapes of URLs and JSON leave the mark as it is.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Stands in every secret value of the stories and nowhere else.
pub const MARK: &str = "canary-51f0";

static FORMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let once = in_base64(MARK.as_bytes());
    let twice = once.iter().flat_map(|form| in_base64(form));
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    [MARK.as_bytes().to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()]
        .into_iter()
        .chain(twice)
        .chain(once.iter().cloned())
        .collect()
});

/// The digits that stand for these bytes wherever they are in something longer.
fn in_base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    (0..3)
        .map(|before| {
            let text = STANDARD_NO_PAD.encode([&vec![0; before][..], bytes].concat());
            // The first digits hold bits of what is before, and the last may hold bits of what comes after.
            let (start, end) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
            text.as_bytes().iter().copied().take(end).skip(start).collect()
        })
        .collect()
}

/// The first form of a marked value in these bytes, with some of what stands around it.
pub fn found(bytes: &[u8]) -> Option<String> {
    FORMS.iter().find_map(|form| {
        let at = bytes.windows(form.len()).position(|window| window == form)?;
        let around = bytes.get(at.saturating_sub(200)..bytes.len().min(at + 100)).unwrap_or_default();
        Some(String::from_utf8_lossy(around).into_owned())
    })
}

/// Fails where one of these files, or a file in one of these folders, holds a marked value. What is not there holds none.
#[track_caller]
pub fn assert_none_in(paths: Vec<PathBuf>) {
    let mut left = paths;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(&path).expect("a folder of ours").map(|entry| entry.expect("an entry").path()),
            );
        } else if let Some(around) = found(&read(&path)) {
            panic!("{} holds a secret: {around}", path.display());
        }
    }
}

/// Sockets and files that are gone by now have nothing to read.
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_value_is_found_in_each_of_its_forms() {
        for before in ["", "a", "ab", "abc"] {
            let value = format!("{before}{MARK}-secret");
            let once = STANDARD.encode(&value);
            let hex: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
            for form in [
                value,
                STANDARD.encode(&once),
                STANDARD.encode(format!("x{once}")),
                URL_SAFE_NO_PAD.encode(&once),
                once,
                hex,
            ] {
                assert!(found(format!("before {form} after").as_bytes()).is_some(), "{form}");
            }
        }
        assert_eq!(found(b"a canary, 51f0, Y2FuYXJ5"), None);
    }

    #[test]
    #[should_panic(expected = "holds a secret: x canary-51f0-y")]
    fn a_folder_is_searched_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/c"), format!("x {MARK}-y")).unwrap();
        assert_none_in(vec![folder.path().to_owned()]);
    }
}
