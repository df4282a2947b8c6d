//! What an administrator may say of an installation: a file of values, and flags that set single ones. Every mistake is told at once.

use std::path::{Path, PathBuf};

use control_plane_core::policy::Policy;
use serde_json::{Map, Value, json};
use shared::config::Problems;
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::KeyPin;

use super::fields::Fields;
use crate::config::Config;
use crate::enrolments::AGENT;

/// Where things are in the control plane's container.
pub(super) const DATA: &str = "/var/lib/sallyport";
/// See [`DATA`].
pub(super) const CA: &str = "/etc/sallyport-ca";
/// See [`DATA`].
pub(super) const SOCKET: &str = "/run/sallyport/socket";
/// The user of our containers.
pub(super) const USER: u32 = 65532;
/// The port for sidecars and agents, UDP and TCP.
pub(super) const QUIC: u16 = 7443;
/// Names of the control plane inside the cluster.
pub(crate) const INSIDE: [&str; 4] =
    ["sallyport", "sallyport.sallyport", "sallyport.sallyport.svc", "sallyport.sallyport.svc.cluster.local"];
/// Files of the control plane's folder that are ours.
const OWN_FILES: [&str; 3] = ["config.yaml", "keys.json", "policy.yaml"];

/// What is installed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All of it as it was said, for whoever looks at the installation later.
    pub(super) values: Value,
    /// Our name of the cluster.
    pub(super) cluster: String,
    /// The images.
    pub(super) images: Images,
    /// The control plane.
    pub(super) control_plane: ControlPlane,
    /// Namespaces that the agent changes nothing in, beside its own.
    pub(super) protected_namespaces: Vec<String>,
    /// Secrets of which values may be shown to a job once people have approved it.
    pub(super) revealed: Vec<String>,
    /// Resources of the agent's container, where others than usual are wanted.
    pub(super) agent_resources: Option<Value>,
    /// The same of the injector's.
    pub(super) injector_resources: Option<Value>,
    /// The port on which a sidecar listens in its pod.
    pub(super) sidecar_port: Option<u16>,
    /// Resources of the sidecars' containers.
    pub(super) sidecar_resources: Option<Value>,
    /// Audiences of tokens that runners may have beside ours.
    pub(super) token_audiences: Vec<String>,
    /// Network policies.
    pub(super) network: Network,
    /// What enrols the cluster at a control plane elsewhere. No value: values are kept in the clear.
    pub(super) token: Option<EnrolmentToken>,
}

/// Images of the containers.
#[derive(Clone, Debug)]
pub(super) struct Images {
    /// The sidecar's.
    pub(super) sidecar: String,
    /// The agent's.
    pub(super) agent: String,
    /// The control plane's, and the injector's.
    pub(super) control_plane: String,
    /// `imagePullPolicy`.
    pub(super) pull_policy: String,
    /// Names of the Secrets with the registry's credentials.
    pub(super) pull_secrets: Vec<String>,
}

/// Where the control plane is.
#[derive(Clone, Debug)]
pub(super) enum ControlPlane {
    /// In the cluster, installed with the rest.
    Inside(Inside),
    /// Somewhere else.
    Outside {
        /// `host:port`, as agents and sidecars dial it.
        address: String,
        /// The pin of its authority's key.
        pin: KeyPin,
    },
}

/// A control plane in the cluster.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    /// Its configuration's keys that the administrator says, as they are written there.
    pub(super) config: Map<String, Value>,
    /// Whether a session needs a CI provider's token.
    pub(super) require_ci: bool,
    /// The policy; the built-in one where there is none.
    pub(super) policy: Option<String>,
    /// Further files of its folder, for the configuration to name: certificates of issuers' authorities.
    pub(super) files: Vec<(String, String)>,
    /// Size of the volume.
    pub(super) storage_size: String,
    /// Its class; the cluster's default one where there is none.
    pub(super) storage_class: Option<String>,
    /// Resources of its container, where others than usual are wanted.
    pub(super) resources: Option<Value>,
}

/// What stops packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing of ours.
    None,
    /// NetworkPolicy, which every engine understands.
    Plain,
    /// Cilium's own policies.
    Cilium,
}

/// Network policies.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// Which kind.
    pub(super) mode: Mode,
    /// Where runners are: no pod there has more network than they have.
    pub(super) runner_namespaces: Vec<String>,
    /// Namespace of the cluster's DNS.
    pub(super) dns_namespace: String,
    /// Labels of its pods.
    pub(super) dns_labels: Vec<(String, String)>,
    /// Port on which these pods listen.
    pub(super) dns_port: u16,
    /// Ports of the API server, where it does not say them itself.
    pub(super) api_server_ports: Vec<u16>,
}

