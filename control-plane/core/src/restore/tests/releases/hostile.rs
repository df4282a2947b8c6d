//! Releases that helm never writes: to learn a value, or to take the agent's time and memory.

use shared::limits;

use super::*;

/// Guesses beside a value that is put back: whoever reads them back would see which one is hidden.
#[test]
fn m5_no_guess_stands_beside_a_value_that_is_put_back() {
    let world = World::new();
    let code = world.shown_of("db");
    let mut release = release(3, "not-a-secret-word");
    release["manifest"] = json!(manifest(&code));
    world.store("POST", 3, &release).unwrap();
    let guesses = json!(["canary-a-0000", PASSWORD, "canary-z-9999"]);
    let places = [
        ("/config", json!({"guesses": guesses})),
        ("/config", json!({"guess": format!("{}{PASSWORD}", "x".repeat(40))})),
        ("/chart/values", json!({"guesses": guesses})),
        ("/info/notes", json!(format!("one of {guesses}"))),
        ("/info/description", json!(PASSWORD)),
        ("/chart/templates", json!([{"name": "t", "data": STANDARD.encode(guesses.to_string())}])),
        ("/manifest", json!(manifest(&code).replace("a: b", &format!("a: {PASSWORD}")))),
        (
            "/manifest",
            json!(manifest(&code).replace("name: db\n", &format!("name: db\n  labels: {{guess: {PASSWORD}}}\n"))),
        ),
    ];
    for (place, guess) in places {
        let mut written = release.clone();
        *written.pointer_mut(place).unwrap() = guess;
        let told = world.store("POST", 3, &written).unwrap_err();
        assert!(told.contains("/data/release holds") && told.contains("in the clear"), "{place}: {told}");
        // With a value of the writer's own in the Secret there is nothing to learn.
        let own = written.to_string().replace(&code, &STANDARD.encode(PASSWORD));
        world.store("POST", 3, &serde_json::from_str(&own).unwrap()).unwrap();
    }
    let body = json!({
        "kind": "Secret", "apiVersion": "v1", "type": "helm.sh/release.v1", "data": {"release": field(&release)},
        "metadata": {"name": name(3)},
    });
    let dry = request("POST", &format!("{SECRETS}?dryRun=All"), "application/json", body.to_string());
    assert!(world.send(&dry).unwrap_err().contains("in a dry run"));
}

/// A Secret's document in a manifest.
fn document(name: &str, section: &str, fields: impl Iterator<Item = (String, String)>) -> String {
    let fields: String = fields.map(|(key, value)| format!("  {key}: {value}\n")).collect();
    format!("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{section}:\n{fields}")
}

/// More values of the writer's own than have placeholders by themselves.
fn others() -> String {
    let values = (0..limits::RELEASE_VALUES).map(|n| (format!("f{n}"), format!("filler-number-{n}")));
    document("mine", "stringData", values)
}

/// What is shown of a release that was written.
fn read_back(world: &mut World, release: &Value) -> Value {
    let real = world.store("POST", 3, release).unwrap();
    world.0.retain(|(own, _)| *own != name(3));
    world.0.push((name(3), stored(3, &real)));
    world.shown_release(3)
}

/// The placeholder of a field in the manifest, decoded.
fn in_manifest(shown: &Value, secret: &str, section: &str, key: &str) -> String {
    let pieces = crate::mask::release::pieces(shown["manifest"].as_str().unwrap()).unwrap();
    let mut documents = pieces.iter().filter_map(|piece| piece.document.as_ref());
    let found = documents.find(|document| document["metadata"]["name"] == *secret).unwrap();
    plain(&found[section][key])
}

fn plain(code: &Value) -> String {
    let code = code.as_str().unwrap();
    STANDARD.decode(code).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| code.to_owned())
}

/// Guesses that hide themselves, for a Secret of the writer's has them too: by what stands for them nobody learns which one is right.
#[test]
fn m5_what_stands_for_a_guess_does_not_tell_that_it_is_right() {
    let told = |right: bool| {
        let mut world = World::new();
        let code = world.shown_of("db");
        let mut guesses: Vec<String> = (0..100).map(|n| format!("canary-guess-{n:06}")).collect();
        if right {
            guesses[61] = PASSWORD.to_owned();
        }
        let guesses = || guesses.iter().enumerate().map(|(n, guess)| (format!("g{n}"), guess.clone()));
        let db = document("db", "data", std::iter::once(("password".to_owned(), code)));
        let mut release = release(3, "not-a-secret-word");
        release["hooks"] = json!([]);
        release["info"]["notes"] = json!("");
        release["manifest"] = json!(format!("{}{db}{}", others(), document("guesses", "stringData", guesses())));
        release["config"] = guesses().map(|(key, guess)| (key, json!(guess))).collect::<serde_json::Map<_, _>>().into();
        let shown = read_back(&mut world, &release);
        let codes: Vec<String> = shown["config"].as_object().unwrap().values().map(plain).collect();
        let known = ["password"].map(|key| in_manifest(&shown, "db", "data", key));
        (codes.iter().filter(|code| known.contains(code)).count(), codes)
    };
    assert_eq!(told(true), told(false));
    assert_eq!(told(true).0, 0);
}

