use http::Method;
use proptest::prelude::*;

use super::*;
use crate::query::Query;

mod catalogue;
mod upstream;

/// Method, path and query of a request line.
fn read(method: &str, target: &str) -> Result<RequestInfo, RequestInfoError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| panic!("{method} is no token"));
    let query = Query::parse(query).unwrap_or_else(|error| panic!("{target}: {error}"));
    RequestInfo::parse(&method, path, &query)
}

/// `verb group/version namespace resource/subresource name`, `-` for an empty one; or `verb path`.
fn summary(info: &RequestInfo) -> String {
    if !info.is_resource_request {
        return format!("{} {}", info.verb, info.non_resource_path);
    }
    let dash = |text: &str| {
        if text.is_empty() { "-".to_owned() } else { text.to_owned() }
    };
    let mut text = format!(
        "{} {}/{} {} {}",
        info.verb,
        dash(&info.api_group),
        info.api_version,
        dash(&info.namespace),
        info.resource,
    );
    if !info.subresource.is_empty() {
        text.push('/');
        text.push_str(&info.subresource);
    }
    text.push(' ');
    text.push_str(&dash(&info.name));
    if info.is_proxy() {
        text.push_str(" >");
        text.push_str(&info.proxy_path);
    }
    text
}

/// What it reads as, or the refusal's code.
fn outcome(method: &str, target: &str) -> String {
    match read(method, target) {
        Ok(info) => summary(&info),
        Err(error) => error.reason().code().to_string(),
    }
}

#[test]
fn words_that_name_no_api_object() {
    for target in [
        "/apis/Apps/v1/deployments",
        "/apis/ap ps/v1/deployments",
        "/apis/.apps/v1/deployments",
        "/apis/apps/V1/deployments",
        "/apis/apps/v1.2/deployments",
        "/api/v1/namespaces/D/pods",
        "/api/v1/namespaces/-d/pods",
        "/api/v1/namespaces/d.e/pods",
        "/api/v1/namespaces/%C3%A9/pods",
        "/api/v1/pods%20",
        "/api/v1/namespaces/d/po%7Cds/x",
        "/api/v1/namespaces/d/pods/x/ex%20ec",
    ] {
        assert_eq!(outcome("GET", target), "400", "{target}");
    }
    let long = format!("/api/v1/namespaces/{}/pods", "a".repeat(64));
    assert_eq!(outcome("GET", &long), "400");
    let longest = format!("/api/v1/namespaces/{}/pods", "a".repeat(63));
    assert_ne!(outcome("GET", &longest), "400");
    let path = format!("/api/v1/pods/{}", "a".repeat(shared::limits::URI_BYTES));
    assert!(matches!(read("GET", &path), Err(RequestInfoError::TooLong { .. })));
}

#[test]
fn names_may_be_any_path_segment() {
    for (target, expected) in [
        ("clusterroles/system:node", "system:node"),
        ("clusterroles/a%20b", "a b"),
        ("clusterroles/a%3Fb", "a?b"),
        ("clusterroles/a+b", "a+b"),
        ("clusterroles/%C3%A9", "é"),
        ("clusterroles/*", "*"),
        ("clusterroles/...", "..."),
        ("clusterroles/a;b", "a;b"),
    ] {
        let info = read("GET", &format!("/apis/rbac.authorization.k8s.io/v1/{target}")).unwrap();
        assert_eq!(info.name, expected);
        assert_eq!(RequestInfo::parse(&Method::GET, &info.path(), &Query::default()), Ok(info));
    }
}

#[test]
fn the_name_of_a_list_stands_in_its_field_selector() {
    for (selector, expected) in [
        ("metadata.name=a", "list -/v1 d pods a"),
        ("metadata.name%3D%3Da", "list -/v1 d pods a"),
        ("metadata.name=a,type=x", "list -/v1 d pods a"),
        ("type=x,metadata.name=a", "list -/v1 d pods a"),
        (",,metadata.name=a", "list -/v1 d pods a"),
        ("metadata.name!%3Da", "list -/v1 d pods -"),
        ("metadata.namespace=a", "list -/v1 d pods -"),
        ("metadata.name=", "list -/v1 d pods -"),
        ("metadata.name=a%5C,b", "list -/v1 d pods a,b"),
        ("", "list -/v1 d pods -"),
        // Not decodable for the API server, which would then forget the name, or not legal.
        ("metadata.name", "400"),
        ("metadata.name=a=b", "400"),
        ("metadata.name=a%5C", "400"),
        ("metadata.name=a%5Cb", "400"),
        ("metadata.name=a,metadata.name=b", "400"),
        ("metadata.name=a%2Fb", "400"),
        ("metadata.name=a%25b", "400"),
        ("metadata.name=..", "400"),
        ("metadata.name=a%0Ab", "400"),
    ] {
        let target = format!("/api/v1/namespaces/d/pods?fieldSelector={selector}");
        assert_eq!(outcome("GET", &target), expected, "{selector}");
    }
    // Only lists and watches have one.
    assert_eq!(
        outcome("DELETE", "/api/v1/namespaces/d/pods?fieldSelector=metadata.name=a"),
        "deletecollection -/v1 d pods -"
    );
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods/b?fieldSelector=metadata.name=a"), "get -/v1 d pods b");
}

