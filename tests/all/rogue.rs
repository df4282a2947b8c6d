//! A sidecar is the runner's: whoever has taken it speaks as it does, with its key and its pod's token. What such a one gets is its own
//! session's rights, whatever it sends (SECURITY.md: sidecar → control plane).
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use control_plane_core::request::memory_of_body;
use serde_json::{Value, json};
use shared::ids::OperationId;
use shared::limits;
use shared::time::Timestamp;
use shared_net::clock::Clock;
use tests::cluster::AuditEvent;
use tests::rogue::{Key, Rogue, new_id, operation};
use tests::stack::Stack;
use tests::web::{Door, Web, head};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::stories::{assert_reconciled, creations, operations, told_of};

/// The path of a collection in the runner's namespace.
fn path(stack: &Stack, resource: &str) -> String {
    format!("/api/v1/namespaces/{}/{resource}", &**stack.namespace())
}

fn config_map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}).to_string()
}

/// Everything at the API server about the runner's namespace.
fn sent(stack: &Stack) -> Vec<AuditEvent> {
    stack.namespace().cluster().audit_of(stack.namespace())
}

/// Waits until the attempts on record, as status and operation, hold all of these. The record is on disk within a second.
async fn rejected(web: &Web, wanted: &[(u16, OperationId)]) {
    let wanted: BTreeSet<(u64, String)> = wanted.iter().map(|(code, id)| ((*code).into(), id.to_string())).collect();
    for _ in 0..50 {
        let rows = web.call(Door::Socket, "GET", "/v1/rejected", &[], "").await.json();
        let rows = rows.as_array().unwrap().iter();
        let known: BTreeSet<(u64, String)> =
            rows.filter_map(|row| Some((row["status"].as_u64()?, row["operation"].as_str()?.to_owned()))).collect();
        if wanted.is_subset(&known) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rows = web.call(Door::Socket, "GET", "/v1/rejected", &[], "").await.body;
    panic!("not all of {wanted:?} are kept: {rows}");
}

/// The operations on record once there are `count` with an outcome that are about these ids, as own id or as the first run's.
async fn runs(stack: &Stack, id: OperationId, count: usize) -> Vec<Value> {
    let id = id.to_string();
    for _ in 0..50 {
        let mut rows = operations(stack);
        rows.retain(|row| row["id"] == *id || (row["parent"] == *id && row["kind"] == "runner"));
        if rows.len() == count && rows.iter().all(|row| !row["outcome"].is_null()) {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rows: Vec<_> = operations(stack).iter().map(|row| format!("{} {}", row["id"], row["typed"])).collect();
    panic!("not {count} runs of {id} are on record: {rows:#?}");
}

async fn attack_signals(web: &Web, kind: &str) -> u64 {
    let metrics = web.raw(Door::Admin, &head("GET", "/metrics", &[("Host", "x")], b"")).await.body;
    let line = metrics.lines().find(|line| line.contains("attack_signals") && line.contains(kind));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |count| count.parse().unwrap())
}

/// SECURITY.md L3, invariant 4: what is carried out is what is on record under that id, for reads as for writes.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_stands_for_one_request() {
    let mut stack = Stack::start("reused");
    let web = Web::new(&stack, &[]).await;
    let key = Key::new(&stack);
    let (rogue, _) = Rogue::with_session(&stack, &key).await;
    let (pods, maps) = (path(&stack, "pods"), path(&stack, "configmaps"));
    let (read, write) = (new_id(), new_id());
    assert_eq!(rogue.call(read, "GET", &pods, "").await.status, 200);
    let made = rogue.call(write, "POST", &maps, &config_map("one")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let others = [
        (read, "GET", path(&stack, "secrets"), String::new()),
        (read, "GET", format!("{pods}?watch=true"), String::new()),
        (read, "POST", maps.clone(), config_map("two")),
        (write, "POST", maps.clone(), config_map("two")),
        (write, "DELETE", format!("{maps}/one"), String::new()),
        (write, "GET", maps.clone(), String::new()),
    ];
    for (id, method, target, body) in &others {
        let reply = rogue.call(*id, method, target, body).await;
        assert!(reply.status == 409 && reply.body.contains("used for another request"), "{method} {target}: {reply:?}");
    }
    rejected(&web, &[(409, read), (409, write)]).await;
    assert_eq!(attack_signals(&web, "other_content").await, others.len() as u64);
    // The same again is no attack: a write has its answer, a read runs once more and says so.
    assert_eq!(rogue.call(write, "POST", &maps, &config_map("one")).await.status, 201);
    assert_eq!(rogue.call(read, "GET", &pods, "").await.status, 200);
    let rows = runs(&stack, read, 2).await;
    assert!(rows.iter().all(|row| row["verb"] == "list" && row["resource"] == "pods"), "{rows:#?}");
    runs(&stack, write, 1).await;

    // Nor does the next life of the control plane forget.
    stack.kill_control_plane();
    stack.start_control_plane();
    stack.await_session();
    let (rogue, _) = Rogue::with_session(&stack, &key).await;
    for (id, method, target, body) in &others {
        let reply = rogue.call(*id, method, target, body).await;
        assert_eq!(reply.status, 409, "{method} {target}: {reply:?}");
    }
    assert_eq!(rogue.call(read, "GET", &pods, "").await.status, 200);
    runs(&stack, read, 3).await;
    let listed = |resource: &str| {
        let here =
            |event: &&AuditEvent| event.verb == "list" && event.object_ref.as_ref().unwrap().resource == resource;
        sent(&stack).iter().filter(here).count()
    };
    assert_eq!((listed("pods"), listed("secrets"), listed("configmaps")), (3, 0, 0));
    assert_eq!(creations(&stack, "configmaps").len(), 1);
    assert_reconciled(&stack);
}

/// An id says when its operation was made; one of another time, or none, opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_time_are_refused() {
    let stack = Stack::start("times");
    let web = Web::new(&stack, &[]).await;
    let (rogue, _) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    let before = sent(&stack).len();
    let now = Clock::system().now();
    let at =
        |time: Timestamp| OperationId::new(uuid::Builder::from_unix_timestamp_millis(time.0, &[7; 10]).into_uuid());
    let hour = Duration::from_secs(3600);
    let old = at(Timestamp(now.0 - u64::try_from(hour.as_millis()).unwrap()));
    let ahead = at(now.after(limits::OPERATION_ID_AHEAD * 2));
    let no_time = OperationId::new(Uuid::new_v4());
    let maps = path(&stack, "configmaps");
    for id in [old, ahead, no_time] {
        for (method, body) in [("GET", String::new()), ("POST", config_map("x"))] {
            let reply = rogue.call(id, method, &maps, &body).await;
            assert_eq!(reply.status, 400, "{id} {method}: {reply:?}");
        }
    }
    rejected(&web, &[(400, old), (400, ahead), (400, no_time)]).await;
    let (one, two) = (new_id().to_string(), new_id().to_string());
    for ids in [&[][..], &[one.as_str(), two.as_str()], &["1"], &[""]] {
        let ids = ids.iter().map(|id| ("Sallyport-Operation", *id));
        let headers: Vec<_> = [("Host", "kubernetes")].into_iter().chain(ids).collect();
        let reply = rogue.say(&head("GET", &maps, &headers, b"")).await.unwrap();
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert_eq!(sent(&stack).len(), before);
}

/// SECURITY.md N7: an id of one session says nothing in another, over QUIC or over the web API.
#[tokio::test(flavor = "multi_thread")]
async fn another_sessions_ids_are_unknown() {
    let stack = Stack::start("foreign");
    let key = Key::new(&stack);
    let web = Web::new(&stack, &[key.token().to_owned()]).await;
    let (mine, session) = Rogue::with_session(&stack, &key).await;
    let (theirs, other) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    assert_ne!(session, other, "each key has a session of its own");
    let (id, maps) = (new_id(), path(&stack, "configmaps"));
    assert_eq!(mine.call(id, "POST", &maps, &config_map("mine")).await.status, 201);
    // The recorded answer is not given to another: the API server itself says that the object is there.
    let reply = theirs.call(id, "POST", &maps, &config_map("mine")).await;
    assert!(reply.status == 409 && reply.body.contains("AlreadyExists"), "{reply:?}");
    let fresh = new_id();
    assert_eq!(theirs.call(fresh, "GET", &maps, "").await.status, 200);
    assert_eq!(mine.call(fresh, "GET", &path(&stack, "pods"), "").await.status, 200, "it is free in this session");
    // No header and no call names a session.
    let named = [("Sallyport-Session", session.as_str())];
    assert_eq!(theirs.call_with(new_id(), "GET", &maps, &named, "").await.status, 200);
    let rows: Vec<_> = operations(&stack).into_iter().filter(|row| row["session"] == *session).collect();
    assert!(rows.iter().filter(|row| row["kind"] == "runner" && row["verb"] == "create").count() == 1, "{rows:#?}");
    for call in ["revoke", ""] {
        let reply = theirs.control(&format!("/v1/sessions/{session}/{call}"), &json!({})).await;
        assert_eq!(reply.status, 404, "{reply:?}");
    }
    // The pod's token is no credential of the web API, whatever session is asked for.
    let bearer = format!("Bearer {}", key.token());
    for (method, target) in [
        ("GET", format!("/v1/sessions/{session}")),
        ("GET", format!("/v1/sessions/{other}")),
        ("POST", format!("/v1/sessions/{session}/revoke")),
        ("GET", "/v1/operations".to_owned()),
    ] {
        let reply = web.call(Door::Https, method, &target, &[("Authorization", &bearer)], "").await;
        assert_eq!(reply.status, 401, "{method} {target}: {reply:?}");
    }
    assert_eq!(mine.call(new_id(), "GET", &maps, "").await.status, 200, "nothing was revoked");
}

/// SECURITY.md I1, I2, U5: behind the sidecar's own checks, the control plane's are the same.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_somebody_else() {
    let stack = Stack::start("headers");
    let (rogue, _) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    let pods = path(&stack, "pods");
    let before = sent(&stack).len();
    let cases: [(&[(&str, &str)], u16); 11] = [
        (&[("Impersonate-User", "system:admin")], 403),
        (&[("impersonate_group", "system:masters")], 403),
        (&[("Impersonate-Extra-Sallyport.dev%2foperation", "x")], 403),
        (&[("X-Remote-User", "system:admin")], 403),
        (&[("Connection", "Impersonate-User")], 400),
        (&[("Authorization", "Bearer a"), ("Authorization", "Bearer b")], 401),
        (&[("Authorization", "Basic YTpi")], 401),
        (&[("Connection", "upgrade"), ("Upgrade", "h2c")], 400),
        (&[("Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.eA")], 403),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Content_Length", "5")], 400),
    ];
    for (headers, status) in cases {
        let reply = rogue.call_with(new_id(), "GET", &pods, headers, "").await;
        assert_eq!(reply.status, status, "{headers:?}: {reply:?}");
    }
    for host in ["kubernetes:443", "control.", "localhost", "", "127.0.0.1"] {
        let id = new_id().to_string();
        let reply = rogue.say(&head("GET", &pods, &[("Host", host), ("Sallyport-Operation", &id)], b"")).await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 400), "{host:?}: {reply:?}");
    }
    // Who is of two minds where its body ends is refused, or read as chunked and never a second time on that stream (RFC 9112 §6.1).
    let framings: [(&[(&str, &str)], bool); 3] = [
        (&[("Content-Length", "3"), ("Content-Length", "4")], false),
        (&[("Transfer-Encoding", "gzip, chunked, identity")], false),
        (&[("Content-Length", "3"), ("Transfer-Encoding", "chunked")], true),
    ];
    for (headers, carried) in framings {
        assert_eq!(sent(&stack).len(), before, "nothing of it was sent");
        let mut exchange = rogue.begin(&operation(new_id(), "GET", &pods, headers, "")).await;
        exchange.more(b"0\r\n\r\nGET /api/v1/secrets HTTP/1.1\r\nHost: kubernetes\r\n\r\n").await;
        exchange.finish();
        let reply = exchange.answer().await;
        let refused = reply.as_ref().is_none_or(|reply| reply.status >= 400);
        assert!(refused != carried, "{headers:?}: {reply:?}");
    }
    let before = before + 1;
    assert_eq!(sent(&stack).len(), before, "the one that was read as chunked, and nothing that came behind it");
    // Our own names are ours: a grant or a mark from outside is nothing.
    let ours = [("Sallyport-Grant", "x.y.z"), ("Sallyport-Digest-Key", "AA"), ("Sallyport-Review", "yes")];
    assert_eq!(rogue.call_with(new_id(), "GET", &pods, &ours, "").await.status, 200);
    let all = sent(&stack);
    let last = all.last().unwrap();
    let who = last.impersonated_user.as_ref().unwrap();
    assert_eq!((all.len(), who.username.as_str()), (before + 1, "sallyport:runner"));
    assert_eq!(who.groups, ["sallyport:read", "system:authenticated"]);
}

