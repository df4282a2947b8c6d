//! The API server's own table (k8s.io/apiserver pkg/endpoints/request/requestinfo_test.go: TestGetAPIRequestInfo,
//! TestGetNonAPIRequestInfo, TestSelectorParsing), with our refusals where that table reads what is not canonical.

use super::outcome;

#[test]
fn resources() {
    for (method, target, expected) in [
        ("GET", "/api/v1/namespaces", "list -/v1 - namespaces -"),
        ("GET", "/api/v1/namespaces/other", "get -/v1 other namespaces other"),
        ("GET", "/api/v1/namespaces/other/pods", "list -/v1 other pods -"),
        ("GET", "/api/v1/namespaces/other/pods/foo", "get -/v1 other pods foo"),
        ("HEAD", "/api/v1/namespaces/other/pods/foo", "405"),
        ("GET", "/api/v1/pods", "list -/v1 - pods -"),
        ("HEAD", "/api/v1/pods", "405"),
        // Special verbs by prefix.
        ("GET", "/api/v1/proxy/namespaces/other/pods/foo", "400"),
        ("GET", "/api/v1/proxy/namespaces/other/pods/foo/subpath/not/a/subresource", "400"),
        ("GET", "/api/v1/watch/pods", "400"),
        ("GET", "/api/v1/watch/namespaces/other/pods", "400"),
        // Special verbs by query.
        ("GET", "/api/v1/pods?watch=true", "watch -/v1 - pods -"),
        ("GET", "/api/v1/pods?watch=false", "list -/v1 - pods -"),
        ("GET", "/api/v1/namespaces/other/pods?watch=1", "watch -/v1 other pods -"),
        ("GET", "/api/v1/namespaces/other/pods?watch=0", "list -/v1 other pods -"),
        // Subresources.
        ("GET", "/api/v1/namespaces/other/pods/foo/status", "get -/v1 other pods/status foo"),
        ("GET", "/api/v1/namespaces/other/pods/foo/proxy/subpath", "get -/v1 other pods/proxy foo >subpath"),
        // A namespace's own.
        ("PUT", "/api/v1/namespaces/other/finalize", "update -/v1 other namespaces/finalize other"),
        ("PUT", "/api/v1/namespaces/other/status", "update -/v1 other namespaces/status other"),
        ("GET", "/apis/apps/v1/namespaces/x/status", "get apps/v1 x namespaces/status x"),
        // Verbs by method.
        ("PATCH", "/api/v1/namespaces/other/pods/foo", "patch -/v1 other pods foo"),
        ("DELETE", "/api/v1/namespaces/other/pods/foo", "delete -/v1 other pods foo"),
        ("POST", "/api/v1/namespaces/other/pods", "create -/v1 other pods -"),
        ("DELETE", "/api/v1/nodes", "deletecollection -/v1 - nodes -"),
        ("DELETE", "/api/v1/namespaces", "deletecollection -/v1 - namespaces -"),
        ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection -/v1 other pods -"),
        ("DELETE", "/apis/extensions/v1/namespaces/other/pods", "deletecollection extensions/v1 other pods -"),
        // Groups.
        ("POST", "/apis/extensions/v1/namespaces/other/pods", "create extensions/v1 other pods -"),
        ("GET", "/apis/extensions/v1/namespaces/other/pods/foo/status", "get extensions/v1 other pods/status foo"),
        // Creates with a name.
        ("POST", "/api/v1/namespaces/d/pods/p/eviction", "create -/v1 d pods/eviction p"),
        ("POST", "/api/v1/namespaces/d/serviceaccounts/s/token", "create -/v1 d serviceaccounts/token s"),
        // PUT and PATCH need a name.
        ("PUT", "/api/v1/namespaces/d/pods", "405"),
        ("PATCH", "/api/v1/pods", "405"),
    ] {
        assert_eq!(outcome(method, target), expected, "{method} {target}");
    }
}

#[test]
fn non_resources() {
    for (target, expected) in [
        ("/api", "get /api"),
        ("/api/", "get /api"),
        ("/api/v1", "get /api/v1"),
        ("/api/v1/", "get /api/v1"),
        ("/apis", "get /apis"),
        ("/apis/", "get /apis"),
        ("/apis/apps", "get /apis/apps"),
        ("/apis/apps/v1", "get /apis/apps/v1"),
        ("/apis/apps/v1/", "get /apis/apps/v1"),
        ("/version", "get /version"),
        ("/openapi/v2", "get /openapi/v2"),
        ("/openapi/v3", "get /openapi/v3"),
        ("/openapi/v3/apis/apps/v1?hash=AB", "get /openapi/v3/apis/apps/v1"),
        ("/healthz", "get /healthz"),
        ("/readyz/ping", "get /readyz/ping"),
        ("/livez/poststarthook/rbac/bootstrap-roles", "get /livez/poststarthook/rbac/bootstrap-roles"),
        ("/.well-known/openid-configuration", "get /.well-known/openid-configuration"),
        ("/openid/v1/jwks", "get /openid/v1/jwks"),
        ("/", "404"),
        ("/metrics", "404"),
        ("/metrics/cadvisor", "404"),
        ("/logs", "404"),
        ("/logs/kube-apiserver.log", "404"),
        ("/debug/pprof/profile", "404"),
        ("/debug/flags/v", "404"),
        ("/flagz", "404"),
        ("/statusz", "404"),
        ("/configz", "404"),
        ("/openapi", "404"),
        ("/openapi/v2/x", "404"),
        ("/version/x", "404"),
        ("/swagger.json", "404"),
        ("/API/v1/pods", "404"),
        ("/api/v2/pods", "404"),
        ("/api/v1beta1", "404"),
        ("/other", "404"),
        ("/versionx", "404"),
    ] {
        assert_eq!(outcome("GET", target), expected, "{target}");
    }
    assert_eq!(outcome("HEAD", "/readyz"), "head /readyz");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        assert_eq!(outcome(method, "/version"), "405", "{method}");
    }
}