impl Settings {
    /// Checks everything that can be checked without the cluster.
    ///
    /// # Errors
    /// All mistakes.
    pub fn parse(values: Value) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let p = &mut problems;
        let said = values.clone();
        let mut root = Fields::root(values, p);
        let cluster = root.text("cluster", p);
        match &cluster {
            None => p.push("cluster", "is missing: name the cluster, as policies and records will"),
            Some(name) if !is_name(name, 253) => {
                p.push("cluster", format!("{name:?} is no name: at most 253 of a-z, 0-9, '-' and '.'"));
            }
            Some(_) => {}
        }
        let images = images(root.fields("images", p), p);
        let control_plane = control_plane(root.fields("controlPlane", p), p);
        let mut agent = root.fields("agent", p);
        let agent_resources = agent.mapping("resources", p);
        let protected_namespaces = namespaces(&mut agent, "protectedNamespaces", p);
        let revealed = secrets(&mut agent, "revealed", &protected_namespaces, p);
        agent.end(p);
        let mut injector = root.fields("injector", p);
        let injector_resources = injector.mapping("resources", p);
        injector.end(p);
        let mut sidecar = root.fields("sidecar", p);
        let sidecar_port = sidecar.port("port", p);
        let sidecar_resources = sidecar.mapping("resources", p);
        let token_audiences = sidecar.texts("tokenAudiences", p);
        sidecar.end(p);
        let network = network(root.fields("network", p), p);
        root.end(p);
        let settings = (|| {
            Some(Self {
                values: said,
                cluster: cluster?,
                images: images?,
                control_plane: control_plane?,
                protected_namespaces,
                revealed,
                agent_resources,
                injector_resources,
                sidecar_port,
                sidecar_resources,
                token_audiences,
                network: network?,
                token: None,
            })
        })();
        problems.finish(settings)
    }

    /// The same with what enrols the cluster.
    #[must_use]
    pub fn enrolling(mut self, token: Option<EnrolmentToken>) -> Self {
        self.token = token;
        self
    }

    /// Whether the control plane is in the cluster.
    pub const fn has_control_plane(&self) -> bool {
        self.inside().is_some()
    }

    /// Our name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Namespaces of runners that have a plain policy.
    pub fn runner_namespaces(&self) -> &[String] {
        &self.network.runner_namespaces
    }

    /// Which network policies, in the word of the values.
    pub const fn network(&self) -> &'static str {
        match self.network.mode {
            Mode::None => "none",
            Mode::Plain => "plain",
            Mode::Cilium => "cilium",
        }
    }

    /// The sidecar's image, and its pull policy.
    pub fn sidecar_image(&self) -> (&str, &str) {
        (&self.images.sidecar, &self.images.pull_policy)
    }

    /// The control plane, if it is installed with the rest.
    pub(super) const fn inside(&self) -> Option<&Inside> {
        match &self.control_plane {
            ControlPlane::Inside(inside) => Some(inside),
            ControlPlane::Outside { .. } => None,
        }
    }
}

fn images(mut fields: Fields, problems: &mut Problems) -> Option<Images> {
    let p = problems;
    let registry = fields.text("registry", p).unwrap_or_else(|| "localhost/sallyport".to_owned());
    let tag = fields.text("tag", p).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let mut image = |key: &str, name: &str, p: &mut Problems| {
        fields.text(key, p).unwrap_or_else(|| format!("{}/{name}:{tag}", registry.trim_end_matches('/')))
    };
    let (sidecar, agent) = (image("sidecar", "sidecar", p), image("agent", "agent", p));
    let control_plane = image("controlPlane", "control-plane", p);
    let pull_policy = fields.text("pullPolicy", p).unwrap_or_else(|| "IfNotPresent".to_owned());
    if !["Always", "IfNotPresent", "Never"].contains(&pull_policy.as_str()) {
        p.push("images.pullPolicy", format!("{pull_policy:?} is none of Always, IfNotPresent, Never"));
    }
    let pull_secrets = fields.texts("pullSecrets", p);
    fields.end(p);
    Some(Images { sidecar, agent, control_plane, pull_policy, pull_secrets })
}

