//! Enrolment, as people do it: the real command line makes the token, the real `sallyport install` what is mounted for the agents.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Stack;
use super::process::Process;
use crate::cluster::{Cluster, program};

impl Stack {
    /// A token that `sallyport clusters enrol` makes; its name and options are the arguments.
    pub fn enrolment_token(&self, arguments: &[&str]) -> String {
        let made = self.cli(&[&["clusters", "enrol", "--json"], arguments].concat()).ok();
        let made: Value = serde_json::from_str(&made).expect("it prints JSON");
        made.get("token").and_then(Value::as_str).expect("a token").to_owned()
    }

    /// Where that is mounted.
    pub fn enrolment(&self) -> PathBuf {
        self.path("agent/enrolment")
    }

    /// Puts into the agent's folder what `sallyport install --enrol` prints for it, as the kubelet would. Agents read it when they start.
    pub fn mount_enrolment(&self, token: &str) {
        let facts = Cluster::get().facts();
        let mut command = Command::new(program("sallyport"));
        command.env_clear().env("HOME", self.folder.path()).args([
            "install",
            "--agent-only",
            "--enrol",
            token,
            "--network",
            "none",
            "--control-plane",
        ]);
        command.arg(self.quic().to_string()).arg("--kubectl").arg(&facts.kubectl);
        let output = command.arg("--kubeconfig").arg(&facts.admin_kubeconfig).output().expect("sallyport starts");
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        assert!(!said.contains(token), "a note is read over shoulders: {said}");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&printed).expect("it prints YAML");
        let named = |object: &&Value| object.pointer("/metadata/name") == Some(&Value::from("sallyport-enrolment"));
        let secret = objects.iter().find(named).expect("the Secret is printed");
        for (name, text) in secret.get("data").and_then(Value::as_object).expect("it has data") {
            let bytes = STANDARD.decode(text.as_str().expect("base64")).expect("base64");
            super::write_file(&self.enrolment().join(name), &String::from_utf8_lossy(&bytes));
        }
    }

    /// The keys that the configuration pins for the stack's own cluster.
    pub fn pinned_keys(&self) -> String {
        std::fs::read_to_string(self.path("control-plane/keys.json")).expect("it was written")
    }

    /// Starts an agent with this configuration, waits until it has said something, ends it, and gives all that it said.
    pub fn run_agent_until(&self, name: &str, config: &str, words: &str) -> String {
        // Nothing else listens at the port of a second agent.
        let admin = |at: std::net::SocketAddr| format!("listen: '{at}'");
        let config = config.replace(&admin(self.addresses.agent_admin), &admin(self.addresses.second_agent_admin));
        super::write_file(&self.agent_config(name), &config);
        let (path, log) = (self.agent_config(name), self.log(name));
        let mut process =
            Process::start(&self.log_path(name), |command| command, "sallyport-agent", &[path.as_os_str()]);
        process.await_words(|| log.text().contains(words));
        log.text()
    }

    /// Starts the control plane where it will not start: exit code, and what it says.
    pub fn failed_start(&self) -> (Option<i32>, String) {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "30"]).arg(program("sallyport")).args(["serve", "--config"]);
        let output = command.arg(self.control_plane_config()).env_clear().output().expect("sallyport starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// `sallyport ca`, of the control plane's data folder; what is started from now on pins the key that is there then.
    pub fn change_authority(&mut self, step: &str) -> String {
        let output = Command::new(program("sallyport")).args(["ca", step]).arg(self.data()).output();
        let output = output.expect("sallyport starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.pin = self.read_pin();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
