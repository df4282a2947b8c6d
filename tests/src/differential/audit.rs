//! The API server's audit log (k8s.io/apiserver pkg/apis/audit/v1): what it says of each request of ours.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use control_plane_core::request_info::RequestInfo;
use serde::Deserialize;

/// How the API server read a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The RBAC verb, or the lower-cased method.
    pub verb: String,
    /// What arrived; `None` in an expectation: not compared.
    #[serde(rename = "requestURI")]
    pub request_uri: Option<String>,
    /// Absent for a non-resource request.
    pub object_ref: Option<ObjectRef>,
}

/// The object of a request, in the log's own field names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Resource (plural).
    pub resource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Group.
    pub api_group: String,
    /// Version.
    pub api_version: String,
    /// Subresource.
    pub subresource: String,
}

impl Event {
    /// Our reading.
    pub fn of(info: &RequestInfo) -> Self {
        Self {
            verb: info.verb.to_string(),
            request_uri: None,
            object_ref: info.is_resource_request.then(|| ObjectRef {
                resource: info.resource.clone(),
                namespace: info.namespace.clone(),
                name: info.name.clone(),
                api_group: info.api_group.clone(),
                api_version: info.api_version.clone(),
                subresource: info.subresource.clone(),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(flatten)]
    event: Event,
}

/// Reads on from where the log ended when it was opened.
pub(super) struct AuditLog {
    reader: BufReader<File>,
    /// Audit-IDs of this run begin with it.
    tag: String,
    /// The beginning of a line whose end is not written yet.
    partial: String,
}

impl AuditLog {
    pub(super) fn open(path: &Path, tag: &str) -> anyhow::Result<Self> {
        let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { reader: BufReader::with_capacity(1 << 20, file), tag: format!("{tag}-"), partial: String::new() })
    }

    /// The events of the `count` requests from number `first` on. Waits for those that are not written yet, but not for ever: a
    /// request that the server did not take for one has none.
    pub(super) fn events(&mut self, first: usize, count: usize) -> anyhow::Result<HashMap<usize, Event>> {
        let mut events = HashMap::with_capacity(count);
        let mut idle = 0;
        while events.len() < count && idle < 20 {
            let before = events.len();
            self.read(first..first + count, &mut events)?;
            if events.len() == before {
                idle += 1;
                std::thread::sleep(Duration::from_millis(100));
            } else {
                idle = 0;
            }
        }
        Ok(events)
    }

    fn read(&mut self, wanted: std::ops::Range<usize>, events: &mut HashMap<usize, Event>) -> anyhow::Result<()> {
        while self.reader.read_line(&mut self.partial)? > 0 {
            if !self.partial.ends_with('\n') {
                return Ok(());
            }
            let text = std::mem::take(&mut self.partial);
            if !text.contains(&self.tag) {
                continue;
            }
            let line: Line = serde_json::from_str(&text).context("a line of the audit log")?;
            if let Some(number) = line.audit_id.strip_prefix(&self.tag) {
                let number = number.parse().context("an Audit-ID of ours")?;
                if wanted.contains(&number) {
                    events.insert(number, line.event);
                }
            }
        }
        Ok(())
    }
}
