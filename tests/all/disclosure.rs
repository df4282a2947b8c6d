//! Real values of a Secret, shown to a job because people said so: these keys, this once, in the state that they saw, and nothing of it
//! kept anywhere.
#![expect(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::kubectl::{Kubectl, Output, Running, Version};
use tests::stack::{Setup, Stack};

use crate::another::Another;

/// Shown to the job, so it has not the mark that no job is ever shown.
const OPEN: &str = "open-sesame-4711";
const CLOSED: &str = "canary-51f0-user";

const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
- name: database
  match: {apiGroups: [''], resources: [secrets], verbs: [get], names: [db, other]}
  effect: hold
  reveal: [password]
";

fn stack() -> Stack {
    let stack = Stack::with("discloses", &Setup { policy: Some(POLICY), revealed: Some("db"), ..Setup::default() });
    fill(&stack, &["db", "other", "plain"]);
    stack
}

fn fill(stack: &Stack, names: &[&str]) {
    for name in names {
        let name = *name;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": &**stack.namespace()},
            "stringData": {"password": if name == "db" { OPEN } else { "canary-51f0-password" }, "user": CLOSED}});
        // Applied, so that the values stand in an annotation, too.
        stack.namespace().cluster().apply(&secret.to_string());
    }
}

/// Asks, has people say yes, and gives what it got.
async fn approved(stack: &Stack, client: &Kubectl, arguments: &[&str]) -> Output {
    let mut running = client.spawn(arguments, "").await;
    let hold = waiting(stack, &mut running).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    running.end().await
}

