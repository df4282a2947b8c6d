//! A rule's `match`.

use super::file;
use super::glob::Glob;
use super::matcher::{IdentityPattern, Match, ResourcePattern};
use super::mistake::suggestion;
use super::reader::Reader;
use super::yaml::{Node, Tree};
use crate::decision::Effect;
use crate::risk::table;
use crate::risk::verbs::{self, Verbs};

const FIELDS: [&str; 8] =
    ["apiGroups", "resources", "verbs", "namespaces", "names", "identities", "clusters", "nonResourceURLs"];

/// Verbs that RBAC knows and no request has.
const NEVER: [&str; 7] = ["impersonate", "escalate", "bind", "use", "approve", "sign", "attest"];

/// Reads a match.
pub(super) fn read(reader: &mut Reader, node: &Node, path: &str, effect: Option<Effect>) -> Match {
    if matches!(node.value, Tree::Null) {
        reader.wrong(node, path, "is empty; write `match: {}` to match every request");
        return Match::default();
    }
    let fields = reader.fields(node, path, &FIELDS);
    let mut words = |name: &str| fields.get(name).map(|(node, path)| globs(reader, node, &path));
    let mut matcher = Match {
        namespaces: words("namespaces"),
        names: words("names"),
        clusters: words("clusters"),
        ..Match::default()
    };
    matcher.groups = fields.get("apiGroups").map(|(node, path)| groups(reader, node, &path));
    matcher.resources =
        fields.get("resources").map(|(node, path)| resources(reader, node, &path, matcher.groups.as_deref()));
    matcher.verbs = fields.get("verbs").map(|(node, path)| {
        let set = verbs(reader, node, &path);
        impossible(reader, node, &path, &matcher, set);
        set
    });
    matcher.identities = fields.get("identities").map(|(node, path)| {
        let items = reader.list(node, &path);
        items.into_iter().filter_map(|(node, path)| identity(reader, node, &path, effect)).collect()
    });
    matcher.paths = fields.get("nonResourceURLs").map(|(node, path)| paths(reader, node, &path));
    let has_resources = ["apiGroups", "resources", "namespaces", "names"].iter().any(|name| fields.get(name).is_some());
    if let (Some((node, path)), true) = (fields.get("nonResourceURLs"), has_resources) {
        reader.wrong(node, &path, "a rule is about resources or about other URLs, not both");
    }
    matcher
}

/// A resource that the rule matches, to try a condition on.
pub(super) fn sample(matcher: &Match) -> (String, String, String) {
    let pattern = matcher.resources.iter().flatten().next();
    let resource = pattern.and_then(|pattern| pattern.resource.clone()).unwrap_or_else(|| "deployments".to_owned());
    let subresource = pattern.and_then(|pattern| pattern.subresource.clone()).unwrap_or_default();
    let group = matcher.groups.iter().flatten().find_map(|group| match group {
        Glob::Exact(group) => Some(group.clone()),
        Glob::Any | Glob::Parts(_) => None,
    });
    let known = || table::all().find(|row| row.resource == resource).map(|row| row.group.to_owned());
    (group.or_else(known).unwrap_or_default(), resource, subresource)
}

pub(super) fn globs(reader: &mut Reader, node: &Node, path: &str) -> Vec<Glob> {
    let mut globs = Vec::new();
    for (node, path, text) in reader.texts(node, path) {
        match Glob::word(&text) {
            Ok(glob) => globs.push(glob),
            Err(message) => reader.wrong(node, &path, message),
        }
    }
    globs
}

pub(super) fn groups(reader: &mut Reader, node: &Node, path: &str) -> Vec<Glob> {
    let mut groups = Vec::new();
    for (node, path, text) in reader.texts(node, path) {
        if text == "v1" || text == "core" {
            reader.wrong(node, &path, format!("the core group is the empty text \"\", not \"{text}\""));
        } else if text.contains('/') {
            reader.wrong(node, &path, "a group has no version here: `apps`, not `apps/v1`");
        } else if text.contains('*') && text != "*" {
            reader.wrong(node, &path, "a group is a name, or `*` for all");
        }
        groups.push(if text == "*" { Glob::Any } else { Glob::Exact(text) });
    }
    groups
}

