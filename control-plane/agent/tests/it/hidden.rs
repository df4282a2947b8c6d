//! Objects that a grant hides: left out of lists and watches, and not there by name.

use serde_json::{Value, json};
use shared::wire;

use crate::api_server::{Step, answer, chunk, chunked_head, json as in_json};
use crate::control_plane::{AgentLink, Call, text};
use crate::world::World;

const POD: &str = "/api/v1/namespaces/ns/pods/p";
const NOT_FOUND: &str = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"pods \\\"p\\\" not found\",\"reason\":\"NotFound\",\"details\":{\"name\":\"p\",\"kind\":\"pods\"},\"code\":404}\n";

fn hide() -> Value {
    json!([{"names": ["db-*"]}, {"labels": ["tier"]}])
}

fn pod(name: &str, labels: &Value) -> String {
    let metadata = json!({"name": name, "namespace": "ns", "labels": labels});
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {}}).to_string()
}

/// A signed grant that hides, with these reads.
async fn ask(
    world: &World,
    link: &AgentLink,
    call: &Call,
    hide: &Value,
    reads: Value,
) -> (u16, String, String, String) {
    let mut claims = world.control_plane.claims(link, call);
    claims["hide"] = hide.clone();
    claims["reads"] = reads;
    let (head, body) = text(link.send(call, &world.control_plane.sign(&claims)).await).await;
    let header =
        |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (head.status.as_u16(), header(wire::header::SENT), header(wire::header::REFUSED), body)
}

fn own() -> Value {
    json!([{"apiGroup": "", "apiVersion": "v1", "namespace": "ns", "resource": "pods", "name": "p"}])
}

fn lines(world: &World) -> Vec<String> {
    world.api.seen().iter().map(|seen| seen.line.trim_end_matches(" HTTP/1.1").to_owned()).collect()
}

#[tokio::test]
async fn hidden_objects_are_left_out_of_lists() {
    let (world, link) = World::start().await;
    let items = [pod("x", &json!({})), pod("db-1", &json!({})), pod("y", &json!({"tier": "a"})), pod("z", &json!({}))];
    let list = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"9","remainingItemCount":2}},"items":[{}]}}"#,
        items.join(",")
    );
    let mut steps = vec![chunked_head()];
    steps.extend(list.as_bytes().chunks(50).map(|piece| chunk(std::str::from_utf8(piece).unwrap())));
    steps.push(Step::Write(b"0\r\n\r\n".to_vec()));
    world.api.on("GET ", steps);
    let call = Call::new("GET", "/api/v1/namespaces/ns/pods?limit=2", "")
        .accepting("application/json;as=Table;g=meta.k8s.io;v=v1,application/json");
    let (status, sent, _, body) = ask(&world, &link, &call, &hide(), json!([])).await;
    assert_eq!((status, sent.as_str()), (200, "yes"));
    let expected = format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"9"}},"items":[{},{}]}}"#,
        items[0], items[3]
    );
    assert_eq!(body, expected);
    assert_eq!(lines(&world), ["GET /api/v1/namespaces/ns/pods?labelSelector=%21tier"]);
    // Secrets that are shown are masked all the same.
    let secret = |name: &str| json!({"metadata": {"name": name}, "data": {"k": "Y2FuYXJ5"}}).to_string();
    let list = format!(r#"{{"kind":"SecretList","apiVersion":"v1","items":[{},{}]}}"#, secret("db-1"), secret("x"));
    world.api.on("GET ", in_json("200 OK", &list));
    let call = Call::new("GET", "/api/v1/namespaces/ns/secrets", "");
    let (_, _, _, body) = ask(&world, &link, &call, &hide(), json!([])).await;
    assert!(body.contains("\"x\"") && !body.contains("db-1") && !body.contains("Y2FuYXJ5"), "{body}");
}