/// SECURITY.md D8, U9: a body too large, too long on its way or cut short costs its own session, and is carried out in no part.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_cost_their_own_session() {
    let stack = Stack::start("bodies");
    let (rogue, _) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    let (neighbour, _) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    let maps = path(&stack, "configmaps");
    let before = sent(&stack).len();
    let begin = |framing: (&'static str, String)| {
        let id = new_id().to_string();
        let headers =
            [("Host", "kubernetes"), ("Sallyport-Operation", id.as_str()), ("Content-Type", "application/json")];
        let mut text = format!("POST {maps} HTTP/1.1\r\n{}: {}\r\n", framing.0, framing.1);
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text + "\r\n"
    };
    // Announced: refused before a byte of it. Grown: as soon as it is too large.
    let announced = begin(("Content-Length", (limits::REQUEST_BODY_BYTES + 1).to_string()));
    assert_eq!(rogue.say(announced.as_bytes()).await.unwrap().status, 413);
    let mut grown = rogue.begin(begin(("Transfer-Encoding", "chunked".to_owned())).as_bytes()).await;
    let piece = [b"10000\r\n".as_slice(), &b" ".repeat(0x1_0000), b"\r\n"].concat();
    for _ in 0..=limits::REQUEST_BODY_BYTES / 0x1_0000 {
        grown.more(&piece).await;
    }
    let reply = grown.answer().await;
    assert!(reply.as_ref().is_none_or(|reply| reply.status == 413), "{reply:?}");
    // Cut short, in the middle of what could be a whole object.
    let whole = config_map("cut");
    for framing in [("Content-Length", (whole.len() + 10).to_string()), ("Transfer-Encoding", "chunked".to_owned())] {
        let body =
            if framing.0 == "Content-Length" { whole.clone() } else { format!("{:x}\r\n{whole}\r\n", whole.len()) };
        let mut cut = rogue.begin(begin(framing).as_bytes()).await;
        cut.more(body.as_bytes()).await;
        cut.finish();
        let reply = cut.answer().await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 400), "{reply:?}");
    }
    // Slow: one more than the room that a session has. Whichever comes last is told to come back.
    let largest = ("Content-Length", limits::REQUEST_BODY_BYTES.to_string());
    let mut slow = JoinSet::new();
    for _ in 0..=limits::SESSION_BODY_BYTES / memory_of_body(limits::REQUEST_BODY_BYTES) {
        let mut exchange = rogue.begin(begin(largest.clone()).as_bytes()).await;
        exchange.more(b"{").await;
        slow.spawn(async move { exchange.answer().await });
    }
    let late = slow.join_next().await.unwrap().unwrap().unwrap();
    assert!(late.status == 429 && late.header("retry-after") == Some("1"), "{late:?}");
    assert_eq!(rogue.call(new_id(), "GET", &maps, "").await.status, 200, "a read needs no room");
    assert_eq!(sent(&stack).len(), before + 1, "nothing but that was sent");
    assert_eq!(neighbour.call(new_id(), "POST", &maps, &config_map("neighbour")).await.status, 201);
    slow.shutdown().await;
    let mut full = begin(largest).into_bytes();
    full.resize(full.len() + limits::REQUEST_BODY_BYTES, b' ');
    assert_eq!(rogue.say(&full).await.unwrap().status, 400, "the room is given back: it is read, and is no object");
    assert_eq!(creations(&stack, "configmaps").len(), 1);
}

