//! What `finish` writes into a request, put before the real API server: if the object changed after the read, nothing happens; if it
//! didn't, the request goes through.

use std::sync::Arc;

use bytes::Bytes;
use control_plane_core::finish::{Reads, finish};
use control_plane_core::mask::{MaskContext, PlaceholderKey, PlaceholderKeys};
use control_plane_core::request::{Request, WireRequest};
use control_plane_core::request_info::RequestInfo;
use control_plane_core::restore::{Carried, ReadObject};
use control_plane_core::version_pin::VersionPin;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Namespace};

/// One way to write to an object, and the kubectl command that sends exactly the finished body.
struct Case {
    method: &'static str,
    /// Kind and subresource.
    target: (&'static str, &'static str),
    content_type: &'static str,
    body: Option<Value>,
    send: fn(&WireRequest) -> Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn patch(kind: &str, wire: &WireRequest) -> Vec<String> {
    let mut arguments = words(&format!("patch configmap x --type={kind} -p"));
    arguments.push(String::from_utf8_lossy(wire.body()).into_owned());
    arguments
}

fn raw(verb: &str, wire: &WireRequest) -> Vec<String> {
    words(&format!("{verb} --raw {} -f -", wire.path_and_query()))
}

fn cases() -> Vec<Case> {
    let config_map = ("configmaps", "");
    let data = || json!({"data": {"a": "new"}});
    let whole = || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "new"}});
    let case = |method, target, content_type, body, send| Case { method, target, content_type, body, send };
    vec![
        case("PATCH", config_map, "application/merge-patch+json", Some(data()), |wire| patch("merge", wire)),
        case("PATCH", config_map, "application/strategic-merge-patch+json", Some(data()), |wire| {
            patch("strategic", wire)
        }),
        case(
            "PATCH",
            config_map,
            "application/json-patch+json",
            Some(json!([{"op": "add", "path": "/data", "value": {"a": "new"}}])),
            |wire| patch("json", wire),
        ),
        case("PATCH", config_map, "application/apply-patch+yaml", Some(whole()), |_| {
            words("apply --server-side --force-conflicts --validate=ignore -f -")
        }),
        case("PUT", config_map, "application/json", Some(whole()), |wire| raw("replace", wire)),
        case("DELETE", config_map, "", None, |wire| raw("delete", wire)),
        case("DELETE", config_map, "application/json", Some(json!({"propagationPolicy": "Background"})), |wire| {
            raw("delete", wire)
        }),
        case(
            "POST",
            ("pods", "/binding"),
            "application/json",
            Some(json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "x"}, "target": {"kind": "Node", "name": "n"},
            })),
            |wire| raw("create", wire),
        ),
        case(
            "POST",
            ("pods", "/eviction"),
            "application/json",
            Some(json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}})),
            |wire| raw("create", wire),
        ),
    ]
}

fn mask(info: &RequestInfo) -> MaskContext {
    let keys = PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None);
    MaskContext::response(Arc::new(keys), "prod", info)
}

/// The object as it is, and the request of a case pinned to it and finished.
fn finished(namespace: &Namespace, case: &Case) -> anyhow::Result<WireRequest> {
    let (kind, subresource) = case.target;
    let path = format!("/api/v1/namespaces/{}/{kind}/x{subresource}", &**namespace);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, case.content_type.parse()?);
    let body = case.body.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = Request::parse(&case.method.parse()?, &path.parse()?, &headers, Bytes::from(body))?;
    let live = namespace.cluster().get_json(&["-n", namespace, kind, "x"]);
    let mask = mask(request.info());
    let live = ReadObject::new(live.to_string().as_bytes(), &mask)?;
    let pin = VersionPin::of(request.info(), Some(live.masked()));
    let (carried, reads) = (Carried::of(&request)?, Reads { live: Some(&live), more: &[] });
    Ok(finish(request.wire().clone(), request.body(), &carried, &pin, reads, &mask)?.request)
}

#[test]
fn what_finish_writes_binds_the_real_server() {
    let cluster = Cluster::get();
    for case in cases() {
        let name = format!("{} {} {}", case.method, case.target.1, case.content_type);
        let namespace = cluster.namespace("preconditions");
        namespace.admin(&["create", "configmap", "x", "--from-literal=a=old"]);
        namespace.pod("x");
        let send = |wire: &WireRequest| {
            let mut arguments = vec!["-n".to_owned(), namespace.to_string()];
            arguments.extend((case.send)(wire));
            let body = std::str::from_utf8(wire.body()).unwrap();
            cluster.try_admin(&arguments, body)
        };

        let stale = finished(&namespace, &case).unwrap();
        namespace.admin(&["annotate", case.target.0, "x", "changed=since"]);
        let refused = send(&stale);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{name}: it was carried out on another state");
        assert!(
            ["Conflict", "modified", "precondition", "server rejected our request", "422"]
                .iter()
                .any(|word| said.contains(word)),
            "{name}: {said}"
        );

        let fresh = send(&finished(&namespace, &case).unwrap());
        assert!(fresh.status.success(), "{name}: {}", String::from_utf8_lossy(&fresh.stderr));
    }
}
