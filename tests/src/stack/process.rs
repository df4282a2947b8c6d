//! One of our processes, ended with the value.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cluster::program;

/// A child process with its log in a file.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program of the tree with nothing in its environment but what `set` puts there; its log is appended to,
    /// so that a second life stands below the first.
    pub(crate) fn start(log: &Path, set: impl FnOnce(Command) -> Command, name: &str, arguments: &[&OsStr]) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let mut command = Command::new(program(name));
        command.args(arguments).env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file has two handles")).stderr(log);
        let child = set(command).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child }
    }

    /// Waits until `ready` says so; panics when the process ends before, or after thirty seconds.
    pub(crate) fn await_ready(&mut self, what: &str, ready: impl Fn() -> bool) {
        for _ in 0..300 {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("{what}: the process has ended: {status}");
            }
            if ready() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} is not ready after thirty seconds");
    }

    /// Waits until the process has said something, whether or not it has ended; panics after thirty seconds.
    pub(crate) fn await_words(&mut self, said: impl Fn() -> bool) {
        for _ in 0..300 {
            if said() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it was not said within thirty seconds");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and waits for its orderly end; panics if it takes longer than half a minute or fails.
    pub(crate) fn stop(mut self) {
        self.ask_to_end();
        for _ in 0..300 {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the process does not end after thirty seconds");
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill starts");
        assert!(sent.success(), "the process was gone already");
    }

    /// Whether it has; panics if it failed.
    pub(crate) fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait().expect("a child can be waited for");
        if let Some(status) = status {
            assert!(status.success(), "it ended with {status}");
        }
        status.is_some()
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
