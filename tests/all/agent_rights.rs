//! What the agent's own credential may do, asked of the API server itself: every built-in resource and path × verb, in Sallyport's own
//! namespace and in another one, and what it may become. The golden file lists what is allowed; everything else is refused.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::cluster::{Cluster, Namespace, root};

use crate::rbac::{Right, everything};

const GOLDEN: &str = "tests/golden/agent-rights.txt";

/// Verbs and resources of impersonation, for old servers and new, and who is never to be had.
fn impersonations() -> Vec<Value> {
    let mut all = Vec::new();
    let names: [(&str, &[&str]); 5] = [
        ("users", &["sallyport:runner", "system:admin", "admin", "system:node:node1", ""]),
        (
            "groups",
            &[
                "sallyport:read",
                "sallyport:write",
                "sallyport:dry-run",
                "sallyport:approved",
                "system:masters",
                "sallyport:other",
                "",
            ],
        ),
        ("serviceaccounts", &["namespace-controller", ""]),
        ("uids", &["0", ""]),
        ("userextras/sallyport.dev/operation", &[""]),
    ];
    for (resource, names) in names {
        let (word, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        for (group, verb) in [
            ("", "impersonate"),
            ("authentication.k8s.io", "impersonate"),
            ("authentication.k8s.io", "impersonate:user-info"),
            ("authentication.k8s.io", "impersonate:serviceaccount"),
            ("authentication.k8s.io", "impersonate:arbitrary-node"),
            ("authentication.k8s.io", "impersonate:associated-node"),
        ] {
            all.extend(names.iter().map(|name| {
                json!({"group": group, "resource": word, "subresource": subresource, "verb": verb, "name": name})
            }));
        }
    }
    all
}

/// Everything that is asked, as the attributes of a review.
fn questions() -> Vec<Value> {
    let mut all = Vec::new();
    for (right, _) in everything() {
        let (group, resource, verb): &Right = &right;
        if resource.starts_with('/') {
            all.push(json!({"nonResourceAttributes": {"path": resource, "verb": verb}}));
            continue;
        }
        let (word, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        for namespace in ["sallyport", "default"] {
            all.push(json!({"resourceAttributes": {
                "namespace": namespace, "group": group, "version": "*", "resource": word, "subresource": subresource, "verb": verb
            }}));
        }
    }
    // What no table of ours has: resources that may come, and everything at once.
    for (group, resource) in [("example.com", "things"), ("*", "*")] {
        for verb in ["get", "create", "delete", "*"] {
            all.push(json!({"resourceAttributes": {"group": group, "resource": resource, "verb": verb}}));
        }
    }
    all.extend(impersonations().into_iter().map(|attributes| json!({"resourceAttributes": attributes})));
    all
}

/// Puts all reviews to the server over one connection, and gives those that were allowed, in words.
fn allowed(cluster: &Cluster, token: &str, namespace: &str, service_account: &str) -> BTreeSet<String> {
    let questions = questions();
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let user = format!("system:serviceaccount:{namespace}:{service_account}");
    let facts = cluster.facts();
    let mut script = String::new();
    for question in &questions {
        let mut spec = question.clone();
        spec["user"] = user.clone().into();
        spec["groups"] = json!(groups);
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
        let data = review.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let (server, ca) = (&facts.server, facts.ca.display());
        if !script.is_empty() {
            script.push_str("next\n");
        }
        writeln!(
            script,
            "url = \"{server}/apis/authorization.k8s.io/v1/subjectaccessreviews\"\ncacert = \"{ca}\"\nsilent\nfail-with-body\n\
             header = \"Content-Type: application/json\"\nheader = \"Authorization: Bearer {token}\"\ndata = \"{data}\""
        )
        .unwrap();
    }
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--fail-early", "--config", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = curl.spawn().expect("curl is there: scripts/check-rbac needs it too");
    // Written by another thread, for curl may answer before it has read all of it.
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(script.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let answers: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(answers.len(), questions.len(), "each question has its answer");
    let yes = answers.iter().zip(&questions).filter(|(answer, _)| answer["status"]["allowed"] == true);
    yes.map(|(_, question)| words(question)).collect()
}

fn words(question: &Value) -> String {
    if let Some(path) = question.get("nonResourceAttributes") {
        return format!("{} {}", path["verb"].as_str().unwrap(), path["path"].as_str().unwrap());
    }
    let of = |key: &str| question["resourceAttributes"][key].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{} {}", of("verb"), of("resource"));
    for (before, key) in [("/", "subresource"), (".", "group"), (" ", "name"), (" in ", "namespace")] {
        if !of(key).is_empty() {
            write!(text, "{before}{}", of(key)).unwrap();
        }
    }
    text
}

/// A ServiceAccount with the rights of an agent on an older server: those of its own, and plain impersonation.
fn legacy_agent(namespace: &Namespace) {
    let legacy = std::fs::read_to_string(root().join("manifests/agent/rbac-legacy-impersonation.yaml")).unwrap();
    let name = format!("{}-legacy", &**namespace);
    let cluster = namespace.cluster();
    cluster.apply(&legacy.replace("sallyport:agent-impersonation", &name));
    let account = format!("--serviceaccount={}:sallyport-agent", &**namespace);
    namespace.admin(&["create", "serviceaccount", "sallyport-agent"]);
    cluster.admin(&["create", "clusterrolebinding", &name, &format!("--clusterrole={name}"), &account]);
    cluster.admin(&["create", "clusterrolebinding", &format!("{name}-own"), "--clusterrole=sallyport:agent", &account]);
    cluster.admin(&["-n", "sallyport", "create", "rolebinding", &name, "--role=sallyport:agent", &account]);
}

/// What has no namespace, deleted with the value.
struct Leftovers<'a>(&'a Namespace);

impl Drop for Leftovers<'_> {
    fn drop(&mut self) {
        let name = &**self.0;
        let (legacy, own) = (format!("{name}-legacy"), format!("{name}-legacy-own"));
        let cluster = self.0.cluster();
        // Some may not have been made when a test fails.
        for arguments in [
            &["delete", "--ignore-not-found", "clusterrolebinding", name, &legacy, &own][..],
            &["delete", "--ignore-not-found", "clusterrole", &legacy],
            &["-n", "sallyport", "delete", "--ignore-not-found", "rolebinding", &legacy],
        ] {
            drop(cluster.try_admin(arguments, ""));
        }
    }
}

/// Failure row I6: one credential that may become somebody, and does nothing by itself.
#[test]
fn the_agents_own_rights_are_listed() {
    let cluster = Cluster::get();
    tests::stack::install(cluster);
    let namespace = cluster.namespace("agentrights");
    let _leftovers = Leftovers(&namespace);
    let asks = format!("--serviceaccount={}:default", &*namespace);
    cluster.admin(&["create", "clusterrolebinding", &namespace, "--clusterrole=system:auth-delegator", &asks]);
    let token = cluster.token(&namespace, "default", None, None);
    legacy_agent(&namespace);
    let mut text = String::new();
    for (title, of) in [("sallyport-agent", "sallyport"), ("sallyport-agent, before 1.36", &*namespace)] {
        writeln!(text, "# {title}").unwrap();
        for line in allowed(cluster, &token, of, "sallyport-agent") {
            writeln!(text, "{line}").unwrap();
        }
    }
    crate::golden::compare(GOLDEN, &text);
}