pub(super) fn resources(reader: &mut Reader, node: &Node, path: &str, groups: Option<&[Glob]>) -> Vec<ResourcePattern> {
    let mut patterns = Vec::new();
    for (node, path, text) in reader.texts(node, path) {
        let (resource, subresource) = match text.split_once('/') {
            // RBAC's `*` is every resource and every subresource.
            None if text == "*" => (None, None),
            None => (Some(text.clone()), Some(String::new())),
            Some((resource, subresource)) => {
                ((resource != "*").then(|| resource.to_owned()), (subresource != "*").then(|| subresource.to_owned()))
            }
        };
        let stars = [&resource, &subresource].into_iter().flatten().any(|part| part.contains(['*', '/']));
        let empty = text.is_empty() || text.starts_with('/') || text.ends_with('/');
        if stars || empty {
            reader.wrong(node, &path, format!("expected pods, pods/exec, pods/*, */scale or *, found \"{text}\""));
        } else if let Some(word) = &resource {
            unknown(reader, node, &path, word, subresource.as_deref(), groups);
        }
        patterns.push(ResourcePattern { resource, subresource });
    }
    patterns
}

/// A resource that no built-in group has is a typo if all groups are built in, or if it is nearly one that they have.
fn unknown(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    word: &str,
    subresource: Option<&str>,
    groups: Option<&[Glob]>,
) {
    let within = |group: &str| groups.is_none_or(|groups| groups.iter().any(|known| known.matches(group)));
    let known =
        || table::all().filter(|row| within(row.group) && row.resource != "*" && !row.resource.starts_with('/'));
    let main = |row: &table::Row| row.resource.split('/').next().unwrap_or_default().to_owned();
    let all_built_in = groups.is_some_and(|groups| {
        groups.iter().all(|group| match group {
            Glob::Exact(group) => table::all().any(|row| row.group == group && row.resource != "*"),
            Glob::Any | Glob::Parts(_) => false,
        })
    });
    if !known().any(|row| main(row) == word) {
        let names: std::collections::BTreeSet<String> = known().map(main).collect();
        let help = suggestion(word, names.iter().map(String::as_str));
        if all_built_in || (groups.is_none() && !help.is_empty()) {
            reader.wrong(node, path, format!("no such group has a resource \"{word}\"{help}"));
        }
        return;
    }
    let Some(subresource) = subresource.filter(|subresource| !subresource.is_empty()) else { return };
    let full = format!("{word}/{subresource}");
    if all_built_in || groups.is_none() {
        let names: Vec<&str> = known()
            .map(|row| row.resource)
            .filter(|name| name.split('/').next() == Some(word) && name.contains('/'))
            .collect();
        if !names.contains(&full.as_str()) {
            let help = suggestion(&full, names.iter().copied());
            reader.wrong(node, path, format!("{word} has no subresource \"{subresource}\"{help}"));
        }
    }
}

fn verbs(reader: &mut Reader, node: &Node, path: &str) -> Verbs {
    let mut set = Verbs::NONE;
    for (node, path, text) in reader.texts(node, path) {
        if text == "*" {
            set = Verbs::ALL;
        } else if let Some(verb) = verbs::parse(&text) {
            set = set.or(Verbs::of(verb));
        } else if NEVER.contains(&text.as_str()) || text.starts_with("impersonate") {
            reader.wrong(
                node,
                &path,
                format!("no request has the verb \"{text}\": it is a right that RBAC checks on the way"),
            );
        } else {
            let help = suggestion(&text, verbs::EVERY.iter().map(|verb| verb.as_str()).chain(["*"]));
            reader.wrong(node, &path, format!("no request has the verb \"{text}\"{help}"));
        }
    }
    set
}

