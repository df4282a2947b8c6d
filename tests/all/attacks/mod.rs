//! An attacker at a runner's kubectl who wants one value of one Secret: each carrier, each way back, each oracle, a test each. Policy lets
//! through everything that is tried here, so that masking stands alone. Helm's releases have theirs in `helm.rs`.
//!
//! Whatever is answered, head and body, is searched for the value in all forms (see `tests::canary`).
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod carriers;
mod elsewhere;
mod oracles;
mod sideways;
mod write_back;

use std::fmt;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::canary;
use tests::stack::{Shared, Stack};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The value.
const PASSWORD: &str = "canary-51f0-target";

const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 99, denyAt: 100}
rules:
- name: secrets
  match: {apiGroups: [''], resources: [secrets], verbs: [create, update, patch, delete, deletecollection]}
  effect: allow
  accept: [table/secrets:change, table/secrets:delete, modifier/secret-seen-masked]
";

/// What he is told.
struct Told {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.head, self.text())
    }
}

impl Told {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Went through, and says something.
    #[track_caller]
    fn ok(self) -> Self {
        assert!(self.status == 200 || self.status == 201, "{self:?}");
        self
    }

    /// Refused by us, as an error that clients don't try again and don't get round by force.
    #[track_caller]
    fn refused(self) -> String {
        assert_eq!(self.status, 403, "{self:?}");
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

/// One stack for all that run at the same time.
struct World(Arc<Stack>);

fn world() -> World {
    static SHARED: Shared = Shared::new();
    World(SHARED.get(start))
}

fn start() -> Stack {
    let stack = Stack::with_policy("attacks", Some(POLICY));
    let own = stack.namespace();
    for (name, password) in [("target", PASSWORD), ("same", PASSWORD), ("long", &[PASSWORD, &"x".repeat(500)].concat())]
    {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": &**own},
            "stringData": {"password": password, "again": password}});
        own.cluster().apply(&secret.to_string());
    }
    own.admin(&["create", "role", "secrets", "--verb=*", "--resource=secrets"]);
    own.admin(&[
        "create",
        "rolebinding",
        "secrets",
        "--role=secrets",
        "--group=sallyport:write",
        "--group=sallyport:dry-run",
    ]);
    stack
}

impl World {
    /// The path of his namespace's Secrets and what comes after it.
    fn secrets(&self, rest: &str) -> String {
        self.path(&format!("secrets{rest}"))
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", &**self.0.namespace())
    }

    async fn get(&self, path: &str, accept: &str) -> Told {
        self.call("GET", path, &[&format!("Accept: {accept}")], "").await
    }

    async fn patch(&self, path: &str, kind: &str, body: &Value) -> Told {
        self.call("PATCH", path, &[&format!("Content-Type: application/{kind}")], &body.to_string()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Told {
        self.call("POST", path, &["Content-Type: application/json"], &body.to_string()).await
    }

    /// Any call, byte for byte; the answer has been searched.
    async fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Told {
        let folder = self.0.service_account();
        let token = std::fs::read_to_string(folder.join("token")).unwrap();
        let mut command = Command::new("curl");
        command.args([
            "-s",
            "-i",
            "--http1.1",
            "--path-as-is",
            "--max-time",
            "30",
            "--compressed",
            "-X",
            method,
            "--cacert",
        ]);
        command.arg(folder.join("ca.crt")).args(["-H", &format!("Authorization: Bearer {}", token.trim())]);
        for header in headers {
            command.args(["-H", header]);
        }
        if method == "HEAD" {
            command.arg("--head");
        }
        if !body.is_empty() {
            command.args(["--data-binary", "@-"]);
        }
        command.arg(format!("https://{}{path}", self.0.sidecar()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl starts");
        drop(child.stdin.take().unwrap().write_all(body.as_bytes()).await);
        let output = child.wait_with_output().await.unwrap().stdout;
        let found = canary::found(&output);
        assert!(found.is_none(), "{method} {path}: he has it: {found:?}");
        let end =
            output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {output:?}"));
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Told { status, head, body: output[end + 4..].to_vec() }
    }

    /// The placeholder that he has been shown.
    async fn placeholder(&self) -> String {
        let shown = self.get(&self.secrets("/target"), "application/json").await.ok().json();
        shown["data"]["password"].as_str().unwrap().to_owned()
    }

    /// Nothing was moved or lost.
    fn assert_unchanged(&self) {
        let real = self.0.namespace().admin(&["get", "secret", "target", "-o", "jsonpath={.data.password}"]);
        assert_eq!(real, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PASSWORD));
    }
}