fn control_plane(mut fields: Fields, problems: &mut Problems) -> Option<ControlPlane> {
    let p = problems;
    let (address, pin) = (fields.text("address", p), fields.text("pin", p));
    if address.is_some() || pin.is_some() {
        let address = p.take("controlPlane.address", host_and_port(address.as_deref().unwrap_or_default()));
        let pin = pin.as_deref().unwrap_or_default().parse::<KeyPin>();
        let pin = p.take(
            "controlPlane.pin",
            pin.map_err(|error| format!("{error}; `sallyport pin` prints it there, and --enrol brings it")),
        );
        // What is left would be of a control plane in the cluster.
        fields.end(p);
        return Some(ControlPlane::Outside { address: address?, pin: pin? });
    }
    let mut config = Map::new();
    for key in ["ciIssuers", "approverIssuers", "auditorGroups"] {
        if let Some(value) = fields.value(key) {
            config.insert(key.to_owned(), value);
        }
    }
    let names = INSIDE.into_iter().map(str::to_owned).chain(fields.texts("names", p)).collect::<Vec<_>>();
    config.insert("listen".to_owned(), listen(&names));
    let mut socket = fields.fields("localSocket", p);
    let mut local = json!({"path": SOCKET, "uids": [USER], "groups": socket.texts("groups", p)});
    if let (Some(local), Some(danger)) = (local.as_object_mut(), socket.value("dangerSingleLocalVote")) {
        local.insert("dangerSingleLocalVote".to_owned(), danger);
    }
    socket.end(p);
    config.insert("localSocket".to_owned(), local);
    let require_ci = match fields.value("requireCi") {
        None => false,
        Some(Value::Bool(wanted)) => wanted,
        Some(other) => {
            p.push("controlPlane.requireCi", format!("{other} is neither true nor false"));
            false
        }
    };
    let policy = fields.text("policy", p);
    if let Some(Err(mistakes)) = policy.as_deref().map(Policy::parse) {
        for mistake in mistakes {
            p.push("controlPlane.policy", mistake.to_string());
        }
    }
    let files = fields.named_texts("files", p);
    for (name, _) in &files {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if OWN_FILES.contains(&name.as_str()) || name.starts_with('.') || !name.chars().all(legal) {
            p.push(format!("controlPlane.files.{name}"), "is no name for a file of yours");
        }
    }
    let mut storage = fields.fields("storage", p);
    let storage_size = storage.text("size", p).unwrap_or_else(|| "10Gi".to_owned());
    let storage_class = storage.text("className", p);
    storage.end(p);
    let resources = fields.mapping("resources", p);
    fields.end(p);
    let inside = Inside { config, require_ci, policy, files, storage_size, storage_class, resources };
    // The control plane's own reader, so that nothing is installed that it would refuse.
    let pinned = Pinned { cluster: "name", uid: "uid", issuer: "https://issuer" };
    let text = super::yaml::text(&inside.configuration(&pinned));
    if let Err(mistakes) = Config::parse(&text, Path::new("/etc/sallyport")) {
        for mistake in mistakes.iter() {
            p.push(format!("controlPlane.{}", mistake.key), &mistake.message);
        }
    }
    Some(ControlPlane::Inside(inside))
}

fn listen(names: &[String]) -> Value {
    // The kubelet's probes come from outside the pod, so the admin port listens there; no policy of ours opens it to others.
    json!({"quic": format!("0.0.0.0:{QUIC}"), "web": "0.0.0.0:8443", "admin": "0.0.0.0:9090", "names": names})
}

/// What is pinned of a cluster.
pub(super) struct Pinned<'a> {
    /// Our name of it.
    pub(super) cluster: &'a str,
    /// Its uid.
    pub(super) uid: &'a str,
    /// Its issuer.
    pub(super) issuer: &'a str,
}

impl Pinned<'_> {
    /// The cluster's entry in a control plane's configuration.
    pub(super) fn entry(&self, keys: &str) -> Value {
        json!({
            "name": self.cluster, "uid": self.uid, "issuer": self.issuer, "keys": keys,
            "agent": format!("{}/{}", AGENT.0, AGENT.1),
        })
    }
}

impl Inside {
    /// The control plane's configuration file.
    pub(super) fn configuration(&self, pinned: &Pinned<'_>) -> Value {
        let mut config = self.config.clone();
        config.insert("data".to_owned(), DATA.into());
        config.insert("ca".to_owned(), CA.into());
        if self.policy.is_some() {
            config.insert("policy".to_owned(), "policy.yaml".into());
        }
        let mut cluster = pinned.entry("keys.json");
        if let Some(cluster) = cluster.as_object_mut() {
            cluster.insert("requireCi".to_owned(), self.require_ci.into());
        }
        config.insert("clusters".to_owned(), json!([cluster]));
        Value::Object(config)
    }

    /// Whether somebody's vote counts.
    pub(super) fn has_approvers(&self) -> bool {
        let issuers = self.config.get("approverIssuers").and_then(Value::as_array);
        let local = self.config.get("localSocket").and_then(|socket| socket.get("dangerSingleLocalVote"));
        issuers.is_some_and(|all| !all.is_empty()) || local == Some(&Value::Bool(true))
    }

