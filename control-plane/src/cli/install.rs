//! `sallyport install`, `upgrade`, `uninstall`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shared::config::Problems;
use shared_net::clock::Clock;
use shared_net::enrolment::EnrolmentToken;

use crate::install::{self, Changes, Cluster, Form, Installation, Kubectl, LeftOut, Rotate, Settings};

/// Which cluster, and as whom: as kubectl has it.
#[derive(Args, Clone)]
pub(super) struct Access {
    /// The kubeconfig file to use.
    #[arg(long)]
    kubeconfig: Option<OsString>,
    /// The context of it.
    #[arg(long)]
    context: Option<OsString>,
    /// The kubectl to run.
    #[arg(long, default_value = "kubectl")]
    kubectl: OsString,
}

impl Access {
    pub(super) fn kubectl(self) -> Kubectl {
        Kubectl { program: Some(self.kubectl), kubeconfig: self.kubeconfig, context: self.context }
    }
}

/// What is installed. Each flag sets a key of the file of values.
#[derive(Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    access: Access,
    /// A YAML file of values; flags win over it.
    #[arg(long)]
    values: Option<PathBuf>,
    /// Sets any key: --set images.tag=0.1.0 (the value is read as YAML).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// What policies and records call the cluster (key: cluster).
    #[arg(long)]
    cluster: Option<String>,
    /// Where the images are (key: images.registry).
    #[arg(long)]
    registry: Option<String>,
    /// Tag of the images (key: images.tag).
    #[arg(long)]
    tag: Option<String>,
    /// Which network policies: none, plain or cilium (key: network.mode).
    #[arg(long)]
    network: Option<String>,
    /// A namespace of runners, where every pod has a runner's network; may be repeated (key: network.runnerNamespaces).
    #[arg(long = "runner-namespace", value_name = "NAMESPACE")]
    runner_namespaces: Vec<String>,
    /// A name under which people reach the web API; may be repeated (key: controlPlane.names).
    #[arg(long = "web-name", value_name = "NAME")]
    web_names: Vec<String>,
    /// The file with the policy (key: controlPlane.policy).
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The control plane is elsewhere: install agent, injector and policies only.
    #[arg(long, requires = "control_plane")]
    agent_only: bool,
    /// host:port of a control plane elsewhere (key: controlPlane.address).
    #[arg(long, requires = "agent_only")]
    control_plane: Option<String>,
    /// The pin of its authority, as `sallyport pin` prints it there (key: controlPlane.pin).
    #[arg(long, requires = "agent_only")]
    pin: Option<String>,
    /// The one-time token that `sallyport clusters enrol NAME` printed there: it says the cluster's name and the pin, and the agents show it.
    #[arg(long, requires = "agent_only", value_name = "TOKEN", env = "SALLYPORT_ENROL", hide_env_values = true)]
    enrol: Option<String>,
    /// Makes a key anew; everything else is kept.
    #[arg(long)]
    rotate: Option<RotateWhat>,
    /// What is printed.
    #[arg(long, short, default_value = "manifests")]
    output: Output,
}

/// See [`Rotate`].
#[derive(Clone, Copy, ValueEnum)]
enum RotateWhat {
    /// The injector's certificate.
    WebhookCertificate,
    /// The authority of the injector's certificate: three times, a step each.
    WebhookCa,
    /// The key of placeholders.
    Placeholder,
    /// The control plane's authority, where it is in the cluster: twice, a step each.
    ControlPlaneCa,
}

/// See [`Form`].
#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For kubectl apply.
    Manifests,
    /// For manifests/chart.
    Values,
    /// For manifests/base with manifests/values.
    Kustomize,
}

pub(super) fn install(wanted: Wanted) -> anyhow::Result<()> {
    let (_, installation, form) = prepare(wanted)?;
    say(installation.notes());
    super::print(installation.print(form).trim_end());
    Ok(())
}

pub(super) fn upgrade(wanted: Wanted) -> anyhow::Result<()> {
    let (kubectl, installation, form) = prepare(wanted)?;
    if !installation.is_upgrade() {
        anyhow::bail!("Sallyport is not installed here: `sallyport install` is what you want");
    }
    say(installation.notes());
    let Changes { lines, gone, left_out } = install::changes(&kubectl, &installation)?;
    if lines.is_empty() && left_out.is_empty() {
        say(&["Nothing changes.".to_owned()]);
    }
    say(&lines);
    for LeftOut { sentence, line } in left_out {
        say(&[format!("{sentence}: it tells ports apart by their numbers alone. When it is done, type"), line]);
    }
    if let Some(gone) = gone {
        say(&["kubectl apply removes nothing. When it is done, delete what is no longer installed:".to_owned()]);
        say(&[format!("kubectl delete --ignore-not-found -f - <<'YAML'\n{gone}YAML")]);
    }
    super::print(installation.print(form).trim_end());
    Ok(())
}

