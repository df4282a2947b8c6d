//! The injector's configuration: one YAML file, mounted. Raw text becomes parsed values; every mistake is reported at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use shared::config::Problems;
use shared_net::pki::KeyPin;

use super::pod::annotations;
use super::pod::quantity::{cpu, memory};

/// The file as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawConfig {
    #[serde(default)]
    listen: Option<String>,
    #[serde(default)]
    admin: Option<String>,
    tls: RawTls,
    image: String,
    #[serde(default)]
    image_pull_policy: Option<String>,
    cluster: String,
    control_plane: RawControlPlane,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    resources: Option<RawResources>,
    #[serde(default)]
    own_namespaces: Option<Vec<String>>,
    #[serde(default)]
    token_audiences: Vec<String>,
    #[serde(default)]
    api_servers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawTls {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    client_ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawControlPlane {
    address: String,
    pin: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawResources {
    #[serde(default)]
    requests: RawAmounts,
    #[serde(default)]
    limits: RawAmounts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAmounts {
    #[serde(default)]
    cpu: Option<String>,
    #[serde(default)]
    memory: Option<String>,
}

/// What a start needs; every value is parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTPS for the API server. Default 0.0.0.0:9443.
    pub listen: SocketAddr,
    /// /livez, /readyz, /metrics. Default 0.0.0.0:9090.
    pub admin: SocketAddr,
    /// The webhook's certificate.
    pub tls: TlsFiles,
    /// The sidecar's image.
    pub image: String,
    /// When nodes pull it. Default IfNotPresent.
    pub image_pull_policy: String,
    /// Our name of this cluster; a Pod that is meant for another is refused.
    pub cluster: String,
    /// host:port of the control plane, for sidecars.
    pub control_plane: String,
    /// The pin of its authority's key.
    pub pin: String,
    /// Where sidecars listen in their Pods. Default 6443.
    pub port: u16,
    /// What a sidecar may use.
    pub resources: Resources,
    /// Namespaces of our own, whose Pods stay as they are. Default `sallyport`.
    pub own_namespaces: Vec<String>,
    /// Audiences of tokens that runners may have beside ours, such as `sts.amazonaws.com`. Default none: which audiences the API server
    /// itself accepts is not to be seen from here.
    pub token_audiences: Vec<String>,
    /// The API server's own addresses, which sidecars try to reach: none of them may answer.
    pub api_servers: Vec<SocketAddr>,
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificates, leaf first, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    /// Authority of the API server's client certificate; absent: whoever reaches the port is answered.
    pub client_ca: Option<PathBuf>,
}

/// What the sidecar asks for, and what it may have at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, such as `10m`.
    pub cpu_request: Option<String>,
    /// CPU; absent: no limit, since a throttled sidecar slows its job.
    pub cpu_limit: Option<String>,
    /// Memory, such as `16Mi`.
    pub memory_request: Option<String>,
    /// Memory.
    pub memory_limit: Option<String>,
}

impl Resources {
    /// An idle sidecar has 8 MB; each open stream adds some KiB.
    fn usual() -> Self {
        Self {
            cpu_request: Some("10m".to_owned()),
            cpu_limit: None,
            memory_request: Some("16Mi".to_owned()),
            memory_limit: Some("64Mi".to_owned()),
        }
    }

    /// As in a container.
    pub(super) fn to_json(&self) -> Value {
        let amounts = |cpu: &Option<String>, memory: &Option<String>| {
            let named = [("cpu", cpu), ("memory", memory)].into_iter();
            let named = named.filter_map(|(name, amount)| Some((name.to_owned(), json!(amount.as_ref()?))));
            named.collect::<serde_json::Map<_, _>>()
        };
        let (requests, limits) =
            (amounts(&self.cpu_request, &self.memory_request), amounts(&self.cpu_limit, &self.memory_limit));
        let mut resources = serde_json::Map::new();
        for (name, amounts) in [("requests", requests), ("limits", limits)] {
            if !amounts.is_empty() {
                resources.insert(name.to_owned(), Value::Object(amounts));
            }
        }
        Value::Object(resources)
    }

    /// Each is an amount, and no request is over its limit.
    pub(super) fn check(&self) -> Result<(), String> {
        type Read = fn(&str) -> Option<u64>;
        let pairs = [
            ("cpu", "50m", cpu as Read, &self.cpu_request, &self.cpu_limit),
            ("memory", "32Mi", memory as Read, &self.memory_request, &self.memory_limit),
        ];
        for (name, example, read, request, limit) in pairs {
            let amount = |text: &Option<String>| match text {
                None => Ok(None),
                Some(text) => match read(text) {
                    Some(amount) => Ok(Some(amount)),
                    None => Err(format!("{name} is {text:?}; write for example {example}")),
                },
            };
            if let (Some(request), Some(limit)) = (amount(request)?, amount(limit)?)
                && request > limit
            {
                return Err(format!("{name} request is over its {name} limit"));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let file = path.display().to_string();
        let raw = std::fs::read_to_string(path)
            .map_err(|error| format!("can't be read: {error}"))
            .and_then(|text| serde_saphyr::from_str::<RawConfig>(&text).map_err(|error| error.to_string()));
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let config = problems.take(&file, raw).map(|raw| check(raw, folder, &mut problems));
        problems.finish(config.flatten())
    }

    /// One for tests and the fuzz target.
    #[doc(hidden)]
    pub fn example() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            admin: any,
            tls: TlsFiles { certificate: PathBuf::new(), key: PathBuf::new(), client_ca: None },
            image: "localhost/sallyport/sidecar:0.1.0".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            cluster: "test".to_owned(),
            control_plane: "sallyport.sallyport.svc:7443".to_owned(),
            pin: "pin-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            port: 6443,
            resources: Resources::usual(),
            own_namespaces: vec!["sallyport".to_owned()],
            token_audiences: Vec::new(),
            api_servers: vec![SocketAddr::from(([192, 0, 2, 1], 6443))],
        }
    }
}

fn check(raw: RawConfig, folder: &Path, problems: &mut Problems) -> Option<Config> {
    let address = |key: &str, text: Option<String>, usual: u16, problems: &mut Problems| {
        let Some(text) = text else { return Some(SocketAddr::from(([0, 0, 0, 0], usual))) };
        let parsed = text.parse::<SocketAddr>();
        problems.take(key, parsed.map_err(|_| format!("{text:?} is not an address; write for example 0.0.0.0:{usual}")))
    };
    let listen = address("listen", raw.listen, 9443, problems);
    let admin = address("admin", raw.admin, 9090, problems);
    if raw.image.is_empty() || !raw.image.chars().all(|c| c.is_ascii_graphic()) {
        problems.push("image", format!("{:?} is not the name of an image", raw.image));
    }
    let policy = raw.image_pull_policy.unwrap_or_else(|| "IfNotPresent".to_owned());
    if !["Always", "IfNotPresent", "Never"].contains(&policy.as_str()) {
        problems.push("imagePullPolicy", format!("{policy:?} is none of Always, IfNotPresent, Never"));
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if raw.cluster.is_empty() || !raw.cluster.chars().all(legal) {
        problems.push("cluster", format!("{:?}: lower-case letters, digits, '-' and '.' only", raw.cluster));
    }
    if !is_host_and_port(&raw.control_plane.address) {
        let text =
            format!("{:?} is not an address; write for example sallyport.example.com:7443", raw.control_plane.address);
        problems.push("controlPlane.address", text);
    }
    problems.take("controlPlane.pin", raw.control_plane.pin.parse::<KeyPin>());
    let port = raw.port.unwrap_or(6443);
    problems.take("port", annotations::port(&port.to_string()));
    let resources = raw.resources.map_or_else(Resources::usual, |raw| Resources {
        cpu_request: raw.requests.cpu,
        cpu_limit: raw.limits.cpu,
        memory_request: raw.requests.memory,
        memory_limit: raw.limits.memory,
    });
    problems.take("resources", resources.check());
    let api_servers = raw.api_servers.iter().enumerate().filter_map(|(index, text)| {
        let wrong = |_| format!("{text:?} is not an address; write for example 192.0.2.1:6443");
        problems.take(&format!("apiServers[{index}]"), text.parse::<SocketAddr>().map_err(wrong))
    });
    let api_servers = api_servers.collect();
    for (index, audience) in raw.token_audiences.iter().enumerate() {
        // An empty one is the API server's own.
        if audience.is_empty() || audience.starts_with("sallyport") || audience.contains("kubernetes.default") {
            let text = format!("{audience:?}: a token of that audience must be in no runner's hands");
            problems.push(format!("tokenAudiences[{index}]"), text);
        }
    }
    Some(Config {
        listen: listen?,
        admin: admin?,
        tls: TlsFiles {
            certificate: folder.join(raw.tls.cert_file),
            key: folder.join(raw.tls.key_file),
            client_ca: raw.tls.client_ca_file.map(|path| folder.join(path)),
        },
        image: raw.image,
        image_pull_policy: policy,
        cluster: raw.cluster,
        control_plane: raw.control_plane.address,
        pin: raw.control_plane.pin,
        port,
        resources,
        own_namespaces: raw.own_namespaces.unwrap_or_else(|| vec!["sallyport".to_owned()]),
        token_audiences: raw.token_audiences,
        api_servers,
    })
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let clean = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(clean),
    };
    host && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unwrap_in_result, reason = "only what the reader says is a result")]
    fn load(text: &str) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("injector.yaml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    const LEAST: &str = "tls: {certFile: tls.crt, keyFile: tls.key}
image: localhost/sallyport/sidecar:0.1.0
cluster: test
controlPlane: {address: 'sallyport.sallyport.svc:7443', pin: pin-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}
";

    #[test]
    fn what_is_not_said_is_as_the_pages_say() {
        let config = load(LEAST).unwrap();
        assert_eq!(
            (config.listen.to_string(), config.admin.to_string()),
            ("0.0.0.0:9443".into(), "0.0.0.0:9090".into())
        );
        assert_eq!((config.port, config.own_namespaces), (6443, vec!["sallyport".to_owned()]));
        assert!(config.token_audiences.is_empty());
        assert_eq!(config.resources, Resources::usual());
    }

    #[test]
    fn mistakes_are_told_together() {
        let problems = load(
            "listen: here
admin: there
tls: {certFile: a, keyFile: b}
image: 'a b'
imagePullPolicy: Sometimes
cluster: Test
controlPlane: {address: sallyport, pin: sha256}
port: 8080
resources: {requests: {memory: 128Mi}, limits: {memory: 64Mi}}
tokenAudiences: ['', sallyport, 'https://kubernetes.default.svc']
",
        )
        .unwrap_err();
        let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
        let expected = [
            "listen",
            "admin",
            "image",
            "imagePullPolicy",
            "cluster",
            "controlPlane.address",
            "controlPlane.pin",
            "port",
            "resources",
            "tokenAudiences[0]",
            "tokenAudiences[1]",
            "tokenAudiences[2]",
        ];
        assert_eq!(keys, expected);
        for unknown in ["verbose: true\n", "Image: x\n"] {
            assert!(load(&format!("{LEAST}{unknown}")).is_err(), "{unknown}");
        }
        assert!(load("").is_err());
    }
}
