//! The policy file is followed: what is right comes into force, what is wrong changes nothing and is told.
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::Value;
use tests::kubectl::Version;
use tests::stack::Stack;
use tests::web::{Door, Web};

/// The built-in rules, and these before them.
fn policy(rules: &[&str]) -> String {
    let mut text = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
"
    .to_owned();
    if !rules.is_empty() {
        text.push_str(&format!("rules: [{}]\n", rules.join(", ")));
    }
    text
}

const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const NO_CONFIGMAPS: &str =
    "{name: no-configmaps, match: {apiGroups: [''], resources: [configmaps], verbs: [create]}, effect: deny}";
const WRONG: &str = "{name: odd, match: {apiGroups: [''], resources: [pods], verbs: [get]}, effect: maybe}";

/// What the web API says of the policy, once it says what is waited for.
async fn state(web: &Web, is: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..150 {
        let state = web.call(Door::Socket, "GET", "/v1/policy", &[], "").await.json();
        if is(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not after 15 s: {}", web.call(Door::Socket, "GET", "/v1/policy", &[], "").await.body)
}

fn refused(state: &Value) -> bool {
    !state["refused"].as_array().unwrap().is_empty()
}

/// Invariant 6: a wrong policy file widens nothing, and takes nothing away.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_policy_file_changes_nothing_and_a_right_one_is_taken() {
    let first = policy(&[]);
    let stack = Stack::with_policy("policyfile", Some(&first));
    let web = Web::new(&stack, &[]).await;
    let kubectl = stack.kubectl(Version::Newest);
    let create = async |name: &str| kubectl.run(&["create", "configmap", name]).await;
    create("first").await.ok();

    stack.write_policy(&policy(&[WRONG]));
    let said = state(&web, refused).await;
    let mistakes = said["refused"].to_string();
    assert!(mistakes.contains("maybe"), "the mistake is named: {said}");
    assert_eq!((&said["text"], &said["closed"]), (&first.as_str().into(), &false.into()), "what was in force stays");
    create("second").await.ok();
    assert!(stack.is_ready());

    let second = policy(&[NO_CONFIGMAPS]);
    stack.write_policy(&second);
    state(&web, |state| state["text"] == second.as_str() && !refused(state)).await;
    let said = create("third").await.refused();
    assert!(said.contains("no-configmaps"), "{said}");
    stack.log("control-plane").assert_quiet(&["policy file refused"]);
}

/// Where there is no policy to stay with, everything is refused, and whoever watches the control plane sees it.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_passes_and_it_is_not_ready() {
    let mut stack = Stack::with_policy("nopolicy", Some(&policy(&[])));
    let web = Web::new(&stack, &[]).await;
    stack.write_policy(&policy(&[WRONG]));
    stack.stop_control_plane();
    stack.start_control_plane();
    let said = state(&web, |state| state["closed"] == true).await;
    assert!(refused(&said) && said["text"] == "", "{said}");
    let read = stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await;
    assert!(read.code != Some(0), "{read:?}");
    // The agent and the store are there, so this is the one thing that is missing.
    let why = eventually(&web, |body| body == "waiting for a policy is in force\n").await;
    assert_eq!(why.status, 503);

    stack.write_policy(&policy(&[]));
    eventually(&web, |body| body == "ok\n").await;
    stack.await_session();
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
}

async fn eventually(web: &Web, is: impl Fn(&str) -> bool) -> tests::web::Reply {
    for _ in 0..150 {
        let reply = web.raw(Door::Admin, READY).await;
        if is(&reply.body) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not after 15 s: {:?}", web.raw(Door::Admin, READY).await)
}
