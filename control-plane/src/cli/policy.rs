//! `sallyport policy`: check a file, or ask what it would say.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use control_plane_core::identity::Identity;
use control_plane_core::policy::{self, Body, Live, Policy, Question, SessionFacts};
use control_plane_core::request::Request;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;

use super::print;

/// What to do.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Say everything that is wrong with a policy file.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Say what would happen to a request, given as kubectl-like words (`create serviceaccounts bot -n ci`) or a manifest.
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
        /// `VERB RESOURCE[.GROUP][/SUBRESOURCE] [NAME]`
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
        Command::Explain { policy, file, namespace, asker, words } => {
            explain(policy.as_deref(), file.as_deref(), &namespace, &asker, &words)
        }
    }
}

fn explain(
    policy: Option<&Path>,
    file: Option<&Path>,
    namespace: &str,
    asker: &str,
    words: &[String],
) -> anyhow::Result<()> {
    let policy = match policy {
        Some(path) => crate::policies::read(path).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.join("\n")))?.0,
        None => Policy::built_in().map_err(|_| anyhow::anyhow!("the built-in policy can't be read"))?,
    };
    let manifest = file.map(manifest).transpose()?;
    let request = request(manifest.as_ref(), namespace, words)?;
    let identity = identity(asker)?;
    let query: Vec<(String, String)> = request.query().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let body = match request.body() {
        None => Body::Unknown,
        Some(body) => Body::Read { content_type: "application/json", value: &body.value },
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

/// The request that kubectl would send. The plural of a kind is guessed as kubectl does for the built-in ones.
fn request(manifest: Option<&Value>, namespace: &str, words: &[String]) -> anyhow::Result<Request> {
    let field = |pointer: &str| manifest.and_then(|m| m.pointer(pointer)).and_then(Value::as_str);
    let verb = words.first().map_or("create", String::as_str);
    let (resource, group) = match words.get(1) {
        Some(word) => {
            let (word, sub) = word.split_once('/').map_or((word.as_str(), ""), |(word, sub)| (word, sub));
            let (resource, group) = word.split_once('.').unwrap_or((word, ""));
            (if sub.is_empty() { resource.to_owned() } else { format!("{resource}//{sub}") }, group.to_owned())
        }
        None => {
            let kind = field("/kind").context("say what: VERB RESOURCE [NAME], or -f MANIFEST")?;
            let group = field("/apiVersion").and_then(|v| v.split_once('/')).map_or("", |(group, _)| group);
            (plural(&kind.to_ascii_lowercase()), group.to_owned())
        }
    };
    let version = field("/apiVersion").map_or("v1", |v| v.split_once('/').map_or(v, |(_, version)| version));
    let name = words.get(2).map(String::as_str).or_else(|| field("/metadata/name")).unwrap_or_default();
    let (resource, sub) = resource.split_once("//").map_or((resource.as_str(), ""), |(r, s)| (r, s));
    let (method, named) = match verb {
        "get" => (Method::GET, !name.is_empty()),
        "list" | "watch" => (Method::GET, false),
        "create" => (Method::POST, !sub.is_empty()),
        "update" | "replace" => (Method::PUT, true),
        "patch" | "apply" => (Method::PATCH, true),
        "delete" => (Method::DELETE, !name.is_empty()),
        "deletecollection" => (Method::DELETE, false),
        other => {
            anyhow::bail!("{other:?} is none of get, list, watch, create, update, patch, delete, deletecollection")
        }
    };
    let mut path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    if !is_cluster_scoped(resource) {
        path.push_str(&format!("/namespaces/{}", field("/metadata/namespace").unwrap_or(namespace)));
    }
    path.push_str(&format!("/{resource}"));
    if named {
        path.push_str(&format!("/{name}"));
    }
    if !sub.is_empty() {
        path.push_str(&format!("/{sub}"));
    }
    if verb == "watch" {
        path.push_str("?watch=true");
    }
    let uri: Uri = path.parse()?;
    let mut headers = HeaderMap::new();
    let body = manifest.filter(|_| matches!(method, Method::POST | Method::PUT | Method::PATCH)).map(Value::to_string);
    let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    if body.is_some() || matches!(method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let body = body.unwrap_or_else(|| {
        if matches!(method, Method::POST | Method::PUT | Method::PATCH) { "{}".to_owned() } else { String::new() }
    });
    Ok(Request::parse(&method, &uri, &headers, body.into())?)
}

fn plural(kind: &str) -> String {
    match kind {
        "endpoints" => kind.to_owned(),
        kind if kind.ends_with("policy") || kind.ends_with("entry") => format!("{}ies", kind.trim_end_matches('y')),
        kind if kind.ends_with('s') => format!("{kind}es"),
        kind => format!("{kind}s"),
    }
}

fn is_cluster_scoped(resource: &str) -> bool {
    matches!(
        resource,
        "nodes"
            | "namespaces"
            | "persistentvolumes"
            | "clusterroles"
            | "clusterrolebindings"
            | "customresourcedefinitions"
            | "storageclasses"
            | "validatingwebhookconfigurations"
            | "mutatingwebhookconfigurations"
            | "apiservices"
            | "certificatesigningrequests"
            | "priorityclasses"
            | "csidrivers"
            | "ingressclasses"
            | "runtimeclasses"
    )
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
