//! A value goes back only where it will be masked again, and never into another element of a list (SECURITY.md M5, M6).

use super::*;
use crate::body::Encoding;

const CANARY: &str = "CANARY-real-value";
const VARIABLES: &str = "spec.containers[*].env[name=*SECRET*].value";
const TOKENS: &str = "spec.users[*].token";

fn pod(env: &Value) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "c", "namespace": "default", "resourceVersion": "5"},
        "spec": {"containers": [{"name": "c", "env": env}]}})
}

fn live_pod() -> Value {
    pod(&json!([{"name": "APP_SECRET", "value": CANARY}, {"name": "PORT", "value": "80"}]))
}

fn login(users: &Value) -> Value {
    json!({"kind": "Login", "apiVersion": "example.com/v1", "metadata": {"name": "c", "namespace": "default"},
        "spec": {"users": users}})
}

/// A live object under policy's masks.
struct World {
    context: MaskContext,
    live: ReadObject,
}

impl World {
    fn new(fields: &[&str], live: &Value) -> Self {
        let context = masking("logins", Verb::Get, fields);
        Self { live: ReadObject::new(text(live).as_bytes(), &context).unwrap(), context }
    }

    /// As a client is shown what stands there.
    fn shown(&self, place: &str) -> Value {
        let shown = self.live.masked().pointer(place).unwrap().clone();
        assert!(!shown.to_string().contains("CANARY"), "{shown}");
        shown
    }

    fn sent(&self, encoding: Encoding, body: &Value) -> Result<Value, Why> {
        let restorer = Restorer {
            secret: false,
            release: None,
            dry_run: false,
            live: Some(&self.live),
            more: &[],
            mask: &self.context,
        };
        let sent = restorer.restore(encoding, body).map_err(|error| error.why)?;
        Ok(sent.unwrap_or_else(|| body.clone()))
    }

    #[track_caller]
    fn refuses(&self, encoding: Encoding, body: &Value) {
        assert_eq!(self.sent(encoding, body), Err(Why::Elsewhere), "{body}");
    }
}

const FIRST: &str = "/spec/containers/0/env/0/value";

#[test]
fn m5_a_variable_of_another_name_gets_no_value() {
    let world = World::new(&[VARIABLES], &live_pod());
    let code = world.shown(FIRST);
    let renamed = pod(&json!([{"name": "PUBLIC", "value": code}, {"name": "PORT", "value": "80"}]));
    for encoding in
        [Encoding::Json, Encoding::Yaml, Encoding::MergePatch, Encoding::StrategicMergePatch, Encoding::ApplyPatch]
    {
        world.refuses(encoding, &renamed);
        // Nor one without a name, nor another that is masked as well.
        world.refuses(encoding, &pod(&json!([{"value": code}])));
        world.refuses(encoding, &pod(&json!([{"name": "OTHER_SECRET", "value": code}])));
        // Nor two of one name.
        let twice = json!([{"name": "APP_SECRET", "value": code}, {"name": "APP_SECRET", "value": code}]);
        world.refuses(encoding, &pod(&twice));
    }
    for path in [FIRST, "/spec/containers/0/env/0", "/spec/containers/0/env", ""] {
        let value = renamed.pointer(path).unwrap();
        let rename = json!({"op": "replace", "path": "/spec/containers/0/env/0/name", "value": "PUBLIC"});
        let put = json!({"op": "replace", "path": path, "value": value});
        world.refuses(Encoding::JsonPatch, &json!([put, rename]));
        world.refuses(Encoding::JsonPatch, &json!([rename, put]));
    }
}

