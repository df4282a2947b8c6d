//! `sallyport doctor`: whether everything is as it is meant to be.

use std::process::ExitCode;
use std::sync::mpsc;

use clap::{Args, ValueEnum};
use serde_json::json;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use shared_net::signals;

use super::client::Client;
use super::text::safe;
use super::{Server, install, print};
use crate::doctor::{self, Check, Outcome, Question, Report, Status, Stop};

/// What is looked at.
///
/// Exit codes: 0 everything was looked at and nothing is wrong (there may be warnings); 1 something is wrong; 3 nothing wrong was found,
/// and not everything was looked at; 130 interrupted.
#[derive(Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    access: install::Access,
    #[command(flatten)]
    server: Server,
    /// Where the Pod runs that tries the network: a namespace of runners. The first that is known where none is named.
    #[arg(long)]
    namespace: Option<String>,
    /// Starts no Pod. Whether network policies are in force is then not known.
    #[arg(long)]
    no_pod: bool,
    /// Asks the control plane only.
    #[arg(long)]
    no_cluster: bool,
    /// What is printed.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Interrupted, as shells say it of SIGINT.
const INTERRUPTED: u8 = 130;

/// Looks, prints, and gives the exit code.
pub(super) async fn run(wanted: Wanted) -> anyhow::Result<ExitCode> {
    let Wanted { access, server, namespace, no_pod, no_cluster, output } = wanted;
    let json = output == Output::Json || server.json;
    let status = if server.is_named() {
        let answer = async { Client::new(server)?.get("/v1/status").await };
        Status::Asked(answer.await.map_err(|error| format!("{error:#}")))
    } else {
        Status::InItsPod
    };
    let question = Question {
        kubectl: access.kubectl(),
        without_cluster: no_cluster,
        status,
        namespace,
        without_pod: no_pod,
        clock: Clock::system(),
    };
    let now = question.clock.now();
    let (tell, stop) = mpsc::channel();
    let looking = tokio::task::spawn_blocking(move || doctor::run(&question, &Stop::new(stop)));
    tokio::pin!(looking);
    let signal = signals::stop()?;
    let interrupted = tokio::select! {
        report = &mut looking => return Ok(show(&report?, json, now)),
        () = signal => true,
    };
    // What was started is taken away first. A further signal does not hurry it: that takes seconds.
    tell.send(()).ok();
    looking.await?;
    Ok(ExitCode::from(if interrupted { INTERRUPTED } else { 1 }))
}

fn show(report: &Report, json: bool, now: Timestamp) -> ExitCode {
    let code = report.exit_code();
    if json {
        let outcome = match code {
            0 => "ok",
            1 => "failed",
            _ => "left-out",
        };
        let counts = json!({
            "ok": report.count(Outcome::Ok), "warning": report.count(Outcome::Warning),
            "failed": report.count(Outcome::Failed), "leftOut": report.count(Outcome::LeftOut),
        });
        let version = env!("CARGO_PKG_VERSION");
        let all =
            json!({"version": version, "at": now, "outcome": outcome, "counts": counts, "checks": report.checks()});
        print(&all.to_string());
    } else {
        print(&text(report));
    }
    ExitCode::from(code)
}

/// A group's title, a line per check, and below it what was seen. Where nothing is to be done that stands beside it.
fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut group = None;
    for check in report.checks() {
        if group != Some(check.group()) {
            out.push_str(if group.is_some() { "\n" } else { "" });
            out.push_str(&format!("{}\n", check.group().title()));
            group = Some(check.group());
        }
        out.push_str(&line(check));
    }
    let count = |outcome| report.count(outcome);
    let all = report.checks().len();
    let mut said = vec![format!("{} hold", count(Outcome::Ok) + count(Outcome::Warning))];
    if count(Outcome::Warning) > 0 {
        said.push(format!("{} of them with a warning", count(Outcome::Warning)));
    }
    for (outcome, word) in [(Outcome::Failed, "do not"), (Outcome::LeftOut, "were left out")] {
        if count(outcome) > 0 {
            said.push(format!("{} {word}", count(outcome)));
        }
    }
    out.push_str(&format!("\n{all} checks: {}.", said.join(", ")));
    out
}

fn line(check: &Check) -> String {
    let mark = match check.outcome() {
        Outcome::Ok => "ok  ",
        Outcome::Warning => "WARN",
        Outcome::LeftOut => "--  ",
        Outcome::Failed => "FAIL",
    };
    let found = check.found().iter().map(|found| safe(found, false));
    let plain = check.outcome() == Outcome::LeftOut && check.remedy_text().is_none();
    if check.outcome() == Outcome::Ok || plain {
        let found = found.collect::<Vec<_>>().join("; ");
        let found = if found.is_empty() { found } else { format!(" ({found})") };
        return format!("  {mark}  {}{found}\n", check.sentence());
    }
    let mut out = format!("  {mark}  {}\n", check.sentence());
    out.extend(found.map(|found| format!("          {found}\n")));
    out.extend(check.remedy_text().map(|remedy| format!("        → {remedy}\n")));
    out
}
