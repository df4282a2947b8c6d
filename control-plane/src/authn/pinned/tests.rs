use tempfile::TempDir;

use super::*;

fn key(id: &str, byte: u8) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": id, "x": URL_SAFE_NO_PAD.encode([byte; 32])})
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A cluster whose administrator pinned one key.
fn cluster(folder: &TempDir, adopt_keys: bool) -> Cluster {
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, set(&[key("old", 1)])).unwrap();
    Cluster {
        name: "a".to_owned(),
        uid: "uid".to_owned(),
        issuer: "issuer".to_owned(),
        keys: Keys::File(keys),
        agent_namespace: "sallyport".to_owned(),
        agent_service_account: "agent".to_owned(),
        require_ci: false,
        adopt_keys,
    }
}

fn knows(keys: &PinnedKeys, ids: &[&str]) -> Vec<bool> {
    ids.iter().map(|id| keys.keys().knows(Some(id))).collect()
}

#[test]
fn a_published_key_counts_only_where_the_configuration_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let published = set(&[key("old", 1), key("new", 2)]);
    let keys = PinnedKeys::read(&cluster(&folder, false), folder.path()).unwrap();
    let strange =
        |ids: &[&str]| Offered { adopted: Vec::new(), strange: ids.iter().map(|id| (*id).to_owned()).collect() };
    assert_eq!(keys.offer(published.as_bytes()), Ok(strange(&["new"])));
    assert_eq!(keys.offer(published.as_bytes()), Ok(strange(&[])), "told once");
    assert_eq!(knows(&keys, &["old", "new"]), [true, false]);

    let keys = PinnedKeys::read(&cluster(&folder, true), folder.path()).unwrap();
    assert_eq!(keys.offer(published.as_bytes()).unwrap().adopted, ["new"]);
    assert_eq!(knows(&keys, &["old", "new"]), [true, true]);
    // The next start has it, as long as it is let; a key that is published no more goes on counting.
    let again = PinnedKeys::read(&cluster(&folder, true), folder.path()).unwrap();
    assert_eq!(knows(&again, &["old", "new"]), [true, true]);
    assert_eq!(again.offer(set(&[key("newest", 3)]).as_bytes()).unwrap().adopted, ["newest"]);
    assert_eq!(knows(&again, &["old", "new", "newest"]), [true, true, true]);
    let closed = PinnedKeys::read(&cluster(&folder, false), folder.path()).unwrap();
    assert_eq!(knows(&closed, &["old", "new", "newest"]), [true, false, false]);
}

/// Whoever publishes must not put his key in the place of another, nor as many as he likes, nor what is no key.
#[test]
fn what_is_published_is_not_trusted_further() {
    let folder = tempfile::tempdir().unwrap();
    let keys = PinnedKeys::read(&cluster(&folder, true), folder.path()).unwrap();
    let offered = keys.offer(set(&[key("old", 9)]).as_bytes()).unwrap();
    assert_eq!(offered, Offered { adopted: Vec::new(), strange: vec!["old".to_owned()] });
    for nothing in [
        json!({"kty": "oct", "kid": "secret", "k": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        json!(1),
    ] {
        let offered = keys.offer(set(std::slice::from_ref(&nothing)).as_bytes());
        assert!(offered.is_err() || offered == Ok(Offered::default()), "{nothing}: {offered:?}");
    }
    for wrong in ["", "[]", "{}", "{\"keys\": 5}", &"x".repeat(limits::JWKS_BYTES + 1)] {
        assert!(keys.offer(wrong.as_bytes()).is_err(), "{} bytes", wrong.len());
    }
    let many: Vec<_> = (0..40).map(|n| key(&format!("n{n}"), n)).collect();
    let offered = keys.offer(set(&many).as_bytes()).unwrap();
    assert_eq!((offered.adopted.len(), offered.strange.len()), (limits::ADOPTED_KEYS, 40 - limits::ADOPTED_KEYS));
    assert!(keys.keys().knows(Some("old")));
}

#[test]
fn a_key_that_is_not_on_disk_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let keys = PinnedKeys::read(&cluster(&folder, true), &folder.path().join("nowhere")).unwrap();
    assert!(keys.offer(set(&[key("new", 2)]).as_bytes()).is_err());
    assert_eq!(knows(&keys, &["old", "new"]), [true, false]);
}

#[test]
fn the_pinned_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(&folder, false);
    let keys = PinnedKeys::read(&cluster, folder.path()).unwrap();
    let file = folder.path().join("keys.json");
    let mut minute = 0;
    let mut change = |text: &str| {
        std::fs::write(&file, text).unwrap();
        // Each change has a time of its own, whatever the file system's clock does.
        minute += 60;
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(minute);
        File::options().write(true).open(&file).unwrap().set_modified(at).unwrap();
        keys.reload();
    };
    change(&set(&[key("old", 1), key("new", 2)]));
    assert_eq!(knows(&keys, &["old", "new"]), [true, true]);
    change("{\"keys\": []}");
    assert_eq!(knows(&keys, &["old", "new"]), [true, true], "what can't be used changes nothing");
    change(&set(&[key("new", 2)]));
    assert_eq!(knows(&keys, &["old", "new"]), [false, true]);
    std::fs::remove_file(&file).unwrap();
    keys.reload();
    assert_eq!(knows(&keys, &["old", "new"]), [false, true]);
}

/// What was adopted for a cluster that was forgotten is not the next one's of the same name.
#[test]
fn enrolled_keys_are_of_their_enrolment() {
    let folder = tempfile::tempdir().unwrap();
    let enrolled =
        |number, keys: &[Value]| Cluster { keys: Keys::Enrolled { number, set: set(keys) }, ..cluster(&folder, true) };
    let first = PinnedKeys::read(&enrolled(1, &[key("old", 1)]), folder.path()).unwrap();
    assert_eq!(first.offer(set(&[key("new", 2)]).as_bytes()).unwrap().adopted, ["new"]);
    first.reload();
    let again = PinnedKeys::read(&enrolled(1, &[key("old", 1)]), folder.path()).unwrap();
    assert_eq!(knows(&again, &["old", "new"]), [true, true]);
    let next = PinnedKeys::read(&enrolled(2, &[key("other", 3)]), folder.path()).unwrap();
    assert_eq!(knows(&next, &["old", "new", "other"]), [false, false, true]);
    assert!(PinnedKeys::read(&enrolled(3, &[]), folder.path()).is_err());
    // A key is the same under another id.
    let renamed = PinnedKeys::read(&enrolled(4, &[key("renamed", 2)]), folder.path()).unwrap();
    assert!(renamed.shares_with(&again) && again.shares_with(&renamed) && !renamed.shares_with(&next));
}
