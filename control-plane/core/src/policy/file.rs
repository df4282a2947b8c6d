//! The policy file's fields, read into a `Policy`'s parts. Every mistake is noted and reading goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::limits;

use super::cel::Patterns;
use super::default_mask;
use super::file_hide;
use super::file_mask::{self, MaskRule};
use super::glob::Glob;
use super::reader::Reader;
use super::rule::{Approvers, Rule};
use super::yaml::Node;
use super::{Defaults, NoPerson, file_rule};
use crate::risk::Protect;

/// The only version there is.
const API_VERSION: &str = "sallyport.dev/v1alpha1";

/// What a file says.
#[derive(Debug)]
pub(super) struct File {
    pub(super) defaults: Defaults,
    pub(super) default_rules: bool,
    pub(super) protect: Protect,
    pub(super) no_person: Vec<NoPerson>,
    pub(super) mask: Vec<MaskRule>,
    pub(super) rules: Vec<Rule>,
}

/// Reads a whole file. `prefix` is `default/` for the built-in policy, empty for a user's.
pub(super) fn read(reader: &mut Reader, root: &Node, prefix: &str, patterns: &mut Patterns) -> File {
    let fields = reader.fields(
        root,
        "",
        &[
            "apiVersion",
            "kind",
            "thresholds",
            "defaults",
            "defaultRules",
            "protect",
            "noPersonBehind",
            "defaultMask",
            "mask",
            "rules",
        ],
    );
    match fields.get("apiVersion") {
        Some((node, path)) => {
            reader.word(node, &path, &[(API_VERSION, ())]);
        }
        None => reader.wrong(root, "apiVersion", format!("is missing; expected {API_VERSION}")),
    }
    if let Some((node, path)) = fields.get("kind") {
        reader.word(node, &path, &[("Policy", ())]);
    }
    let mut file = File {
        defaults: Defaults::default(),
        default_rules: true,
        protect: Protect::default(),
        no_person: Vec::new(),
        mask: Vec::new(),
        rules: Vec::new(),
    };
    if let Some((node, path)) = fields.get("thresholds") {
        thresholds(reader, node, &path, &mut file.defaults);
    }
    if let Some((node, path)) = fields.get("defaults") {
        defaults(reader, node, &path, &mut file.defaults);
    }
    if let Some((node, path)) = fields.get("defaultRules") {
        file.default_rules = reader.flag(node, &path).unwrap_or(true);
    }
    if let Some((node, path)) = fields.get("protect") {
        let protect = reader.fields(node, &path, &["namespaces"]);
        if let Some((node, path)) = protect.get("namespaces") {
            // Added to the built-in one: a file can't take protection away.
            let named = reader.texts(node, &path).into_iter().map(|(_, _, text)| text);
            file.protect.namespaces.extend(named);
        }
    }
    if let Some((node, path)) = fields.get("noPersonBehind") {
        file.no_person = no_person(reader, node, &path);
    }
    if let Some((node, path)) = fields.get("defaultMask")
        && reader.flag(node, &path) == Some(true)
    {
        file.mask = default_mask::rules();
    }
    if let Some((node, path)) = fields.get("mask") {
        file_mask::read(reader, node, &path, &mut file.mask);
    }
    if let Some((node, path)) = fields.get("rules") {
        file.rules = rules(reader, node, &path, prefix, &file.mask, patterns);
    }
    file
}

fn thresholds(reader: &mut Reader, node: &Node, path: &str, defaults: &mut Defaults) {
    let fields = reader.fields(node, path, &["holdAt", "denyAt", "twoPeopleAt"]);
    let mut read = |name: &str, value: &mut u8| {
        if let Some((node, path)) = fields.get(name)
            && let Some(number) = reader.number(node, &path, 1, 100)
        {
            *value = u8::try_from(number).unwrap_or(*value);
        }
    };
    read("holdAt", &mut defaults.hold_at);
    read("denyAt", &mut defaults.deny_at);
    read("twoPeopleAt", &mut defaults.two_people_at);
    if defaults.hold_at > defaults.deny_at {
        reader.wrong(node, path, "holdAt is above denyAt: nothing would ever be held");
    }
}

fn defaults(reader: &mut Reader, node: &Node, path: &str, defaults: &mut Defaults) {
    let fields = reader.fields(node, path, &["approvers", "wait"]);
    if let Some((node, path)) = fields.get("approvers") {
        let approvers = approvers(reader, node, &path);
        if let Some(groups) = approvers.groups {
            defaults.terms.groups = groups;
        }
        if let Some(quorum) = approvers.quorum {
            defaults.terms.quorum = quorum;
        }
    }
    if let Some((node, path)) = fields.get("wait")
        && let Some(wait) = wait(reader, node, &path)
    {
        defaults.terms.wait = wait;
    }
}

