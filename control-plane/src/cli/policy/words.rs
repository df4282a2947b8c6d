//! From the words of a person to the request that kubectl would send.

use anyhow::Context as _;
use control_plane_core::request::Request;
use control_plane_core::risk::table;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;

use super::api_resources::{self, Resource};

/// What stands for one word of kubectl: a verb, and the subresource that it is about.
const SHORT: [(&str, &str, &str); 6] = [
    ("exec", "create", "exec"),
    ("attach", "create", "attach"),
    ("port-forward", "create", "portforward"),
    ("cp", "create", "exec"),
    ("logs", "get", "log"),
    ("scale", "patch", "scale"),
];

/// `kubectl create secret generic NAME`: words that are part of the command.
const SUBTYPES: [(&str, &[&str]); 2] = [
    ("secrets", &["generic", "tls", "docker-registry"]),
    ("services", &["clusterip", "externalname", "loadbalancer", "nodeport"]),
];

/// The four kinds of a patch (`kubectl patch --type`, and `kubectl apply --server-side`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PatchType {
    /// What kubectl sends for built-in kinds.
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// What is said of a request.
pub(super) struct Said<'a> {
    pub(super) words: &'a [String],
    pub(super) manifest: Option<&'a Value>,
    pub(super) namespace: &'a str,
    pub(super) patch: Option<PatchType>,
}

/// A resource, or what is known of one that isn't built in.
struct What<'a> {
    resource: Resource<'a>,
    built_in: bool,
    subresource: &'a str,
    name: &'a str,
}

