//! A good grant works, once; what goes upstream is exactly what was granted.

use serde_json::{Value, json};
use shared::wire;

use crate::api_server::json as answer;
use crate::control_plane::{Call, text};
use crate::world::{TOKEN, World};

const POD: &str = "/api/v1/namespaces/ns/pods/p";

#[tokio::test]
async fn a_read_goes_through() {
    let (world, link) = World::start().await;
    world.api.on("GET /api/v1/namespaces/ns/pods/p ", answer("200 OK", r#"{"kind":"Pod","apiVersion":"v1"}"#));
    let call = Call::new("GET", POD, "");
    let claims = world.control_plane.claims(&link, &call);
    let token = world.control_plane.sign_read(&link, &claims);
    let (head, body) = text(link.send(&call, &token).await).await;
    assert_eq!((head.status.as_u16(), body.as_str()), (200, r#"{"kind":"Pod","apiVersion":"v1"}"#));
    assert_eq!(head.headers[wire::header::SENT], "yes");
    assert_eq!(head.headers["content-type"], "application/json");

    let seen = world.api.seen();
    let [seen] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(seen.line, format!("GET {POD} HTTP/1.1"));
    let mut headers = seen.headers.clone();
    headers.retain(|(name, _)| name != "host");
    headers.sort();
    let operation = claims["operation"].as_str().unwrap();
    let session = claims["session"].as_str().unwrap();
    let expected = [
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("audit-id", operation),
        ("authorization", &format!("Bearer {TOKEN}")),
        ("impersonate-extra-sallyport.dev%2foperation", operation),
        ("impersonate-extra-sallyport.dev%2fsession", session),
        ("impersonate-extra-sallyport.dev%2fsubject", "hashed"),
        ("impersonate-group", "sallyport:read"),
        ("impersonate-user", "sallyport:runner"),
        ("user-agent", "kubectl/v1.36"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let told = world.control_plane.hellos.lock().unwrap()[0].clone();
    assert_eq!((&told["clusterUid"], &told["token"]), (&json!("uid-of-a"), &json!(TOKEN)));
}

/// SECURITY.md I1, I2: whatever headers come with a granted request, those four go on and ours are added last.
#[tokio::test]
async fn no_header_of_the_request_reaches_the_api_server() {
    let (world, link) = World::start().await;
    world.api.on("GET ", answer("200 OK", "{}"));
    let call = Call::new("GET", POD, "");
    let token = world.control_plane.sign(&world.control_plane.claims(&link, &call));
    let mut request = call.with_grant(&token);
    for (name, value) in [
        ("impersonate-user", "system:admin"),
        ("impersonate-group", "system:masters"),
        ("impersonate-extra-x", "y"),
        ("x-remote-user", "admin"),
        ("authorization", "Bearer other"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("audit-id", "chosen"),
        ("accept-encoding", "gzip"),
        ("te", "trailers"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(link.send_raw(request).await.status(), 200);
    let seen = world.api.seen();
    assert_eq!(seen[0].header("impersonate-user"), ["sallyport:runner"]);
    assert_eq!(seen[0].header("impersonate-group"), ["sallyport:read"]);
    assert_eq!(seen[0].header("authorization"), [format!("Bearer {TOKEN}")]);
    assert_eq!(seen[0].header("accept-encoding"), ["identity"]);
    for name in [
        "impersonate-extra-x",
        "x-remote-user",
        "cookie",
        "x-forwarded-for",
        "te",
        wire::header::GRANT,
        wire::header::DIGEST_KEY,
    ] {
        assert!(seen[0].header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_write_goes_through_with_its_body() {
    let (world, link) = World::start().await;
    world.api.on(
        "POST /api/v1/namespaces/ns/configmaps",
        answer("201 Created", r#"{"kind":"ConfigMap","apiVersion":"v1"}"#),
    );
    let body = r#"{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap","metadata":{"name":"c"}}"#;
    let call = Call::new("POST", "/api/v1/namespaces/ns/configmaps?fieldManager=x", body);
    let (head, _) = text(world.control_plane.granted(&link, &call).await).await;
    assert_eq!(head.status, 201);
    let seen = world.api.seen();
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[0].header("impersonate-group"), ["sallyport:write"]);
    assert_eq!(seen[0].header("content-type"), ["application/json"]);
}

#[tokio::test]
async fn a_token_review_goes_as_the_agent() {
    let (world, link) = World::start().await;
    world.api.on(
        "POST /apis/authentication.k8s.io/v1/tokenreviews",
        answer("201 Created", r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1"}"#),
    );
    let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"t"}}"#;
    let call = Call::new("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body);
    let mut claims = world.control_plane.claims(&link, &call);
    claims["purpose"] = json!("token-review");
    claims["impersonation"] = Value::Null;
    let answer = link.send(&call, &world.control_plane.sign(&claims)).await;
    assert_eq!(answer.status(), 201);
    let seen = world.api.seen();
    assert!(seen[0].header("impersonate-user").is_empty());
}

/// SECURITY.md T9: exactly one of many wins, and nothing else is sent.
#[tokio::test]
async fn a_grant_is_used_once_also_by_many_at_once() {
    let (world, link) = World::start().await;
    for _ in 0..20 {
        let call = Call::new("DELETE", POD, "");
        let token = world.control_plane.sign(&world.control_plane.claims(&link, &call));
        let before = world.api.seen().len();
        world.api.on("DELETE ", answer("200 OK", "{}"));
        let tries = (0..8).map(|_| link.send(&call, &token));
        let answers = futures_util::future::join_all(tries).await;
        let won = answers.iter().filter(|answer| answer.status() == 200).count();
        let replays = answers
            .iter()
            .filter(|answer| answer.headers().get(wire::header::REFUSED).is_some_and(|label| label == "spend-replay"))
            .count();
        assert_eq!((won, replays), (1, 7));
        assert_eq!(world.api.seen().len(), before + 1);
    }
    assert_eq!(world.agent.metrics.attack_signals(), 140);
}

#[tokio::test]
async fn masking_happens_here() {
    let (world, link) = World::start().await;
    let secret =
        r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"ns"},"data":{"k":"Y2FuYXJ5"}}"#;
    world.api.on("GET /api/v1/namespaces/ns/secrets/s", answer("200 OK", secret));
    let call = Call::new("GET", "/api/v1/namespaces/ns/secrets/s", "");
    let (head, body) = text(world.control_plane.granted(&link, &call).await).await;
    assert_eq!(head.status, 200);
    assert!(!body.contains("Y2FuYXJ5") && body.contains("\"k\":\""), "{body}");
}

/// Fields that the grant names are masked too; the grant can't name fewer than Secrets.
#[tokio::test]
async fn fields_that_the_grant_names_are_masked_and_put_back() {
    const PATH: &str = "/api/v1/namespaces/ns/configmaps/c";
    let live = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","namespace":"ns","uid":"u","resourceVersion":"5"},"data":{"password":"canary","x":"y"}}"#;
    let (world, link) = World::start().await;
    let read = Call::new("GET", PATH, "");
    let mut claims = world.control_plane.claims(&link, &read);
    claims["mask"] = json!(["data.password"]);
    world.api.on("GET ", answer("200 OK", live));
    let (head, body) = text(link.send(&read, &world.control_plane.sign(&claims)).await).await;
    assert!(head.status == 200 && !body.contains("canary") && body.contains("\"y\""), "{body}");
    let back = Call::new("PUT", PATH, &body);
    let mut claims = world.control_plane.claims(&link, &back);
    claims["mask"] = json!(["data.password"]);
    claims["reads"] =
        json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "configmaps", "name": "c"}]);
    world.api.on("GET ", answer("200 OK", live));
    world.api.on("PUT ", answer("200 OK", live));
    let (head, body) = text(link.send(&back, &world.control_plane.sign(&claims)).await).await;
    assert!(head.status == 200 && !body.contains("canary"), "{body}");
    let sent: Value = serde_json::from_str(&world.api.seen().last().unwrap().body).unwrap();
    assert_eq!(sent["data"], json!({"password": "canary", "x": "y"}));
    // Copied by a patch it would be seen.
    let copy = json!([{"op": "copy", "from": "/data/password", "path": "/data/x"}]).to_string();
    let patch = Call::new("PATCH", PATH, &copy).typed("application/json-patch+json");
    let mut claims = world.control_plane.claims(&link, &patch);
    claims["mask"] = json!(["data.password"]);
    let (head, _) = text(link.send(&patch, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "rule-secret-oracle");
}
