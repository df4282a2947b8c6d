use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    map
}

fn refusal(lines: &[(&str, &str)]) -> HeaderRefusal {
    check(&headers(lines)).unwrap_err()
}

#[test]
fn what_clients_send_passes() {
    let kubectl = headers(&[
        ("Host", "127.0.0.1:6443"),
        ("User-Agent", "kubectl/v1.36.0 (linux/amd64) kubernetes/0000000"),
        ("Accept", "application/json"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip"),
        ("Authorization", "Bearer abc"),
        ("Kubectl-Command", "kubectl get"),
        ("Kubectl-Session", "5b5a"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Protocol", "v5.channel.k8s.io, v4.channel.k8s.io"),
        ("sec-fetch-site", "none"),
    ]);
    assert_eq!(check(&kubectl), Ok(()));
    assert_eq!(check(&HeaderMap::new()), Ok(()));
}

#[test]
fn a_client_asserts_no_identity() {
    for name in [
        "Impersonate-User",
        "impersonate-group",
        "IMPERSONATE-UID",
        "Impersonate-Extra-Scopes",
        "Impersonate_User",
        "impersonate-_x",
        "X-Remote-User",
        "X_Remote_Group",
        "x-remote-extra-foo",
        "X-Remote-Uid",
    ] {
        let got = refusal(&[(name, "system:admin")]);
        assert!(matches!(got, HeaderRefusal::Identity { .. }), "{name}: {got}");
        assert_eq!(got.reason(), Reason::Forbidden);
    }
    // An empty value asserts one as well: the API server takes the header's presence for a wish.
    assert!(matches!(refusal(&[("Impersonate-User", "")]), HeaderRefusal::Identity { .. }));
}

#[test]
fn a_connection_header_takes_nothing_away() {
    for name in [
        "Impersonate-User",
        "Authorization",
        "X-Remote-User",
        "Content-Type",
        "TE",
        "HTTP2-Settings",
        "foo-upgrade",
        "close, sallyport-grant",
    ] {
        let got = refusal(&[("Connection", name)]);
        assert!(matches!(got, HeaderRefusal::Connection { .. }), "{name}: {got}");
    }
    assert!(matches!(
        refusal(&[("Connection", "close"), ("Connection", "authorization")]),
        HeaderRefusal::Connection { .. }
    ));
}

#[test]
fn one_bearer_token_or_none() {
    for value in ["", " ", "Bearer", "Bearer ", "Bearer a b", "Basic dTpw", "token"] {
        let got = refusal(&[("Authorization", value)]);
        assert_eq!(got, HeaderRefusal::Authorization, "{value:?}");
        assert_eq!(got.reason(), Reason::Unauthorized);
    }
    assert_eq!(refusal(&[("Authorization", "Bearer a"), ("Authorization", "Bearer a")]), HeaderRefusal::Authorization);
    for offer in [
        "base64url.bearer.authorization.k8s.io.YWJj",
        "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj",
        "Base64URL.bearer.authorization.k8s.io.YWJj",
    ] {
        assert_eq!(refusal(&[("Sec-WebSocket-Protocol", offer)]), HeaderRefusal::WebSocketBearer);
    }
}

#[test]
fn twins_are_refused() {
    for name in ["Content-Type", "Host", "Content-Length", "Upgrade", "User-Agent", "Transfer-Encoding"] {
        let got = refusal(&[(name, "websocket"), (name, "websocket")]);
        assert!(matches!(got, HeaderRefusal::Duplicate { .. }), "{name}: {got}");
    }
    assert_eq!(
        refusal(&[("Content_Type", "application/json")]),
        HeaderRefusal::Duplicate { name: "content-type".to_owned() }
    );
}

#[test]
fn unknown_upgrades_and_pages() {
    for token in ["h2c", "TLS/1.0", "foo, websocket", "websocket, SPDY/3.1", "SPDY/2", ""] {
        let got = refusal(&[("Upgrade", token)]);
        assert!(matches!(got, HeaderRefusal::Upgrade { .. }), "{token}: {got}");
    }
    assert!(matches!(refusal(&[("Origin", "null")]), HeaderRefusal::Browser { .. }));
    assert!(matches!(refusal(&[("Sec-Fetch-Site", "same-origin")]), HeaderRefusal::Browser { .. }));
}

#[test]
fn upgrades_are_found_as_the_api_server_finds_them() {
    for (lines, expected) in [
        (vec![("Connection", "foo-upgrade")], true),
        (vec![("Connection", "close"), ("Connection", "UPGRADE")], true),
        (vec![("Upgrade", "x")], true),
        (vec![("Connection", "keep-alive")], false),
        (vec![], false),
    ] {
        assert_eq!(wants_upgrade(&headers(&lines)), expected, "{lines:?}");
    }
}
