//! Every way in which a gateway can disagree with the API server: one test per row of the catalogue of bypasses that concerns method,
//! path and query. Rows on headers and bodies are in `headers/tests.rs` and `request/tests.rs`.

use super::{outcome, read, summary};
use crate::query::{Query, QueryError};
use crate::request_info::RequestInfoError;

#[test]
fn row_01_an_encoded_slash_is_decoded_before_the_split() {
    assert_eq!(read("GET", "/api/v1/namespaces/kube-system%2Fsecrets"), Err(RequestInfoError::Character { got: '/' }));
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods%2fx"), "400");
}

#[test]
fn row_02_an_empty_namespace_is_the_whole_cluster() {
    assert_eq!(read("GET", "/api/v1/namespaces//secrets"), Err(RequestInfoError::Segment { got: String::new() }));
    assert_eq!(read("GET", "/"), Err(RequestInfoError::UnknownPath { got: "/".to_owned() }));
}

#[test]
fn row_03_a_double_slash_in_front() {
    assert_eq!(outcome("GET", "//api/v1/secrets"), "400");
    assert_eq!(outcome("GET", "//host/api/v1/secrets"), "400");
}

#[test]
fn row_04_a_trailing_slash_is_a_list() {
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods/"), "list -/v1 d pods -");
    assert_eq!(read("GET", "/api/v1/namespaces/d/pods/").unwrap().path(), "/api/v1/namespaces/d/pods");
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods//"), "400");
}

#[test]
fn row_05_an_empty_name_shifts_nothing() {
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods//exec"), "400");
}

#[test]
fn row_06_dot_segments_are_not_resolved() {
    for dots in ["..", ".", "%2e%2e", "%2E%2e", ".%2e", "%2e"] {
        let target = format!("/api/v1/namespaces/d/pods/{dots}/secrets");
        assert!(matches!(read("GET", &target), Err(RequestInfoError::Segment { .. })), "{dots}");
    }
    assert_eq!(outcome("GET", "/version/../api/v1/secrets"), "400");
}

#[test]
fn row_07_one_decoding_only() {
    assert_eq!(read("GET", "/api/v1/namespaces/d/pods/a%252Fb"), Err(RequestInfoError::Character { got: '%' }));
}

#[test]
fn row_08_watch_is_true_unless_false() {
    for (query, expected) in [
        ("watch", "watch"),
        ("watch=", "watch"),
        ("watch=no", "watch"),
        ("watch=False", "list"),
        ("watch=0", "list"),
        ("Watch=true", "list"),
        ("", "list"),
    ] {
        let got = outcome("GET", &format!("/api/v1/secrets?{query}"));
        assert_eq!(got, format!("{expected} -/v1 - secrets -"), "{query}");
    }
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/secrets/x?watch=true"), "get -/v1 d secrets x");
}

#[test]
fn row_09_first_or_last_of_two() {
    assert_eq!(Query::parse("watch=false&watch=true"), Err(QueryError::Duplicate { key: "watch".to_owned() }));
}

#[test]
fn row_10_field_selector_twins() {
    assert!(matches!(Query::parse("fieldSelector=metadata.name=a&fieldSelector="), Err(QueryError::Duplicate { .. })));
    let list = |selector| outcome("GET", &format!("/api/v1/secrets?fieldSelector={selector}"));
    assert_eq!(list("metadata.name==a"), "list -/v1 - secrets a");
    assert_eq!(list("metadata.name=a,type=x"), "list -/v1 - secrets a");
    assert_eq!(list("metadata.name!=a"), "list -/v1 - secrets -");
}

#[test]
fn row_11_a_semicolon_drops_the_pair() {
    assert!(matches!(Query::parse("a=b;watch=true"), Err(QueryError::Semicolon { .. })));
}

#[test]
fn rows_12_and_13_verbs_by_prefix() {
    for (method, target) in [
        ("GET", "/api/v1/watch/namespaces/d/secrets"),
        ("GET", "/api/v1/watch/namespaces/d/secrets/n"),
        ("GET", "/api/v1/watch"),
        ("GET", "/apis/apps/v1/watch/deployments"),
        ("DELETE", "/api/v1/watch/namespaces/d/secrets/n"),
        ("GET", "/api/v1/proxy/nodes/n"),
        ("POST", "/api/v1/proxy/namespaces/d/pods/p"),
        ("GET", "/api/v1/%77atch/secrets"),
    ] {
        assert!(matches!(read(method, target), Err(RequestInfoError::Prefix { .. })), "{target}");
    }
}

#[test]
fn row_14_exec_is_a_connection_whatever_the_method() {
    for method in ["GET", "POST"] {
        for subresource in ["exec", "attach", "portforward"] {
            let info = read(method, &format!("/api/v1/namespaces/d/pods/p/{subresource}")).unwrap();
            assert!(info.is_connect() && !info.is_read(), "{method} {subresource}");
        }
    }
    for target in
        ["namespaces/d/pods/p/proxy", "namespaces/d/services/https:s:443/proxy/a", "nodes/n:10250/proxy/run/x"]
    {
        let info = read("GET", &format!("/api/v1/{target}")).unwrap();
        assert!(info.is_connect() && info.is_proxy() && !info.is_read(), "{target}");
    }
}

#[test]
fn row_25_other_forms_of_the_request_target() {
    for path in ["http://host/api/v1/pods", "*", "host:443", "", "api/v1/pods"] {
        let got = crate::request_info::RequestInfo::parse(&http::Method::GET, path, &Query::default());
        assert!(matches!(got, Err(RequestInfoError::NotAbsolute { .. })), "{path}");
    }
    assert_eq!(outcome("CONNECT", "/api/v1/pods"), "405");
}

#[test]
fn row_26_what_get_raw_can_say() {
    for target in [
        "/api/v1/pods\\x",
        "/api/v1/%00",
        "/api/v1/pods/%0a",
        "/api/v1/%c0%ae%c0%ae/x",
        "/api/v1/pods/%zz",
        "/api/v1/a b",
        "/api/v1/pods#x",
    ] {
        assert_eq!(outcome("GET", target), "400", "{target}");
    }
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods/x/log/y"), "400");
    assert_eq!(outcome("GET", "/api/v1/namespaces/x/finalize/y"), "400");
}

#[test]
fn row_28_another_group_is_another_resource() {
    assert_eq!(outcome("GET", "/apis/x/v1/secrets"), "list x/v1 - secrets -");
    assert_eq!(outcome("GET", "/apis/x/v1/namespaces/d/pods/p/exec"), "get x/v1 d pods/exec p");
    // It is no connection: the core group's only is.
    assert!(!read("GET", "/apis/x/v1/namespaces/d/pods/p/exec").unwrap().is_connect());
}

#[test]
fn row_29_a_namespace_is_not_in_itself() {
    let info = read("DELETE", "/api/v1/namespaces/x").unwrap();
    assert_eq!(summary(&info), "delete -/v1 x namespaces x");
    assert_eq!(outcome("GET", "/api/v1/namespaces/x/namespaces"), "404");
    assert_eq!(outcome("GET", "/api/v1/namespaces/x/namespaces/y"), "404");
}

#[test]
fn unknown_methods_have_no_verb() {
    for method in ["HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "FOO", "LIST"] {
        assert_eq!(outcome(method, "/api/v1/namespaces/d/secrets"), "405", "{method}");
        assert_eq!(outcome(method, "/api/v1/namespaces/d/secrets/x"), "405", "{method}");
    }
}
