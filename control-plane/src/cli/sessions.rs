//! `sallyport sessions`: a session's story as a person reads it.

use comfy_table::{Table, presets};
use http::Method;
use serde_json::Value;
use shared::time::Timestamp;

use super::approvals::{items, number, text};
use super::client::Client;
use super::text::safe;
use super::{Server, print};

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Sessions, newest first.
    List,
    /// Runners whose network does not keep them from the API server, now.
    Alarms,
    /// What never became an operation, newest first: who was not let in, and why.
    Rejected,
    /// One session and its operations.
    Show {
        /// The session (the beginning of its id is enough).
        session: String,
    },
    /// The same as a story: what was typed, what was asked, who approved, what happened.
    Replay {
        /// The session (the beginning of its id is enough).
        session: String,
    },
    /// End a session now.
    Revoke {
        /// The session (the beginning of its id is enough).
        session: String,
    },
}

pub(super) async fn run(server: Server, command: Command) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    match command {
        Command::List => list(&client).await,
        Command::Alarms if client.json() => {
            print(&client.get("/v1/bypass").await?.to_string());
            Ok(())
        }
        Command::Alarms => alarms(&client).await,
        Command::Rejected => rejected(&client).await,
        Command::Show { session } => show(&client, &find(&client, &session).await?, false).await,
        Command::Replay { session } => show(&client, &find(&client, &session).await?, true).await,
        Command::Revoke { session } => {
            let id = find(&client, &session).await?;
            let answer = client.call(Method::POST, &format!("/v1/sessions/{id}/revoke"), None).await?;
            print(text(&answer, "/result"));
            Ok(())
        }
    }
}

async fn find(client: &Client, start: &str) -> anyhow::Result<String> {
    if start.len() == 36 {
        return Ok(start.to_owned());
    }
    let sessions = client.get("/v1/sessions").await?;
    let ids: Vec<&str> = items(&sessions).iter().map(|s| text(s, "/id")).filter(|id| id.starts_with(start)).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => anyhow::bail!("no session begins with {start:?}"),
        _ => anyhow::bail!("{} sessions begin with {start:?}; write more of the id", ids.len()),
    }
}

fn who(session: &Value) -> String {
    let pod = |field: &str| text(session, &format!("/identity/pod/{field}")).to_owned();
    format!("{}/{}/{} pod {}", pod("cluster"), pod("namespace"), pod("serviceAccount"), pod("pod"))
}

/// The CI job beside the pod, and the person behind it.
fn job(session: &Value) -> Option<String> {
    let ci = session.pointer("/identity/ci").filter(|ci| !ci.is_null())?;
    let person = ci.get("person").and_then(Value::as_str);
    let person =
        person.map_or_else(|| "nobody known behind it".to_owned(), |person| format!("person {person} behind it"));
    Some(format!("job {} ({}), {person}", text(ci, "/subject"), text(ci, "/issuer")))
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let sessions = client.get("/v1/sessions").await?;
    if client.json() {
        print(&sessions.to_string());
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["SESSION", "OPENED", "STATE", "RUNNER"]);
    for session in items(&sessions) {
        let state = session.get("closedWhy").and_then(Value::as_str).unwrap_or("open");
        let opened = Timestamp(number(session, "/opened")).to_string();
        table.add_row([text(session, "/id").to_owned(), opened, safe(state, false), safe(&who(session), false)]);
    }
    print(&table.trim_fmt());
    alarms(client).await
}

/// What must not be overlooked: runners whose network doesn't keep them from the API server.
async fn alarms(client: &Client) -> anyhow::Result<()> {
    for alarm in items(&client.get("/v1/bypass").await?) {
        let open = items(alarm.get("open").unwrap_or(&Value::Null));
        let open: Vec<String> =
            open.iter().map(|way| format!("{} {}", text(way, "/way"), text(way, "/address"))).collect();
        let (cluster, pod) = (text(alarm, "/cluster"), text(alarm, "/pod"));
        let since = Timestamp(number(alarm, "/since"));
        let changed = items(alarm.get("changed").unwrap_or(&Value::Null)).iter().filter_map(Value::as_str);
        let changed = changed.collect::<Vec<_>>().join("; ");
        if !changed.is_empty() {
            print(&safe(
                &format!(
                    "ALARM since {since}: what protects {cluster} is not as it was installed, or nobody can tell: {changed}"
                ),
                false,
            ));
        }
        if open.is_empty() {
            continue;
        }
        let line = format!(
            "ALARM since {since}: pod {pod} in {cluster} reaches the cluster without Sallyport: {}",
            open.join(", ")
        );
        print(&safe(&line, false));
    }
    Ok(())
}

