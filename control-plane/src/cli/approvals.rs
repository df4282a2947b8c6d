//! `sallyport approvals`: what an approver with ten seconds needs, risky facts first.

use comfy_table::{Table, presets};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::time::Timestamp;
use shared_net::clock::Clock;

use super::client::Client;
use super::text::{age, safe};
use super::{Server, print};

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Holds that wait; --all also those that are over.
    List {
        /// Also those that are over.
        #[arg(long)]
        all: bool,
    },
    /// Everything about one hold.
    Show {
        /// The hold (the beginning of its id is enough).
        hold: String,
    },
    /// Vote yes.
    Approve {
        /// The hold (the beginning of its id is enough).
        hold: String,
    },
    /// Vote no.
    Deny {
        /// The hold (the beginning of its id is enough).
        hold: String,
        /// What the asker will read.
        #[arg(long)]
        reason: String,
    },
    /// Follow holds as they come and go.
    Watch,
}

pub(super) async fn run(server: Server, command: Command) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    match command {
        Command::List { all } => list(&client, all).await,
        Command::Show { hold } => show(&client, &find(&client, &hold, true).await?).await,
        Command::Approve { hold } => {
            let id = find(&client, &hold, false).await?;
            let answer = client.call(Method::POST, &format!("/v1/approvals/{id}/approve"), None).await?;
            voted(&client, &answer);
            Ok(())
        }
        Command::Deny { hold, reason } => {
            let id = find(&client, &hold, false).await?;
            let body = json!({ "reason": reason });
            let answer = client.call(Method::POST, &format!("/v1/approvals/{id}/deny"), Some(body)).await?;
            voted(&client, &answer);
            Ok(())
        }
        Command::Watch => watch(&client).await,
    }
}

fn voted(client: &Client, answer: &Value) {
    if client.json() {
        return print(&answer.to_string());
    }
    match (answer.get("have").and_then(Value::as_u64), answer.get("need").and_then(Value::as_u64)) {
        (Some(have), Some(need)) => print(&format!("counted: {have} of {need}")),
        _ => print(text(answer, "/result")),
    }
    if let Some(warning) = answer.get("warning").and_then(Value::as_str) {
        print(&format!("note: {warning}"));
    }
}

/// The full id of a hold from its beginning.
async fn find(client: &Client, start: &str, all: bool) -> anyhow::Result<String> {
    if start.len() == 36 {
        return Ok(start.to_owned());
    }
    let holds = client.get(if all { "/v1/approvals" } else { "/v1/approvals?live=true" }).await?;
    let ids: Vec<&str> =
        items(&holds).iter().map(|hold| text(hold, "/id")).filter(|id| id.starts_with(start)).collect();
    match ids.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => anyhow::bail!("no hold that waits begins with {start:?}"),
        _ => anyhow::bail!("{} holds begin with {start:?}; write more of the id", ids.len()),
    }
}

async fn list(client: &Client, all: bool) -> anyhow::Result<()> {
    let holds = client.get(if all { "/v1/approvals" } else { "/v1/approvals?live=true" }).await?;
    if client.json() {
        print(&holds.to_string());
        return Ok(());
    }
    if items(&holds).is_empty() {
        print("nothing waits");
        return Ok(());
    }
    let now = Clock::system().now();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["HOLD", "RISK", "STATE", "AGE", "LEFT", "ASKER", "WHAT"]);
    for hold in items(&holds) {
        let mut asker = format!(
            "{}/{}/{}",
            text(hold, "/asker/cluster"),
            text(hold, "/asker/namespace"),
            text(hold, "/asker/serviceAccount")
        );
        // Others of this asker may ask for the same, and don't get it with this one.
        if hold.get("onlyPod").is_some() {
            asker.push_str(" pod ");
            asker.push_str(text(hold, "/show/pod/pod"));
        }
        table.add_row([
            text(hold, "/id").to_owned(),
            number(hold, "/show/risk").to_string(),
            text(hold, "/phase/phase").to_owned(),
            age(now.since(Timestamp(number(hold, "/opened"))).as_millis() as u64),
            age(Timestamp(number(hold, "/deadline")).since(now).as_millis() as u64),
            safe(&asker, false),
            safe(text(hold, "/show/typed"), false),
        ]);
    }
    print(&table.trim_fmt());
    Ok(())
}

async fn show(client: &Client, id: &str) -> anyhow::Result<()> {
    let answer = client.get(&format!("/v1/approvals/{id}")).await?;
    if client.json() {
        print(&answer.to_string());
        return Ok(());
    }
    let hold = answer.get("hold").unwrap_or(&Value::Null);
    print(&format!("hold      {}", text(hold, "/id")));
    print(&format!("state     {}", text(hold, "/phase/phase")));
    print(&format!("risk      {} (rule {})", number(hold, "/show/risk"), safe(text(hold, "/show/rule"), false)));
    for fact in items(hold.pointer("/show/facts").unwrap_or(&Value::Null)) {
        print(&format!("  ! {}  [{}]", safe(text(fact, "/fact"), false), safe(text(fact, "/source"), false)));
    }
    for note in items(hold.pointer("/show/notes").unwrap_or(&Value::Null)) {
        print(&format!("  - {}", safe(note.as_str().unwrap_or_default(), false)));
    }
    print(&format!("what      {}", safe(text(hold, "/show/typed"), false)));
    print(&format!("request   {} {}", text(hold, "/show/method"), safe(text(hold, "/show/path"), false)));
    print(&format!("cluster   {}", safe(text(hold, "/cluster"), false)));
    print(&format!("asker     {}", safe(&hold.pointer("/show/pod").unwrap_or(&Value::Null).to_string(), false)));
    if let Some(ci) = hold.pointer("/show/ci").filter(|ci| !ci.is_null()) {
        print(&format!("CI job    {}", safe(&ci.to_string(), false)));
    }
    print(&format!(
        "needs     {} of {}",
        number(hold, "/terms/quorum"),
        safe(&hold.pointer("/terms/groups").unwrap_or(&Value::Null).to_string(), false)
    ));
    print(&format!("live      {}", text(hold, "/show/liveState")));
    for field in items(hold.pointer("/show/maskedFields").unwrap_or(&Value::Null)) {
        print(&format!("  masked {}: {}", safe(text(field, "/field"), false), text(field, "/change")));
    }
    match hold.pointer("/show/difference").and_then(Value::as_str) {
        Some(difference) => print(&format!("difference (masked):\n{}", safe(difference, true))),
        None => {
            let request = hold.pointer("/show/request").filter(|request| !request.is_null());
            if let Some(request) = request {
                print(&format!("body (masked):\n{}", safe(&serde_json::to_string_pretty(request)?, true)));
            }
        }
    }
    print(&format!("preview   none: {}", text(hold, "/show/noPreview")));
    print("the client says of itself (not checked):");
    print(&format!(
        "  {} {}",
        safe(text(hold, "/show/claimsCommand"), false),
        safe(text(hold, "/show/claimsUserAgent"), false)
    ));
    Ok(())
}

async fn watch(client: &Client) -> anyhow::Result<()> {
    let mut body = client.stream("/v1/events").await?;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        for line in String::from_utf8_lossy(&data).lines().filter_map(|line| line.strip_prefix("data: ")) {
            if client.json() {
                print(line);
            } else if line == "{}" {
                print("some changes were missed; look at the list");
            } else if let Ok(event) = serde_json::from_str::<Value>(line) {
                print(&format!("{} {}", text(&event, "/hold"), text(&event, "/phase")));
            }
        }
    }
    Ok(())
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
