//! What an installation pins of a cluster, read with its administrator's rights: later the cluster can't swap it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shared::secret::Secret;

use super::kubectl::Kubectl;

/// Our namespace; its name is in the agent's rights, in the webhooks and in policies.
pub const NAMESPACE: &str = "sallyport";

/// The ConfigMap with the values of an installation.
pub const INSTALLATION: &str = "sallyport-installation";
/// Its one key.
pub const INSTALLED: &str = "values.yaml";

/// Data of one Secret.
pub type Data = BTreeMap<String, Secret<Vec<u8>>>;

/// What a cluster says of itself, and what of ours is in it already.
#[derive(Debug)]
pub struct Cluster {
    /// uid of the namespace kube-system.
    pub uid: String,
    /// `iss` of its ServiceAccount tokens.
    pub issuer: String,
    /// The key set of that issuer, as the API server gives it.
    pub keys: String,
    /// Minor version of the API server.
    pub minor: u32,
    /// Where the API server is; its ports are those on which it really listens, not that of its Service.
    pub api_server: Endpoints,
    /// Data of our Secrets, by name.
    pub secrets: BTreeMap<String, Data>,
    /// The configuration of the agents that are installed.
    pub installed: Option<String>,
}

/// Addresses and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Each address once.
    pub addresses: Vec<IpAddr>,
    /// Addresses of its Service.
    pub services: Vec<IpAddr>,
    /// Each port once.
    pub ports: Vec<u16>,
}

impl Cluster {
    /// Asks the API server.
    ///
    /// # Errors
    /// What kubectl said, or what of it makes no sense.
    pub fn read(kubectl: &Kubectl) -> anyhow::Result<Self> {
        let version = kubectl.json(&["get", "--raw", "/version"])?;
        let discovery = kubectl.json(&["get", "--raw", "/.well-known/openid-configuration"])?;
        let keys = kubectl.run(&["get", "--raw", "/openid/v1/jwks"], "")?;
        let set: Value = serde_json::from_str(&keys).context("/openid/v1/jwks is no JSON")?;
        let system = kubectl.json(&["get", "namespace", "kube-system", "-o", "json"])?;
        let slices =
            ["get", "endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes", "-o", "json"];
        let slices = kubectl.json(&slices)?;
        let service = kubectl.json(&["get", "service", "kubernetes", "-n", "default", "-o", "json"])?;
        let names = super::keys::NAMES;
        let own = [&["get", "secrets", "-n", NAMESPACE, "--ignore-not-found", "-o", "json"], names.as_slice()].concat();
        let agent = ["get", "configmap", "sallyport-agent", "-n", NAMESPACE, "--ignore-not-found", "-o", "json"];
        let agent = kubectl.json(&agent)?;
        if set.pointer("/keys/0").is_none() {
            anyhow::bail!("the API server publishes no key of its ServiceAccount issuer at /openid/v1/jwks");
        }
        Ok(Self {
            uid: text(&system, "/metadata/uid", "the namespace kube-system")?,
            issuer: text(&discovery, "/issuer", "/.well-known/openid-configuration")?,
            keys,
            minor: minor(&text(&version, "/minor", "/version")?)?,
            api_server: endpoints(&slices, &service)?,
            secrets: secrets(&kubectl.json(&own)?)?,
            installed: agent.pointer("/data/agent.yaml").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// A value of one of our Secrets.
    pub fn secret(&self, name: &str, key: &str) -> Option<&Secret<Vec<u8>>> {
        self.secrets.get(name)?.get(key).filter(|value| !value.expose().is_empty())
    }
}

fn text(value: &Value, pointer: &str, of: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("{of} says no {pointer}"))
}

/// Providers write `36+`.
fn minor(text: &str) -> anyhow::Result<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("/version says the minor version {text:?}"))
}

fn endpoints(slices: &Value, service: &Value) -> anyhow::Result<Endpoints> {
    let mut found = Endpoints::default();
    let slices = items(slices);
    let endpoints = slices.iter().flat_map(|slice| list(slice, "/endpoints"));
    found.addresses = addresses(endpoints.flat_map(|endpoint| list(endpoint, "/addresses")))?;
    found.services = addresses(list(service, "/spec/clusterIPs"))?;
    for slice in slices {
        for port in list(slice, "/ports").filter_map(|port| port.pointer("/port")?.as_u64()) {
            let port = port.try_into().context("a port is too high")?;
            if !found.ports.contains(&port) {
                found.ports.push(port);
            }
        }
    }
    found.ports.sort_unstable();
    Ok(found)
}

fn addresses<'a>(texts: impl Iterator<Item = &'a Value>) -> anyhow::Result<Vec<IpAddr>> {
    let parse = |text: &str| text.parse::<IpAddr>().with_context(|| format!("{text:?} is no address"));
    let mut found = texts.filter_map(Value::as_str).map(parse).collect::<anyhow::Result<Vec<_>>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn secrets(list: &Value) -> anyhow::Result<BTreeMap<String, Data>> {
    let mut all = BTreeMap::new();
    for secret in items(list) {
        let name = text(secret, "/metadata/name", "a Secret")?;
        let mut data = Data::new();
        for (key, value) in secret.pointer("/data").and_then(Value::as_object).into_iter().flatten() {
            let value = STANDARD.decode(value.as_str().unwrap_or_default());
            data.insert(key.clone(), Secret::new(value.with_context(|| format!("{name}/{key} is no base64"))?));
        }
        all.insert(name, data);
    }
    Ok(all)
}

/// Objects of a list; kubectl prints one object by itself where one name was asked for.
pub(super) fn items(value: &Value) -> Vec<&Value> {
    match value.pointer("/items").and_then(Value::as_array) {
        Some(items) => items.iter().collect(),
        None if value.is_object() => vec![value],
        None => Vec::new(),
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