/// SECURITY.md T8: a body that is on its way when its session ends is not waited for, and not carried out when it comes after all.
#[tokio::test(flavor = "multi_thread")]
async fn revocation_waits_for_no_body() {
    let stack = Stack::start("trickle");
    let (rogue, session) = Rogue::with_session(&stack, &Key::new(&stack)).await;
    let maps = path(&stack, "configmaps");
    let mut under_way = Vec::new();
    for name in ["waits", "comes"] {
        let bytes = operation(new_id(), "POST", &maps, &[], &config_map(name));
        let (first, rest) = bytes.split_at(bytes.len() - 20);
        under_way.push((rogue.begin(first).await, rest.to_vec()));
    }
    // Bytes of one connection come in about the order in which they were sent: what was answered came after those.
    assert_eq!(rogue.call(new_id(), "GET", &maps, "").await.status, 200);
    stack.cli(&["sessions", "revoke", &session]).ok();
    let (mut comes, rest) = under_way.pop().unwrap();
    comes.more(&rest).await;
    let (mut waits, _) = under_way.pop().unwrap();
    for exchange in [&mut comes, &mut waits] {
        let reply = exchange.answer().await.unwrap();
        assert!(reply.status == 403 && reply.body.contains("revoked by"), "{reply:?}");
    }
    assert_eq!(creations(&stack, "configmaps").len(), 0);
}