/// Nor whether two Secrets that nobody is shown have the same value.
#[test]
fn m5_what_stands_for_a_value_does_not_tell_that_another_is_the_same() {
    let told = |value: &str| {
        let mut world = World::new();
        let mut other = live();
        other["metadata"]["name"] = json!("other");
        other["data"] = json!({"pw": STANDARD.encode(value)});
        world.0.push(("other".to_owned(), other));
        let code = world.shown_of("db");
        let second = world.shown("other")["data"]["pw"].as_str().unwrap().to_owned();
        let of =
            |name, key: &str, code: &str| document(name, "data", std::iter::once((key.to_owned(), code.to_owned())));
        let mut release = release(3, "not-a-secret-word");
        release["hooks"] = json!([]);
        release["config"] = json!({});
        release["manifest"] =
            json!(format!("{}{}{}", others(), of("db", "password", &code), of("other", "pw", &second)));
        release["info"]["notes"] = json!(second);
        let shown = read_back(&mut world, &release);
        let notes = plain(&shown["info"]["notes"]);
        [("db", "password"), ("other", "pw")].map(|(name, key)| notes == in_manifest(&shown, name, "data", key))
    };
    assert_eq!(told(PASSWORD), told("canary-another-one"));
}

/// A release in which there is very much to compare is masked whole.
#[test]
fn m5_a_release_with_too_much_to_compare_is_masked_whole() {
    let values = (0..1000).map(|n| (format!("f{n}"), format!("a-value-of-some-length-{n:06}")));
    let mut hostile = release(4, "not-a-secret-word");
    hostile["manifest"] = json!(document("mine", "stringData", values));
    let texts = |count: usize| json!({"keys": (0..count).map(|n| format!("part-{n}")).collect::<Vec<_>>()});
    for (count, whole) in [(100, false), (10_000, true)] {
        hostile["config"] = texts(count);
        let shown = read(&stored(4, &hostile), &context(&format!("{SECRETS}/{}", name(4)))).masked().clone();
        assert_eq!(is_placeholder(shown["data"]["release"].as_str().unwrap()), whole, "{count}");
    }
}

/// A small text can ask for much work, or for much memory.
#[test]
fn m5_a_release_that_asks_for_too_much_is_refused() {
    let mut world = World::new();
    let code = world.shown_of("db");
    let mut bogus = code.clone().into_bytes();
    let last = bogus.len() - 1;
    bogus[last] = if bogus[last] == b'A' { b'B' } else { b'A' };
    let bogus = String::from_utf8(bogus).unwrap();
    let fields = |code: &str, count: usize| (0..count).map(|n| format!("  k{n}: {code}\n")).collect::<String>();
    let secret = |fields: &str| format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n{fields}");
    let mut release = release(900, "not-a-secret-word");
    release["manifest"] = json!(secret(&fields(&code, limits::RELEASE_PLACEHOLDERS + 1)));
    assert!(world.store("POST", 900, &release).unwrap_err().contains("more often"));
    release["manifest"] = json!(secret(&fields(&bogus, limits::RELEASE_PLACEHOLDERS)));
    world.store("POST", 900, &release).unwrap_err();

    // A large value, named often.
    world.0[0].1["data"]["password"] = json!(STANDARD.encode("v".repeat(500_000)));
    let code = world.shown_of("db");
    let documents: String = (0..100).map(|_| format!("---\n{}", secret(&format!("  password: {code}\n")))).collect();
    release["manifest"] = json!(documents);
    assert!(world.store("POST", 900, &release).unwrap_err().contains("more often, or for more"));

    // The same in comments around one field.
    let comments: String = (0..100).map(|_| format!("# {code}\n")).collect();
    release["manifest"] = json!(format!("{}{comments}", secret(&format!("  password: {code}\n"))));
    assert!(world.store("POST", 900, &release).unwrap_err().contains("more often, or for more"));
}