#[test]
fn label_selectors_that_do_not_decode() {
    for good in [
        "",
        " ",
        "a",
        "!a",
        "a=b",
        "a==b",
        "a!=b",
        "a in (x,y)",
        "a notin (,)",
        "a in ()",
        "x in (foo,,baz),y,z notin ()",
        "a>1",
        "a<5",
        "example.com/a=b",
        "a=",
        "a,b",
        "in in (in)",
        "a = b",
        "notin",
        "a=in",
        "a!=",
    ] {
        assert!(selector::is_label_selector(good), "{good}");
    }
    for bad in [
        "=",
        "a=b=c",
        "a in",
        "a in b",
        "a in (b",
        "a in b)",
        "a,",
        ",a",
        "(a)",
        "a b",
        "a>b",
        "a>",
        "a<-5",
        "/a=b",
        "a/b/c=d",
        "A.B/c",
        "a=b c",
        "a=_",
        "a=b!",
        "!a=b",
        "!!a",
        "a in (b c)",
        "é=b",
        "a===b",
        "=!",
        "a=!b",
        "a in (=)",
        "a)",
        "-a",
    ] {
        assert!(!selector::is_label_selector(bad), "{bad}");
    }
    assert!(!selector::is_label_selector(&format!("a={}", "b".repeat(64))));
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods?fieldSelector=metadata.name=a&labelSelector=%3D"), "400");
}

#[test]
fn options_that_would_mean_something_else() {
    for target in [
        "/api/v1/pods?limit=x",
        "/api/v1/pods?limit=",
        "/api/v1/pods?limit=1.5",
        "/api/v1/pods?limit=99999999999999999999",
        "/api/v1/pods?timeoutSeconds=1s",
        "/api/v1/namespaces/d/pods/x/exec?dryRun=All",
        "/api/v1/namespaces/d/pods/x?command=a&command=b",
    ] {
        assert_eq!(outcome("GET", target), "400", "{target}");
    }
    for dry_run in ["", "all", "Server", "true", "All,All"] {
        let target = format!("/api/v1/namespaces/d/pods/x?dryRun={dry_run}");
        assert_eq!(outcome("DELETE", &target), "400", "{dry_run}");
    }
    assert_eq!(outcome("DELETE", "/api/v1/namespaces/d/pods/x?gracePeriodSeconds=now"), "400");
    assert_eq!(outcome("GET", "/api/v1/namespaces/d/pods/x/exec?command=sh&command=-c"), "get -/v1 d pods/exec x");
}

#[test]
fn the_live_object_of_a_request() {
    for (method, target, expected) in [
        ("PATCH", "/apis/apps/v1/namespaces/d/deployments/x/scale", Some("get apps/v1 d deployments x")),
        ("POST", "/api/v1/namespaces/d/pods/x/exec", Some("get -/v1 d pods x")),
        ("DELETE", "/api/v1/namespaces/d", Some("get -/v1 d namespaces d")),
        ("PUT", "/api/v1/namespaces/d/finalize", Some("get -/v1 d namespaces d")),
        ("POST", "/api/v1/nodes/n/proxy/a/b", Some("get -/v1 - nodes n")),
        ("POST", "/api/v1/namespaces/d/pods", None),
        ("GET", "/api/v1/namespaces/d/pods?fieldSelector=metadata.name=a", None),
        ("DELETE", "/api/v1/namespaces/d/pods", None),
        ("GET", "/version", None),
    ] {
        let live = read(method, target).unwrap().live_object();
        assert_eq!(live.as_ref().map(summary).as_deref(), expected, "{method} {target}");
        if let Some(live) = live {
            assert_eq!(RequestInfo::parse(&Method::GET, &live.path(), &Query::default()), Ok(live));
        }
    }
}

fn raw_path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => prop::sample::select(vec![
            "api", "v1", "apis", "apps", "namespaces", "kube-system", "pods", "secrets", "status", "finalize", "exec", "proxy",
            "watch", "nodes", "log", "version", "openapi", "v3", "healthz", "x",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9:;+%/._ é-]{0,6}",
    ];
    prop::collection::vec(segment, 0..9).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn what_is_read_is_written_in_one_way(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        path in raw_path(),
        query in "(watch(=true|=0)?|limit=1|fieldSelector=metadata[.]name(=|%3D%3D)[ab])?",
    ) {
        let method: Method = method.parse().unwrap();
        let query = Query::parse(&query).unwrap();
        if let Ok(info) = RequestInfo::parse(&method, &path, &query) {
            let written = info.path();
            prop_assert_eq!(RequestInfo::parse(&method, &written, &query), Ok(info), "{}", written);
            for never in ["%2F", "%25", "%5C", "//", "/./", "/../"] {
                prop_assert!(!written.contains(never), "{}", written);
            }
        }
    }
}
