//! `sallyport audit`: our record beside the API server's own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use shared::time::Timestamp;

use super::approvals::{items, number, text};
use super::client::Client;
use super::text::safe;
use super::{Server, print};

/// Rows that one call of the web API gives at the most.
const PAGE: usize = 500;
/// Disagreements that are printed one by one.
const SHOWN: usize = 50;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compare the API server's audit log with our record, in both directions. Fails where one knows what the other does not, and where a
    /// runner has called the API server by itself.
    Reconcile {
        /// The API server's audit log (JSON lines, level Metadata or above).
        #[arg(long)]
        kube_audit: PathBuf,
        /// The cluster that the log is of; may be left out where there is one.
        #[arg(long)]
        cluster: Option<String>,
        /// The agent's ServiceAccount, as namespace/name.
        #[arg(long, default_value = "sallyport/sallyport-agent")]
        agent: String,
    },
}

pub(super) async fn run(server: Server, command: Command) -> anyhow::Result<()> {
    let Command::Reconcile { kube_audit, cluster, agent } = command;
    let client = Client::new(server)?;
    let log = read_log(&kube_audit, &agent)?;
    let known = known(&client, cluster.as_deref()).await?;
    let runners = runners(&client, cluster.as_deref()).await?;
    let mut found = reconcile(&log, &known);
    found.extend(by_themselves(&log, &runners));
    if client.json() {
        print(&serde_json::json!({"sent": log.sent.len(), "own": log.own.len(), "known": known.len(), "disagreements": found}).to_string());
    } else {
        for line in found.iter().take(SHOWN) {
            print(&safe(line, false));
        }
        print(&format!(
            "{} requests of ours in the API server's log, {} of them the agent's own; {} operations on record in that time; {} pods had a session; {} disagreements",
            log.sent.len() + log.own.len(),
            log.own.len(),
            known.values().filter(|row| log.covers(row)).count(),
            runners.len(),
            found.len()
        ));
    }
    if found.is_empty() {
        Ok(())
    } else {
        bail!("the API server's log and the record don't agree in {} places", found.len())
    }
}

/// One request in the API server's log, as far as it is compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(default)]
    verb: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    request_received_timestamp: String,
    response_status: Option<ResponseStatus>,
}

#[derive(Debug, Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

#[derive(Debug, Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// uid of the pod to which the token of a ServiceAccount was bound (KEP-4193).
    fn pod(&self) -> Option<&str> {
        self.extra.get("authentication.kubernetes.io/pod-uid")?.first().map(String::as_str)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

/// What concerns us in the API server's log.
#[derive(Debug, Default)]
struct Log {
    /// First and last moment of the whole log, as it writes them.
    from: String,
    to: String,
    /// Carried out for a runner or for an internal operation: by session and operation id.
    sent: Vec<(Id, Event)>,
    /// The agent's own: token reviews and Leases.
    own: Vec<Event>,
    /// Of ServiceAccounts whose token is bound to a pod, other than the agent's: by uid of the pod.
    of_pods: Vec<(String, Event)>,
    /// Where our log is read from: the agent's own namespace.
    namespace: String,
}

impl Log {
    /// Whether an operation began and ended while the log was written.
    fn covers(&self, row: &Known) -> bool {
        let instant = |at: Timestamp| at.to_string();
        row.closed.is_some_and(|closed| {
            // The log's microseconds are cut to our milliseconds; both are written alike, so that text compares as time does.
            instant(row.opened) >= cut(&self.from) && instant(closed) <= cut(&self.to)
        })
    }
}

/// `2026-11-24T03:45:28.123456Z` to the millisecond.
fn cut(instant: &str) -> String {
    format!("{}Z", instant.trim_end_matches('Z').chars().take(23).collect::<String>())
}

fn read_log(path: &Path, agent: &str) -> anyhow::Result<Log> {
    let (namespace, name) = agent.split_once('/').context("--agent is namespace/name")?;
    let agent = format!("system:serviceaccount:{namespace}:{name}");
    let file = std::fs::File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let mut log = Log { namespace: namespace.to_owned(), ..Log::default() };
    // Where each request stands in `sent`; what is not of a runner stands nowhere.
    let mut seen: HashMap<_, Option<usize>> = HashMap::new();
    for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{} can't be read", path.display()))?;
        if line.is_empty() {
            continue;
        }
        let event: Event = serde_json::from_str(&line)
            .with_context(|| format!("{}:{}: not an audit event", path.display(), number + 1))?;
        let at = &event.request_received_timestamp;
        if log.from.is_empty() || *at < log.from {
            log.from.clone_from(at);
        }
        if *at > log.to {
            log.to.clone_from(at);
        }
        // One request has up to three events: any of them says that it arrived, the last how it ended. The audit id alone does not tell
        // requests apart: whoever sends two may give both the same.
        let ours = event.user.username == agent
            || event.impersonated_user.as_ref().is_some_and(|who| who.username == "sallyport:runner");
        let pod = if ours { None } else { event.user.pod().map(str::to_owned) };
        if !(ours || pod.is_some()) || event.stage == "Panic" {
            continue;
        }
        let request = (event.audit_id.clone(), at.clone(), event.verb.clone(), event.request_uri.clone());
        if let Some(known) = seen.get(&request) {
            if let Some((_, first)) = known.and_then(|index| log.sent.get_mut(index)) {
                first.response_status = event.response_status.or_else(|| first.response_status.take());
            }
            continue;
        }
        if let Some(pod) = pod {
            seen.insert(request, None);
            log.of_pods.push((pod, event));
            continue;
        }
        match &event.impersonated_user {
            Some(who) => {
                let extra = |key| who.extra.get(key).and_then(|ids| ids.first()).cloned().unwrap_or_default();
                seen.insert(request, Some(log.sent.len()));
                log.sent.push(((extra("sallyport.dev/session"), extra("sallyport.dev/operation")), event));
            }
            None => {
                seen.insert(request, None);
                log.own.push(event);
            }
        }
    }
    Ok(log)
}

