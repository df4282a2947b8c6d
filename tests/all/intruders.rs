//! Who is not let in at the control plane's port: what he is told, what stays on record, and who is not locked out by it.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::Value;
use shared::limits;
use tests::intruder::{Intruder, Told};
use tests::kubectl::Version;
use tests::stack::{Stack, answer};

async fn dial(stack: &Stack) -> Intruder {
    Intruder::dial(stack.quic(), stack.pin()).await.expect("the port answers")
}

/// Somebody with a key of his own shows a token as a sidecar does.
async fn shows(stack: &Stack, token: &str) -> Told {
    dial(stack).await.session(token).await.expect("he gets an answer")
}

fn signals(stack: &Stack, kind: &str) -> u64 {
    let metrics = answer(stack.admin_port(), "/metrics").expect("it has metrics");
    let line = metrics.lines().find(|line| line.contains("attack_signals") && line.contains(&format!("\"{kind}\"")));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().expect("a number"))
}

/// Rejected attempts, newest first, once there are so many. A row is on disk within a second.
async fn rejected(stack: &Stack, count: usize) -> Vec<Value> {
    for _ in 0..50 {
        let rows = stack.cli(&["sessions", "rejected", "--json"]).ok();
        let rows: Vec<Value> = serde_json::from_str(&rows).expect("JSON");
        if rows.len() >= count {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not {count} rejected attempts after five seconds: {}", stack.cli(&["sessions", "rejected"]).ok());
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key}: {row}"))
}

/// Failure row T13: the runner's own sidecar comes back after a kill, at once and by itself; nobody else gets in with its token,
/// however long he waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_pods_token_is_of_no_use_to_anybody_else() {
    let mut stack = Stack::start("thief");
    let stolen = stack.runner_tokens().concat();
    // A restart of the sidecar's container: another key, the same token, and the old connection looks alive for a while yet.
    stack.restart_sidecar();
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();
    let sessions = stack.cli(&["sessions", "list"]).ok();
    assert!(sessions.contains("its pod's sidecar was started anew"), "{sessions}");
    assert_eq!(signals(&stack, "pod_taken"), 0, "{}", stack.log("control-plane").text());

    let told = shows(&stack, &stolen).await;
    assert_eq!(told.status, 403, "{told:?}");
    assert!(told.text.contains("/runner has a session whose sidecar is alive"), "{told:?}");
    assert_eq!(signals(&stack, "pod_taken"), 1);
    let kept = rejected(&stack, 1).await;
    assert_eq!((kept.len(), &kept[0]["stage"], &kept[0]["status"]), (1, &"session".into(), &403.into()), "{kept:?}");
    assert!(text(&kept[0], "why").contains("whose sidecar is alive"), "{kept:?}");
    assert!(text(&kept[0], "what").ends_with(" from 127.0.0.1"), "{kept:?}");
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();

    // He waits for the sidecar's end. He has tried from its very address, so that tells nothing any more.
    stack.kill_sidecar();
    let told = shows(&stack, &stolen).await;
    assert!(told.status == 403 && told.text.contains("no newer token"), "{told:?}");
    stack.stop_control_plane();
    stack.start_control_plane();
    stack.renew_runner_token();
    stack.start_sidecar();
    stack.kubectl(Version::Newest).run(&["get", "pods"]).await.ok();
    let told = shows(&stack, &stolen).await;
    assert!(told.status == 403 && told.text.contains("whose sidecar is alive"), "{told:?}");
}

/// Nobody gets in by another role's token, a forged one, or none; and all of it stays on record.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_on_record() {
    let stack = Stack::start("strangers");
    let cluster = stack.namespace().cluster();
    let uid = cluster.admin(&["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let runner = stack.runner_tokens().concat();

    let told = dial(&stack).await.operation("/api/v1/secrets").await.expect("an answer");
    assert!(told.status == 503 && told.text.contains("no session"), "{told:?}");
    let told = dial(&stack).await.control("/v1/ledger", &Value::Null).await.expect("an answer");
    assert_eq!(told.status, 404, "{told:?}");

    // A pod may mount a token for whatever audience it likes; it is its own ServiceAccount's all the same.
    let agent_like = cluster.token(stack.namespace(), "default", Some("sallyport-agent"), Some("runner"));
    let told = dial(&stack).await.agent(&agent_like, &uid).await.expect("an answer");
    assert!(told.status == 401 && told.text.contains("\"sub\""), "{told:?}");
    let told = dial(&stack).await.agent(&runner, &uid).await.expect("an answer");
    assert!(told.status == 401 && told.text.contains("another audience"), "{told:?}");
    let told = shows(&stack, &agent_like).await;
    assert!(told.status == 401 && told.text.contains("another audience"), "{told:?}");
    let (signed, signature) = runner.rsplit_once('.').expect("a JWT");
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{other}{}", signature.get(1..).expect("it is longer"));
    let told = shows(&stack, &forged).await;
    assert!(told.status == 401 && told.text.contains("signature"), "{told:?}");

    assert_eq!((signals(&stack, "foreign_agent"), signals(&stack, "foreign_token")), (1, 2));
    assert_eq!(signals(&stack, "forged_token"), 1);
    let rows = rejected(&stack, 6).await;
    let mut stages: Vec<_> = rows.iter().map(|row| text(row, "stage")).collect();
    stages.sort_unstable();
    assert_eq!(stages, ["agent", "agent", "control", "identify", "session", "session"]);
    let printed = stack.cli(&["sessions", "rejected"]).ok();
    assert!(printed.contains("agent 401  /v1/agent from 127.0.0.1: the token's claim \"sub\""), "{printed}");

    // A flood: all of it is counted, and no more of it is written than tells what it is.
    let flooder = dial(&stack).await;
    for _ in 0..200 {
        assert_eq!(flooder.session("not.a.token").await.expect("an answer").status, 401);
    }
    assert_eq!(signals(&stack, "forged_token"), 201);
    let lines = stack.log("control-plane").text().matches("not let in").count();
    assert!((limits::REJECTED_BURST as usize..30).contains(&lines), "{lines}");
    assert_eq!(rejected(&stack, lines).await.len(), lines, "both are rationed alike");
    stack.kubectl(Version::Old).run(&["get", "pods"]).await.ok();
}

/// A runner that has found a credential and a way to the API server: the audit log knows, and we say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_calls_the_api_server_by_itself_is_told() {
    let stack = Stack::start("byitself");
    stack.kubectl(Version::Old).run(&["get", "pods"]).await.ok();
    let cluster = stack.namespace().cluster();
    let facts = cluster.facts();
    let log = cluster.audit();
    let token = cluster.token(stack.namespace(), "default", None, Some("runner"));
    // Its RBAC allows nothing; that it came is enough.
    let ca = format!("--certificate-authority={}", facts.ca.display());
    let (server, token) = (format!("--server={}", facts.server), format!("--token={token}"));
    let asked = cluster.try_admin(&["--kubeconfig=/dev/null", &server, &ca, &token, "get", "configmaps"], "");
    assert!(!asked.status.success());
    let own = format!("system:serviceaccount:{}:default", &**stack.namespace());
    assert!(!log.wait(1, |event| event.user.username == own && event.is_complete()).is_empty());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let whole = std::fs::read_to_string(&facts.audit_log).unwrap();
    let lines: Vec<&str> = whole.lines().filter(|line| line.contains(&own)).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let said = stack.cli(&["audit", "reconcile", "--kube-audit", file.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let told = format!("the runner {}/runner called the API server by itself, as {own}: ", &**stack.namespace());
    assert!(said.stdout.contains(&told), "{said:?}");
}