/// SECURITY.md T8: whoever opens the session of one key twice at once has one session, and a revocation ends all of it.
#[tokio::test(flavor = "multi_thread")]
async fn two_first_calls_on_one_key_open_one_session() {
    let stack = Stack::start("twins");
    let maps = path(&stack, "configmaps");
    for round in 0..4 {
        let key = Key::new(&stack);
        let (one, two) = (Rogue::connect(&stack, &key).await, Rogue::connect(&stack, &key).await);
        let (first, second) = tokio::join!(one.open_session(&key), two.open_session(&key));
        assert_eq!((first.status, second.status), (200, 200), "{first:?} {second:?}");
        let session = first.json()["session"].take();
        assert_eq!(session, second.json()["session"], "round {round}");
        stack.cli(&["sessions", "revoke", session.as_str().unwrap()]).ok();
        for rogue in [&one, &two] {
            let reply = rogue.call(new_id(), "GET", &maps, "").await;
            assert!(reply.status == 403 && reply.body.contains("revoked by"), "round {round}: {reply:?}");
            assert_eq!(rogue.open_session(&key).await.status, 403, "and no new one comes of its key");
        }
    }
}

/// SECURITY.md P9: requests side by side are judged as one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn requests_side_by_side_share_one_budget() {
    const TOGETHER: usize = 16;
    let policy = "apiVersion: sallyport.dev/v1alpha1
