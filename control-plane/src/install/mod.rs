//! `sallyport install`, `upgrade`, `uninstall`: manifests for a cluster, with what only its administrator can pin.
//!
//! The manifests are the files of `manifests/`, which are kustomize bases and what the chart renders too. Here the values are made that go
//! into them: configurations, keys, network rules. They are the same for all three forms, and so is the list of their places
//! (`manifests/values/replacements.yaml`).
//!
//! Invariant: nothing is applied here. What is printed is all that happens, and it is the administrator who pipes it into kubectl.

mod base;
mod cluster;
mod exact;
mod fields;
mod keys;
mod kubectl;
mod network;
mod ports;
mod remove;
mod render;
mod settings;
mod upgrade;
mod yaml;

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use shared::time::Timestamp;
use shared_net::enrolment::EnrolmentToken;
use shared_net::pki::KeyPin;

pub use cluster::{Cluster, Data, Endpoints, INSTALLATION, INSTALLED, NAMESPACE};
pub use exact::{Difference, GUARDED, differences};
use keys::Keys;
pub use keys::{ENROLMENT, Rotate};
pub use kubectl::{Kubectl, Missing};
use network::Egress;
pub use ports::LeftOut;
pub use remove::{Removal, removal};
pub(crate) use settings::INSIDE;
use settings::{ControlPlane, Inside, Mode, Pinned, QUIC};
pub use settings::{Settings, read, set};
pub use upgrade::{Changes, changes};

/// The oldest API server that we run on: native sidecars, and a pod's wait before its end.
pub const OLDEST_MINOR: u32 = 30;
/// Beside the agents' configuration: what protects the cluster, as it was installed.
const GUARDED_FILE: &str = "guarded.json";
/// Constrained impersonation is on from here.
const CONSTRAINED_IMPERSONATION: u32 = 36;

/// Everything that is installed.
#[derive(Debug)]
pub struct Installation {
    objects: Vec<Value>,
    values: Value,
    notes: Vec<String>,
    upgrade: bool,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Manifests for `kubectl apply -f -`.
    Manifests,
    /// The chart's values.
    Values,
    /// The values as kustomize takes them, with the objects that no base has.
    Kustomize,
}

impl Installation {
    /// Makes the manifests for a cluster.
    ///
    /// # Errors
    /// The cluster can't have it, or its Secrets are not what we made them.
    pub fn new(settings: &Settings, cluster: &Cluster, rotate: Option<Rotate>, now: Timestamp) -> anyhow::Result<Self> {
        if cluster.minor < OLDEST_MINOR {
            anyhow::bail!("this is Kubernetes 1.{}: 1.{OLDEST_MINOR} or newer is needed", cluster.minor);
        }
        if let Some(other) = cluster.name().filter(|name| *name != settings.cluster) {
            anyhow::bail!(
                "Sallyport is installed here, and calls this cluster {other:?}: records and policies do too. Say \
                 --cluster {other}, or uninstall first"
            );
        }
        let api_server = api_server(settings, cluster)?;
        let keys = Keys::of(cluster, settings, rotate, now)?;
        let mut notes = keys.notes.clone();
        let files = base::files(settings);
        let more = runners(settings, &api_server)?;
        let mut values = values(settings, cluster, &api_server, &keys, &files, &more)?;
        // Once to know what is to be guarded, and once more with that in the agents' hands.
        let guarded = guarded(render::objects(&files, &values)?.iter().chain(&more));
        tell_agents(&mut values, &guarded).context("the agents' values")?;
        let mut objects = render::objects(&files, &values)?;
        // Where runners are, before what lets them come.
        let webhooks = objects.iter().position(|object| object.get("webhooks").is_some()).unwrap_or(objects.len());
        objects.splice(webhooks..webhooks, more);
        notes.extend(warnings(settings));
        match &settings.token {
            Some(token) => notes.push(enrolling(token)),
            None if settings.inside().is_none() && keys.enrolment.is_empty() => notes.push(entry(settings, cluster)),
            None => {}
        }
        Ok(Self { objects, values, notes, upgrade: cluster.installed.is_some() })
    }

    /// The objects, in the order in which they are applied.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// Whether Sallyport is installed there already.
    pub const fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    /// What the administrator should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The text to print.
    pub fn print(&self, form: Form) -> String {
        match form {
            Form::Manifests => yaml::file(&self.objects),
            Form::Values => yaml::text(&self.values),
            Form::Kustomize => {
                let mut values = self.values.clone();
                let more = values.as_object_mut().and_then(|values| {
                    values.insert("apiVersion".to_owned(), "sallyport.dev/v1alpha1".into());
                    values.insert("kind".to_owned(), "Values".into());
                    // kustomize reads it and leaves it out of what it prints.
                    let local = json!({"config.kubernetes.io/local-config": "true"});
                    values.insert("metadata".to_owned(), json!({"name": "sallyport", "annotations": local}));
                    values.remove("more")
                });
                let more = more.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
                yaml::file(&[vec![values], more].concat())
            }
        }
    }
}

