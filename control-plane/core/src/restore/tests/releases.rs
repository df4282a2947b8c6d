//! helm's releases on their way back, as helm writes them: what is stored must be what helm would have written without us.

use proptest::prelude::*;

use super::*;
use crate::mask::release::tests::{clean, field, opened};
use crate::mask::{contains_placeholder, is_placeholder};

mod hostile;

const OLD: &str = "canary-old-4711";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// What the cluster holds: Secrets by name.
pub(super) struct World(pub(super) Vec<(String, Value)>);

impl World {
    /// The Secret `db` as it is today, and two revisions of the release: the first with an older value.
    pub(super) fn new() -> Self {
        let mut db = live();
        db["metadata"]["annotations"] =
            json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"});
        Self(vec![
            ("db".to_owned(), db),
            (name(1), stored(1, &release(1, OLD))),
            (name(2), stored(2, &release(2, PASSWORD))),
        ])
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, secret)| secret)
    }

    /// As a client is shown it.
    pub(super) fn shown(&self, name: &str) -> Value {
        let path = format!("{SECRETS}/{name}");
        let shown = read(self.get(name).unwrap(), &context(&path)).masked().clone();
        for value in [OLD, PASSWORD] {
            assert!(!shown.to_string().contains(&STANDARD.encode(value)), "{shown}");
        }
        shown
    }

    /// What stands in the place of its password.
    pub(super) fn shown_of(&self, name: &str) -> String {
        self.shown(name)["data"]["password"].as_str().unwrap().to_owned()
    }

    pub(super) fn shown_release(&self, revision: u64) -> Value {
        let shown = opened(&self.shown(&name(revision)));
        clean(&shown, OLD);
        clean(&shown, PASSWORD);
        shown
    }

    /// What becomes of a request with what the agent reads for it.
    fn with_reads<T>(
        &self,
        request: &Request,
        make: impl FnOnce(&Carried, Reads<'_>, &MaskContext) -> T,
    ) -> Result<T, String> {
        let carried = Carried::of(request).map_err(|error| error.to_string())?;
        let own = carried.needed().map(|info| (info.path(), info.name.clone()));
        let read_one = |path: &str, name: &str| self.get(name).map(|secret| read(secret, &context(path)));
        let live = own.as_ref().and_then(|(path, name)| read_one(path, name));
        let context = context(&request.info().path());
        let more: Vec<_> = carried
            .further(request, live.as_ref(), &context)
            .iter()
            .filter_map(|info| read_one(&info.path(), &info.name))
            .collect();
        Ok(make(&carried, Reads { live: live.as_ref(), more: &more }, &context))
    }

    /// What is sent of a request, as the agent does it.
    pub(super) fn send(&self, request: &Request) -> Result<Value, String> {
        let finished = self.with_reads(request, |carried, reads, context| {
            finish(request.wire().clone(), request.body(), carried, &VersionPin::None, reads, context)
        });
        match finished? {
            Ok(finished) => serde_json::from_slice(finished.request.body()).map_err(|error| error.to_string()),
            Err(FinishError::Restore(error)) => Err(error.to_string()),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Whether the agent counts it among those that tell something.
    fn compares(&self, request: &Request) -> bool {
        self.with_reads(request, |carried, reads, _| carried.compares(reads)).unwrap()
    }

    /// The release that is stored when this one is written.
    pub(super) fn store(&self, method: &str, revision: u64, document: &Value) -> Result<Value, String> {
        let sent = self.send(&write(method, revision, document))?;
        assert_eq!(sent["type"], "helm.sh/release.v1");
        Ok(opened(&sent))
    }
}

pub(super) fn name(revision: u64) -> String {
    format!("sh.helm.release.v1.web.v{revision}")
}

pub(super) fn stored(revision: u64, document: &Value) -> Value {
    json!({
        "kind": "Secret", "apiVersion": "v1", "type": "helm.sh/release.v1", "data": {"release": field(document)},
        "metadata": {"name": name(revision), "namespace": "default", "uid": "u", "resourceVersion": "5"},
    })
}

pub(super) fn write(method: &str, revision: u64, document: &Value) -> Request {
    let body = json!({
        "kind": "Secret", "apiVersion": "v1", "type": "helm.sh/release.v1", "data": {"release": field(document)},
        "metadata": {"name": name(revision), "labels": {"owner": "helm"}},
    });
    let target = if method == "POST" { SECRETS.to_owned() } else { format!("{SECRETS}/{}", name(revision)) };
    request(method, &target, "application/json", body.to_string())
}

pub(super) fn manifest(password: &str) -> String {
    format!(
        "---\n# Source: web/templates/secret.yaml\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {password} # kept\n---\n# Source: web/templates/map.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map\ndata:\n  a: b\n"
    )
}

pub(super) fn release(revision: u64, password: &str) -> Value {
    json!({
        "name": "web", "version": revision, "namespace": "default", "manifest": manifest(&STANDARD.encode(password)),
        "hooks": [{"name": "hook", "manifest": manifest(&STANDARD.encode(password)).replace("name: db", "name: hook"), "last_run": {"phase": ""}}],
        "info": {"status": "deployed", "notes": format!("The password is {password}."), "description": "Install complete"},
        "config": {"password": password, "n": 1.5},
        "chart": {"metadata": {"name": "web"}, "values": {"password": ""}, "templates": [{"name": "t", "data": STANDARD.encode(format!("# {password}"))}]},
    })
}

/// An upgrade marks the revision before as superseded, with all that it was shown of it.
#[test]
fn m7_a_revision_comes_back_as_it_was_shown() {
    let world = World::new();
    let mut shown = world.shown_release(2);
    shown["info"]["status"] = json!("superseded");
    let mut expected = release(2, PASSWORD);
    expected["info"]["status"] = json!("superseded");
    assert_eq!(world.store("PUT", 2, &shown).unwrap(), expected);
    // Under the state that was read.
    let sent = world.send(&write("PUT", 2, &shown)).unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "5");
}

/// One that was not packed, whose placeholders can be seen through base64 of base64.
#[test]
fn m7_a_release_that_is_not_packed_comes_back_too() {
    let world = World::new();
    let plain = |document: &Value| STANDARD.encode(STANDARD.encode(document.to_string()));
    let shown = world.shown_release(2);
    let mut body = stored(2, &shown);
    body["data"]["release"] = json!(plain(&shown));
    let put = |body: &Value| request("PUT", &format!("{SECRETS}/{}", name(2)), "application/json", body.to_string());
    let sent = world.send(&put(&body)).unwrap();
    assert_eq!(opened(&sent), release(2, PASSWORD));
    // What only looks like one is refused.
    body["data"]["release"] = json!(format!("{}x", plain(&shown)));
    assert!(world.send(&put(&body)).unwrap_err().contains("/data/release"));
}

/// An upgrade whose chart looked the password up.
#[test]
fn m7_a_looked_up_value_is_stored_as_it_is() {
    let world = World::new();
    let shown = world.shown("db");
    let code = shown["data"]["password"].as_str().unwrap();
    let mut release = release(3, "not-a-secret-word");
    let plain = decoded(&shown["data"]["password"]);
    for (written, real) in [
        (manifest(code), manifest(&STANDARD.encode(PASSWORD))),
        (manifest(&format!("\"{code}\"")), manifest(&format!("\"{}\"", STANDARD.encode(PASSWORD)))),
        (
            manifest(&format!("'{plain}'")).replace("data:\n  password", "stringData:\n  password"),
            manifest(&format!("'{PASSWORD}'")).replace("data:\n  password", "stringData:\n  password"),
        ),
    ] {
        release["manifest"] = json!(written);
        let mut expected = release.clone();
        expected["manifest"] = json!(real);
        assert_eq!(world.store("POST", 3, &release).unwrap(), expected);
    }
}

/// A value that YAML would take for something else goes in with quotes.
#[test]
fn m7_values_stay_texts() {
    for value in ["1234567890", "null", "a: \"b\"\n# c", "é\u{1}", "~"] {
        let mut world = World::new();
        world.0[0].1["data"]["password"] = json!(STANDARD.encode(value));
        let shown = world.shown("db");
        let mut release = release(3, "not-a-secret-word");
        for (section, text) in [
            ("data", shown["data"]["password"].as_str().unwrap().to_owned()),
            ("stringData", decoded(&shown["data"]["password"])),
        ] {
            for quote in ["", "\"", "'"] {
                if quote.is_empty() && section == "stringData" {
                    continue; // The sentence itself needs quotes in YAML.
                }
                release["manifest"] = json!(
                    manifest(&format!("{quote}{text}{quote}"))
                        .replace("data:\n  password", &format!("{section}:\n  password"))
                );
                let stored = world.store("POST", 3, &release).unwrap();
                let pieces = crate::mask::release::pieces(stored["manifest"].as_str().unwrap()).unwrap();
                let real = if section == "data" { STANDARD.encode(value) } else { value.to_owned() };
                assert_eq!(pieces[0].document.as_ref().unwrap()[section]["password"], json!(real), "{quote}");
            }
        }
    }
}

/// A rollback copies the older revision, and writes the Secret as it was there.
#[test]
fn m7_a_rollback_brings_the_older_value_back() {
    let world = World::new();
    let mut shown = world.shown_release(1);
    shown["version"] = json!(3);
    shown["info"]["description"] = json!("Rollback to 1");
    let mut expected = release(1, OLD);
    expected["version"] = json!(3);
    expected["info"]["description"] = json!("Rollback to 1");
    assert_eq!(world.store("POST", 3, &shown).unwrap(), expected);

    let text = shown["manifest"].as_str().unwrap();
    let secret = crate::mask::release::pieces(text).unwrap()[0].document.clone().unwrap();
    let code = secret["data"]["password"].clone();
    let real = json!(STANDARD.encode(OLD));
    let path = format!("{SECRETS}/db");
    for (content_type, body, place) in [
        ("application/strategic-merge-patch+json", json!({"data": {"password": code}}), "/data/password"),
        (
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/data/password", "value": code}]),
            "/1/value",
        ),
        (
            "application/apply-patch+yaml",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": code}}),
            "/data/password",
        ),
    ] {
        let sent = world.send(&request("PATCH", &path, content_type, body.to_string())).unwrap();
        assert_eq!(sent.pointer(place), Some(&real), "{content_type}: {sent}");
    }
    // Also where the Secret is gone.
    let mut world = World::new();
    world.0.remove(0);
    let mut whole = secret;
    whole["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"});
    let sent = world.send(&request("POST", SECRETS, "application/json", whole.to_string())).unwrap();
    assert_eq!(sent["data"]["password"], real);
}