/// Verbs of which the named resources have none.
fn impossible(reader: &mut Reader, node: &Node, path: &str, matcher: &Match, set: Verbs) {
    let Some(patterns) = &matcher.resources else { return };
    if set == Verbs::NONE || set == Verbs::ALL {
        return;
    }
    for pattern in patterns {
        let (Some(resource), Some(subresource)) = (&pattern.resource, &pattern.subresource) else { continue };
        let full = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
        let within =
            |group: &str| matcher.groups.as_ref().is_none_or(|groups| groups.iter().any(|known| known.matches(group)));
        let mut rows = table::all().filter(|row| row.resource == full && within(row.group)).peekable();
        if rows.peek().is_some() && !rows.any(|row| verbs::EVERY.iter().any(|verb| set.has(*verb) && row.has(*verb))) {
            reader.wrong(node, path, format!("{full} has none of these verbs, so the rule never matches it"));
        }
    }
}

fn identity(reader: &mut Reader, node: &Node, path: &str, effect: Option<Effect>) -> Option<IdentityPattern> {
    if let Tree::Text(pattern) = &node.value {
        let (cluster, namespace, account) = file::account(reader, node, path, pattern)?;
        return Some(IdentityPattern::Pod(cluster, namespace, account));
    }
    let fields = reader.fields(node, path, &["issuer", "subject", "claims"]);
    let Some((issuer_node, issuer_path)) = fields.get("issuer") else {
        reader.wrong(node, path, "expected cluster/namespace/serviceaccount, or issuer, subject, claims");
        return None;
    };
    let issuer = reader.text(issuer_node, &issuer_path)?;
    if issuer.contains('*') {
        reader.wrong(issuer_node, &issuer_path, "an issuer is compared as it is, a pattern would trust strangers");
    }
    let mut glob = |node: &Node, path: &str| {
        let text = reader.text(node, path)?;
        match Glob::new(&text) {
            Ok(glob) => Some(glob),
            Err(message) => {
                reader.wrong(node, path, message);
                None
            }
        }
    };
    let subject = fields.get("subject").map(|(node, path)| glob(node, &path));
    let mut claims = Vec::new();
    if let Some((node, path)) = fields.get("claims") {
        if let Tree::Map(entries) = &node.value {
            for (key, value) in entries {
                let Tree::Text(name) = &key.value else { continue };
                if let Some(pattern) = glob(value, &format!("{path}.{name}")) {
                    claims.push((name.clone(), pattern));
                }
            }
        } else {
            reader.wrong(node, &path, format!("expected a map of claims, found {}", node.value.word()));
        }
    }
    let exact = claims.iter().any(|(name, glob)| name != "sub" && glob.is_exact());
    if effect == Some(Effect::Allow) && !exact {
        // SECURITY.md T7: names are given up and taken by others, and a subject is made of names.
        reader.wrong(
            node,
            path,
            "an allowing rule names a claim that nobody else can come to hold, like repository_id or project_id, and no pattern",
        );
    }
    Some(IdentityPattern::Ci { issuer, subject: subject.flatten(), claims })
}

fn paths(reader: &mut Reader, node: &Node, path: &str) -> Vec<(String, bool)> {
    let mut paths = Vec::new();
    for (node, path, text) in reader.texts(node, path) {
        let (known, below) = match text.strip_suffix('*') {
            Some(prefix) => (prefix.to_owned(), true),
            None => (text.clone(), false),
        };
        let fits = (known.starts_with('/') || text == "*")
            && !known.contains('*')
            && (!below || known.is_empty() || known.ends_with('/'));
        if !fits {
            reader.wrong(
                node,
                &path,
                format!("expected a path like /metrics, or /metrics/* for all below it, found \"{text}\""),
            );
        }
        paths.push((known, below));
    }
    paths
}