impl Cluster {
    /// The name under which it is installed.
    fn name(&self) -> Option<String> {
        let config: Value = serde_saphyr::from_str(self.installed.as_deref()?).ok()?;
        config.get("cluster")?.as_str().map(str::to_owned)
    }
}

/// What agents compare with what is there: a line for each object of [`GUARDED`] kinds, without what says nothing of what it does.
fn guarded<'a>(objects: impl Iterator<Item = &'a Value>) -> String {
    let kind = |object: &&Value| object.get("kind").and_then(Value::as_str).is_some_and(|kind| GUARDED.contains(&kind));
    let lines = objects.filter(kind).map(|object| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| key == "name" || key == "namespace");
        }
        object.to_string()
    });
    format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"))
}

/// Puts that beside the agents' configuration.
fn tell_agents(values: &mut Value, guarded: &str) -> Option<()> {
    let files = values.pointer_mut("/configMaps/agent")?.as_object_mut()?;
    files.insert(GUARDED_FILE.to_owned(), guarded.into());
    let known = values.pointer_mut("/digests/agent")?;
    *known = digest([known.as_str()?.as_bytes(), guarded.as_bytes()]).into();
    Some(())
}

/// What becomes of a token.
fn enrolling(token: &EnrolmentToken) -> String {
    format!(
        "The agents enrol this cluster as {}, once, with the token in the Secret {NAMESPACE}/{}; what is printed here holds it too. \
         `sallyport clusters list` shows at the control plane whether they have.",
        token.name(),
        ENROLMENT
    )
}

/// What a control plane elsewhere has to know where no token tells it: an entry of its configuration.
fn entry(settings: &Settings, cluster: &Cluster) -> String {
    let keys = format!("{}-keys.json", settings.cluster);
    let entry = Pinned { cluster: &settings.cluster, uid: &cluster.uid, issuer: &cluster.issuer }.entry(&keys);
    format!(
        "Enrol the cluster with a one-time token (`sallyport clusters enrol {}` at the control plane, then --enrol TOKEN here); or add this to \
         the control plane's configuration, with {keys} beside it as `kubectl get --raw /openid/v1/jwks` prints it:\n\n{}",
        settings.cluster,
        yaml::text(&json!({"clusters": [entry]}))
    )
}

/// Where the API server is, as it says or as the administrator does.
fn api_server(settings: &Settings, cluster: &Cluster) -> anyhow::Result<Endpoints> {
    let mut found = cluster.api_server.clone();
    if !settings.network.api_server_ports.is_empty() {
        found.ports.clone_from(&settings.network.api_server_ports);
    }
    if found.ports.is_empty() && settings.network.mode != Mode::None {
        anyhow::bail!(
            "the EndpointSlices of default/kubernetes name no port of the API server: say it (--set \
             network.apiServerPorts='[6443]'), for policies let the agent through by it"
        );
    }
    Ok(found)
}

fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.inside().is_some_and(|inside| !inside.has_approvers()) {
        warnings.push("Nobody can approve anything: name an issuer under controlPlane.approverIssuers.".to_owned());
    }
    match settings.network.mode {
        Mode::None => warnings.push("No network policy is installed: what pods may reach is up to you.".to_owned()),
        Mode::Plain if settings.network.runner_namespaces.is_empty() => warnings.push(
            "No namespace of runners is named, so no policy keeps runners from the API server: say --runner-namespace."
                .to_owned(),
        ),
        Mode::Cilium if settings.network.runner_namespaces.is_empty() => warnings.push(
            "No namespace of runners is named, so no policy keeps pods without the annotation from the API server, but in namespaces \
             labelled sallyport.dev/inject=required: say --runner-namespace."
                .to_owned(),
        ),
        Mode::Plain | Mode::Cilium => {}
    }
    warnings
}

/// A policy for all pods of each namespace of runners.
fn runners(settings: &Settings, api_server: &Endpoints) -> anyhow::Result<Vec<Value>> {
    let Some(file) = base::runners(settings.network.mode) else { return Ok(Vec::new()) };
    let egress = Egress::of(settings, api_server).runners;
    let mut policies = Vec::new();
    for namespace in &settings.network.runner_namespaces {
        for mut policy in yaml::documents(base::file(file)?)? {
            for (pointer, value) in [("/metadata/namespace", json!(namespace)), ("/spec/egress", egress.clone())] {
                *policy.pointer_mut(pointer).context(file)? = value;
            }
            policies.push(policy);
        }
    }
    Ok(policies)
}