pub(super) fn uninstall(access: Access, purge: bool) -> anyhow::Result<()> {
    let removal = install::removal(&access.kubectl(), purge)?;
    if removal.count == 0 {
        say(&["Nothing of Sallyport is there that would go.".to_owned()]);
    }
    if !removal.stays.is_empty() {
        say(&["These stay; --purge removes them too:".to_owned()]);
        say(&removal.stays.iter().map(|one| format!("  {one}")).collect::<Vec<_>>());
    }
    super::print(removal.manifests.trim_end());
    Ok(())
}

fn prepare(wanted: Wanted) -> anyhow::Result<(Kubectl, Installation, Form)> {
    let rotate = wanted.rotate.map(|what| match what {
        RotateWhat::WebhookCertificate => Rotate::WebhookCertificate,
        RotateWhat::WebhookCa => Rotate::WebhookCa,
        RotateWhat::Placeholder => Rotate::Placeholder,
        RotateWhat::ControlPlaneCa => Rotate::ControlPlaneCa,
    });
    let form = match wanted.output {
        Output::Manifests => Form::Manifests,
        Output::Values => Form::Values,
        Output::Kustomize => Form::Kustomize,
    };
    let kubectl = wanted.access.clone().kubectl();
    let settings = settings(wanted)?;
    let cluster = Cluster::read(&kubectl).context("the cluster can't be read")?;
    let installation = Installation::new(&settings, &cluster, rotate, Clock::system().now())?;
    Ok((kubectl, installation, form))
}

/// File and flags as one tree, checked as one.
fn settings(wanted: Wanted) -> Result<Settings, Problems> {
    let mut problems = Problems::new();
    let mut values = Value::Null;
    if let Some(path) = &wanted.values {
        values = problems.take(&path.display().to_string(), install::read(path)).unwrap_or_default();
    }
    if values.is_null() {
        values = json!({});
    }
    let policy = wanted.policy.as_ref().and_then(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"));
        problems.take(&path.display().to_string(), text)
    });
    let list = |all: Vec<String>| (!all.is_empty()).then(|| json!(all));
    let flags = [
        ("cluster", wanted.cluster.map(Value::from)),
        ("images.registry", wanted.registry.map(Value::from)),
        ("images.tag", wanted.tag.map(Value::from)),
        ("network.mode", wanted.network.map(Value::from)),
        ("network.runnerNamespaces", list(wanted.runner_namespaces)),
        ("controlPlane.names", list(wanted.web_names)),
        ("controlPlane.policy", policy.map(Value::from)),
        ("controlPlane.address", wanted.control_plane.map(Value::from)),
        ("controlPlane.pin", wanted.pin.map(Value::from)),
    ];
    let mut all: Vec<_> = flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    for text in wanted.sets {
        let parsed =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not KEY=VALUE")).and_then(|(key, value)| {
                let value = serde_saphyr::from_str::<Value>(value).map_err(|error| error.to_string())?;
                Ok((key.to_owned(), value))
            });
        all.extend(problems.take("--set", parsed));
    }
    for (key, value) in all {
        problems.take(&key, install::set(&mut values, &key, value));
    }
    let token = wanted.enrol.and_then(|text| problems.take("--enrol", text.trim().parse::<EnrolmentToken>()));
    if let Some(token) = &token {
        of_token(token, &mut values, &mut problems);
    }
    match Settings::parse(values) {
        Ok(settings) => problems.finish(Some(settings.enrolling(token))),
        Err(more) => {
            for problem in more.iter() {
                problems.push(&problem.key, &problem.message);
            }
            Err(problems)
        }
    }
}

/// What a token says need not be said again, and must not be said otherwise.
fn of_token(token: &EnrolmentToken, values: &mut Value, problems: &mut Problems) {
    for (key, says) in [("cluster", token.name().to_owned()), ("controlPlane.pin", token.pin().to_string())] {
        let pointer = format!("/{}", key.replace('.', "/"));
        match values.pointer(&pointer) {
            None | Some(Value::Null) => drop(problems.take(key, install::set(values, key, says.into()))),
            Some(said) if said.as_str() == Some(says.as_str()) => {}
            Some(said) => problems.push(key, format!("{said} is said, and the enrolment token is for {says:?}")),
        }
    }
}

/// What is for the person and not for kubectl.
fn say(lines: &[String]) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        drop(writeln!(err, "{line}"));
    }
}
