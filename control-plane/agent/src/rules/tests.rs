//! One table per rule: what it refuses, and the nearest things that it lets through.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde_json::json;

use super::*;

fn ours() -> Ours {
    Ours::new(["sallyport", "sallyport-system"].map(str::to_owned).into())
}

fn request(method: &str, path: &str, body: &str) -> Request {
    let mut headers = HeaderMap::new();
    let mut method = method;
    let mut media_type = "application/json";
    match method {
        "JSON-PATCH" => (method, media_type) = ("PATCH", "application/json-patch+json"),
        "MERGE" => (method, media_type) = ("PATCH", "application/merge-patch+json"),
        "STRATEGIC" => (method, media_type) = ("PATCH", "application/strategic-merge-patch+json"),
        "APPLY" => (method, media_type) = ("PATCH", "application/apply-patch+yaml"),
        _ => {}
    }
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    let (method, uri): (Method, Uri) = (method.parse().unwrap(), path.parse().unwrap());
    Request::parse(&method, &uri, &headers, Bytes::copy_from_slice(body.as_bytes())).expect(path)
}

fn request_info(method: &str, path: &str, body: &str) -> RequestInfo {
    request(method, path, body).info().clone()
}

fn check(method: &str, path: &str, body: &str) -> Result<(), RuleRefusal> {
    ours().check(&request(method, path, body))
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}"#;