impl Said<'_> {
    /// The request that kubectl would send.
    pub(super) fn request(&self) -> anyhow::Result<Request> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let words = words.strip_prefix(&["kubectl"]).unwrap_or(&words);
        let (verb, rest) = words.split_first().map_or(("create", words), |(verb, rest)| (*verb, rest));
        let short = SHORT.iter().find(|(word, ..)| *word == verb);
        let what = match short {
            Some((_, _, subresource)) => what_of_short(verb, subresource, rest)?,
            None => self.what(verb, rest)?,
        };
        let verb = short.map_or(verb, |(_, verb, _)| verb);
        let patch = matches!(verb, "patch" | "apply").then(|| self.patch_type(verb, &what));
        let (method, named) = match verb {
            "get" => (Method::GET, !what.name.is_empty()),
            "list" | "watch" => (Method::GET, false),
            "create" => (Method::POST, !what.subresource.is_empty()),
            "update" | "replace" => (Method::PUT, true),
            "patch" | "apply" => (Method::PATCH, true),
            "delete" => (Method::DELETE, !what.name.is_empty()),
            "deletecollection" => (Method::DELETE, false),
            other => anyhow::bail!(
                "{other:?} is none of get, list, watch, create, update, replace, patch, apply, delete, deletecollection, {}",
                SHORT.map(|(word, ..)| word).join(", ")
            ),
        };
        anyhow::ensure!(!named || !what.name.is_empty(), "{verb} needs a NAME");
        let mut headers = HeaderMap::new();
        let mut body = String::new();
        if matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            let content_type = patch.map_or("application/json", PatchType::content_type);
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            let nothing = if patch == Some(PatchType::Json) { "[]" } else { "{}" };
            body = self.manifest.map_or_else(|| nothing.to_owned(), Value::to_string);
        }
        let uri = self.uri(&what, named, verb, patch)?;
        Ok(Request::parse(&method, &uri, &headers, body.into())?)
    }

    /// kubectl's own choice where none is made: only built-in kinds know strategic patches.
    fn patch_type(&self, verb: &str, what: &What<'_>) -> PatchType {
        let own = match verb {
            "apply" => PatchType::Apply,
            _ if what.built_in => PatchType::Strategic,
            _ => PatchType::Merge,
        };
        self.patch.unwrap_or(own)
    }

    fn uri(&self, what: &What<'_>, named: bool, verb: &str, patch: Option<PatchType>) -> anyhow::Result<Uri> {
        let Resource { name, group, version, namespaced, .. } = what.resource;
        let mut path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        if namespaced {
            path.push_str(&format!("/namespaces/{}", self.field("/metadata/namespace").unwrap_or(self.namespace)));
        }
        path.push_str(&format!("/{name}"));
        if named {
            path.push_str(&format!("/{}", what.name));
        }
        if !what.subresource.is_empty() {
            path.push_str(&format!("/{}", what.subresource));
        }
        if verb == "watch" {
            path.push_str("?watch=true");
        }
        if patch == Some(PatchType::Apply) {
            path.push_str("?fieldManager=kubectl");
        }
        path.parse().with_context(|| format!("{path:?} is no path"))
    }

    fn field(&self, pointer: &str) -> Option<&str> {
        self.manifest.and_then(|manifest| manifest.pointer(pointer)).and_then(Value::as_str)
    }

    /// `RESOURCE[.GROUP][/SUBRESOURCE] [NAME]`, `RESOURCE/NAME`, or what the manifest says.
    fn what<'a>(&'a self, verb: &str, words: &[&'a str]) -> anyhow::Result<What<'a>> {
        let name_there = self.field("/metadata/name").unwrap_or_default();
        let Some((word, rest)) = words.split_first() else {
            let kind = self.field("/kind").context("say what: VERB RESOURCE [NAME], or -f MANIFEST")?;
            let (group, version) =
                self.field("/apiVersion").map_or(("", "v1"), |v| v.split_once('/').unwrap_or(("", v)));
            let Some(resource) = api_resources::of_kind(group, kind) else {
                anyhow::bail!(
                    "{kind} of {group:?} is not built in, so its plural isn't known here: say it, as in 'create widgets.example.com -f FILE'"
                );
            };
            let resource = Resource { version, ..resource };
            return Ok(What { resource, built_in: true, subresource: "", name: name_there });
        };
        let (word, after) = word.split_once('/').unwrap_or((word, ""));
        let (resource, built_in) = resource(word, self.field("/apiVersion"))?;
        let subtypes =
            SUBTYPES.iter().find(|(of, _)| verb == "create" && *of == resource.name).map(|(_, words)| *words);
        let rest = match (subtypes, rest.split_first()) {
            (Some(subtypes), Some((first, rest))) if subtypes.contains(first) => rest,
            _ => rest,
        };
        let (subresource, name) = match rest.first() {
            Some(name) => (after, *name),
            // kubectl's `pod/x`. Our own `pods/exec` has a name behind it, or speaks of any.
            None if is_subresource(&resource, after) => (after, "any"),
            None if after.is_empty() => ("", name_there),
            None => ("", after),
        };
        Ok(What { resource, built_in, subresource, name })
    }
}

fn what_of_short<'a>(verb: &str, subresource: &'a str, words: &[&'a str]) -> anyhow::Result<What<'a>> {
    let target = words.first().with_context(|| format!("{verb} of what? Say a NAME"))?;
    let (word, name) = match (target.split_once('/'), words.get(1)) {
        (Some((word, name)), _) => (word, name),
        (None, Some(name)) if verb == "scale" => (*target, *name),
        (None, _) => ("pods", *target),
    };
    let (resource, built_in) = resource(word, None)?;
    Ok(What { resource, built_in, subresource, name })
}

fn is_subresource(resource: &Resource<'_>, word: &str) -> bool {
    let is = |row: &table::Row| row.resource.split_once('/') == Some((resource.name, word));
    table::all().any(|row| row.group == resource.group && is(row))
}

/// A built-in resource under any of its names; else a plural with its group, taken as it is.
fn resource<'a>(word: &'a str, api_version: Option<&'a str>) -> anyhow::Result<(Resource<'a>, bool)> {
    if let Some(resource) = api_resources::named(word) {
        return Ok((resource, true));
    }
    let (name, group) = word.split_once('.').with_context(|| {
        format!("{word:?} is no built-in resource, kind or short name; write RESOURCE.GROUP, as in widgets.example.com")
    })?;
    let version = api_version.and_then(|text| text.split_once('/')).map_or("v1", |(_, version)| version);
    Ok((Resource::custom(name, group, version), false))
}
