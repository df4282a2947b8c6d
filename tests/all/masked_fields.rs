//! What an approver learns of values that nobody is shown: one word each, and never a value, wherever one looks.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::kubectl::{Running, Version};
use tests::stack::Stack;
use tests::web::{Door, Web};

const USER: &str = "canary-51f0-user-of-the-database";
const OLD: &str = "canary-51f0-the-old-password";
const NEW: &str = "canary-51f0-the-new-password";

/// Creating a Secret is held too.
const POLICY: &str = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 35, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
";

async fn hold(stack: &Stack, web: &Web, arguments: &[&str], input: &str) -> (Running, String) {
    let running = stack.kubectl(Version::Newest).spawn(arguments, input).await;
    for _ in 0..100 {
        let holds = web.call(Door::Socket, "GET", "/v1/approvals?live=true", &[], "").await.json();
        if let Some(id) = holds[0]["id"].as_str() {
            return (running, id.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("kubectl {arguments:?} is not held after ten seconds: {:?}", running.end().await);
}

fn manifest(name: &str, data: &Value) -> String {
    let metadata = json!({"name": name});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}).to_string()
}

/// A write, its input, and what an approver must be told of it.
fn cases() -> Vec<(Vec<String>, String, &'static str)> {
    let merge =
        json!({"stringData": {"user": USER, "password": NEW, "token": NEW}, "data": {"port": null}}).to_string();
    let strategic = json!({"data": {"password": STANDARD.encode(OLD), "user": STANDARD.encode(NEW)}}).to_string();
    let operations = json!([
        {"op": "replace", "path": "/data/password", "value": STANDARD.encode(OLD)},
        {"op": "remove", "path": "/data/user"},
        {"op": "add", "path": "/data/name", "value": STANDARD.encode(USER)},
    ]);
    let operations = operations.to_string();
    let whole = manifest("database", &json!({"user": USER, "password": NEW}));
    let fresh = manifest("fresh", &json!({"password": NEW}));
    let all: [(&[&str], &str, &'static str); 7] = [
        (
            &["patch", "secret", "database", "--type=merge", "-p", &merge],
            "",
            "password: changed, port: removed, token: added, user: unchanged",
        ),
        (
            &["patch", "secret", "database", "--type=strategic", "-p", &strategic],
            "",
            "password: unchanged, port: unchanged, user: changed",
        ),
        (
            &["patch", "secret", "database", "--type=json", "-p", &operations],
            "",
            "name: added, password: unchanged, port: unchanged, user: removed",
        ),
        (&["replace", "-f", "-"], &whole, "password: changed, port: removed, user: unchanged"),
        (&["apply", "-f", "-"], &whole, "password: changed, port: unchanged, user: unchanged"),
        (
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &whole,
            "password: changed, port: unchanged, user: unchanged",
        ),
        (&["create", "-f", "-"], &fresh, "password: added"),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    all.map(|(arguments, input, expected)| (owned(arguments), input.to_owned(), expected)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_learn_what_changes_and_not_into_what() {
    let stack = Stack::with_policy("words", Some(POLICY));
    let secrets: Vec<String> =
        [USER, OLD, NEW].iter().flat_map(|text| [(*text).to_owned(), STANDARD.encode(text)]).collect();
    let web = Web::new(&stack, &secrets).await;
    stack.namespace().admin(&[
        "create",
        "secret",
        "generic",
        "database",
        &format!("--from-literal=user={USER}"),
        &format!("--from-literal=password={OLD}"),
        "--from-literal=port=5432",
    ]);
    for (arguments, input, expected) in cases() {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let arguments = arguments.as_slice();
        let (running, id) = hold(&stack, &web, arguments, &input).await;
        let show = web.call(Door::Socket, "GET", &format!("/v1/approvals/{id}"), &[], "").await.json();
        let words = |field: &Value| {
            let name = field["field"].as_str().unwrap().strip_prefix("data/").unwrap().to_owned();
            format!("{name}: {}", field["change"].as_str().unwrap())
        };
        let told: Vec<_> = show["hold"]["show"]["maskedFields"].as_array().unwrap().iter().map(words).collect();
        assert_eq!(told.join(", "), expected, "{arguments:?}");
        let printed = stack.cli(&["approvals", "show", &id]).ok();
        for word in expected.split(", ") {
            assert!(printed.contains(&format!("masked data/{word}\n")), "{arguments:?}: {word}: {printed}");
        }
        assert!(!secrets.iter().any(|secret| printed.contains(secret.as_str())), "{printed}");
        // A difference that nobody could see through would hide what is not masked.
        let difference = show["hold"]["show"]["difference"].as_str().unwrap_or_default();
        assert_eq!(difference.contains("(masked)"), arguments[0] == "replace", "{difference}");
        // Not asked again in this session.
        stack.cli(&["approvals", "deny", &id, "--reason", "only looking"]).ok();
        assert!(running.end().await.refused().contains("only looking"), "{arguments:?}");
    }
    // What was looked at is what is written.
    let last = json!({"stringData": {"password": NEW, "user": USER}}).to_string();
    let (running, id) = hold(&stack, &web, &["patch", "secret", "database", "--type=merge", "-p", &last], "").await;
    stack.cli(&["approvals", "approve", &id]).ok();
    running.end().await.ok();
    let now = stack.namespace().admin(&["get", "secret", "database", "-o", "jsonpath={.data.password}"]);
    assert_eq!(now, STANDARD.encode(NEW));
    for process in ["control-plane", "agent", "sidecar"] {
        for secret in &secrets {
            stack.log(process).assert_without(secret);
        }
    }
    stack.assert_data_without(&secrets);
}
