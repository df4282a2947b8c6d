//! The web API as served: every route under every kind of credential, every answer compared with the OpenAPI document, and what
//! browsers, strangers and late readers get.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::golden;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::issuer::{Issuer, now};
use tests::kubectl::{Running, Version};
use tests::stack::{Setup, Stack};
use tests::web::{Door, Web, head};

const GOLDEN: &str = "tests/golden/endpoints.txt";
const PASSWORD: &str = "canary-51f0 correct horse battery staple";
const NO_ID: &str = "00000000-0000-7000-8000-000000000000";

/// A credential's name, the way in, and its headers.
type Credential = (&'static str, Door, Vec<(&'static str, String)>);

/// A stack whose approvers have tokens, and a client of its web API.
struct World {
    stack: Stack,
    web: Web,
    people: Issuer,
    ci: Issuer,
}

impl World {
    async fn new(prefix: &str) -> Self {
        let (people, ci) = (Issuer::start(), Issuer::start());
        let line = |issuer: &Issuer, rest: &str| {
            let (url, ca) = (issuer.url(), issuer.ca());
            format!("- {{issuer: '{url}', ca: '{}', dangerAllowPrivateAddress: true, {rest}}}\n", ca.display())
        };
        let issuers = format!(
            "ciIssuers:\n{}approverIssuers:\n{}auditorGroups: [audit]\n",
            line(&ci, "audience: sallyport-ci"),
            line(&people, "audience: sallyport-approvals, groups: groups, person: forge_id")
        );
        let stack = Stack::with(prefix, &Setup { issuers, ..Setup::default() });
        let web = Web::new(&stack, &[PASSWORD.to_owned(), STANDARD.encode(PASSWORD)]).await;
        Self { stack, web, people, ci }
    }

    fn token(&self, changes: &Value) -> String {
        let mut claims = json!({"aud": "sallyport-approvals", "sub": "ann", "groups": ["sallyport-approvers"]});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.people.token(&claims)
    }

    fn approver(&self) -> String {
        self.token(&json!({}))
    }

