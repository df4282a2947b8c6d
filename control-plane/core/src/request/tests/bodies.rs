//! Bodies: where they may stand, and where they must agree with the URL.

use super::*;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const MERGE: &[(&str, &str)] = &[("Content-Type", "application/merge-patch+json")];
const JSON_PATCH: &[(&str, &str)] = &[("Content-Type", "application/json-patch+json")];
const APPLY: &[(&str, &str)] = &[("Content-Type", "application/apply-patch+yaml")];

#[test]
fn row_17_delete_options_of_the_query_are_ignored_beside_a_body() {
    let delete =
        |query: &str, body: &str| request("DELETE", &format!("/api/v1/namespaces/d/pods/x{query}"), JSON, body);
    assert!(delete("?dryRun=All", "").unwrap().dry_run());
    assert!(!delete("", "").unwrap().dry_run());
    assert!(delete("", r#"{"dryRun":["All"]}"#).unwrap().dry_run());
    assert!(!delete("", r#"{"dryRun":[]}"#).unwrap().dry_run());
    assert!(!delete("", r#"{"gracePeriodSeconds":0}"#).unwrap().dry_run());
    for key in agree::DELETE_OPTIONS {
        let value = if key == "dryRun" { "All" } else { "0" };
        assert_eq!(
            delete(&format!("?{key}={value}"), "{}").unwrap_err(),
            RequestError::DeleteOption { key: key.to_owned() }
        );
    }
    for body in [r#"{"dryRun":["all"]}"#, r#"{"dryRun":"All"}"#, r#"{"dryRun":[""]}"#, r#"{"dryRun":true}"#] {
        assert_eq!(delete("", body).unwrap_err(), RequestError::DryRun, "{body}");
    }
    let collection = request("DELETE", "/api/v1/namespaces/d/pods?dryRun=All", JSON, "{}");
    assert!(matches!(collection, Err(RequestError::DeleteOption { .. })));
}

#[test]
fn dry_run_of_the_other_verbs_is_in_the_query() {
    for (method, target, lines, expected) in [
        ("POST", "/api/v1/namespaces/d/pods?dryRun=All", JSON, true),
        ("PUT", "/api/v1/namespaces/d/pods/x?dryRun=All", JSON, true),
        ("PATCH", "/api/v1/namespaces/d/pods/x?dryRun=All", MERGE, true),
        ("PATCH", "/api/v1/namespaces/d/pods/x?dryrun=All", MERGE, false),
    ] {
        assert_eq!(request(method, target, lines, "{}").unwrap().dry_run(), expected, "{target}");
    }
    // A read stays a read.
    assert!(!request("GET", "/api/v1/namespaces/d/pods/x?dryRun=All", &[], "").unwrap().dry_run());
}

#[test]
fn bodies_stand_where_they_are_read() {
    for (method, target) in [
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/namespaces/d/pods/x"),
        ("POST", "/api/v1/namespaces/d/pods/x/exec"),
        ("POST", "/api/v1/nodes/n/proxy/run"),
        ("GET", "/version"),
    ] {
        let got = request(method, target, JSON, "{}").unwrap_err();
        assert!(matches!(got, RequestError::BodyUnexpected { .. }), "{method} {target}");
    }
    for (method, target, lines) in [
        ("POST", "/api/v1/namespaces/d/pods", JSON),
        ("PUT", "/api/v1/namespaces/d/pods/x", JSON),
        ("PATCH", "/api/v1/namespaces/d/pods/x", MERGE),
    ] {
        assert_eq!(request(method, target, lines, "").unwrap_err(), RequestError::Body(BodyError::Empty));
    }
}

#[test]
fn rows_18_and_19_the_content_type_says_how_to_read_it() {
    let patch = "/api/v1/namespaces/d/pods/x";
    let apply = request("PATCH", patch, APPLY, "{}").unwrap();
    assert_eq!(apply.body().unwrap().encoding, Encoding::ApplyPatch);
    assert_eq!(apply.wire().header(&header::CONTENT_TYPE).unwrap(), "application/apply-patch+yaml");
    for (method, target, content_type) in [
        ("PATCH", patch, "application/json"),
        ("PATCH", patch, ""),
        ("PATCH", patch, "application/merge-patch+json, application/json-patch+json"),
        ("PUT", patch, "application/merge-patch+json"),
        ("POST", "/api/v1/namespaces/d/pods", "application/cbor"),
        ("POST", "/api/v1/namespaces/d/pods", "text/plain"),
    ] {
        let got = request(method, target, &[("Content-Type", content_type)], "{}").unwrap_err();
        assert_eq!(got.reason(), Reason::UnsupportedMediaType, "{method} {content_type}: {got}");
    }
    let gzip = request("POST", "/api/v1/namespaces/d/pods", &[("Content-Encoding", "gzip")], "{}").unwrap_err();
    assert_eq!(gzip.reason(), Reason::UnsupportedMediaType);
    // Absent is JSON.
    assert!(request("POST", "/api/v1/namespaces/d/pods", &[], "{}").is_ok());
}

#[test]
fn names_agree() {
    let ok = |method: &str, target: &str, lines: &[(&str, &str)], body: &str| {
        request(method, target, lines, body)
            .map(|request| (request.object_namespace().to_owned(), request.object_name().to_owned()))
    };
    let names = |namespace: &str, name: &str| Ok((namespace.to_owned(), name.to_owned()));
    let pods = "/api/v1/namespaces/d/pods";
    assert_eq!(ok("POST", pods, JSON, r#"{"metadata":{"name":"a","namespace":"d"}}"#), names("d", "a"));
    assert_eq!(ok("POST", pods, JSON, r#"{"metadata":{"name":"a"}}"#), names("d", "a"));
    assert_eq!(ok("POST", pods, JSON, r#"{"metadata":{"generateName":"a-"}}"#), names("d", ""));
    assert_eq!(ok("POST", pods, JSON, r#"{"metadata":null}"#), names("d", ""));
    // A namespace is its own.
    assert_eq!(ok("POST", "/api/v1/namespaces", JSON, r#"{"metadata":{"name":"n"}}"#), names("n", "n"));
    assert_eq!(ok("PUT", "/api/v1/namespaces/n", JSON, r#"{"metadata":{"name":"n"}}"#), names("n", "n"));
    let mismatch = |field, expected: &str, got: &str| {
        Err(RequestError::Mismatch { field, expected: expected.to_owned(), got: got.to_owned() })
    };
    let named = format!("{pods}/x");
    assert_eq!(
        ok("POST", pods, JSON, r#"{"metadata":{"name":"a","namespace":"kube-system"}}"#),
        mismatch("namespace", "d", "kube-system")
    );
    assert_eq!(ok("PUT", &named, JSON, r#"{"metadata":{"name":"y"}}"#), mismatch("name", "x", "y"));
    assert_eq!(ok("PATCH", &named, MERGE, r#"{"metadata":{"name":"y"}}"#), mismatch("name", "x", "y"));
    assert_eq!(ok("PATCH", &named, APPLY, r#"{"metadata":{"namespace":"e"}}"#), mismatch("namespace", "d", "e"));
    assert_eq!(
        ok("POST", &format!("{named}/eviction"), JSON, r#"{"metadata":{"name":"y"}}"#),
        mismatch("name", "x", "y")
    );
    for body in [r#"{"metadata":{"name":7}}"#, r#"{"metadata":{"namespace":["d"]}}"#] {
        assert!(matches!(ok("POST", pods, JSON, body), Err(RequestError::NotText { .. })), "{body}");
    }
    let created = request("POST", pods, JSON, r#"{"metadata":{"generateName":"a-"}}"#).unwrap();
    assert_eq!(created.generate_name(), "a-");
}

#[test]
fn a_json_patch_renames_nothing() {
    let patch = |body| request("PATCH", "/api/v1/namespaces/d/pods/x", JSON_PATCH, body);
    for body in [
        r#"[{"op":"replace","path":"/metadata/name","value":"y"}]"#,
        r#"[{"op":"add","path":"/metadata/namespace","value":"e"}]"#,
        r#"[{"op":"remove","path":"/metadata/name"}]"#,
        r#"[{"op":"move","from":"/metadata/name","path":"/metadata/labels/a"}]"#,
        r#"[{"op":"copy","from":"/metadata/uid","path":"/metadata/name"}]"#,
    ] {
        assert!(matches!(patch(body), Err(RequestError::Renamed { .. })), "{body}");
    }
    for body in [
        r#"[{"op":"test","path":"/metadata/name","value":"x"}]"#,
        r#"[{"op":"copy","from":"/metadata/name","path":"/metadata/labels/a"}]"#,
        r#"[{"op":"replace","path":"/metadata/labels/name","value":"y"}]"#,
    ] {
        assert!(patch(body).is_ok(), "{body}");
    }
}