    /// Ports of its issuers.
    pub(super) fn issuer_ports(&self) -> Vec<u16> {
        let mut ports = Vec::new();
        for key in ["ciIssuers", "approverIssuers"] {
            for issuer in self.config.get(key).and_then(Value::as_array).into_iter().flatten() {
                let url = issuer.get("issuer").and_then(Value::as_str).and_then(|url| url.parse::<http::Uri>().ok());
                let port = url.and_then(|url| url.port_u16()).unwrap_or(443);
                if !ports.contains(&port) {
                    ports.push(port);
                }
            }
        }
        ports.sort_unstable();
        ports
    }
}

fn network(mut fields: Fields, problems: &mut Problems) -> Option<Network> {
    let p = problems;
    let mode = match fields.text("mode", p).as_deref() {
        None | Some("plain") => Some(Mode::Plain),
        Some("cilium") => Some(Mode::Cilium),
        Some("none") => Some(Mode::None),
        Some(other) => {
            p.push("network.mode", format!("{other:?} is none of none, plain, cilium"));
            None
        }
    };
    let runner_namespaces = namespaces(&mut fields, "runnerNamespaces", p);
    if mode == Some(Mode::None) && !runner_namespaces.is_empty() {
        p.push("network.runnerNamespaces", "without policies there is nothing to do for them: leave it out");
    }
    if runner_namespaces.iter().any(|name| name == super::cluster::NAMESPACE) {
        p.push("network.runnerNamespaces", "no runner runs in sallyport");
    }
    let mut dns = fields.fields("dns", p);
    let dns_namespace = dns.text("namespace", p).unwrap_or_else(|| "kube-system".to_owned());
    let mut dns_labels = dns.named_texts("labels", p);
    if dns_labels.is_empty() {
        dns_labels.push(("k8s-app".to_owned(), "kube-dns".to_owned()));
    }
    let dns_port = dns.port("port", p).unwrap_or(53);
    dns.end(p);
    let api_server_ports = fields.ports("apiServerPorts", p);
    fields.end(p);
    Some(Network { mode: mode?, runner_namespaces, dns_namespace, dns_labels, dns_port, api_server_ports })
}

fn namespaces(fields: &mut Fields, key: &str, problems: &mut Problems) -> Vec<String> {
    let mut names = fields.texts(key, problems);
    for (index, name) in names.iter().enumerate() {
        if !is_name(name, 63) || name.contains('.') {
            problems.push(format!("{}[{index}]", fields.key(key)), format!("{name:?} is no name of a namespace"));
        }
    }
    names.sort();
    names.dedup();
    names
}

/// `namespace/name` and `namespace/*`, of namespaces that are not protected.
fn secrets(fields: &mut Fields, key: &str, protected: &[String], problems: &mut Problems) -> Vec<String> {
    let mut names = fields.texts(key, problems);
    for (index, name) in names.iter().enumerate() {
        let (namespace, secret) = name.split_once('/').unwrap_or_default();
        if !is_name(namespace, 63) || namespace.contains('.') || !(secret == "*" || is_name(secret, 253)) {
            let message = format!("{name:?} is neither namespace/name nor namespace/*");
            problems.push(format!("{}[{index}]", fields.key(key)), message);
        } else if namespace == super::NAMESPACE || protected.iter().any(|one| one == namespace) {
            // An agent with such a configuration would not start.
            let message = format!("{name:?} is in a protected namespace, of which nothing is shown");
            problems.push(format!("{}[{index}]", fields.key(key)), message);
        }
    }
    names.sort();
    names.dedup();
    names
}

/// A name as Kubernetes has them (RFC 1123).
fn is_name(name: &str, longest: usize) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= longest && name.starts_with(end) && name.ends_with(end) && name.chars().all(inner)
}

fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no host:port; write for example sallyport.example.com:7443");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let authority = text.parse::<http::uri::Authority>().map_err(|_| wrong())?;
    if host.is_empty() || port.parse::<u16>().is_err() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// Sets the value at a dotted path: a flag says the same as a file.
///
/// # Errors
/// A part of the path is something else than a mapping already.
pub fn set(values: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut at = values;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let Some(map) = at.as_object_mut().filter(|_| !step.is_empty()) else {
            return Err(format!("{path:?} is no path of keys"));
        };
        if steps.peek().is_none() {
            map.insert(step.to_owned(), value);
            return Ok(());
        }
        at = map.entry(step).or_insert(Value::Null);
    }
    Err(format!("{path:?} is no path of keys"))
}

/// Reads a file of values.
///
/// # Errors
/// It can't be read, or is no YAML.
pub fn read(path: &PathBuf) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))?;
    serde_saphyr::from_str(&text).map_err(|error| error.to_string())
}