/// `--reuse-values`: the password that a user gave is in the values that are used again, and in what is rendered from them.
#[test]
fn m7_values_are_used_again() {
    let world = World::new();
    let shown = world.shown_release(2);
    let mut next = release(3, "not-a-secret-word");
    let plain = shown["config"]["password"].as_str().unwrap();
    next["config"]["password"] = json!(plain);
    next["chart"]["values"]["password"] = json!(plain);
    next["info"]["notes"] = json!(format!("The new key is {plain}, and {plain}"));
    next["hooks"] = json!(null);
    next["manifest"] = json!(manifest(&STANDARD.encode(plain)));
    let mut expected = next.clone();
    expected["config"]["password"] = json!(PASSWORD);
    expected["info"]["notes"] = json!(format!("The new key is {PASSWORD}, and {PASSWORD}"));
    expected["chart"]["values"]["password"] = json!(PASSWORD);
    expected["manifest"] = json!(manifest(&STANDARD.encode(PASSWORD)));
    assert_eq!(world.store("POST", 3, &next).unwrap(), expected);
}

/// What a user gave once may be in several Secrets. It goes where it is already, by the revision that has it.
#[test]
fn m7_a_users_value_goes_where_it_is_already() {
    let world = World::new();
    let code = world.shown_release(2)["config"]["password"].as_str().unwrap().to_owned();
    let older = world.shown_release(1)["config"]["password"].as_str().unwrap().to_owned();
    let patch = |key: &str, value: &str| {
        let patch = json!({"stringData": {key: value}});
        let target = format!("{SECRETS}/db");
        world.send(&request("PATCH", &target, "application/merge-patch+json", patch.to_string()))
    };
    assert_eq!(patch("password", &code).unwrap()["stringData"]["password"], PASSWORD);
    assert_eq!(patch("password", &older).unwrap()["stringData"]["password"], OLD, "as the field was in that revision");
    for (key, value) in [("user", &code), ("new", &code), ("user", &older)] {
        let refused = patch(key, value).unwrap_err();
        assert!(
            refused.contains(&format!("/stringData/{key} holds a placeholder")) && refused.contains("another"),
            "{refused}"
        );
    }
    // Two Secrets in one release.
    let mut next = world.shown_release(2);
    next["version"] = json!(3);
    for (pointer, name) in [("/manifest", "db"), ("/hooks/0/manifest", "hook")] {
        let text = manifest(&STANDARD.encode(&code)).replace("name: db", &format!("name: {name}"));
        *next.pointer_mut(pointer).unwrap() = json!(text);
    }
    let mut expected = release(2, PASSWORD);
    expected["version"] = json!(3);
    assert_eq!(world.store("POST", 3, &next).unwrap(), expected);
}