/// Guesses in a Secret of the writer's own, and what a release shows in place of a user's value: it is put back where the guess is right. A
/// dry run tells nothing of it, and what is stored is counted.
#[test]
fn m5_guesses_in_ones_own_secret_are_counted_and_not_tried_out() {
    let mut world = World::new();
    let guesses = ["canary-wrong-0001", PASSWORD];
    let data = json!({"wrong": STANDARD.encode(guesses[0]), "right": STANDARD.encode(guesses[1])});
    let mut mine = secret(&data);
    mine["metadata"] = json!({"name": "mine", "namespace": "default", "uid": "m", "resourceVersion": "9",
        "labels": {"app.kubernetes.io/instance": "web"}});
    world.0.push(("mine".to_owned(), mine));
    let code = world.shown_release(2)["config"]["password"].clone();
    let patch = |query: &str, key: &str, code: &Value| {
        let body = json!({"stringData": {key: code}}).to_string();
        request("PATCH", &format!("{SECRETS}/mine{query}"), "application/merge-patch+json", body)
    };
    for key in ["wrong", "right"] {
        let told = world.send(&patch("?dryRun=All", key, &code)).unwrap_err();
        assert!(told.contains("in a dry run"), "{key}: {told}");
        assert_eq!(world.send(&patch("", key, &code)).is_ok(), key == "right");
        assert!(world.compares(&patch("", key, &code)));
    }
    // A field's own placeholder is compared with nothing.
    let own = world.shown("mine")["data"]["right"].clone();
    assert!(world.send(&patch("?dryRun=All", "right", &json!(decoded(&own)))).is_ok());
    assert!(!world.compares(&patch("", "right", &json!(decoded(&own)))));
    // A release of one's own may be what is written itself.
    let itself = request(
        "PATCH",
        &format!("{SECRETS}/{}", name(2)),
        "application/merge-patch+json",
        json!({"stringData": {"password": code}}).to_string(),
    );
    assert!(world.compares(&itself) && world.send(&itself).is_err());
}

/// The same with creates alone, of a Secret that is only in a release.
#[test]
fn m5_guesses_by_creates_are_counted_and_not_tried_out() {
    let mut world = World::new();
    let code = world.shown_of("db");
    let guesses = [("wrong", "canary-wrong-0001"), ("right", PASSWORD)];
    let mut written = release(3, "not-a-secret-word");
    let fields = guesses.into_iter().map(|(key, guess)| (key.to_owned(), guess.to_owned()));
    let db = document("db", "data", std::iter::once(("password".to_owned(), code.clone())));
    (written["hooks"], written["config"]) = (json!([]), json!({}));
    written["info"]["notes"] = json!(code);
    written["manifest"] = json!(format!("{db}{}", document("nowhere", "stringData", fields)));
    let shown = read_back(&mut world, &written);
    let create = |query: &str, key: &str| {
        let metadata = json!({"name": "nowhere", "labels": {"app.kubernetes.io/instance": "web"}});
        let body = json!({"kind": "Secret", "apiVersion": "v1", "stringData": {key: shown["info"]["notes"]}, "metadata": metadata});
        request("POST", &format!("{SECRETS}{query}"), "application/json", body.to_string())
    };
    for (key, _) in guesses {
        assert!(world.send(&create("?dryRun=All", key)).unwrap_err().contains("in a dry run"));
        assert_eq!(world.send(&create("", key)).is_ok(), key == "right");
        assert!(world.compares(&create("", key)));
    }
}

