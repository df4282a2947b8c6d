//! How long it takes from an approver's yes until the API server has the held request.
//!
//! The API server's own audit log says when that was, so nothing of ours is believed. What lies between: the vote on disk, the operation
//! judged again, its grant on disk, the agent's Lease in etcd (the one write that the target grants), the request. How long that write took
//! is in the log too, for each operation: it is taken off there, since the difference of two percentiles is not one of the differences.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use serde_json::{Value, json};
use shared::limits;
use shared_net::body::collect_bounded;
use shared_net::tasks::TaskSet;
use tokio::net::UnixStream;

use super::client::{Client, open};
use super::contestants::{Contestants, Who};
use super::machine::{micros_since, nanos, now};
use super::report::{Better, Metric, Report};
use super::stats::percentile;
use super::{Extent, progress};
use crate::cluster::Cluster;

/// Holds one operation after the other and approves it.
///
/// # Errors
/// An operation is not held, or not carried out after its approval.
pub(super) async fn measure(field: &Contestants, extent: &Extent, report: &mut Report) -> Result<()> {
    let tasks = TaskSet::new();
    let namespace = &**field.stack.namespace();
    let log = Cluster::get().facts().audit_log.clone();
    let from = std::fs::metadata(&log)?.len();
    let mut runner = field.client(Who::Sallyport, &tasks).await?;
    let mut direct = field.client(Who::Direct, &tasks).await?;
    let mut approver = open(UnixStream::connect(field.stack.socket()).await?, &tasks).await?;
    let (mut approved, mut writes) = (BTreeMap::new(), Vec::new());
    for number in 0..extent.holds {
        if number % 10 == 0 {
            progress(&format!("holds: {number} of {}", extent.holds));
        }
        writes.push(write(&mut direct, namespace, number).await?);
        let name = format!("held-{number}");
        let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}).to_string();
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let create = runner.send(Method::POST, &path, body.into());
        let approve = async {
            let hold = wait_for_hold(&mut approver).await?;
            let at = nanos();
            let (status, answer) = call(&mut approver, Method::POST, &format!("/v1/approvals/{hold}/approve")).await?;
            if status != StatusCode::OK {
                bail!("the vote was refused: {answer}");
            }
            anyhow::Ok(at)
        };
        // An approval that fails must not leave the run waiting for an operation that nobody will let go.
        let (created, at) = tokio::try_join!(create, approve)?;
        let status = created.status();
        let answer = collect_bounded(created.into_body(), limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await?;
        if status != StatusCode::CREATED {
            bail!("an approved operation: {status} {}", String::from_utf8_lossy(&answer));
        }
        approved.insert(name, at);
    }
    tasks.cancel();
    // The log is written a moment after the answer.
    let mut delays = arrivals(&log, from, namespace, &approved)?;
    for _ in 0..100 {
        if delays.len() == approved.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        delays = arrivals(&log, from, namespace, &approved)?;
    }
    if delays.len() < approved.len() {
        bail!("the audit log has {} of {} approved operations", delays.len(), approved.len());
    }
    let metric = |name: &str, times: &[f64], part| Metric::new(name, percentile(times, part), "ms", Better::Lower);
    let (whole, ours): (Vec<f64>, Vec<f64>) =
        delays.iter().map(|delay| (delay.whole, delay.whole - delay.lease)).unzip();
    report.add(metric("hold_approval_to_api_server_p99_less_its_write", &ours, 0.99).target(5.0).goal(5.0));
    report.add(metric("hold_approval_to_api_server_p50_less_its_write", &ours, 0.5));
    report.add(metric("hold_approval_to_api_server_p99", &whole, 0.99));
    report.add(metric("hold_approval_to_api_server_p50", &whole, 0.5));
    report.add(metric("api_server_write_p99", &writes, 0.99));
    report.add(metric("api_server_write_p50", &writes, 0.5));
    Ok(())
}