/// What goes into the manifests.
fn values(
    settings: &Settings,
    cluster: &Cluster,
    api_server: &Endpoints,
    keys: &Keys,
    files: &[&str],
    more: &[Value],
) -> anyhow::Result<Value> {
    let egress = Egress::of(settings, api_server);
    let (address, pin) = control_plane_at(settings, keys)?;
    let agent = agent_config(settings, cluster, keys, &address, pin);
    let injector = injector_config(settings, api_server, &address, pin);
    let control_plane = settings.inside().map(|inside| control_plane_files(inside, settings, cluster));
    let (agent, injector) = (yaml::text(&agent), yaml::text(&injector));
    let control_plane = control_plane.unwrap_or_default();
    let digests = json!({
        "agent": digest([agent.as_bytes()].into_iter().chain(bytes(&keys.placeholder)).chain(bytes(&keys.enrolment))),
        "injector": digest([injector.as_bytes()]),
        // Not of the policy, which is followed while it runs.
        "controlPlane": digest(
            control_plane
                .iter()
                .filter(|(name, _)| *name != "policy.yaml")
                .flat_map(|(name, text)| [name.as_bytes(), text.as_str().unwrap_or_default().as_bytes()])
                .chain(bytes(&keys.ca)),
        ),
    });
    let constrained = cluster.minor >= CONSTRAINED_IMPERSONATION;
    let impersonation = if constrained { base::IMPERSONATION } else { base::LEGACY_IMPERSONATION };
    let pull_secrets: Vec<_> = settings.images.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    Ok(json!({
        "files": files,
        "images": {
            "agent": settings.images.agent,
            "controlPlane": settings.images.control_plane,
            "pullPolicy": settings.images.pull_policy,
            "pullSecrets": pull_secrets,
        },
        "resources": {
            "agent": settings.agent_resources.clone().map_or_else(|| usual("base/agent.yaml"), Ok)?,
            "injector": settings.injector_resources.clone().map_or_else(|| usual("base/injector.yaml"), Ok)?,
            "controlPlane": settings
                .inside()
                .and_then(|inside| inside.resources.clone())
                .map_or_else(|| usual("control-plane/control-plane.yaml"), Ok)?,
        },
        // kustomize takes no empty value, not even for a place that is not there.
        "volumeClaim": settings.inside().map_or_else(|| json!({"none": ""}), volume_claim),
        "digests": digests,
        "configMaps": {
            "agent": {"agent.yaml": agent},
            "injector": {"injector.yaml": injector},
            "controlPlane": or_none(control_plane),
            "installation": {INSTALLED: yaml::text(&settings.values)},
        },
        "secrets": {
            "ca": or_none(secret(&keys.ca)),
            "placeholder": secret(&keys.placeholder),
            "enrolment": or_none(secret(&keys.enrolment)),
            "webhookCa": secret(&keys.webhook_ca),
            "injectorTls": secret(&keys.injector_tls),
        },
        "caBundle": STANDARD.encode(&keys.bundle),
        "impersonationRules": impersonation_rules(impersonation)?,
        "network": {"agent": egress.agent, "controlPlane": egress.control_plane, "runners": egress.runners},
        "more": more,
    }))
}

fn control_plane_at(settings: &Settings, keys: &Keys) -> anyhow::Result<(String, KeyPin)> {
    match &settings.control_plane {
        ControlPlane::Inside(_) => {
            let pin = keys.pin.context("an authority in the cluster has a pin")?;
            Ok((format!("sallyport.{NAMESPACE}.svc:{QUIC}"), pin))
        }
        ControlPlane::Outside { address, pin } => Ok((address.clone(), *pin)),
    }
}

