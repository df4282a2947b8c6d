//! Tries the ways round the agent from inside the runner's network, again and again, and tells the control plane which are open.
//!
//! A policy that is deleted, weakened or not enforced shows nowhere else: the cluster stores policies, and only the network knows
//! whether they are in force. A connection that is refused is shut as one that times out is: nobody spoke at the other end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderValue, Request, header};
use shared::bypass::{Report, Route, Way};
use shared::{limits, wire};
use shared_net::backoff::jitter;
use shared_net::body::{collect_bounded, full};
use shared_net::exchange;
use tokio::net::TcpStream;

use crate::config::Network;
use crate::link::{Link, Up};

/// The API server's name in every cluster; the pod's search list completes it.
const NAME: &str = "kubernetes.default.svc:443";
const KUBELET: u16 = 10250;
/// The metadata services of the large clouds share the first; the second is the one of EC2.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254))];

/// Tries as long as the process lives.
pub(crate) async fn run(network: Network, link: Link) {
    let routes = routes(&network);
    let mut told: Option<(Up, Report)> = None;
    loop {
        let report = probe(&routes).await;
        for route in &report.open {
            let (way, address) = (route.way.describe(), &route.address);
            tracing::error!(
                way,
                address,
                "this pod reaches the cluster without Sallyport; its network policies don't hold"
            );
        }
        // A control plane that was not told on this very connection may be another one, or one that has started anew.
        let Some(up) = link.up().await else { return };
        let known = told.as_ref().is_some_and(|(on, last)| on.connection.same(&up.connection) && *last == report);
        if !known && tell(&up, &report).await {
            told = Some((up, report));
        }
        tokio::time::sleep(pause()).await;
    }
}

/// What is open now. What seems to be is tried twice: an engine may learn of a new pod a moment after it started.
pub(crate) async fn once(network: &Network) -> Report {
    let routes = routes(network);
    let first = probe(&routes).await;
    if first.open.is_empty() {
        return first;
    }
    tokio::time::sleep(limits::PROBE_PAUSE).await;
    probe(&routes).await
}

/// Between half of [`limits::BYPASS_PAUSE`] and all of it: a thousand sidecars that started together don't stay together.
fn pause() -> Duration {
    let half = limits::BYPASS_PAUSE / 2;
    half.saturating_add(jitter(half))
}

/// Everything to try.
fn routes(network: &Network) -> Vec<Route> {
    let route = |way, address: SocketAddr| Route { way, address: address.to_string() };
    let mut routes: Vec<Route> = network.service.map(|address| route(Way::Service, address)).into_iter().collect();
    routes.push(Route { way: Way::Name, address: NAME.to_owned() });
    routes.extend(network.api_servers.iter().map(|address| route(Way::ApiServer, *address)));
    for node in &network.node {
        let mut ports: Vec<u16> = network.api_servers.iter().map(SocketAddr::port).collect();
        ports.dedup();
        // On a node of its own the API server stands above already.
        let there = ports.into_iter().map(|port| SocketAddr::new(*node, port));
        routes.extend(there.filter(|a| !network.api_servers.contains(a)).map(|a| route(Way::Node, a)));
        routes.push(route(Way::Kubelet, SocketAddr::new(*node, KUBELET)));
    }
    routes.extend(METADATA.map(|address| route(Way::Metadata, SocketAddr::new(address, 80))));
    routes.truncate(limits::BYPASS_ROUTES);
    routes
}

/// Tries all at once; one round takes no longer than its slowest try.
async fn probe(routes: &[Route]) -> Report {
    let tries = routes.iter().map(async |route| {
        let connected = tokio::time::timeout(limits::BYPASS_WAIT, TcpStream::connect(&route.address)).await;
        matches!(connected, Ok(Ok(_))).then(|| route.clone())
    });
    let open = join_all(tries).await.into_iter().flatten().collect();
    Report { tried: routes.len(), open }
}

async fn tell(up: &Up, report: &Report) -> bool {
    let Ok(body) = serde_json::to_vec(report) else { return false };
    let mut request = Request::new(full(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(wire::path::BYPASS);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static(wire::HOST_CONTROL));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let answered = async {
        let response = exchange::send(&up.connection, request).await.ok()?;
        let status = response.status();
        collect_bounded(response.into_body(), limits::CONTROL_BODY_BYTES, limits::SESSION_WAIT).await.ok()?;
        status.is_success().then_some(())
    };
    let told = tokio::time::timeout(limits::SESSION_WAIT, answered).await.ok().flatten().is_some();
    if !told {
        tracing::warn!("the control plane did not take the report of open ways; it is told again");
    }
    told
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn every_way_is_tried_once() {
        let network = Network {
            node: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            api_servers: vec!["192.0.2.7:6443".parse().unwrap(), "192.0.2.8:6443".parse().unwrap()],
            service: Some("10.96.0.1:443".parse().unwrap()),
        };
        let tried: Vec<String> =
            routes(&network).into_iter().map(|route| format!("{:?} {}", route.way, route.address)).collect();
        assert_eq!(
            tried,
            [
                "Service 10.96.0.1:443",
                "Name kubernetes.default.svc:443",
                "ApiServer 192.0.2.7:6443",
                "ApiServer 192.0.2.8:6443",
                "Kubelet 192.0.2.7:10250",
                "Node [2001:db8::7]:6443",
                "Kubelet [2001:db8::7]:10250",
                "Metadata 169.254.169.254:80",
                "Metadata [fd00:ec2::254]:80",
            ]
        );
    }

    #[tokio::test]
    async fn only_what_answers_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = Route { way: Way::ApiServer, address: listener.local_addr().unwrap().to_string() };
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = Route { way: Way::Kubelet, address: closed.to_string() };
        let nameless = Route { way: Way::Name, address: "no.such.host.invalid:443".to_owned() };
        let report = probe(&[refused, open.clone(), nameless]).await;
        assert_eq!(report, Report { tried: 3, open: vec![open] });
    }
}
