//! The text of a pod: the values of the Secrets that the pod uses are replaced as it flows by, or there is no text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use shared::{limits, wire};
use tokio::sync::mpsc;

use crate::api_server::{Step, answer, chunk, json as in_json};
use crate::control_plane::{AgentLink, Call, PATIENCE, text};
use crate::world::World;

const LOG: &str = "/api/v1/namespaces/ns/pods/p/log";
const POD: &str = "GET /api/v1/namespaces/ns/pods/p ";
const MASK: &str = "(masked by sallyport)";

fn reads() -> Value {
    json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "pods", "name": "p"}])
}

fn object(kind: &str, name: &str, more: &Value) -> String {
    let mut object = json!({"kind": kind, "apiVersion": "v1", "metadata": {"name": name, "namespace": "ns"}});
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object.to_string()
}

fn secret(world: &World, name: &str, value: &str) {
    let data = json!({"data": {"k": STANDARD.encode(value)}});
    world
        .api
        .on(&format!("GET /api/v1/namespaces/ns/secrets/{name} "), in_json("200 OK", &object("Secret", name, &data)));
}

fn pod(world: &World, spec: &Value) {
    world.api.on(POD, in_json("200 OK", &object("Pod", "p", &json!({"spec": spec}))));
}

/// The same before its text is asked for, and when that has come.
fn shown_pod(world: &World, spec: &Value) {
    pod(world, spec);
    pod(world, spec);
}

/// Uses one Secret in its environment.
fn simple(world: &World) {
    shown_pod(world, &json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "a"}}]}]}));
    secret(world, "a", "swordfish");
}

fn text_head() -> Step {
    Step::Write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())
}

fn log(world: &World, pieces: &[&str]) {
    let mut steps = vec![text_head()];
    steps.extend(pieces.iter().map(|piece| chunk(piece)));
    steps.push(Step::Write(b"0\r\n\r\n".to_vec()));
    world.api.on(&format!("GET {LOG}"), steps);
}

/// Asks under a grant that lists these reads; gives status, why it was refused, and the body.
async fn ask(world: &World, link: &AgentLink, reads: Value) -> (u16, String, String) {
    let call = Call::new("GET", LOG, "");
    let mut claims = world.control_plane.claims(link, &call);
    claims["reads"] = reads;
    let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
    let refused = head.headers.get(wire::header::REFUSED).map(|why| why.to_str().unwrap().to_owned());
    (head.status.as_u16(), refused.unwrap_or_default(), body)
}

#[tokio::test]
async fn values_of_the_pods_own_secrets_are_replaced() {
    let (world, link) = World::start().await;
    let key = |name: &str| json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}});
    shown_pod(
        &world,
        &json!({
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "i", "env": [key("init")]}],
            "containers": [{"name": "c", "env": [key("env"), key("gone")], "envFrom": [{"secretRef": {"name": "from"}}]}],
            "ephemeralContainers": [{"name": "e", "env": [key("debug")]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "volume"}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "map"}}]}},
                {"name": "d", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi"}}},
                {"name": "s", "azureFile": {"secretName": "azure", "shareName": "x"}},
            ],
        }),
    );
    let names = ["azure", "csi", "debug", "env", "from", "gone", "init", "projected", "volume"];
    for name in names.into_iter().filter(|name| *name != "gone") {
        secret(&world, name, &format!("value-of-{name}"));
    }
    world.api.on(
        "GET /api/v1/namespaces/ns/secrets/gone ",
        in_json("404 Not Found", r#"{"kind":"Status","apiVersion":"v1","code":404}"#),
    );
    let lines: String = names.iter().map(|name| format!("{name}: value-of-{name}\n")).collect();
    let encoded = STANDARD.encode("value-of-env");
    // Each byte on its own.
    // Who makes a pod print guesses at what its images are pulled with, which it doesn't have, learns nothing.
    let whole = format!("{lines}encoded {encoded}\nvalue-of-map value-of-pull value-of-gon");
    let pieces: Vec<&str> = whole.split("").filter(|piece| !piece.is_empty()).collect();
    log(&world, &pieces);
    let (status, _, body) = ask(&world, &link, reads()).await;
    assert_eq!(status, 200);
    let masked: String = names
        .iter()
        .map(|name| if *name == "gone" { "gone: value-of-gone\n".to_owned() } else { format!("{name}: {MASK}\n") })
        .collect();
    assert_eq!(body, format!("{masked}encoded {MASK}\nvalue-of-map value-of-pull value-of-gon"));

    let seen = world.api.seen();
    assert!(seen.iter().all(|seen| seen.header("impersonate-group") == ["sallyport:read"]));
    let asked: Vec<_> = seen.iter().filter(|seen| seen.line.contains("/secrets/")).map(|seen| &seen.line).collect();
    assert_eq!(asked.len(), names.len(), "{asked:?}");
    let [.., text, again] = seen.as_slice() else { panic!("{seen:?}") };
    assert!(text.line.contains("/log"), "the text is asked for when it is known what is looked for");
    assert!(again.line.starts_with(POD), "and the pod is looked at once more: {}", again.line);
}

