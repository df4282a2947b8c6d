//! `sallyport clusters`: which clusters are known, and how one more becomes so.

use std::time::Duration;

use comfy_table::{Table, presets};
use http::Method;
use serde_json::{Value, json};
use shared::time::Timestamp;

use super::approvals::{items, number, text};
use super::client::Client;
use super::text::safe;
use super::{Server, print};

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a one-time token for a cluster that is installed with `sallyport install --enrol`. Over the local socket only.
    Enrol {
        /// What policies and records will call it.
        name: String,
        /// How long the token is good: 30m, 12h, at most 168h; an hour where nothing is said.
        #[arg(long, value_parser = shared::config::duration)]
        expires: Option<Duration>,
        /// Sessions of the cluster need a CI provider's token beside the pod's.
        #[arg(long)]
        require_ci: bool,
        /// Keys count that the cluster publishes later, if an agent under a known one says so.
        #[arg(long)]
        adopt_keys: bool,
        /// host:port at which the cluster's agents reach this control plane.
        #[arg(long, value_name = "HOST:PORT")]
        control_plane: Option<String>,
    },
    /// Clusters, how each became known, and tokens that wait.
    List,
    /// Forget a cluster that was enrolled, or take its token back: its agents are cut, its sessions are over. Over the local socket only.
    Forget {
        /// Its name.
        name: String,
    },
}

pub(super) async fn run(server: Server, command: Command) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    match command {
        Command::Enrol { name, expires, require_ci, adopt_keys, control_plane } => {
            let mut wanted = json!({"name": name, "requireCi": require_ci, "adoptKeys": adopt_keys});
            if let (Some(wanted), Some(life)) = (wanted.as_object_mut(), expires) {
                wanted.insert("seconds".to_owned(), life.as_secs().into());
            }
            let answer = client.call(Method::POST, "/v1/clusters/enrol", Some(wanted)).await?;
            if client.json() {
                print(&answer.to_string());
            } else {
                print(&invitation(&name, &answer, control_plane.as_deref()));
            }
            Ok(())
        }
        Command::List => list(&client).await,
        Command::Forget { name } => {
            let answer = client.call(Method::POST, "/v1/clusters/forget", Some(json!({"name": name}))).await?;
            print(text(&answer, "/result"));
            Ok(())
        }
    }
}

/// What to do with the token.
fn invitation(name: &str, answer: &Value, address: Option<&str>) -> String {
    let token = safe(text(answer, "/token"), false);
    let expires = Timestamp(number(answer, "/expires"));
    let known = address.or_else(|| answer.get("address").and_then(Value::as_str));
    let mut lines = vec![format!(
        "This token enrols {name}, once, until {expires}. It is not shown again; who has it speaks for the cluster."
    )];
    if answer.get("replaced") == Some(&Value::Bool(true)) {
        lines.push("The one that waited for this name is void.".to_owned());
    }
    if known.is_none() {
        lines.push(
            "HOST:7443 is where the cluster's agents reach this control plane; --control-plane writes it here."
                .to_owned(),
        );
    }
    let address = safe(known.unwrap_or("HOST:7443"), false);
    lines.push(
        "With the cluster's administrator's kubectl, and what else `sallyport install --help` offers:\n".to_owned(),
    );
    lines
        .push(format!("sallyport install --agent-only --control-plane {address} --enrol {token} | kubectl apply -f -"));
    lines.join("\n")
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let answer = client.get("/v1/clusters").await?;
    if client.json() {
        print(&answer.to_string());
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["CLUSTER", "AGENTS", "UID", "KNOWN BY"]);
    for cluster in items(answer.get("clusters").unwrap_or(&Value::Null)) {
        let agents = number(cluster, "/agents").to_string();
        table.add_row([safe(text(cluster, "/name"), false), agents, safe(text(cluster, "/uid"), false), how(cluster)]);
    }
    for waiting in items(answer.get("waiting").unwrap_or(&Value::Null)) {
        let expires = Timestamp(number(waiting, "/expires"));
        let late = waiting.get("expired") == Some(&Value::Bool(true));
        let state = if late {
            format!("nobody yet: its token expired at {expires}")
        } else {
            format!("nobody yet: its token waits until {expires}")
        };
        let by = format!("{state}, asked for by {}", safe(text(waiting, "/askedBy"), false));
        table.add_row([safe(text(waiting, "/name"), false), "-".to_owned(), "-".to_owned(), by]);
    }
    print(&table.trim_fmt());
    Ok(())
}

fn how(cluster: &Value) -> String {
    if text(cluster, "/how") == "configuration" {
        return "the configuration file".to_owned();
    }
    let (at, from, by) =
        (Timestamp(number(cluster, "/enrolled")), text(cluster, "/enrolledFrom"), text(cluster, "/askedBy"));
    safe(&format!("a token, at {at} from {from}, asked for by {by}"), false)
}
