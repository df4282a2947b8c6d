//! The agent's configuration: one YAML file. All mistakes are reported at once; secrets are paths.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control_plane_core::mask::{PlaceholderKey, PlaceholderKeys};
use http::uri::Authority;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use shared::config::Problems;
use shared_net::pki::KeyPin;
use shared_net::telemetry::{Format, LogConfig};

use crate::disclosure::Disclosable;
use crate::enrolment::Enrolment;
use crate::guard::Guarded;
use crate::upstream::ApiServer;

#[cfg(test)]
mod tests;

/// Names the file, if no argument does.
pub const VARIABLE: &str = "SALLYPORT_AGENT_CONFIG";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The file as it is written. A key that is not here is a mistake.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawConfig {
    cluster: String,
    cluster_uid: String,
    control_plane: RawControlPlane,
    token_file: String,
    placeholder_keys: RawKeys,
    api_server: Option<RawApiServer>,
    namespace: Option<String>,
    protected_namespaces: Vec<String>,
    revealed: Vec<String>,
    guarded: Option<String>,
    enrolment: Option<String>,
    listen: Option<String>,
    log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawControlPlane {
    address: String,
    pin: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawKeys {
    current: String,
    previous: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawApiServer {
    url: String,
    ca_file: String,
    token_file: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    filter: Option<String>,
    format: Option<String>,
}

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// Our name of the cluster, as in the control plane's configuration.
    pub cluster: String,
    /// uid of its `kube-system` namespace, written at install: the agent has no right to read it.
    pub cluster_uid: String,
    /// `host:port` of the control plane: UDP, or TCP where that is blocked.
    pub address: String,
    /// Key of the control plane's authority.
    pub pin: KeyPin,
    /// Our projected token, audience `sallyport-agent`.
    pub token_file: PathBuf,
    /// The keys of placeholders.
    pub placeholders: PlaceholderKeys,
    /// The API server.
    pub api_server: ApiServer,
    /// Where our Leases are.
    pub namespace: String,
    /// Where nothing is changed; contains `namespace`.
    pub protected: BTreeSet<String>,
    /// The Secrets of which values may be shown to a job once people have approved it; none where nobody says.
    pub disclosable: Disclosable,
    /// Our own objects as they were installed; none where nobody says.
    pub guarded: Guarded,
    /// What enrols the cluster; none where the control plane's configuration has it.
    pub enrolment: Option<Enrolment>,
    /// /livez, /readyz, /metrics.
    pub listen: SocketAddr,
    /// Logging.
    pub log: LogConfig,
}

/// What the pod's environment says of the API server.
#[derive(Clone, Debug, Default)]
pub struct InCluster {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: Option<String>,
}

/// Reads file and environment.
///
/// # Errors
/// Every mistake.
#[expect(clippy::disallowed_methods, reason = "this is the config module")]
pub fn load(argument: Option<PathBuf>) -> Result<Config, Problems> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut problems = Problems::new();
    let Some(path) = argument.or_else(|| variable(VARIABLE).map(PathBuf::from)) else {
        problems.push("arguments", format!("name the configuration file, or set {VARIABLE}"));
        return Err(problems);
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(path.display().to_string(), error.to_string());
            return Err(problems);
        }
    };
    let in_cluster = InCluster { host: variable("KUBERNETES_SERVICE_HOST"), port: variable("KUBERNETES_SERVICE_PORT") };
    parse(&text, &in_cluster)
}

/// Parses the file's text.
///
/// # Errors
/// Every mistake.
pub fn parse(text: &str, in_cluster: &InCluster) -> Result<Config, Problems> {
    let mut problems = Problems::new();
    let raw: RawConfig = match serde_saphyr::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            problems.push("file", error.to_string());
            return Err(problems);
        }
    };
    let p = &mut problems;
    let cluster = name(p, "cluster", &raw.cluster, 253);
    let cluster_uid = required(p, "clusterUid", &raw.cluster_uid);
    let address = p.take("controlPlane.address", host_and_port(&raw.control_plane.address));
    let pin = p.take("controlPlane.pin", raw.control_plane.pin.parse::<KeyPin>());
    let token_file = file(p, "tokenFile", &raw.token_file);
    let placeholders = placeholder_keys(p, &raw.placeholder_keys);
    let api_server = api_server(p, raw.api_server, in_cluster);
    let namespace = name(p, "namespace", raw.namespace.as_deref().unwrap_or("sallyport"), 63);
    let mut protected = BTreeSet::new();
    for (index, one) in raw.protected_namespaces.iter().enumerate() {
        protected.extend(name(p, &format!("protectedNamespaces[{index}]"), one, 63));
    }
    protected.extend(namespace.clone());
    let disclosable = p.take("revealed", Disclosable::parse(&raw.revealed, &protected));
    let guarded = guarded(p, raw.guarded.as_deref());
    let enrolment = match (raw.enrolment.as_deref(), &cluster, pin) {
        (Some(folder), Some(cluster), Some(pin)) => {
            p.take("enrolment", Enrolment::read(Path::new(folder), cluster, pin)).map(Some)
        }
        // A mistake in what it has to agree with is told already.
        (Some(_), _, _) | (None, _, _) => Some(None),
    };
    let listen = raw.listen.as_deref().unwrap_or("0.0.0.0:9090");
    let listen = p.take(
        "listen",
        listen.parse::<SocketAddr>().map_err(|_| format!("{listen:?} is no address; write for example 0.0.0.0:9090")),
    );
    let log = log(p, &raw.log);
    let config = (|| {
        Some(Config {
            cluster: cluster?,
            cluster_uid: cluster_uid?,
            address: address?,
            pin: pin?,
            token_file: token_file?,
            placeholders: placeholders?,
            api_server: api_server?,
            namespace: namespace?,
            protected,
            disclosable: disclosable?,
            guarded: guarded?,
            enrolment: enrolment?,
            listen: listen?,
            log: log?,
        })
    })();
    problems.finish(config)
}

