//! A misbehaving API server: what it says is passed on whole and masked, or refused, never something in between.

use http_body_util::BodyExt as _;
use serde_json::Value;
use shared::wire;

use crate::api_server::{Step, answer, chunk, chunked_head, json};
use crate::control_plane::{AgentLink, Call, PATIENCE, text};
use crate::world::World;

const POD: &str = "/api/v1/namespaces/ns/pods/p";
const JSON_TYPE: (&str, &str) = ("Content-Type", "application/json");

/// SECURITY.md U3: {resource, discovery, aggregated} × every redirect. 304 passes. Nothing is followed.
#[tokio::test]
async fn redirects_are_refused_and_not_followed() {
    let (world, link) = World::start().await;
    let elsewhere = format!("https://{}/api/v1/namespaces/ns/secrets/s", world.api.address);
    let mut count = 0;
    for path in [POD, "/apis", "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods/p"] {
        for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            world.api.on("GET ", vec![answer(status, &[JSON_TYPE, ("Location", &elsewhere)], "{}")]);
            let (head, _) = text(world.control_plane.granted(&link, &Call::new("GET", path, "")).await).await;
            count += 1;
            assert_eq!(
                (head.status.as_u16(), &head.headers[wire::header::REFUSED]),
                (502, &"answer-redirect".parse().unwrap()),
                "{path} {status}"
            );
            assert_eq!(head.headers[wire::header::SENT], "yes");
            assert!(head.headers.get("location").is_none());
            assert_eq!(world.api.seen().len(), count);
        }
        world.api.on("GET ", vec![Step::Write(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec())]);
        let (head, body) = text(world.control_plane.granted(&link, &Call::new("GET", path, "")).await).await;
        count += 1;
        assert_eq!((head.status.as_u16(), body.as_str()), (304, ""), "{path}");
    }
}

/// SECURITY.md M4: what can't be masked is not passed on.
#[tokio::test]
async fn encodings_that_cannot_be_masked() {
    let (world, link) = World::start().await;
    for (headers, label) in [
        (vec![("Content-Type", "application/vnd.kubernetes.protobuf")], "answer-media-type"),
        (vec![("Content-Type", "application/cbor")], "answer-media-type"),
        (vec![("Content-Type", "text/html")], "answer-media-type"),
        (vec![JSON_TYPE, ("Content-Encoding", "br")], "answer-encoding"),
        (vec![JSON_TYPE, ("Content-Encoding", "gzip, gzip")], "answer-encoding"),
        (vec![], "answer-media-type"),
    ] {
        world.api.on("GET ", vec![answer("200 OK", &headers, "k8s\0canary")]);
        let (head, body) = text(world.control_plane.granted(&link, &Call::new("GET", POD, "")).await).await;
        assert_eq!(
            (head.status.as_u16(), head.headers[wire::header::REFUSED].to_str().unwrap()),
            (502, label),
            "{headers:?}"
        );
        assert!(!body.contains("canary"));
    }
    // What it says of the agent's own credential is not about the client.
    world.api.on("GET ", json("401 Unauthorized", "{}"));
    assert_eq!(world.control_plane.granted(&link, &Call::new("GET", POD, "")).await.status(), 502);
    // A text about a resource: the code stays, the text doesn't.
    world
        .api
        .on("GET ", vec![answer("503 Unavailable", &[("Content-Type", "text/plain"), ("Retry-After", "1")], "canary")]);
    let (head, body) = text(world.control_plane.granted(&link, &Call::new("GET", POD, "")).await).await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((head.status.as_u16(), status["code"].as_u64()), (503, Some(503)));
    assert_eq!(head.headers["retry-after"], "1");
    assert!(!body.contains("canary"));
}

