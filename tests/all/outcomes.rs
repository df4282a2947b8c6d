//! What becomes of what was under way when a process died: every operation has one outcome, and it is the true one.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use http::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tests::cluster::Cluster;
use tests::gate::Gate;
use tests::kubectl::Version;
use tests::stack::{Setup, Stack};

use crate::stories::{creations, hold, operations};

/// The one operation of the runner with this verb on this resource.
fn the(stack: &Stack, verb: &str, resource: &str) -> Value {
    let about = |row: &Value| row["kind"] == "runner" && row["verb"] == verb && row["resource"] == resource;
    let found: Vec<_> = operations(stack).into_iter().filter(about).collect();
    assert_eq!(found.len(), 1, "one {verb} of {resource}: {found:?}");
    found[0].clone()
}

/// What `sallyport sessions show` says of it.
fn shown(stack: &Stack, row: &Value) -> String {
    let told = stack.cli(&["sessions", "show", row["session"].as_str().unwrap()]).ok();
    let line = told.lines().find(|line| line.contains(row["typed"].as_str().unwrap()));
    line.unwrap_or_else(|| panic!("{row} is not in\n{told}")).to_owned()
}

/// How far it is, as the database has it: a grant on its way is nothing that anybody is shown.
fn progress(stack: &Stack, resource: &str) -> Option<(String, String)> {
    let database = Connection::open_with_flags(stack.data().join("sallyport.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let sql = "SELECT record ->> '$.progress.progress', record ->> '$.progress.issue.jti' FROM operations \
               WHERE resource = ?1 AND verb = 'create' AND kind = 'runner'";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()));
    database.unwrap().query_row(sql, [resource], read).ok()
}

/// Waits until a grant for it is on record, and gives its id.
async fn issued(stack: &Stack, resource: &str) -> String {
    for _ in 0..200 {
        match progress(stack, resource) {
            Some((progress, jti)) if progress == "issued" => return jti,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("no grant for {resource}: {:?}", progress(stack, resource));
}

/// Invariant 4: the agent follows a write that was sent to its answer, and knows it when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_way_at_the_control_planes_death_has_its_true_outcome() {
    let gate = Gate::new(Cluster::get()).await;
    let mut stack = Stack::with("underway", &Setup { api_server: Some(gate.api_server()), ..Setup::default() });
    gate.stop(Method::POST, "/configmaps");
    let running = stack.kubectl(Version::Newest).spawn(&["create", "configmap", "note"], "").await;
    gate.stopped().await;
    stack.kill_control_plane();
    stack.start_control_plane();
    gate.let_go();
    let said = running.end().await.refused();
    assert!(said.contains("its outcome was: ok (201)"), "{said}");
    let row = the(&stack, "create", "configmaps");
    assert_eq!(row["outcome"]["outcome"], "ok", "{row}");
    assert_eq!(row["status"], 201, "{row}");
    assert!(shown(&stack, &row).contains("ok (201): after a lost connection"), "{}", shown(&stack, &row));
    assert_eq!(creations(&stack, "configmaps").len(), 1);
}

/// Nobody can tell what became of it, and that is what everybody is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_agent_dies_is_unknown_wherever_one_looks() {
    let gate = Gate::new(Cluster::get()).await;
    let mut stack = Stack::with("unknown", &Setup { api_server: Some(gate.api_server()), ..Setup::default() });
    gate.stop(Method::POST, "/configmaps");
    let running = stack.kubectl(Version::Newest).spawn(&["create", "configmap", "note"], "").await;
    gate.stopped().await;
    stack.kill_agent();
    stack.start_agent();
    let said = running.end().await.refused();
    assert!(said.contains("nobody can say whether it was carried out"), "{said}");
    let row = the(&stack, "create", "configmaps");
    assert_eq!(row["outcome"]["outcome"], "unknown", "{row}");
    assert!(shown(&stack, &row).contains("unknown"), "{}", shown(&stack, &row));
    gate.let_go();
    stack.kubectl(Version::Newest).run(&["get", "configmaps"]).await.ok();
}

/// The same where the control plane dies with it: the next life asks an agent that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_died_with_its_agent_and_its_control_plane_is_unknown() {
    let gate = Gate::new(Cluster::get()).await;
    let mut stack = Stack::with("bothgone", &Setup { api_server: Some(gate.api_server()), ..Setup::default() });
    gate.stop(Method::POST, "/configmaps");
    let running = stack.kubectl(Version::Newest).spawn(&["create", "configmap", "note"], "").await;
    gate.stopped().await;
    stack.kill_agent();
    stack.kill_control_plane();
    stack.start_control_plane();
    stack.start_agent();
    let said = running.end().await.refused();
    assert!(said.contains("its outcome was: unknown: the agent that had it is gone"), "{said}");
    assert_eq!(the(&stack, "create", "configmaps")["outcome"]["outcome"], "unknown");
    gate.let_go();
}

/// The agent swears that it never spent the grant, so another one is issued; with an approval, under the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_never_arrived_is_issued_again() {
    let mut stack = Stack::with("lost", &Setup { lossy: true, ..Setup::default() });
    let (running, id) = hold(&stack, Version::Newest, &["create", "serviceaccount", "bot"]).await;
    stack.lose_grants(true);
    stack.cli(&["approvals", "approve", &id]).ok();
    let first = issued(&stack, "serviceaccounts").await;
    stack.kill_control_plane();
    stack.lose_grants(false);
    stack.start_control_plane();
    assert_eq!(running.end().await.ok(), "serviceaccount/bot created\n");
    assert_eq!(creations(&stack, "serviceaccounts").len(), 1);
    let row = the(&stack, "create", "serviceaccounts");
    assert_eq!(row["outcome"]["outcome"], "ok", "{row}");
    assert_eq!(row["hold"], id.as_str(), "{row}");
    assert_ne!(row["jti"], first.as_str(), "under another grant");

    stack.lose_grants(true);
    let running = stack.kubectl(Version::Newest).spawn(&["create", "configmap", "note"], "").await;
    let first = issued(&stack, "configmaps").await;
    stack.kill_control_plane();
    stack.lose_grants(false);
    stack.start_control_plane();
    assert_eq!(running.end().await.ok(), "configmap/note created\n");
    assert_eq!(creations(&stack, "configmaps").len(), 1);
    assert_ne!(the(&stack, "create", "configmaps")["jti"], first.as_str(), "under another grant");
}