#[test]
fn m6_an_element_keeps_its_value_wherever_it_stands() {
    let world = World::new(&[VARIABLES], &live_pod());
    let own = json!({"name": "APP_SECRET", "value": world.shown(FIRST)});
    let real = json!({"name": "APP_SECRET", "value": CANARY});
    let first = json!({"name": "FIRST", "value": "1"});
    for encoding in [Encoding::Json, Encoding::MergePatch, Encoding::StrategicMergePatch, Encoding::ApplyPatch] {
        for (written, expected) in [
            (json!([own]), json!([real])),
            (json!([first, own]), json!([first, real])),
            (json!([own, first]), json!([real, first])),
        ] {
            assert_eq!(world.sent(encoding, &pod(&written)), Ok(pod(&expected)), "{written}");
        }
    }
    let add = |value: &Value| json!([{"op": "remove", "path": "/spec/containers/0/env/0"}, {"op": "add", "path": "/spec/containers/0/env/-", "value": value}]);
    assert_eq!(world.sent(Encoding::JsonPatch, &add(&own)), Ok(add(&real)));
}

/// The last operation decides what becomes of what an earlier one has put somewhere.
#[test]
fn m5_a_json_patch_is_looked_at_as_a_whole() {
    let world = World::new(&[VARIABLES], &live_pod());
    let code = world.shown(FIRST);
    let add =
        |name: &str| json!({"op": "add", "path": "/spec/containers/0/env/0", "value": {"name": name, "value": code}});
    world.refuses(Encoding::JsonPatch, &json!([add("PUBLIC"), add("APP_SECRET")]));
    let replace = |value: &Value| json!([{"op": "replace", "path": FIRST, "value": value}]);
    assert_eq!(world.sent(Encoding::JsonPatch, &replace(&code)), Ok(replace(&json!(CANARY))));
    let gone = json!([{"op": "replace", "path": FIRST, "value": code}, {"op": "remove", "path": "/spec/containers/9"}]);
    assert_eq!(world.sent(Encoding::JsonPatch, &gone), Err(Why::Unapplied));
}

#[test]
fn m5_last_applied_is_masked_again_or_gets_no_value() {
    let applied = |document: &Value| json!({"metadata": {"annotations": {LAST_APPLIED: document.to_string()}}});
    let world = World::new(&[VARIABLES], &live_pod());
    let code = world.shown(FIRST);
    world.refuses(Encoding::MergePatch, &applied(&pod(&json!([{"name": "PUBLIC", "value": code}]))));
    // A list and a map with numbers for names have the same paths.
    world.refuses(
        Encoding::MergePatch,
        &applied(&json!({"spec": {"containers": {"0": {"env": [{"name": "APP_SECRET", "value": code}]}}}})),
    );
    world.refuses(
        Encoding::MergePatch,
        &applied(
            &json!({"spec": {"containers": [{"name": "c", "env": {"0": {"name": "APP_SECRET", "value": code}}}]}}),
        ),
    );
    let own = applied(&pod(&json!([{"name": "APP_SECRET", "value": code}])));
    let sent = world.sent(Encoding::MergePatch, &own).unwrap();
    assert!(sent.to_string().contains(CANARY), "{sent}");
}

#[test]
fn m5_last_applied_holds_no_last_applied() {
    let mut live = live_pod();
    live["metadata"]["annotations"] = json!({LAST_APPLIED: live_pod().to_string()});
    let world = World::new(&[VARIABLES], &live);
    let shown = world.shown("/metadata/annotations");
    let body = json!({"metadata": {"annotations": shown}});
    assert_eq!(
        world.sent(Encoding::MergePatch, &body).unwrap()["metadata"],
        json!({"annotations": live["metadata"]["annotations"]})
    );
    let inner = json!({"metadata": {"annotations": shown}}).to_string();
    world.refuses(Encoding::MergePatch, &json!({"metadata": {"annotations": {LAST_APPLIED: inner}}}));
}

/// Somebody adds a user at the front between a client's read and its write.
#[test]
fn m6_values_do_not_change_places_with_their_list() {
    let before = World::new(&[TOKENS], &login(&json!([{"name": "ann", "token": "CANARY-ann"}])));
    let now = json!([{"name": "carol", "token": "CANARY-carol"}, {"name": "ann", "token": "CANARY-ann"}]);
    let now = World::new(&[TOKENS], &login(&now));
    let users = before.shown("/spec/users");
    now.refuses(Encoding::MergePatch, &login(&users));
    let body = json!([{"op": "replace", "path": "/spec/users", "value": users}]);
    now.refuses(Encoding::JsonPatch, &body);
}

