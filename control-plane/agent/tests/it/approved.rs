//! Approved operations: the cluster's own ledger, the version pin, and the precondition.

use serde_json::{Value, json};
use shared::wire;
use uuid::Uuid;

use crate::api_server::{Step, json as answer};
use crate::control_plane::{AgentLink, Call, ControlPlane, text};
use crate::world::World;

const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/sallyport/leases";
const CM: &str = "/api/v1/namespaces/ns/configmaps/c";
const BODY: &str = r#"{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap","metadata":{"name":"c"}}"#;

fn approved(control_plane: &ControlPlane, link: &AgentLink, call: &Call, approval: Uuid, pin: Value) -> Value {
    let mut claims = control_plane.claims(link, call);
    claims["impersonation"]["group"] = json!("sallyport:approved");
    claims["approval"] = json!({
        "approval": approval,
        "hold": Uuid::new_v4(),
        "intent": claims["digest"],
        "pin": pin,
        "expires": 4_000_000_000_000_u64,
    });
    claims["reads"] =
        json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "configmaps", "name": "c"}]);
    claims
}

fn live(version: &str) -> String {
    format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"c","namespace":"ns","uid":"u","resourceVersion":"{version}"}}}}"#
    )
}

fn pin(version: &str) -> Value {
    json!({"state": "resourceVersion", "uid": "u", "resourceVersion": version})
}

#[tokio::test]
async fn lease_then_read_then_write_with_precondition() {
    let (world, link) = World::start().await;
    world.api.on(LEASES, answer("201 Created", "{}"));
    world.api.on("GET ", answer("200 OK", &live("5")));
    world.api.on("PUT ", answer("200 OK", &live("6")));
    let call = Call::new("PUT", CM, BODY);
    let approval = Uuid::new_v4();
    let claims = approved(&world.control_plane, &link, &call, approval, pin("5"));
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.status, 200);

    let seen = world.api.seen();
    let lines: Vec<&str> = seen.iter().map(|seen| seen.line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["POST", "GET", "PUT"], "the Lease is first");
    let lease: Value = serde_json::from_str(&seen[0].body).unwrap();
    let expected = control_plane_core::ledger::spent_lease_name(approval.to_string().parse().unwrap());
    assert_eq!(lease["metadata"]["name"], json!(expected));
    assert!(seen[0].header("impersonate-user").is_empty(), "the Lease is the agent's own");
    for index in [1, 2] {
        assert_eq!(seen[index].header("impersonate-group"), ["sallyport:approved"]);
    }
    let sent: Value = serde_json::from_str(&seen[2].body).unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "5");
}

/// One approval runs once: whoever comes second finds the Lease, however it came there.
#[tokio::test]
async fn a_spent_approval_is_refused() {
    let (mut world, link) = World::start().await;
    for (lease, status, label, sent) in [
        ("409 Conflict", 403, "approval-spent", "unknown"),
        ("500 Error", 503, "spent-ledger", "no"),
        ("403 Forbidden", 503, "spent-ledger", "no"),
        ("200 OK", 503, "spent-ledger", "no"),
    ] {
        world.api.on(LEASES, answer(lease, "{}"));
        let call = Call::new("PUT", CM, BODY);
        let claims = approved(&world.control_plane, &link, &call, Uuid::new_v4(), json!({"state": "none"}));
        let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(head.status, status, "{lease}");
        assert_eq!(head.headers[wire::header::REFUSED], label);
        assert_eq!(head.headers[wire::header::SENT], sent);
    }
    world.api.on(LEASES, vec![Step::Drop]);
    let call = Call::new("PUT", CM, BODY);
    let claims = approved(&world.control_plane, &link, &call, Uuid::new_v4(), json!({"state": "none"}));
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "spent-ledger", "no answer is a refusal");
    assert!(world.api.seen().iter().all(|seen| seen.line.starts_with("POST /apis/coordination")));
    link.connection.close(0, "");
    let again = world.control_plane.agent().await;
    let known = again.ask(link.epoch, &claims["jti"]).await;
    assert_eq!(known["outcome"]["outcome"], "notSent");
}

#[tokio::test]
async fn a_broken_pin_sends_nothing() {
    let (world, link) = World::start().await;
    let absent = r#"{"kind":"Status","apiVersion":"v1","code":404}"#;
    for (read, pinned, label) in [
        (answer("200 OK", &live("6")), pin("5"), "pin-broken"),
        (answer("404 Not Found", absent), pin("5"), "pin-broken"),
        (answer("200 OK", &live("5")), json!({"state": "absent"}), "pin-broken"),
        (answer("403 Forbidden", "{}"), pin("5"), "pin-read"),
        (answer("500 Error", "{}"), pin("5"), "pin-read"),
        (answer("200 OK", "{"), pin("5"), "pin-read"),
        (vec![Step::Drop], pin("5"), "pin-read"),
    ] {
        world.api.on(LEASES, answer("201 Created", "{}"));
        world.api.on("GET ", read);
        let call = Call::new("PUT", CM, BODY);
        let claims = approved(&world.control_plane, &link, &call, Uuid::new_v4(), pinned);
        let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(head.headers[wire::header::REFUSED], label);
        assert_eq!(head.headers[wire::header::SENT], "no");
    }
    // Only what the grant lists may be read.
    world.api.on(LEASES, answer("201 Created", "{}"));
    let call = Call::new("PUT", CM, BODY);
    let mut claims = approved(&world.control_plane, &link, &call, Uuid::new_v4(), pin("5"));
    claims["reads"][0]["name"] = json!("other");
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "pin-read");
    assert!(world.api.seen().iter().all(|seen| !seen.line.starts_with("PUT")));
}

