//! Guard reads: the agent's own list, read as itself, told in words.

use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use shared::wire;

use crate::api_server::json as answer;
use crate::control_plane::{Call, text};
use crate::world::World;

const POLICY: &str = "/apis/networking.k8s.io/v1/namespaces/ci/networkpolicies/sallyport-runners";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sallyport:read";

/// What the agent of [`World`] is told was installed.
pub(crate) fn guarded() -> Value {
    json!([
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "sallyport-runners", "namespace": "ci"},
            "spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "sallyport:read"}, "rules": []},
    ])
}

fn claims(world: &World, link: &crate::control_plane::AgentLink, call: &Call, reads: &Value) -> Value {
    let mut claims = world.control_plane.claims(link, call);
    claims["purpose"] = json!("guard-read");
    claims["impersonation"] = Value::Null;
    claims["reads"] = reads.clone();
    claims
}

fn role() -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "apiVersion": "v1", "namespace": "", "resource": "clusterroles", "name": "sallyport:read"})
}

#[tokio::test]
async fn what_is_not_as_installed_is_told_in_words() {
    let (world, link) = World::start().await;
    let request = Request::get(wire::path::GUARDED).header(header::HOST, wire::HOST_CONTROL);
    let (head, list) = text(link.send_raw(request.body(Full::default()).unwrap()).await).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((head.status.as_u16(), &list[0]["name"], &list[1]), (200, &json!("sallyport-runners"), &role()));

    let live = r#"{"kind":"NetworkPolicy","metadata":{"uid":"x"},"spec":{"podSelector":{},"egress":[{"ports":[{"port":53}]},{}]},"secret":""}"#;
    world.api.on(&format!("GET {POLICY}"), answer("200 OK", live));
    world.api.on(&format!("GET {ROLE}"), answer("404 Not Found", "{}"));
    let call = Call::new("GET", POLICY, "");
    let claims = claims(&world, &link, &call, &json!([role()]));
    let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert_eq!((head.status.as_u16(), &head.headers[wire::header::SENT]), (200, &"yes".parse().unwrap()));
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        told,
        json!([
            {"object": "NetworkPolicy sallyport-runners in ci", "state": "changed", "place": "spec.egress"},
            {"object": "ClusterRole sallyport:read", "state": "missing"},
        ])
    );
    for seen in world.api.seen() {
        assert!(seen.header("impersonate-user").is_empty(), "the agent reads them as itself");
    }
}

/// A hostile control plane gets nothing else read with the agent's own rights.
#[tokio::test]
async fn what_is_not_on_the_agents_list_is_not_read() {
    let (world, link) = World::start().await;
    let call = Call::new("GET", POLICY, "");
    let other = json!({"apiGroup": "", "apiVersion": "v1", "namespace": "sallyport", "resource": "secrets", "name": "sallyport-ca"});
    let secret = Call::new("GET", "/api/v1/namespaces/sallyport/secrets/sallyport-placeholder", "");
    let list = Call::new("GET", "/apis/networking.k8s.io/v1/namespaces/ci/networkpolicies", "");
    let mut as_somebody = claims(&world, &link, &call, &json!([]));
    as_somebody["impersonation"] = json!({"group": "sallyport:read", "subject": "hashed"});
    for (call, claims, label) in [
        (&call, claims(&world, &link, &call, &json!([role(), other])), "grant-purpose"),
        (&secret, claims(&world, &link, &secret, &json!([])), "grant-purpose"),
        (&list, claims(&world, &link, &list, &json!([])), "grant-purpose"),
        (&call, as_somebody, "grant-impersonation"),
    ] {
        let answer = link.send(call, &world.control_plane.sign(&claims)).await;
        let label = label.parse().unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()[wire::header::REFUSED]), (403, &label), "{claims}");
    }
    assert_eq!(world.api.seen().len(), 0);
    assert_eq!(world.agent.metrics.attack_signals(), 4);
}
