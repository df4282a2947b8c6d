//! The control plane's configuration: one YAML file. Raw text becomes parsed values; every mistake is reported at once.
//!
//! Nothing that widens access has a default. Paths are taken relative to the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::chain::Chain;
use shared::config::Problems;
use shared::wire;
use shared_net::pki::Ca;

#[cfg(test)]
mod tests;

/// The file as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawConfig {
    data: PathBuf,
    #[serde(default)]
    ca: Option<PathBuf>,
    listen: RawListen,
    #[serde(default)]
    policy: Option<PathBuf>,
    #[serde(default)]
    clusters: Vec<RawCluster>,
    #[serde(default)]
    ci_issuers: Vec<RawIssuer>,
    #[serde(default)]
    approver_issuers: Vec<RawIssuer>,
    #[serde(default)]
    auditor_groups: Vec<String>,
    #[serde(default)]
    local_socket: Option<RawSocket>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawListen {
    quic: String,
    web: String,
    admin: String,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawCluster {
    name: String,
    uid: String,
    issuer: String,
    keys: PathBuf,
    agent: String,
    #[serde(default)]
    require_ci: bool,
    #[serde(default)]
    adopt_keys: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawIssuer {
    issuer: String,
    audience: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    require: BTreeMap<String, String>,
    #[serde(default)]
    person: Option<String>,
    #[serde(default)]
    groups: Option<String>,
    #[serde(default)]
    danger_allow_private_address: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawSocket {
    path: PathBuf,
    uids: Vec<u32>,
    groups: Vec<String>,
    #[serde(default)]
    danger_single_local_vote: bool,
}

/// What a start needs; every value is parsed.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of database, CA and keys.
    pub data: PathBuf,
    /// Folder of an authority (`ca.key`, `ca.crt`) that was made elsewhere: it is read and never made. `None`: it is in the data folder,
    /// made at the first start.
    pub ca: Option<PathBuf>,
    /// UDP and TCP address for sidecars and agents.
    pub quic: SocketAddr,
    /// TCP address of the web API (HTTPS).
    pub web: SocketAddr,
    /// TCP address of /livez, /readyz, /metrics.
    pub admin: SocketAddr,
    /// Further names and addresses under which people reach the web API: they stand in its certificate, and no other is answered to.
    pub names: Vec<String>,
    /// The policy file; `None` is the built-in default policy.
    pub policy: Option<PathBuf>,
    /// The clusters, by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// Issuers of CI jobs' tokens.
    pub ci_issuers: Vec<Issuer>,
    /// Issuers of approvers' tokens.
    pub approver_issuers: Vec<Issuer>,
    /// Groups whose members may read all records. Approvers may anyway.
    pub auditor_groups: Vec<String>,
    /// The local Unix socket; off where absent.
    pub local_socket: Option<LocalSocket>,
}

/// A cluster that is pinned: by this file, or by an enrolment.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Our name of it.
    pub name: String,
    /// uid of its kube-system namespace: what an approval is bound to.
    pub uid: String,
    /// `iss` of its ServiceAccount tokens.
    pub issuer: String,
    /// The pinned keys of that issuer.
    pub keys: Keys,
    /// Namespace of the agent's ServiceAccount.
    pub agent_namespace: String,
    /// Name of the agent's ServiceAccount.
    pub agent_service_account: String,
    /// Whether a session needs a CI provider's token beside the pod's.
    pub require_ci: bool,
    /// Whether keys count that the cluster publishes and nobody pinned, if an agent under a key that counts says so.
    pub adopt_keys: bool,
}

/// Where a pinned key set (JWKS) is.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In a file, which is followed as it changes.
    File(PathBuf),
    /// In the store, since the cluster was enrolled with a token.
    Enrolled {
        /// Number of the enrolment.
        number: i64,
        /// The key set.
        set: String,
    },
}

/// Whose claims are named how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerKind {
    /// GitHub Actions.
    Github,
    /// GitLab.
    Gitlab,
    /// Any OIDC provider.
    Oidc,
}

/// An OIDC issuer that we trust for one purpose.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss`, an https URL.
    pub issuer: String,
    /// `aud` that its tokens must carry; ours alone.
    pub audience: String,
    /// Shape of its claims.
    pub kind: IssuerKind,
    /// CA certificates for its TLS, where public ones don't do.
    pub ca: Option<PathBuf>,
    /// Claims that must be there with exactly this value.
    pub require: BTreeMap<String, String>,
    /// Claim that names the person; `None` where no person is mapped.
    pub person: Option<String>,
    /// Claim with the groups (approvers only).
    pub groups: Option<String>,
    /// Fetch its keys from loopback and private addresses too (tests, in-house providers).
    pub danger_allow_private_address: bool,
}