const GENERATION: &str = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d","namespace":"ns","uid":"u","generation":3,"resourceVersion":"VERSION"}}"#;

/// A status write between read and write moves resourceVersion and not the pin: tried again, three times, under one grant.
#[tokio::test]
async fn a_conflict_with_an_unchanged_pin_is_tried_again() {
    let (world, link) = World::start().await;
    let path = "/apis/apps/v1/namespaces/ns/deployments/d";
    let body = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{}}"#;
    let call = Call::new("PUT", path, body);
    let live: Value = serde_json::from_str(&GENERATION.replace("VERSION", "1")).unwrap();
    let pin = control_plane_core::version_pin::VersionPin::of(call.parsed().info(), Some(&live));
    let claims = |approval| {
        let mut claims = approved(&world.control_plane, &link, &call, approval, json!(pin));
        claims["reads"] = json!([{"apiGroup": "apps", "apiVersion": "v1", "namespace": "ns", "resource": "deployments", "name": "d"}]);
        claims
    };
    let conflict = || answer("409 Conflict", r#"{"kind":"Status","apiVersion":"v1","code":409}"#);
    world.api.on(LEASES, answer("201 Created", "{}"));
    for version in ["1", "2", "3"] {
        world.api.on("GET ", answer("200 OK", &GENERATION.replace("VERSION", version)));
    }
    world.api.on("PUT ", conflict());
    world.api.on("PUT ", conflict());
    world.api.on("PUT ", answer("200 OK", "{}"));
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims(Uuid::new_v4()))).await).await;
    assert_eq!(head.status, 200);
    let versions: Vec<Value> = world
        .api
        .seen()
        .iter()
        .filter(|seen| seen.line.starts_with("PUT"))
        .map(|seen| serde_json::from_str::<Value>(&seen.body).unwrap()["metadata"]["resourceVersion"].clone())
        .collect();
    assert_eq!(versions, ["1", "2", "3"]);

    // Never more than four times in all, and never where the pin breaks in between.
    world.api.on(LEASES, answer("201 Created", "{}"));
    for _ in 0..5 {
        world.api.on("GET ", answer("200 OK", &GENERATION.replace("VERSION", "4")));
        world.api.on("PUT ", conflict());
    }
    let before = world.api.seen().len();
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims(Uuid::new_v4()))).await).await;
    assert_eq!(head.status, 409);
    assert_eq!(world.api.seen().len() - before, 1 + 4 + 4);
}

/// Without a precondition of ours a 409 is the client's own.
#[tokio::test]
async fn a_conflict_that_is_the_clients_is_passed_on() {
    let (world, link) = World::start().await;
    world.api.on(LEASES, answer("201 Created", "{}"));
    world.api.on("POST /api/v1", answer("409 Conflict", r#"{"kind":"Status","apiVersion":"v1","code":409}"#));
    let call = Call::new("POST", "/api/v1/namespaces/ns/configmaps", BODY);
    let claims = approved(&world.control_plane, &link, &call, Uuid::new_v4(), json!({"state": "none"}));
    let (head, _) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.status, 409);
    assert_eq!(world.api.seen().len(), 2);
}

#[tokio::test]
async fn expired_leases_are_swept() {
    let (world, _link) = World::start().await;
    let lease = |name: &str, expires: &str| json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "annotations": {"sallyport.dev/expires": expires}}});
    let mut foreign = lease("spent-x", "1");
    foreign["metadata"]["annotations"] = Value::Null;
    let items = json!([
        lease("spent-a", "1000"),
        lease("spent-b", "9000000"),
        lease("other", "1"),
        lease("spent-c", "soon"),
        foreign
    ]);
    world.api.on("GET ", answer("200 OK", &json!({"items": items}).to_string()));
    world.api.on("DELETE ", answer("200 OK", "{}"));
    // 1000 ms and the hour that Leases are kept beyond their approval's expiry.
    let swept = world.agent.spent.sweep(shared::time::Timestamp(3_601_001)).await.unwrap();
    assert_eq!(swept, 1);
    let seen = world.api.seen();
    assert_eq!(seen.len(), 2);
    assert!(
        seen[1].line.starts_with("DELETE /apis/coordination.k8s.io/v1/namespaces/sallyport/leases/spent-a "),
        "{}",
        seen[1].line
    );
    assert!(seen[1].body.contains("uid-spent-a"));
}
