//! What charts and scripts make of placeholders that they take for values.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use shared::limits;

use super::releases::{World, manifest, name, release, stored, write};
use super::*;

/// What sprig's `htpasswd` gives for a placeholder.
const REFUSED: &str = "admin:failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes";
const HASHED: &str = "as a hash";
const UNHASHED: &str = "could not hash";

/// All that are known of a placeholder, with what they are.
fn digests(code: &str) -> Vec<(String, String)> {
    let sentence = decoded(&json!(code));
    let mut all = Vec::new();
    for (what, text) in [("sentence", sentence.as_str()), ("base64", code)] {
        for end in ["", "\n"] {
            for (hash, algorithm) in [("sha1", &SHA1_FOR_LEGACY_USE_ONLY), ("sha256", &SHA256), ("sha512", &SHA512)] {
                let digest = digest(algorithm, format!("{text}{end}").as_bytes());
                let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                let what = format!("{hash} of {what}{end:?}");
                all.push((format!("{what} in hex"), hex.clone()));
                all.push((format!("{what} in capitals"), hex.to_uppercase()));
                all.push((format!("{what} in base64"), STANDARD.encode(digest)));
            }
        }
    }
    all
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A release whose chart looked the password up and put something of its own beside it.
fn with(code: &str, place: &str, made: &Value) -> Value {
    let mut release = release(3, "not-a-secret-word");
    release["manifest"] = json!(manifest(code));
    *release.pointer_mut(place).unwrap() = made.clone();
    release
}

/// The manifest with another line in it.
fn beside(code: &str, from: &str, to: &str) -> Value {
    json!(manifest(code).replacen(from, to, 1))
}

#[test]
fn m6_each_digest_is_found_wherever_it_stands_in_a_release() {
    let world = World::new();
    let code = world.shown_of("db");
    let digests = digests(&code);
    assert_eq!(digests.len(), 36);
    for (what, made) in digests {
        let field = |text: &str| beside(&code, "\ndata:\n", &format!("\ndata:\n  made: {}\n", STANDARD.encode(text)));
        let plain = format!("\nstringData:\n  made: 'user:{{SHA}}{made}'\ndata:\n");
        let map = format!("a: 'x{made}y'");
        for (place, made, field) in [
            ("/manifest", field(&made), "/manifest/Secret/db/data/made"),
            ("/manifest", field(&format!("user:{{SHA}}{made}\n")), "/manifest/Secret/db/data/made"),
            ("/manifest", field(&STANDARD.encode(&made)), "/manifest/Secret/db/data/made"),
            ("/manifest", beside(&code, "\ndata:\n", &plain), "/manifest/Secret/db/stringData/made"),
            ("/manifest", beside(&code, "a: b", &map), "/manifest/ConfigMap/map/data/a"),
            ("/manifest", beside(&code, "a: b", &format!("{made}: b")), "/manifest/ConfigMap/map/data/"),
            ("/hooks/0/manifest", beside("AAAA", "a: b", &map), "/hooks/0/manifest/ConfigMap/map/data/a"),
            ("/info/notes", json!(format!("It is {made}.")), "/info/notes"),
            ("/config", json!({"hashes": [made]}), "/config/hashes/0"),
            ("/chart/values", json!({"hash": made}), "/chart/values/hash"),
        ] {
            let refused = world.store("POST", 3, &with(&code, place, &made)).unwrap_err();
            assert!(refused.contains(HASHED), "{what}: {made}: {refused}");
            assert!(refused.contains(&format!("the field /data/release{field}")), "{what}: {made}: {refused}");
        }
    }
}

/// Of a Secret that was looked up, and of what was read beside it.
#[test]
fn m6_digests_of_what_was_shown_beside_it_are_found() {
    let mut world = World::new();
    world.0[0].1["data"]["other"] = json!("b3RoZXItdmFsdWU=");
    let shown = world.shown("db");
    let (code, other) = (world.shown_of("db"), decoded(&shown["data"]["other"]));
    let made = beside(&code, "a: b", &format!("a: {}", sha256(&other)));
    let refused = world.store("POST", 3, &with(&code, "/manifest", &made)).unwrap_err();
    assert!(refused.contains("/manifest/ConfigMap/map/data/a"), "{refused}");
    // Cut, as for a password of limited length.
    let made = beside(&code, "a: b", &format!("a: {}", sha256(&other).get(..20).unwrap()));
    assert!(world.store("POST", 3, &with(&code, "/manifest", &made)).unwrap_err().contains(HASHED));
    // Of a text in a revision, which is reused.
    let config = world.shown_release(2)["config"]["password"].as_str().unwrap().to_owned();
    let mut release = world.shown_release(2);
    release["info"]["notes"] = json!(sha256(&config));
    let refused = world.store("POST", 3, &release).unwrap_err();
    assert!(refused.contains("/data/release/info/notes") && refused.contains(HASHED), "{refused}");
}

#[test]
fn m6_what_bcrypt_refused_is_found() {
    let world = World::new();
    let code = world.shown_of("db");
    let field = format!("\ndata:\n  auth: {}\n", STANDARD.encode(REFUSED));
    let plain = format!("\nstringData:\n  auth: '{REFUSED}'\ndata:\n");
    for (from, to, field) in [
        ("\ndata:\n", field.as_str(), "/manifest/Secret/db/data/auth"),
        ("\ndata:\n", &plain, "/manifest/Secret/db/stringData/auth"),
        ("a: b", &format!("a: '{REFUSED}'"), "/manifest/ConfigMap/map/data/a"),
    ] {
        let refused = world.store("POST", 3, &with(&code, "/manifest", &beside(&code, from, to))).unwrap_err();
        assert!(refused.contains(UNHASHED), "{refused}");
        assert!(refused.contains(&format!("the field /data/release{field}")), "{refused}");
        // A chart that stores nothing else of the value: the release has no placeholder.
        let none = beside("AAAA", from, to);
        let refused = world.store("POST", 3, &with("AAAA", "/manifest", &none)).unwrap_err();
        assert!(refused.contains("the field /data/release/manifest holds") && refused.contains(UNHASHED), "{refused}");
        let refused = world.store("POST", 3, &with("AAAA", "/hooks/0/manifest", &none)).unwrap_err();
        assert!(refused.contains("/data/release/hooks/0/manifest"), "{refused}");
    }
    let refused = world.store("POST", 3, &with("AAAA", "/info/notes", &json!(REFUSED))).unwrap_err();
    assert!(refused.contains("/data/release/info/notes"), "{refused}");
    // A chart that asks whether a text is that sentence has made none.
    let template = json!([{"name": "t", "data": STANDARD.encode(REFUSED)}]);
    for code in [code.as_str(), "AAAA"] {
        world.store("POST", 3, &with(code, "/chart/templates", &template)).unwrap();
    }
}

/// What stands in a release already is brought back by a rollback, and marked superseded.
#[test]
fn what_stands_there_already_passes() {
    let mut world = World::new();
    let code = world.shown_of("db");
    for made in [REFUSED.to_owned(), sha256(&code)] {
        let mut document = release(2, PASSWORD);
        let line = format!("a: '{made}'");
        document["manifest"] = json!(document["manifest"].as_str().unwrap().replace("a: b", &line));
        world.0[2].1 = stored(2, &document);
        let shown = world.shown_release(2);
        assert!(shown["manifest"].as_str().unwrap().contains(&made), "{shown}");
        assert_eq!(world.store("PUT", 2, &shown).unwrap(), document);
        assert_eq!(world.store("POST", 3, &shown).unwrap(), document);
        // One without a placeholder.
        let without = with("AAAA", "/manifest", &json!(manifest("AAAA").replace("a: b", &line)));
        world.store("PUT", 3, &without).unwrap();
    }
}

#[test]
fn other_digests_pass() {
    let world = World::new();
    let code = world.shown_of("db");
    let sentence = decoded(&json!(code));
    for text in [
        "another text".to_owned(),
        String::new(),
        // A whole template, as `checksum/secret` has it.
        manifest(&code),
        manifest(&sentence),
        code.get(..64).unwrap().to_owned(),
    ] {
        let made = sha256(&text);
        for (from, to) in [
            ("\ndata:\n", format!("\ndata:\n  made: {}\n", STANDARD.encode(&made))),
            ("a: b", format!("a: {made}")),
            ("  name: map\n", format!("  name: map\n  annotations:\n    checksum/secret: {made}\n")),
        ] {
            world.store("POST", 3, &with(&code, "/manifest", &beside(&code, from, &to))).unwrap();
        }
    }
    // Nobody logs in with a checksum, whatever it is of.
    let pod = |place: &str, name: &str| {
        format!(
            "  name: map\nspec:\n  template:\n    metadata:\n      {place}:\n        {name}: {}\n",
            sha256(&sentence).get(..60).unwrap()
        )
    };
    let stored = |place: &str, name: &str| {
        world.store("POST", 3, &with(&code, "/manifest", &beside(&code, "  name: map\n", &pod(place, name))))
    };
    stored("annotations", "checksum/password").unwrap();
    stored("labels", "checksum").unwrap();
    let field = "/ConfigMap/map/spec/template/metadata/annotations/auth";
    assert!(stored("annotations", "auth").unwrap_err().contains(field));
    assert!(stored("other", "checksum").unwrap_err().contains(HASHED));
}

/// A Secret itself, whichever way it is written, by kubectl and by helm 4.
#[test]
fn m6_digests_in_a_secret_that_is_written_are_found() {
    let shown = shown(&live());
    let code = shown["data"]["password"].as_str().unwrap();
    let merge = "application/merge-patch+json";
    for (what, made) in digests(code).into_iter().chain([("bcrypt".to_owned(), REFUSED.to_owned())]) {
        let encoded = STANDARD.encode(&made);
        let expected = if made == REFUSED { UNHASHED } else { HASHED };
        let mut whole = shown.clone();
        whole["data"]["auth"] = json!(encoded);
        for (method, content_type, body, field) in [
            ("PUT", "application/json", whole.clone(), "/data/auth"),
            ("PATCH", "application/apply-patch+yaml", whole.clone(), "/data/auth"),
            ("PATCH", merge, json!({"data": {"user": shown["data"]["user"], "auth": encoded}}), "/data/auth"),
            (
                "PATCH",
                merge,
                json!({"data": {"password": code}, "stringData": {"auth": format!("a:{{SHA}}{made}")}}),
                "/stringData/auth",
            ),
            (
                "PATCH",
                "application/json-patch+json",
                json!([
                    {"op": "replace", "path": "/data/password", "value": code},
                    {"op": "add", "path": "/data/auth", "value": encoded},
                ]),
                "/1/value",
            ),
        ] {
            let request = request(method, SECRET, content_type, body.to_string());
            let Err(FinishError::Restore(refused)) = finished(&request, Some(&live())) else {
                panic!("{what}: {content_type}")
            };
            assert_eq!(refused.field, field, "{what}");
            assert!(refused.to_string().contains(expected), "{what}: {refused}");
        }
    }
    let mut other = shown.clone();
    other["data"]["auth"] = json!(STANDARD.encode(sha256("another text")));
    sent(&request("PUT", SECRET, "application/json", other.to_string()), &live());
}

/// That it is refused says nothing of a value: it is the same with any, and also where none would be put back.
#[test]
fn m5_a_digest_of_a_placeholder_is_no_question() {
    let told = |password: &str, written: &str| {
        let mut world = World::new();
        world.0[0].1["data"]["password"] = json!(STANDARD.encode(password));
        let code = world.shown_of("db");
        let made = beside(&code, "a: b", &format!("a: {}\n  guess: {written}", sha256(&code)));
        world.store("POST", 3, &with(&code, "/manifest", &made)).unwrap_err()
    };
    let first = told(PASSWORD, PASSWORD);
    assert!(first.contains(HASHED));
    assert_eq!(first, told(PASSWORD, "canary-another-guess"));
    assert_eq!(first, told("canary-another-value", PASSWORD));
}

/// As many as a release may have, in a long text.
#[test]
fn p12_digests_of_many_are_found_in_one_pass() {
    let many = limits::RELEASE_PLACEHOLDERS - 6;
    let mut world = World::new();
    let keys: Vec<String> = (0..many).map(|n| format!("k{n:03}")).collect();
    for key in &keys {
        world.0[0].1["data"][key] = json!(STANDARD.encode(format!("canary-value-{key}")));
    }
    let shown = world.shown("db");
    let fields: String =
        keys.iter().map(|key| format!("  {key}: {}\n", shown["data"][key].as_str().unwrap())).collect();
    let last = shown["data"][keys.last().unwrap()].as_str().unwrap();
    let text = format!("a: '{}{}'", "0123456789abcdef ".repeat(100_000), sha256(last));
    let manifest = manifest(last).replacen("  password", "  k249", 1);
    let manifest = manifest.replace("data:\n  k249", &format!("data:\n{fields}  k249x")).replace("a: b", &text);
    let mut written = release(3, "not-a-secret-word");
    written["manifest"] = json!(manifest);
    let refused = world.send(&write("POST", 3, &written)).unwrap_err();
    assert!(refused.contains("/manifest/ConfigMap/map/data/a holds") && refused.contains(HASHED), "{refused}");
    assert!(world.0.iter().all(|(own, _)| *own != name(3)));
}
