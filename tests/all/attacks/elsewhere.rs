//! Copies of the value that somebody has put into other objects.

use serde_json::json;

use super::*;

const BUNDLES: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bundles.attacks.example.com}
spec:
  group: attacks.example.com
  scope: Namespaced
  names: {kind: Bundle, plural: bundles, singular: bundle}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    additionalPrinterColumns: [{name: First, type: string, jsonPath: .spec.first}]
";

/// Controllers keep manifests in resources of their own, Secrets among them: the API server writes them sorted, so that values come before what
/// they are, in another frame of the answer if they are long, and kubectl keeps all of it once more in an annotation.
#[tokio::test(flavor = "multi_thread")]
async fn a36_a_custom_resource_with_a_secret_in_it() {
    let world = world();
    let own = world.0.namespace();
    own.cluster().apply(BUNDLES);
    own.cluster().admin(&["wait", "--for=condition=Established", "crd/bundles.attacks.example.com", "--timeout=60s"]);
    own.admin(&["create", "role", "bundles", "--verb=get,list,watch", "--resource=bundles.attacks.example.com"]);
    own.admin(&["create", "rolebinding", "bundles", "--role=bundles", "--group=sallyport:read"]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "copy"}, "type": "Opaque",
        "stringData": {"password": PASSWORD}, "data": {"file": "eHh4".repeat(9000), "password": base64(PASSWORD)}});
    let short = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": PASSWORD}});
    let list = |item: &Value| json!({"apiVersion": "v1", "kind": "List", "items": [item]});
    let bundle = json!({"apiVersion": "attacks.example.com/v1", "kind": "Bundle",
        "metadata": {"name": "copies", "namespace": &**own}, "rows": [short],
        "spec": {"first": "seen", "manifest": list(&secret), "template": short, "annotations": short,
            "metadata": {"kind": "x", "metadata": short}, "lists": [list(&list(&short))],
            "bundle": {"apiVersion": "attacks.example.com/v1", "kind": "Bundle", "items": [secret, short]}}});
    own.cluster().apply(&bundle.to_string());
    let path = format!("/apis/attacks.example.com/v1/namespaces/{}/bundles", &**own);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    for (path, accept) in [
        (format!("{path}/copies"), "application/json"),
        (path.clone(), "application/json"),
        (path.clone(), table),
        (format!("{path}?includeObject=Object"), table),
        (format!("{path}/copies"), metadata),
        (format!("{path}?watch=true&timeoutSeconds=2"), "application/json"),
        (format!("{path}?watch=true&timeoutSeconds=2&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"), table),
    ] {
        // None is cut off, which would hide the value as well.
        let told = world.get(&path, accept).await.ok();
        assert!(told.text().contains("copies"), "{path}: {told:?}");
    }
    // One that can't be masked is refused in words, which say whose it is and nothing of it.
    let mut odd = bundle.clone();
    odd["metadata"]["name"] = json!("odd");
    odd["spec"] = json!({"data": {"password": base64(PASSWORD)}, "kind": "Secret"});
    own.cluster().apply(&odd.to_string());
    let told = world.get(&format!("{path}/odd"), "application/json").await;
    assert_eq!(told.status, 502, "{told:?}");
    for part in ["can't be masked", "it only reads, so nothing was changed", "[sallyport operation "] {
        assert!(told.json()["message"].as_str().unwrap().contains(part), "{told:?}");
    }
}

fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}