    /// Puts an operation into a hold.
    async fn hold(&self, arguments: &[&str]) -> (Running, String) {
        let known = self.holds().await;
        let running = self.stack.kubectl(Version::Newest).spawn(arguments, "").await;
        for _ in 0..100 {
            if let Some(id) = self.holds().await.difference(&known).next() {
                return (running, id.clone());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("kubectl {arguments:?} is not held after ten seconds");
    }

    async fn holds(&self) -> BTreeSet<String> {
        let holds = self.web.call_as(&self.approver(), "GET", "/v1/approvals", "").await.json();
        holds.as_array().unwrap().iter().map(|hold| hold["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn newest_session(&self) -> String {
        let sessions = self.web.call_as(&self.approver(), "GET", "/v1/sessions", "").await.json();
        sessions[0]["id"].as_str().unwrap().to_owned()
    }

    /// Every kind of credential there is; the last two may vote.
    fn credentials(&self) -> Vec<Credential> {
        let forger = Issuer::start();
        let https = |name: &'static str, values: &[String]| {
            (name, Door::Https, values.iter().map(|value| ("Authorization", value.clone())).collect())
        };
        let bearer = |name, token: String| https(name, &[format!("Bearer {token}")]);
        let tampered = format!("{}A.x", self.approver());
        vec![
            https("none", &[]),
            https("basic", &["Basic YW5uOnBhc3N3b3Jk".to_owned()]),
            https("two", &[format!("Bearer {}", self.approver()), format!("Bearer {}", self.approver())]),
            bearer("malformed", tampered),
            bearer("expired", self.token(&json!({"exp": now().as_secs() - 60}))),
            bearer("early", self.token(&json!({"nbf": now().as_secs() + 600}))),
            bearer("issuer", self.token(&json!({"iss": "https://issuer.example"}))),
            bearer("audience", self.token(&json!({"aud": "sallyport-ci"}))),
            bearer("forged", forger.token(&json!({"iss": self.people.url(), "aud": "sallyport-approvals", "sub": "ann", "groups": ["sallyport-approvers"]}))),
            bearer("groups", self.token(&json!({"groups": "sallyport-approvers"}))),
            bearer("job", self.ci.token(&json!({"aud": ["sallyport-ci", "sallyport-approvals"], "sub": "job", "groups": ["sallyport-approvers"]}))),
            bearer("nobody", self.token(&json!({"groups": ["sallyport", "Sallyport-Approvers"]}))),
            bearer("auditor", self.token(&json!({"groups": ["audit"]}))),
            bearer("approver", self.approver()),
            ("socket", Door::Socket, Vec::new()),
        ]
    }
}

fn routes(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, calls)| {
        calls.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

/// Failure rows T4, D8. A new route is missing in the golden file until somebody has looked at its line: `UPDATE_GOLDEN=1` writes it.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_under_every_credential() {
    let mut world = World::new("routes").await;
    let web = &world.web;
    let credentials = world.credentials();
    // What each vote needs to succeed once: holds of their own, and sessions of their own to end.
    let mut waiting = Vec::new();
    let mut votes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (running, id) = world.hold(&["create", "serviceaccount", name]).await;
        waiting.push(running);
        votes.push(id);
    }
    let hold = votes[0].clone();
    let session = world.newest_session().await;
    let mut golden =
        format!("# method path: the status for each credential. {}=1 writes this file.\n", "UPDATE_GOLDEN");
    let listed = routes(web.document());
    assert_eq!(listed.len(), control_plane::web::routes::ROUTES.len());
    for (method, path) in listed.iter().filter(|(_, path)| !path.ends_with("/events") && !path.ends_with("/revoke")) {
        write!(golden, "{method} {path}:").unwrap();
        for (name, door, headers) in &credentials {
            let id = match (path.as_str(), *name) {
                ("/v1/approvals/{id}/approve", "approver") => &votes[0],
                ("/v1/approvals/{id}/approve", "socket") => &votes[1],
                ("/v1/approvals/{id}/deny", "approver") => &votes[2],
                ("/v1/approvals/{id}/deny", _) => &votes[3],
                (path, _) if path.starts_with("/v1/sessions") => &session,
                _ => &hold,
            };
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let body = match path.as_str() {
                path if path.ends_with("/deny") => "{\"reason\":\"no\"}",
                // The token is made, and then taken back.
                "/v1/clusters/enrol" | "/v1/clusters/forget" => "{\"name\":\"more\"}",
                _ => "",
            };
            let reply = web.call(*door, method, &path.replace("{id}", id), &headers, body).await;
            write!(golden, " {name}={}", reply.status).unwrap();
        }
        golden.push('\n');
    }
    for running in waiting {
        // Approved ones are done, denied ones are refused; none goes on waiting.
        drop(running.end().await);
    }
    golden.push_str(&events(&world, &credentials).await);
    golden.push_str(&revocations(&mut world, &credentials).await);
    golden::compare(GOLDEN, &golden);
}

/// The stream: its head, under every credential.
async fn events(world: &World, credentials: &[Credential]) -> String {
    let mut line = "GET /v1/events:".to_owned();
    for (name, door, headers) in credentials {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut events = world.web.events_with(*door, &headers).await;
        events.until(|events| events.text().contains("\r\n\r\n")).await;
        let status: u16 = events.text().split(' ').nth(1).unwrap().parse().unwrap();
        let streams = events.text().contains("content-type: text/event-stream");
        assert_eq!(streams, status == 200, "{}", events.text());
        write!(line, " {name}={status}").unwrap();
    }
    line + "\n"
}

/// Ends sessions: each credential tries on one that is open.
async fn revocations(world: &mut World, credentials: &[Credential]) -> String {
    let mut line = "POST /v1/sessions/{id}/revoke:".to_owned();
    let sessions = world.web.call_as(&world.approver(), "GET", "/v1/sessions", "").await.json();
    let path = |id: &str| format!("/v1/sessions/{id}/revoke");
    let open = sessions[0]["id"].as_str().unwrap();
    for (name, door, headers) in credentials.iter().filter(|(name, ..)| *name != "socket") {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = world.web.call(*door, "POST", &path(open), &headers, "").await;
        write!(line, " {name}={}", reply.status).unwrap();
    }
    // It is over, and can't be ended twice.
    let again = world.web.call_as(&world.approver(), "POST", &path(open), "").await;
    assert_eq!(again.status, 404, "{again:?}");
    let said = world.stack.kubectl(Version::Newest).run(&["get", "pods"]).await.refused();
    assert!(said.contains("revoked by ann"), "{said}");
    // The next one is the socket's.
    world.stack.start_sidecar();
    let next = world.newest_session().await;
    assert_ne!(next, open);
    let reply = world.web.call(Door::Socket, "POST", &path(&next), &[], "").await;
    write!(line, " socket={}", reply.status).unwrap();
    line + "\n"
}

/// Calls in their order, each with the status that it must have.
fn cases(patched: &str, denied: &str, void: &str, session: &str) -> Vec<(&'static str, String, String, u16)> {
    let deny = |id: &str| format!("/v1/approvals/{id}/deny");
    let signed = |text: &str| json!({"signature": {"algorithm": "ES256", "keyId": "k", "signature": text}}).to_string();
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(1025));
    let all = [
        ("POST", deny(denied), "", 400),
        ("POST", deny(denied), "{\"reason\":\"no\",\"more\":1}", 400),
        ("POST", deny(denied), "{\"reason\":5}", 400),
        ("POST", deny(denied), "[]", 400),
        ("POST", deny(denied), &long, 400),
        ("POST", deny(denied), "{\"reason\":\"\u{1b}]0;owned\u{7}\"}", 400),
        ("POST", deny(denied), "{\"reason\":\"not without a ticket\"}", 200),
        ("POST", deny(denied), "{\"reason\":\"twice\"}", 409),
        ("POST", format!("/v1/approvals/{denied}/approve"), "", 409),
        ("POST", format!("/v1/approvals/{void}/approve"), "{\"more\":1}", 400),
        ("POST", format!("/v1/approvals/{void}/approve"), "{\"signature\":\"x\"}", 400),
        ("POST", format!("/v1/approvals/{void}/approve"), &signed(&"x".repeat(1024)), 400),
        ("POST", format!("/v1/approvals/{NO_ID}/approve"), "", 404),
        ("POST", "/v1/approvals/x/approve".to_owned(), "", 404),
        ("POST", format!("/v1/approvals/{patched}/approve"), &signed("unverified"), 200),
        ("POST", format!("/v1/approvals/{patched}/approve"), "", 409),
        ("GET", format!("/v1/approvals/{patched}"), "", 200),
        ("GET", format!("/v1/approvals/{NO_ID}"), "", 404),
        ("GET", "/v1/approvals?live=true".to_owned(), "", 200),
        ("GET", "/v1/approvals?live=false".to_owned(), "", 200),
        ("GET", "/v1/approvals?live=yes".to_owned(), "", 400),
        ("GET", "/v1/approvals?live=true&live=true".to_owned(), "", 400),
        ("GET", "/v1/approvals?all=true".to_owned(), "", 400),
        ("GET", "/v1/sessions?x".to_owned(), "", 400),
        ("GET", "/v1/operations?limit=1".to_owned(), "", 200),
        ("GET", "/v1/operations?after=3&limit=2".to_owned(), "", 200),
        ("GET", "/v1/operations?limit=-1".to_owned(), "", 400),
        ("GET", "/v1/operations?after=x".to_owned(), "", 400),
        ("GET", "/v1/operations?session=x".to_owned(), "", 400),
        ("GET", format!("/v1/operations?session={NO_ID}"), "", 200),
        ("GET", format!("/v1/sessions/{NO_ID}"), "", 404),
        ("GET", "/v1/rejected".to_owned(), "", 200),
        ("GET", "/v1/bypass".to_owned(), "", 200),
        ("GET", "/v1/policy".to_owned(), "", 200),
        ("GET", "/v1/clusters".to_owned(), "", 200),
        ("POST", format!("/v1/sessions/{NO_ID}/revoke"), "", 404),
        ("POST", format!("/v1/sessions/{session}/revoke"), "", 200),
        ("GET", format!("/v1/approvals/{void}"), "", 200),
        ("GET", format!("/v1/approvals/{denied}"), "", 200),
        ("GET", "/v1/approvals".to_owned(), "", 200),
        ("GET", "/v1/operations".to_owned(), "", 200),
        ("GET", "/v1/sessions".to_owned(), "", 200),
        ("GET", format!("/v1/sessions/{session}"), "", 200),
    ];
    all.map(|(method, target, body, status): (_, _, &str, _)| (method, target, body.to_owned(), status)).into()
}

/// Every route answers in its own form also where it is asked wrongly, and after things have happened.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_the_document_says() {
    let world = World::new("answers").await;
    let (web, approver) = (&world.web, world.approver());
    let literal = format!("--from-literal=password={PASSWORD}");
    world.stack.namespace().admin(&["create", "secret", "generic", "database", &literal]);
    let kubectl = world.stack.kubectl(Version::Newest);
    kubectl.run(&["get", "secrets", "-o", "yaml"]).await.ok();
    kubectl.run(&["get", "configmap", "none"]).await.refused();
    kubectl.run(&["get", "secret", "key", "-n", "sallyport"]).await.refused();
    let patch = format!("{{\"stringData\":{{\"password\":\"{PASSWORD}\"}}}}");
    let (patching, patched) = world.hold(&["patch", "secret", "database", "--type=merge", "-p", &patch]).await;
    let (denying, denied) = world.hold(&["create", "serviceaccount", "no"]).await;
    let (left, void) = world.hold(&["create", "serviceaccount", "left"]).await;
    let session = world.newest_session().await;
    let cases = cases(&patched, &denied, &void, &session);
    for (method, target, body, status) in cases {
        let reply = web.call_as(&approver, method, &target, &body).await;
        assert_eq!(reply.status, status, "{method} {target} {body}: {}", reply.body);
    }
    patching.end().await.ok();
    assert!(denying.end().await.refused().contains("not without a ticket"));
    assert!(left.end().await.refused().contains("revoked"));
    let patched = web.call_as(&approver, "GET", &format!("/v1/approvals/{patched}"), "").await.json();
    assert_eq!(patched["hold"]["phase"]["votes"][0]["signature"]["signature"], "unverified", "{patched}");
    // What was not said in the cases above: every phase that they led to was seen.
    let holds = web.call_as(&approver, "GET", "/v1/approvals", "").await.json();
    let phases: BTreeSet<_> =
        holds.as_array().unwrap().iter().map(|hold| hold["phase"]["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, BTreeSet::from(["denied", "spent", "void"]));
    let operations = web.call_as(&approver, "GET", "/v1/operations", "").await.json();
    let outcomes: BTreeSet<_> =
        operations.as_array().unwrap().iter().filter_map(|row| row["outcome"]["outcome"].as_str()).collect();
    assert!(outcomes.is_superset(&BTreeSet::from(["error", "notSent", "ok"])), "{outcomes:?}");
    // What comes after the session's end is no operation, and is kept, within a moment.
    kubectl.run(&["get", "pods"]).await.refused();
    for attempt in 0.. {
        let rejected = web.call_as(&approver, "GET", "/v1/rejected", "").await.json();
        if rejected.as_array().unwrap().iter().any(|row| row["stage"] == "identify") {
            break;
        }
        assert!(attempt < 50, "{rejected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Failure row D8: nothing but /livez, /readyz and /metrics (on a port of their own) answers a stranger, whatever is asked and how.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sees_one_answer() {
    let world = World::new("strangers").await;
    let web = &world.web;
    let mut paths: Vec<String> =
        routes(web.document()).into_iter().map(|(_, path)| path.replace("{id}", NO_ID)).collect();
    let others = [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/healthz",
        "/v1",
        "/v1/",
        "/v2/approvals",
        "//v1/approvals",
        "/v1/approvals/",
        "/v1/../openapi.json",
        "/%2e%2e/",
        "/favicon.ico",
        "/.well-known/openid-configuration",
        "/v1/session",
        "/v1/agent",
        "/v1/approvals?live=true",
        "/?token=x",
        "/debug/pprof",
    ];
    paths.extend(others.map(str::to_owned));
    let first = web.call(Door::Https, "GET", "/", &[], "").await.body;
    for path in &paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let reply = web.call(Door::Https, method, path, &[], "").await;
            assert_eq!(reply.status, 401, "{method} {path}: {reply:?}");
            assert!(method == "HEAD" || reply.body == first, "{method} {path}: {reply:?}");
        }
    }
    // The probes' port has nothing else, and no name of anybody in what it counts.
    for path in &paths {
        let served = ["/livez", "/readyz", "/metrics"].contains(&path.as_str());
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let reply = web.raw(Door::Admin, &head(method, path, &[("Host", "x")], b"")).await;
            // Whether it is ready yet is another question.
            let answers = matches!(reply.status, 200 | 503);
            let status = if method != "GET" {
                405
            } else if served && answers {
                reply.status
            } else {
                404
            };
            assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
            assert!(!reply.body.contains(&**world.stack.namespace()) && !reply.body.contains("runner"), "{reply:?}");
        }
    }
    // With a credential they are what they are.
    for (method, path, status) in [
        ("GET", "/livez", 404),
        ("GET", "/v1/approvals/", 404),
        ("PUT", "/v1/approvals", 405),
        ("HEAD", "/v1/approvals", 405),
        ("OPTIONS", "/v1/approvals", 405),
        ("DELETE", "/nothing", 404),
    ] {
        let reply = web.call_as(&world.approver(), method, path, "").await;
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
    }
    // A stranger's body is not waited for; a known caller's is bounded.
    let announced = [("Host", "localhost"), ("Content-Type", "application/json"), ("Content-Length", "1000000000")];
    let announcement = head("PUT", "/v1/approvals/x/deny", &announced, b"");
    let reply = web.raw(Door::Https, &announcement).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let reply = web.call_as(&world.approver(), "POST", "/v1/approvals/x/deny", &"x".repeat(70_000)).await;
    assert_eq!(reply.status, 413, "{reply:?}");
}

/// Failure row D8: nobody keeps a place who has shown nothing, be he silent, slow, or refused and staying.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_keeps_no_place() {
    let world = World::new("places").await;
    let web = &world.web;
    let stays = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let h2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    let [silent, slow, stays, h2] =
        ["", "GET / HTTP/1.1\r\nHost: local", stays, h2].map(|text| web.until_closed(Door::Https, text.as_bytes()));
    let (silent, slow, stays, _) = tokio::join!(silent, slow, stays, h2);
    assert!(silent.is_empty() && !slow.contains(" 200 ") && stays.contains(" 401 "), "{silent} {slow} {stays}");
}

