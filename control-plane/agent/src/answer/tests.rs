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

fn treated(info: &RequestInfo, is_head: bool, answer: &Response<()>) -> Result<Treatment, AnswerError> {
    check(&Asked { info, is_head, accept: None }, answer).map(|plan| plan.treatment)
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
            assert_eq!(treated(&info(path), false, &answer), Err(AnswerError::Redirect(status)), "{path}");
            assert_eq!(treated(&info(path), true, &answer), Err(AnswerError::Redirect(status)), "{path}");
        }
        let unchanged = response(304, &[("etag", "\"x\"")]);
        assert_eq!(treated(&info(path), false, &unchanged), Ok(Treatment::Empty), "{path}");
    }
    assert_eq!(treated(&info(POD), false, &response(101, &[])), Err(AnswerError::Switch));
}

#[test]
fn media_types_of_resources() {
    for (media_type, expected) in [
        ("application/json", Ok(Treatment::Mask(Format::Json))),
        ("Application/JSON; charset=utf-8", Ok(Treatment::Mask(Format::Json))),
        ("application/json;stream=watch", Ok(Treatment::Mask(Format::Json))),
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
        assert_eq!(treated(&info(POD), false, &answer), expected, "{media_type}");
    }
    let twice = response(200, &[JSON_TYPE, ("content-type", "text/plain")]);
    assert_eq!(treated(&info(POD), false, &twice), Err(AnswerError::MediaType));
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
        (
            "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Ok(Treatment::Mask(Format::Json)),
        ),
        ("/version", "application/json", Ok(Treatment::Mask(Format::Json))),
        ("/openid/v1/jwks", "application/jwk-set+json", Ok(Treatment::Pass)),
        ("/api", "application/jwk-set+json", Err(AnswerError::MediaType)),
        ("/healthz", "text/plain; charset=utf-8", Ok(Treatment::Pass)),
        ("/healthz", "application/octet-stream", Err(AnswerError::MediaType)),
        (LOG, "text/plain", Ok(Treatment::Text)),
        (LOG, "application/json", Ok(Treatment::Mask(Format::Json))),
        (LOG, "application/octet-stream", Err(AnswerError::MediaType)),
    ] {
        let answer = response(200, &[("content-type", media_type)]);
        assert_eq!(treated(&info(path), false, &answer), expected, "{path} {media_type}");
    }
}

#[test]
fn encodings() {
    for encoding in ["br", "deflate", "zstd", "x-gzip", "gzip, identity", "gzip, gzip", ""] {
        let answer = response(200, &[JSON_TYPE, ("content-encoding", encoding)]);
        assert_eq!(treated(&info(POD), false, &answer), Err(AnswerError::Encoding), "{encoding:?}");
    }
    for (first, second) in [("identity", "gzip"), ("gzip", "gzip"), ("gzip", "identity")] {
        let twice = response(200, &[JSON_TYPE, ("content-encoding", first), ("content-encoding", second)]);
        assert_eq!(treated(&info(POD), false, &twice), Err(AnswerError::Encoding));
    }
    let identity = response(200, &[JSON_TYPE, ("content-encoding", "identity")]);
    assert_eq!(treated(&info(POD), false, &identity), Ok(Treatment::Mask(Format::Json)));
    let asked = Asked { info: &info(POD), is_head: false, accept: None };
    assert!(!check(&asked, &identity).unwrap().gzip);
    // gzip is undone, whatever then becomes of it.
    for encoding in ["gzip", "GZIP"] {
        let packed = response(200, &[JSON_TYPE, ("content-encoding", encoding)]);
        assert_eq!(check(&asked, &packed), Ok(Plan { treatment: Treatment::Mask(Format::Json), gzip: true }));
        let html = response(200, &[("content-type", "text/html"), ("content-encoding", encoding)]);
        assert_eq!(check(&asked, &html), Err(AnswerError::MediaType));
    }
}

