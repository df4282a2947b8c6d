use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;

mod bodies;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn request(method: &str, target: &str, lines: &[(&str, &str)], body: &str) -> Result<Request, RequestError> {
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| panic!("{method} is no token"));
    let uri: Uri = target.parse().unwrap_or_else(|error| panic!("{target}: {error}"));
    Request::parse(&method, &uri, &headers(lines), Bytes::copy_from_slice(body.as_bytes()))
}

const KEY: DigestKey = DigestKey::new([7; 32]);

/// What the agent reads when it is a request's turn is what it has checked.
#[test]
fn what_was_set_aside_is_read_as_before() {
    let protobuf = String::from_utf8(body::tests::protobuf::envelope("v1", "ConfigMap", b"")).unwrap();
    let (maps, map) = ("/api/v1/namespaces/d/configmaps", "/api/v1/namespaces/d/configmaps/a");
    let yaml = "metadata: {name: a}\ndata: {k: '1'}";
    for (method, target, content_type, body) in [
        ("GET", format!("{maps}?limit=5"), "", ""),
        ("POST", format!("{maps}?fieldManager=a%20b"), "application/yaml", yaml),
        ("PATCH", map.to_owned(), "application/json-patch+json", r#"[{"op":"remove","path":"/data"}]"#),
        ("PATCH", format!("{map}?fieldManager=a"), "application/apply-patch+yaml", "kind: ConfigMap"),
        ("PUT", map.to_owned(), "application/vnd.kubernetes.protobuf", &protobuf),
        ("DELETE", map.to_owned(), "application/json", r#"{"dryRun":["All"]}"#),
    ] {
        let lines = [("Content-Type", content_type), ("User-Agent", "kubectl")];
        let lines = if content_type.is_empty() { &lines[1..] } else { &lines[..] };
        let first = request(method, &target, lines, body).unwrap();
        // As the agent receives it.
        let arrived: HeaderMap = first.wire().headers().map(|(name, value)| (name, value.clone())).collect();
        let uri = first.wire().path_and_query().parse().unwrap();
        let arrived = Request::parse(first.wire().method(), &uri, &arrived, first.wire().body().clone()).unwrap();
        let (body, dry_run) = (arrived.body().cloned(), arrived.dry_run());
        let again = arrived.set_aside().read().unwrap();
        assert_eq!((again.body().cloned(), again.dry_run()), (body, dry_run), "{method} {target}");
        assert_eq!((again.info(), again.wire()), (first.info(), first.wire()), "{method} {target}");
    }
}

/// A client is told that it is too much, and room for as much as a body may take has room for what one takes.
#[test]
fn p12_a_request_says_what_it_takes() {
    let maps = |count: usize| format!(r#"{{"kind":"Widget","spec":{{"a":[{}]}}}}"#, vec![r#"{"":0}"#; count].join(","));
    let put = |body: &str| request("PUT", "/apis/e.com/v1/namespaces/d/widgets/a", &[], body);
    let refused = put(&maps(99_000)).unwrap_err();
    assert_eq!(refused.reason(), Reason::RequestEntityTooLarge);
    assert!(shared::chain::Chain(&refused).to_string().contains("so many small values"), "{refused}");
    for body in [maps(1), maps(400), "x".repeat(100_000)] {
        let body = if body.starts_with('x') { format!(r#"{{"a":"{body}"}}"#) } else { body };
        let taken = put(&body).unwrap().memory();
        assert!(taken > body.len() && taken <= memory_of_body(body.len()), "{taken} of {} bytes", body.len());
    }
}

#[test]
fn what_is_forwarded_is_a_closed_set() {
    let request = request(
        "POST",
        "/api/v1/namespaces/d/configmaps/?fieldValidation=Strict&fieldManager=a%20b",
        &[
            ("Host", "127.0.0.1"),
            ("Accept", "application/vnd.kubernetes.protobuf,application/json"),
            ("Accept-Encoding", "gzip"),
            ("Authorization", "Bearer secret"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("Cookie", "a=b"),
            ("Audit-ID", "mine"),
            ("Via", "x"),
            ("X-Forwarded-For", "::1"),
            ("If-None-Match", "\"e\""),
            ("Kubectl-Command", "kubectl create\u{9}x"),
            ("Kubectl-Session", "5b5a"),
            ("User-Agent", "kubectl/v1.36"),
        ],
        r#" { "metadata" : {"name":"a"}, "data": {} } "#,
    )
    .unwrap();
    let wire = request.wire();
    assert_eq!(wire.path_and_query(), "/api/v1/namespaces/d/configmaps?fieldManager=a%20b&fieldValidation=Strict");
    let sent: Vec<(String, &str)> =
        wire.headers().map(|(name, value)| (name.to_string(), value.to_str().unwrap())).collect();
    assert_eq!(
        sent,
        [
            ("accept".to_owned(), "application/vnd.kubernetes.protobuf,application/json"),
            ("content-type".to_owned(), "application/json"),
            ("user-agent".to_owned(), "kubectl/v1.36"),
        ]
    );
    assert_eq!(serde_json::from_slice::<Value>(wire.body()).unwrap(), json!({"metadata": {"name": "a"}, "data": {}}));
    assert!(!wire.body().contains(&b' '));
    let client = request.client();
    assert_eq!((client.command.as_str(), client.session.as_str()), ("kubectl createx", "5b5a"));
    assert_eq!(request.object_name(), "a");
    assert!(!format!("{wire:?}").contains("metadata"));
}

#[test]
fn etags_belong_to_discovery() {
    let of = |target| request("GET", target, &[("If-None-Match", "\"e\"")], "").unwrap();
    let has = |request: &Request| request.wire().header(&header::IF_NONE_MATCH).is_some();
    assert!(has(&of("/openapi/v3/apis/apps/v1?hash=A")));
    assert!(has(&of("/apis")));
    assert!(!has(&of("/api/v1/namespaces/d/pods/x")));
}

#[test]
fn rows_14_to_16_upgrades() {
    let exec = "/api/v1/namespaces/d/pods/p/exec?command=sh";
    let websocket: &[_] = &[("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let spdy: &[_] = &[("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
    for (method, lines, expected) in [
        ("GET", websocket, Upgrade::WebSocket),
        ("POST", spdy, Upgrade::Spdy),
        ("GET", &[], Upgrade::Missing),
        ("POST", &[("Connection", "foo-upgrade")], Upgrade::Missing),
        ("GET", &[("Upgrade", "h2c")], Upgrade::Missing),
    ] {
        assert_eq!(request(method, exec, lines, "").unwrap().upgrade(), Some(expected), "{lines:?}");
    }
    let proxy = "/api/v1/namespaces/d/pods/p/proxy/x";
    assert_eq!(request("GET", proxy, &[], "").unwrap().upgrade(), None);
    assert_eq!(request("GET", proxy, websocket, "").unwrap().upgrade(), Some(Upgrade::WebSocket));
    // Answered in frames by the API server, which nobody would mask.
    for target in [
        "/api/v1/namespaces/d/secrets?watch=true",
        "/api/v1/namespaces/d/pods/p/log",
        "/api/v1/namespaces/d/pods/p",
        "/apis/x/v1/namespaces/d/pods/p/exec",
        "/version",
    ] {
        for lines in [websocket, &[("Connection", "x-UPGRADE-x")], &[("Upgrade", "websocket")]] {
            let got = request("GET", target, lines, "").unwrap_err();
            assert!(matches!(got, RequestError::Upgrade { .. }), "{target} {lines:?}");
        }
    }
}

#[test]
fn the_digest_covers_everything_that_arrives() {
    let lines = [("Accept", "application/json"), ("User-Agent", "a")];
    let base = request("POST", "/api/v1/namespaces/d/configmaps?a=b", &lines, r#"{"a":1}"#).unwrap();
    let arrived = |method: &str, target: &str, lines: &[(&str, &str)], body: &str| {
        WireRequest::arrived(
            &method.parse().unwrap(),
            &target.parse().unwrap(),
            &headers(lines),
            Bytes::copy_from_slice(body.as_bytes()),
        )
        .unwrap()
    };
    let all = [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("user-agent", "a"),
        ("sallyport-grant", "ignored"),
    ];
    let target = "/api/v1/namespaces/d/configmaps?a=b";
    let same = arrived("POST", target, &all, r#"{"a":1}"#);
    assert_eq!(&same, base.wire());
    assert_eq!(same.digest(&KEY), base.digest(&KEY));
    assert_eq!(same.reparse().as_ref(), Ok(base.info()));
    for other in [
        arrived("PUT", target, &all, r#"{"a":1}"#),
        arrived("POST", "/api/v1/namespaces/e/configmaps?a=b", &all, r#"{"a":1}"#),
        arrived("POST", "/api/v1/namespaces/d/configmaps", &all, r#"{"a":1}"#),
        arrived("POST", target, &all[1..], r#"{"a":1}"#),
        arrived("POST", target, &[all[0], all[1], ("user-agent", "b")], r#"{"a":1}"#),
        arrived("POST", target, &[all[0], all[1], all[2], ("if-none-match", "")], r#"{"a":1}"#),
        arrived("POST", target, &all, r#"{"a":2}"#),
        arrived("POST", target, &all, ""),
    ] {
        assert_ne!(other.digest(&KEY), base.digest(&KEY), "{other:?}");
    }
    assert_ne!(same.digest(&DigestKey::new([8; 32])), base.digest(&KEY));
    let twice = WireRequest::arrived(
        &Method::GET,
        &"/version".parse().unwrap(),
        &headers(&[("accept", "a"), ("accept", "b")]),
        Bytes::new(),
    );
    assert_eq!(twice, Err(WireError::Duplicate { name: header::ACCEPT }));
}

#[test]
fn another_spelling_is_refused_by_the_agent() {
    for target in [
        "/api/v1/namespaces/d/pods/",
        "/api/v1/namespaces/%64/pods",
        "/api/v1/pods?b=1&a=1",
        "/api/v1/pods?a",
        "/api/v1/pods?a=+",
        "/api/v1/pods?",
        "/api/v1/namespaces/d/pods/x%2a",
    ] {
        let wire =
            WireRequest::arrived(&Method::GET, &target.parse().unwrap(), &HeaderMap::new(), Bytes::new()).unwrap();
        assert!(matches!(wire.reparse(), Err(WireError::NotCanonical { .. })), "{target}: {:?}", wire.reparse());
    }
}

#[test]
fn an_internal_read_is_a_get_of_one_object() {
    let patch = request(
        "PATCH",
        "/apis/apps/v1/namespaces/d/deployments/x/scale",
        &[("Content-Type", "application/merge-patch+json")],
        "{}",
    )
    .unwrap();
    let live = patch.info().live_object().unwrap();
    let read = Request::read(&live).unwrap();
    assert_eq!(read.wire().path_and_query(), "/apis/apps/v1/namespaces/d/deployments/x");
    assert_eq!(read.wire().reparse(), Ok(live));
    let list = request("GET", "/api/v1/pods", &[], "").unwrap();
    assert!(Request::read(list.info()).is_err());
    let exec = request("GET", "/api/v1/namespaces/d/pods/p/exec", &[], "").unwrap();
    assert!(Request::read(exec.info()).is_err());
}

proptest! {
    #[test]
    fn what_is_forwarded_reads_as_what_was_judged(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]),
        path in "/(api/v1|apis/apps/v1)(/namespaces/[a-z]{1,3})?/(pods|secrets|nodes)(/[a-z:.]{1,4}(/(exec|proxy|status)(/[a-z/]{0,4})?)?)?/?",
        query in "([a-z]{1,3}=?[a-z+%0-9]{0,4}&?){0,3}",
        agent in "[ -~]{0,20}",
        body in prop::sample::select(vec!["", "{}", r#"{"b":1,"a":[1.5,"x",null]}"#]),
    ) {
        let Ok(uri) = format!("{path}?{query}").parse::<Uri>() else { return Ok(()) };
        let headers = headers(&[("User-Agent", &agent), ("Accept", "*/*")]);
        if let Ok(request) = Request::parse(&method.parse().unwrap(), &uri, &headers, Bytes::from_static(body.as_bytes())) {
            let wire = request.wire();
            let uri: Uri = wire.path_and_query().parse().unwrap();
            let mut map = HeaderMap::new();
            for (name, value) in wire.headers() {
                map.insert(name, value.clone());
            }
            let arrived = WireRequest::arrived(wire.method(), &uri, &map, wire.body().clone()).unwrap();
            prop_assert_eq!(&arrived.reparse().unwrap(), request.info());
            prop_assert_eq!(arrived.digest(&KEY), request.digest(&KEY));
            // Judged again, it is the same request.
            let again = Request::parse(wire.method(), &uri, &map, wire.body().clone()).unwrap();
            prop_assert_eq!(again.wire(), wire);
        }
    }
}