/// The one hold that waits, as `approvals list` has it.
async fn waiting(stack: &Stack, running: &mut Running) -> Value {
    for _ in 0..100 {
        let listed: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
        let hold = listed.as_array().unwrap().iter().find(|hold| hold["phase"]["phase"] == "waiting").cloned();
        if let Some(hold) = hold {
            return hold;
        }
        assert!(running.is_waiting(), "it was not held");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is held after ten seconds");
}

fn id(hold: &Value) -> &str {
    hold["id"].as_str().unwrap()
}

async fn read(kubectl: &Kubectl, name: &str) -> Running {
    kubectl.spawn(&["get", "secret", name, "-o", "json"], "").await
}

/// Neither the database nor a log has it, in any form.
fn nothing_is_kept(stack: &Stack) {
    let forms = [OPEN.to_owned(), STANDARD.encode(OPEN), STANDARD.encode(STANDARD.encode(OPEN))];
    stack.assert_data_without(&forms);
    for process in ["control-plane", "agent", "sidecar"] {
        forms.iter().for_each(|form| stack.log(process).assert_without(form));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_disclosure_shows_its_value_once_and_keeps_nothing() {
    let stack = &stack();
    let kubectl = &stack.kubectl(Version::Newest);
    let mut first = read(kubectl, "db").await;
    let hold = waiting(stack, &mut first).await;
    // What it is, before anything else.
    let shown = stack.cli(&["approvals", "show", id(&hold)]).ok();
    assert!(shown.contains("risk      70"), "{shown}");
    assert!(shown.contains("\n  ! shows this job the REAL VALUES of data[\"password\"]"), "{shown}");
    assert!(!shown.contains(&STANDARD.encode(OPEN)), "{shown}");
    assert_eq!(hold["pin"]["keys"], json!(["password"]), "{hold}");
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let got: Value = serde_json::from_str(&first.end().await.ok()).unwrap();
    assert_eq!(got["data"]["password"], STANDARD.encode(OPEN));
    let plain = |text: &Value| String::from_utf8(STANDARD.decode(text.as_str().unwrap()).unwrap()).unwrap();
    assert!(plain(&got["data"]["user"]).contains("masked"), "{got}");
    assert!(!got["metadata"]["annotations"].to_string().contains(OPEN), "{got}");
    // What is shown may be written back, and is what it was.
    nothing_is_kept(stack);
    let sessions = stack.cli(&["sessions", "list", "--json"]).ok();
    let sessions: Value = serde_json::from_str(&sessions).unwrap();
    let told = stack.cli(&["sessions", "replay", sessions[0]["id"].as_str().unwrap()]).ok();
    assert!(told.contains("shown     the real value of data[\"password\"]"), "{told}");
    stack.log("control-plane").assert_contains("real values are shown");
    // Lists, watches and other Secrets are as ever; the next read is another question.
    let listed = kubectl.run(&["get", "secrets", "-o", "yaml"]).await.ok();
    assert!(listed.contains("password: c2FsbHlwb3J0O") && !listed.contains(&STANDARD.encode(OPEN)), "{listed}");
    let mut again = read(kubectl, "db").await;
    let second = waiting(stack, &mut again).await;
    assert_ne!(id(&second), id(&hold));
    stack.cli(&["approvals", "deny", id(&second), "--reason", "once is enough"]).ok();
    assert!(again.end().await.refused().contains("once is enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_state_or_another_secret_is_not_shown() {
    let stack = &stack();
    let kubectl = &stack.kubectl(Version::Newest);
    // Changed after people saw it.
    let mut first = read(kubectl, "db").await;
    let hold = waiting(stack, &mut first).await;
    stack.namespace().admin(&["patch", "secret", "db", "-p", r#"{"stringData":{"password":"canary-51f0-newer"}}"#]);
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let said = first.end().await.refused();
    assert!(said.contains("changed") || said.contains("no longer"), "{said}");
    // The agent's configuration does not name it, whatever policy and people say.
    let mut other = read(kubectl, "other").await;
    let hold = waiting(stack, &mut other).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let said = other.end().await.refused();
    assert!(said.contains("the agent shows no real value of this Secret"), "{said}");
    // As a table there is nothing to see.
    stack.namespace().admin(&["patch", "secret", "db", "-p", &json!({"stringData": {"password": OPEN}}).to_string()]);
    let mut table = kubectl.spawn(&["get", "secret", "db"], "").await;
    let hold = waiting(stack, &mut table).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    assert!(!table.end().await.ok().contains(OPEN));
    // What is not there is not there.
    stack.namespace().admin(&["delete", "secret", "other"]);
    let mut gone = read(kubectl, "other").await;
    let hold = waiting(stack, &mut gone).await;
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    assert!(gone.end().await.refused().contains("NotFound"));
    nothing_is_kept(stack);
}

/// Two jobs of one ServiceAccount: each is shown what people approved for it, and nothing that they approved for the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_goes_to_the_job_that_people_saw() {
    let mut stack = stack();
    let another = Another::start(&stack, "another").await;
    let mut first = read(&stack.kubectl(Version::Newest), "db").await;
    let asked = waiting(&stack, &mut first).await;
    // Its client is gone, and its sidecar starts again: the same pod.
    first.interrupt().await;
    stack.restart_sidecar();
    stack.cli(&["approvals", "approve", id(&asked)]).ok();
    let mut other = read(&another.kubectl(), "db").await;
    let own = waiting(&stack, &mut other).await;
    assert_ne!(id(&own), id(&asked), "it waits on a hold of its own");
    let listed = stack.cli(&["approvals", "list"]).ok();
    assert!(listed.contains("pod another") && listed.contains("pod runner"), "{listed}");
    let got = read(&stack.kubectl(Version::Newest), "db").await.end().await.ok();
    assert!(got.contains(&STANDARD.encode(OPEN)), "{got}");
    assert!(other.is_waiting());
    stack.cli(&["approvals", "deny", id(&own), "--reason", "not this one"]).ok();
    assert!(other.end().await.refused().contains("not this one"));
    nothing_is_kept(&stack);
}

/// Whatever people make of it with kubectl, it is the same read; and a program that speaks protobuf gets it in JSON.
#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_read_shows_what_was_approved() {
    let stack = &stack();
    let encoded = &STANDARD.encode(OPEN);
    for version in [Version::Old, Version::Newest] {
        let kubectl = &stack.kubectl(version);
        for (form, expected) in [
            ("yaml", encoded.as_str()),
            ("jsonpath={.data.password}", encoded),
            ("go-template={{.data.password | base64decode}}", OPEN),
        ] {
            let got = approved(stack, kubectl, &["get", "secret", "db", "-o", form]).await.ok();
            assert!(got.contains(expected), "{version:?} {form}: {got}");
        }
    }
    let output = std::process::Command::new(tests::cluster::root().join("scripts/cluster")).arg("client-go").output();
    let program = String::from_utf8(output.unwrap().stdout).unwrap();
    let client = || stack.kubectl(Version::Newest).program(std::path::Path::new(program.trim()));
    for accept in ["", "application/vnd.kubernetes.protobuf"] {
        let client = client().env("ACCEPT", accept);
        let got = approved(stack, &client, &["get", stack.namespace(), "db"]).await;
        assert!(got.stderr.contains("GET 200 application/json"), "{got:?}");
        let got: Value = serde_json::from_str(&got.ok()).unwrap();
        assert_eq!(got["data"]["password"], *encoded);
        assert_ne!(got["data"]["user"], STANDARD.encode(CLOSED));
    }
    // A list of its name alone is a list: nobody is asked, and nothing is shown.
    let listed = client().run(&["list", stack.namespace()]).await.ok();
    assert!(listed.contains("c2FsbHlwb3J0") && !listed.contains(encoded), "{listed}");
    let kubectl = &stack.kubectl(Version::Newest);
    let one = kubectl.run(&["get", "secrets", "--field-selector=metadata.name=db", "-o", "yaml"]).await.ok();
    assert!(one.contains("name: db") && !one.contains(encoded), "{one}");
    nothing_is_kept(stack);
}

const BESIDE_SECRETS: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 99, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
mask:
- {apiGroups: [''], resources: [configmaps], fields: ['data.*password*']}
- {apiGroups: [disclosed.example.com], resources: [logins], fields: ['spec.users[*].token', 'spec.admin']}
rules:
- name: old-application
  match: {apiGroups: [''], resources: [configmaps], verbs: [get], names: [app]}
  effect: hold
  reveal: [data.DB_PASSWORD]
- name: login
  match: {apiGroups: [disclosed.example.com], resources: [logins], verbs: [get]}
  effect: hold
  reveal: ['spec.users[name=ann].token']
";

const LOGINS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: logins.disclosed.example.com}
spec:
  group: disclosed.example.com
  scope: Namespaced
  names: {plural: logins, singular: login, kind: Login}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";

/// Fields that policy has masked, of a ConfigMap and of a custom resource.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_policy_masks_is_shown_once_it_is_approved() {
    let stack = &Stack::with("fields", &Setup { policy: Some(BESIDE_SECRETS), ..Setup::default() });
    let own = stack.namespace();
    own.cluster().apply(LOGINS);
    own.cluster().admin(&["wait", "--for=condition=Established", "crd/logins.disclosed.example.com", "--timeout=30s"]);
    own.admin(&["create", "role", "logins", "--verb=get,list", "--resource=logins.disclosed.example.com"]);
    own.admin(&["create", "rolebinding", "logins", "--role=logins", "--group=sallyport:read"]);
    let metadata = |name: &str| json!({"name": name, "namespace": &**own});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("app"),
        "data": {"DB_PASSWORD": OPEN, "OLD_PASSWORD": CLOSED, "colour": "blue"}});
    let login = json!({"apiVersion": "disclosed.example.com/v1", "kind": "Login", "metadata": metadata("l"),
        "spec": {"users": [{"name": "ann", "token": OPEN}, {"name": "bob", "token": CLOSED}], "admin": CLOSED}});
    for object in [map, login] {
        own.cluster().apply(&object.to_string());
    }

    let kubectl = &stack.kubectl(Version::Newest);
    for (words, told, shown, masked) in [
        (
            ["get", "configmap", "app"],
            "shows this job the REAL VALUES of data.DB_PASSWORD of the object",
            "/data/DB_PASSWORD",
            &["/data/OLD_PASSWORD"][..],
        ),
        (
            ["get", "login", "l"],
            "shows this job the REAL VALUES of spec.users[name=ann].token of the object",
            "/spec/users/0/token",
            &["/spec/users/1/token", "/spec/admin"],
        ),
    ] {
        let mut running = kubectl.spawn(&[&words[..], &["-o", "json"]].concat(), "").await;
        let hold = waiting(stack, &mut running).await;
        let review = stack.cli(&["approvals", "show", id(&hold)]).ok();
        assert!(review.contains(told) && !review.contains(OPEN), "{review}");
        stack.cli(&["approvals", "approve", id(&hold)]).ok();
        let got: Value = serde_json::from_str(&running.end().await.ok()).unwrap();
        assert_eq!(got.pointer(shown).unwrap(), OPEN, "{got}");
        for place in masked {
            assert!(got.pointer(place).unwrap().as_str().unwrap().starts_with("c2FsbHlwb3J0"), "{place}: {got}");
        }
        assert_eq!(got.to_string().matches(OPEN).count(), 1, "in last-applied it is as ever: {got}");
    }
    // What was approved is that state: changed since, it is refused.
    let mut running = kubectl.spawn(&["get", "configmap", "app", "-o", "yaml"], "").await;
    let hold = waiting(stack, &mut running).await;
    own.admin(&["patch", "configmap", "app", "-p", r#"{"data":{"DB_PASSWORD":"canary-51f0-newer"}}"#]);
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let said = running.end().await.refused();
    assert!(said.contains("changed") || said.contains("no longer"), "{said}");
    // Lists are masked as ever, and so is whatever no rule is about.
    let listed = kubectl.run(&["get", "logins", "-o", "yaml"]).await.ok();
    assert!(listed.contains("c2FsbHlwb3J0") && !listed.contains(OPEN), "{listed}");
    let sessions: Value = serde_json::from_str(&stack.cli(&["sessions", "list", "--json"]).ok()).unwrap();
    let told = stack.cli(&["sessions", "replay", sessions[0]["id"].as_str().unwrap()]).ok();
    for line in
        ["shown     the real value of data.DB_PASSWORD", "shown     the real value of spec.users[name=ann].token"]
    {
        assert!(told.contains(line), "{told}");
    }
    nothing_is_kept(stack);
}

const HIDDEN_TOO: &str = "- name: not-theirs
  match: {apiGroups: [''], resources: [secrets]}
  hide: [{names: ['kv-*']}, {labels: [tier=back]}]
";

/// Where policy both hides and discloses, what is hidden is not there, whatever people say, and what is shown is what they approved.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_not_disclosed() {
    let policy = POLICY.replace("names: [db, other]", "names: [db, kv-db, kv-none, back, none]") + HIDDEN_TOO;
    let setup = Setup { policy: Some(&policy), revealed: Some("*"), ..Setup::default() };
    let stack = &Stack::with("hidden-too", &setup);
    fill(stack, &["db", "kv-db", "back"]);
    let own = stack.namespace();
    own.admin(&["label", "secret", "back", "tier=back"]);
    for version in [Version::Old, Version::Newest] {
        let kubectl = &stack.kubectl(version);
        // What is hidden is asked about, and answered, as what is not there.
        for (missing, hidden) in [("kv-none", "kv-db"), ("none", "back")] {
            let mut told = Vec::new();
            for name in [missing, hidden] {
                let mut running = read(kubectl, name).await;
                let hold = waiting(stack, &mut running).await;
                let review = stack.cli(&["approvals", "show", id(&hold)]).ok();
                stack.cli(&["approvals", "approve", id(&hold)]).ok();
                let said = running.end().await.refused();
                assert!(said.contains(&format!("secrets \"{name}\" not found")), "{said}");
                told.push((said.replace(name, "NAME"), hold["pin"].clone(), review.lines().count()));
            }
            assert_eq!(told[0], told[1]);
        }
        // What is shown, and nothing of it beside what was approved.
        let got: Value =
            serde_json::from_str(&approved(stack, kubectl, &["get", "secret", "db", "-o", "json"]).await.ok()).unwrap();
        assert_eq!(got["data"]["password"], STANDARD.encode(OPEN));
        assert!(got["data"]["user"].as_str().unwrap().starts_with("c2FsbHlwb3J0"), "{got}");
        assert!(!got["metadata"].to_string().contains(OPEN), "{got}");
        let listed = kubectl.run(&["get", "secrets", "-o", "yaml"]).await.ok();
        let has = |word: &str| listed.contains(word);
        assert!(has("name: db") && !has("kv-db") && !has("back") && !has(&STANDARD.encode(OPEN)), "{listed}");
    }
    // Hidden between their yes and the read: it is another state, and not shown.
    let kubectl = &stack.kubectl(Version::Newest);
    let mut running = read(kubectl, "db").await;
    let hold = waiting(stack, &mut running).await;
    own.admin(&["label", "secret", "db", "tier=back"]);
    stack.cli(&["approvals", "approve", id(&hold)]).ok();
    let done = running.end().await;
    assert!(!done.stdout.contains(&STANDARD.encode(OPEN)), "{done:?}");
    done.refused();
    nothing_is_kept(stack);
}

/// README's own examples.
#[test]
fn policy_says_what_may_be_shown() {
    let readme = tests::tidy::text("README.md");
    let section = readme.split("## What may be shown").nth(1).unwrap().split("\n## ").next().unwrap();
    let examples: Vec<&str> = section.split("```\n").skip(1).step_by(2).collect();
    assert_eq!(examples.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    for example in examples {
        std::fs::write(&path, format!("apiVersion: sallyport.dev/v1alpha1\n{example}")).unwrap();
        let checked = std::process::Command::new(tests::cluster::program("sallyport"))
            .args(["policy", "check", path.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert!(said.contains("is right: "), "{said}");
    }
}
