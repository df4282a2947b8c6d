//! The API server's audit log: the referee of what was really sent.
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// One line of the log.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// The id that the answer carries as `Audit-ID`.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// `RequestReceived`, `ResponseStarted`, `ResponseComplete` or `Panic`.
    pub stage: String,
    /// The RBAC verb, or the HTTP method in lower case of a non-resource request.
    #[serde(default)]
    pub verb: String,
    /// Path and query as the server read them.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who authenticated.
    #[serde(default)]
    pub user: User,
    /// Whom that one impersonated.
    pub impersonated_user: Option<ImpersonatedUser>,
    /// The object; absent of a non-resource request.
    pub object_ref: Option<ObjectRef>,
    /// The answer; absent before it.
    pub response_status: Option<ResponseStatus>,
    /// Client that asked.
    #[serde(default)]
    pub user_agent: String,
}

/// An authenticated user.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct User {
    /// Its name.
    #[serde(default)]
    pub username: String,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The user whose rights counted.
#[derive(Clone, Debug, Deserialize)]
pub struct ImpersonatedUser {
    /// Its name.
    #[serde(default)]
    pub username: String,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Its extras.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The server's reading of a request for a resource.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    pub api_group: String,
    /// Version.
    pub api_version: String,
    /// Resource, plural.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
}

/// The part of the answer's `Status` that we read.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseStatus {
    /// HTTP code.
    #[serde(default)]
    pub code: u16,
}

impl AuditEvent {
    /// Whether the agent sent it for a runner.
    pub fn is_runner(&self) -> bool {
        self.impersonated_user.as_ref().is_some_and(|user| user.username == "sallyport:runner")
    }

    /// Whether it is the last word on its request.
    pub fn is_complete(&self) -> bool {
        self.stage == "ResponseComplete" || self.stage == "Panic"
    }

    /// Operation id that the agent put beside the request.
    pub fn operation(&self) -> Option<&str> {
        let user = self.impersonated_user.as_ref()?;
        user.extra.get("sallyport.dev/operation")?.first().map(String::as_str)
    }
}

/// The log from some point on.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    from: u64,
}

impl AuditLog {
    pub(super) fn from_here(path: &Path) -> Self {
        let from = std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
        Self { path: path.to_owned(), from }
    }

    pub(super) fn from_start(path: &Path) -> Self {
        Self { path: path.to_owned(), from: 0 }
    }

    /// All events so far that fit. The server writes them before it answers, except the last stage of a request, which
    /// can come a moment after the client has the answer: see [`Self::wait`].
    pub fn events(&self, fits: impl Fn(&AuditEvent) -> bool) -> Vec<AuditEvent> {
        self.events_with("", fits)
    }

    /// The same of lines that have a text in them. The log is that of a whole run, and reading an event takes much longer than such a look.
    fn events_with(&self, text: &str, fits: impl Fn(&AuditEvent) -> bool) -> Vec<AuditEvent> {
        let mut file = File::open(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        file.seek(SeekFrom::Start(self.from)).expect("the log only grows");
        let lines = BufReader::new(file).lines().map(|line| line.expect("the log is UTF-8"));
        let lines = lines.filter(|line| line.contains(text));
        // The last line may be half written.
        lines.filter_map(|line| serde_json::from_str(&line).ok()).filter(|event| fits(event)).collect()
    }

    /// Finished requests that the agent sent for runners in a namespace.
    pub fn of_runner(&self, namespace: &str) -> Vec<AuditEvent> {
        let here = |event: &AuditEvent| event.object_ref.as_ref().is_some_and(|object| object.namespace == namespace);
        self.events_with(namespace, |event| event.is_runner() && event.is_complete() && here(event))
    }

    /// Waits until at least `count` events fit and gives them; panics after ten seconds.
    pub fn wait(&self, count: usize, fits: impl Fn(&AuditEvent) -> bool) -> Vec<AuditEvent> {
        for _ in 0..400 {
            let events = self.events(&fits);
            if events.len() >= count {
                return events;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the audit log has {} of {count} such events after ten seconds", self.events(&fits).len());
    }
}
