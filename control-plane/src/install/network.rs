//! Who may open what, as rules of egress: of plain NetworkPolicy and of Cilium.
//!
//! What a plain policy can't name is the API server: engines differ on whether an ipBlock covers the address of a node, and none matches a
//! Service's. "The API server's real port, on any address" works with all of them, so that is what the agent's says.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::cluster::Endpoints;
use super::settings::{ControlPlane, Inside, Mode, Network, QUIC, Settings};

/// Link-local: where clouds keep their machines' credentials.
const METADATA: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// Egress of the three kinds of pods.
pub(super) struct Egress {
    pub(super) agent: Value,
    pub(super) control_plane: Value,
    pub(super) runners: Value,
}

impl Egress {
    pub(super) fn of(settings: &Settings, api_server: &Endpoints) -> Self {
        let cilium = settings.network.mode == Mode::Cilium;
        let dns = if cilium { cilium_dns(&settings.network) } else { plain_dns(&settings.network) };
        let control_plane = if cilium { cilium_control_plane(settings) } else { plain_control_plane(settings) };
        let kubernetes = if cilium {
            json!({"toEntities": ["kube-apiserver"], "toPorts": cilium_ports(&api_server.ports, &["TCP"])})
        } else {
            json!({"ports": plain_ports(&api_server.ports, &["TCP"])})
        };
        let mut own = vec![dns.clone()];
        if let Some(inside) = settings.inside() {
            own.extend(issuers(inside, cilium, api_server));
        }
        Self {
            agent: json!([dns, control_plane, kubernetes]),
            control_plane: Value::Array(own),
            runners: json!([dns, control_plane]),
        }
    }
}

fn plain_ports(ports: &[u16], protocols: &[&str]) -> Value {
    let each =
        |port: &u16| protocols.iter().map(|protocol| json!({"protocol": protocol, "port": port})).collect::<Vec<_>>();
    ports.iter().flat_map(each).collect()
}

fn cilium_ports(ports: &[u16], protocols: &[&str]) -> Value {
    let each = |port: &u16| {
        let port = port.to_string();
        protocols.iter().map(|protocol| json!({"port": port, "protocol": protocol})).collect::<Vec<_>>()
    };
    json!([{"ports": ports.iter().flat_map(each).collect::<Vec<_>>()}])
}

fn labels(network: &Network) -> Value {
    network
        .dns_labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn plain_dns(network: &Network) -> Value {
    json!({
        "to": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": network.dns_namespace}},
            "podSelector": {"matchLabels": labels(network)},
        }],
        "ports": plain_ports(&[network.dns_port], &["UDP", "TCP"]),
    })
}

fn cilium_dns(network: &Network) -> Value {
    let mut selector = labels(network);
    if let Some(selector) = selector.as_object_mut() {
        selector.insert("k8s:io.kubernetes.pod.namespace".to_owned(), network.dns_namespace.as_str().into());
    }
    json!({
        "toEndpoints": [{"matchLabels": selector}],
        "toPorts": cilium_ports(&[network.dns_port], &["UDP", "TCP"]),
    })
}

/// Host and port of a control plane elsewhere; its address was checked.
fn outside(settings: &Settings) -> Option<(Option<IpAddr>, u16)> {
    let ControlPlane::Outside { address, .. } = &settings.control_plane else { return None };
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).parse().ok(), port.parse().ok()?))
}

fn plain_control_plane(settings: &Settings) -> Value {
    match outside(settings) {
        None => json!({
            "to": [{
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "sallyport"}},
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "sallyport-control-plane"}},
            }],
            "ports": plain_ports(&[QUIC], &["UDP", "TCP"]),
        }),
        Some((Some(ip), port)) => {
            json!({"to": [{"ipBlock": {"cidr": cidr(ip)}}], "ports": plain_ports(&[port], &["UDP", "TCP"])})
        }
        // A policy takes no names: the port on any address. What answers there must have the pinned key.
        Some((None, port)) => json!({"ports": plain_ports(&[port], &["UDP", "TCP"])}),
    }
}

fn cilium_control_plane(settings: &Settings) -> Value {
    match outside(settings) {
        None => json!({
            "toEndpoints": [{"matchLabels": {
                "app.kubernetes.io/name": "sallyport-control-plane",
                "k8s:io.kubernetes.pod.namespace": "sallyport",
            }}],
            "toPorts": cilium_ports(&[QUIC], &["UDP", "TCP"]),
        }),
        Some((Some(ip), port)) => {
            json!({"toCIDR": [cidr(ip)], "toPorts": cilium_ports(&[port], &["UDP", "TCP"])})
        }
        Some((None, port)) => json!({"toEntities": ["world"], "toPorts": cilium_ports(&[port], &["UDP", "TCP"])}),
    }
}

/// The issuers whose keys the control plane fetches; nothing where it has none.
fn issuers(inside: &Inside, cilium: bool, api_server: &Endpoints) -> Option<Value> {
    let ports = inside.issuer_ports();
    if ports.is_empty() {
        return None;
    }
    if cilium {
        let to = json!(["world"]);
        return Some(json!({"toEntities": to, "toPorts": cilium_ports(&ports, &["TCP"])}));
    }
    let except = |v6: bool| {
        let all = api_server.addresses.iter().chain(&api_server.services);
        let own = all.filter(|ip| ip.is_ipv6() == v6).map(|ip| cidr(*ip));
        let metadata = METADATA.iter().filter(|cidr| cidr.contains(':') == v6).map(|cidr| (*cidr).to_owned());
        own.chain(metadata).collect::<Vec<_>>()
    };
    Some(json!({
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": except(false)}},
            {"ipBlock": {"cidr": "::/0", "except": except(true)}},
        ],
        "ports": plain_ports(&ports, &["TCP"]),
    }))
}

fn cidr(ip: IpAddr) -> String {
    format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })
}