async fn rejected(client: &Client) -> anyhow::Result<()> {
    let rejected = client.get("/v1/rejected").await?;
    if client.json() {
        print(&rejected.to_string());
        return Ok(());
    }
    for row in items(&rejected) {
        let (stage, status) = (text(row, "/stage"), number(row, "/status"));
        let line = format!(
            "{} {stage} {status}  {}: {}",
            Timestamp(number(row, "/at")),
            text(row, "/what"),
            text(row, "/why")
        );
        print(&safe(&line, false));
    }
    Ok(())
}

/// A session with all its operations: the answer has the first of them, and the rest comes page by page.
async fn whole(client: &Client, id: &str) -> anyhow::Result<Value> {
    let mut answer = client.get(&format!("/v1/sessions/{id}")).await?;
    let Some(operations) = answer.get_mut("operations").and_then(Value::as_array_mut) else { return Ok(answer) };
    let mut before = 0;
    while let Some(after) = operations.last().map(|last| number(last, "/seq")).filter(|after| *after > before) {
        before = after;
        let Value::Array(page) = client.get(&format!("/v1/operations?session={id}&after={after}")).await? else {
            break;
        };
        if page.is_empty() {
            break;
        }
        operations.extend(page);
    }
    Ok(answer)
}

async fn show(client: &Client, id: &str, story: bool) -> anyhow::Result<()> {
    let answer = whole(client, id).await?;
    if client.json() {
        print(&answer.to_string());
        return Ok(());
    }
    let session = answer.get("session").unwrap_or(&Value::Null);
    print(&format!("session {} of {}", text(session, "/id"), safe(&who(session), false)));
    if let Some(job) = job(session) {
        print(&format!("  {}", safe(&job, false)));
    }
    for operation in items(answer.get("operations").unwrap_or(&Value::Null)) {
        let outcome = outcome(operation);
        let at = Timestamp(number(operation, "/opened"));
        if let Some(own) = text(operation, "/kind").strip_prefix("internal/") {
            // What Sallyport asked for itself is part of the whole story only.
            if story {
                print(&format!("{at}    ({own}: {})  → {outcome}", safe(text(operation, "/typed"), false)));
            }
            continue;
        }
        print(&format!("{at}  {}  → {outcome}", safe(text(operation, "/typed"), false)));
        if story {
            tell(client, operation).await?;
        }
    }
    Ok(())
}

/// `ok 200`, `refused 403: nobody approved it in time`, `under way`.
fn outcome(operation: &Value) -> String {
    let status = number(operation, "/status");
    let reason = operation
        .get("reason")
        .and_then(Value::as_str)
        .map(|reason| format!(": {}", safe(reason, false)))
        .unwrap_or_default();
    match text(operation, "/outcome/outcome") {
        "" => "under way".to_owned(),
        "notSent" => format!("not sent ({status}){reason}"),
        word => format!("{word} ({status}){reason}"),
    }
}

async fn tell(client: &Client, operation: &Value) -> anyhow::Result<()> {
    let line = |label: &str, value: &str| {
        if !value.is_empty() {
            print(&format!("    {label:<9} {}", safe(value, false)));
        }
    };
    line("operation", text(operation, "/id"));
    line("client", text(operation, "/command"));
    line(
        "decision",
        &format!(
            "{} by rule {} (risk {})",
            text(operation, "/effect"),
            text(operation, "/rule"),
            number(operation, "/risk")
        ),
    );
    for fact in items(operation.pointer("/explanation/contributions").unwrap_or(&Value::Null)) {
        line("because", text(fact, "/fact"));
    }
    let mut disclosed = Vec::new();
    if let Some(hold) = operation.get("hold").and_then(Value::as_str) {
        let answer = client.get(&format!("/v1/approvals/{hold}")).await?;
        let phase = answer.pointer("/hold/phase").unwrap_or(&Value::Null);
        let keys = items(answer.pointer("/hold/pin/keys").unwrap_or(&Value::Null)).iter();
        disclosed.extend(keys.filter_map(Value::as_str).map(str::to_owned));
        line("hold", &format!("{hold}, {}", text(phase, "/phase")));
        for vote in items(phase.get("votes").unwrap_or(&Value::Null)) {
            line(
                "approved",
                &format!(
                    "by {} ({}) at {}",
                    text(vote, "/subject"),
                    text(vote, "/issuer"),
                    Timestamp(number(vote, "/at"))
                ),
            );
        }
        if text(phase, "/phase") == "denied" {
            line("denied", &format!("by {}: {}", text(phase, "/subject"), text(phase, "/reason")));
        }
    }
    if !text(operation, "/jti").is_empty() {
        // Of a disclosure: what was let out. The value is kept nowhere.
        let secret = (text(operation, "/apiGroup"), text(operation, "/resource")) == ("", "secrets");
        let name = |name: &String| if secret { format!("data[{:?}]", safe(name, false)) } else { name.clone() };
        disclosed.iter().for_each(|shown| line("shown", &format!("the real value of {}", name(shown))));
    }
    line("grant", text(operation, "/jti"));
    line("body", operation.get("body").and_then(Value::as_str).unwrap_or_default());
    Ok(())
}