/// Failure rows P7, U8: what a web page can make a browser send reaches nothing, even with a credential that is good.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_speaks_through_a_browser() {
    let world = World::new("pages").await;
    let (running, id) = world.hold(&["create", "serviceaccount", "bot"]).await;
    let target = format!("/v1/approvals/{id}/approve");
    let bearer = format!("Bearer {}", world.approver());
    let good = [("Host", "localhost"), ("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let with = |changes: &[(&'static str, &'static str)]| {
        let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        let all: Vec<_> = kept.copied().chain(changes.iter().copied().filter(|(_, value)| !value.is_empty())).collect();
        head("POST", &target, &all, b"")
    };
    let cases: [(&[(&str, &str)], u16); 14] = [
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "https://localhost")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-origin")], 403),
        (&[("Cookie", "session=1")], 403),
        (&[("Host", "evil.example")], 421),
        (&[("Host", "localhost.evil.example:8443")], 421),
        (&[("Host", "169.254.169.254")], 421),
        (&[("Host", "")], 421),
        (&[("Content-Type", "text/plain")], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
        (&[("Content-Type", "multipart/form-data; boundary=x")], 415),
        (&[("Content-Type", "")], 415),
    ];
    for (changes, status) in cases {
        for door in [Door::Https, Door::Socket] {
            let reply = world.web.raw(door, &with(changes)).await;
            world.web.check("POST", &target, &reply);
            assert_eq!(reply.status, status, "{door:?} {changes:?}: {reply:?}");
        }
    }
    // A link, an image, a form without JavaScript: GET changes nothing.
    let reply = world.web.call_as(&world.approver(), "GET", &target, "").await;
    assert_eq!(reply.status, 405, "{reply:?}");
    let shown = world.web.call_as(&world.approver(), "GET", &format!("/v1/approvals/{id}"), "").await.json();
    assert_eq!(shown["hold"]["phase"], json!({"phase": "waiting", "votes": []}));
    let reply = world.web.raw(Door::Https, &with(&[])).await;
    assert_eq!(reply.status, 200, "the same without a browser: {reply:?}");
    running.end().await.ok();
}

