//! A compromised control plane: every grant here is validly signed, and wrong. Nothing may reach the API server.

use http::Response;
use serde_json::{Value, json};
use shared::wire;
use shared_net::exchange::ResponseBody;
use uuid::Uuid;

use crate::api_server::json as answer;
use crate::control_plane::{Call, text};
use crate::world::World;

const POD: &str = "/api/v1/namespaces/ns/pods/p";

async fn refusal(response: Response<ResponseBody>) -> (u16, String) {
    let (head, body) = text(response).await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(head.status.as_u16())));
    assert_eq!(head.headers[wire::header::SENT], "no");
    assert!(head.headers.get("retry-after").is_none());
    let label = head.headers[wire::header::REFUSED].to_str().unwrap().to_owned();
    assert_eq!(status["details"]["causes"][0]["message"], json!(label));
    (head.status.as_u16(), label)
}

#[tokio::test]
async fn claims_that_do_not_fit() {
    let (world, link) = World::start().await;
    let call = Call::new("DELETE", POD, "");
    let expired = json!({"approval": Uuid::new_v4(), "hold": Uuid::new_v4(), "intent": "A".repeat(43), "pin": {"state": "none"}, "expires": 1});
    for (field, value, label) in [
        ("cluster", json!("b"), "grant-cluster"),
        ("aud", json!("A".repeat(43)), "grant-epoch"),
        ("life", json!(6), "grant-life"),
        ("ttl", json!(0), "grant-expired"),
        ("ttl", json!(10_001), "grant-bound"),
        ("until", json!(u64::MAX), "grant-bound"),
        ("digest", json!("A".repeat(43)), "request-digest"),
        ("impersonation", Value::Null, "grant-impersonation"),
        ("impersonation", json!({"group": "system:masters", "subject": "x"}), "grant-claims"),
        ("impersonation", json!({"group": "sallyport:approved", "subject": "x"}), "grant-unapproved"),
        ("impersonation", json!({"group": "sallyport:dry-run", "subject": "x"}), "grant-no-dry-run"),
        ("purpose", json!("live-read"), "grant-purpose"),
        ("purpose", json!("token-review"), "grant-impersonation"),
        ("purpose", json!("preview"), "grant-purpose"),
        ("approval", expired, "approval-expired"),
        ("reveal", json!(true), "grant-claims"),
        ("exp", json!(9_999_999_999_u64), "grant-claims"),
        ("mask", json!(["data["]), "mask-rules"),
    ] {
        let mut claims = world.control_plane.claims(&link, &call);
        claims[field] = value;
        let got = refusal(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(got, (403, label.to_owned()), "{field}");
    }
    assert!(world.api.seen().is_empty(), "nothing was sent: {:?}", world.api.seen());
}

#[tokio::test]
async fn requests_that_were_not_granted() {
    let (world, link) = World::start().await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
    let granted = Call::new("POST", "/api/v1/namespaces/ns/configmaps?dryRun=All&fieldManager=x", body);
    let changed = |change: &dyn Fn(&mut Call)| {
        let mut call = granted.clone();
        change(&mut call);
        call
    };
    let other_body = body.replace("\"c\"", "\"d\"");
    for (what, call) in [
        (
            "path",
            changed(&|call| call.uri = "/api/v1/namespaces/ns/secrets?dryRun=All&fieldManager=x".parse().unwrap()),
        ),
        (
            "namespace",
            changed(&|call| {
                call.uri = "/api/v1/namespaces/kube-system/configmaps?dryRun=All&fieldManager=x".parse().unwrap()
            }),
        ),
        ("method", changed(&|call| call.method = http::Method::DELETE)),
        (
            "query order",
            changed(&|call| call.uri = "/api/v1/namespaces/ns/configmaps?fieldManager=x&dryRun=All".parse().unwrap()),
        ),
        ("query", changed(&|call| call.uri = "/api/v1/namespaces/ns/configmaps?fieldManager=x".parse().unwrap())),
        ("body", changed(&|call| call.body = other_body.clone().into())),
        ("grown body", changed(&|call| call.body = format!("{body} ").into())),
        ("no body", changed(&|call| call.body = bytes::Bytes::new())),
        (
            "content type",
            changed(&|call| {
                call.headers.insert("content-type", "application/yaml".parse().unwrap());
            }),
        ),
        ("digest key", changed(&|call| call.digest_key = [6; 32])),
    ] {
        let token = world.control_plane.sign(&world.control_plane.claims(&link, &granted));
        let got = refusal(link.send(&call, &token).await).await;
        assert_eq!(got, (403, "request-digest".to_owned()), "{what}");
    }
    assert!(world.api.seen().is_empty());
}

/// The digest is right for what is sent, and the claims say that it is something else.
#[tokio::test]
async fn claims_that_lie_about_the_request() {
    let (world, link) = World::start().await;
    let sent = Call::new("DELETE", POD, "");
    for pretended in [
        Call::new("GET", POD, ""),
        Call::new("DELETE", "/api/v1/namespaces/ns/pods/q", ""),
        Call::new("DELETE", "/api/v1/namespaces/other/pods/p", ""),
    ] {
        let mut claims = world.control_plane.claims(&link, &pretended);
        claims["digest"] = world.control_plane.claims(&link, &sent)["digest"].clone();
        let got = refusal(link.send(&sent, &world.control_plane.sign(&claims)).await).await;
        assert_eq!(got, (403, "request-info".to_owned()));
    }
    assert!(world.api.seen().is_empty());
}

#[tokio::test]
async fn tokens_that_are_none() {
    let (world, link) = World::start().await;
    let call = Call::new("DELETE", POD, "");
    let claims = world.control_plane.claims(&link, &call);
    let good = world.control_plane.sign(&claims);
    let hmac = world.control_plane.sign_read(&link, &claims);
    // The first character of the signature, so that it stays good base64, and always another one than it was.
    let (input, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let tampered = format!("{input}.{other}{}", signature.chars().skip(1).collect::<String>());
    assert_ne!(tampered, good);
    for (token, label) in [
        (hmac, "grant-needs-signature"),
        ("x".to_owned(), "grant-form"),
        (good.replacen("eyJhbGciOiJFZERTQSI", "eyJhbGciOiJub25lIiw", 1), "grant-header"),
        (tampered, "grant-signature"),
        ("A".repeat(33 * 1024), "grant-too-long"),
    ] {
        assert_eq!(refusal(link.send(&call, &token).await).await, (403, label.to_owned()));
    }
    let mut none = call.with_grant(&good);
    none.headers_mut().remove(wire::header::GRANT);
    assert_eq!(refusal(link.send_raw(none).await).await.1, "no-grant");
    let mut two = call.with_grant(&good);
    two.headers_mut().append(wire::header::GRANT, good.parse().unwrap());
    assert_eq!(refusal(link.send_raw(two).await).await.1, "no-grant");
    let mut no_key = call.with_grant(&good);
    no_key.headers_mut().remove(wire::header::DIGEST_KEY);
    assert_eq!(refusal(link.send_raw(no_key).await).await.1, "no-grant");
    assert!(world.api.seen().is_empty());
}

/// Whatever was granted. Each rule's table is beside the rule; here is that they are asked.
#[tokio::test]
async fn what_is_refused_whatever_the_grant_says() {
    let (world, link) = World::start().await;
    let binding = r#"{"metadata":{"name":"b"},"subjects":[{"kind":"Group","name":"sallyport:approved"}]}"#;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let copy = r#"[{"from":"/a","op":"copy","path":"/b"}]"#;
    for (call, label) in [
        (Call::new("DELETE", "/api/v1/namespaces/sallyport/pods/p", ""), "rule-own-namespace"),
        (Call::new("POST", "/api/v1/namespaces/sallyport/serviceaccounts/agent/token", "{}"), "rule-own-namespace"),
        (
            Call::new("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sallyport", ""),
            "rule-own-object",
        ),
        (Call::new("DELETE", &format!("{rbac}/clusterrolebindings"), ""), "rule-collection"),
        (Call::new("POST", &format!("{rbac}/namespaces/x/rolebindings"), binding), "rule-rbac-names-us"),
        (
            Call::new("PATCH", &format!("{rbac}/clusterroles/x"), copy).typed("application/json-patch+json"),
            "rule-rbac-copy",
        ),
        (Call::new("GET", "/api/v1/namespaces/x/pods/p/exec?command=sh", ""), "connect"),
        (Call::new("GET", "/api/v1/nodes/n/proxy/run", ""), "connect"),
    ] {
        let got = refusal(world.control_plane.granted(&link, &call).await).await;
        assert_eq!(got, (403, label.to_owned()), "{}", call.uri);
    }
    assert!(world.api.seen().is_empty());
}

#[tokio::test]
async fn a_refused_grant_was_not_spent() {
    let (world, link) = World::start().await;
    let call = Call::new("DELETE", POD, "");
    let claims = world.control_plane.claims(&link, &call);
    let token = world.control_plane.sign(&claims);
    let other = Call::new("DELETE", "/api/v1/namespaces/ns/pods/q", "");
    refusal(link.send(&other, &token).await).await;
    world.api.on("DELETE ", answer("200 OK", "{}"));
    assert_eq!(link.send(&call, &token).await.status(), 200);
}

#[tokio::test]
async fn other_hosts_and_paths_are_nothing() {
    let (world, link) = World::start().await;
    let call = Call::new("GET", POD, "");
    let token = world.control_plane.sign(&world.control_plane.claims(&link, &call));
    let mut request = call.with_grant(&token);
    request.headers_mut().insert("host", "elsewhere".parse().unwrap());
    assert_eq!(link.send_raw(request).await.status(), 421);
    let mut request = call.with_grant(&token);
    request.headers_mut().insert("host", wire::HOST_CONTROL.parse().unwrap());
    assert_eq!(link.send_raw(request).await.status(), 404);
    assert!(world.api.seen().is_empty());
}