/// Bytes that end early end in an error, never in a shorter success.
#[tokio::test]
async fn deaths_in_mid_body() {
    let (world, link) = World::start().await;
    let lying =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"kind\":\"Pod\"".to_vec();
    for (what, steps) in [
        ("a length that is not kept", vec![Step::Write(lying), Step::Drop]),
        ("no last chunk", vec![chunked_head(), chunk(r#"{"kind":"Pod","apiVersion":"v1"}"#), Step::Drop]),
        ("half a chunk", vec![chunked_head(), Step::Write(b"ff\r\n{\"kind\"".to_vec()), Step::Drop]),
        (
            "half a document",
            vec![chunked_head(), chunk(r#"{"kind":"Pod","apiVersion":"#), Step::Write(b"0\r\n\r\n".to_vec())],
        ),
        ("no document", vec![chunked_head(), Step::Write(b"0\r\n\r\n".to_vec())]),
        ("two documents", vec![chunked_head(), chunk("{}{}"), Step::Write(b"0\r\n\r\n".to_vec())]),
        ("no JSON", vec![chunked_head(), chunk("<html>"), Step::Write(b"0\r\n\r\n".to_vec())]),
        ("no UTF-8", vec![chunked_head(), Step::Write(b"5\r\n{\"\xff\":\r\n0\r\n\r\n".to_vec())]),
        ("bad chunk", vec![chunked_head(), Step::Write(b"zz\r\n".to_vec())]),
    ] {
        world.api.on("GET ", steps);
        assert_eq!(whole(&world, &link, &Call::new("GET", POD, "")).await, None, "{what}");
    }
    // And one that ends well, so that the above can fail.
    world.api.on("GET ", vec![chunked_head(), chunk("{}"), Step::Write(b"0\r\n\r\n".to_vec())]);
    let good = world.control_plane.granted(&link, &Call::new("GET", POD, "")).await;
    assert_eq!(read_all(good).await.unwrap(), 2);
}

/// How long the body is, if it came to an end.
async fn whole(world: &World, link: &AgentLink, call: &Call) -> Option<usize> {
    let token = world.control_plane.sign(&world.control_plane.claims(link, call));
    let whole = async {
        // A death that comes with the head takes the head with it.
        let response = shared_net::exchange::send(&link.connection, call.with_grant(&token)).await.ok()?;
        if response.status() != 200 {
            assert!(response.headers().contains_key(wire::header::REFUSED));
            return None;
        }
        read_all(response).await.ok()
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap()
}

async fn read_all<B>(response: http::Response<B>) -> Result<usize, B::Error>
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
{
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.into_data().map_or(0, |data| data.len());
    }
    Ok(length)
}

/// What ends before a byte of it has left is told in words: what became of the request, what would help, and nothing of what was in it.
#[tokio::test]
async fn answers_that_cannot_be_shown_are_refused_in_words() {
    let (world, link) = World::start().await;
    let late = r#"{"kind":"Widget","apiVersion":"example.com/v1","spec":{"data":{"k":"Y2FuYXJ5"},"kind":"Secret"}}"#;
    let pieces = |body: &str| vec![chunked_head(), chunk(body), Step::Write(b"0\r\n\r\n".to_vec())];
    let cut = || vec![chunked_head(), Step::Drop];
    let nothing = vec![chunked_head(), Step::Write(b"0\r\n\r\n".to_vec())];
    let read = "; it only reads, so nothing was changed";
    let others = "; read other objects by their names, and ask whoever runs the cluster about this one";
    for (method, steps, code, label, end) in [
        ("GET", pieces(late), 502, "answer-unmaskable", format!("its data that it is a Secret{read}{others}")),
        ("GET", json("200 OK", "<Y2FuYXJ5>"), 502, "answer-unmaskable", format!("not one JSON document{read}{others}")),
        ("GET", nothing, 502, "answer-unmaskable", format!("it ends in the middle{read}{others}")),
        ("GET", cut(), 502, "answer-broken-off", format!("the API server broke it off{read}: run it again")),
        ("DELETE", pieces(late), 502, "answer-unmaskable", "; it was carried out (200), so don't repeat it".to_owned()),
        ("DELETE", cut(), 502, "answer-broken-off", "; it was carried out (200), so don't repeat it".to_owned()),
        (
            "DELETE",
            json("422 Unprocessable", "canary"),
            502,
            "answer-unmaskable",
            "; the API server refused it or failed (422)".to_owned(),
        ),
    ] {
        world.api.on(&format!("{method} "), steps);
        let (head, body) = text(world.control_plane.granted(&link, &Call::new(method, POD, "")).await).await;
        let said = (head.status.as_u16(), head.headers[wire::header::REFUSED].to_str().unwrap());
        assert_eq!((said, &head.headers[wire::header::SENT]), ((code, label), &"yes".parse().unwrap()), "{body}");
        let status: Value = serde_json::from_str(&body).unwrap();
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with("the API server's answer can't be shown: ") && message.ends_with(&end),
            "{message}"
        );
        assert!(!body.contains("Y2FuYXJ5") && !body.contains("canary"), "{body}");
        let answered = if end.contains("422") { "422" } else { "200" };
        assert_eq!(head.headers[wire::header::ANSWERED], answered);
    }
    // The same of what is refused for its head.
    world.api.on("DELETE ", vec![answer("201 Created", &[("Content-Type", "text/html")], "canary")]);
    let (_, body) = text(world.control_plane.granted(&link, &Call::new("DELETE", POD, "")).await).await;
    assert!(body.contains("its content type cannot be masked; it was carried out (201), so don't repeat it"), "{body}");
    world.api.on("DELETE ", vec![answer("302 Found", &[JSON_TYPE], "{}")]);
    let (_, body) = text(world.control_plane.granted(&link, &Call::new("DELETE", POD, "")).await).await;
    assert!(!body.contains("carried out"), "a redirect says nothing of it: {body}");
}

/// The head of an answer waits for the first piece of its body and for no more; that of a watch for none, which
/// `each_event_is_passed_on_at_once` shows.
#[tokio::test]
async fn the_head_leaves_with_the_first_piece() {
    let (world, link) = World::start().await;
    let (go, wait) = tokio::sync::mpsc::channel(1);
    let list = r#"{"kind":"PodList","apiVersion":"v1","items":["#;
    world.api.on(
        "GET ",
        vec![chunked_head(), chunk(list), Step::Await(wait), chunk("]}"), Step::Write(b"0\r\n\r\n".to_vec())],
    );
    let call = Call::new("GET", "/api/v1/namespaces/ns/pods", "");
    let mut body = world.control_plane.granted(&link, &call).await.into_body();
    let first = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), list);
    go.send(()).await.unwrap();
    let rest = shared_net::body::collect_bounded(body, 1024, PATIENCE).await.unwrap();
    assert_eq!(rest, "]}");
    // No body at all.
    world.api.on("HEAD ", vec![answer("200 OK", &[JSON_TYPE], "")]);
    assert_eq!(world.control_plane.granted(&link, &Call::new("HEAD", "/version", "")).await.status(), 200);
    world.api.on("GET /version", vec![answer("200 OK", &[("Content-Type", "text/plain")], "")]);
    let (head, body) = text(world.control_plane.granted(&link, &Call::new("GET", "/version", "")).await).await;
    assert_eq!((head.status.as_u16(), body.as_str()), (200, ""));
}

/// What stands in for an error's words names the operation, so that whoever may see more finds it.
#[tokio::test]
async fn words_that_are_not_shown_name_their_operation() {
    let (world, link) = World::start().await;
    let quoting = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"canary","reason":"BadRequest","code":400}"#;
    let call = Call::new("GET", SECRET_PATH, "");
    for steps in
        [json("400 Bad Request", quoting), vec![answer("406 Not", &[("Content-Type", "text/plain")], "canary")]]
    {
        world.api.on("GET ", steps);
        let claims = world.control_plane.claims(&link, &call);
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        let status: Value = serde_json::from_str(&body).unwrap();
        let end = format!(" [sallyport operation {}]", claims["operation"].as_str().unwrap());
        assert!(head.headers.get(wire::header::REFUSED).is_none(), "it is the API server that refuses");
        assert!(status["message"].as_str().unwrap().ends_with(&end) && !body.contains("canary"), "{body}");
    }
    // Policy masks fields of it.
    let call = Call::new("GET", POD, "");
    let mut claims = world.control_plane.claims(&link, &call);
    claims["mask"] = serde_json::json!(["spec.password"]);
    world.api.on("GET ", json("400 Bad Request", quoting));
    let (_, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    assert!(body.contains(claims["operation"].as_str().unwrap()) && !body.contains("canary"), "{body}");
}

/// A write whose answer never came: nobody can say, and so it is said. What was not sent is told apart.
#[tokio::test]
async fn silence_and_early_closes() {
    let (world, link) = World::start().await;
    let call = Call::new("DELETE", POD, "");
    for steps in [
        vec![Step::Drop],
        vec![Step::Write(b"HTTP/1.1 200".to_vec()), Step::Drop],
        vec![Step::Write(b"garbage\r\n\r\n".to_vec())],
        vec![Step::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec())],
    ] {
        world.api.on("DELETE ", steps);
        let claims = world.control_plane.claims(&link, &call);
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        assert_eq!((head.status.as_u16(), &head.headers[wire::header::SENT]), (502, &"unknown".parse().unwrap()));
        assert!(body.contains("nobody can say whether it was carried out: look at the object"), "{body}");
    }
    let sent = world.api.seen().len();
    assert_eq!(sent, 4, "a write is never repeated by us");
    // Of a read it doesn't matter.
    world.api.on("GET ", vec![Step::Write(b"garbage\r\n\r\n".to_vec())]);
    let (_, body) = text(world.control_plane.granted(&link, &Call::new("GET", POD, "")).await).await;
    assert!(body.contains("it only reads, so nothing was changed: run it again"), "{body}");
}

/// What it says in its head that is the connection's, or could be made from values, stays behind.
#[tokio::test]
async fn heads_are_rebuilt() {
    let (world, link) = World::start().await;
    let headers = [
        JSON_TYPE,
        ("Set-Cookie", "a=b"),
        ("Connection", "keep-alive, Sallyport-Sent"),
        ("Sallyport-Sent", "no"),
        ("ETag", "\"v\""),
        ("Warning", "299 - \"old\""),
        ("Audit-Id", "x"),
    ];
    world.api.on("GET ", vec![answer("200 OK", &headers, "{}")]);
    let (head, _) = text(world.control_plane.granted(&link, &Call::new("GET", POD, "")).await).await;
    let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
    names.retain(|name| !["connection", "date", "transfer-encoding"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["content-type", wire::header::SENT, "warning"]);
    assert_eq!(head.headers[wire::header::SENT], "yes");
}

#[tokio::test]
async fn an_unreachable_api_server_was_sent_nothing() {
    let (world, link) = World::start().await;
    // Its listener is gone with its tasks; the agent's and the control plane's go on.
    world.api.stop().await;
    let (head, _) = text(world.control_plane.granted(&link, &Call::new("DELETE", POD, "")).await).await;
    assert_eq!((head.status.as_u16(), &head.headers[wire::header::SENT]), (503, &"no".parse().unwrap()));
}

fn bytes_answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Step> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        text.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    text.extend(b"\r\n");
    text.extend(body);
    vec![Step::Write(text)]
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A Secret in Kubernetes' protobuf.
fn secret(value: &[u8]) -> Vec<u8> {
    let data = field(2, &[field(1, b"k"), field(2, value)].concat());
    let raw = [field(1, &field(1, b"s")), data].concat();
    let kind = field(1, &[field(1, b"v1"), field(2, b"Secret")].concat());
    [b"k8s\0".to_vec(), kind, field(2, &raw), field(3, b""), field(4, b"")].concat()
}

const SECRET_PATH: &str = "/api/v1/namespaces/ns/secrets/s";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// SECURITY.md M4: protobuf comes masked where it was asked for, and ends in an error where it can't be.
#[tokio::test]
async fn protobuf_is_masked_where_it_was_asked_for() {
    let (world, link) = World::start().await;
    let call = Call::new("GET", SECRET_PATH, "").accepting("application/vnd.kubernetes.protobuf,application/json");
    world.api.on("GET ", bytes_answer("200 OK", &[("Content-Type", PROTOBUF)], &secret(b"canary")));
    let response = world.control_plane.granted(&link, &call).await;
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, PROTOBUF));
    let body = shared_net::body::collect_bounded(response.into_body(), 65536, PATIENCE).await.unwrap();
    assert!(body.starts_with(b"k8s\0") && holds(&body, b"sallyport: masked value") && !holds(&body, b"canary"));

    for broken in [&secret(b"canary")[..20], b"{\"kind\":\"Secret\"}", b""] {
        world.api.on("GET ", bytes_answer("200 OK", &[("Content-Type", PROTOBUF)], broken));
        assert_eq!(whole(&world, &link, &call).await, None, "{broken:?}");
    }
    // Not asked for.
    world.api.on("GET ", bytes_answer("200 OK", &[("Content-Type", PROTOBUF)], &secret(b"canary")));
    let (head, _) = text(world.control_plane.granted(&link, &Call::new("GET", SECRET_PATH, "")).await).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers[wire::header::REFUSED]),
        (502, &"answer-media-type".parse().unwrap())
    );
    assert_eq!(world.api.seen()[0].header("accept"), ["application/vnd.kubernetes.protobuf,application/json"]);
    assert!(world.api.seen().iter().all(|seen| seen.header("accept-encoding") == ["identity"]));
}

/// SECURITY.md M4: gzip that nobody asked for is undone, masked and passed on plain.
#[tokio::test]
async fn gzip_is_masked_and_passed_on_plain() {
    let (world, link) = World::start().await;
    let call = Call::new("GET", SECRET_PATH, "");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let object = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"k":"Y2FuYXJ5"}}"#;
    std::io::Write::write_all(&mut packed, object.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let headers = [JSON_TYPE, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")];
    world.api.on("GET ", bytes_answer("200 OK", &headers, &packed));
    let (head, body) = text(world.control_plane.granted(&link, &call).await).await;
    assert!(head.status == 200 && head.headers.get("content-encoding").is_none(), "{head:?}");
    let object: Value = serde_json::from_str(&body).unwrap();
    assert!(object["data"]["k"].as_str().unwrap().starts_with("c2FsbHlwb3J0") && !body.contains("Y2FuYXJ5"), "{body}");
    world.api.on("GET ", bytes_answer("200 OK", &headers, &packed[..packed.len() - 1]));
    assert_eq!(whole(&world, &link, &call).await, None, "cut off");
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