/// The local socket, for `sallyport try` and break-glass.
#[derive(Clone, Debug)]
pub struct LocalSocket {
    /// Its path; created with mode 0600.
    pub path: PathBuf,
    /// uids that may speak.
    pub uids: Vec<u32>,
    /// Groups that a local caller counts as a member of.
    pub groups: Vec<String>,
    /// One local vote is enough. Only for `try`: every answer says so.
    pub danger_single_local_vote: bool,
}

impl Config {
    /// Reads and checks a file, and what it names that nothing goes without: pinned keys, issuers' roots, the authority.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let (config, problems) = Self::inspect(path);
        problems.finish(config)
    }

    /// The same for somebody who wants all mistakes in one round: those of the policy file too, with which a control plane would start and
    /// refuse everything.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(path: &Path) -> Result<Self, Problems> {
        let (config, mut problems) = Self::inspect(path);
        if let Some(file) = config.as_ref().and_then(|config| config.policy.as_deref()) {
            for mistake in crate::policies::read(file).err().into_iter().flatten() {
                problems.push("policy", format!("{}:{mistake}", file.display()));
            }
        }
        problems.finish(config)
    }

    /// Checks a file's text, which will lie in `folder`.
    ///
    /// # Errors
    /// Every mistake.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Problems> {
        let (config, problems) = Self::read(text, "file", folder);
        problems.finish(config)
    }

    fn inspect(path: &Path) -> (Option<Self>, Problems) {
        let file = path.display().to_string();
        let mut problems = Problems::new();
        let text = std::fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"));
        let Some(text) = problems.take(&file, text) else { return (None, problems) };
        let (config, mut problems) = Self::read(&text, &file, path.parent().unwrap_or_else(|| Path::new(".")));
        if let Some(config) = &config {
            problems.extend(crate::authn::Authn::new(config).err().unwrap_or_default());
            if let Some(folder) = &config.ca {
                let ca = Ca::load(folder, "sallyport").map_err(|error| Chain(&error).to_string());
                problems.take("ca", ca);
            }
        }
        (config, problems)
    }

    /// What could be read, with the mistakes that were found: it is good for nothing but finding more of them, unless there are none.
    fn read(text: &str, file: &str, folder: &Path) -> (Option<Self>, Problems) {
        let mut problems = Problems::new();
        let raw = problems.take(file, serde_saphyr::from_str::<RawConfig>(text));
        let config = raw.map(|raw| check(raw, folder, &mut problems));
        (config, problems)
    }

    /// Where agents elsewhere most likely reach us, as `host:port`: not by a name that is one inside our own cluster only.
    pub fn address(&self) -> Option<String> {
        let bound = (!self.quic.ip().is_unspecified()).then(|| self.quic.to_string());
        let name = self.names.iter().find(|name| !crate::install::INSIDE.contains(&name.as_str()));
        bound.or_else(|| Some(format!("{}:{}", name?, self.quic.port())))
    }

    /// Every name that the web API answers to.
    pub fn web_names(&self) -> Vec<String> {
        let own = [wire::SERVER_NAME, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let bound = [self.web.ip(), self.quic.ip()].into_iter().filter(|ip| !ip.is_unspecified());
        own.into_iter().chain(bound.map(|ip| ip.to_string())).chain(self.names.iter().cloned()).collect()
    }
}

