use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::*;

const KEY: DigestKey = DigestKey::new([7; 32]);

fn digest(method: &str, target: &str, content_type: &str, body: &str) -> Digest {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    let request = Request::parse(
        &method.parse().unwrap(),
        &target.parse().unwrap(),
        &headers,
        Bytes::copy_from_slice(body.as_bytes()),
    )
    .unwrap();
    Intent::new("c", &request).digest(&KEY)
}

#[test]
fn the_same_wish_in_other_words() {
    let exec = "/api/v1/namespaces/d/pods/p/exec?command=a&command=b&stdin=true";
    let other = "/api/v1/namespaces/d/pods/p/exec?stdin=true&command=a&command=b&timeout=30s";
    assert_eq!(digest("GET", exec, "", ""), digest("POST", other, "", ""));
    let post = |body| digest("POST", "/api/v1/namespaces/d/pods?fieldManager=x", "application/json", body);
    assert_eq!(post(r#"{"a":1,"b":{"c":2,"d":3}}"#), post(r#"{ "b":{"d":3,"c":2}, "a":1 }"#));
}

#[test]
fn another_wish() {
    let base = digest("PATCH", "/api/v1/namespaces/d/pods/p", "application/merge-patch+json", "{}");
    for (method, target, content_type, body) in [
        ("PUT", "/api/v1/namespaces/d/pods/p", "application/json", "{}"),
        ("PATCH", "/api/v1/namespaces/d/pods/p", "application/strategic-merge-patch+json", "{}"),
        ("PATCH", "/api/v1/namespaces/d/pods/p", "application/merge-patch+json", r#"{"a":1}"#),
        ("PATCH", "/api/v1/namespaces/d/pods/p?force=true", "application/merge-patch+json", "{}"),
        ("PATCH", "/api/v1/namespaces/d/pods/p?dryRun=All", "application/merge-patch+json", "{}"),
        ("PATCH", "/api/v1/namespaces/d/pods/q", "application/merge-patch+json", "{}"),
        ("PATCH", "/api/v1/namespaces/e/pods/p", "application/merge-patch+json", "{}"),
        ("PATCH", "/api/v1/namespaces/d/pods/p/status", "application/merge-patch+json", "{}"),
        ("PATCH", "/apis/apps/v1/namespaces/d/pods/p", "application/merge-patch+json", "{}"),
    ] {
        assert_ne!(digest(method, target, content_type, body), base, "{method} {target} {content_type} {body}");
    }
    // The method of a proxied call is the backend's.
    let proxy = "/api/v1/nodes/n/proxy/run";
    assert_ne!(digest("GET", proxy, "", ""), digest("POST", proxy, "", ""));
    let exec = |query: &str| digest("GET", &format!("/api/v1/namespaces/d/pods/p/exec?{query}"), "", "");
    assert_ne!(exec("command=a&command=b"), exec("command=b&command=a"));
    assert_ne!(exec("command=a+b"), exec("command=a&command=b"));
}

#[test]
fn another_cluster() {
    let request = Request::parse(
        &http::Method::DELETE,
        &"/api/v1/namespaces/d".parse().unwrap(),
        &HeaderMap::new(),
        Bytes::new(),
    )
    .unwrap();
    assert_ne!(Intent::new("a", &request).digest(&KEY), Intent::new("b", &request).digest(&KEY));
}
