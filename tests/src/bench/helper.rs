//! Processes of the measurement itself: `bench` again in another role, and `kubectl proxy`. They end with the value, and with this
//! process however that ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// A child process that has said where it is.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    said: Vec<String>,
}

impl Helper {
    /// Starts this program in another role, and waits until it says `ready …`.
    ///
    /// # Errors
    /// It does not start, or says something else.
    pub(super) fn role<A: AsRef<OsStr>>(role: &str, arguments: &[A]) -> Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = Command::new(program);
        command.arg(role).args(arguments);
        let helper = Self::start(command).with_context(|| format!("the role {role}"))?;
        if helper.said.first().is_none_or(|word| word != "ready") {
            bail!("the role {role} said {:?}", helper.said);
        }
        Ok(helper)
    }

    /// Starts `kubectl proxy` with a kubeconfig.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn kubectl_proxy(kubectl: &Path, kubeconfig: &Path) -> Result<Self> {
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(kubeconfig).args(["proxy", "--port=0"]);
        command.env_clear().env("HOME", "/nonexistent");
        Self::start(command).context("kubectl proxy")
    }

    fn start(mut command: Command) -> Result<Self> {
        // Its standard input is a pipe whose end a role takes as its own end.
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let said: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let helper = Self { child, said };
        if helper.said.is_empty() {
            bail!("it ended without a word");
        }
        Ok(helper)
    }

    /// The `index`th word from the end of what it said.
    ///
    /// # Errors
    /// It said less.
    pub(super) fn word_from_end(&self, index: usize) -> Result<&str> {
        self.said.iter().rev().nth(index).map(String::as_str).with_context(|| format!("it said only {:?}", self.said))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