/// The configuration, with something harmless in the place of what is wrong; every such place is a problem.
fn check(raw: RawConfig, folder: &Path, problems: &mut Problems) -> Config {
    let address = |key: &str, text: &str, problems: &mut Problems| {
        let parsed = text.parse::<SocketAddr>();
        let wrong = |_| format!("{text:?} is not an address; write for example 0.0.0.0:7443");
        problems.take(key, parsed.map_err(wrong)).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    };
    let quic = address("listen.quic", &raw.listen.quic, problems);
    let web = address("listen.web", &raw.listen.web, problems);
    let admin = address("listen.admin", &raw.listen.admin, problems);
    if raw.clusters.is_empty() && raw.local_socket.is_none() {
        let why = "name at least one cluster, or a localSocket, over which `sallyport clusters enrol` adds one";
        problems.push("clusters", why);
    }
    let mut clusters = BTreeMap::new();
    for (index, cluster) in raw.clusters.into_iter().enumerate() {
        let key = format!("clusters[{index}]");
        let cluster = check_cluster(cluster, &key, folder, problems);
        if let Some(twin) = clusters.insert(cluster.name.clone(), cluster) {
            problems.push(format!("{key}.name"), format!("{:?} is named twice", twin.name));
        }
    }
    let mut issuers = |list: Vec<RawIssuer>, key: &str| {
        let checked =
            list.into_iter().enumerate().map(|(i, raw)| check_issuer(raw, &format!("{key}[{i}]"), folder, problems));
        checked.collect::<Vec<_>>()
    };
    let ci_issuers = issuers(raw.ci_issuers, "ciIssuers");
    let approver_issuers = issuers(raw.approver_issuers, "approverIssuers");
    if approver_issuers.is_empty() && raw.local_socket.is_none() {
        problems.push("approverIssuers", "nobody could approve anything: name an issuer, or a localSocket");
    }
    if let Some(index) = approver_issuers.iter().position(|issuer| issuer.groups.is_none()) {
        problems.push(format!("approverIssuers[{index}].groups"), "name the claim that holds the groups");
    }
    for (index, name) in raw.listen.names.iter().enumerate() {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if name.parse::<std::net::IpAddr>().is_err() && (name.is_empty() || !name.chars().all(legal)) {
            problems
                .push(format!("listen.names[{index}]"), format!("{name:?} is neither a host name nor an IP address"));
        }
    }
    Config {
        data: folder.join(raw.data),
        ca: raw.ca.map(|path| folder.join(path)),
        quic,
        web,
        admin,
        names: raw.listen.names,
        policy: raw.policy.map(|path| folder.join(path)),
        clusters,
        ci_issuers,
        approver_issuers,
        auditor_groups: raw.auditor_groups,
        local_socket: raw.local_socket.map(|socket| LocalSocket {
            path: folder.join(socket.path),
            uids: socket.uids,
            groups: socket.groups,
            danger_single_local_vote: socket.danger_single_local_vote,
        }),
    }
}

fn check_cluster(raw: RawCluster, key: &str, folder: &Path, problems: &mut Problems) -> Cluster {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if raw.name.is_empty() || !raw.name.chars().all(legal) {
        problems.push(
            format!("{key}.name"),
            "lower-case letters, digits, '-' and '.' only: it stands in paths and policies",
        );
    }
    if raw.uid.is_empty() {
        problems.push(format!("{key}.uid"), "the uid of the cluster's kube-system namespace is missing");
    }
    let (namespace, name) = raw.agent.split_once('/').unwrap_or_else(|| {
        problems.push(format!("{key}.agent"), format!("{:?} is not namespace/serviceaccount", raw.agent));
        Default::default()
    });
    Cluster {
        name: raw.name,
        uid: raw.uid,
        issuer: raw.issuer,
        keys: Keys::File(folder.join(raw.keys)),
        agent_namespace: namespace.to_owned(),
        agent_service_account: name.to_owned(),
        require_ci: raw.require_ci,
        adopt_keys: raw.adopt_keys,
    }
}

fn check_issuer(raw: RawIssuer, key: &str, folder: &Path, problems: &mut Problems) -> Issuer {
    if !raw.issuer.starts_with("https://") {
        problems.push(format!("{key}.issuer"), format!("{:?} is not an https URL", raw.issuer));
    }
    if raw.audience.is_empty() {
        problems.push(
            format!("{key}.audience"),
            "an audience of our own is needed: a token for another service must not count",
        );
    }
    let kind = match raw.kind.as_deref() {
        Some("github") => IssuerKind::Github,
        Some("gitlab") => IssuerKind::Gitlab,
        None | Some("oidc") => IssuerKind::Oidc,
        Some(other) => {
            problems.push(format!("{key}.kind"), format!("{other:?} is none of github, gitlab, oidc"));
            IssuerKind::Oidc
        }
    };
    // SECURITY.md T7: a subject is a mutable string of a global issuer; numeric ids are not.
    let pins: &[&str] = match kind {
        IssuerKind::Github => &["repository_id", "repository_owner_id"],
        IssuerKind::Gitlab => &["project_id", "namespace_id"],
        IssuerKind::Oidc => &[],
    };
    if !pins.is_empty() && !pins.iter().any(|pin| raw.require.contains_key(*pin)) {
        problems.push(
            format!("{key}.require"),
            format!("pin one of {}: names and subjects can be taken over", pins.join(", ")),
        );
    }
    Issuer {
        issuer: raw.issuer,
        audience: raw.audience,
        kind,
        ca: raw.ca.map(|path| folder.join(path)),
        require: raw.require,
        person: raw.person,
        groups: raw.groups,
        danger_allow_private_address: raw.danger_allow_private_address,
    }
}
