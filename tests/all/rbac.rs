//! The roles of `manifests/agent` against policy: whatever policy lets through without asking anybody, the API server lets the group do
//! that it is sent under; and no group may do anything that policy never sends under it. Every built-in resource × verb.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::process::Command;

use control_plane_core::decision::{Effect, Group};
use control_plane_core::identity::Identity;
use control_plane_core::policy::{self, Body, Live, Policy, Question, SessionFacts};
use control_plane_core::request_info::{RequestInfo, Verb};
use control_plane_core::risk::{table, verbs};
use serde_json::{Value, json};
use tests::cluster::{Cluster, root};

/// A verb on a resource or subresource of a group, or a GET of a path.
pub(crate) type Right = (String, String, String);

/// What the rules of a role allow, by the API server's own way to match (k8s.io/kubernetes pkg/apis/rbac/v1/evaluation_helpers.go).
struct Role {
    rules: Vec<Value>,
}

impl Role {
    fn of(cluster: &Cluster, group: Group) -> Self {
        let role = cluster.get_json(&["clusterrole", group.as_str()]);
        // What is bound is the role of the group's own name, and nothing else.
        let bindings = cluster.get_json(&["clusterrolebindings"]);
        let bound: Vec<_> = bindings["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|binding| {
                binding["subjects"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == group.as_str()))
            })
            .map(|binding| binding["roleRef"]["name"].clone())
            .collect();
        assert_eq!(bound, [group.as_str()]);
        Self { rules: role["rules"].as_array().unwrap().clone() }
    }

    fn allows(&self, (group, resource, verb): &Right) -> bool {
        let has = |rule: &Value, field: &str, fits: &dyn Fn(&str) -> bool| {
            rule[field].as_array().is_some_and(|all| all.iter().any(|one| one.as_str().is_some_and(fits)))
        };
        let exactly = |text: &str| {
            let text = text.to_owned();
            move |one: &str| one == "*" || one == text
        };
        self.rules.iter().any(|rule| {
            let on = if resource.starts_with('/') {
                has(rule, "nonResourceURLs", &|one| {
                    one == resource || one.strip_suffix('*').is_some_and(|below| resource.starts_with(below))
                })
            } else {
                has(rule, "apiGroups", &exactly(group)) && has(rule, "resources", &exactly(resource))
            };
            on && has(rule, "verbs", &exactly(verb))
        })
    }

    /// Single rights that are written out in it, so that a line too many shows.
    fn written(&self) -> impl Iterator<Item = Right> {
        let words = |rule: &Value, field: &str| -> Vec<String> {
            rule[field].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        self.rules.iter().flat_map(move |rule| {
            let (groups, verbs) = (words(rule, "apiGroups"), words(rule, "verbs"));
            words(rule, "resources")
                .into_iter()
                .filter(|resource| resource != "*")
                .flat_map(|resource| {
                    groups.iter().map(move |group| (group.clone(), resource.clone())).collect::<Vec<_>>()
                })
                .flat_map(|(group, resource)| {
                    verbs.iter().map(move |verb| (group.clone(), resource.clone(), verb.clone())).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        })
    }
}

/// Each built-in resource and path × verb, with an index that tells the paths from the resources.
pub(crate) fn everything() -> BTreeSet<(Right, Verb)> {
    let mut all = BTreeSet::new();
    for row in table::all().filter(|row| !row.resource.contains('*')) {
        for verb in verbs::EVERY.into_iter().filter(|verb| row.has(*verb)) {
            let of_path = matches!(verb, Verb::Post | Verb::Put | Verb::Head | Verb::Options);
            if row.resource.starts_with('/') && verb == Verb::Get || !row.resource.starts_with('/') && !of_path {
                all.insert(((row.group.to_owned(), row.resource.to_owned(), verb.as_str().to_owned()), verb));
            }
        }
    }
    all
}

/// The group that the built-in policy sends it under without asking anybody: in its most harmless form, since a body or a place only
/// ever raises the risk.
fn sent_as(policy: &Policy, (group, resource, _): &Right, verb: Verb, dry: bool) -> Option<Group> {
    let pod = json!({"cluster": "c", "namespace": "n", "serviceAccount": "s", "pod": "p", "podUid": "u"});
    let identity: Identity = serde_json::from_value(json!({"pod": pod, "expires": 0})).unwrap();
    let path = resource.starts_with('/');
    let (word, subresource) = if path { ("", "") } else { resource.split_once('/').unwrap_or((resource, "")) };
    let one = !matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    let info = RequestInfo {
        is_resource_request: !path,
        non_resource_path: if path { resource.clone() } else { String::new() },
        verb,
        api_group: group.clone(),
        api_version: if path { String::new() } else { "v1".to_owned() },
        namespace: if path { String::new() } else { "default".to_owned() },
        resource: word.to_owned(),
        subresource: subresource.to_owned(),
        name: if one && !path { "x".to_owned() } else { String::new() },
        proxy_path: String::new(),
    };
    let query = if dry { vec![("dryRun".to_owned(), "All".to_owned())] } else { Vec::new() };
    let body = if matches!(verb, Verb::Create | Verb::Update | Verb::Patch) { Body::Unknown } else { Body::Absent };
    let session = SessionFacts::default();
    let question = Question {
        info: &info,
        identity: &identity,
        query: &query,
        body,
        live: Live::NotRead,
        session: &session,
        cluster: "c",
    };
    let verdict = policy::decide(policy, &question, &|| false);
    (verdict.explanation().effect == Effect::Allow).then(|| verdict.group())
}

#[test]
fn roles_and_policy_say_the_same() {
    let cluster = Cluster::get();
    tests::stack::install(cluster);
    let policy = Policy::built_in().unwrap();
    let (mut missing, mut too_much) = (Vec::new(), Vec::new());
    let mut sent: BTreeSet<(Group, Right)> = BTreeSet::new();
    for (right, verb) in everything() {
        for dry in [false, true] {
            sent.extend(sent_as(&policy, &right, verb, dry).map(|group| (group, right.clone())));
        }
    }
    for group in [Group::Read, Group::Write, Group::DryRun] {
        let role = Role::of(cluster, group);
        for (right, _) in everything() {
            match (sent.contains(&(group, right.clone())), role.allows(&right)) {
                (true, false) => missing.push((group.as_str(), right)),
                (false, true) => too_much.push((group.as_str(), right)),
                (true, true) | (false, false) => {}
            }
        }
        // And nothing that the table does not know.
        too_much.extend(
            role.written().filter(|right| !sent.contains(&(group, right.clone()))).map(|right| (group.as_str(), right)),
        );
    }
    too_much.sort();
    too_much.dedup();
    let lines = |all: &[(&str, Right)]| all.iter().map(|one| format!("  {one:?}\n")).collect::<String>();
    assert!(
        missing.is_empty() && too_much.is_empty(),
        "policy lets these through, and the role lacks them:\n{}the role has these, and policy never sends them so:\n{}",
        lines(&missing),
        lines(&too_much)
    );
    // What is held runs as approved: that role has it all.
    let approved = Role::of(cluster, Group::Approved);
    let lacking: Vec<_> = everything().into_iter().filter(|(right, _)| !approved.allows(right)).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Failure row I6: what the agent's own credential and each group get of the real server. The script is the table.
#[test]
fn the_agent_may_impersonate_and_little_else() {
    let cluster = Cluster::get();
    tests::stack::install(cluster);
    let output = Command::new(root().join("scripts/check-rbac")).arg(&cluster.facts().folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
