//! Who is who, through all three processes: approvers with OIDC tokens over HTTPS, runners with a CI provider's token beside their
//! pod's. The issuers are the tests' own; everything else is real.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::issuer::{Issuer, Manner, now};
use tests::kubectl::{Running, Version};
use tests::stack::{Setup, Stack};

pub(crate) const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 60, denyAt: 100}
defaults: {approvers: {groups: [sre]}}
rules:
- name: accounts
  match: {apiGroups: [''], resources: [serviceaccounts], verbs: [create]}
  effect: hold
  approvers: {groups: [sre, platform], quorum: 1}
- name: roles
  match: {apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [create]}
  effect: hold
  approvers: {groups: [sre], quorum: 2}
";

/// The CI provider and the issuer of people's tokens.
pub(crate) struct World {
    ci: Issuer,
    people: Issuer,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { ci: Issuer::start(), people: Issuer::start() }
    }

    fn lines(&self, kind: &str, require: &str, person: &str) -> String {
        let (ci, people) = (&self.ci, &self.people);
        format!(
            "ciIssuers:
- {{issuer: '{}', audience: sallyport-ci, kind: {kind}, ca: '{}', require: {{{require}}}, person: {person}, dangerAllowPrivateAddress: true}}
approverIssuers:
- {{issuer: '{}', audience: sallyport-approvals, ca: '{}', groups: groups, person: forge_id, dangerAllowPrivateAddress: true}}
",
            ci.url(),
            ci.ca().display(),
            people.url(),
            people.ca().display()
        )
    }

    pub(crate) fn ci_url(&self) -> &str {
        self.ci.url()
    }

    pub(crate) fn github(&self) -> String {
        self.lines("github", "repository_id: '4711', ref: refs/heads/main", "actor_id")
    }

    pub(crate) fn job(&self, changes: &Value) -> String {
        let mut claims = json!({
            "aud": "sallyport-ci", "sub": "repo:acme/app:ref:refs/heads/main", "repository_id": "4711",
            "ref": "refs/heads/main", "event_name": "push", "actor": "ann", "actor_id": "1001", "run_id": "7",
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.ci.token(&claims)
    }

    /// `forge_id`: who this is at the CI provider.
    pub(crate) fn person(&self, name: &str, forge_id: Option<&str>, groups: &[&str]) -> String {
        self.people.token(&json!({"aud": "sallyport-approvals", "sub": name, "forge_id": forge_id, "groups": groups}))
    }
}

/// The one hold that waits, as somebody sees it over HTTPS.
async fn held(stack: &Stack, who: &str) -> String {
    for _ in 0..100 {
        let holds: Value = serde_json::from_str(&stack.cli_as(who, &["approvals", "list", "--json"]).ok()).unwrap();
        if let Some(id) = holds[0]["id"].as_str() {
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is held after ten seconds");
}

pub(crate) async fn hold(stack: &Stack, who: &str, arguments: &[&str]) -> (Running, String) {
    let mut running = stack.kubectl(Version::Newest).spawn(arguments, "").await;
    let id = held(stack, who).await;
    assert!(running.is_waiting(), "kubectl {arguments:?} did not wait");
    (running, id)
}

fn sessions(stack: &Stack, who: &str) -> Vec<Value> {
    let shown = stack.cli_as(who, &["sessions", "list", "--json"]).ok();
    serde_json::from_str::<Value>(&shown).unwrap().as_array().unwrap().clone()
}

fn refused(stack: &Stack, who: &str, id: &str, because: &str) {
    let said = stack.cli_as(who, &["approvals", "approve", id]).refused();
    assert!(said.contains(because), "expected {because:?}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_vote_in_their_groups_and_never_on_their_own_job() {
    let world = World::new();
    let setup = Setup {
        policy: Some(POLICY),
        issuers: world.github(),
        require_ci: true,
        earnest: true,
        ci_token: Some(world.job(&json!({}))),
        ..Setup::default()
    };
    let stack = Stack::with("people", &setup);
    let bob = world.person("bob", Some("1002"), &["sre"]);
    let carol = world.person("carol", Some("1003"), &["platform", "other"]);
    let (running, id) = hold(&stack, &bob, &["create", "serviceaccount", "bot"]).await;

    // Neither the socket, nor another group, nor the asker under whatever name, nor somebody who may be the asker.
    let local = stack.cli(&["approvals", "approve", &id]).refused();
    assert!(local.contains("in `try` only"), "{local}");
    refused(&stack, &world.person("dan", Some("1004"), &["dev", "SRE", "sre "]), &id, "only members of platform, sre");
    refused(&stack, &world.person("erin", Some("1005"), &[]), &id, "only members of platform, sre");
    refused(&stack, &world.person("ann", Some("1001"), &["sre"]), &id, "the person behind the job");
    refused(
        &stack,
        &world.person("ann-the-admin", Some("1001"), &["sre", "platform"]),
        &id,
        "the person behind the job",
    );
    refused(&stack, &world.person("frank", None, &["sre"]), &id, "person");
    // Nor a token that is no approver's.
    refused(&stack, &world.job(&json!({"aud": "sallyport-approvals", "groups": ["sre"]})), &id, "not configured here");
    let expired = json!({"aud": "sallyport-approvals", "sub": "bob", "exp": now().as_secs() - 60, "groups": ["sre"]});
    refused(&stack, &world.people.token(&expired), &id, "expired");
    let other = json!({"aud": "another-service", "sub": "bob", "groups": ["sre"]});
    refused(&stack, &world.people.token(&other), &id, "audience");

    let shown = stack.cli_as(&bob, &["approvals", "show", &id]).ok();
    assert!(shown.contains("\"person\":\"1001\"") && shown.contains("repo:acme/app"), "{shown}");
    let said = stack.cli_as(&carol, &["approvals", "approve", &id]).ok();
    assert!(said.contains("approved"), "{said}");
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");

    // The story has the person behind the job and the one who said yes.
    let session = &sessions(&stack, &bob)[0];
    assert_eq!(session["identity"]["ci"]["person"], "1001");
    assert_eq!(session["identity"]["ci"]["claims"]["actor"], "ann");
    let hold: Value = serde_json::from_str(&stack.cli_as(&bob, &["approvals", "show", &id, "--json"]).ok()).unwrap();
    let votes = &hold["hold"]["phase"]["votes"];
    assert_eq!((votes[0]["subject"].as_str(), votes.as_array().unwrap().len()), (Some("carol"), 1), "{hold}");
    let id = session["id"].as_str().unwrap();
    for view in ["show", "replay"] {
        let told = stack.cli_as(&bob, &["sessions", view, id]).ok();
        assert!(told.contains("1001") && told.contains("repo:acme/app"), "{view} does not name the job: {told}");
    }
    // Whoever was let in by a token, it is nowhere afterwards.
    let tokens = stack.runner_tokens();
    assert_eq!(tokens.len(), 2);
    let signature = |token: &String| token.rsplit_once('.').unwrap().1.to_owned();
    let signatures: Vec<String> = tokens.iter().chain([&bob, &carol]).map(signature).collect();
    for signature in &signatures {
        for process in ["control-plane", "agent", "sidecar"] {
            stack.log(process).assert_without(signature);
        }
    }
    stack.assert_data_without(&signatures);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_means_two_people() {
    let world = World::new();
    let setup = Setup {
        policy: Some(POLICY),
        issuers: world.github(),
        require_ci: true,
        earnest: true,
        ci_token: Some(world.job(&json!({}))),
        ..Setup::default()
    };
    let stack = Stack::with("quorum", &setup);
    stack.namespace().admin(&["create", "secret", "generic", "database", "--from-literal=password=canary-51f0-old"]);
    let bob = world.person("bob", Some("1002"), &["sre"]);
    let bob_again = world.person("bob", Some("1002"), &["sre"]);
    let bobs_other_account = world.person("robert", Some("1002"), &["sre"]);
    let bob_elsewhere = world.person("bob", Some("1009"), &["sre"]);
    let carol = world.person("carol", Some("1003"), &["sre"]);
    // By the rule's quorum, and by the score alone.
    for arguments in [
        &["create", "role", "reader", "--verb=get", "--resource=pods"][..],
        &["patch", "secret", "database", "--type=merge", "-p", "{\"stringData\":{\"password\":\"canary-51f0-new\"}}"],
    ] {
        let (mut running, id) = hold(&stack, &bob, arguments).await;
        let said = stack.cli_as(&bob, &["approvals", "approve", &id]).ok();
        assert!(said.contains("1 of 2"), "{said}");
        for same in [&bob, &bob_again, &bobs_other_account, &bob_elsewhere] {
            refused(&stack, same, &id, "voted already");
        }
        refused(&stack, &world.person("ann", Some("1001"), &["sre"]), &id, "the person behind the job");
        assert!(running.is_waiting(), "one person was enough");
        stack.cli_as(&carol, &["approvals", "approve", &id]).ok();
        running.end().await.ok();
    }
    // Two said yes; one no is enough, also after a yes.
    let (running, id) = hold(&stack, &bob, &["create", "role", "writer", "--verb=create", "--resource=pods"]).await;
    stack.cli_as(&bob, &["approvals", "approve", &id]).ok();
    stack.cli_as(&carol, &["approvals", "deny", &id, "--reason", "not today"]).ok();
    let said = running.end().await.refused();
    assert!(said.contains("not today") && said.contains("carol"), "{said}");
}

/// Nobody is known to stand behind a bare pod token: any one approver may be the asker.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_person_needs_two() {
    let world = World::new();
    let setup = Setup { policy: Some(POLICY), issuers: world.github(), earnest: true, ..Setup::default() };
    let stack = Stack::with("nobody", &setup);
    let bob = world.person("bob", None, &["sre"]);
    let (mut running, id) = hold(&stack, &bob, &["create", "serviceaccount", "bot"]).await;
    let said = stack.cli_as(&bob, &["approvals", "approve", &id]).ok();
    assert!(said.contains("1 of 2"), "{said}");
    refused(&stack, &bob, &id, "voted already");
    assert!(running.is_waiting());
    stack.cli_as(&world.person("carol", None, &["sre"]), &["approvals", "approve", &id]).ok();
    running.end().await.ok();
}

/// What the runner reads when its CI token does not count.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_says_why_a_ci_token_does_not_count() {
    let world = World::new();
    let setup = Setup {
        issuers: world.github(),
        require_ci: true,
        refused: true,
        ci_token: Some(world.job(&json!({"repository_id": "4712"}))),
        ..Setup::default()
    };
    let mut stack = Stack::with("citoken", &setup);
    let auditor = world.person("olga", None, &["sallyport-approvers"]);
    let stranger = Issuer::start();
    let spent = world.job(&json!({}));
    let cases = [
        (world.job(&json!({"repository_id": "4712"})), "repository_id"),
        (world.job(&json!({"ref": "refs/heads/fork"})), "\"ref\""),
        (world.job(&json!({"actor_id": null})), "actor_id"),
        (world.job(&json!({"event_name": "pull_request"})), "event_name"),
        (world.job(&json!({"aud": "sallyport"})), "audience"),
        (world.job(&json!({"exp": now().as_secs() - 60})), "expired"),
        (stranger.token(&json!({"aud": "sallyport-ci", "sub": "x"})), "not configured here"),
        (stranger.token(&json!({"iss": world.ci.url(), "aud": "sallyport-ci", "sub": "x"})), "signature"),
        ("no.jwt".to_owned(), "not a JWT"),
    ];
    for (token, because) in cases {
        stack.write_ci_token(&token);
        stack.launch_sidecar();
        for version in [Version::Old, Version::Newest] {
            let said = stack.kubectl(version).run(&["get", "pods"]).await.refused();
            assert!(said.contains(because) && !said.contains(&token), "{version:?}: expected {because:?}: {said}");
        }
    }
    assert!(sessions(&stack, &auditor).is_empty());
    // A token opens one session: whoever finds it in a log opens no second one.
    stack.write_ci_token(&spent);
    stack.start_sidecar();
    stack.launch_sidecar();
    let said = stack.kubectl(Version::Newest).run(&["get", "pods"]).await.refused();
    assert!(said.contains("has opened a session before"), "{said}");
    assert_eq!(sessions(&stack, &auditor).len(), 1);
    assert!(stack.namespace().cluster().audit_of(stack.namespace()).iter().all(|event| event.verb == "get"));
}

/// A cluster that needs a CI token lets nobody in without; and a pod's token dies with its pod, whoever signed it.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_says_why_a_pod_alone_does_not_count() {
    let world = World::new();
    let setup = Setup { issuers: world.github(), require_ci: true, refused: true, ..Setup::default() };
    let mut stack = Stack::with("podalone", &setup);
    let said = stack.kubectl(Version::Newest).run(&["get", "pods"]).await.refused();
    assert!(said.contains("needs the CI provider's token"), "{said}");

    stack.write_ci_token(&world.job(&json!({})));
    stack.start_sidecar();
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();
    // The token is good for an hour; its signature always will be.
    stack.namespace().admin(&["delete", "pod", "runner", "--force", "--grace-period=0"]);
    // The API server answers a review of the same token from memory for ten seconds.
    for attempt in 0.. {
        stack.write_ci_token(&world.job(&json!({})));
        stack.launch_sidecar();
        let output = stack.kubectl(Version::Newest).run(&["get", "pods"]).await;
        if output.code != Some(0) {
            assert!(output.stderr.contains("the token is not alive"), "{output:?}");
            break;
        }
        assert!(attempt < 30, "a dead pod's token still opens sessions");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for process in ["control-plane", "sidecar"] {
        let tokens = stack.runner_tokens();
        tokens.iter().for_each(|token| stack.log(process).assert_without(token.rsplit_once('.').unwrap().1));
    }
}

/// GitLab's claims, over the same path; and nothing without the token where the cluster needs one.
#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_job_has_a_session_of_its_person() {
    let world = World::new();
    let claims = json!({
        "aud": "sallyport-ci", "sub": "project_path:group/app:ref_type:branch:ref:main", "project_id": "22",
        "user_id": 42, "user_login": "ann", "pipeline_source": "push", "pipeline_id": "574", "job_id": "302",
    });
    let setup = Setup {
        policy: Some(POLICY),
        issuers: world.lines("gitlab", "project_id: '22'", "user_id"),
        require_ci: true,
        earnest: true,
        ci_token: Some(world.ci.token(&claims)),
        ..Setup::default()
    };
    let stack = Stack::with("gitlab", &setup);
    let bob = world.person("bob", Some("1002"), &["sre"]);
    let (running, id) = hold(&stack, &bob, &["create", "serviceaccount", "bot"]).await;
    refused(&stack, &world.person("ann", Some("42"), &["sre"]), &id, "the person behind the job");
    stack.cli_as(&bob, &["approvals", "approve", &id]).ok();
    running.end().await.ok();
    assert_eq!(sessions(&stack, &bob)[0]["identity"]["ci"]["person"], "42");
}

/// Expiry ends the right to new operations; a fresh token of the same job continues the same session; another job's never does; and
/// keys that are cached outlive their issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token_and_goes_on_with_a_fresh_one_of_the_same_job() {
    let world = World::new();
    let short = world.job(&json!({"exp": now().as_secs() + 12}));
    let setup = Setup { issuers: world.github(), require_ci: true, ci_token: Some(short), ..Setup::default() };
    let stack = Stack::with("expiry", &setup);
    let auditor = world.person("olga", None, &["sallyport-approvers"]);
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();
    let first = sessions(&stack, &auditor);
    assert_eq!(first.len(), 1);
    world.ci.behave(Manner::Down);

    let said = until(&stack, false).await;
    assert!(said.contains("expired"), "{said}");

    // Another person's job on the same connection, and the same person's next run: no.
    for other in [json!({"actor_id": "6666"}), json!({"run_id": "8"})] {
        let before = stack.log("control-plane").text().matches("session's identity never changes").count();
        stack.write_ci_token(&world.job(&other));
        let seen = || stack.log("control-plane").text().matches("session's identity never changes").count();
        poll("the other job's token is refused", || seen() > before).await;
        stack.kubectl(Version::Newest).run(&["get", "pods"]).await.refused();
    }

    stack.write_ci_token(&world.job(&json!({})));
    until(&stack, true).await;
    let after = sessions(&stack, &auditor);
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0]["id"], first[0]["id"]);
    assert_eq!(after[0]["identity"]["ci"]["person"], "1001");
    assert!(after[0]["expires"].as_u64() > first[0]["expires"].as_u64());
}

async fn poll(what: &str, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not after a minute");
}

/// Asks until the answer is a yes, or a no; gives what kubectl said last.
async fn until(stack: &Stack, yes: bool) -> String {
    for _ in 0..120 {
        let said = stack.kubectl(Version::Newest).run(&["get", "pods"]).await;
        if (said.code == Some(0)) == yes {
            return said.stderr;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("kubectl did not come to {}", if yes { "a yes" } else { "a no" });
}