#[test]
fn m6_elements_without_names_are_known_by_all_that_is_seen_of_them() {
    let user = |id: u64, token: &str| json!({"id": id, "token": token});
    let world = World::new(&[TOKENS], &login(&json!([user(1, "CANARY-1"), user(2, "CANARY-2")])));
    let code = world.shown("/spec/users/1/token");
    let code = code.as_str().unwrap();
    let sent = world.sent(Encoding::MergePatch, &login(&json!([user(7, "x"), user(2, code)])));
    assert_eq!(sent, Ok(login(&json!([user(7, "x"), user(2, "CANARY-2")]))));
    world.refuses(Encoding::MergePatch, &login(&json!([user(1, "x"), user(3, code)])));
    world.refuses(Encoding::MergePatch, &login(&json!([user(1, "x"), {"id": 2, "token": code, "url": "x"}])));
    // Of texts nothing is seen: the list is as long as it was, or the object in the state that it was read in.
    let mut live = login(&json!([]));
    live["metadata"]["resourceVersion"] = json!("5");
    live["spec"]["arguments"] = json!(["CANARY-1", "CANARY-2"]);
    let world = World::new(&["spec.arguments"], &live);
    let shown = world.shown("/spec/arguments");
    let more = json!([shown[0], shown[1], "more"]);
    world.refuses(Encoding::MergePatch, &json!({"spec": {"arguments": more}}));
    let pinned = json!({"metadata": {"resourceVersion": "5"}, "spec": {"arguments": more}});
    assert_eq!(
        world.sent(Encoding::MergePatch, &pinned).unwrap()["spec"]["arguments"],
        json!(["CANARY-1", "CANARY-2", "more"])
    );
    let older = json!({"metadata": {"resourceVersion": "4"}, "spec": {"arguments": more}});
    world.refuses(Encoding::MergePatch, &older);
    let changed = json!({"spec": {"arguments": [shown[0], "other"]}});
    assert_eq!(world.sent(Encoding::MergePatch, &changed).unwrap()["spec"]["arguments"], json!(["CANARY-1", "other"]));
}

/// A name that is masked itself may be written as it was shown, and not guessed.
#[test]
fn m5_masked_names_are_no_oracle() {
    let world = World::new(&["spec.users"], &login(&json!([{"name": "CANARY-ann", "token": "CANARY-token"}])));
    let users = world.shown("/spec/users");
    let back = world.sent(Encoding::Json, &login(&users));
    assert_eq!(back, Ok(login(&json!([{"name": "CANARY-ann", "token": "CANARY-token"}]))));
    for guess in ["CANARY-ann", "CANARY-bob"] {
        world.refuses(Encoding::Json, &login(&json!([{"name": guess, "token": users[0]["token"]}])));
    }
}

/// What is masked for what it is goes nowhere by policy's word on other fields.
#[test]
fn m5_an_embedded_secret_that_becomes_another_kind_gets_no_value() {
    let object = |kind: &str, value: &Value| {
        let mut object = login(&json!([]));
        object["spec"]["manifests"] = json!([{"kind": kind, "apiVersion": "v1", "data": {"password": value}}]);
        object
    };
    let world = World::new(&[TOKENS], &object("Secret", &json!(CANARY)));
    let code = world.shown("/spec/manifests/0/data/password");
    for kind in ["Secret", "Sekret"] {
        world.refuses(Encoding::Json, &object(kind, &code));
    }
}

