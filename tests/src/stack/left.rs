//! What the processes leave behind: a log each, the database, files. No secret value stands in any of it, in no story.

use std::io::Write;

use super::Stack;
use crate::canary;

/// The logs, by process.
const PROCESSES: [&str; 4] = ["control-plane", "agent", "second-agent", "sidecar"];

impl Stack {
    /// Fails where one of these texts is in a file of the control plane's: the database, its log, whatever there may be.
    #[track_caller]
    pub fn assert_data_without(&self, secrets: &[String]) {
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of ours").map(|entry| entry.expect("an entry")) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let bytes = std::fs::read(entry.path()).expect("a file of ours");
                let text = String::from_utf8_lossy(&bytes);
                let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
                assert!(found.is_none(), "{} holds {found:?}", entry.path().display());
            }
        }
    }

    /// The ends of the logs, through the standard handle, which the test harness shows for a failed test.
    fn show_logs(&self) {
        for process in PROCESSES {
            let text = std::fs::read_to_string(self.log_path(process)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let end = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
            drop(writeln!(std::io::stderr(), "--- the end of {process}.log\n{end}"));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
            return;
        }
        // Whatever they still have to write is written when they are gone.
        drop((self.sidecar.take(), self.agent.take(), self.second_agent.take(), self.control_plane.take()));
        canary::assert_none_in(vec![self.path("")]);
    }
}