/// Session and operation: an id of one session says nothing of another's.
type Id = (String, String);

/// One operation on record.
#[derive(Debug)]
struct Known {
    verb: String,
    resource: String,
    namespace: String,
    name: String,
    typed: String,
    opened: Timestamp,
    closed: Option<Timestamp>,
    outcome: String,
    kind: String,
    granted: bool,
}

async fn known(client: &Client, cluster: Option<&str>) -> anyhow::Result<HashMap<Id, Known>> {
    let mut known = HashMap::new();
    let (mut after, mut clusters) = (0, std::collections::BTreeSet::new());
    loop {
        let page = client.get(&format!("/v1/operations?after={after}&limit={PAGE}")).await?;
        let rows = items(&page);
        for row in rows {
            after = after.max(number(row, "/seq"));
            let own = text(row, "/cluster");
            clusters.insert(own.to_owned());
            if cluster.is_none_or(|cluster| cluster == own) {
                known.insert((text(row, "/session").to_owned(), text(row, "/id").to_owned()), read_row(row));
            }
        }
        if rows.len() < PAGE {
            break;
        }
    }
    if cluster.is_none() && clusters.len() > 1 {
        bail!(
            "the record is of several clusters; say which one the log is of: --cluster {}",
            clusters.into_iter().collect::<Vec<_>>().join(" | ")
        );
    }
    Ok(known)
}

fn read_row(row: &Value) -> Known {
    let owned = |pointer: &str| text(row, pointer).to_owned();
    Known {
        verb: owned("/verb"),
        resource: owned("/resource"),
        namespace: owned("/namespace"),
        name: owned("/name"),
        typed: owned("/typed"),
        opened: Timestamp(number(row, "/opened")),
        closed: row.get("closed").and_then(Value::as_u64).map(Timestamp),
        outcome: owned("/outcome/outcome"),
        kind: owned("/kind"),
        granted: row.get("jti").is_some_and(Value::is_string),
    }
}

/// The pods that had a session, by uid: what each is called.
async fn runners(client: &Client, cluster: Option<&str>) -> anyhow::Result<HashMap<String, String>> {
    let mut runners = HashMap::new();
    let mut after = 0;
    loop {
        let page = client.get(&format!("/v1/sessions?after={after}&limit={PAGE}")).await?;
        let rows = items(&page);
        for row in rows {
            after = after.max(number(row, "/seq"));
            let pod = |field: &str| text(row, &format!("/identity/pod/{field}")).to_owned();
            if cluster.is_none_or(|cluster| cluster == pod("cluster")) {
                runners.insert(pod("podUid"), format!("{}/{}", pod("namespace"), pod("pod")));
            }
        }
        if rows.len() < PAGE {
            return Ok(runners);
        }
    }
}

