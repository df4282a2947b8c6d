//! The administrator's own kubectl: whatever way of signing in it is set up for, is ours too, and we hold no credential.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;
use serde_json::Value;

/// How kubectl is called.
#[derive(Clone, Debug, Default)]
pub struct Kubectl {
    /// The program; `kubectl` where none is named.
    pub program: Option<OsString>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<OsString>,
    /// `--context`.
    pub context: Option<OsString>,
}

/// There is no such program.
#[derive(Debug, thiserror::Error)]
#[error("{0} can't be started")]
pub struct Missing(String);

impl Kubectl {
    /// What it prints.
    ///
    /// # Errors
    /// It can't be started, or fails; its words are told.
    pub fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let said = self.output(arguments, input)?;
        let words = arguments.join(" ");
        if !said.status.success() {
            anyhow::bail!("kubectl {words}: {}", String::from_utf8_lossy(&said.stderr).trim());
        }
        String::from_utf8(said.stdout).with_context(|| format!("kubectl {words} printed no text"))
    }

    /// What it prints as JSON; null where it prints nothing.
    ///
    /// # Errors
    /// As [`Self::run`]; or it is no JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(arguments, "")?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("kubectl {} printed no JSON", arguments.join(" ")))
    }

    /// Everything that it prints as JSON, document after document and lists taken apart; and what it complains of. It may do both.
    ///
    /// # Errors
    /// It can't be started, or what it prints is no JSON.
    pub fn documents(&self, arguments: &[&str], input: &str) -> anyhow::Result<(Vec<Value>, Option<String>)> {
        let said = self.output(arguments, input)?;
        let mut all = Vec::new();
        for document in serde_json::Deserializer::from_slice(&said.stdout).into_iter::<Value>() {
            let document = document.with_context(|| format!("kubectl {} printed no JSON", arguments.join(" ")))?;
            all.extend(super::cluster::items(&document).into_iter().cloned());
        }
        let complaint = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        Ok((all, (!said.status.success()).then_some(complaint)))
    }

    fn output(&self, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
        let program = self.program.clone().unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(&program);
        for (flag, value) in [("--kubeconfig", &self.kubeconfig), ("--context", &self.context)] {
            if let Some(value) = value {
                command.arg(flag).arg(value);
            }
        }
        // An administrator's default may be any namespace; every call names its own.
        command.arg("--request-timeout=30s").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| Missing(program.to_string_lossy().into_owned()))?;
        let stdin = child.stdin.take();
        // From a thread of its own: it may print before it has read everything.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // One that ends early says why by itself.
                    drop(stdin.write_all(input.as_bytes()));
                }
            });
            child.wait_with_output().context("kubectl can't be waited for")
        })
    }
}