#[tokio::test]
async fn hidden_objects_are_left_out_of_watches() {
    let (world, link) = World::start().await;
    let event = |kind: &str, pod: &str| format!("{{\"type\":\"{kind}\",\"object\":{pod}}}\n");
    let shown = [event("ADDED", &pod("x", &json!({}))), event("DELETED", &pod("x", &json!({})))];
    let hidden = [event("ADDED", &pod("db-1", &json!({}))), event("MODIFIED", &pod("y", &json!({"tier": "a"})))];
    let all = [hidden[0].as_str(), shown[0].as_str(), hidden[1].as_str(), shown[1].as_str()].concat();
    let (first, second) = all.split_at(all.len() / 2);
    world.api.on("GET ", vec![chunked_head(), chunk(first), chunk(second), Step::Write(b"0\r\n\r\n".to_vec())]);
    let call = Call::new("GET", "/api/v1/pods?labelSelector=a&watch=true", "")
        .accepting("application/vnd.kubernetes.protobuf,application/json");
    let (status, _, _, body) = ask(&world, &link, &call, &hide(), json!([])).await;
    assert_eq!((status, body), (200, shown.concat()));
    let seen = world.api.seen().pop().unwrap();
    assert_eq!(seen.line, "GET /api/v1/pods?labelSelector=%21tier%2Ca&watch=true HTTP/1.1");
    assert_eq!(seen.header("accept"), ["application/json"]);
    // Protobuf that comes all the same is no way round.
    world.api.on(
        "GET ",
        vec![answer("200 OK", &[("Content-Type", "application/vnd.kubernetes.protobuf;stream=watch")], "")],
    );
    let (status, _, refused, _) = ask(&world, &link, &call, &hide(), json!([])).await;
    assert_eq!((status, refused.as_str()), (502, "answer-media-type"));
}

/// The body and the head are those of an answer about nothing, and one request tells either.
#[tokio::test]
async fn a_hidden_object_is_not_there() {
    let (world, link) = World::start().await;
    let head = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")];
    let found = pod("p", &json!({"tier": "a"}));
    let get = Call::new("GET", POD, "");
    let log = Call::new("GET", &format!("{POD}/log"), "");
    for (call, reads) in [(&get, json!([])), (&log, own())] {
        let mut answers = Vec::new();
        for (status, body) in [("404 Not Found", NOT_FOUND), ("200 OK", found.as_str())] {
            let before = lines(&world).len();
            world.api.on(&format!("GET {POD}"), vec![answer(status, &head, body)]);
            let mut claims = world.control_plane.claims(&link, call);
            (claims["hide"], claims["reads"]) = (hide(), reads.clone());
            let (head, body) = text(link.send(call, &world.control_plane.sign(&claims)).await).await;
            assert_eq!(lines(&world)[before..], [format!("GET {POD}")], "{call:?}");
            answers.push((head.status, format!("{:?}", head.headers), body));
        }
        assert_eq!(answers[0], answers[1], "{call:?}");
        assert_eq!(answers[0].0, 404);
        assert!(answers[0].1.contains("no-cache"), "{answers:?}");
        assert_eq!(answers[0].2, NOT_FOUND);
    }
    // What isn't hidden is shown.
    let found = pod("p", &json!({"a": "tier"}));
    world.api.on("GET ", in_json("200 OK", &found));
    let (status, _, _, body) = ask(&world, &link, &get, &hide(), json!([])).await;
    assert_eq!((status, body), (200, found));
}