/// What runners asked the API server for with a token of their own, whatever it answered. They have no such token but by a way round us, and
/// no way there but round the network policy. A sentence each.
fn by_themselves(log: &Log, runners: &HashMap<String, String>) -> Vec<String> {
    let told = log.of_pods.iter().filter_map(|(pod, event)| {
        Some(format!(
            "the runner {} called the API server by itself, as {}: {} {} (audit id {})",
            runners.get(pod)?,
            event.user.username,
            event.verb,
            event.request_uri,
            event.audit_id
        ))
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

/// Everything that one side knows and the other does not, or knows otherwise. A sentence each.
fn reconcile(log: &Log, known: &HashMap<Id, Known>) -> Vec<String> {
    let mut found = Vec::new();
    let mut arrived: HashMap<&str, u32> = HashMap::new();
    for (of, event) in &log.sent {
        let id = of.1.as_str();
        let what = format!("{} {} (audit id {})", event.verb, event.request_uri, event.audit_id);
        match known.get(of) {
            None if id.is_empty() => found.push(format!("sent as a runner, without an operation's id: {what}")),
            None => found.push(format!("sent, and not on record: operation {id}, {what}")),
            Some(row) if !agrees(row, event, event.audit_id == format!("{id}-read")) => {
                found.push(format!("operation {id} is on record as {:?}, and was sent as {what}", row.typed));
            }
            // The agent's own look at the object is part of the operation; so is a try that the API server refused for its precondition.
            Some(_) if event.audit_id != *id || event.response_status.as_ref().is_some_and(|s| s.code == 409) => {}
            Some(row) => {
                let times = arrived.entry(id).or_default();
                *times += 1;
                if *times == 2 {
                    found.push(format!(
                        "operation {id} is on record once as {:?}, and was sent again: {what}",
                        row.typed
                    ));
                }
            }
        }
    }
    let by_id: HashMap<&str, &Known> = known.iter().map(|((_, id), row)| (id.as_str(), row)).collect();
    for event in &log.own {
        let object = event.object_ref.as_ref();
        let resource = object.map_or("", |object| object.resource.as_str());
        let what = format!("{} {} (audit id {})", event.verb, event.request_uri, event.audit_id);
        match resource {
            // The agent gives each request its operation's id as audit id.
            "tokenreviews" if event.verb == "create" => {
                if by_id.get(event.audit_id.as_str()).is_none_or(|row| row.kind != "internal/token-review") {
                    found.push(format!("a token review that is not on record: {what}"));
                }
                arrived.insert(event.audit_id.as_str(), 1);
            }
            _ if event.verb == "get" && guards(&by_id, &event.audit_id) => {
                arrived.insert(event.audit_id.trim_end_matches("-read"), 1);
            }
            "leases" if object.is_some_and(|object| object.namespace == log.namespace) => {}
            _ => found.push(format!("the agent did what it has no reason to do by itself: {what}")),
        }
    }
    // Any request of it will do: one that met a conflict was sent too.
    let came: HashSet<&str> = log.sent.iter().map(|((_, id), _)| id.as_str()).chain(arrived.into_keys()).collect();
    for ((_, id), row) in known {
        let sent = matches!(row.outcome.as_str(), "ok" | "error") && row.granted;
        if sent && log.covers(row) && !came.contains(id.as_str()) {
            found.push(format!(
                "on record as carried out, and not in the API server's log: operation {id}, {:?}",
                row.typed
            ));
        }
    }
    found.sort();
    found
}

/// Whether an audit id is that of a guard read, or of one of the reads that it lists.
fn guards(known: &HashMap<&str, &Known>, audit_id: &str) -> bool {
    let id = audit_id.trim_end_matches("-read");
    known.get(id).is_some_and(|row| row.kind == "internal/guard-read")
}

fn agrees(row: &Known, event: &Event, own_read: bool) -> bool {
    let Some(object) = &event.object_ref else { return row.resource.is_empty() };
    let resource = if object.subresource.is_empty() {
        object.resource.clone()
    } else {
        format!("{}/{}", object.resource, object.subresource)
    };
    // A create names its object in the body, which the log does not show.
    let name = object.name == row.name || object.name.is_empty() || row.name.is_empty();
    // Into a Secret, values go back from releases of helm's in its namespace, too.
    let name = name || own_read && resource == "secrets";
    let what = if own_read {
        event.verb == "get" && row.resource.split('/').next() == Some(resource.as_str())
    } else {
        row.verb == event.verb && row.resource == resource
    };
    what && row.namespace == object.namespace && name
}

#[cfg(test)]
mod tests;