kind: Policy
thresholds: {holdAt: 40, twoPeopleAt: 100, denyAt: 100}
noPersonBehind:
- serviceAccount: 'test/*/default'
rules:
- {name: small, match: {identities: ['test/*/default']}, budget: 30}
";
    let stack = Stack::with_policy("parallel", Some(policy));
    let maps = path(&stack, "configmaps");
    for round in 1..=3 {
        // Each session has a budget of its own.
        let (rogue, session) = Rogue::with_session(&stack, &Key::new(&stack)).await;
        let mut under_way = Vec::new();
        for each in 0..TOGETHER {
            let bytes = operation(new_id(), "POST", &maps, &[], &config_map(&format!("by-{round}-{each}")));
            under_way.push(rogue.begin(&bytes).await);
        }
        for attempt in 0.. {
            let holds: Value = serde_json::from_str(&stack.cli(&["approvals", "list", "--json"]).ok()).unwrap();
            let waiting = holds.as_array().unwrap().len();
            assert!(waiting < TOGETHER, "the first fits into the budget");
            if waiting == TOGETHER - 1 && creations(&stack, "configmaps").len() == round {
                break;
            }
            assert!(
                attempt < 100,
                "round {round}: {waiting} wait, and {:?} were made",
                creations(&stack, "configmaps")
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        stack.cli(&["sessions", "revoke", &session]).ok();
    }
}

/// SECURITY.md L3: eight jobs at once, and every request at the API server stands under the session that asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_request_stands_under_its_own_session() {
    const JOBS: usize = 8;
    const EACH: usize = 40;
    let stack = Arc::new(Stack::start("crowd"));
    let mut jobs = JoinSet::new();
    for _ in 0..JOBS {
        let stack = Arc::clone(&stack);
        jobs.spawn(async move {
            let (rogue, session) = Rogue::with_session(&stack, &Key::new(&stack)).await;
            let target = format!("{}/nobody", path(&stack, "configmaps"));
            let mut ids = Vec::new();
            let mut under_way = Vec::new();
            for _ in 0..EACH {
                let id = new_id();
                ids.push((id.to_string(), session.clone()));
                under_way.push(rogue.begin(&operation(id, "GET", &target, &[], "")).await);
            }
            for exchange in &mut under_way {
                let reply = exchange.answer().await;
                assert_eq!(reply.map(|reply| reply.status), Some(404));
            }
            ids
        });
    }
    let owners: BTreeMap<String, String> = jobs.join_all().await.into_iter().flatten().collect();
    let of = |event: &AuditEvent| event.is_complete() && event.is_runner();
    let events: Vec<_> = sent(&stack).into_iter().filter(of).collect();
    assert_eq!((events.len(), owners.len()), (JOBS * EACH, JOBS * EACH));
    for event in events {
        let extra = &event.impersonated_user.as_ref().unwrap().extra;
        let said = extra["sallyport.dev/session"].first().unwrap();
        assert_eq!(owners.get(event.operation().unwrap()), Some(said), "{event:?}");
    }
    told_of(&stack, &owners.into_keys().collect()).await;
}