#[tokio::test]
async fn what_is_hidden_is_not_written() {
    let (world, link) = World::start().await;
    let patch = Call::new("PATCH", POD, "{}").typed("application/merge-patch+json");
    let delete = Call::new("DELETE", POD, "");
    let evict = Call::new("POST", &format!("{POD}/eviction"), r#"{"metadata":{"name":"p"}}"#);
    for call in [&patch, &delete, &evict] {
        let before = lines(&world).len();
        world.api.on("GET ", in_json("200 OK", &pod("p", &json!({"tier": "a"}))));
        let (status, sent, refused, body) = ask(&world, &link, call, &hide(), own()).await;
        assert_eq!((status, sent.as_str(), refused.as_str(), body.as_str()), (404, "no", "", NOT_FOUND), "{call:?}");
        assert_eq!(lines(&world)[before..], [format!("GET {POD}")]);
        // Without the right to look nothing is sent either.
        let (status, sent, refused, _) = ask(&world, &link, call, &hide(), json!([])).await;
        assert_eq!((status, sent.as_str(), refused.as_str()), (503, "no", "pin-read"));
        assert_eq!(lines(&world).len(), before + 1);
        // Nor where it can't be judged.
        world.api.on("GET ", in_json("200 OK", "{}"));
        let (status, sent, _, _) = ask(&world, &link, call, &hide(), own()).await;
        assert_eq!((status, sent.as_str()), (503, "no"), "{call:?}");
        assert_eq!(lines(&world).len(), before + 2);
        // What is shown, or isn't there, goes on as ever.
        for (read, body) in [("200 OK", pod("p", &json!({}))), ("404 Not Found", NOT_FOUND.to_owned())] {
            world.api.on("GET ", in_json(read, &body));
            world.api.on(call.method.as_str(), in_json("200 OK", &pod("p", &json!({}))));
            let (status, sent, _, _) = ask(&world, &link, call, &hide(), own()).await;
            assert_eq!((status, sent.as_str()), (200, "yes"));
        }
    }
}

#[tokio::test]
async fn what_can_not_be_judged_is_not_shown() {
    let (world, link) = World::start().await;
    let list = Call::new("GET", "/api/v1/namespaces/ns/pods", "");
    for body in [r#"{"kind":"PodList","items":[{"metadata":{"name":"x"}},{"spec":{}}]}"#, r#"{"kind":"Pod"}"#, "{}"] {
        world.api.on("GET ", in_json("200 OK", body));
        let (status, _, refused, said) = ask(&world, &link, &list, &hide(), json!([])).await;
        assert_eq!((status, refused.as_str()), (502, "answer-unmaskable"), "{body}");
        assert!(said.contains("it can't be masked, for ") && !said.contains("PodList"), "{said}");
    }
    // One object is looked at before anything of it is passed on.
    let get = Call::new("GET", POD, "");
    world.api.on("GET ", in_json("200 OK", r#"{"kind":"Pod","metadata":{"name":"x","name":"db-1"}}"#));
    let (status, _, refused, _) = ask(&world, &link, &get, &hide(), json!([])).await;
    assert_eq!((status, refused.as_str()), (502, "answer-unjudged"));
    // Errors are about no object.
    world.api.on("GET ", in_json("410 Gone", r#"{"kind":"Status","apiVersion":"v1","code":410,"reason":"Expired"}"#));
    let (status, _, _, body) = ask(&world, &link, &list, &hide(), json!([])).await;
    assert!(status == 410 && body.contains("Expired"), "{body}");
}

#[tokio::test]
async fn grants_that_hide_are_read_strictly() {
    let (world, link) = World::start().await;
    let list = Call::new("GET", "/api/v1/namespaces/ns/pods?includeObject=None", "");
    for (hide, status, refused) in [
        (json!([{"names": ["["]}]), 403, "mask-rules"),
        (json!([{}]), 403, "mask-rules"),
        (json!([{"labels": ["a"], "names": ["b"]}]), 403, "mask-rules"),
        (json!([{"show": ["b"]}]), 403, "grant-claims"),
        (json!(vec![json!({"names": ["b"]}); 65]), 403, "grant-bound"),
        (hide(), 403, "hidden"),
    ] {
        let (got, sent, why, body) = ask(&world, &link, &list, &hide, json!([])).await;
        assert_eq!((got, sent.as_str(), why.as_str()), (status, "no", refused), "{hide}: {body}");
    }
    // What hides needs the grant key's signature.
    let mut claims = world.control_plane.claims(&link, &list);
    claims["hide"] = hide();
    let (head, _) = text(link.send(&list, &world.control_plane.sign_read(&link, &claims)).await).await;
    assert_eq!(head.headers[wire::header::REFUSED], "grant-needs-signature");
    assert!(world.api.seen().is_empty());
}