fn agent_config(settings: &Settings, cluster: &Cluster, keys: &Keys, address: &str, pin: KeyPin) -> Value {
    let place = |name: &str| format!("/etc/sallyport-placeholder/{name}");
    let mut placeholder_keys = json!({"current": place("current")});
    if let (Some(map), true) = (placeholder_keys.as_object_mut(), keys.placeholder.contains_key("previous")) {
        map.insert("previous".to_owned(), place("previous").into());
    }
    let mut config = json!({
        "cluster": settings.cluster,
        "clusterUid": cluster.uid,
        "controlPlane": {"address": address, "pin": pin.to_string()},
        "tokenFile": "/var/run/sallyport/identity/token",
        "placeholderKeys": placeholder_keys,
        "namespace": NAMESPACE,
        "protectedNamespaces": settings.protected_namespaces,
        "guarded": format!("/etc/sallyport/{GUARDED_FILE}"),
        "listen": "0.0.0.0:9090",
        "log": {"format": "json"},
    });
    // Only where it is said: an agent of the version before knows no such key.
    if let (Some(map), false) = (config.as_object_mut(), settings.revealed.is_empty()) {
        map.insert("revealed".to_owned(), json!(settings.revealed));
    }
    if let (Some(config), false) = (config.as_object_mut(), keys.enrolment.is_empty()) {
        config.insert("enrolment".to_owned(), "/etc/sallyport-enrolment".into());
    }
    config
}

fn injector_config(settings: &Settings, api_server: &Endpoints, address: &str, pin: KeyPin) -> Value {
    // Where the API server is behind its Service: sidecars try whether the network lets them there.
    let each = |ip: &IpAddr| {
        api_server.ports.iter().map(|port| SocketAddr::from((*ip, *port)).to_string()).collect::<Vec<_>>()
    };
    let api_servers: Vec<_> = api_server.addresses.iter().flat_map(each).collect();
    let mut config = json!({
        "listen": "0.0.0.0:9443",
        "tls": {"certFile": "/etc/sallyport-tls/tls.crt", "keyFile": "/etc/sallyport-tls/tls.key"},
        "image": settings.images.sidecar,
        "imagePullPolicy": settings.images.pull_policy,
        "cluster": settings.cluster,
        "controlPlane": {"address": address, "pin": pin.to_string()},
        "ownNamespaces": [NAMESPACE],
        "apiServers": api_servers,
        "admin": "0.0.0.0:9090",
    });
    if let Some(config) = config.as_object_mut() {
        let port = settings.sidecar_port.map(Value::from);
        let resources = settings.sidecar_resources.clone();
        config.extend(port.map(|port| ("port".to_owned(), port)));
        config.extend(resources.map(|resources| ("resources".to_owned(), resources)));
        let audiences = (!settings.token_audiences.is_empty()).then(|| json!(settings.token_audiences));
        config.extend(audiences.map(|audiences| ("tokenAudiences".to_owned(), audiences)));
    }
    config
}

fn control_plane_files(inside: &Inside, settings: &Settings, cluster: &Cluster) -> Map<String, Value> {
    let pinned = Pinned { cluster: &settings.cluster, uid: &cluster.uid, issuer: &cluster.issuer };
    let mut files = Map::new();
    files.insert("config.yaml".to_owned(), yaml::text(&inside.configuration(&pinned)).into());
    files.insert("keys.json".to_owned(), cluster.keys.clone().into());
    files.extend(inside.policy.iter().map(|policy| ("policy.yaml".to_owned(), policy.clone().into())));
    files.extend(inside.files.iter().map(|(name, text)| (name.clone(), text.clone().into())));
    files
}

fn volume_claim(inside: &Inside) -> Value {
    let mut claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": inside.storage_size}},
    });
    if let (Some(claim), Some(class)) = (claim.as_object_mut(), &inside.storage_class) {
        claim.insert("storageClassName".to_owned(), class.as_str().into());
    }
    claim
}

/// The resources that stand in a manifest.
fn usual(path: &str) -> anyhow::Result<Value> {
    let documents = yaml::documents(base::file(path)?)?;
    let found = documents.iter().find_map(|document| document.pointer("/spec/template/spec/containers/0/resources"));
    found.cloned().with_context(|| format!("{path} has no resources"))
}

fn impersonation_rules(path: &str) -> anyhow::Result<Value> {
    let documents = yaml::documents(base::file(path)?)?;
    let role = documents.iter().find(|one| render::is(one, "ClusterRole", "sallyport:agent-impersonation"));
    role.and_then(|role| role.get("rules")).cloned().with_context(|| format!("{path} has no rules"))
}

/// A Secret's data.
fn secret(data: &Data) -> Map<String, Value> {
    let encoded = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
    data.iter().map(|(key, value)| (key.clone(), encoded(value.expose()))).collect()
}

/// What is not empty.
fn or_none(map: Map<String, Value>) -> Value {
    if map.is_empty() { json!({"none": ""}) } else { Value::Object(map) }
}

fn bytes(data: &Data) -> impl Iterator<Item = &[u8]> {
    data.values().map(|value| value.expose().as_slice())
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With its length, so that parts don't run together.
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
