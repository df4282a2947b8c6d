//! The sidecar's configuration. It comes from the environment only, because the webhook writes it; nothing else reads the environment.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shared::config::{Problems, duration};
use shared_net::pki::KeyPin;
use shared_net::telemetry::{Format, LogConfig};

/// Host name and port of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address (an IPv6 address without its brackets).
    pub host: String,
    /// UDP port; TCP of the same number where UDP is blocked.
    pub port: u16,
}

/// What the sidecar needs to know. Made by [`Config::from_env`] or, in tests, by [`Config::parse`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the control plane listens. `SALLYPORT_CONTROL_PLANE`, required.
    pub control_plane: Address,
    /// The key of its authority. `SALLYPORT_CONTROL_PLANE_PIN`, required: without it anyone could play the control plane.
    pub pin: KeyPin,
    /// Where local clients are served. `SALLYPORT_LISTEN`, default 127.0.0.1:6443; loopback only.
    pub listen: SocketAddr,
    /// The pod's projected token. `SALLYPORT_POD_TOKEN_FILE`.
    pub pod_token: Option<PathBuf>,
    /// The CI provider's OIDC token. `SALLYPORT_CI_TOKEN_FILE`.
    pub ci_token: Option<PathBuf>,
    /// Folder for `token`, `ca.crt` and `namespace`, as a pod's service account mount has them. `SALLYPORT_SERVE_DIR`, required.
    pub serve_dir: PathBuf,
    /// A kubeconfig file to write as well, for clients outside pods. `SALLYPORT_KUBECONFIG`.
    pub kubeconfig: Option<PathBuf>,
    /// The runner's namespace, when the pod's token does not say it. `POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// How long an operation that may have been sent waits for the control plane to come back. `SALLYPORT_REJOIN_WAIT`, default 5m.
    /// When it is over the client is told that the outcome is unknown.
    pub rejoin_wait: Duration,
    /// The ways round the agent that are tried, so that an open one is noticed. See [`Network`]. None outside of a cluster.
    pub network: Option<Network>,
    /// Whether clients may start before there is a session. `SALLYPORT_START_WITHOUT_CONTROL_PLANE`, default true: they get a clear 503.
    /// If false, the token is not written, and `ready` says no, until the first session is open.
    pub start_without: bool,
    /// What is logged. `SALLYPORT_LOG`, default info.
    pub log: LogConfig,
}

/// Where the cluster's doors are, seen from this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Addresses of the node. `SALLYPORT_NODE_ADDRESSES`, from the pod's `status.hostIPs`; without it nothing is tried.
    pub node: Vec<IpAddr>,
    /// The API server's own addresses. `SALLYPORT_API_SERVERS`, of the form `192.0.2.1:6443,[2001:db8::1]:6443`.
    pub api_servers: Vec<SocketAddr>,
    /// The address of its Service. `KUBERNETES_SERVICE_HOST` and `_PORT`, which the kubelet sets.
    pub service: Option<SocketAddr>,
}

type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_env() -> Result<Self, Problems> {
        Self::parse(&|name| std::env::var_os(name))
    }

    /// Reads from any source of variables.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn parse(lookup: Lookup<'_>) -> Result<Self, Problems> {
        let mut raw = Raw { lookup, problems: Problems::new() };
        let control_plane = raw.required("SALLYPORT_CONTROL_PLANE", address);
        let pin = raw
            .required("SALLYPORT_CONTROL_PLANE_PIN", |text| text.parse::<KeyPin>().map_err(|error| error.to_string()));
        let listen = if raw.is_set("SALLYPORT_LISTEN") {
            raw.optional("SALLYPORT_LISTEN", loopback)
        } else {
            Some(SocketAddr::from(([127, 0, 0, 1], 6443)))
        };
        let pod_token = raw.optional("SALLYPORT_POD_TOKEN_FILE", path);
        let ci_token = raw.optional("SALLYPORT_CI_TOKEN_FILE", path);
        if pod_token.is_none() {
            raw.problems.push(
                "SALLYPORT_POD_TOKEN_FILE",
                "not set; every session needs the pod's projected token of audience sallyport, a CI token stands beside it",
            );
        }
        let serve_dir = raw.required("SALLYPORT_SERVE_DIR", path);
        let kubeconfig = raw.optional("SALLYPORT_KUBECONFIG", path);
        let namespace = raw.optional("POD_NAMESPACE", namespace);
        let rejoin_wait = raw.optional("SALLYPORT_REJOIN_WAIT", duration).unwrap_or(Duration::from_secs(300));
        let network = network(&mut raw);
        let start_without = raw.optional("SALLYPORT_START_WITHOUT_CONTROL_PLANE", truth).unwrap_or(true);
        let log = match raw.optional("SALLYPORT_LOG", log) {
            Some(log) => Some(log),
            None => log("info").ok(),
        };
        let config = (|| {
            Some(Self {
                control_plane: control_plane?,
                pin: pin?,
                listen: listen?,
                pod_token,
                ci_token,
                serve_dir: serve_dir?,
                kubeconfig,
                namespace,
                rejoin_wait,
                network,
                start_without,
                log: log?,
            })
        })();
        raw.problems.finish(config)
    }
}