/// Events come to who may read, hold nothing but ids and words, and end with the credential.
#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_the_credential() {
    let world = World::new("events").await;
    let short = world.token(&json!({"exp": now().as_secs() + 6}));
    let (mut ends, mut stays) = (world.web.events(&short).await, world.web.events(&world.approver()).await);
    for events in [&mut ends, &mut stays] {
        events.until(|events| events.text().contains("still here")).await;
    }
    let patch = format!("{{\"stringData\":{{\"password\":\"{PASSWORD}\"}}}}");
    world.stack.namespace().admin(&[
        "create",
        "secret",
        "generic",
        "database",
        "--from-literal=password=canary-51f0-old",
    ]);
    let (running, id) = world.hold(&["patch", "secret", "database", "--type=merge", "-p", &patch]).await;
    ends.until(|events| events.seen().iter().any(|event| event["hold"] == json!(id) && event["phase"] == "waiting"))
        .await;
    ends.end().await;
    assert!(stays.is_open().await, "{}", stays.text());
    world.web.call_as(&world.approver(), "POST", &format!("/v1/approvals/{id}/approve"), "").await;
    running.end().await.ok();
    stays.until(|events| events.seen().iter().any(|event| event["phase"] == "spent")).await;
    assert!(!ends.seen().iter().any(|event| event["phase"] == "spent"));
    // So does the command line's watch; a credential that does not count is said.
    let short = world.token(&json!({"exp": now().as_secs() + 3}));
    world.stack.cli_as(&short, &["approvals", "watch"]).ok();
    let nobody = world.token(&json!({"groups": []}));
    let said = world.stack.cli_as(&nobody, &["approvals", "watch"]).refused();
    assert!(said.contains("only members"), "{said}");
    for event in stays.seen() {
        world.web.validate(&json!({"$ref": "#/components/schemas/Event"}), &event, "an event");
    }
    assert!(!stays.text().contains(PASSWORD));
}