/// One field twice in a release: whether its two values are the same would be told by its placeholder.
#[test]
fn m5_a_field_that_is_put_back_stands_in_a_release_with_one_value() {
    let world = World::new();
    let code = world.shown_of("db");
    let field = |value: &str| document("db", "data", std::iter::once(("password".to_owned(), value.to_owned())));
    let mut written = release(3, "not-a-secret-word");
    written["hooks"] = json!([]);
    let store = |world: &World, mut written: Value, other: &str| {
        written["manifest"] = json!(format!("{}{other}", field(&code)));
        world.store("POST", 3, &written)
    };
    let guess = |guess: &str| field(&STANDARD.encode(guess));
    let told = store(&world, written.clone(), &guess("canary-wrong-0001")).unwrap_err();
    assert!(told.starts_with("the field /data/release holds") && told.contains("more than once"), "{told}");
    assert!(store(&world, written.clone(), &guess(PASSWORD)).is_ok());
    assert!(store(&world, written.clone(), &field(&code)).is_ok());
    let elsewhere = guess("canary-wrong-0001").replace("name: db", "name: db\n  namespace: other");
    assert!(store(&world, written.clone(), &elsewhere).is_ok(), "another Secret");
    // In a hook, beside a manifest that comes back as it was shown.
    let mut hook = world.shown_release(2);
    hook["hooks"][0]["manifest"] = json!(guess("canary-wrong-0001"));
    assert!(world.store("PUT", 2, &hook).unwrap_err().contains("more than once"));
    // Values of the writer's own may differ, and a revision that has two comes back with them.
    written["manifest"] = json!(format!("{}{}", guess("one-of-my-own"), guess("another-of-mine")));
    written["info"]["notes"] = json!("");
    assert!(world.store("POST", 3, &written).is_ok());
    let mut world = world;
    world.0.push((name(3), stored(3, &written)));
    let mut shown = world.shown_release(3);
    shown["info"]["status"] = json!("superseded");
    assert!(world.store("PUT", 3, &shown).is_ok());
    // But no third.
    shown["hooks"] = json!([{"name": "hook", "manifest": guess("canary-wrong-0001")}]);
    assert!(world.store("PUT", 3, &shown).unwrap_err().contains("more than once"));
}

/// Notes that hold placeholders are gone through once. Gone through for each value that could be in them they take minutes.
#[test]
fn p12_notes_and_a_secret_with_many_fields() {
    let mut world = World::new();
    let data: serde_json::Map<String, Value> =
        (0..2000).map(|at| (format!("k{at:05}"), json!(STANDARD.encode(PASSWORD)))).collect();
    let mut many = secret(&json!(data));
    many["metadata"]["name"] = json!("many");
    world.0.push(("many".to_owned(), many));
    let codes = world.shown("many")["data"].clone();
    let (first, last) = (codes["k00000"].as_str().unwrap(), decoded(&codes["k01999"]));
    let mut written = release(3, "not-a-secret-word");
    let fields = std::iter::once(("k00000".to_owned(), first.to_owned()));
    written["manifest"] = json!(document("many", "data", fields));
    (written["hooks"], written["config"]) = (json!([]), json!({}));
    written["info"]["notes"] = json!(format!("{first}{}{last} {first}", "x ".repeat(2 * 1024 * 1024)));
    let stored = world.store("POST", 3, &written).unwrap();
    assert_eq!(stored["info"]["notes"], format!("{PASSWORD}{}{PASSWORD} {PASSWORD}", "x ".repeat(2 * 1024 * 1024)));
}

/// Such a release is there four times while it is written, and what is read for it besides.
#[test]
fn p12_a_release_that_is_written_takes_no_more_memory_than_there_is() {
    let world = World::new();
    let room = |release: &Value| {
        let request = write("PUT", 2, release);
        WriteRoom::of(&request, &Carried::of(&request).unwrap()).map(drop)
    };
    let mut shown = world.shown_release(2);
    assert_eq!(room(&shown), Ok(()));
    let chain = (0..90).fold(json!(0), |inner, _| json!({"": inner}));
    shown["config"]["maps"] = json!(vec![chain; 440]);
    assert_eq!(room(&shown), Err(ReadError::Memory));
}

/// Each would be read, opened, and compared with.
#[test]
fn p12_a_secret_has_values_of_a_few_revisions_put_back() {
    let most = limits::RELEASE_READS_OF_REVISIONS as u64;
    let written = |revisions: std::ops::RangeInclusive<u64>| {
        let mut world = World::new();
        let mut codes = serde_json::Map::new();
        for revision in revisions {
            let key = format!("p{revision}");
            let value = STANDARD.encode(format!("canary-of-revision-{revision}"));
            let mut release = release(revision, "not-a-secret-word");
            release["hooks"] = json!([]);
            release["manifest"] = json!(document("db", "data", std::iter::once((key.clone(), value))));
            world.0.retain(|(own, _)| *own != name(revision));
            world.0.push((name(revision), stored(revision, &release)));
            let shown = world.shown_release(revision);
            codes.insert(key.clone(), json!(in_manifest(&shown, "db", "data", &key)));
        }
        let patch = json!({"stringData": codes}).to_string();
        world.send(&request("PATCH", &format!("{SECRETS}/db"), "application/merge-patch+json", patch))
    };
    let put_back = written(1..=most).unwrap();
    assert_eq!(put_back["stringData"]["p1"], "canary-of-revision-1");
    let refused = written(1..=most + 1).unwrap_err();
    assert!(refused.contains("of more revisions than values are put back by one write"), "{refused}");
}