/// A write such as the agent's: a Lease. Milliseconds.
async fn write(client: &mut Client, namespace: &str, number: usize) -> Result<f64> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": format!("written-{number}")}, "spec": {"holderIdentity": "bench"},
    });
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let start = now();
    let response = client.send(Method::POST, &path, lease.to_string().into()).await?;
    let status = response.status();
    collect_bounded(response.into_body(), limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await?;
    if status != StatusCode::CREATED {
        bail!("POST {path}: {status}");
    }
    Ok(micros_since(start) / 1e3)
}

pub(super) async fn wait_for_hold(approver: &mut SendRequest<Full<Bytes>>) -> Result<String> {
    for _ in 0..2000 {
        let (_, answer) = call(approver, Method::GET, "/v1/approvals?live=true").await?;
        if let Some(id) = first_id(&answer) {
            return Ok(id);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("nothing was held");
}

fn first_id(answer: &Value) -> Option<String> {
    let row = answer.as_array()?.first()?;
    row.pointer("/id").or_else(|| row.pointer("/record/id"))?.as_str().map(str::to_owned)
}

pub(super) async fn call(
    approver: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Value)> {
    // A POST must say that it is JSON: no page of another site can make a browser say that.
    let request = Request::builder().method(method).uri(path).header(http::header::HOST, "localhost");
    let request = request.header(http::header::CONTENT_TYPE, "application/json");
    approver.ready().await?;
    let response = approver.send_request(request.body(Full::new(Bytes::new()))?).await?;
    let status = response.status();
    let body = collect_bounded(response.into_body(), limits::REQUEST_BODY_BYTES, limits::BODY_WAIT).await?;
    Ok((status, serde_json::from_slice(&body).context("the web API speaks JSON")?))
}

/// What lay between a vote and the moment in which the API server received the request. Milliseconds.
struct Delay {
    whole: f64,
    /// How long the API server took for the Lease of the operation.
    lease: f64,
}

fn arrivals(log: &Path, from: u64, namespace: &str, approved: &BTreeMap<String, u64>) -> Result<Vec<Delay>> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let (mut leases, mut sent) = (BTreeMap::new(), Vec::new());
    for line in BufReader::new(file).lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(&line?) else { continue };
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let time = |path: &str| parse_micro_time(text(path)).context("a time in the audit log");
        // The agent's own calls are named in the log after the operation that they are for.
        let id = text("/auditID");
        if let Some(operation) = id.strip_suffix("-spent") {
            let took = time("/stageTimestamp")?.saturating_sub(time("/requestReceivedTimestamp")?);
            leases.insert(operation.to_owned(), took);
            continue;
        }
        let ours = text("/objectRef/namespace") == namespace
            && text("/objectRef/resource") == "serviceaccounts"
            && text("/verb") == "create";
        // Of a create the log's objectRef has the name only where the path has it; the answer's Location has not either.
        let Some(name) = ours.then(|| created_name(&event)).flatten() else { continue };
        if let Some(at) = approved.get(&name) {
            sent.push((id.to_owned(), time("/requestReceivedTimestamp")? as f64 - *at as f64));
        }
    }
    let delay = |(id, whole)| Some(Delay { whole: whole / 1e6, lease: *leases.get(&id)? as f64 / 1e6 });
    Ok(sent.into_iter().filter_map(delay).collect())
}

fn created_name(event: &Value) -> Option<String> {
    event.pointer("/objectRef/name").and_then(Value::as_str).map(str::to_owned)
}

/// `2026-01-02T03:04:05.678901Z` in nanoseconds since 1970.
fn parse_micro_time(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, micros) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..26)?);
    // Days since 1970 of a proleptic Gregorian date, counted from March so that a leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = ((days.checked_sub(719_468)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000_000 + micros * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_audit_log_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("2000-02-29T12:00:00.000001Z", 951_825_600_000_001_000),
            ("2026-11-23T23:48:37.500000Z", 1_795_477_717_500_000_000),
        ] {
            assert_eq!(parse_micro_time(text), Some(expected), "{text}");
        }
        assert_eq!(parse_micro_time("2026-11-23T23:48:37Z"), None);
    }
}