/// `approvers: {groups: [...], quorum: 1}`.
pub(super) fn approvers(reader: &mut Reader, node: &Node, path: &str) -> Approvers {
    let fields = reader.fields(node, path, &["groups", "quorum"]);
    let mut approvers = Approvers::default();
    if let Some((node, path)) = fields.get("groups") {
        let mut groups = BTreeSet::new();
        for (node, path, group) in reader.texts(node, &path) {
            if group.trim() != group || group.is_empty() {
                reader.wrong(node, &path, "a group's name is compared as it is: no spaces around it, and not empty");
            } else if group.contains('*') {
                reader.wrong(node, &path, "groups are names, not patterns");
            }
            groups.insert(group);
        }
        approvers.groups = Some(groups);
    }
    if let Some((node, path)) = fields.get("quorum") {
        let quorum = reader.number(node, &path, 1, u64::from(limits::QUORUM_MAX));
        approvers.quorum = quorum.and_then(|quorum| u8::try_from(quorum).ok());
    }
    approvers
}

/// How long a hold waits.
pub(super) fn wait(reader: &mut Reader, node: &Node, path: &str) -> Option<Duration> {
    reader.duration(node, path, limits::HOLD_WAIT_MAX)
}

fn no_person(reader: &mut Reader, node: &Node, path: &str) -> Vec<NoPerson> {
    let mut list = Vec::new();
    for (node, path) in reader.list(node, path) {
        let fields = reader.fields(node, &path, &["issuer", "serviceAccount"]);
        match (fields.get("issuer"), fields.get("serviceAccount")) {
            (Some((node, path)), None) => {
                if let Some(issuer) = reader.text(node, &path) {
                    list.push(NoPerson::Issuer(issuer));
                }
            }
            (None, Some((node, path))) => {
                if let Some(pattern) = reader.text(node, &path)
                    && let Some((cluster, namespace, account)) = account(reader, node, &path, &pattern)
                {
                    list.push(NoPerson::ServiceAccount(cluster, namespace, account));
                }
            }
            _ => reader.wrong(node, &path, "expected either issuer or serviceAccount"),
        }
    }
    list
}

/// `cluster/namespace/serviceaccount`.
pub(super) fn account(reader: &mut Reader, node: &Node, path: &str, pattern: &str) -> Option<(Glob, Glob, Glob)> {
    let parts: Vec<&str> = pattern.split('/').collect();
    let [cluster, namespace, account] = parts.as_slice() else {
        reader.wrong(node, path, format!("expected cluster/namespace/serviceaccount, found \"{pattern}\""));
        return None;
    };
    let mut glob = |part: &str| match Glob::word(part) {
        Ok(glob) => Some(glob),
        Err(message) => {
            reader.wrong(node, path, message);
            None
        }
    };
    let (cluster, namespace, account) = (glob(cluster), glob(namespace), glob(account));
    Some((cluster?, namespace?, account?))
}

fn rules(
    reader: &mut Reader,
    node: &Node,
    path: &str,
    prefix: &str,
    mask: &[MaskRule],
    patterns: &mut Patterns,
) -> Vec<Rule> {
    let nodes = reader.list(node, path);
    if nodes.len() > limits::POLICY_RULES {
        reader.wrong(node, path, format!("{} rules, at most {} are read", nodes.len(), limits::POLICY_RULES));
        return Vec::new();
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut names: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let mut total: Vec<usize> = Vec::new();
    for (node, path) in nodes {
        let Some(rule) = file_rule::read(reader, node, &path, prefix, mask, patterns) else { continue };
        if let Some(line) = names.get(&rule.name) {
            reader.wrong(node, &path, format!("the name \"{}\" is taken by the rule on line {line}", rule.name));
        }
        names.entry(rule.name.clone()).or_insert(node.line);
        unreachable(reader, node, &path, &rule, &rules, &total);
        // Rules that settle everything they match: only they can hide later ones.
        if rule.when.is_none() && rule.effect.is_some() {
            total.push(rules.len());
        }
        rules.push(rule);
        let (count, bytes) = file_hide::size(rules.iter().flat_map(|rule| &rule.hide));
        if count > limits::HIDE_PATTERNS || bytes > limits::HIDE_BYTES {
            let (most, long) = (limits::HIDE_PATTERNS, limits::HIDE_BYTES);
            reader.wrong(
                node,
                &path,
                format!("the rules up to here hide by more than {most} patterns, or {long} bytes"),
            );
            return rules;
        }
    }
    rules
}

/// A rule that never settles anything, because an earlier one always does.
fn unreachable(reader: &mut Reader, node: &Node, path: &str, rule: &Rule, earlier: &[Rule], total: &[usize]) {
    use crate::decision::Effect::{Allow, Deny, Hold};
    if rule.has_side_effects() || total.len() > 1000 {
        return;
    }
    let Some(effect) = rule.effect else { return };
    let hides = |known: &&Rule| {
        let stronger = match (known.effect, effect) {
            // A denial beats all, wherever it stands; only another one can make it superfluous.
            (Some(Deny), _) => true,
            (Some(Hold), Allow | Hold) => true,
            // An allowing rule with a name or namespace doesn't take what only may be that, a stricter one does.
            (Some(Allow), Allow) => true,
            (Some(Allow), Hold) => known.matcher.names.is_none() && known.matcher.namespaces.is_none(),
            (Some(Allow | Hold) | None, _) => false,
        };
        stronger && known.matcher.covers(&rule.matcher)
    };
    if let Some(hidden_by) = total.iter().filter_map(|index| earlier.get(*index)).find(hides) {
        reader.wrong(
            node,
            path,
            format!("never settles anything: \"{}\" above it takes all that it matches", hidden_by.name),
        );
    }
}