#[test]
fn m7_nothing_is_moved() {
    let world = World::new();
    let old = world.shown_release(1);
    let code = world.shown_of("db");
    let plain = decoded(&json!(code));
    let fresh = || release(3, "not-a-secret-word");
    let with = |pointer: &str, value: Value| {
        let mut release = fresh();
        *release.pointer_mut(pointer).unwrap() = value;
        release
    };
    // Put back as it was shown, in a release that would no longer hide it.
    let bare = |pointer: &str| with(pointer, old.pointer(pointer).unwrap().clone());
    let users = old["config"]["password"].as_str().unwrap();
    let secret = |from: &str, to: &str| with("/manifest", json!(manifest(&code).replace(from, to)));
    for (what, release, field) in [
        ("a user's value", with("/config/password", json!(plain)), "/data/release/config/password"),
        ("the notes", with("/info/notes", json!(code)), "/data/release/info/notes"),
        ("a name", with("/name", json!(code)), "/data/release/name"),
        ("another Secret", secret("name: db", "name: other"), "/data/release/manifest/Secret/other/data/password"),
        ("another namespace", secret("name: db", "name: db\n  namespace: x"), "/Secret/db/data/password"),
        ("another field", secret("password:", "pass:"), "/data/release/manifest/Secret/db/data/pass"),
        (
            "another kind",
            secret("kind: Secret", "kind: ConfigMap"),
            "/data/release/manifest/ConfigMap/db/data/password",
        ),
        ("a label", secret("name: db", &format!("name: db\n  labels: {{a: {code}}}")), "/metadata/labels/a"),
        ("a longer text", secret(&code, &format!("{code}{code}")), "/Secret/db/data/password"),
        ("encoded again", secret(&code, &STANDARD.encode(&code)), "/Secret/db/data/password"),
        ("YAML that nobody reads", secret("kind: Secret", "kind: Secret\nx: &y z"), "/data/release/manifest"),
        ("notes without their Secret", bare("/info/notes"), "/data/release/info/notes"),
        (
            "notes with a value of nowhere",
            with("/info/notes", json!(format!("it is {users}"))),
            "/data/release/info/notes",
        ),
        ("a value without its Secret", bare("/config/password"), "/data/release/config/password"),
        ("a template without its Secret", bare("/chart/templates/0/data"), "/data/release/chart/templates/0/data"),
    ] {
        let refused = world.store("POST", 3, &release).unwrap_err();
        assert!(refused.contains(field), "{what}: {refused}");
        assert!(!refused.contains(PASSWORD) && !refused.contains(OLD));
    }
}

