//! What is asked of the API server, and what is said of what is hidden.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};

use super::*;
use crate::request::Request;

fn request(method: &str, uri: &str, accept: &'static str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    let body = if method == "PUT" { "{}" } else { "" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let uri: Uri = uri.parse().unwrap();
    Request::parse(&method.parse().unwrap(), &uri, &headers, Bytes::from_static(body.as_bytes())).unwrap()
}

#[track_caller]
fn narrowed(entries: &Value, method: &str, uri: &str) -> (String, String) {
    let request =
        request(method, uri, "application/vnd.kubernetes.protobuf, application/json;as=Table;g=meta.k8s.io;v=v1");
    let hidden = Hidden::parse(&rules(entries), request.info()).unwrap();
    let narrowed = hidden.narrow(request.wire().clone()).unwrap();
    let accept = narrowed.header(&header::ACCEPT).unwrap().to_str().unwrap().to_owned();
    // It reads as what was judged.
    assert_eq!(narrowed.reparse().unwrap(), *request.info());
    (narrowed.path_and_query().to_owned(), accept)
}

#[test]
fn selectors_leave_out_what_is_hidden() {
    let labels = json!([{"labels": ["tier", "a=b"]}, {"labels": ["x in (y, z)"]}]);
    let selector = "labelSelector=%21tier%2Ca%21%3Db%2Cx%20notin%20%28y%2Cz%29";
    for (uri, expected) in [
        ("/api/v1/pods", format!("/api/v1/pods?{selector}")),
        ("/api/v1/pods?labelSelector=", format!("/api/v1/pods?{selector}")),
        // The client's own stands behind: it can only narrow.
        ("/api/v1/pods?labelSelector=app%3Dx", format!("/api/v1/pods?{selector}%2Capp%3Dx")),
        // Pages are of what is shown, so they stay.
        ("/api/v1/pods?continue=c&limit=5", format!("/api/v1/pods?continue=c&{selector}&limit=5")),
        ("/api/v1/pods?watch=true&resourceVersion=5", format!("/api/v1/pods?{selector}&resourceVersion=5&watch=true")),
        ("/api/v1/namespaces/a/pods/x", "/api/v1/namespaces/a/pods/x".to_owned()),
    ] {
        let (path, accept) = narrowed(&labels, "GET", uri);
        assert_eq!((path, accept.as_str()), (expected, "application/json;as=Table;g=meta.k8s.io;v=v1"), "{uri}");
    }
}

#[test]
fn pages_would_tell_of_what_is_left_out() {
    for entries in [json!([{"names": ["db-*"]}]), json!([{"namespaces": ["b"]}, {"labels": ["!tier"]}])] {
        let (path, _) = narrowed(&entries, "GET", "/api/v1/pods?continue=c&limit=5&resourceVersion=7");
        assert!(path.starts_with("/api/v1/pods?continue=c&") && !path.contains("limit"), "{path}");
    }
}

#[test]
fn what_is_not_narrowed() {
    let both = json!([{"names": ["db-*"]}, {"labels": ["tier"]}]);
    let protobuf = "application/vnd.kubernetes.protobuf";
    for (method, uri) in [("PUT", "/api/v1/namespaces/a/pods/x"), ("GET", "/api/v1/namespaces/a/pods/x/status")] {
        let (path, accept) = narrowed(&both, method, uri);
        assert_eq!(
            (path.as_str(), accept.as_str()),
            (uri, format!("{protobuf},application/json;as=Table;g=meta.k8s.io;v=v1").as_str())
        );
    }
    let (path, accept) = narrowed(&json!([]), "GET", "/api/v1/namespaces/a/pods/x?limit=1");
    assert_eq!(path, "/api/v1/namespaces/a/pods/x?limit=1");
    assert!(accept.starts_with(protobuf));
}

#[test]
fn rows_that_nobody_could_judge_are_not_asked_for() {
    let asked = |include: &str| {
        let request = request("GET", &format!("/api/v1/pods?includeObject={include}"), "application/json");
        hidden(&json!([{"names": ["x"]}]), "/api/v1/pods").narrow(request.wire().clone())
    };
    assert_eq!(asked("None"), Err(NarrowError::NoObject));
    assert!(asked("Metadata").is_ok() && asked("Object").is_ok());
}

#[test]
fn the_object_is_looked_at_where_its_answer_does_not_show_it() {
    let pod = "/api/v1/namespaces/a/pods/x";
    for (method, uri, expected) in [
        ("GET", pod.to_owned(), false),
        ("GET", format!("{pod}/log"), true),
        ("GET", format!("{pod}/status"), true),
        ("PUT", pod.to_owned(), true),
        ("DELETE", pod.to_owned(), true),
        ("GET", "/api/v1/namespaces/a/pods".to_owned(), false),
        ("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx".to_owned(), false),
        ("DELETE", "/api/v1/namespaces/a/pods".to_owned(), false),
    ] {
        let request = request(method, &uri, "application/json");
        let live = asked_live(request.info(), request.wire());
        assert_eq!(live.map(|live| live.path()), expected.then(|| pod.to_owned()), "{method} {uri}");
    }
}

#[test]
fn hidden_and_missing_read_alike() {
    for (path, expected) in [
        (
            "/api/v1/namespaces/a/pods/x",
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}"#,
        ),
        (
            "/apis/apps/v1/namespaces/a/deployments/x/scale",
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"x\" not found","reason":"NotFound","details":{"name":"x","group":"apps","kind":"deployments"},"code":404}"#,
        ),
    ] {
        assert_eq!(not_found(&info(path)), format!("{expected}\n").into_bytes(), "{path}");
    }
}

#[test]
fn only_entries_about_the_request_travel() {
    let entries = rules(&json!([
        {"labels": ["tier"]},
        {"namespaces": ["b-*"]},
        {"names": ["db-*"]},
        {"namespaces": ["a"], "names": ["x"]},
        {"labels": ["tier"]},
    ]));
    let about = |path: &str| about(entries.clone(), &info(path)).iter().map(HideRule::text).collect::<Vec<_>>();
    let (names, labels, namespaces, both) = ("names db-*", "labels tier", "namespaces b-*", "namespaces a, names x");
    for (path, mut expected) in [
        ("/api/v1/pods", vec![names, labels, namespaces, both]),
        ("/api/v1/namespaces/a/pods", vec![names, labels, both]),
        ("/api/v1/namespaces/b-1/pods", vec![names, labels, namespaces]),
        ("/api/v1/namespaces/a/pods/x", vec![labels, both]),
        ("/api/v1/namespaces/c/pods/y", vec![labels]),
        // A server may ignore the selector that pins a list to a name.
        ("/api/v1/namespaces/c/pods?fieldSelector=metadata.name%3Dy", vec![labels, names]),
    ] {
        let mut got = about(path);
        got.sort_unstable();
        expected.sort_unstable();
        assert_eq!(got, expected, "{path}");
    }
}