#[test]
fn m6_numbers_and_flags_come_back_as_they_are() {
    let mut live = login(&json!([]));
    live["spec"]["pin"] = json!({"code": 4711, "on": true, "rate": 0.5, "none": null, "texts": ["x"]});
    let world = World::new(&["spec.pin"], &live);
    let shown = world.shown("");
    assert_eq!(world.sent(Encoding::Json, &shown), Ok(live.clone()));
    let mut applied = shown.clone();
    applied["metadata"]["annotations"] = json!({LAST_APPLIED: shown.to_string()});
    let sent = world.sent(Encoding::Json, &applied).unwrap();
    let document = sent["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(document).unwrap(), live);
}

/// Elements that look the same: somebody adds one at the front between a client's read and its write, and none gets the value of another.
#[test]
fn m6_elements_that_look_the_same_do_not_change_places() {
    let user = |token: &Value| json!({"role": "admin", "token": token});
    let users = |tokens: &[&str]| {
        let mut live = login(&json!(tokens.iter().map(|token| user(&json!(token))).collect::<Vec<_>>()));
        live["metadata"]["resourceVersion"] = json!("5");
        live
    };
    let before = World::new(&[TOKENS], &users(&["CANARY-a", "CANARY-b"]));
    let shown = before.shown("/spec/users");
    for now in [users(&["CANARY-x", "CANARY-a", "CANARY-b"]), users(&["CANARY-b"])] {
        let now = World::new(&[TOKENS], &now);
        now.refuses(Encoding::MergePatch, &json!({"spec": {"users": shown}}));
        now.refuses(Encoding::JsonPatch, &json!([{"op": "replace", "path": "/spec/users", "value": shown}]));
    }
    // Of a list that is as long as it was, or of the state that was read, each has its own.
    let real = users(&["CANARY-a", "CANARY-b"])["spec"].clone();
    assert_eq!(before.sent(Encoding::MergePatch, &json!({"spec": {"users": shown}})).unwrap()["spec"], real);
    let mut more = shown;
    more.as_array_mut().unwrap().push(json!({"role": "admin", "token": "new"}));
    before.refuses(Encoding::MergePatch, &json!({"spec": {"users": more}}));
    let pinned = json!({"metadata": {"resourceVersion": "5"}, "spec": {"users": more}});
    assert_eq!(before.sent(Encoding::MergePatch, &pinned).unwrap()["spec"]["users"][1], real["users"][1]);
    // One that looks like no other is known in a longer list, too.
    let mut live = users(&["CANARY-a"]);
    live["spec"]["users"].as_array_mut().unwrap().push(json!({"role": "guest", "token": "CANARY-guest"}));
    let world = World::new(&[TOKENS], &live);
    let mut more = world.shown("/spec/users");
    more.as_array_mut().unwrap().push(json!({"role": "guest", "token": "new"}));
    let sent = world.sent(Encoding::MergePatch, &json!({"spec": {"users": more}})).unwrap();
    assert_eq!(sent["spec"]["users"][1]["token"], "CANARY-guest");
}

/// What takes a time that grows with the square of what is written takes minutes here.
#[test]
fn p12_lists_that_have_moved_are_gone_through_once() {
    let patterns = ["password", "passwd", "secret", "token", "credential", "database*url"]
        .map(|name| format!("spec.containers[*].env[name=*{name}*].value"));
    let patterns = patterns.each_ref().map(String::as_str);
    let variable = |at: usize| json!({"name": format!("DATABASE_URL_{at:05}"), "value": "CANARY"});
    let mut env: Vec<Value> = (0..8000).map(variable).collect();
    let world = World::new(&patterns, &pod(&json!(env)));
    let mut shown = world.shown("/spec/containers/0/env").as_array().unwrap().clone();
    let first = json!({"name": "FIRST", "value": "1"});
    shown.insert(0, first.clone());
    env.insert(0, first);
    assert_eq!(world.sent(Encoding::Json, &pod(&json!(shown))), Ok(pod(&json!(env))));
    // One element with many values, some of them lists of one element.
    let mut pin = json!((0..8000).map(|at| at.to_string()).collect::<Vec<_>>());
    for _ in 0..50 {
        pin = json!([pin]);
    }
    let mut live = login(&json!([]));
    live["spec"]["pin"] = pin;
    let world = World::new(&["spec.pin"], &live);
    assert_eq!(world.sent(Encoding::Json, &world.shown("")), Ok(live));
}
