//! Tables of what the API server may answer.

use control_plane_core::query::Query;
use http::Method;

use super::*;

fn info(path: &str) -> RequestInfo {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    RequestInfo::parse(&Method::GET, path, &Query::parse(query).unwrap()).unwrap()
}

fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

const POD: &str = "/api/v1/namespaces/x/pods/p";
const LOG: &str = "/api/v1/namespaces/x/pods/p/log";
const JSON_TYPE: (&str, &str) = ("content-type", "application/json");

/// SECURITY.md U3: each 3xx, on every kind of path; 304 passes.
#[test]
fn redirects() {
    let aggregated = "/apis/metrics.k8s.io/v1beta1/namespaces/x/pods/p";
    for path in [POD, "/api", "/apis/apps/v1", "/openapi/v3", "/version", aggregated, LOG] {
        for status in [300, 301, 302, 303, 305, 306, 307, 308, 399] {
            let answer = response(status, &[JSON_TYPE, ("location", "https://attacker.example/")]);
            assert_eq!(check(&info(path), false, &answer), Err(AnswerError::Redirect(status)), "{path}");
            assert_eq!(check(&info(path), true, &answer), Err(AnswerError::Redirect(status)), "{path}");
        }
        let unchanged = response(304, &[("etag", "\"x\"")]);
        assert_eq!(check(&info(path), false, &unchanged), Ok(Treatment::Empty), "{path}");
    }
    assert_eq!(check(&info(POD), false, &response(101, &[])), Err(AnswerError::Switch));
}

#[test]
fn media_types_of_resources() {
    for (media_type, expected) in [
        ("application/json", Ok(Treatment::Mask)),
        ("Application/JSON; charset=utf-8", Ok(Treatment::Mask)),
        ("application/json;stream=watch", Ok(Treatment::Mask)),
        ("application/vnd.kubernetes.protobuf", Err(AnswerError::MediaType)),
        ("application/vnd.kubernetes.protobuf;stream=watch", Err(AnswerError::MediaType)),
        ("application/cbor", Err(AnswerError::MediaType)),
        ("application/cbor-seq", Err(AnswerError::MediaType)),
        ("application/yaml", Err(AnswerError::MediaType)),
        ("text/plain", Err(AnswerError::MediaType)),
        ("text/html", Err(AnswerError::MediaType)),
        ("application/jsonp", Err(AnswerError::MediaType)),
        ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", Err(AnswerError::MediaType)),
        ("", Err(AnswerError::MediaType)),
    ] {
        let answer = response(200, &[("content-type", media_type)]);
        assert_eq!(check(&info(POD), false, &answer), expected, "{media_type}");
    }
    let twice = response(200, &[JSON_TYPE, ("content-type", "text/plain")]);
    assert_eq!(check(&info(POD), false, &twice), Err(AnswerError::MediaType));
}

#[test]
fn media_types_elsewhere() {
    let v2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let v3 = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    for (path, media_type, expected) in [
        ("/openapi/v2", v2, Ok(Treatment::Pass)),
        ("/openapi/v3/apis/apps/v1", v3, Ok(Treatment::Pass)),
        ("/openapi/v3", "application/json", Ok(Treatment::Pass)),
        ("/api", v2, Err(AnswerError::MediaType)),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", Ok(Treatment::Mask)),
        ("/version", "application/json", Ok(Treatment::Mask)),
        ("/openid/v1/jwks", "application/jwk-set+json", Ok(Treatment::Pass)),
        ("/api", "application/jwk-set+json", Err(AnswerError::MediaType)),
        ("/healthz", "text/plain; charset=utf-8", Ok(Treatment::Pass)),
        ("/healthz", "application/octet-stream", Err(AnswerError::MediaType)),
        (LOG, "text/plain", Ok(Treatment::Pass)),
        (LOG, "application/json", Ok(Treatment::Mask)),
        (LOG, "application/octet-stream", Err(AnswerError::MediaType)),
    ] {
        let answer = response(200, &[("content-type", media_type)]);
        assert_eq!(check(&info(path), false, &answer), expected, "{path} {media_type}");
    }
}

#[test]
fn encodings() {
    for encoding in ["gzip", "GZIP", "br", "deflate", "zstd", "gzip, identity", ""] {
        let answer = response(200, &[JSON_TYPE, ("content-encoding", encoding)]);
        assert_eq!(check(&info(POD), false, &answer), Err(AnswerError::Encoding), "{encoding:?}");
    }
    let twice = response(200, &[JSON_TYPE, ("content-encoding", "identity"), ("content-encoding", "gzip")]);
    assert_eq!(check(&info(POD), false, &twice), Err(AnswerError::Encoding));
    let identity = response(200, &[JSON_TYPE, ("content-encoding", "identity")]);
    assert_eq!(check(&info(POD), false, &identity), Ok(Treatment::Mask));
}

#[test]
fn empty_and_plain_answers() {
    assert_eq!(check(&info(POD), false, &response(200, &[])), Err(AnswerError::MediaType));
    let nothing = [("content-length", "0")];
    assert_eq!(check(&info(POD), false, &response(200, &nothing)), Err(AnswerError::MediaType));
    assert_eq!(check(&info(POD), false, &response(404, &nothing)), Ok(Treatment::Empty));
    assert_eq!(check(&info(POD), false, &response(204, &[])), Ok(Treatment::Empty));
    assert_eq!(check(&info(POD), true, &response(200, &[])), Ok(Treatment::Empty));
    let plain = response(503, &[("content-type", "text/plain")]);
    assert_eq!(check(&info(POD), false, &plain), Ok(Treatment::Replace));
    let refused = response(401, &[JSON_TYPE]);
    assert_eq!(check(&info(POD), false, &refused), Err(AnswerError::Unauthorized));
}

#[test]
fn headers_that_pass() {
    let mut from = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "5"),
        ("set-cookie", "x=y"),
        ("location", "https://attacker.example/"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("etag", "\"hash-of-values\""),
        ("audit-id", "x"),
        ("warning", "299 - \"deprecated\""),
        ("retry-after", "1"),
        ("sallyport-sent", "no"),
        ("authorization", "Bearer x"),
    ] {
        from.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    from.append(header::WARNING, HeaderValue::from_static("299 - \"second\""));
    let names = |map: &HeaderMap| {
        let mut names: Vec<String> = map.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let passed = headers(&info(POD), &from);
    assert_eq!(names(&passed), ["content-type", "retry-after", "warning"]);
    assert_eq!(passed.get_all(header::WARNING).iter().count(), 2);
    assert_eq!(names(&headers(&info("/openapi/v3"), &from)), ["content-type", "etag", "retry-after", "warning"]);
}

#[test]
fn streams() {
    for (path, expected) in [
        ("/api/v1/pods?watch=1", true),
        ("/api/v1/namespaces/x/pods/p/log?follow=true", true),
        ("/api/v1/namespaces/x/pods/p/log", false),
        ("/api/v1/pods", false),
        ("/api/v1/namespaces/x/configmaps/p?follow=true", false),
    ] {
        assert_eq!(is_stream(&info(path), path), expected, "{path}");
    }
}

#[test]
fn a_stand_in_keeps_the_code() {
    for code in [400, 403, 404, 418, 429, 500, 503, 599] {
        let status = stand_in(StatusCode::from_u16(code).unwrap());
        assert_eq!(status.code, code);
        assert!(!status.message.is_empty());
    }
}