#[tokio::test]
async fn what_can_not_be_looked_for_is_not_asked_for() {
    let (world, link) = World::start().await;
    let status = r#"{"kind":"Status","apiVersion":"v1","code":403}"#;
    // Only a pod that the grant lists may be read.
    assert_eq!(ask(&world, &link, json!([])).await.1, "pin-read");
    world.api.on(POD, in_json("500 Internal Server Error", status));
    assert_eq!(ask(&world, &link, reads()).await.1, "text-unread");
    pod(&world, &json!({"volumes": [{"secret": {"secretName": "a"}}]}));
    world.api.on("GET /api/v1/namespaces/ns/secrets/a ", in_json("403 Forbidden", status));
    let (code, refused, body) = ask(&world, &link, reads()).await;
    assert_eq!((code, refused.as_str()), (503, "text-unread"), "{body}");
    assert!(body.contains("Secrets that the pod uses"), "{body}");

    let many: Vec<_> =
        (0..=limits::VALUE_SECRETS).map(|n| json!({"secret": {"secretName": format!("s{n}")}})).collect();
    pod(&world, &json!({"volumes": many}));
    let (code, refused, _) = ask(&world, &link, reads()).await;
    assert_eq!((code, refused.as_str()), (403, "text-secrets"));

    pod(&world, &json!({"volumes": [{"secret": {"secretName": "a"}}]}));
    let long: String = (0..limits::VALUE_PATTERN_BYTES / 10).map(|n| format!("{n} ")).collect();
    secret(&world, "a", &long);
    let (code, refused, body) = ask(&world, &link, reads()).await;
    assert_eq!((code, refused.as_str()), (403, "text-values"), "{body}");
    assert!(world.api.seen().iter().all(|seen| !seen.line.contains("/log")));
}

/// Each such log takes several MiB of the agent's memory for as long as somebody reads it.
#[tokio::test]
async fn many_logs_of_pods_with_many_values_are_too_many() {
    let (world, link) = World::start().await;
    let (hung, _ended) = mpsc::channel(16);
    let mut open = Vec::new();
    for index in 0.. {
        let long: String = (0..1000).map(|n| format!("{index}-value-{n:05}\n")).collect();
        shown_pod(&world, &json!({"volumes": [{"secret": {"secretName": "a"}}]}));
        secret(&world, "a", &long);
        world.api.on(&format!("GET {LOG}"), vec![text_head(), chunk("up\n"), Step::Hang(hung.clone())]);
        let call = Call::new("GET", LOG, "");
        let mut claims = world.control_plane.claims(&link, &call);
        claims["reads"] = reads();
        let answer = link.send(&call, &world.control_plane.sign(&claims)).await;
        if answer.status() != 200 {
            let (head, body) = text(answer).await;
            assert_eq!(
                (head.status.as_u16(), head.headers[wire::header::REFUSED].to_str().unwrap()),
                (503, "text-room")
            );
            assert!(body.contains("try again"), "{body}");
            break;
        }
        open.push(answer);
        assert!(open.len() < 10);
    }
    assert!(open.len() > 1);
}