/// What would store a mask that nobody could look into.
#[test]
fn m7_payloads_that_can_not_be_read_are_refused() {
    let world = World::new();
    let mut masked = world.shown_release(2);
    masked["version"] = json!(2);
    let path = format!("{SECRETS}/{}", name(2));
    let inner = String::from_utf8(STANDARD.decode(field(&masked)).unwrap()).unwrap();
    let merge = "application/merge-patch+json";
    for (method, content_type, body) in [
        (
            "PUT",
            "application/json",
            json!({"metadata": {"name": name(2)}, "data": {"release": STANDARD.encode("no release")}}),
        ),
        ("PUT", "application/json", json!({"metadata": {"name": name(2)}, "stringData": {"release": inner}})),
        ("PATCH", merge, json!({"data": {"release": "AAAA"}})),
        (
            "PATCH",
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/data/release", "value": field(&masked)}]),
        ),
        (
            "PATCH",
            "application/json-patch+json",
            json!([{"op": "add", "path": "/data", "value": {"release": field(&masked)}}]),
        ),
    ] {
        let refused = world.send(&request(method, &path, content_type, body.to_string())).unwrap_err();
        assert!(refused.contains("can't be read as a release"), "{refused}");
    }
    // A label is no business of ours.
    let label = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
    assert!(world.send(&request("PATCH", &path, "application/json-patch+json", label.to_string())).is_ok());
    let patch = json!({"data": {"release": field(&masked)}});
    let sent = world.send(&request("PATCH", &path, merge, patch.to_string())).unwrap();
    assert_eq!(opened(&sent), release(2, PASSWORD), "what can be looked into is put back");
}