/// Where a Pod's clients find the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Endpoint {
    /// `KUBERNETES_SERVICE_HOST` and `_PORT`.
    pub fn from_env() -> Option<Self> {
        let set = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
        Some(Self { host: set("KUBERNETES_SERVICE_HOST")?, port: set("KUBERNETES_SERVICE_PORT")?.parse().ok()? })
    }
}

impl Network {
    /// Reads what `probe` needs, and nothing else of the environment. `SALLYPORT_API_SERVICE` is the address of the API server's Service
    /// where the kubelet's own variables name the sidecar.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_env() -> Result<Self, Problems> {
        let mut raw = Raw { lookup: &|name| std::env::var_os(name), problems: Problems::new() };
        let service = raw.optional("SALLYPORT_API_SERVICE", |text| {
            text.parse::<SocketAddr>().map_err(|_| format!("{text:?} is not an address"))
        });
        let found = network(&mut raw);
        if found.is_none() {
            raw.problems.push("SALLYPORT_NODE_ADDRESSES (environment)", "is not set");
        }
        let found = found.map(|network| Self { service: service.or(network.service), ..network });
        raw.problems.finish(found)
    }
}

/// Strings as found, and what was wrong with them.
struct Raw<'a> {
    lookup: Lookup<'a>,
    problems: Problems,
}

impl Raw<'_> {
    fn is_set(&self, name: &str) -> bool {
        (self.lookup)(name).is_some_and(|value| !value.is_empty())
    }

    fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        // An empty variable is how a manifest says "not set".
        let value = (self.lookup)(name).filter(|value| !value.is_empty())?;
        let key = format!("{name} (environment)");
        match value.into_string() {
            Ok(text) => self.problems.take(&key, parse(&text)),
            Err(_) => {
                self.problems.push(key, "is not UTF-8");
                None
            }
        }
    }

    fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.is_set(name) {
            self.problems.push(format!("{name} (environment)"), "is not set");
            return None;
        }
        self.optional(name, parse)
    }
}

fn network(raw: &mut Raw<'_>) -> Option<Network> {
    let node = raw.optional("SALLYPORT_NODE_ADDRESSES", list::<IpAddr>);
    let api_servers = raw.optional("SALLYPORT_API_SERVERS", list::<SocketAddr>);
    // Not ours to judge: another program may have set them to something else.
    let set = |name| (raw.lookup)(name).and_then(|value| value.into_string().ok());
    let (host, port) = (set("KUBERNETES_SERVICE_HOST"), set("KUBERNETES_SERVICE_PORT"));
    let service = host.zip(port).and_then(|(host, port)| {
        let address = SocketAddr::new(host.parse().ok()?, port.parse().ok()?);
        (!address.ip().is_loopback()).then_some(address)
    });
    Some(Network { node: node?, api_servers: api_servers.unwrap_or_default(), service })
}

fn list<T: FromStr>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|part| part.trim().parse().map_err(|_| format!("{part:?} is not an address"))).collect()
}

fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("{text:?} is not an address; write for example sallyport.example.com:7443");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
        None if host.contains(':') => return Err(wrong()),
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if host.is_empty() || !host.chars().all(clean) {
        return Err(wrong());
    }
    Ok(Address { host: host.to_owned(), port })
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| format!("{text:?} is not an address; write for example 127.0.0.1:6443"))?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{text:?} is not a loopback address; whoever reaches this listener with its token has the runner's rights"
        ));
    }
    Ok(address)
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("{text:?} is not an absolute path")) }
}

