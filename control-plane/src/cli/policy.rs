//! `sallyport policy`: check a file, or ask what it would say.

mod api_resources;
mod words;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use control_plane_core::identity::Identity;
use control_plane_core::policy::{self, Body, Live, Policy, Question, SessionFacts};
use serde_json::Value;

use self::words::{PatchType, Said};
use super::print;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Say everything that is wrong with a policy file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Say what would happen to a request, given as words of kubectl (`create serviceaccount bot`, `delete po x`) or a manifest.
    Explain {
        /// The policy file; without it, the built-in policy.
        #[arg(long)]
        policy: Option<PathBuf>,
        /// A manifest that is to be created (or changed, with a verb).
        #[arg(short = 'f', long)]
        file: Option<PathBuf>,
        /// Namespace.
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// Who asks: cluster/namespace/serviceaccount.
        #[arg(long = "as", default_value = "cluster/ci/runner")]
        asker: String,
        /// Of which type a patch is. Without it, as kubectl has it.
        #[arg(long = "type", value_enum)]
        patch: Option<PatchType>,
        /// `VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME]`: plural, singular, kind or short name; `exec POD`, `logs POD` and the like.
        words: Vec<String>,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check { file } => match crate::policies::read(&file) {
            Ok((policy, _)) => {
                print(&format!("{} is right: {} rules", file.display(), policy.rule_names().count()));
                Ok(())
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    print(&format!("{}:{mistake}", file.display()));
                }
                anyhow::bail!("{} mistake(s); this file would be refused whole", mistakes.len())
            }
        },
        Command::Explain { policy, file, namespace, asker, patch, words } => {
            let manifest = file.as_deref().map(manifest).transpose()?;
            let said = Said { words: &words, manifest: manifest.as_ref(), namespace: &namespace, patch };
            explain(policy.as_deref(), &said, &asker)
        }
    }
}

fn explain(policy: Option<&Path>, said: &Said<'_>, asker: &str) -> anyhow::Result<()> {
    let policy = match policy {
        Some(path) => crate::policies::read(path).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.join("\n")))?.0,
        None => Policy::built_in().map_err(|_| anyhow::anyhow!("the built-in policy can't be read"))?,
    };
    let request = said.request()?;
    let identity = identity(asker)?;
    let query: Vec<(String, String)> = request.query().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let content_type = request.wire().header(&http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("no body");
    let body = match request.body().filter(|_| said.manifest.is_some()) {
        None => Body::Unknown,
        Some(body) => Body::Read { content_type, value: &body.value },
    };
    let session = SessionFacts::default();
    let question = Question {
        info: request.info(),
        identity: &identity,
        query: &query,
        body: if request.info().is_read() { Body::Absent } else { body },
        live: Live::NotRead,
        session: &session,
        cluster: &identity.pod().cluster,
    };
    let verdict = policy::decide(&policy, &question, &|| false);
    print(&format!("{} {} ({})", request.info().verb, request.info().path(), content_type));
    for line in verdict.explanation().lines() {
        print(&line);
    }
    if let Some(terms) = verdict.terms() {
        let groups: Vec<&str> = terms.groups.iter().map(String::as_str).collect();
        print(&format!("waits up to {:?} for {} vote(s) of {}", terms.wait, terms.quorum, groups.join(", ")));
    }
    Ok(())
}

fn manifest(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is neither YAML nor JSON", path.display()))
}

fn identity(asker: &str) -> anyhow::Result<Identity> {
    let mut parts = asker.split('/');
    let (Some(cluster), Some(namespace), Some(account), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        anyhow::bail!("{asker:?} is not cluster/namespace/serviceaccount");
    };
    let pod = serde_json::json!({ "cluster": cluster, "namespace": namespace, "serviceAccount": account, "pod": "", "podUid": "" });
    Ok(serde_json::from_value(serde_json::json!({ "pod": pod, "expires": 0 }))?)
}
