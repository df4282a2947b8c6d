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