/// What would be cut in the midst of a value is cut when that is masked.
#[tokio::test]
async fn a_part_of_a_text_is_cut_where_it_is_masked() {
    let (world, link) = World::start().await;
    let (hung, _ended) = mpsc::channel(16);
    let text_of = async |limit: &str| {
        world.api.on(&format!("GET {LOG} "), vec![text_head(), chunk("see swordfish\nmore"), Step::Hang(hung.clone())]);
        let call = Call::new("GET", &format!("{LOG}?limitBytes={limit}"), "");
        let mut claims = world.control_plane.claims(&link, &call);
        claims["reads"] = reads();
        let (head, body) = text(link.send(&call, &world.control_plane.sign(&claims)).await).await;
        (head.status.as_u16(), body)
    };
    let whole = format!("see {MASK}\nm");
    for limit in [1, 8, 12, whole.len()] {
        simple(&world);
        assert_eq!(text_of(&limit.to_string()).await, (200, whole.get(..limit).unwrap().to_owned()));
    }
    for limit in ["0", "-1", "", "1e3", "9999999999999999999999"] {
        let (status, body) = text_of(limit).await;
        assert!(status == 400 && body.contains("limitBytes must be a number"), "{status} {body}");
    }
}

/// Nobody knows the Secrets of a pod that came up after it was looked for.
#[tokio::test]
async fn a_pod_that_was_not_there_has_no_text() {
    let (world, link) = World::start().await;
    let absent = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" not found","code":404}"#;
    for _ in 0..2 {
        world.api.on(POD, in_json("404 Not Found", absent));
    }
    world.api.on(&format!("GET {LOG}"), in_json("404 Not Found", absent));
    let (status, _, body) = ask(&world, &link, reads()).await;
    assert_eq!((status, body.as_str()), (404, absent));
    log(&world, &["swordfish"]);
    let (status, refused, body) = ask(&world, &link, reads()).await;
    assert_eq!((status, refused.as_str()), (502, "answer-pod"), "{body}");
    assert!(!body.contains("swordfish"), "{body}");
}

/// Nor those of one that has come in the place of the one that was looked at.
#[tokio::test]
async fn m7_another_pod_of_the_name_has_no_text() {
    let (world, link) = World::start().await;
    let of = |uid: &str, spec: Value| json!({"metadata": {"name": "p", "namespace": "ns", "uid": uid}, "spec": spec});
    let on = |pod: &Value| world.api.on(POD, in_json("200 OK", &object("Pod", "p", pod)));
    let (none, some) = (json!({"containers": []}), json!({"volumes": [{"secret": {"secretName": "a"}}]}));
    let gone = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404}"#;
    for later in [Some(of("2", some.clone())), Some(of("2", none.clone())), Some(of("1", some)), None] {
        on(&of("1", none.clone()));
        log(&world, &["swordfish"]);
        match &later {
            Some(pod) => on(pod),
            None => world.api.on(POD, in_json("404 Not Found", gone)),
        }
        let (status, refused, body) = ask(&world, &link, reads()).await;
        assert_eq!((status, refused.as_str()), (503, "text-replaced"), "{later:?}: {body}");
        assert!(!body.contains("swordfish") && body.contains("ask for it again"), "{body}");
    }
    on(&of("1", none.clone()));
    log(&world, &["catfish"]);
    on(&of("1", none));
    assert_eq!(ask(&world, &link, reads()).await, (200, String::new(), "catfish".to_owned()));
}

/// Errors of a log are text too, or objects.
#[tokio::test]
async fn errors_are_searched_too() {
    let (world, link) = World::start().await;
    simple(&world);
    world
        .api
        .on(&format!("GET {LOG}"), vec![answer("500 Error", &[("Content-Type", "text/plain")], "no swordfish here")]);
    let (status, _, body) = ask(&world, &link, reads()).await;
    assert_eq!((status, body), (500, format!("no {MASK} here")));
}

/// `logs -f`: a line is out before the pod says more, unless its end may be the beginning of a value.
#[tokio::test]
async fn lines_are_passed_on_at_once() {
    let (world, link) = World::start().await;
    simple(&world);
    let (go, wait) = mpsc::channel(1);
    world.api.on(
        &format!("GET {LOG}"),
        vec![
            text_head(),
            chunk("first line\nsee sword"),
            Step::Await(wait),
            chunk("fish\n"),
            Step::Write(b"0\r\n\r\n".to_vec()),
        ],
    );
    let call = Call::new("GET", &format!("{LOG}?follow=true"), "");
    let mut claims = world.control_plane.claims(&link, &call);
    claims["reads"] = reads();
    let mut body = link.send(&call, &world.control_plane.sign(&claims)).await.into_body();
    let first = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first line\nsee ");
    go.send(()).await.unwrap();
    let rest = shared_net::body::collect_bounded(body, 65536, PATIENCE).await.unwrap();
    assert_eq!(rest, format!("{MASK}\n"));
}
