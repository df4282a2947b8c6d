//! How much later a watch event arrives through Sallyport than directly.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use shared_net::tasks::TaskSet;

use super::client::Client;
use super::contestants::{Contestants, Who};
use super::machine::nanos;
use super::report::{Better, Metric, Report};
use super::stats::percentile;
use super::{Extent, bodies, progress};

/// Events at the beginning that do not count: connections are made, caches are cold.
const WARM: usize = 20;

/// Watches all four at the same time.
///
/// # Errors
/// A watch ends.
pub(super) async fn measure(field: &Contestants, extent: &Extent, report: &mut Report) -> Result<()> {
    progress(&format!("watches: {} events each", extent.events));
    let tasks = TaskSet::new();
    let path = format!("/api/v1/namespaces/{}/pods?watch=true", &**field.stack.namespace());
    let mut clients = Vec::new();
    for who in Who::ALL {
        clients.push(field.client(who, &tasks).await?);
    }
    let watches = clients.iter_mut().map(|client| delays(client, &path, extent.events));
    let delays = futures_util::future::try_join_all(watches).await?;
    tasks.cancel();
    let [direct, proxy, chain, ours] = delays.as_slice() else { bail!("four watches were asked for") };
    let added = |of: &[f64], share| percentile(of, share) - percentile(direct, share);
    let metric = |name: &str, value| Metric::new(format!("watch_{name}"), value, "ms", Better::Lower);
    report.add(metric("added_p99", added(ours, 0.99)).target(1.0).goal(1.0));
    report.add(metric("added_p50", added(ours, 0.5)));
    report.add(metric("added_p99_bare_chain", added(chain, 0.99)));
    report.add(metric("added_p99_kubectl_proxy", added(proxy, 0.99)));
    Ok(())
}

/// Milliseconds from the upstream's hand to ours, per event.
async fn delays(client: &mut Client, path: &str, events: usize) -> Result<Vec<f64>> {
    let response = client.send(Method::GET, path, Bytes::new()).await?;
    if response.status() != StatusCode::OK {
        bail!("GET {path}: {}", response.status());
    }
    let mut body = response.into_body();
    let mut rest = BytesMut::new();
    let mut delays = Vec::with_capacity(events);
    let mut seen = 0;
    while delays.len() < events {
        let frame = body.frame().await.context("the watch has ended")??;
        let arrived = nanos();
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest.split_to(end + 1);
            let sent = bodies::sent(&line).context("an event that does not say when it was sent")?;
            seen += 1;
            if seen > WARM {
                delays.push(arrived.saturating_sub(sent) as f64 / 1e6);
            }
        }
    }
    Ok(delays)
}