/// SECURITY.md M4: protobuf passes where it was asked for, in the form that belongs there.
#[test]
fn protobuf_where_it_was_asked_for() {
    let watch = "/api/v1/namespaces/x/pods?watch=true";
    let both = "application/vnd.kubernetes.protobuf,application/json";
    let object = "application/vnd.kubernetes.protobuf";
    let events = "application/vnd.kubernetes.protobuf;stream=watch";
    let no = Err(AnswerError::MediaType);
    for (path, accept, status, media_type, expected) in [
        (POD, both, 200, object, Ok(Format::Protobuf)),
        (POD, object, 200, object, Ok(Format::Protobuf)),
        (POD, both, 404, object, Ok(Format::Protobuf)),
        (
            POD,
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            200,
            object,
            Ok(Format::Protobuf),
        ),
        (watch, both, 200, events, Ok(Format::ProtobufWatch)),
        (watch, both, 200, "application/vnd.kubernetes.protobuf; stream=watch", Ok(Format::ProtobufWatch)),
        (watch, both, 410, object, Ok(Format::Protobuf)),
        (watch, both, 200, "application/json", Ok(Format::Json)),
        (watch, both, 200, object, no.clone()),
        (watch, both, 410, events, no.clone()),
        (POD, both, 200, events, no.clone()),
        (POD, both, 200, "application/vnd.kubernetes.protobuf;type=v1.Pod", no.clone()),
        (POD, "application/json", 200, object, no.clone()),
        (watch, "application/json", 200, events, no.clone()),
        (POD, "application/vnd.kubernetes.protobufx", 200, object, no.clone()),
        ("/api", both, 200, object, no.clone()),
        ("/openapi/v2", both, 200, object, no),
    ] {
        let accept = HeaderValue::from_static(accept);
        let asked = Asked { info: &info(path), is_head: false, accept: Some(&accept) };
        let answer = response(status, &[("content-type", media_type)]);
        let got = check(&asked, &answer).map(|plan| plan.treatment);
        assert_eq!(got, expected.map(Treatment::Mask), "{path} {accept:?} {status} {media_type}");
    }
}
#[test]
fn empty_and_plain_answers() {
    assert_eq!(treated(&info(POD), false, &response(200, &[])), Err(AnswerError::MediaType));
    let nothing = [("content-length", "0")];
    assert_eq!(treated(&info(POD), false, &response(200, &nothing)), Err(AnswerError::MediaType));
    assert_eq!(treated(&info(POD), false, &response(404, &nothing)), Ok(Treatment::Empty));
    assert_eq!(treated(&info(POD), false, &response(204, &[])), Ok(Treatment::Empty));
    assert_eq!(treated(&info(POD), true, &response(200, &[])), Ok(Treatment::Empty));
    let plain = response(503, &[("content-type", "text/plain")]);
    assert_eq!(treated(&info(POD), false, &plain), Ok(Treatment::Replace));
    let refused = response(401, &[JSON_TYPE]);
    assert_eq!(treated(&info(POD), false, &refused), Err(AnswerError::Unauthorized));
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
    let passed = headers(&info(POD), false, &from);
    assert_eq!(names(&passed), ["content-type", "retry-after", "warning"]);
    assert_eq!(passed.get_all(header::WARNING).iter().count(), 2);
    assert_eq!(names(&headers(&info("/openapi/v3"), false, &from)), ["content-type", "etag", "retry-after", "warning"]);
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

/// Who waited for a token until people had approved it must not take the placeholder for one.
#[test]
fn an_answer_with_a_token_says_that_it_is_masked() {
    for (resource, subresource, warns) in [("serviceaccounts", "token", true), ("serviceaccounts", "", false)] {
        let info =
            RequestInfo { subresource: subresource.to_owned(), ..info(&format!("/api/v1/namespaces/a/{resource}/x")) };
        let to = headers(&info, true, &HeaderMap::new());
        assert_eq!(
            to.get(header::WARNING).is_some_and(|text| text.to_str().unwrap().contains("masks the token")),
            warns
        );
    }
}

#[test]
fn a_stand_in_keeps_the_code() {
    for code in [400, 403, 404, 418, 429, 500, 503, 599] {
        let id = OperationId::new(uuid::Uuid::now_v7());
        let status = stand_in(StatusCode::from_u16(code).unwrap(), id);
        assert_eq!(status.code, code);
        // Tools compare the whole text of a 404.
        let named = status.message.ends_with(&format!(" [sallyport operation {id}]"));
        assert_eq!(named, code != 404, "{}", status.message);
    }
}

#[test]
fn m3_warnings_where_something_is_masked() {
    let passed = |masked: bool, texts: &[&str]| -> Vec<String> {
        let mut from = HeaderMap::new();
        for text in texts {
            from.append(header::WARNING, HeaderValue::from_str(text).unwrap());
        }
        let passed = headers(&info(POD), masked, &from);
        passed.get_all(header::WARNING).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let harmless = [
        r#"299 - "unknown field \"spec.foo\"""#,
        r#"299 - "duplicate field \"data.tls.crt\"""#,
        r#"299 - "v1 ComponentStatus is deprecated in v1.19+""#,
        r#"299 - "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 PodDisruptionBudget""#,
        r#"299 - "example.com/v1alpha1 CronTab is deprecated; use example.com/v1 CronTab""#,
    ];
    assert_eq!(passed(true, &harmless), harmless);
    let quoting = [
        r#"299 - "password hunter2 is too weak""#,
        r#"299 - "unknown field \"hunter2 is too weak\"""#,
        r#"299 - "unknown field \"spec.foo\" hunter2""#,
        r#"299 - "unknown field \"aHVudGVyMg==\"""#,
        r#"299 - "unknown field \"spec.foo\"", 299 - "hunter2""#,
        r#"299 - "unknown field \"spec.foo\"" "Mon, 30 Nov 2026 04:00:00 GMT""#,
        r#"299 hunter2 "unknown field \"spec.foo\"""#,
        r#"199 - "unknown field \"spec.foo\"""#,
        r#"299 - "v1 Secret is deprecated in v1.19+; hunter2""#,
        r#"299 - "v1 Secret is deprecated in v1.19+ hunter2""#,
        r#"299 - "v1 Secret is deprecated in vhunter.2+""#,
        r#"299 - "hunter 2 is deprecated""#,
        "hunter2",
        "",
    ];
    for text in quoting {
        let shown = passed(true, &[harmless[0], text, text]);
        assert_eq!(shown, [harmless[0], warning::NOT_SHOWN.to_str().unwrap()], "{text}");
        // Elsewhere they are as they are.
        assert_eq!(passed(false, &[text]), [text]);
    }
    assert!(passed(true, &[]).is_empty());
}
