//! The exact names under which local clients may call. A page in a browser that points its own name at 127.0.0.1 (DNS rebinding) sends
//! that name, and is refused.

use std::net::SocketAddr;

use http::uri::Authority;

/// Names of the API server inside a cluster (kubernetes.io, DNS for Services and Pods).
pub(crate) const CLUSTER_NAMES: [&str; 4] =
    ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "kubernetes.default", "kubernetes"];

/// The names, for one listener.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    ip: String,
    port: u16,
}

impl Hosts {
    pub(crate) fn new(listen: SocketAddr) -> Self {
        let ip = if listen.is_ipv6() { format!("[{}]", listen.ip()) } else { listen.ip().to_string() };
        Self { ip, port: listen.port() }
    }

    /// Whether a request to this authority is meant for us. The port may be missing from the cluster's names, whose clients believe in 443.
    pub(crate) fn accepts(&self, authority: &str) -> bool {
        // `Authority` refuses what is no authority; user info is refused here.
        let Ok(parsed) = authority.parse::<Authority>() else { return false };
        if authority.contains('@') || authority.ends_with(':') {
            return false;
        }
        let host = parsed.host();
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        match parsed.port_u16() {
            Some(port) => {
                port == self.port && (is(&self.ip) || is("localhost") || CLUSTER_NAMES.iter().any(|name| is(name)))
            }
            // An unparsable port also reads as none.
            None => {
                parsed.port().is_none() && authority.eq_ignore_ascii_case(host) && {
                    CLUSTER_NAMES.iter().any(|name| is(name)) || (self.port == 443 && (is(&self.ip) || is("localhost")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_only() {
        let hosts = Hosts::new("127.0.0.1:6443".parse().unwrap());
        for right in [
            "127.0.0.1:6443",
            "localhost:6443",
            "LOCALHOST:6443",
            "kubernetes.default.svc",
            "kubernetes.default.svc:6443",
            "kubernetes",
        ] {
            assert!(hosts.accepts(right), "{right}");
        }
        for wrong in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:6444",
            "127.0.0.1:443",
            "127.0.0.1:",
            "127.0.0.1:6443:6443",
            "127.0.0.1:06443x",
            "127.0.0.2:6443",
            "0.0.0.0:6443",
            "[::1]:6443",
            "evil.example:6443",
            "localhost.evil.example:6443",
            "127.0.0.1.nip.io:6443",
            "user@127.0.0.1:6443",
            "kubernetes.default.svc:443",
            "kubernetes.default.svc.",
            "kubernetes.default.svc:",
            "localhost:6443/",
            "localhost:6443, localhost:6443",
        ] {
            assert!(!hosts.accepts(wrong), "{wrong}");
        }
        assert!(Hosts::new("[::1]:6443".parse().unwrap()).accepts("[::1]:6443"));
    }
}