fn namespace(text: &str) -> Result<String, String> {
    if is_label(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is not the name of a namespace")) }
}

/// RFC 1123 label, as Kubernetes wants names of namespaces.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn log(text: &str) -> Result<LogConfig, String> {
    LogConfig::parse(text, Format::Auto).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "pin-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn parse(set: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::parse(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    const GOOD: [(&str, &str); 4] = [
        ("SALLYPORT_CONTROL_PLANE", "cp.example.com:7443"),
        ("SALLYPORT_CONTROL_PLANE_PIN", PIN),
        ("SALLYPORT_POD_TOKEN_FILE", "/run/token"),
        ("SALLYPORT_SERVE_DIR", "/run/serve"),
    ];

    #[test]
    fn defaults() {
        let config = parse(&GOOD).unwrap();
        assert_eq!(config.listen, "127.0.0.1:6443".parse().unwrap());
        assert_eq!(config.control_plane.host, "cp.example.com");
        assert_eq!(config.rejoin_wait, Duration::from_secs(300));
        assert!(config.ci_token.is_none() && config.kubeconfig.is_none() && config.start_without);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let problems = parse(&[
            ("SALLYPORT_CONTROL_PLANE", "cp.example.com"),
            ("SALLYPORT_CONTROL_PLANE_PIN", "sha256"),
            ("SALLYPORT_LISTEN", "0.0.0.0:6443"),
            ("SALLYPORT_SERVE_DIR", "serve"),
            ("SALLYPORT_REJOIN_WAIT", "5"),
            ("SALLYPORT_START_WITHOUT_CONTROL_PLANE", "no"),
            ("SALLYPORT_LOG", "loud"),
            ("POD_NAMESPACE", "Not_A_Name"),
        ])
        .unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "SALLYPORT_CONTROL_PLANE (environment)",
                "SALLYPORT_CONTROL_PLANE_PIN (environment)",
                "SALLYPORT_LISTEN (environment)",
                "SALLYPORT_POD_TOKEN_FILE",
                "SALLYPORT_SERVE_DIR (environment)",
                "POD_NAMESPACE (environment)",
                "SALLYPORT_REJOIN_WAIT (environment)",
                "SALLYPORT_START_WITHOUT_CONTROL_PLANE (environment)",
                "SALLYPORT_LOG (environment)",
            ]
        );
        assert_eq!(parse(&[]).unwrap_err().iter().count(), 4);
    }

    #[test]
    fn addresses() {
        for (text, host) in [("a.b:1", "a.b"), ("10.0.0.1:7443", "10.0.0.1"), ("[::1]:7443", "::1")] {
            assert_eq!(address(text).unwrap().host, host);
        }
        for wrong in ["", ":1", "a", "a:0", "a:65536", "::1:7443", "[::1:7443", "a b:1", "http://a:1", "a/b:1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ways_to_try() {
        assert_eq!(parse(&GOOD).unwrap().network, None);
        let set = [
            ("SALLYPORT_NODE_ADDRESSES", "192.0.2.7,2001:db8::7"),
            ("SALLYPORT_API_SERVERS", "192.0.2.1:6443, [2001:db8::1]:6443"),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("KUBERNETES_SERVICE_PORT", "443"),
        ];
        let network = parse(&[&GOOD[..], &set].concat()).unwrap().network.unwrap();
        assert_eq!((network.node.len(), network.api_servers.len()), (2, 2));
        assert_eq!(network.service, Some("10.96.0.1:443".parse().unwrap()));
        let wrong = [("SALLYPORT_NODE_ADDRESSES", "node1"), ("SALLYPORT_API_SERVERS", "192.0.2.1")];
        assert_eq!(parse(&[&GOOD[..], &wrong].concat()).unwrap_err().iter().count(), 2);
    }

    #[test]
    fn only_loopback() {
        for right in ["127.0.0.1:1", "127.9.9.9:6443", "[::1]:6443"] {
            assert!(loopback(right).is_ok(), "{right}");
        }
        for wrong in ["10.0.0.1:1", "[::]:1", "localhost:1", "127.0.0.1", "[::ffff:10.0.0.1]:1"] {
            assert!(loopback(wrong).is_err(), "{wrong}");
        }
    }
}