/// The whole of a revision that was masked whole is a field like any other.
#[test]
fn m7_what_was_masked_whole_is_put_back_whole() {
    let mut world = World::new();
    let broken = STANDARD.encode(STANDARD.encode(b"\x1f\x8b\x08 broken"));
    world.0[1].1["data"]["release"] = json!(broken);
    let shown = world.shown(&name(1));
    assert!(is_placeholder(shown["data"]["release"].as_str().unwrap()));
    let put = request("PUT", &format!("{SECRETS}/{}", name(1)), "application/json", shown.to_string());
    assert_eq!(world.send(&put).unwrap()["data"]["release"], json!(broken));
}

/// Nobody's placeholder is tried for ever, and what fits nothing has nothing read.
#[test]
fn m7_what_fits_nothing_reads_nothing() {
    let world = World::new();
    let other = keys_of(9);
    let context_of_others = context_with(other, SECRET);
    let forged = read(world.get("db").unwrap(), &context_of_others).masked()["data"]["password"].clone();
    let patch = json!({"data": {"password": forged}});
    let request = request("PATCH", &format!("{SECRETS}/db"), "application/merge-patch+json", patch.to_string());
    let context = context(&format!("{SECRETS}/db"));
    let live = read(world.get("db").unwrap(), &context);
    assert!(Carried::of(&request).unwrap().further(&request, Some(&live), &context).is_empty());
    assert!(world.send(&request).unwrap_err().contains("another object or field"));
}

fn keys_of(byte: u8) -> PlaceholderKeys {
    PlaceholderKeys::new(PlaceholderKey::new([byte; 32]), None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// `restore(mask(x)) == x`, whatever the values and wherever they stand, in any later revision.
    #[test]
    fn m7_what_was_masked_of_a_release_is_put_back(
        values in prop::collection::btree_map("[a-z]{1,8}", "[ -~é\n]{0,30}", 0..4),
        numbers in prop::collection::vec(any::<i64>(), 0..3),
        plain in any::<bool>(),
        around in "[ -~]{0,6}",
        revision in 1_u64..4,
    ) {
        let section = if plain { "stringData" } else { "data" };
        let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\n{section}:\n  number: {}\n", numbers.first().copied().unwrap_or(0));
        for (key, value) in &values {
            let written = if plain { json!(value).to_string() } else { STANDARD.encode(value) };
            text.push_str(&format!("  {}: {written}\n", json!(key)));
        }
        let mut document = release(1, OLD);
        document["manifest"] = json!(text);
        document["config"] = json!({"values": values, "numbers": numbers, "text": values.values().map(|value| format!("{around}{value}{around}")).collect::<String>()});
        document["info"]["notes"] = json!(values.values().cloned().collect::<String>());
        let world = World(vec![(name(1), stored(1, &document))]);
        let shown = opened(&read(world.get(&name(1)).unwrap(), &context(&format!("{SECRETS}/{}", name(1)))).masked().clone());
        let method = if revision == 1 { "PUT" } else { "POST" };
        prop_assert!(revision == 1 || contains_placeholder(shown.to_string().as_bytes()));
        let mut next = shown;
        next["version"] = json!(revision);
        let mut expected = document;
        expected["version"] = json!(revision);
        prop_assert_eq!(world.store(method, revision, &next), Ok(expected));
    }
}

/// A user's password that is a part of a Secret's value.
#[test]
fn m7_a_part_of_a_value_comes_back_as_it_was_shown() {
    let mut world = World::new();
    let mut document = release(2, PASSWORD);
    document["manifest"] = json!(manifest(&STANDARD.encode("postgres://web:part-of-it-77@db:5432")));
    document["config"] = json!({"adminPassword": "part-of-it-77", "name": "web"});
    world.0[2].1 = stored(2, &document);
    let mut shown = world.shown_release(2);
    assert!(!shown.to_string().contains("part-of-it-77"), "{shown}");
    shown["info"]["status"] = json!("superseded");
    document["info"]["status"] = json!("superseded");
    assert_eq!(world.store("PUT", 2, &shown).unwrap(), document);
}