fn required(problems: &mut Problems, key: &str, value: &str) -> Option<String> {
    if value.trim().is_empty() {
        problems.push(key, "is missing");
        return None;
    }
    Some(value.to_owned())
}

/// A name as Kubernetes has them (RFC 1123 subdomain).
fn name(problems: &mut Problems, key: &str, value: &str, longest: usize) -> Option<String> {
    let value = required(problems, key, value)?;
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let ends = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = value.as_bytes();
    if bytes.len() > longest || !bytes.iter().all(|c| inner(*c)) || !ends(bytes.first()) || !ends(bytes.last()) {
        problems.push(key, format!("{value:?} is no name: at most {longest} of a-z, 0-9, '-' and '.'"));
        return None;
    }
    Some(value)
}

fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no host:port; write for example control-plane.example:7443");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || port.parse::<u16>().is_err() || text.parse::<Authority>().is_err() {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

/// A file that is there and can be read now. Its content may change later.
fn file(problems: &mut Problems, key: &str, path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(required(problems, key, path)?);
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => {
            problems.push(key, format!("{}: {error}", path.display()));
            None
        }
    }
}

fn guarded(problems: &mut Problems, path: Option<&str>) -> Option<Guarded> {
    let Some(path) = path else { return Some(Guarded::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let parsed = text.and_then(|text| Guarded::parse(&text)).map_err(|why| format!("{path}: {why}"));
    problems.take("guarded", parsed)
}

fn placeholder_keys(problems: &mut Problems, raw: &RawKeys) -> Option<PlaceholderKeys> {
    let current = placeholder_key(problems, "placeholderKeys.current", &raw.current);
    let previous = match raw.previous.as_deref() {
        Some(path) => Some(placeholder_key(problems, "placeholderKeys.previous", path)?),
        None => None,
    };
    Some(PlaceholderKeys::new(current?, previous))
}

/// 32 bytes, as they are or in base64.
fn placeholder_key(problems: &mut Problems, key: &str, path: &str) -> Option<PlaceholderKey> {
    let path = file(problems, key, path)?;
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(key, format!("{}: {error}", path.display()));
            return None;
        }
    };
    let decoded = <[u8; 32]>::try_from(bytes.as_slice())
        .ok()
        .or_else(|| STANDARD.decode(bytes.trim_ascii()).ok()?.try_into().ok());
    if decoded.is_none() {
        problems.push(key, format!("{} holds no 32 bytes (as they are, or in base64)", path.display()));
    }
    decoded.map(PlaceholderKey::new)
}

fn api_server(problems: &mut Problems, raw: Option<RawApiServer>, in_cluster: &InCluster) -> Option<ApiServer> {
    let raw = raw.or_else(|| {
        let host = in_cluster.host.as_deref()?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Some(RawApiServer {
            url: format!("https://{host}:{}", in_cluster.port.as_deref().unwrap_or("443")),
            ca_file: format!("{SERVICE_ACCOUNT}/ca.crt"),
            token_file: format!("{SERVICE_ACCOUNT}/token"),
        })
    });
    let Some(raw) = raw else {
        problems.push("apiServer", "is missing, and this is no pod: KUBERNETES_SERVICE_HOST is not set");
        return None;
    };
    let authority = problems.take("apiServer.url", server_authority(&raw.url));
    let ca_file = file(problems, "apiServer.caFile", &raw.ca_file);
    let roots = ca_file.and_then(|path| problems.take("apiServer.caFile", roots(&path)));
    let token_file = file(problems, "apiServer.tokenFile", &raw.token_file);
    Some(ApiServer { authority: authority?, roots: roots?, token_file: token_file? })
}

/// HTTPS only: the credential travels there.
fn server_authority(url: &str) -> Result<Authority, String> {
    let wrong = || format!("{url:?} is no URL of an API server; write for example https://10.96.0.1:443");
    let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
    let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| wrong())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(authority)
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"holds no certificate"));
    }
    Ok(roots)
}

fn log(problems: &mut Problems, raw: &RawLog) -> Option<LogConfig> {
    let format = match raw.format.as_deref() {
        None | Some("auto") => Format::Auto,
        Some("json") => Format::Json,
        Some("text") => Format::Text,
        Some(other) => {
            problems.push("log.format", format!("{other:?} is none of json, text, auto"));
            Format::Auto
        }
    };
    problems.take("log.filter", LogConfig::parse(raw.filter.as_deref().unwrap_or("info"), format))
}