#[test]
fn nothing_is_changed_in_our_namespaces() {
    for (method, path, body) in [
        ("POST", "/api/v1/namespaces/sallyport/pods", POD),
        ("POST", "/api/v1/namespaces/sallyport-system/pods", POD),
        ("DELETE", "/api/v1/namespaces/sallyport/pods/p", ""),
        ("DELETE", "/api/v1/namespaces/sallyport/pods", ""),
        ("PUT", "/api/v1/namespaces/sallyport/configmaps/approvers", r#"{"metadata":{"name":"approvers"}}"#),
        ("MERGE", "/apis/apps/v1/namespaces/sallyport/deployments/sallyport-agent", "{}"),
        ("MERGE", "/apis/apps/v1/namespaces/sallyport/deployments/sallyport-agent/scale", "{}"),
        ("POST", "/api/v1/namespaces/sallyport/serviceaccounts/agent/token", r#"{"kind":"TokenRequest"}"#),
        ("GET", "/api/v1/namespaces/sallyport/pods/p/exec?command=sh&stdout=true", ""),
        ("POST", "/api/v1/namespaces/sallyport/pods/p/exec?command=sh&stdout=true", ""),
        ("GET", "/api/v1/namespaces/sallyport/pods/p/attach?stdout=true", ""),
        ("GET", "/api/v1/namespaces/sallyport/pods/p/portforward", ""),
        ("GET", "/api/v1/namespaces/sallyport/pods/p/proxy/metrics", ""),
        ("GET", "/api/v1/namespaces/sallyport/services/x/proxy/", ""),
        ("MERGE", "/api/v1/namespaces/sallyport/pods/p/ephemeralcontainers", "{}"),
        ("POST", "/api/v1/namespaces/sallyport/pods/p/eviction", r#"{"metadata":{"name":"p"}}"#),
        ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/sallyport/leases/spent-0", ""),
        ("DELETE", "/api/v1/namespaces/sallyport", ""),
        ("MERGE", "/api/v1/namespaces/sallyport", r#"{"metadata":{"labels":{"x":"y"}}}"#),
        ("PUT", "/api/v1/namespaces/sallyport/finalize", r#"{"metadata":{"name":"sallyport"}}"#),
        ("POST", "/api/v1/namespaces", r#"{"kind":"Namespace","metadata":{"name":"sallyport-system"}}"#),
    ] {
        assert_eq!(check(method, path, body), Err(RuleRefusal::OwnNamespace), "{method} {path}");
    }
    for (method, path, body) in [
        ("GET", "/api/v1/namespaces/sallyport/pods", ""),
        ("GET", "/api/v1/namespaces/sallyport/pods?watch=1", ""),
        ("GET", "/api/v1/namespaces/sallyport/pods/p/log", ""),
        ("POST", "/api/v1/namespaces/sallyport2/pods", POD),
        ("DELETE", "/api/v1/namespaces/default", ""),
        ("GET", "/healthz", ""),
        ("POST", "/api/v1/namespaces", r#"{"kind":"Namespace","metadata":{"name":"x"}}"#),
    ] {
        assert_eq!(check(method, path, body), Ok(()), "{method} {path}");
    }
}

#[test]
fn our_own_objects_by_name() {
    let admission = "/apis/admissionregistration.k8s.io/v1";
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let collections = [
        format!("{admission}/mutatingwebhookconfigurations"),
        format!("{admission}/validatingwebhookconfigurations"),
        format!("{admission}/validatingadmissionpolicies"),
        format!("{admission}/validatingadmissionpolicybindings"),
        "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies".to_owned(),
        "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings".to_owned(),
        format!("{rbac}/clusterroles"),
        format!("{rbac}/clusterrolebindings"),
        format!("{rbac}/namespaces/x/roles"),
        format!("{rbac}/namespaces/x/rolebindings"),
    ];
    let body = |name: &str| json!({"metadata": {"name": name}}).to_string();
    for collection in &collections {
        for name in ["sallyport", "sallyport-injector", "sallyport.dev", "sallyportx"] {
            let path = format!("{collection}/{name}");
            for (method, path, body) in [
                ("DELETE", &path, String::new()),
                ("PUT", &path, body(name)),
                ("MERGE", &path, "{}".to_owned()),
                ("JSON-PATCH", &path, "[]".to_owned()),
                ("POST", collection, body(name)),
            ] {
                assert_eq!(check(method, path, &body), Err(RuleRefusal::OwnObject), "{method} {path}");
            }
            assert_eq!(check("GET", &path, ""), Ok(()), "reading is harmless");
        }
        let generated = json!({"metadata": {"generateName": "sallyport-"}}).to_string();
        assert_eq!(check("POST", collection, &generated), Err(RuleRefusal::OwnObject));
        assert_eq!(check("DELETE", collection, ""), Err(RuleRefusal::Collection), "{collection}");
        assert_eq!(check("DELETE", &format!("{collection}/other"), ""), Ok(()));
        assert_eq!(check("POST", collection, &body("other")), Ok(()));
    }
    assert_eq!(check("DELETE", "/api/v1/namespaces/x/configmaps/sallyport", ""), Ok(()));
    assert_eq!(check("DELETE", "/api/v1/namespaces/x/configmaps", ""), Ok(()));
}

#[test]
fn rbac_bodies_that_name_us() {
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/x/rolebindings";
    let cluster = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    for subject in [
        json!({"kind": "Group", "name": "sallyport:approved"}),
        json!({"kind": "User", "name": "sallyport:runner"}),
        json!({"kind": "ServiceAccount", "name": "agent", "namespace": "sallyport"}),
        json!({"kind": "User", "name": "system:serviceaccount:sallyport:agent"}),
        json!({"kind": "Group", "name": "system:serviceaccounts:sallyport-system"}),
        json!({"namespace": "sallyport"}),
        json!({"sallyport:x": 1}),
    ] {
        let body = json!({"metadata": {"name": "b"}, "subjects": [subject]}).to_string();
        let patch = json!([{"op": "add", "path": "/subjects/-", "value": subject}]).to_string();
        for (method, path, body) in [
            ("POST", binding.to_owned(), &body),
            ("POST", cluster.to_owned(), &body),
            ("PUT", format!("{binding}/b"), &body),
            ("MERGE", format!("{binding}/b"), &body),
            ("STRATEGIC", format!("{binding}/b"), &body),
            ("APPLY", format!("{cluster}/b"), &body),
            ("JSON-PATCH", format!("{cluster}/b"), &patch),
        ] {
            assert_eq!(check(method, &path, body), Err(RuleRefusal::RbacNamesUs), "{method} {body}");
        }
    }
    // A role that may impersonate us, and a piece of a subject.
    let role = r#"{"metadata":{"name":"r"},"rules":[{"verbs":["impersonate"],"resources":["groups"],"resourceNames":["sallyport:read"]}]}"#;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert_eq!(check("POST", roles, role), Err(RuleRefusal::RbacNamesUs));
    let piece = r#"[{"op":"replace","path":"/subjects/0/namespace","value":"sallyport"}]"#;
    assert_eq!(check("JSON-PATCH", &format!("{cluster}/b"), piece), Err(RuleRefusal::RbacNamesUs));
    let harmless =
        json!({"metadata": {"name": "b"}, "subjects": [{"kind": "User", "name": "system:serviceaccount:x:y"}]});
    assert_eq!(check("POST", binding, &harmless.to_string()), Ok(()));
}

#[test]
fn rbac_patches_that_hide_what_they_make() {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/b";
    for (patch, refusal) in [
        (r#"[{"op":"copy","from":"/metadata/labels/x","path":"/subjects/0/name"}]"#, RuleRefusal::RbacCopy),
        (r#"[{"op":"move","from":"/metadata/labels/x","path":"/subjects/0/name"}]"#, RuleRefusal::RbacCopy),
        (r#"[{"op":"test","path":"/x","value":1},{"op":"copy","from":"/a","path":"/b"}]"#, RuleRefusal::RbacCopy),
    ] {
        assert_eq!(check("JSON-PATCH", path, patch), Err(refusal), "{patch}");
    }
    let plain = r#"[{"op":"add","path":"/subjects/-","value":{"kind":"User","name":"jane"}}]"#;
    assert_eq!(check("JSON-PATCH", path, plain), Ok(()));
    let elsewhere = r#"[{"op":"copy","from":"/a","path":"/b"}]"#;
    assert_eq!(check("JSON-PATCH", "/api/v1/namespaces/x/configmaps/c", elsewhere), Ok(()));
}

#[test]
fn nobody_gets_the_right_to_impersonate() {
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let role = |verbs: &[&str]| {
        json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": verbs}]}).to_string()
    };
    for verbs in
        [&["impersonate"][..], &["get", "impersonate"], &["impersonate:user-info"], &["impersonate-on:user-info:*"]]
    {
        for (method, path) in
            [("POST", roles.to_owned()), ("PUT", format!("{roles}/r")), ("MERGE", format!("{roles}/r"))]
        {
            assert_eq!(check(method, &path, &role(verbs)), Err(RuleRefusal::RbacImpersonates), "{method} {verbs:?}");
        }
    }
    let piece = r#"[{"op":"add","path":"/rules/0/verbs/-","value":"impersonate"}]"#;
    assert_eq!(check("JSON-PATCH", &format!("{roles}/r"), piece), Err(RuleRefusal::RbacImpersonates));
    assert_eq!(check("POST", roles, &role(&["*"])), Err(RuleRefusal::RbacImpersonates), "on users it means that");
    // What is as much and says so is for people to see: policy scores it 98.
    let everything = r#"{"metadata":{"name":"r"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}"#;
    for role in [everything.to_owned(), role(&["bind", "escalate"]), role(&["get"])] {
        assert_eq!(check("POST", roles, &role), Ok(()), "{role}");
    }
}

/// A real certificate request: subject as pairs of attribute and value, and names beside it.
fn csr(subject: &[(rcgen::DnType, rcgen::DnValue)], alternatives: &[&str]) -> Value {
    let names: Vec<String> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let request = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "c"},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
    })
}

#[test]
fn no_certificate_for_names_of_the_cluster_or_ours() {
    use rcgen::{DnType, DnValue};
    let collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let text = |text: &str| DnValue::Utf8String(text.to_owned());
    let reserved = Err(RuleRefusal::Certificate(CertificateRefusal::Reserved));
    for request in [
        csr(&[(DnType::CommonName, text("x")), (DnType::OrganizationName, text("system:masters"))], &[]),
        csr(&[(DnType::CommonName, text("x")), (DnType::OrganizationName, text("sallyport:approved"))], &[]),
        csr(&[(DnType::CommonName, text("sallyport:runner"))], &[]),
        csr(&[(DnType::CommonName, text("system:node:n"))], &[]),
        csr(&[(DnType::OrganizationName, DnValue::PrintableString("system:nodes".try_into().unwrap()))], &[]),
        csr(&[(DnType::OrganizationName, DnValue::TeletexString("system:nodes".try_into().unwrap()))], &[]),
        csr(&[(DnType::OrganizationName, DnValue::Ia5String("system:nodes".try_into().unwrap()))], &[]),
        csr(&[(DnType::OrganizationName, DnValue::BmpString("sallyport:approved".try_into().unwrap()))], &[]),
    ] {
        assert_eq!(check("POST", collection, &request.to_string()), reserved);
        assert_eq!(check("APPLY", &format!("{collection}/c"), &request.to_string()), reserved);
        // An approval says nothing of the names; the object that it is about does.
        let approval = request_info("PUT", &format!("{collection}/c/approval"), r#"{"metadata":{"name":"c"}}"#);
        assert!(Ours::needs_live(&approval));
        assert_eq!(ours().check_live(&approval, Some(&request)), reserved);
    }
    let harmless =
        csr(&[(DnType::CommonName, text("jane")), (DnType::OrganizationName, text("team-a"))], &["jane.example"]);
    assert_eq!(check("POST", collection, &harmless.to_string()), Ok(()));
    let approval = request_info("PUT", &format!("{collection}/c/approval"), r#"{"metadata":{"name":"c"}}"#);
    assert_eq!(ours().check_live(&approval, Some(&harmless)), Ok(()));
    let mut garbled = harmless;
    garbled["spec"]["request"] = json!("bm8gcGVt");
    let unreadable = Err(RuleRefusal::Certificate(CertificateRefusal::Unreadable));
    assert_eq!(check("POST", collection, &garbled.to_string()), unreadable);
    let patch = r#"[{"op":"replace","path":"/spec/request","value":"x"}]"#;
    assert_eq!(check("JSON-PATCH", &format!("{collection}/c"), patch), unreadable);
    assert_eq!(check("DELETE", &format!("{collection}/c"), ""), Ok(()));
    assert!(!Ours::needs_live(&request_info("GET", &format!("{collection}/c/approval"), "")));
}

#[test]
fn masked_elements_of_a_list_are_not_renamed() {
    let masked = MaskedFields::parse(&["spec.containers[*].env[name=*SECRET*].value"]).unwrap();
    let check = |method: &str, path: &str, body: &str| check_patch(&request(method, path, body), &masked);
    let pod = "/api/v1/namespaces/shop/pods/web";
    let rename = r#"[{"op":"replace","path":"/spec/containers/0/env/0/name","value":"PUBLIC"}]"#;
    for query in ["", "?dryRun=All"] {
        let refused = check("JSON-PATCH", &format!("{pod}{query}"), rename).unwrap_err();
        assert!(refused.to_string().contains("/spec/containers/0/env/0/name"), "{refused}");
        assert_eq!(refused.label(), "rule-renames-masked");
    }
    assert_eq!(check_patch(&request("JSON-PATCH", pod, rename), &MaskedFields::default()), Ok(()));
    let whole = r#"[{"op":"replace","path":"/spec/containers/0/env/0","value":{"name":"PUBLIC","value":"x"}}]"#;
    assert_eq!(check("JSON-PATCH", pod, whole), Ok(()));
    let list = r#"{"spec":{"containers":[{"name":"c","env":[{"name":"PUBLIC","value":"x"}]}]}}"#;
    for method in ["MERGE", "STRATEGIC", "APPLY"] {
        assert_eq!(check(method, pod, list), Ok(()), "{method}");
    }
    let other = "/apis/example.com/v1/namespaces/shop/things/web";
    assert_eq!(check("MERGE", other, list), Ok(()));
    for method in ["STRATEGIC", "APPLY"] {
        assert!(matches!(check(method, other, list), Err(RuleRefusal::Renames(_))), "{method}");
    }
}

/// The reason says whether the last words of a container are shown, so that whoever writes one reads the other.
#[test]
fn m7_nobody_says_how_a_container_has_ended() {
    let pod = "/api/v1/namespaces/shop/pods/web";
    let refused = Err(RuleRefusal::ContainerStatuses);
    let status = format!("{pod}/status");
    let of = |status: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "status": status})
            .to_string()
    };
    let written = |list: &str| json!({list: [{"name": "c", "state": {"terminated": {"reason": "StartError"}}}]});
    let all = ["PUT", "MERGE", "STRATEGIC", "APPLY"];
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        let directive = format!("$setElementOrder/{list}");
        for body in [written(list), json!({list: []}), json!({list: null}), json!({"phase": "Failed", list: [{}]})] {
            for (method, query) in all.iter().flat_map(|method| [(method, ""), (method, "?dryRun=All")]) {
                let path = format!("{status}{query}");
                assert_eq!(check(method, &path, &of(body.clone())), refused, "{method} {query} {body}");
            }
        }
        assert_eq!(check("STRATEGIC", &status, &json!({"status": {directive: []}}).to_string()), refused);
        let paths = ["", "/0", "/0/state/terminated/reason", "/-"].map(|rest| format!("/status/{list}{rest}"));
        for path in paths.iter().map(String::as_str).chain(["", "/status"]) {
            for operation in [
                json!({"op": "replace", "path": path, "value": "StartError"}),
                json!({"op": "add", "path": path, "value": {}}),
                json!({"op": "remove", "path": path}),
                json!({"op": "copy", "from": "/metadata/labels", "path": path}),
            ] {
                let patch = json!([{"op": "test", "path": "/metadata/uid", "value": "u"}, operation]).to_string();
                assert!(
                    matches!(
                        check("JSON-PATCH", &status, &patch),
                        Err(RuleRefusal::ContainerStatuses | RuleRefusal::Oracle(_))
                    ),
                    "{patch}"
                );
            }
        }
        // Of all other writes the API server takes no status.
        for (method, path) in [("PUT", pod.to_owned()), ("MERGE", pod.to_owned()), ("PUT", format!("{pod}/resize"))] {
            assert_eq!(check(method, &path, &of(written(list))), Ok(()), "{method} {path}");
        }
        assert_eq!(check("POST", "/api/v1/namespaces/shop/pods", &of(written(list))), Ok(()));
        let widget = of(written(list)).replace("Pod", "Widget").replace(r#""v1""#, r#""example.com/v1""#);
        assert_eq!(check("PUT", "/apis/example.com/v1/namespaces/shop/pods/web/status", &widget), Ok(()));
    }
    assert_eq!(check("MERGE", &status, r#"{"status":null}"#), refused);
    // What is a controller's own.
    let ready = json!({"conditions": [{"type": "example.com/ready", "status": "True"}]});
    for method in all {
        assert_eq!(check(method, &status, &of(ready.clone())), Ok(()), "{method}");
        assert_eq!(check(method, &status, &of(ready.clone()).replace("status\":{", "spec\":{")), Ok(()), "{method}");
    }
    let patch = r#"[{"op":"add","path":"/status/conditions/-","value":{"type":"example.com/ready","status":"True"}}]"#;
    assert_eq!(check("JSON-PATCH", &status, patch), Ok(()));
    assert_eq!(check("GET", &status, ""), Ok(()));
}

#[test]
fn m7_how_a_container_has_ended_in_yaml_and_protobuf() {
    let check = |media_type: &'static str, body: Vec<u8>| {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        let uri: Uri = "/api/v1/namespaces/shop/pods/web/status".parse().unwrap();
        ours().check(&Request::parse(&Method::PUT, &uri, &headers, body.into()).unwrap())
    };
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nstatus:\n  phase: Failed\n";
    assert_eq!(check("application/yaml", yaml.into()), Ok(()));
    let yaml = format!("{yaml}  \"container\\x53tatuses\": [{{name: c}}]\n");
    assert_eq!(check("application/yaml", yaml.into()), Err(RuleRefusal::ContainerStatuses));
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let pod = |status: &[u8]| {
        let raw = [field(1, &field(1, b"web")), field(2, b""), field(3, status)].concat();
        let of = [field(1, b"v1"), field(2, b"Pod")].concat();
        [b"k8s\0".to_vec(), field(1, &of), field(2, &raw), field(3, b""), field(4, b"")].concat()
    };
    let protobuf = "application/vnd.kubernetes.protobuf";
    assert_eq!(check(protobuf, pod(&field(1, b"Failed"))), Ok(()));
    for list in [8, 10, 13] {
        assert_eq!(check(protobuf, pod(&field(list, &field(1, b"c")))), Err(RuleRefusal::ContainerStatuses), "{list}");
    }
}
