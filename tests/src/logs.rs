//! What our processes log: JSON lines in a file. A warning or an error that a test did not announce fails it, and so
//! does a secret anywhere.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a sidecar or an agent says, as a warning, when UDP was not answered in time.
pub const OVER_TCP: &str = "is not answered, so the link to the control plane is over TCP";

/// The log file of one process.
#[derive(Clone, Debug)]
pub struct LogFile {
    path: PathBuf,
}

impl LogFile {
    /// The log in a file that a process writes, or will write.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All of it.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// The events so far. A line that is not JSON counts as an event without a level: a panic message, for one.
    pub fn events(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into())).collect()
    }

    /// Events of one target: `access` is one per operation.
    pub fn of_target(&self, target: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event.get("target").is_some_and(|t| t == target)).collect()
    }

    /// Fails on a warning, an error or a stray line that contains none of the texts that the test expects. That a link is over TCP is never
    /// unexpected: on a machine that is busy enough UDP loses its race.
    #[track_caller]
    pub fn assert_quiet(&self, expected: &[&str]) {
        let loud =
            |event: &&Value| !matches!(event.get("level").and_then(Value::as_str), Some("INFO" | "DEBUG" | "TRACE"));
        let events = self.events();
        let unexpected: Vec<_> = events
            .iter()
            .filter(loud)
            .map(ToString::to_string)
            .filter(|line| !expected.iter().chain([&OVER_TCP]).any(|text| line.contains(text)))
            .collect();
        assert!(unexpected.is_empty(), "{} has:\n{}", self.path.display(), unexpected.join("\n"));
    }

    /// Fails unless a text stands in it.
    #[track_caller]
    pub fn assert_contains(&self, text: &str) {
        assert!(self.text().contains(text), "{} does not contain {text:?}", self.path.display());
    }

    /// Fails where a secret stands in it.
    #[track_caller]
    pub fn assert_without(&self, secret: &str) {
        assert!(!secret.is_empty(), "an empty secret is in every log");
        assert!(!self.text().contains(secret), "{} contains a secret", self.path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> (tempfile::TempDir, LogFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        (folder, LogFile::new(&path))
    }

    #[test]
    fn an_announced_warning_is_quiet() {
        let (_folder, log) = log("{\"level\":\"INFO\"}\n{\"level\":\"WARN\",\"fields\":{\"message\":\"lost\"}}\n");
        log.assert_quiet(&["lost"]);
    }

    #[test]
    fn a_warning_a_panic_and_a_secret_are_seen() {
        let (_folder, log) = log("{\"level\":\"WARN\"}\nthread 'main' panicked\nhunter2\n");
        for fails in [
            std::panic::catch_unwind(|| log.assert_quiet(&["panicked", "hunter2"])),
            std::panic::catch_unwind(|| log.assert_quiet(&["WARN", "hunter2"])),
            std::panic::catch_unwind(|| log.assert_without("hunter2")),
        ] {
            assert!(fails.is_err());
        }
    }
}
