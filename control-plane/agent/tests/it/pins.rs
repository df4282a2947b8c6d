//! What an approval is compared with: the object as approvers were shown it, and the object that says what the request gives away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_plane_core::version_pin::VersionPin;
use serde_json::{Value, json};
use shared::wire;
use uuid::Uuid;

use crate::api_server::json as answer;
use crate::control_plane::{AgentLink, Call, ControlPlane, text};
use crate::world::World;

const LEASES: &str = "POST /apis/coordination.k8s.io/v1/namespaces/sallyport/leases";

/// Signed claims of an approved call about one object.
fn approved(control_plane: &ControlPlane, link: &AgentLink, call: &Call, pin: &Value) -> Value {
    let request = call.parsed();
    let info = request.info();
    let mut claims = control_plane.claims(link, call);
    claims["impersonation"]["group"] = json!("sallyport:approved");
    claims["approval"] = json!({
        "approval": Uuid::new_v4(), "hold": Uuid::new_v4(), "intent": claims["digest"], "pin": pin,
        "expires": 4_000_000_000_000_u64,
    });
    claims["reads"] = json!([{
        "apiGroup": info.api_group, "apiVersion": info.api_version, "namespace": info.namespace,
        "resource": info.resource, "name": info.name,
    }]);
    claims
}

/// A Deployment in whose annotation somebody has kept a Secret's manifest.
fn annotated(password: &str, more: &str) -> String {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": STANDARD.encode(password)}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "spec": {},
        "metadata": {
            "name": "d", "namespace": "ns", "uid": "u", "generation": 3, "resourceVersion": "7",
            "annotations": {"copy": secret.to_string(), "more": more},
        },
    })
    .to_string()
}

/// The control plane makes the pin of what the agent gave it, and the agent compares with what it would give now: both are masked, under the
/// same key. What was masked has no part in it, for nobody saw it; everything else in the annotations has.
#[tokio::test]
async fn a_pin_is_of_the_object_as_it_was_shown() {
    let (world, link) = World::start().await;
    let path = "/apis/apps/v1/namespaces/ns/deployments/d";
    let look = Call::new("GET", path, "");
    let mut claims = world.control_plane.claims(&link, &look);
    claims["purpose"] = json!("live-read");
    world.api.on("GET ", answer("200 OK", &annotated("canary-1", "a")));
    let (head, shown) = text(link.send(&look, &world.control_plane.sign(&claims)).await).await;
    assert_eq!(head.status, 200);
    assert!(!shown.contains(&STANDARD.encode("canary-1")), "{shown}");

    let call = Call::new("DELETE", path, "");
    let pin = json!(VersionPin::of(call.parsed().info(), Some(&serde_json::from_str(&shown).unwrap())));
    for (live, refused) in [
        (annotated("canary-1", "a"), None),
        (annotated("canary-2", "a"), None),
        (annotated("canary-1", "b"), Some("pin-broken")),
    ] {
        world.api.on(LEASES, answer("201 Created", "{}"));
        world.api.on("GET ", answer("200 OK", &live));
        if refused.is_none() {
            world.api.on("DELETE ", answer("200 OK", "{}"));
        }
        let claims = approved(&world.control_plane, &link, &call, &pin);
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        let got = head.headers.get(wire::header::REFUSED).map(|value| value.to_str().unwrap());
        assert_eq!(got, refused, "{body}");
    }
}

fn certificate_request(organization: &str) -> Value {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "c", "uid": "u", "resourceVersion": "5"},
        "spec": {"request": STANDARD.encode(pem), "signerName": "example.com/x", "usages": ["client auth"]},
    })
}

/// The body of an approval may say anything of the request that it approves, or nothing: what is there counts.
#[tokio::test]
async fn an_approval_of_a_certificate_is_judged_by_the_request_that_is_there() {
    let (world, link) = World::start().await;
    let body = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"c"}}"#;
    let call = Call::new("PUT", "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", body);
    let pin = json!({"state": "resourceVersion", "uid": "u", "resourceVersion": "5"});
    for (organization, pin, refused) in [
        ("sallyport:approved", &pin, Some("rule-certificate")),
        ("system:masters", &pin, Some("rule-certificate")),
        ("team", &pin, None),
        // A control plane that saw nothing can't have it approved.
        ("team", &json!({"state": "none"}), Some("pin-read")),
    ] {
        world.api.on(LEASES, answer("201 Created", "{}"));
        if pin["state"] != "none" {
            world.api.on("GET ", answer("200 OK", &certificate_request(organization).to_string()));
        }
        if refused.is_none() {
            world.api.on("PUT ", answer("200 OK", "{}"));
        }
        let claims = approved(&world.control_plane, &link, &call, pin);
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        let got = head.headers.get(wire::header::REFUSED).map(|value| value.to_str().unwrap());
        assert_eq!(got, refused, "{organization}: {body}");
    }
    assert_eq!(world.api.seen().iter().filter(|seen| seen.line.starts_with("PUT")).count(), 1);
}