/// Longer than any page of the web API.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_long_session_is_told() {
    const MORE: usize = 6000;
    let mut stack = Stack::start("long");
    stack.kubectl(Version::Newest).run(&["create", "configmap", "first"]).await.ok();
    let row = the(&stack, "create", "configmaps");
    stack.stop_control_plane();
    let columns = "session, cluster, opened, kind, typed, command, user_agent, method, uri, verb, api_group, resource, \
                   namespace, name, digest, digest_key, bytes_in, record, outcome, status, closed, effect, rule, risk";
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MORE}) \
         INSERT INTO operations (id, {columns}) SELECT randomblob(16), {columns} FROM operations, n WHERE jti IS NOT NULL \
         AND verb = 'create' AND resource = 'configmaps'"
    );
    let database = Connection::open(stack.data().join("sallyport.db")).unwrap();
    assert_eq!(database.execute(&sql, []).unwrap(), MORE);
    drop(database);
    stack.start_control_plane();
    let session = row["session"].as_str().unwrap();
    let typed = row["typed"].as_str().unwrap();
    let told = stack.cli(&["sessions", "show", session]).ok();
    assert_eq!(told.lines().filter(|line| line.contains(typed)).count(), MORE + 1);
    let json: Value = serde_json::from_str(&stack.cli(&["sessions", "show", session, "--json"]).ok()).unwrap();
    let all = json["operations"].as_array().unwrap();
    assert_eq!(all.iter().filter(|other| other["typed"] == row["typed"]).count(), MORE + 1);
}
